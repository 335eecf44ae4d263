//! More calls at once than any buffer holds.

use futures::future::join_all;
use memcached2_proto::{Expiry, Options};
use memcached2_testkit::EmbeddedServer;

use super::{PATIENT, Stats, patient};
use crate::subject::{block_on, client_of};

#[test]
fn a_hundred_thousand_sets_at_once_share_a_connection() {
    block_on(|| async {
        let server = memcached2_testkit::Memcached::start();
        let client = patient(&server);
        let mut stats = Stats::of(&server);
        let before = stats.connections();
        let items: Vec<_> = (0..100_000).map(|at| (format!("key{at}"), at.to_string())).collect();
        let stored = join_all(items.iter().map(|(key, value)| client.set(key, value, Expiry::Never))).await;
        assert!(stored.iter().all(Result::is_ok), "{:?}", stored.iter().find(|result| result.is_err()));
        assert_eq!(stats.connections(), before + 1);
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        let hits = client.get_many(&keys).await.unwrap().into_result().unwrap();
        assert!(hits.into_iter().zip(&items).all(|(hit, (_, value))| hit.expect("a hit") == value.as_str()));
        // A batch of that size is a large transfer.
        assert_eq!(stats.connections(), before + 2);
    });
}

#[test]
fn the_requests_of_a_batch_to_a_server_stay_on_one_of_several_connections() {
    block_on(|| async {
        let server = EmbeddedServer::start();
        let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT).shared_connections(4);
        let client = client_of([server.address()], options).unwrap();
        let items: Vec<_> = (0..100).map(|at| (format!("key{at}"), "x")).collect();
        // Each call gets the next connection.
        for calls in 1..=2 {
            client.set_many(&items, Expiry::Never).await.unwrap().all_stored().unwrap();
            assert_eq!(server.connections(), calls);
        }
    });
}
