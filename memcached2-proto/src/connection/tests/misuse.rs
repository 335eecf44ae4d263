//! What a transport says wrongly, in the wrong order, or too late.

use bytes::Bytes;

use super::*;
use crate::command::Store;
use crate::data::Data;

/// What is written if a transport says each time that more was written than it was offered.
fn written(connection: &mut Connection, more: usize) -> Vec<u8> {
    let mut written = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = connection.write_slices(&mut slices);
        if count == 0 {
            return written;
        }
        let before = written.len();
        slices[..count].iter().for_each(|slice| written.extend_from_slice(slice));
        connection.advance_written((written.len() - before).saturating_add(more));
    }
}

#[test]
fn bytes_that_were_not_offered_do_not_count_as_written() {
    for more in [0, 1, 9, 30_000, usize::MAX] {
        let mut connection = Connection::new(Limits::default());
        let (large, mut expected) = (Bytes::from(vec![b'v'; Data::SHARED_MIN]), Vec::new());
        for tag in 0..30 {
            let (ticket, bytes) = match tag % 3 {
                0 => (connection.submit(&Get::new("key").unwrap(), now(), tag), b"get key\r\n".to_vec()),
                1 => {
                    let bytes = [b"set key 0 0 16384\r\n", &large[..], b"\r\n"].concat();
                    (connection.submit(&Store::set("key", &large).unwrap(), now(), tag), bytes)
                }
                _ => {
                    let store = Store::set("key", "value").unwrap();
                    (connection.submit(&store, now(), tag), b"set key 0 0 5\r\nvalue\r\n".to_vec())
                }
            };
            match tag % 5 {
                4 => assert!(connection.cancel(ticket.unwrap())),
                _ => expected.extend(bytes),
            }
        }
        let mut sent = written(&mut connection, more);
        assert!(!connection.is_flushed(), "the window is full");
        let mut count = 0;
        while let Some(front) = connection.in_flight.front() {
            // It makes room.
            let reply: &[u8] = if front.reply_kind == ReplyKind::Value { b"END\r\n" } else { b"STORED\r\n" };
            connection.feed(reply, |_, _, _| count += 1).unwrap();
            sent.extend(written(&mut connection, more));
        }
        assert!(sent == expected, "{} bytes of {}, {more} more", sent.len(), expected.len());
        assert_eq!((count, connection.is_idle()), (24, true));
    }
}

#[test]
fn bytes_for_which_there_was_no_room_do_not_count_as_read() {
    for more in [1, Decoder::BUFFER, usize::MAX] {
        // A small reply, and one that has a buffer of its own.
        for come in [&b"VALUE a 0 1\r\n"[..], b"VALUE a 0 100000\r\nx"] {
            let mut connection = Connection::new(Limits::default());
            connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
            write(&mut connection);
            connection.feed(come, |_, _, _| {}).unwrap();
            let room = connection.read_buf().len();
            connection.advance_read(room.saturating_add(more)).unwrap();
            assert!(connection.next_reply().is_err(), "zeros are no end of a value");
            assert_eq!(connection.bytes_in(), (come.len() + room) as u64);
        }
    }
}

#[test]
fn a_ticket_that_no_request_has_cancels_nothing() {
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(Protocol::Meta);
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut connection);
    connection.feed(b"SERVER_ERROR out of memory\r\n", |_, _, _| panic!("it is not sure yet")).unwrap();
    // The connection's own `mn` is in front, and has no ticket.
    for ticket in [0, 1, 2, u64::MAX - 1, u64::MAX] {
        assert!(!connection.cancel(ticket) && !connection.is_silent_since(ticket), "{ticket}");
    }
    write(&mut connection);
    let mut replies = Vec::new();
    connection.feed(b"MN\r\n", |tag, reply, last| replies.push((tag, reply, last))).unwrap();
    assert_eq!(replies, [(0, Reply::Refused("SERVER_ERROR out of memory".into()), true)]);
}

#[test]
fn what_comes_after_a_failure_is_no_reply() {
    let mut connection = Connection::new(Limits::default());
    for tag in 0..3 {
        connection.submit(&Get::new("a").unwrap(), now(), tag).unwrap();
    }
    write(&mut connection);
    let mut replies = Vec::new();
    let mut feed =
        |connection: &mut Connection, bytes: &[u8]| connection.feed(bytes, |tag, reply, _| replies.push((tag, reply)));
    let error = feed(&mut connection, b"END\r\nWHAT\r\n").unwrap_err();
    // More than there is room for.
    for _ in 0..3 {
        assert_eq!(feed(&mut connection, &b"END\r\n".repeat(Decoder::BUFFER)), Err(error.clone()));
        assert!(connection.submit(&Get::new("a").unwrap(), now(), 9).is_err());
        assert!(connection.take_outgoing().is_none() && !connection.is_idle());
    }
    assert_eq!(replies, [(0, Reply::Miss)]);
    assert_eq!((connection.fail_pending().count(), connection.fail_pending().count()), (2, 0));
    assert_eq!(connection.feed(b"END\r\n", |_, _, _| panic!("a reply to nobody")), Err(error));
}
