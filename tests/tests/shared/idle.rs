//! Connections that nobody uses.

use std::time::{Duration, Instant};

use memcached2_proto::Options;
use memcached2_testkit::Memcached;

use super::{PATIENT, Stats};
use crate::subject::{AsyncClient, block_on, yield_now};

#[test]
fn an_idle_connection_is_closed_though_nobody_calls() {
    block_on(|| async {
        let server = Memcached::start();
        let mut stats = Stats::of(&server);
        let options = Options::default().timeout(Duration::from_secs(1)).pool_idle(Duration::from_millis(50));
        let client = AsyncClient::with_options([server.address()], options.connect_timeout(PATIENT)).unwrap();
        let (before, ever) = (stats.open(), stats.connections());
        for round in 1..3 {
            assert_eq!(client.get("a").await, Ok(None));
            // It may have been closed already.
            assert_eq!(stats.connections(), ever + round);
            let begun = Instant::now();
            while stats.open() > before {
                assert!(begun.elapsed() < PATIENT, "the connection stays open");
                yield_now().await;
            }
        }
    });
}
