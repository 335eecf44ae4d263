//! deadpool-memcached: a pool, shared by the callers, with a connection for each of them.

use async_memcached_of_deadpool::AsciiProtocol as _;
use deadpool_memcached::{Config, Pool};

use super::Peer;
use super::others::url;
use crate::items::Items;
use crate::job::Job;

/// Makes a pool of deadpool-memcached for all callers.
pub(super) fn pools(job: &Job) -> Vec<Pool> {
    let builder = Config::new(url(job)).builder().expect("an address");
    vec![builder.max_size(job.workload.callers).build().expect("a pool"); job.workload.callers]
}

impl Peer for Pool {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        let mut client = Self::get(self).await.expect("a connection");
        let value = client.get(key).await.expect("an answer");
        value.and_then(|value| value.data)
    }

    async fn get_many(&mut self, items: &Items) {
        let mut client = Self::get(self).await.expect("a connection");
        let values = client.get_multi(&items.keys).await.expect("values");
        items.check_all(values.into_iter().filter_map(|value| value.data));
    }

    async fn set(&mut self, key: &str, value: &[u8]) {
        Self::get(self).await.expect("a connection").set(key, value, None, None).await.expect("stored");
    }

    async fn set_many(&mut self, items: &Items) {
        let mut client = Self::get(self).await.expect("a connection");
        let pairs: Vec<_> = items.pairs().collect();
        let stored = client.set_multi(&pairs, None, None).await.expect("answers");
        assert!(stored.len() == pairs.len() && stored.values().all(Result::is_ok), "stored");
    }
}
