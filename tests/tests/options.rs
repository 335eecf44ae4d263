//! What the options of a client change in the bytes it sends and accepts: prefix, lengths, limits.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod core;

use memcached2_testkit::assert_matches;
use std::io::IoSlice;

use memcached2_proto::call::Call;
use memcached2_proto::command::{NoReply, Stats};
use memcached2_proto::connection::ConnectionOptions;
use memcached2_proto::error::KeyProblem;
use memcached2_proto::operation::GetMany;
use memcached2_proto::reply::Decoder;
use memcached2_proto::{Connection, Data, Error, Get, Key, Landed, Limits, Options, Reply, Router, Store};

use self::core::{Talk, now};

const SERVERS: [&str; 3] = ["a", "b", "c"];

/// Writes all that a connection offers.
fn write(connection: &mut Connection) -> String {
    let mut slices = [IoSlice::new(&[]); 4];
    let count = connection.write_slices(&mut slices);
    let length = slices[..count].iter().map(|slice| slice.len()).sum();
    let text = slices[..count].iter().map(|slice| slice.escape_ascii().to_string()).collect();
    connection.advance_written(length);
    text
}

/// Reads what the server says.
fn read(connection: &mut Connection, bytes: &[u8]) {
    connection.read_buf()[..bytes.len()].copy_from_slice(bytes);
    connection.advance_read(bytes.len()).unwrap();
}

fn prefixed() -> Options {
    Options::default().prefix("shop:")
}

#[test]
fn a_prefix_stands_before_every_key_and_callers_never_see_it() {
    let mut connection = Connection::with_options(&ConnectionOptions::from(&prefixed()));
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    connection.submit(&Store::set("b", "x").unwrap(), now(), 1).unwrap();
    let router = Router::with_options(["one"], &prefixed()).unwrap();
    let mut call = Call::new(GetMany::new(&["c", "d"]).unwrap(), &router, now());
    let mut batch = call.batch(0).unwrap();
    call.submit(&mut batch, &mut connection, now());
    let expected = r"get shop:a\r\nset shop:b 0 0 1\r\nx\r\nget shop:c shop:d\r\n";
    assert_eq!(write(&mut connection), expected);
    read(&mut connection, b"VALUE shop:a 0 1\r\n1\r\nEND\r\nSTORED\r\n");
    let Ok(Some((0, Reply::Value(0, value), true))) = connection.next_reply() else { panic!("a value") };
    assert_eq!(value, "1");
    assert_eq!(connection.next_reply(), Ok(Some((1, Reply::Stored, true))));
    read(&mut connection, b"VALUE shop:d 0 1\r\n4\r\nEND\r\n");
    assert_eq!(call.take_replies(&mut batch, &mut connection), Ok(true));
    let found = call.finish().unwrap().into_result().unwrap();
    assert_eq!(
        found.into_iter().map(|hit| hit.map(|hit| hit.into_bytes())).collect::<Vec<_>>(),
        [None, Some("4".into())]
    );
}

#[test]
fn a_key_without_its_prefix_is_not_the_one_that_was_asked_for() {
    let mut connection = Connection::with_options(&ConnectionOptions::from(&prefixed()));
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    write(&mut connection);
    read(&mut connection, b"VALUE a 0 1\r\n1\r\nEND\r\n");
    assert!(matches!(connection.next_reply(), Err(Error::Protocol { .. })));
}

#[test]
fn a_prefix_that_holds_a_line_end_is_refused_before_a_byte_is_written() {
    for prefix in ["x\r\nflush_all\r\n", "two words "] {
        let mut connection = Connection::with_options(&ConnectionOptions::from(&Options::default().prefix(prefix)));
        let refused = [
            connection.submit(&Get::new("a").unwrap(), now(), 0).map(drop),
            connection.submit(&Store::set("b", "x").unwrap(), now(), 1).map(drop),
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::Key { problem: KeyProblem::Forbidden { .. }, .. })), "{result:?}");
        }
        assert_eq!(write(&mut connection), "");
    }
}

#[test]
fn a_key_that_is_too_long_with_its_prefix_fails_alone() {
    let long = "k".repeat(246);
    let is_right = |error: &Error| {
        matches!(error, Error::Key { problem: KeyProblem::TooLong { length: 251 }, key, .. } if key.starts_with("shop:kkk"))
            && error.landed() == Landed::NotSent
    };
    for servers in [&SERVERS[..1], &SERVERS] {
        let router = Router::with_options(servers, &prefixed()).unwrap();
        assert!(is_right(&router.route(Key::new(&long).unwrap()).unwrap_err()));
        assert!(router.route(Key::new(&long[1..]).unwrap()).is_ok());
        let keys = ["a", &long, "b"];
        let results = Call::new(GetMany::new(&keys).unwrap(), &router, now()).finish().unwrap();
        let ends: Vec<_> = results.iter().map(|result| result.is_err_and(is_right)).collect();
        assert_eq!(ends, [false, true, false]);
    }
    // No router is needed first.
    let mut connection = Connection::with_options(&ConnectionOptions::from(&prefixed()));
    for refused in [
        connection.submit(&Get::new(&long).unwrap(), now(), 0),
        connection.submit(&Store::set(&long, "x").unwrap(), now(), 0),
    ] {
        assert!(is_right(&refused.unwrap_err()));
    }
    connection.submit(&Get::new("a").unwrap(), now(), 0).unwrap();
    assert_eq!(write(&mut connection), r"get shop:a\r\n");
}

#[test]
fn a_prefix_decides_the_server_unless_the_option_is_off() {
    let server =
        |options: &Options, key: &str| Router::with_options(SERVERS, options).unwrap().route(Key::new(key).unwrap());
    let apart = prefixed().route_by_prefix(false);
    let mut moved = 0;
    for number in 0..100 {
        let key = format!("key{number}");
        let plain = server(&Options::default(), &key);
        assert_eq!(server(&prefixed(), &key), server(&Options::default(), &format!("shop:{key}")));
        assert_eq!(server(&apart, &key), plain);
        moved += usize::from(server(&prefixed(), &key) != plain);
    }
    assert!(moved > 40, "{moved} of 100 keys have another server");
}

#[test]
fn a_prefix_must_be_able_to_stand_before_a_key() {
    for (prefix, problem) in [
        ("two words", Some(KeyProblem::Forbidden { byte: b' ', position: 3 })),
        (&"p".repeat(250), Some(KeyProblem::TooLong { length: 251 })),
        (&"p".repeat(249), None),
        ("", None),
    ] {
        let refused = match Router::with_options(SERVERS, &Options::default().prefix(prefix)) {
            Ok(_) => None,
            Err(Error::Key { problem, .. }) => Some(problem),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(refused, problem, "{prefix}");
    }
}

#[test]
fn a_value_longer_than_the_client_sends_leaves_no_byte() {
    let mut connection =
        Connection::with_options(&ConnectionOptions::from(&Options::default().sent_value_limit(20_000)));
    let long = Data::from(vec![b'x'; 20_001]);
    for refused in [
        connection.submit(&Store::set("a", &long).unwrap(), now(), 0),
        connection.submit(&Store::set("a", long.as_bytes()).unwrap(), now(), 0),
        connection.submit(&NoReply(Store::add("a", &long).unwrap()), now(), 0),
    ] {
        assert_matches!(refused, Err(Error::TooLarge { length: 20_001, limit: 20_000, .. }));
    }
    assert_eq!(connection.write_slices(&mut [IoSlice::new(&[])]), 0);
    connection.submit(&Store::set("a", &long.as_bytes()[1..]).unwrap(), now(), 0).unwrap();
}

#[test]
fn no_keys_are_no_request() {
    let router = Router::with_options(SERVERS, &Options::default()).unwrap();
    let call = Call::new(GetMany::new(&[] as &[&str]).unwrap(), &router, now());
    assert!(call.batch(0).is_none());
    assert!(call.finish().unwrap().is_empty());
}

#[test]
fn a_store_without_an_answer_has_one_where_servers_may_read_its_value_as_commands() {
    let mut talk = Talk::default();
    talk.connection.submit(&NoReply(Store::set("a", "x").unwrap()), now(), 0).unwrap();
    assert_eq!(talk.write(usize::MAX), b"set a 0 0 1\r\nx\r\n");
    for (line, expected) in [("STORED\r\n", Ok(())), ("NOT_STORED\r\n", Ok(()))] {
        let reply = if line == "STORED\r\n" { Reply::Stored } else { Reply::NotStored };
        let request = NoReply(Store::set("a", "x").unwrap());
        assert_eq!(memcached2_proto::command::Command::answer(&request, reply), expected);
    }
}

#[test]
fn a_server_may_refuse_a_value_before_all_of_it_has_left() {
    let mut talk = Talk::default();
    talk.submit(b"set a 0 0 5\r\nhello\r\nget a\r\n");
    let mut written = Vec::new();
    talk.write_once(15, &mut written);
    talk.read(b"SERVER_ERROR object too large for cache\r\n");
    assert_eq!(talk.results, ["refused SERVER_ERROR object too large for cache"]);
    written.extend(talk.write(usize::MAX));
    assert_eq!(written, b"set a 0 0 5\r\nhello\r\nget a\r\n");
    talk.read(b"END\r\n");
    assert_eq!(talk.finish()[1..], ["miss", "in step"]);
}

#[test]
fn statistics_without_an_end_are_cut_off() {
    const LIMIT: usize = 100_000;
    let mut limits = Limits::default();
    limits.stats = LIMIT;
    let mut talk = Talk::new(limits);
    talk.connection.submit(&Stats::general(), now(), 0).unwrap();
    talk.write(usize::MAX);
    let line = b"STAT pid 1\r\n";
    for _ in 0..1_000_000 {
        talk.read(line);
    }
    assert!(matches!(&talk.failed, Some((Error::Protocol { what, .. }, false)) if what.contains("100000")));
    assert!(talk.accepted <= LIMIT / 7 * line.len() + Decoder::BUFFER, "{} bytes were taken", talk.accepted);
}
