//! Cancelled requests that were not written, and calls dropped at any point: the other ones are not affected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../certificates/mod.rs"]
mod certificates;
mod drop_points;

use std::io::IoSlice;
use std::time::SystemTime;

use memcached2_proto::command::Touch;
use memcached2_proto::{Connection, Data, Delete, Expiry, Get, Instant, Landed, Limits, Now, Protocol, Reply, Store};

/// The bytes of a request, and its reply.
type Exchange = (Vec<u8>, &'static str);

/// Two of them are long enough for their memory to be given back; they are shared, not copied.
fn large() -> Vec<u8> {
    vec![b'x'; Data::SHARED_MIN.max(80 * 1024)]
}

/// Requests of all kinds: what they are on the wire, and what answers them.
fn submit_classic(connection: &mut Connection) -> Vec<Exchange> {
    submit_stores(connection, &Data::from(large()))
}

/// The same with values that are copied.
fn submit_copied(connection: &mut Connection) -> Vec<Exchange> {
    submit_stores(connection, &Data::from(&large()[..]))
}

fn submit_stores(connection: &mut Connection, shared: &Data<'_>) -> Vec<Exchange> {
    let now = Now::new(Instant::ZERO, SystemTime::now);
    let large = large();
    let set = |key: &str, data: &[u8]| [format!("set {key} 0 0 {}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
    let taken = "a request";
    connection.submit(&Get::new("a").expect(taken), now, 0).expect(taken);
    connection.submit(&Store::set("b", shared).expect(taken), now, 1).expect(taken);
    connection.submit(&Store::set("c", "small").expect(taken), now, 2).expect(taken);
    connection.submit(&Store::set("d", shared).expect(taken), now, 3).expect(taken);
    connection.submit(&Get::new("e").expect(taken), now, 4).expect(taken);
    connection.submit(&Delete::new("f").expect(taken), now, 5).expect(taken);
    vec![
        (b"get a\r\n".to_vec(), "VALUE a 0 1\r\n1\r\nEND\r\n"),
        (set("b", &large), "STORED\r\n"),
        (set("c", b"small"), "STORED\r\n"),
        (set("d", &large), "STORED\r\n"),
        (b"get e\r\n".to_vec(), "VALUE e 0 1\r\n5\r\nEND\r\n"),
        (b"delete f\r\n".to_vec(), "DELETED\r\n"),
    ]
}

/// The same in the meta protocol, where some have a fence.
fn submit_meta(connection: &mut Connection) -> Vec<Exchange> {
    let now = Now::new(Instant::ZERO, SystemTime::now);
    let large = large();
    let shared = Data::from(large.clone());
    let request = |line: &str, end: &str| [line.as_bytes(), &large, end.as_bytes()].concat();
    let length = large.len();
    let taken = "a request";
    connection.set_protocol(Protocol::Meta);
    connection.submit(&Get::new("a").expect(taken), now, 0).expect(taken);
    connection.submit(&Store::add("b", &shared).expect(taken), now, 1).expect(taken);
    connection.submit(&Touch::new("c", Expiry::Never).expect(taken), now, 2).expect(taken);
    connection.submit(&Store::set("d", &shared).expect(taken), now, 3).expect(taken);
    connection.submit(&Store::append("e", "y").expect(taken), now, 4).expect(taken);
    connection.submit(&Delete::new("f").expect(taken), now, 5).expect(taken);
    vec![
        (b"mg a f v O0000\r\n".to_vec(), "VA 1 f0 O0000\r\n1\r\n"),
        (
            request(&format!("add b 0 0 {length}\r\n"), "\r\nmd b C18446744073709551615 O0001\r\n"),
            "STORED\r\nEX O0001\r\n",
        ),
        (b"touch c 0\r\nmd c C18446744073709551615 O0002\r\n".to_vec(), "TOUCHED\r\nEX O0002\r\n"),
        (request(&format!("ms d {length} O0003\r\n"), "\r\n"), "HD O0003\r\n"),
        (b"append e 0 0 1\r\ny\r\nmd e C18446744073709551615 O0004\r\n".to_vec(), "NOT_STORED\r\nNF O0004\r\n"),
        (b"md f O0005\r\n".to_vec(), "HD O0005\r\n"),
    ]
}

/// Writes at most this many bytes of what is offered.
fn write(connection: &mut Connection, at_most: usize, out: &mut Vec<u8>) {
    let mut left = at_most;
    while left > 0 {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = connection.write_slices(&mut slices);
        let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        if offered.is_empty() {
            return;
        }
        let n = offered.len().min(left);
        out.extend_from_slice(&offered[..n]);
        connection.advance_written(n);
        left -= n;
    }
}

#[test]
fn the_other_requests_are_written_and_answered_whichever_are_taken_back() {
    for submit in [submit_classic, submit_copied, submit_meta] {
        assert_the_others_are_answered(submit);
    }
}

fn assert_the_others_are_answered(submit: fn(&mut Connection) -> Vec<Exchange>) {
    for which in 0..64u64 {
        for written in [0, 3, 7, 20, 20_000, 90_000] {
            let mut connection = Connection::new(Limits::default());
            let requests = submit(&mut connection);
            let mut out = Vec::new();
            write(&mut connection, written, &mut out);
            let mut end = 0;
            let mut expected = (Vec::new(), Vec::new(), String::new());
            for (at, (bytes, reply)) in (0..).zip(&requests) {
                let begun = end < out.len();
                end += bytes.len();
                let taken_back = which & 1 << at != 0 && {
                    assert_eq!(connection.cancel(at), !begun, "request {at} of {which:06b} after {written} bytes");
                    if at % 2 == 1 {
                        connection.reclaim();
                    }
                    !begun
                };
                if !taken_back {
                    expected.0.extend_from_slice(bytes);
                    expected.1.push((at as u32, which & 1 << at != 0));
                    expected.2.push_str(reply);
                }
            }
            write(&mut connection, usize::MAX, &mut out);
            let mut answered = Vec::new();
            let mut reply = expected.2.as_bytes();
            while !reply.is_empty() {
                connection.read_buf()[0] = reply[0];
                connection.advance_read(1).expect("an open stream");
                reply = &reply[1..];
                while let Some((tag, reply, _)) = connection.next_reply().expect("the right replies") {
                    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
                    answered.push((tag, matches!(reply, Reply::Cancelled)));
                }
                // What did not fit the window goes now.
                write(&mut connection, usize::MAX, &mut out);
            }
            assert!(out == expected.0, "{which:06b} after {written} bytes");
            assert_eq!(connection.next_reply(), Ok(None));
            assert_eq!(answered, expected.1, "{which:06b} after {written} bytes");
            assert!(connection.is_idle() && !connection.is_busy(), "{which:06b} after {written} bytes");
            assert_eq!(connection.fail_pending().count(), 0);
        }
    }
}

/// Each costs the same, however many there are, and their memory is given back.
#[test]
fn many_cancelled_requests_leave_nothing_in_memory() {
    const MANY: u64 = 20_000;
    let now = Now::new(Instant::ZERO, SystemTime::now);
    let mut connection = Connection::new(Limits::default());
    let store = Store::set("key", &[b'x'; 1000][..]).expect("a key");
    let tickets: Vec<_> = (0..MANY).map(|_| connection.submit(&store, now, 0).expect("a request")).collect();
    assert!(tickets.iter().copied().eq(0..MANY));
    let length = connection.unsent();
    write(&mut connection, 1, &mut Vec::new());
    assert_eq!(connection.unsent(), length - 1);
    // From the middle outwards, and all but the first, of which a byte was written.
    let outwards = (1..MANY / 2).rev().zip(MANY / 2..MANY).flat_map(|(before, behind)| [before, behind]);
    assert!(outwards.chain([MANY - 1]).filter(|ticket| connection.cancel(*ticket)).count() as u64 == MANY - 1);
    connection.reclaim();
    assert_eq!(connection.unsent(), length / MANY - 1);
    let mut out = Vec::new();
    write(&mut connection, usize::MAX, &mut out);
    assert_eq!(out.len() as u64, length / MANY - 1);
    assert!(connection.is_flushed());
    assert_eq!(connection.next_ticket(), MANY);
}

/// A server carries a request out once it has all of it but the fence, which only shows that it has.
#[test]
fn a_request_may_have_landed_as_soon_as_all_of_it_but_its_fence_was_written() {
    let now = Now::new(Instant::ZERO, SystemTime::now);
    let store = Store::append("key", "value").expect("a key");
    let touch = Touch::new("key", Expiry::Never).expect("a key");
    for (with_data, carried_out) in [(true, "append key 0 0 5\r\nvalue\r\n"), (false, "touch key 0\r\n")] {
        for written in 0..=carried_out.len() + "md key C18446744073709551615 O0000\r\n".len() {
            let mut connection = Connection::new(Limits::default());
            connection.set_protocol(Protocol::Meta);
            let submitted = match with_data {
                true => connection.submit(&store, now, 0),
                false => connection.submit(&touch, now, 0),
            };
            submitted.expect("a request");
            let mut out = Vec::new();
            write(&mut connection, written, &mut out);
            assert_eq!((out.len(), connection.cancel(0)), (written, written == 0));
            let landed: Vec<_> = connection.fail_pending().map(|abandoned| abandoned.landed).collect();
            let expected = match written {
                0 => vec![],
                _ if written < carried_out.len() => vec![Landed::NotSent],
                _ => vec![Landed::Unknown],
            };
            assert_eq!(landed, expected, "{written} bytes");
        }
    }
}

#[test]
fn a_call_on_tokio_may_be_dropped_at_every_point() {
    drop_points::everywhere::<memcached2_tokio::Client>(None);
}

#[test]
fn a_call_on_async_std_may_be_dropped_at_every_point() {
    drop_points::everywhere::<memcached2_async_std::Client>(None);
}
