//! Every transcript through the protocol core without a socket, with the replies cut at every byte.
#![allow(clippy::panic, clippy::expect_used)]

mod core;

use memcached2_testkit::assert_matches;
use std::path::Path;

use memcached2_proto::command::{Command, Decr, FlushAll, Incr, Touch, Version};
use memcached2_proto::operation::GetMany;
use memcached2_proto::{Connection, Delete, Error, Expiry, Get, Landed, Limits, Protocol, Router, Store};
use memcached2_testkit::{Transcript, load};

use self::core::{Talk, now};

/// How the bytes of the server arrive.
#[derive(Debug, Clone, Copy)]
enum Pieces {
    Whole,
    Bytes,
    /// In two pieces, the first of this length.
    Two(usize),
    /// This many bytes, then the end of the stream.
    Ends(usize),
}

fn transcripts() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot read {folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "there is no transcript in {folder:?}");
    paths.iter().flat_map(load).collect()
}

/// How many bytes the server sends in all.
fn length(transcript: &Transcript) -> usize {
    transcript.turns.iter().map(|turn| turn.server.len()).sum()
}

/// Where a transcript is cut: everywhere, unless it is long; then near its ends, and at some places between.
fn places(transcript: &Transcript) -> impl Iterator<Item = usize> + use<> {
    const EDGE: usize = 128;
    let length = length(transcript);
    let step = match length {
        ..8192 => 1,
        _ => length / 64,
    };
    (0..=length).filter(move |at| *at < EDGE || length - *at < EDGE || at % step == 0)
}

/// Plays a transcript and returns all results and the state at the end.
fn play(transcript: &Transcript, pieces: Pieces, most_written: usize, once_written: impl Fn(&mut Talk)) -> Vec<String> {
    play_on(Talk::default(), transcript, pieces, most_written, once_written)
}

fn play_on(
    mut talk: Talk,
    transcript: &Transcript,
    pieces: Pieces,
    most_written: usize,
    once_written: impl Fn(&mut Talk),
) -> Vec<String> {
    let mut begun = 0;
    for turn in &transcript.turns {
        talk.submit(&turn.client);
        let written = talk.write(most_written);
        once_written(&mut talk);
        let title = &transcript.title;
        assert_eq!(written.escape_ascii().to_string(), turn.client.escape_ascii().to_string(), "{title}");
        let bytes = &turn.server[..];
        let at = |place: usize| place.saturating_sub(begun).min(bytes.len());
        match pieces {
            Pieces::Whole => talk.read(bytes),
            Pieces::Bytes => bytes.chunks(1).for_each(|byte| talk.read(byte)),
            Pieces::Two(place) => {
                talk.read(&bytes[..at(place)]);
                talk.read(&bytes[at(place)..]);
            }
            Pieces::Ends(place) => {
                talk.read(&bytes[..at(place)]);
                if place < begun + bytes.len() || turn == transcript.turns.last().expect("a turn") {
                    talk.end();
                    break;
                }
            }
        }
        begun += bytes.len();
        if turn.ends {
            talk.end();
        }
    }
    talk.finish()
}

/// Plays every transcript, and lists those whose results differ from its `R:` lines.
#[track_caller]
fn assert_told<P: IntoIterator<Item = Pieces>>(most_written: usize, cuts: impl Fn(&Transcript) -> P) {
    let mut failures = String::new();
    for transcript in transcripts() {
        let expected: Vec<_> = transcript.turns.iter().flat_map(|turn| &turn.results).cloned().collect();
        for pieces in cuts(&transcript) {
            let told = play(&transcript, pieces, most_written, |_| {});
            if told != expected {
                let title = &transcript.title;
                failures += &format!("{title} ({pieces:?})\n    told:     {told:?}\n    expected: {expected:?}\n");
                break;
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn every_transcript_is_understood_in_one_piece() {
    assert_told(usize::MAX, |_| [Pieces::Whole]);
}

#[test]
fn every_transcript_is_understood_byte_by_byte() {
    assert_told(usize::MAX, |_| [Pieces::Bytes]);
}

#[test]
fn requests_written_byte_by_byte_are_the_same_requests() {
    assert_told(1, |_| [Pieces::Whole]);
}

#[test]
fn every_transcript_is_understood_when_it_is_cut_anywhere() {
    assert_told(usize::MAX, |transcript| places(transcript).map(Pieces::Two));
}

#[test]
fn a_connection_that_is_driven_by_completion_writes_the_same_and_has_the_same_results() {
    for transcript in transcripts() {
        let cuts = places(&transcript).flat_map(|place| [Pieces::Two(place), Pieces::Ends(place)]);
        for pieces in [Pieces::Whole, Pieces::Bytes].into_iter().chain(cuts) {
            let expected = play(&transcript, pieces, usize::MAX, |_| {});
            let results = play_on(Talk::by_completion(), &transcript, pieces, usize::MAX, |_| {});
            assert_eq!(results, expected, "{} ({pieces:?})", transcript.title);
        }
    }
}

#[test]
fn the_results_of_a_turn_come_with_that_turn() {
    for mut transcript in transcripts() {
        while transcript.turns.len() > 1 {
            transcript.turns.pop();
            let told = play(&transcript, Pieces::Whole, usize::MAX, |_| {});
            let expected = transcript.turns.iter().flat_map(|turn| &turn.results);
            assert!(told[..told.len() - 1].iter().eq(expected), "{}: {told:?}", transcript.title);
        }
    }
}

/// Whether an answer holds nothing but the news that the connection is lost, or what the whole reply held.
fn is_part(told: &str, whole: &str) -> bool {
    if told == whole || told == "disconnected, unknown" {
        return true;
    }
    let (parts, wholes): (Vec<_>, Vec<_>) = (told.split(" | ").collect(), whole.split(" | ").collect());
    // A miss is not known before the end of the reply.
    parts.len() == wholes.len()
        && parts.contains(&"disconnected")
        && parts.iter().zip(wholes).all(|(part, whole)| match *part {
            "disconnected" => true,
            part => part == whole && (part.starts_with("hit") || part == "protocol"),
        })
}

#[test]
fn a_stream_that_ends_early_has_only_the_results_that_came_whole() {
    let lost = |told: &[String]| told.iter().filter(|result| result.contains("disconnected")).count();
    for transcript in transcripts() {
        let title = &transcript.title;
        let whole = play(&transcript, Pieces::Whole, usize::MAX, |_| {});
        let bytes: Vec<_> = transcript.turns.iter().flat_map(|turn| &turn.server).copied().collect();
        for place in places(&transcript) {
            let told = play(&transcript, Pieces::Ends(place), usize::MAX, |_| {});
            let (state, results) = told.split_last().expect("a state");
            // The end of the stream is the answer to `quit`.
            let is_over = matches!(state.as_str(), "closed" | "left");
            assert!(is_over || state == whole.last().expect("a state"), "{title}, {place} bytes: {state}");
            for (told, whole) in results.iter().zip(&whole) {
                assert!(is_part(told, whole), "{title}, {place} bytes: {told:?} is no part of {whole:?}");
            }
            let ends_line = place == 0 || bytes[place - 1] == b'\n';
            if !ends_line && state == "closed" {
                let earlier = play(&transcript, Pieces::Ends(place - 1), usize::MAX, |_| {});
                assert!(lost(&told) >= lost(&earlier), "{title}, {place} bytes: an answer came inside a line");
            }
        }
        // Each of several keys is answered by its own item, so END adds nothing if all were there.
        let is_told_by_the_last_byte = match &whole[..] {
            [.., answer, state] => state == "in step" && (!answer.contains(" | ") || answer.contains("miss")),
            _ => false,
        };
        if is_told_by_the_last_byte {
            let told = play(&transcript, Pieces::Ends(bytes.len() - 1), usize::MAX, |_| {});
            assert!(lost(&told) > 0, "{title}: the last answer came before its last byte");
        }
    }
}

#[test]
fn the_reply_to_a_cancelled_request_is_discarded_and_leaves_the_connection_in_the_same_state() {
    let cancel = |talk: &mut Talk| {
        (0..talk.connection.next_ticket()).for_each(|ticket| assert!(!talk.connection.cancel(ticket)));
    };
    let mut failures = String::new();
    for transcript in transcripts() {
        let whole = play(&transcript, Pieces::Whole, usize::MAX, |_| {});
        for pieces in places(&transcript).map(Pieces::Two).chain([Pieces::Whole, Pieces::Bytes]) {
            let told = play(&transcript, pieces, usize::MAX, cancel);
            let gives_data = told.iter().any(|result| result.starts_with("hit"));
            if gives_data || told.last() != whole.last() || told.len() != whole.len() {
                failures += &format!("{} ({pieces:?})\n    told:  {told:?}\n    whole: {whole:?}\n", transcript.title);
                break;
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn five_hundred_answers_may_come_at_once() {
    let mut talk = Talk::said(&b"version\r\n".repeat(500));
    talk.read(&b"VERSION 1.6.45\r\n".repeat(500));
    let told = talk.finish();
    assert_eq!(told.iter().filter(|result| *result == "version \"1.6.45\" 1 6 45").count(), 500);
    assert_eq!(told.last().map(String::as_str), Some("in step"));
}

#[test]
fn no_request_is_sent_after_a_quit() {
    let asked = b"get a\r\nquit\r\n";
    for written in 0..=asked.len() {
        let mut talk = Talk::default();
        talk.submit(asked);
        let mut bytes = Vec::new();
        while bytes.len() < written {
            talk.write_once(written - bytes.len(), &mut bytes);
        }
        let error = talk.connection.submit(&Version, now(), 1).expect_err("a request after a quit");
        assert!(matches!(error, Error::Closed { .. }) && error.landed() == Landed::NotSent, "{error:?}");
        bytes.extend(talk.write(usize::MAX));
        assert_eq!(bytes, asked);
        talk.read(b"END\r\n");
        talk.end();
        assert_eq!(talk.finish(), ["miss", "left"]);
    }
}

#[test]
fn a_request_that_is_refused_locally_leaves_no_byte() {
    let long = [b'k'; 251];
    for key in [&b""[..], b"a b", b"a\n", b"\r", b"a\0", b"\ta", b"\x1f", b"\x7f", &long] {
        for error in [
            Get::new(key).map(drop).expect_err("no key"),
            Store::set(key, b"x").map(drop).expect_err("no key"),
            Store::add(key, b"x").map(drop).expect_err("no key"),
            Store::replace(key, b"x").map(drop).expect_err("no key"),
            Store::append(key, b"x").map(drop).expect_err("no key"),
            Store::prepend(key, b"x").map(drop).expect_err("no key"),
            Store::cas(key, b"x", 1).map(drop).expect_err("no key"),
            Delete::new(key).map(drop).expect_err("no key"),
            Incr::new(key, 1).map(drop).expect_err("no key"),
            Decr::new(key, 1).map(drop).expect_err("no key"),
            Touch::new(key, Expiry::Never).map(drop).expect_err("no key"),
            GetMany::new(&[b"a".as_slice(), b"b", key, b"d", b"e"]).map(drop).expect_err("no key"),
        ] {
            assert!(matches!(error, Error::Key { .. }), "{error:?}");
        }
    }
    let too_late = std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_147_483_648);
    let too_late = Expiry::At(too_late);
    assert_too_late(&Store::set("a", b"x").expect("a key").expiry(too_late));
    assert_too_late(&Store::cas("a", b"x", 1).expect("a key").expiry(too_late));
    assert_too_late(&Get::new("a").expect("a key").touch(too_late));
    assert_too_late(&Touch::new("a", too_late).expect("a key"));
    assert_too_late(&FlushAll::at(too_late));
    let router = Router::parse(["server"]).expect("a server");
    let many = GetMany::new(&["a", "b"]).expect("keys").touch(too_late);
    let call = memcached2_proto::call::Call::new(many, &router, now());
    assert_too_late(call.command(0));
}

/// A request whose expiry cannot be encoded leaves no byte, in either protocol.
#[track_caller]
fn assert_too_late<C: Command>(command: &C) {
    for protocol in [Protocol::Classic, Protocol::Meta] {
        let mut connection = Connection::new(Limits::default());
        connection.set_protocol(protocol);
        assert_matches!(connection.submit(command, now(), 0), Err(Error::Expiry { .. }));
        assert_eq!(connection.write_slices(&mut [std::io::IoSlice::new(&[])]), 0);
        assert!(connection.is_idle() && connection.is_flushed());
    }
}

#[test]
fn a_key_of_250_bytes_and_a_key_of_any_high_bytes_are_sent_as_they_are() {
    let long = [b'k'; 250];
    for (key, protocol, expected) in [
        (&long[..], Protocol::Classic, [b"get ", &long[..], b"\r\n"].concat()),
        (&b"\xc3\xa9"[..], Protocol::Classic, b"get \xc3\xa9\r\n".to_vec()),
        (b"\xff", Protocol::Meta, b"mg \xff f v O0000\r\n".to_vec()),
    ] {
        let mut talk = Talk::default();
        talk.connection.set_protocol(protocol);
        talk.connection.submit(&Get::new(key).expect("a key"), now(), 0).expect("a request");
        assert_eq!(talk.write(usize::MAX), expected);
    }
}

/// Asks for many keys in lines that begin with `begin` and have at most `longest` bytes, and answers every fifth of them.
#[track_caller]
fn assert_asked_in_lines(keys: &[String], many: GetMany<'_>, begin: &str, longest: usize, cas: Option<u64>) {
    let router = Router::parse(["server"]).expect("a server");
    let mut call = memcached2_proto::call::Call::new(many, &router, now());
    let mut talk = Talk::default();
    let is_there = |key: &str| key.ends_with(['2', '7']);
    let mut next = 0;
    while let Some(mut batch) = call.batch(next) {
        next = batch.end();
        call.submit(&mut batch, &mut talk.connection, now());
        let text = String::from_utf8(talk.write(usize::MAX)).expect("text");
        let lines: Vec<_> = text.split_inclusive("\r\n").collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= longest), "{text}");
        let asked: Vec<Vec<_>> = lines
            .iter()
            .map(|line| line.trim_end().strip_prefix(begin).expect("the same verb in each line").split(' ').collect())
            .collect();
        assert!(asked.iter().flatten().eq(keys));
        let mut replies = String::new();
        for asked in asked {
            for key in asked.into_iter().filter(|key| is_there(key)) {
                let cas = cas.map_or_else(String::new, |cas| format!(" {cas}"));
                replies += &format!("VALUE {key} 0 {}{cas}\r\n{key}\r\n", key.len());
            }
            replies += "END\r\n";
        }
        for piece in replies.as_bytes().chunks(1000) {
            talk.connection.read_buf()[..piece.len()].copy_from_slice(piece);
            talk.connection.advance_read(piece.len()).expect("the stream goes on");
            call.take_replies(&mut batch, &mut talk.connection).expect("replies");
        }
        assert!(talk.connection.is_idle());
    }
    let values = call.finish().and_then(|many| many.into_result()).expect("every key has an answer");
    assert_eq!(values.len(), keys.len());
    for (key, value) in keys.iter().zip(values) {
        let found = value.map(|value| (value.data().to_vec(), value.cas));
        assert_eq!(found, is_there(key).then(|| (key.clone().into_bytes(), cas)));
    }
}

#[test]
fn very_many_keys_are_asked_in_several_lines_and_each_once() {
    let keys: Vec<_> = (0..5000).map(|number| format!("key:{number}")).collect();
    let many = || GetMany::new(&keys).expect("keys");
    assert_asked_in_lines(&keys, many(), "get ", 8 * 1024 + 5, None);
    assert_asked_in_lines(&keys, many().with_cas(), "gets ", 8 * 1024 + 6, Some(u64::MAX));
}

#[test]
fn keys_that_are_touched_are_asked_in_lines_of_a_kilobyte() {
    let of_20_bytes: Vec<_> = (0..200).map(|number| format!("{number:0>20}")).collect();
    let of_250_bytes: Vec<_> = (0..20).map(|number| format!("{number:0>250}")).collect();
    let of_any_length: Vec<_> = (0..300).map(|number| format!("{number:0>0$}", 3 + number * 7 % 247)).collect();
    for keys in [&of_20_bytes, &of_250_bytes, &of_any_length] {
        let many = |expiry: Expiry| GetMany::new(keys).expect("keys").touch(expiry);
        assert_asked_in_lines(keys, many(Expiry::Never), "gat 0 ", 1024, None);
        // The longest number of all.
        let last = Expiry::At(std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_147_483_647));
        assert_asked_in_lines(keys, many(last).with_cas(), "gats 2147483647 ", 1024, Some(7));
    }
}

#[test]
fn what_has_expired_already_is_flushed_now() {
    for when in [Expiry::After(std::time::Duration::ZERO), Expiry::At(std::time::UNIX_EPOCH)] {
        let mut talk = Talk::default();
        talk.connection.submit(&FlushAll::at(when), now(), 0).expect("a request");
        assert_eq!(talk.write(usize::MAX).escape_ascii().to_string(), "flush_all 0\\r\\n");
    }
}
