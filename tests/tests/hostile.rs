//! Servers that lie, stop or never end: memory is bounded, nothing panics, nothing after a lie is used, and each
//! request has an exact outcome.
#![allow(clippy::panic, clippy::expect_used)]

mod core;

use memcached2_proto::reply::Decoder;
use memcached2_proto::{Connection, Error, Get, Landed, Limits, Reply, Store};

use self::core::{Talk, assert_spoilt, kind, now};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Reads from a server that sends the same bytes again and again; returns how many of them were taken.
fn flood(talk: &mut Talk, bytes: &[u8], total: usize) -> usize {
    for _ in 0..total / bytes.len() {
        talk.read(bytes);
        if talk.failed.is_some() {
            break;
        }
    }
    talk.accepted
}

#[test]
fn a_line_without_an_end_is_given_up_at_the_limit() {
    for (piece, asked) in [(64 * KIB, "get a\r\n"), (1000, "get a\r\n"), (1, "version\r\n"), (64 * KIB, "")] {
        let mut talk = Talk::said(asked.as_bytes());
        let limit = Limits::default().line;
        let accepted = flood(&mut talk, &vec![b'x'; piece], 1 << 30);
        let most = match piece {
            ..KIB => limit + piece,
            _ => Decoder::BUFFER,
        };
        assert!(accepted <= most, "{accepted} bytes were taken in pieces of {piece}");
        let (error, _) = talk.failed.take().expect("a line without an end is an error");
        assert_eq!(kind(&error), "protocol");
        assert!(error.to_string().len() < 512, "the message repeats what the server sent");
        assert_spoilt(&mut talk.connection);
    }
}

#[test]
fn a_line_may_be_as_long_as_the_limit_says() {
    for (limit, longest) in [(100, 100), (8 * KIB, 8 * KIB), (1 << 30, 12 * KIB)] {
        for (length, fits) in [(longest, true), (longest + 1, false)] {
            let mut limits = Limits::default();
            limits.line = limit;
            for piece in [1, usize::MAX] {
                let mut talk = Talk::new(limits);
                talk.submit(b"version\r\n");
                talk.write(usize::MAX);
                // The length counts the CR.
                let text = "x".repeat(length - "VERSION ".len() - 1);
                format!("VERSION {text}\r\n").as_bytes().chunks(piece).for_each(|bytes| talk.read(bytes));
                assert_eq!(talk.failed.is_none(), fits, "{length} bytes, limit {limit}");
            }
        }
    }
}

#[test]
fn an_announced_length_is_refused_before_its_data_comes() {
    let length = ["-1", "1073741825", "2147483647", "4294967296", "18446744073709551616", "99999999999999999999"];
    let value = length.map(|length| ("get a\r\n", format!("VALUE a 0 {length}\r\n")));
    let values = length.map(|length| ("get a b\r\n", format!("VALUE b 0 {length}\r\n")));
    let meta = length.map(|length| ("mg a f v O0000\r\n", format!("VA {length} f0 O0000\r\n")));
    for (asked, line) in value.iter().chain(&values).chain(&meta) {
        let mut talk = Talk::said(asked.as_bytes());
        talk.read(line.as_bytes());
        let (error, _) = talk.failed.take().unwrap_or_else(|| panic!("{line:?} is accepted"));
        assert_eq!(kind(&error), "protocol", "{line:?}");
        assert!(talk.connection.read_buf().len() <= Decoder::BUFFER, "{line:?} made room");
        assert_spoilt(&mut talk.connection);
    }
}

#[test]
fn the_limit_of_a_value_is_the_longest_that_is_taken() {
    let mut limits = Limits::default();
    limits.value = 10_000;
    for (length, expected) in [(10_000, "hit 0 10000 bytes"), (10_001, "protocol, unknown")] {
        let mut talk = Talk::new(limits);
        talk.submit(b"get a\r\n");
        talk.write(usize::MAX);
        talk.read(format!("VALUE a 0 {length}\r\n{}\r\nEND\r\n", "v".repeat(length)).as_bytes());
        assert_eq!(talk.finish()[0], expected);
    }
}

#[test]
fn an_answer_to_what_was_not_written_ends_the_connection() {
    let set = "set a 0 0 5\r\nhello\r\n";
    for (asked, written, answer) in [
        (set, 0, "STORED\r\n"),
        (set, 0, "SERVER_ERROR object too large for cache\r\n"),
        (set, set.len() - 1, "STORED\r\n"),
        ("get a\r\n", 0, "END\r\n"),
        ("get a\r\n", 0, "ERROR\r\n"),
        ("get a\r\n", 6, "VALUE a 0 1\r\nx\r\nEND\r\n"),
        ("get a b\r\n", 8, "VALUE a 0 1\r\nx\r\n"),
        ("mg a f v O0000\r\n", 3, "EN O0000\r\n"),
        ("incr n 1\r\n", 3, "1\r\n"),
        ("version\r\n", 0, "VERSION 1.6.45\r\n"),
    ] {
        let mut talk = Talk::default();
        talk.submit(asked.as_bytes());
        talk.write_once(written, &mut Vec::new());
        talk.read(answer.as_bytes());
        let told = talk.finish();
        let lost = if asked.starts_with("get a b") { "protocol | protocol" } else { "protocol, not sent" };
        assert_eq!(told, [lost, "broken: protocol"], "{answer:?} after {written} bytes of {asked:?}");
    }
}

#[test]
fn the_values_of_several_keys_may_come_before_the_last_key_is_asked_for() {
    let asked = b"get a\r\nmg b k f v O0000\r\n";
    for written in 7..=asked.len() {
        let mut talk = Talk::default();
        talk.submit(asked);
        talk.write_once(written, &mut Vec::new());
        talk.read(b"VALUE a 0 1\r\nx\r\nEND\r\n");
        assert!(talk.failed.is_none(), "after {written} bytes: {:?}", talk.failed);
        talk.write(usize::MAX);
        talk.read(b"EN O0000\r\n");
        assert_eq!(talk.finish(), ["hit 0 \"x\" | miss", "in step"]);
    }
}

#[test]
fn several_keys_that_get_an_expiry_may_have_it_before_the_last_one_is_asked_for() {
    let asked = b"gat 9 a\r\nmg b k f v T9 O0000\r\n";
    for written in 0..asked.len() {
        let mut talk = Talk::default();
        talk.submit(asked);
        talk.write_once(written, &mut Vec::new());
        let landed = if written < 9 { Landed::NotSent } else { Landed::Unknown };
        assert!(talk.connection.fail_pending().all(|abandoned| abandoned.landed == landed), "{written} bytes");
    }
}

#[test]
fn a_refused_block_that_is_half_written_is_written_to_its_end() {
    let value = vec![b'v'; 40 * KIB];
    for half in [1, 20, 20 * KIB, 40 * KIB] {
        let mut talk = Talk::default();
        talk.submit(&[b"set a 0 0 40960\r\n", &value[..], b"\r\nget b\r\n"].concat());
        let mut written = Vec::new();
        talk.write_once(half, &mut written);
        talk.read(b"SERVER_ERROR object too large for cache\r\n");
        assert_eq!(talk.results, ["refused SERVER_ERROR object too large for cache"]);
        assert!(!talk.connection.is_flushed());
        written.extend(talk.write(usize::MAX));
        assert_eq!(written, [b"set a 0 0 40960\r\n", &value[..], b"\r\nget b\r\n"].concat(), "{half} bytes first");
        talk.read(b"END\r\n");
        assert_eq!(talk.finish()[1..], ["miss", "in step"]);
    }
}

#[test]
fn a_line_while_the_rest_of_a_refused_block_is_written_is_unasked() {
    let mut talk = Talk::default();
    talk.submit(b"set a 0 0 5\r\nhello\r\nget b\r\n");
    talk.write_once(15, &mut Vec::new());
    talk.read(b"SERVER_ERROR out of memory storing object\r\nEND\r\n");
    let told = talk.finish();
    assert_eq!(told[1..], ["protocol, not sent", "broken: protocol"]);
}

#[test]
fn an_abandoned_request_says_whether_it_was_written_whole() {
    let asked = "set a 0 0 1\r\nx\r\nget b\r\nset c 0 0 20\r\n01234567890123456789\r\nincr d 1\r\n";
    let ends = [16, 23, 59, 69];
    assert_eq!(asked.len(), ends[3]);
    for written in 0..=asked.len() {
        let mut talk = Talk::default();
        talk.submit(asked.as_bytes());
        let mut bytes = Vec::new();
        while bytes.len() < written {
            talk.write_once(written - bytes.len(), &mut bytes);
        }
        let abandoned: Vec<_> =
            talk.connection.fail_pending().map(|gone| (gone.tag, gone.landed, gone.stale)).collect();
        let landed = |end| if end <= written { Landed::Unknown } else { Landed::NotSent };
        let expected: Vec<_> = (0..).zip(ends).map(|(tag, end)| (tag, landed(end), false)).collect();
        assert_eq!(abandoned, expected, "{written} bytes were written");
        assert_spoilt(&mut talk.connection);
    }
}

#[test]
fn what_was_answered_is_not_abandoned_and_what_found_a_dead_connection_is_stale() {
    for (came, first_is_stale) in [("STORED\r\n", true), ("STORED\r\nE", false)] {
        let mut talk = Talk::said(b"set a 0 0 1\r\nx\r\n");
        talk.submit(b"get b\r\nget c\r\n");
        talk.write_once(7, &mut Vec::new());
        talk.read(came.as_bytes());
        talk.end();
        let abandoned: Vec<_> =
            talk.connection.fail_pending().map(|gone| (gone.tag, gone.landed, gone.stale)).collect();
        assert_eq!(abandoned, [(1, Landed::Unknown, first_is_stale), (2, Landed::NotSent, true)], "{came:?}");
    }
}

#[test]
fn a_full_server_has_read_nothing() {
    for written in [0, 5, 16] {
        let mut talk = Talk::default();
        talk.submit(b"set a 0 0 1\r\nx\r\nget b\r\n");
        talk.write_once(written, &mut Vec::new());
        talk.read(b"ERROR Too many open connections\r\n");
        let told = talk.finish();
        assert_eq!(told, ["connect, not sent", "connect, not sent", "broken: connect"], "{written} bytes were written");
    }
}

/// A value of 100 MB that arrives in pieces of at most `most` bytes; returns how many there were.
fn read_in_pieces(most: usize) -> usize {
    const LENGTH: usize = 100 * MIB;
    let mut connection = Connection::new(Limits::default());
    connection.submit(&Get::new("a").expect("a key"), now(), 7).expect("a request");
    let mut slices = [std::io::IoSlice::new(&[])];
    assert_eq!(connection.write_slices(&mut slices), 1);
    connection.advance_written(7);
    let header = format!("VALUE a 3 {LENGTH}\r\n");
    connection.read_buf()[..header.len()].copy_from_slice(header.as_bytes());
    connection.advance_read(header.len()).expect("the stream goes on");
    assert_eq!(connection.next_reply(), Ok(None));
    let mut left = LENGTH + b"\r\nEND\r\n".len();
    let (mut pieces, mut begun) = (0, Vec::new());
    while left > 0 {
        let space = connection.read_buf();
        // At most four times the bytes that have come.
        let come = LENGTH + b"\r\nEND\r\n".len() - left;
        assert!(space.len() <= left && space.len() <= MIB.max(3 * come), "{} bytes of space", space.len());
        let n = most.min(space.len());
        // The first byte of each piece is its place.
        space[..n].fill(b'v');
        space[0] = pieces as u8;
        begun.push((come, pieces as u8));
        if left == n {
            space[n - 7..n].copy_from_slice(b"\r\nEND\r\n");
        }
        left -= n;
        pieces += 1;
        connection.advance_read(n).expect("the stream goes on");
        match connection.next_reply().expect("a value") {
            None => assert!(left > 0, "the value is complete"),
            Some((tag, Reply::Value(0, value), last)) => {
                assert_eq!((left, tag, last, value.flags, value.data().len()), (0, 7, true, 3, LENGTH));
                begun.retain(|(at, _)| *at < LENGTH);
                let is_there = |(at, piece): &(usize, u8)| value.data()[*at] == *piece;
                assert!(begun.iter().all(is_there), "a piece is out of its place");
            }
            Some(other) => panic!("{other:?} is no value"),
        }
    }
    assert!(connection.is_idle());
    pieces
}

#[test]
fn a_large_value_is_read_where_it_stays() {
    // Room for 1, 4, 16, 64 and 100 MiB.
    assert_eq!(read_in_pieces(usize::MAX), 5);
    assert!(read_in_pieces(16 * KIB) <= (100 * MIB).div_ceil(16 * KIB) + 5);
}

#[test]
fn error_lines_without_end_are_no_answer() {
    for asked in ["get a b\r\n", "get a b\r\nmg c k f v O0000\r\n"] {
        let mut talk = Talk::said(asked.as_bytes());
        let accepted = flood(&mut talk, b"SERVER_ERROR backend failure\r\n", 100 * KIB);
        assert!(accepted <= 200, "{accepted} bytes of error lines are an answer to {asked:?}");
        assert!(matches!(talk.failed, Some((Error::Protocol { .. }, false))), "{:?}", talk.failed);
    }
}

#[test]
fn the_value_of_a_cancelled_get_takes_no_memory() {
    let mut talk = Talk::said(b"get a\r\nget b\r\n");
    talk.connection.cancel(0);
    talk.read(format!("VALUE a 0 {}\r\n", 100 * MIB).as_bytes());
    assert_eq!(talk.connection.draining(), 0, "the second request is waited for");
    let piece = [b'v'; 16 * KIB];
    for _ in 0..100 * MIB / piece.len() {
        talk.read(&piece);
        assert!(talk.connection.read_buf().len() <= Decoder::BUFFER);
    }
    talk.read(b"\r\nEND\r\nEND\r\n");
    assert_eq!(talk.finish(), ["cancelled", "miss", "in step"]);
}

#[test]
fn a_pipeline_of_everything_may_break_at_every_byte() {
    let asked = b"get a\r\nset b 0 0 1\r\nx\r\nget a b\r\nmg c f v O0003\r\nms e 1 O0004\r\nz\r\nma n MI D1 v O0005\r\nmd f O0006\r\nget g\r\nmg h k f v O0007\r\ntouch i 0\r\nmd i C18446744073709551615 O0008\r\nincr n 1\r\ndelete d\r\nversion\r\n";
    let answer = b"VALUE a 0 1\r\nx\r\nEND\r\nSTORED\r\nVALUE b 0 1\r\ny\r\nEND\r\nVA 1 f0 O0003\r\nz\r\nHD O0004\r\nVA 1 O0005\r\n7\r\nNF O0006\r\nVALUE g 0 1\r\ny\r\nEND\r\nVA 1 kh f0 O0007\r\nx\r\nTOUCHED\r\nNF O0008\r\n5\r\nDELETED\r\nVERSION 1\r\n";
    let mut whole = Talk::said(asked);
    whole.read(answer);
    assert_eq!(whole.finish().last().map(String::as_str), Some("in step"));
    // Every byte is replaced by bytes with a meaning in the protocol; each request still has exactly one result.
    for at in 0..answer.len() {
        for byte in [0, b'\n', b'\r', b' ', b'0', b'9', b'-', b'E', b'V', 0x80, 0xff] {
            let mut bytes = answer.to_vec();
            bytes[at] = byte;
            let mut talk = Talk::said(asked);
            talk.read(&bytes);
            talk.end();
            let told = talk.finish();
            assert_eq!(told.len(), 13, "byte {at} is {byte}: {told:?}");
        }
    }
}

#[test]
fn a_failed_connection_has_no_reply_that_came_after_the_failure() {
    let mut talk = Talk::said(b"get a\r\nget b\r\n");
    let lie = b"VALUE zzz 0 1\r\nx\r\nEND\r\nVALUE b 0 1\r\ny\r\nEND\r\n";
    talk.connection.read_buf()[..lie.len()].copy_from_slice(lie);
    talk.connection.advance_read(lie.len()).expect("the stream goes on");
    for _ in 0..3 {
        let error = talk.connection.next_reply().expect_err("a key that was not asked");
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
    assert_spoilt(&mut talk.connection);
    let set = Store::set("a", b"x").expect("a key");
    assert!(talk.connection.submit(&set, now(), 0).is_err());
    assert_eq!(talk.connection.fail_pending().count(), 2);
    assert_eq!(talk.connection.fail_pending().count(), 0);
}
