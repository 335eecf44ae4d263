use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use super::*;
use crate::command::{Delete, Get};
use crate::limits::Limits;
use crate::operation::DeleteMany;
use crate::options::Options;
use crate::routing::{ReconnectPolicy, Router};
use crate::time::Instant;

fn now() -> Now {
    Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH)
}

fn router() -> Router {
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(30)));
    Router::with_options(["a", "b"], &options).unwrap()
}

fn write(connection: &mut Connection) {
    let mut slices = [IoSlice::new(&[]); 4];
    let count = connection.write_slices(&mut slices);
    let written = slices[..count].iter().map(|slice| slice.len()).sum();
    connection.advance_written(written);
}

/// What comes of a call whose connection fails: whether it was dead before, whether the request is sent again, and whether its server
/// counts as down.
fn failed<O: Operation>(operation: O, served: bool, come: &str, error: &Error, spares_server: bool) -> [bool; 3] {
    let (router, mut connection) = (router(), Connection::new(Limits::default()));
    if served {
        connection.submit(&Get::new("before").unwrap(), now(), 9).unwrap();
        write(&mut connection);
        connection.feed(b"END\r\n", |_, _, _| ()).unwrap();
    }
    let mut call = Call::new(operation, &router, now());
    let mut batch = call.batch(0).unwrap();
    call.submit(&mut batch, &mut connection, now());
    write(&mut connection);
    if !come.is_empty() {
        connection.feed(come.as_bytes(), |_, _, _| ()).unwrap();
    }
    let was_dead = call.fail_on(&mut batch, &mut connection, error, spares_server);
    assert!(batch.is_done());
    let again = call.end_round(|| Instant::ZERO);
    let next = call.batch(0);
    assert_eq!((next.is_some(), next.is_some_and(|next| next.is_retry())), (again, again));
    [was_dead, again, router.is_down(batch.server())]
}

#[test]
fn what_a_failed_connection_says_about_its_server() {
    let (timeout, lost) = (Error::timeout(Landed::Unknown), Error::disconnected("gone"));
    let get = || Get::new("key").unwrap();
    // Served before, what has come of the reply, the error, whether the server is spared: dead, again, down.
    for (served, come, error, spares, expected) in [
        // A server that is slow is not down, and one that says nothing is.
        (false, "", &timeout, false, [false, false, true]),
        (false, "EN", &timeout, false, [false, false, false]),
        (false, "", &timeout, true, [true, false, false]),
        (false, "EN", &timeout, true, [false, false, false]),
        // A connection that has served, and is lost before a byte of this reply, was closed while it was idle.
        (true, "", &lost, false, [true, true, false]),
        (true, "EN", &lost, false, [false, false, true]),
        (false, "", &lost, false, [false, false, true]),
        (true, "", &timeout, false, [true, false, true]),
    ] {
        assert_eq!(failed(get(), served, come, error, spares), expected, "{served} {come:?} {error:?} {spares}");
    }
    // What may have taken effect is not sent again.
    assert_eq!(failed(Delete::new("key").unwrap(), true, "", &lost, false), [true, false, false]);
}

#[test]
fn a_batch_without_a_connection_is_sent_elsewhere_or_on_another_one() {
    for (error, is_retry) in [
        (Error::connect(&ErrorKind::ConnectionRefused.into()), false),
        // Made, and lost before the server had said which protocol it speaks.
        (Error::disconnected("gone"), true),
        (Error::protocol("nonsense"), true),
    ] {
        let router = router();
        let mut call = Call::new(Delete::new("key").unwrap(), &router, now());
        let mut batch = call.batch(0).unwrap();
        call.fail_batch(&mut batch, &error);
        assert!(batch.is_done() && call.end_round(|| Instant::ZERO));
        let again = call.batch(0).unwrap();
        assert_eq!((again.is_retry(), again.server() == batch.server()), (is_retry, is_retry), "{error:?}");
        assert_eq!(router.is_down(batch.server()), !is_retry);
    }
}

#[test]
fn requests_to_a_server_stand_side_by_side_and_the_next_server_follows() {
    let (router, keys) = (router(), ["a", "b", "c", "d", "e", "f"]);
    let mut call = Call::new(DeleteMany::new(&keys).unwrap(), &router, now());
    let first = call.batch(0).unwrap();
    let mut second = call.batch(first.end()).unwrap();
    assert!(first.server() != second.server() && !first.is_done() && first.end() < second.end());
    assert_eq!((second.end(), call.sub_requests().len()), (keys.len(), keys.len()));
    assert!(call.batch(second.end()).is_none());
    // Those that have ended are passed over.
    call.fail_batch(&mut second, &Error::timeout(Landed::NotSent));
    assert!(call.batch(first.end()).is_none() && second.is_done() && !first.is_done());
}
