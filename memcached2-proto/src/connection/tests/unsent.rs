//! What a connection never writes, and what that means for its requests.

use std::io::IoSlice;

use bytes::Bytes;

use super::{now, write};
use crate::command::{Get, GetOptions, GetPart, Protocol, Store};
use crate::connection::{Abandoned, Connection};
use crate::data::Data;
use crate::error::{Error, Landed};
use crate::key::Key;
use crate::limits::Limits;
use crate::reply::Reply;

fn feed(connection: &mut Connection, bytes: &str) -> Result<Vec<(u32, Reply, bool)>, Error> {
    let mut replies = Vec::new();
    connection.feed(bytes.as_bytes(), |tag, reply, last| replies.push((tag, reply, last)))?;
    Ok(replies)
}

/// Writes at most `most` bytes of what is offered, and returns them.
fn take(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 2];
    let count = connection.write_slices(&mut slices);
    let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
    connection.advance_written(bytes.len());
    bytes
}

/// The memory of what is cancelled is given back while a request is written in part: some values lie between the other bytes, some are
/// shared. Which requests are cancelled is a bit each of `cancelled`.
fn the_others_are_written(cancelled: u32, written_first: usize) {
    const LENGTH: usize = Data::SHARED_MIN + 1000;
    let mut connection = Connection::new(Limits::default());
    let (mut expected, mut tags) = (Vec::new(), Vec::new());
    let mut tickets = Vec::new();
    for tag in 0..12_u32 {
        let value = vec![b'a' + tag as u8; LENGTH + tag as usize];
        let ticket = connection.next_ticket();
        let shared = Bytes::from(value.clone());
        match tag % 3 {
            0 => connection.submit(&Store::set("key", &value[..]).unwrap(), now(), tag).unwrap(),
            _ => connection.submit(&Store::set("key", &shared).unwrap(), now(), tag).unwrap(),
        };
        tickets.push(ticket);
        if cancelled >> tag & 1 == 0 {
            expected.extend_from_slice(format!("set key 0 0 {}\r\n", value.len()).as_bytes());
            expected.extend_from_slice(&value);
            expected.extend_from_slice(b"\r\n");
            tags.push(tag);
        }
    }
    let mut written = take(&mut connection, written_first);
    for (tag, ticket) in (0..).zip(&tickets) {
        if cancelled >> tag & 1 == 1 {
            assert!(connection.cancel(*ticket), "{tag} was not written");
        }
    }
    assert_eq!(connection.unsent(), (expected.len() - written.len()) as u64);
    connection.reclaim();
    assert_eq!(connection.unsent(), (expected.len() - written.len()) as u64);
    let mut answered = Vec::new();
    while connection.is_busy() {
        let piece = take(&mut connection, 10_000);
        if piece.is_empty() {
            // The window is full of requests that are written whole: one of them is answered.
            answered.extend(feed(&mut connection, "STORED\r\n").unwrap().into_iter().map(|(tag, ..)| tag));
        }
        written.extend(piece);
    }
    assert!(written == expected, "{} bytes were written, not {}", written.len(), expected.len());
    assert_eq!(answered, tags);
    assert!(connection.is_idle() && connection.unsent() == 0);
}

#[test]
fn what_is_cancelled_unwritten_leaves_no_byte_and_moves_no_other_request() {
    for written_first in [10, 5000] {
        // All but the first, alternately, at the end, in the middle, and a few that are not worth it.
        for cancelled in [0xffe, 0xaaa, 0xf80, 0x3f8, 0x7fe, 0b100] {
            the_others_are_written(cancelled, written_first);
        }
    }
}

#[test]
fn a_connection_that_has_failed_or_is_closed_soon_writes_nothing_more() {
    let mut failed = Connection::new(Limits::default());
    failed.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut failed);
    failed.submit(&Get::new("b").unwrap(), now(), 1).unwrap();
    assert!(feed(&mut failed, "nonsense\r\n").is_err());
    assert!(!failed.wants_write() && !failed.is_flushed());

    // twemproxy, whose server does not answer, closes the connection after a `get` of several keys.
    let mut leaving = Connection::new(Limits::default());
    let keys = ["a", "b"].map(|key| Key::new(key).unwrap()).to_vec();
    leaving.submit(&GetPart::run(keys, 0, GetOptions::default()), now(), 0).unwrap();
    leaving.submit(&Get::new("c").unwrap(), now(), 1).unwrap();
    write(&mut leaving);
    leaving.submit(&Get::new("d").unwrap(), now(), 2).unwrap();
    let line = "SERVER_ERROR Connection refused";
    let refused = feed(&mut leaving, &format!("{line}\r\n")).unwrap();
    assert_eq!(refused, [(0, Reply::Refused(line.into()), true)]);
    assert!(!failed.is_leaving() && leaving.is_leaving() && !leaving.wants_write() && !leaving.is_idle());
    let mut replies = Vec::new();
    let end = leaving.feed(b"END\r\n", |tag, reply, _| replies.push((tag, reply)));
    assert_eq!((replies, end.is_err()), (vec![(1, Reply::Miss)], true));
    let abandoned: Vec<_> = leaving.fail_pending().collect();
    assert!(matches!(abandoned[..], [Abandoned { tag: 2, landed: Landed::NotSent, stale: true, .. }]), "{abandoned:?}");
}

#[test]
fn nothing_is_submitted_after_the_end_of_the_stream() {
    let mut connection = Connection::new(Limits::default());
    assert!(connection.advance_read(0).is_err());
    let error = connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap_err();
    assert!(matches!(error, Error::Disconnected { landed: Landed::NotSent, .. }), "{error:?}");
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn a_request_is_silent_until_a_byte_comes_or_the_socket_takes_more() {
    let mut connection = Connection::new(Limits::default());
    let ticket = connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    assert!(connection.is_silent_since(ticket) && !connection.is_silent_since(ticket + 1));
    write(&mut connection);
    assert!(connection.is_silent_since(ticket) && connection.bytes_in() == 0);
    assert!(feed(&mut connection, "EN").unwrap().is_empty());
    assert!(!connection.is_silent_since(ticket) && connection.bytes_in() == 2);
    let later = connection.submit(&Get::new("b").unwrap(), now(), 1).unwrap();
    assert!(connection.is_silent_since(later));
    // The socket is full, and then takes the rest.
    let blocked: Result<bool, ()> = connection.write_with(|_| Ok(0));
    assert!(blocked == Ok(false) && connection.is_write_blocked() && connection.is_silent_since(later));
    let whole: Result<bool, ()> = connection.write_with(|slices| Ok(slices[0].len()));
    assert!(whole == Ok(true) && !connection.is_write_blocked());
    assert_eq!(connection.bytes_in(), 3);
    // It is no part of a reply: those that have served and are silent since are still stale.
    assert_eq!(feed(&mut connection, "D\r\n").unwrap(), [(0, Reply::Miss, true)]);
    let abandoned: Vec<_> = connection.fail_pending().collect();
    assert!(matches!(abandoned[..], [Abandoned { tag: 1, stale: true, .. }]), "{abandoned:?}");
}

#[test]
fn what_comes_unasked_closes_an_idle_connection_and_says_nothing_against_its_server() {
    let mut connection = Connection::new(Limits::default());
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    assert!(!connection.needs_look());
    write(&mut connection);
    feed(&mut connection, "END\r\n").unwrap();
    assert!(connection.needs_look());
    connection.submit(&Get::new("b").unwrap(), now(), 1).unwrap();
    assert!(matches!(connection.on_unread(), Error::Disconnected { .. }) && !connection.is_idle());
    let abandoned: Vec<_> = connection.fail_pending().collect();
    assert!(matches!(abandoned[..], [Abandoned { landed: Landed::NotSent, stale: true, .. }]), "{abandoned:?}");
}

#[test]
fn how_much_of_a_cancelled_value_is_still_to_come_is_known() {
    for (length, come) in [(100, 10), (10_000, 100), (10_000, 6000)] {
        let mut connection = Connection::new(Limits::default());
        let ticket = connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
        write(&mut connection);
        assert!(feed(&mut connection, &format!("VALUE a 0 {length}\r\nv")).unwrap().is_empty());
        assert_eq!(connection.draining(), 0, "nothing is cancelled");
        assert!(!connection.cancel(ticket));
        assert!(feed(&mut connection, &"v".repeat(come - 1)).unwrap().is_empty());
        // Of a value with a buffer of its own, the line end counts.
        let line_end = if length < 4096 { 0 } else { 2 };
        assert_eq!(connection.draining(), length + line_end - come);
        let rest = feed(&mut connection, &format!("{}\r\nEND\r\n", "v".repeat(length - come))).unwrap();
        assert_eq!((rest, connection.draining()), (vec![(0, Reply::Cancelled, true)], 0));
    }
    // One that was cancelled before it came has no buffer.
    let mut connection = Connection::new(Limits::default());
    let ticket = connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut connection);
    assert!(!connection.cancel(ticket));
    assert!(feed(&mut connection, "VALUE a 0 10000\r\nvvv").unwrap().is_empty());
    assert_eq!(connection.draining(), 9997);
}

#[test]
fn whether_the_server_has_said_nothing_since_is_reported() {
    for (come, silent) in [("", true), ("E", false)] {
        let mut connection = Connection::new(Limits::default());
        connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
        assert_eq!(connection.in_flight(), 1);
        write(&mut connection);
        assert!(come.is_empty() || feed(&mut connection, come).unwrap().is_empty());
        let abandoned: Vec<_> = connection.fail_pending().collect();
        let expected = Abandoned { tag: 0, landed: Landed::Unknown, stale: false, silent };
        assert_eq!((abandoned, connection.in_flight()), (vec![expected], 0));
    }
}

#[test]
fn the_connections_own_question_has_no_ticket() {
    let line = "SERVER_ERROR out of memory storing object";
    let begun = || {
        let mut connection = Connection::new(Limits::default());
        connection.set_protocol(Protocol::Meta);
        assert!(!connection.cancel(connection.next_ticket()), "there is no such request");
        connection.submit(&Store::set("a", "x").unwrap(), now(), 7).unwrap();
        write(&mut connection);
        // It is not sure yet which request that answers.
        assert!(feed(&mut connection, &format!("{line}\r\n")).unwrap().is_empty());
        assert_eq!((connection.in_flight(), connection.next_ticket()), (1, 1));
        connection
    };
    let mut connection = begun();
    let tickets = [8, 9].map(|tag| connection.submit(&Get::new("b").unwrap(), now(), tag).unwrap());
    assert_eq!((tickets, connection.next_ticket()), ([1, 2], 3));
    assert!(connection.cancel(1) && !connection.cancel(3));
    let question = b"mn\r\n";
    assert_eq!(take(&mut connection, question.len()), question);
    let get = take(&mut connection, 1000);
    assert!(get.starts_with(b"mg b ") && get.ends_with(b" O0002\r\n"), "{}", get.escape_ascii());
    let replies = feed(&mut connection, "MN\r\nEN O0002\r\n").unwrap();
    assert_eq!(replies, [(7, Reply::Refused(line.into()), true), (9, Reply::Miss, true)]);
    assert!(connection.is_idle() && connection.next_ticket() == 3);

    // If the server leaves instead, it is not known whether the request was refused.
    let mut connection = begun();
    let error = connection.advance_read(0).unwrap_err();
    assert!(error.to_string().contains(line), "{error}");
    let abandoned: Vec<_> = connection.fail_pending().collect();
    assert!(matches!(abandoned[..], [Abandoned { tag: 7, landed: Landed::Unknown, .. }]), "{abandoned:?}");
}

#[test]
fn an_error_line_is_asked_about_if_the_request_that_would_have_shown_it_is_cancelled_unwritten() {
    let line = "SERVER_ERROR out of memory";
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(Protocol::Meta);
    connection.submit(&Get::new("a").unwrap(), now(), 7).unwrap();
    write(&mut connection);
    let later = [8, 9].map(|tag| connection.submit(&Get::new("b").unwrap(), now(), tag).unwrap());
    // The answer to the next request would show to which one it belongs.
    assert!(feed(&mut connection, &format!("{line}\r\n")).unwrap().is_empty());
    assert!(later.into_iter().all(|ticket| connection.cancel(ticket)));
    assert_eq!(take(&mut connection, 100), b"mn\r\n");
    assert_eq!(feed(&mut connection, "MN\r\n").unwrap(), [(7, Reply::Refused(line.into()), true)]);
    assert!(connection.is_idle() && connection.next_ticket() == 3);
}

#[test]
fn the_end_of_the_stream_answers_quit_only_if_nothing_else_is_open() {
    for (written, come, is_good) in [(true, "", true), (false, "", false), (true, "E", false)] {
        let mut connection = Connection::new(Limits::default());
        connection.quit();
        if written {
            write(&mut connection);
        }
        connection.read_buf()[..come.len()].copy_from_slice(come.as_bytes());
        assert!(come.is_empty() || connection.advance_read(come.len()).is_ok());
        assert_eq!(connection.advance_read(0).is_ok(), is_good, "{written}, {come:?}");
    }
}

#[test]
fn quit_is_sent_once_and_not_after_a_failure() {
    let mut connection = Connection::new(Limits::default());
    connection.quit();
    connection.quit();
    assert_eq!(take(&mut connection, 100), b"quit\r\n");
    assert!(connection.is_flushed());
    let mut ended = Connection::new(Limits::default());
    assert!(ended.advance_read(0).is_err());
    ended.quit();
    assert!(ended.is_flushed() && ended.in_flight() == 0);
}

#[test]
fn a_server_that_closes_at_once_may_use_tls() {
    let connection = Connection::new(Limits::default());
    let lost = || Error::disconnected("gone").with_landed(Landed::Unknown);
    let error = connection.explain_lost(lost());
    assert!(error.to_string().contains("memcacheds://") && error.landed() == Landed::Unknown, "{error}");
    assert_eq!(connection.explain_lost(Error::closed()), Error::closed());
    let mut connection = Connection::new(Limits::default());
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut connection);
    feed(&mut connection, "END\r\n").unwrap();
    assert_eq!(connection.explain_lost(lost()), lost());
}

#[test]
fn the_line_of_a_full_server_is_known_before_its_end() {
    let mut connection = Connection::new(Limits::default());
    assert_eq!(feed(&mut connection, "ERROR Too many open connection"), Ok(vec![]));
    let error = feed(&mut connection, "s").unwrap_err();
    assert!(error.is_server_full(), "{error:?}");
}

#[test]
fn a_long_reply_is_known_by_what_has_come_and_what_is_announced() {
    let mut connection = Connection::new(Limits::default());
    assert!(!connection.is_reply_longer_than(0));
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut connection);
    assert!(!connection.is_reply_longer_than(0));
    let head = "VALUE a 0 10000\r\n";
    feed(&mut connection, head).unwrap();
    let whole = head.len() + 10_002;
    assert!(connection.is_reply_longer_than(whole - 1) && !connection.is_reply_longer_than(whole));
}

#[test]
fn requests_that_follow_a_cancelled_one_are_written_though_a_store_before_it_was_refused_half_written() {
    // The memory of a large one is given back.
    for (length, is_early) in [(10, true), (100_000, true), (100_000, false)] {
        let mut connection = Connection::new(Limits::default());
        let value = vec![b'v'; 1000];
        connection.submit(&Store::set("big", &value).unwrap(), now(), 0).unwrap();
        let mut written = take(&mut connection, 500);
        let refused = feed(&mut connection, "SERVER_ERROR object too large for cache\r\n").unwrap();
        assert!(matches!(refused[..], [(0, Reply::Refused(_), true)]));
        let other = vec![b'x'; length];
        let cancelled = connection.submit(&Store::set("cancelled", &other).unwrap(), now(), 1).unwrap();
        assert!(connection.cancel(cancelled));
        if !is_early {
            written.extend(take(&mut connection, 10_000));
            assert!(connection.is_idle(), "all of the first one was written");
        }
        for (tag, key) in [(2, "a"), (3, "b")] {
            connection.submit(&Get::new(key).unwrap(), now(), tag).unwrap();
        }
        for _ in 0..4 {
            written.extend(take(&mut connection, 10_000));
        }
        assert!(connection.is_flushed() && written.ends_with(b"vvv\r\nget a\r\nget b\r\n"));
        assert_eq!(written.len(), "set big 0 0 1000\r\n\r\nget a\r\nget b\r\n".len() + value.len());
        let line = "SERVER_ERROR out of memory";
        let replies = feed(&mut connection, &format!("{line}\r\nEND\r\n")).unwrap();
        assert_eq!(replies, [(2, Reply::Refused(line.into()), true), (3, Reply::Miss, true)]);
        assert!(connection.is_idle());
    }
}
