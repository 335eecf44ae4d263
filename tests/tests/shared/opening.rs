//! Calls that begin before the server has said which protocol it speaks.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures::future::join_all;
use memcached2_proto::{Expiry, Options, Protocol};
use memcached2_testkit::{Gate, Memcached, ScriptedServer, Session};

use super::{PATIENT, some_polls};
use crate::subject::{AsyncClient, block_on, bounded, client_of};

fn client(address: String, connections: usize) -> AsyncClient {
    let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT).shared_connections(connections);
    client_of([address], options).expect("the address is right")
}

#[test]
fn a_batch_over_several_connections_waits_until_each_is_open() {
    block_on(|| async {
        let server = Memcached::start();
        let items: Vec<_> = (0..64).map(|at| (format!("key{at}"), at)).collect();
        for connections in [1, 2, 3, 8] {
            for _ in 0..8 {
                let client = client(server.address(), connections);
                bounded(client.set_many(&items, Expiry::Never)).await.unwrap().all_stored().unwrap();
            }
        }
    });
}

#[test]
fn the_stores_of_a_batch_stay_in_their_order_while_the_protocol_is_asked_for() {
    block_on(|| async {
        let server = Memcached::start();
        let items: Vec<_> = (0..2000).map(|at| ("key", at)).collect();
        for _ in 0..8 {
            let client = client(server.address(), 1);
            client.set_many(&items, Expiry::Never).await.unwrap().all_stored().unwrap();
            assert_eq!(client.get_as::<u32>("key").await, Ok(Some(1999)));
        }
    });
}

#[test]
fn a_call_cancelled_before_the_probe_was_answered_keeps_no_connection_open() {
    block_on(|| async {
        let asked = Gate::new("the server is asked for its protocol");
        let server = ScriptedServer::start([Session::new().expect_probe().open(&asked).expect_close()]);
        let client = client(server.address(), 1);
        let mut calls: Vec<_> = (0..3).map(|_| Box::pin(client.get("a"))).collect();
        for call in &mut calls {
            assert_eq!(some_polls(call, 1).await, None);
        }
        asked.opened().await;
        for call in &mut calls {
            assert_eq!(some_polls(call, 1).await, None);
        }
        drop(calls);
        assert!(bounded(client.close(PATIENT)).await);
        server.finish();
    });
}

#[test]
fn callers_who_come_while_the_protocol_is_asked_for_share_the_connection() {
    block_on(|| async {
        let server = Memcached::with().threads(1).start();
        let client = client(server.address(), 1);
        let stored = join_all((0..200).map(|at| {
            let client = client.clone();
            async move { client.set(format!("key{at}"), at, Expiry::Never).await }
        }));
        assert!(stored.await.into_iter().all(|result| result == Ok(())));
        let stats = client.stats().await.unwrap().into_result().unwrap().remove(0);
        // The one that asks, and the one that the server's start was waited for with.
        assert!(stats.number("total_connections").is_some_and(|count| count <= 4), "{stats:?}");
    });
}

/// A server that closes every connection at once, and how many there were.
fn closer() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    thread::spawn(move || listener.incoming().flatten().for_each(|_| _ = count.fetch_add(1, Ordering::Relaxed)));
    (address, accepted)
}

/// The connection may end before a request is submitted to it: that is one of the two attempts.
#[test]
fn a_call_opens_few_connections_to_a_server_that_closes_each_of_them() {
    let keys: Vec<_> = (0..200).map(|at| format!("key{at}")).collect();
    block_on(|| async {
        let (address, accepted) = closer();
        let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT);
        // The first attempt connects twice if it asks for the protocol: such a server may be one that closes for that.
        for (options, most) in [(options.clone().protocol(Protocol::Classic), 2), (options, 3)] {
            for _ in 0..20 {
                let client = client_of([&address], options.clone()).expect("the address is right");
                let before = accepted.load(Ordering::Relaxed);
                let found = client.get_many(&keys).await.expect("the keys are right");
                assert!(found.iter().all(|found| found.is_err()), "{found:?}");
                let opened = accepted.load(Ordering::Relaxed) - before;
                assert!(opened <= most, "{opened} connections");
            }
        }
    });
}
