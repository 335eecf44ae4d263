//! What is on its way to a server has limits, at which callers wait or are refused.

use memcached2_testkit::assert_matches;
use std::pin::pin;

use futures::future::join_all;
use memcached2_proto::{Error, Expiry, Landed, Options, Protocol};
use memcached2_testkit::Memcached;

use super::{PATIENT, check, names, some_polls};
use crate::subject::{AsyncClient, block_on, client_of, spawn, yield_now};

fn limited(server: &Memcached, options: Options) -> AsyncClient {
    client_of([server.address()], options.timeout(PATIENT).bulk_connections(0)).expect("the address is right")
}

#[test]
fn callers_wait_for_room_and_all_are_served() {
    let is_old = Memcached::is_too_old_for("callers_wait_for_room_and_all_are_served in meta", (1, 6, 10));
    let protocol = if is_old { Protocol::Classic } else { Protocol::Meta };
    block_on(|| async {
        let (server, _, names) = names(50).await;
        for options in [Options::default().in_flight_limit(2), Options::default().unsent_limit(30)] {
            for options in [options.clone().protocol(protocol), options] {
                let client = limited(&server, options);
                let tasks = (0..40).map(|task| {
                    let (client, names) = (client.clone(), names.clone());
                    spawn(async move {
                        for round in 0..20 {
                            let name = &names[(task * 7 + round) % names.len()];
                            match (task + round) % 4 {
                                0 => client.set(name, name, Expiry::Never).await.unwrap(),
                                1 => {
                                    let some = &names[..10];
                                    let items: Vec<_> = some.iter().map(|name| (name, name)).collect();
                                    client.set_many(&items, Expiry::Never).await.unwrap().all_stored().unwrap();
                                    let hits = client.get_many(some).await.unwrap().into_result().unwrap();
                                    assert!(
                                        hits.iter()
                                            .zip(some)
                                            .all(|(hit, name)| *hit.as_ref().unwrap() == name.as_str())
                                    );
                                }
                                // Some go while they wait.
                                2 => {
                                    some_polls(client.get(name), round).await;
                                }
                                _ => check(&client, name).await,
                            }
                        }
                    })
                });
                join_all(tasks).await;
                assert!(client.close(PATIENT).await, "somebody still waits for room");
            }
        }
    });
}

#[test]
fn callers_can_be_refused_at_the_limit() {
    block_on(|| async {
        let server = Memcached::with().args(["-I", "64m", "-m", "1024"]).start();
        let client = limited(&server, Options::default().unsent_limit(1000).wait_at_limit(false));
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        let large = vec![b'x'; 32 << 20];
        let mut stored = pin!(client.set("large", &large, Expiry::Never));
        assert!(futures::poll!(stored.as_mut()).is_pending());
        // As soon as the driver has found that the socket is full.
        let refused = loop {
            match some_polls(client.set("a", "y", Expiry::Never), 1).await {
                Some(told) => break told.unwrap_err(),
                None => yield_now().await,
            }
        };
        assert_matches!(refused, Error::Overloaded { .. } if refused.server() == Some(server.address().as_str()));
        assert_eq!(refused.landed(), Landed::NotSent);
        assert_matches!(client.get("a").await, Err(Error::Overloaded { .. }));
        server.resume();
        stored.await.unwrap();
        assert_eq!(client.get("a").await.unwrap().expect("a hit"), "x");
    });
}

#[test]
fn callers_waiting_at_a_limit_time_out_with_not_sent() {
    block_on(|| async {
        let server = Memcached::start();
        let client = limited(&server, Options::default().unsent_limit(1000));
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        let large = vec![b'x'; 16 << 20];
        let mut first = pin!(client.set("large", &large, Expiry::Never));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let hasty = client.with_timeout(std::time::Duration::from_millis(50));
        for error in
            join_all((0..100).map(|_| hasty.set("a", "y", Expiry::Never))).await.into_iter().map(Result::unwrap_err)
        {
            assert_eq!(error.landed(), Landed::NotSent, "{error}");
        }
        server.resume();
        // It was too large; no other call is delayed.
        let _ = first.await;
        assert_eq!(client.get("a").await.unwrap().expect("a hit"), "x");
    });
}

#[test]
fn a_call_given_up_before_it_was_written_is_not_sent() {
    block_on(|| async {
        let server = Memcached::with().args(["-I", "64m", "-m", "1024"]).start();
        let client = limited(&server, Options::default());
        client.set("a", "x", Expiry::Never).await.unwrap();
        server.suspend();
        let large = vec![b'x'; 32 << 20];
        let mut first = pin!(client.set("large", &large, Expiry::Never));
        assert!(futures::poll!(first.as_mut()).is_pending());
        for _ in 0..3 {
            yield_now().await;
        }
        // The socket is full: a request is not written now.
        assert!(some_polls(client.set("a", "y", Expiry::Never), 2).await.is_none());
        let mut last = pin!(client.get("a"));
        assert!(futures::poll!(last.as_mut()).is_pending());
        server.resume();
        first.await.unwrap();
        assert_eq!(last.await.unwrap().expect("a hit"), "x");
    });
}
