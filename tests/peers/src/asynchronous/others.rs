//! The clients of others for Tokio.
//!
//! A client without a pool has one connection, and each caller has a client. A pool is shared by the callers, and may hold
//! a connection for each of them.

use async_memcached::AsciiProtocol as _;
use bb8_memcached::MemcacheConnectionManager;
use memcache::exp::{AsyncMemcache, Ttl};
use tokio::net::TcpStream;

use super::Peer;
use crate::items::{Items, PATIENCE};
use crate::job::Job;

/// Makes a client of memcache's `exp` for all callers.
pub(super) async fn memcache(job: &Job) -> Vec<AsyncMemcache> {
    let builder = AsyncMemcache::builder().max_idle(job.workload.callers).timeout(PATIENCE).connect_timeout(PATIENCE);
    let client = builder.connect_async(&job.servers).await.expect("memcached runs there");
    vec![client; job.workload.callers]
}

impl Peer for AsyncMemcache {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Self::get::<Vec<u8>>(self, key).await.expect("an answer")
    }

    async fn get_many(&mut self, items: &Items) {
        items.check_all(Self::get_many::<Vec<u8>, _>(self, &items.keys).await.expect("values").into_values());
    }

    async fn set(&mut self, key: &str, value: &[u8]) {
        Self::set(self, key, value, Ttl::NEVER).await.expect("stored");
    }

    async fn set_many(&mut self, items: &Items) {
        Self::set_many(self, items.pairs(), Ttl::NEVER).await.expect("stored");
    }
}

/// Makes a client of async-memcached for each caller.
pub(super) async fn async_memcached(job: &Job) -> Vec<async_memcached::Client> {
    let mut clients = Vec::new();
    for _ in 0..job.workload.callers {
        clients.push(async_memcached::Client::new(url(job)).await.expect("memcached runs there"));
    }
    clients
}

impl Peer for async_memcached::Client {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        async_memcached::AsciiProtocol::get(self, key).await.expect("an answer").and_then(|value| value.data)
    }

    async fn get_many(&mut self, items: &Items) {
        items.check_all(self.get_multi(&items.keys).await.expect("values").into_iter().filter_map(|value| value.data));
    }

    async fn set(&mut self, key: &str, value: &[u8]) {
        async_memcached::AsciiProtocol::set(self, key, value, None, None).await.expect("stored");
    }

    async fn set_many(&mut self, items: &Items) {
        let pairs: Vec<_> = items.pairs().collect();
        let stored = self.set_multi(&pairs, None, None).await.expect("answers");
        assert!(stored.len() == pairs.len() && stored.values().all(Result::is_ok), "stored");
    }
}

/// Makes a connection of memcache-async for each caller.
pub(super) async fn memcache_async(job: &Job) -> Vec<memcache_async::ascii::Protocol<TcpStream>> {
    let mut connections = Vec::new();
    for _ in 0..job.workload.callers {
        let socket = TcpStream::connect(job.server()).await.expect("memcached runs there");
        socket.set_nodelay(true).expect("a socket");
        connections.push(memcache_async::ascii::Protocol::new(socket));
    }
    connections
}

impl Peer for memcache_async::ascii::Protocol<TcpStream> {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Some(Self::get(self, key).await.expect("an answer"))
    }

    async fn get_many(&mut self, items: &Items) {
        items.check_all(self.get_multi(&items.keys).await.expect("values").into_values());
    }
}

/// A pool of bb8-memcached.
type Bb8 = bb8_memcached::bb8::Pool<MemcacheConnectionManager>;

/// Makes a pool of bb8-memcached for all callers.
pub(super) async fn bb8(job: &Job) -> Vec<Bb8> {
    let manager = MemcacheConnectionManager::new(url(job)).expect("an address");
    let callers = job.workload.callers;
    let builder = bb8_memcached::bb8::Pool::builder().max_size(u32::try_from(callers).expect("a small number"));
    vec![builder.build(manager).await.expect("memcached runs there"); callers]
}

impl Peer for Bb8 {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Some(Self::get(self).await.expect("a connection").get(&key).await.expect("an answer"))
    }

    async fn get_many(&mut self, items: &Items) {
        let values = Self::get(self).await.expect("a connection").get_multi(&items.keys).await;
        items.check_all(values.expect("values").into_values());
    }
}

/// Returns the address as most of them want it.
pub(super) fn url(job: &Job) -> String {
    format!("tcp://{}", job.server())
}
