//! Requests that are taken back before they are written: the others go their way.
#![expect(clippy::expect_used, reason = "in a test a panic is the failure")]

use std::io::IoSlice;
use std::time::{Instant, SystemTime};

use memcached2_proto::{Connection, Data, Delete, Get, Limits, Now, Reply, Store};

/// Requests of all kinds: what they are on the wire, and what answers them.
fn submit(connection: &mut Connection) -> Vec<(Vec<u8>, &'static str)> {
    let now = Now::new(Instant::now(), SystemTime::now);
    let large = vec![b'x'; Data::SHARED_MIN];
    let shared = Data::from(large.clone());
    let set = |key: &str, data: &[u8]| [format!("set {key} 0 0 {}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
    let taken = "a request";
    connection.submit(&Get::new("a").expect(taken), now, 0).expect(taken);
    connection.submit(&Store::set("b", &shared).expect(taken), now, 1).expect(taken);
    connection.submit(&Store::set("c", "small").expect(taken), now, 2).expect(taken);
    connection.submit(&Store::set("d", &shared).expect(taken), now, 3).expect(taken);
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

/// Writes at most so many bytes of what is offered.
fn write(connection: &mut Connection, at_most: usize, out: &mut Vec<u8>) {
    let mut left = at_most;
    while left > 0 {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = connection.outgoing(&mut slices);
        let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        if offered.is_empty() {
            return;
        }
        let n = offered.len().min(left);
        out.extend_from_slice(&offered[..n]);
        connection.wrote(n);
        left -= n;
    }
}

#[test]
fn the_other_requests_are_written_and_answered_whichever_are_taken_back() {
    for which in 0..64u64 {
        for written in [0, 3, 7, 20, 20_000] {
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
                    assert_eq!(connection.withdraw(at), !begun, "request {at} of {which:06b} after {written} bytes");
                    !begun
                };
                if !taken_back {
                    expected.0.extend_from_slice(bytes);
                    expected.1.push(at as u32);
                    expected.2.push_str(reply);
                }
            }
            write(&mut connection, usize::MAX, &mut out);
            assert!(out == expected.0, "{which:06b} after {written} bytes");
            let mut answered = Vec::new();
            let mut reply = expected.2.as_bytes();
            while !reply.is_empty() {
                connection.space()[0] = reply[0];
                connection.filled(1).expect("an open stream");
                reply = &reply[1..];
                while let Some((tag, reply, _)) = connection.next_reply().expect("the right replies") {
                    assert!(!matches!(reply, Reply::Refused(_) | Reply::Forgotten), "{reply:?}");
                    answered.push(tag);
                }
            }
            assert_eq!(connection.next_reply(), Ok(None));
            assert_eq!(answered, expected.1, "{which:06b} after {written} bytes");
            assert!(connection.is_idle() && !connection.is_busy(), "{which:06b} after {written} bytes");
            assert_eq!(connection.abandon().count(), 0);
        }
    }
}
