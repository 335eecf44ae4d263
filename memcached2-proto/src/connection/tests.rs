//! A connection of a program that has run out of memory.

mod misuse;
mod own_commands;
mod together;
mod unsent;

use std::io::IoSlice;
use std::time::SystemTime;

use super::*;
use crate::call::Call;
use crate::call::Operation;
use crate::command::Get;
use crate::operation::GetMany;
use crate::reply::Reply;
use crate::routing::Router;
use crate::time::Instant;

/// More than is made room for before it comes.
const LENGTH: usize = 3 * 1024 * 1024;

fn now() -> Now {
    Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)
}

/// A connection without memory for large values.
fn connection() -> Connection {
    let mut connection = Connection::new(Limits::default());
    connection.decoder.run_out_of_memory();
    connection
}

fn write(connection: &mut Connection) {
    let mut slices = [IoSlice::new(&[]); 4];
    let count = connection.write_slices(&mut slices);
    let written = slices[..count].iter().map(|slice| slice.len()).sum();
    connection.advance_written(written);
}

fn read(connection: &mut Connection, mut bytes: &[u8], mut take: impl FnMut(&mut Connection)) {
    while !bytes.is_empty() {
        let space = connection.read_buf();
        let n = space.len().min(bytes.len());
        space[..n].copy_from_slice(&bytes[..n]);
        connection.advance_read(n).unwrap();
        bytes = &bytes[n..];
        take(connection);
    }
}

/// The output of a call, to which the server says this.
fn answered<O: Operation>(operation: O, bytes: &[u8]) -> Result<O::Output, Error> {
    let router = Router::parse(["server"]).unwrap();
    let (mut connection, mut call) = (connection(), Call::new(operation, &router, now()));
    let mut batch = call.batch(0).unwrap();
    call.submit(&mut batch, &mut connection, now());
    write(&mut connection);
    read(&mut connection, bytes, |connection| {
        call.take_replies(&mut batch, connection).unwrap();
    });
    assert!(batch.is_done() && connection.is_idle());
    call.end_round(|| Instant::ZERO);
    call.finish()
}

/// A large value, and what comes before and after it.
fn large(before: &str, behind: &str) -> Vec<u8> {
    [before.as_bytes(), format!("VALUE b 0 {LENGTH}\r\n").as_bytes(), &vec![b'v'; LENGTH], b"\r\n", behind.as_bytes()]
        .concat()
}

#[test]
fn the_other_callers_of_a_connection_go_on_when_there_is_no_memory_for_a_value() {
    let mut connection = connection();
    for (tag, key) in (0..).zip(["b", "c"]) {
        connection.submit(&Get::new(key).unwrap(), now(), tag).unwrap();
    }
    write(&mut connection);
    let mut replies = Vec::new();
    read(&mut connection, &large("", "END\r\nEND\r\n"), |connection| {
        replies.extend(std::iter::from_fn(|| connection.next_reply().unwrap()));
    });
    assert_eq!(replies, [(0, Reply::NoMemory(0, LENGTH), true), (1, Reply::Miss, true)]);
    assert!(connection.is_idle());
}

#[test]
fn a_get_without_memory_says_so_and_has_had_no_effect() {
    let error = answered(Get::new("b").unwrap(), &large("", "END\r\n")).unwrap_err();
    assert!(error.to_string().contains("there is no memory for a value of 3145728 bytes"), "{error}");
    assert_eq!((error.landed(), error.key(), error.server()), (Landed::NotSent, Some("b"), Some("server:11211")));
}

#[test]
fn of_several_keys_the_one_without_memory_fails_alone() {
    let stream = large("VALUE a 0 1\r\nx\r\n", "VALUE c 0 1\r\ny\r\nEND\r\n");
    let results: Vec<_> =
        answered(GetMany::new(&["a", "b", "c", "d"]).unwrap(), &stream).unwrap().into_iter().collect();
    let error = results[1].as_ref().unwrap_err();
    assert!(error.to_string().contains("there is no memory for a value of 3145728 bytes"), "{error}");
    assert_eq!((error.landed(), error.key(), error.command()), (Landed::NotSent, Some("b"), Some("get")));
    let found: Vec<_> = results.iter().flatten().flatten().map(|value| value.data()).collect();
    assert_eq!((found, &results[3]), (vec![&b"x"[..], b"y"], &Ok(None)));
}

#[test]
fn a_value_over_the_limit_is_not_sent_however_the_connection_was_made() {
    let limits = Limits { sent_value: 3, ..Limits::default() };
    let options = ConnectionOptions { limits, ..ConnectionOptions::default() };
    for mut connection in [Connection::new(limits), Connection::with_options(&options)] {
        let too_large = connection.submit(&crate::command::Store::set("key", "four").unwrap(), now(), 0);
        assert!(matches!(too_large, Err(Error::TooLarge { .. })), "{too_large:?}");
        assert_eq!(connection.submit(&crate::command::Store::set("key", "one").unwrap(), now(), 0), Ok(0));
    }
}
