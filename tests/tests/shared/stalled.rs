//! A server that stands still, or is restarted while calls are under way.

use std::time::{Duration, Instant};

use futures::future::join_all;
use memcached2_proto::{Error, Expiry, Landed, Options, ReconnectPolicy};
use memcached2_testkit::Memcached;

use super::{PATIENT, Stats};
use crate::subject::{AsyncClient, block_on, client_of, yield_now};

/// How long a call may take that is meant to fail.
const BRIEF: Duration = Duration::from_secs(1);

/// A client of a server, and the same one whose calls to it are meant to fail.
fn clients(server: &Memcached) -> [AsyncClient; 2] {
    let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT);
    let options = options.reconnect(ReconnectPolicy::Immediately);
    let client = client_of([server.address()], options).expect("the address is right");
    let brief = client.with_timeout(BRIEF);
    [client, brief]
}

#[test]
fn calls_to_a_server_that_stands_still_end_at_their_deadline_and_later_ones_recover() {
    block_on(|| async {
        let server = Memcached::start();
        let [client, brief] = clients(&server);
        let mut stats = Stats::of(&server);
        client.set("a", "x", Expiry::Never).await.unwrap();
        let before = stats.connections();
        server.suspend();
        let reads = join_all((0..64).map(|_| brief.get("a")));
        let writes = join_all((0..64).map(|at| brief.set(format!("key{at}"), "x", Expiry::Never)));
        let (reads, writes) = futures::join!(reads, writes);
        // The first timeout closes the connection, and calls with a later deadline fail with it. A read is then retried
        // on another connection, where the same can happen.
        let is_right = |error: &Error| error.is_timeout() || matches!(error, Error::Disconnected { .. });
        for error in reads.into_iter().map(Result::unwrap_err) {
            assert!(is_right(&error), "{error}");
        }
        for (at, error) in writes.into_iter().map(Result::unwrap_err).enumerate() {
            assert!(is_right(&error), "{at}: {error}");
            assert_eq!((error.landed(), error.server()), (Landed::Unknown, Some(server.address().as_str())));
        }
        server.resume();
        assert_eq!(client.get("a").await.unwrap().expect("a hit"), "x");
        assert!(stats.connections() > before);
    });
}

#[test]
fn a_server_that_stood_still_and_was_restarted_is_found_again() {
    block_on(|| async {
        let mut server = Memcached::start();
        let [client, brief] = clients(&server);
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        // The second one is not sent before the server has said which protocol it speaks.
        for landed in [Landed::Unknown, Landed::NotSent] {
            let error = brief.set("a", "y", Expiry::Never).await.unwrap_err();
            assert_eq!((error.is_timeout(), error.landed()), (true, landed), "{error}");
        }
        server.restart();
        assert_eq!(client.get("a").await, Ok(None));
        client.set("a", "z", Expiry::Never).await.unwrap();
        assert_eq!(client.get("a").await.unwrap().expect("a hit"), "z");
    });
}

#[test]
fn a_call_dropped_on_a_server_that_stands_still_does_no_harm() {
    block_on(|| async {
        let server = Memcached::start();
        let [client, _] = clients(&server);
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        for polls in 0..3 {
            assert!(super::some_polls(client.get("a"), polls).await.is_none());
        }
        server.resume();
        assert_eq!(client.get("a").await.unwrap().expect("a hit"), "x");
    });
}

#[test]
fn calls_under_way_when_the_server_dies_say_what_became_of_them() {
    block_on(|| async {
        let mut server = Memcached::start();
        let [client, _] = clients(&server);
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        let calls = join_all((0..64).map(|_| client.set("a", "y", Expiry::Never)));
        // They have been asked before the server is killed, and are heard after.
        let mut calls = std::pin::pin!(calls);
        assert!(futures::poll!(calls.as_mut()).is_pending());
        server.stop();
        for error in calls.await.into_iter().map(Result::unwrap_err) {
            assert!(!error.is_timeout(), "{error}");
            assert!(matches!(error.landed(), Landed::Unknown | Landed::NotSent), "{error}");
        }
        server.restart();
        assert_eq!(client.get("a").await, Ok(None));
    });
}

#[test]
fn a_silent_server_is_found_to_be_down_after_all_calls_were_cancelled() {
    block_on(|| async {
        let server = Memcached::start();
        let options = Options::default().timeout(Duration::from_millis(200)).reconnect(ReconnectPolicy::After(PATIENT));
        let client = client_of([server.address()], options.connect_timeout(PATIENT)).expect("the address is right");
        client.with_timeout(PATIENT).set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        // Each caller is gone long before the deadline of its call.
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENT, "every call still costs time");
            match super::some_polls(client.get("a"), 3).await {
                Some(Err(error @ Error::Down { .. })) => {
                    assert_eq!(error.server(), Some(server.address().as_str()));
                    break;
                }
                // One may have come when the connection is closed.
                Some(told) => assert!(told.is_err(), "{told:?}"),
                None => yield_now().await,
            }
        }
        server.resume();
    });
}
