//! The blocking clients.

use std::time::{Duration, Instant};

use memcache::exp::Ttl;
use memcached2_sync::{BatchResult, Expiry};

use crate::client::Client;
use crate::figures::{Figures, Meter};
use crate::items::{Items, PATIENCE, options};
use crate::job::{Job, Operation};

/// Does a job with a blocking client.
pub(crate) fn measure(job: &Job) -> Figures {
    let server = job.server();
    match job.client {
        Client::Memcache => {
            run(job, &memcache::connect(format!("memcache://{server}?protocol=ascii")).expect("a server"))
        }
        Client::MemcacheExp => {
            let builder = memcache::exp::Memcache::builder().timeout(PATIENCE).connect_timeout(PATIENCE);
            run(job, &builder.connect([server]).expect("a server"))
        }
        _ => run(job, &memcached2_sync::Client::with_options([server], options()).expect("a server")),
    }
}

/// Warms the client up and measures it.
fn run(job: &Job, peer: &impl Peer) -> Figures {
    let items = Items::of(job.workload.size);
    operate(job.workload.operation, peer, &items, job.workload.warm_up());
    let meter = Meter::start(&job.servers);
    let latencies = operate(job.workload.operation, peer, &items, job.count);
    meter.stop(job.count, latencies)
}

/// Does this many operations and returns the latency of each.
fn operate(operation: Operation, peer: &impl Peer, items: &Items, count: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(count);
    for at in 0..count {
        let started = Instant::now();
        match operation {
            Operation::Get => {
                let value = peer.get(items.key(at));
                latencies.push(started.elapsed());
                items.check(at, value);
                continue;
            }
            Operation::GetMany => peer.get_many(items),
            Operation::Set => peer.set(items.key(at), items.value(at)),
            Operation::SetMany => peer.set_many(items),
        }
        latencies.push(started.elapsed());
    }
    latencies
}

/// What a client is asked for.
trait Peer {
    /// Fetches one value.
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>>;

    /// Fetches all values with one call, and checks them.
    fn get_many(&self, items: &Items);

    /// Stores one value.
    fn set(&self, key: &str, value: &[u8]);

    /// Stores all values with one call.
    fn set_many(&self, items: &Items);
}

impl Peer for memcached2_sync::Client {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get(key).expect("an answer")
    }

    fn get_many(&self, items: &Items) {
        items
            .check_all(self.get_many(&items.keys).and_then(BatchResult::into_result).expect("values").iter().flatten());
    }

    fn set(&self, key: &str, value: &[u8]) {
        self.set(key, value, Expiry::Never).expect("stored");
    }

    fn set_many(&self, items: &Items) {
        let pairs: Vec<_> = items.pairs().collect();
        self.set_many(&pairs, Expiry::Never).and_then(BatchResult::into_result).expect("stored");
    }
}

impl Peer for memcache::Client {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get::<Vec<u8>>(key).expect("an answer")
    }

    fn get_many(&self, items: &Items) {
        let keys: Vec<&str> = items.keys.iter().map(String::as_str).collect();
        items.check_all(self.gets::<Vec<u8>>(&keys).expect("values").into_values());
    }

    fn set(&self, key: &str, value: &[u8]) {
        self.set(key, value, 0).expect("stored");
    }

    fn set_many(&self, _: &Items) {
        unreachable!("it has no such call");
    }
}

impl Peer for memcache::exp::Memcache {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get::<Vec<u8>>(key).expect("an answer")
    }

    fn get_many(&self, items: &Items) {
        items.check_all(self.get_many::<Vec<u8>, _>(&items.keys).expect("values").into_values());
    }

    fn set(&self, key: &str, value: &[u8]) {
        self.set(key, value, Ttl::NEVER).expect("stored");
    }

    fn set_many(&self, items: &Items) {
        self.set_many(items.pairs(), Ttl::NEVER).expect("stored");
    }
}
