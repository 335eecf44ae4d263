//! Idle connections.

use std::time::{Duration, Instant};

use memcached2_proto::Options;
use memcached2_testkit::Memcached;

use super::{PATIENT, Stats};
use crate::subject::{block_on, client_of, yield_now};

#[test]
fn an_idle_connection_is_closed_without_a_call() {
    block_on(|| async {
        let server = Memcached::start();
        let mut stats = Stats::of(&server);
        let options = Options::default().timeout(Duration::from_secs(1)).pool_idle(Duration::from_millis(50));
        let client = client_of([server.address()], options.connect_timeout(PATIENT)).unwrap();
        // The one that has waited for the server to start may be there still.
        alone(&mut stats).await;
        let ever = stats.connections();
        for round in 1..3 {
            assert_eq!(client.get("a").await, Ok(None));
            assert_eq!(stats.connections(), ever + round);
            alone(&mut stats).await;
        }
    });
}

/// Waits until the server has no other connection.
async fn alone(stats: &mut Stats) {
    let begun = Instant::now();
    while stats.open() > 1 {
        assert!(begun.elapsed() < PATIENT, "a connection stays open");
        yield_now().await;
    }
}
