//! The time of one get.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_proto::{Error, Expiry, Instant, Operation, Router};
use memcached2_testkit::EmbeddedServer;

/// A client that notes when each call has begun.
#[derive(Debug, Clone)]
struct Client {
    client: memcached2_sync::Client,
    address: String,
    begun: Arc<Mutex<Vec<Instant>>>,
    /// Whether the list of servers changes during each call.
    changes: Arc<AtomicBool>,
}

#[allow(dead_code, reason = "few of all the methods are called")]
impl Client {
    fn router(&self) -> Router {
        self.client.router()
    }

    fn now() -> Instant {
        std::time::Instant::now().into()
    }

    fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run_since(Self::now(), operation)
    }

    fn run_since<O: Operation>(&self, begun: Instant, operation: O) -> Result<O::Output, Error> {
        self.begun.lock().unwrap().push(begun);
        let output = self.client.run(operation);
        if self.changes.load(Ordering::Relaxed) {
            let weight = self.begun.lock().unwrap().len() + 1;
            self.client.set_servers([format!("{}?weight={weight}", self.address)]).unwrap();
        }
        output
    }

    memcached2_proto::operations!([] [] FnOnce);
}

memcached2_proto::near_cache!([] [] FnOnce);

#[test]
fn a_get_that_asks_twice_has_the_time_of_one_call() {
    let server = EmbeddedServer::start();
    let (begun, changes) = (Arc::default(), Arc::default());
    let address = server.address();
    let client = Client { client: memcached2_sync::Client::new([&address]).unwrap(), address, begun, changes };
    client.set("a", "x", Expiry::Never).unwrap();
    let near = client.near_cache(&NearCachePolicy::new(1 << 20, Duration::ZERO));
    // The version of an item is known from the second get on: the first one has opened a connection.
    for _ in 0..2 {
        assert_eq!(near.get("a").unwrap().unwrap(), "x");
    }
    client.changes.store(true, Ordering::Relaxed);
    client.begun.lock().unwrap().clear();
    // The version is confirmed, but perhaps by another server than before.
    assert_eq!(near.get("a").unwrap().unwrap(), "x");
    let begun = client.begun.lock().unwrap();
    assert!(matches!(begun[..], [first, second] if first == second), "{begun:?}");
}
