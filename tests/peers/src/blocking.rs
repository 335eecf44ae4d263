//! The blocking clients.

use std::time::Instant;

use memcached2_sync::BatchResult;

use crate::items::{Items, options};
use crate::job::{Client, Figures, Job, Workload};

/// Does a job with a blocking client.
pub(crate) fn measure(job: &Job<'_>) -> Figures {
    let server = job.server;
    match job.client {
        Client::Memcache => {
            run(job, &memcache::connect(format!("memcache://{server}?protocol=ascii")).expect("a server"))
        }
        Client::MemcacheExp => run(job, &memcache::exp::Memcache::connect([server]).expect("a server")),
        _ => run(job, &memcached2_sync::Client::with_options([server], options()).expect("a server")),
    }
}

/// Warms the client up and measures it.
fn run(job: &Job<'_>, peer: &impl Peer) -> Figures {
    let items = Items::of(job.workload.size());
    operate(job.workload, peer, &items, job.workload.warm_up());
    let started = Instant::now();
    operate(job.workload, peer, &items, job.count);
    Figures::of(job.count, started.elapsed())
}

/// Does this many operations.
fn operate(workload: Workload, peer: &impl Peer, items: &Items, count: usize) {
    match workload {
        Workload::Mget100 => (0..count).for_each(|_| items.check_all(peer.get_many(&items.keys))),
        Workload::Serial | Workload::Conc64 => (0..count).for_each(|at| items.check(at, peer.get(items.key(at)))),
    }
}

/// What a client is asked for.
trait Peer {
    /// Fetches one value.
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>>;

    /// Fetches many values with one call.
    fn get_many(&self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>>;
}

impl Peer for memcached2_sync::Client {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get(key).expect("an answer")
    }

    fn get_many(&self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>> {
        self.get_many(keys).and_then(BatchResult::into_result).expect("answers").into_iter().flatten()
    }
}

impl Peer for memcache::Client {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get::<Vec<u8>>(key).expect("an answer")
    }

    fn get_many(&self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.gets::<Vec<u8>>(&keys).expect("answers").into_values()
    }
}

impl Peer for memcache::exp::Memcache {
    fn get(&self, key: &str) -> Option<impl AsRef<[u8]>> {
        self.get::<Vec<u8>>(key).expect("an answer")
    }

    fn get_many(&self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>> {
        self.get_many::<Vec<u8>, _>(keys).expect("answers").into_values()
    }
}
