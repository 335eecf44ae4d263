//! The clients for Tokio. The work is done by tasks on a runtime with one thread, as it would be in a server.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_memcached::AsciiProtocol;
use memcached2_tokio::BatchResult;
use tokio::runtime;

use crate::items::{Items, options};
use crate::job::{Client, Figures, Job, Latency, Workload};

/// Does a job with a client for Tokio.
pub(crate) fn measure(job: &Job<'_>) -> Figures {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match job.client {
            Client::AsyncMemcached => run(job, own(job).await).await,
            Client::Tokio2 => run(job, shared(job, Some(2))).await,
            Client::Tokio4 => run(job, shared(job, Some(4))).await,
            _ => run(job, shared(job, None)).await,
        }
    })
}

/// Makes one client of memcached2 for all callers.
fn shared(job: &Job<'_>, connections: Option<usize>) -> Vec<memcached2_tokio::Client> {
    let options = match connections {
        Some(connections) => options().shared_connections(connections),
        None => options(),
    };
    let client = memcached2_tokio::Client::with_options([job.server], options).expect("a server");
    vec![client; job.workload.callers()]
}

/// Makes a client of async-memcached for each caller.
async fn own(job: &Job<'_>) -> Vec<async_memcached::Client> {
    let mut clients = Vec::new();
    for _ in 0..job.workload.callers() {
        clients
            .push(async_memcached::Client::new(format!("tcp://{}", job.server)).await.expect("memcached runs there"));
    }
    clients
}

/// Warms the clients up and measures them; there is one for each caller.
async fn run<P: Peer>(job: &Job<'_>, peers: Vec<P>) -> Figures {
    let items = Arc::new(Items::of(job.workload.size()));
    let (peers, _) = operate(job.workload, peers, &items, job.workload.warm_up()).await;
    let started = Instant::now();
    let (_, gets) = operate(job.workload, peers, &items, job.count).await;
    Figures { latency: Latency::of(gets), ..Figures::of(job.count, started.elapsed()) }
}

/// Does this many operations, divided among tasks, and returns the latencies if the workload needs them.
async fn operate<P: Peer>(
    workload: Workload,
    peers: Vec<P>,
    items: &Arc<Items>,
    count: usize,
) -> (Vec<P>, Vec<Duration>) {
    let callers = peers.len();
    let caller = |(first, peer)| {
        let (items, share) = (items.clone(), (first..count).step_by(callers).len());
        tokio::spawn(async move {
            let turns = first..first + share;
            match workload {
                Workload::Conc64 => timed_gets(peer, &items, turns).await,
                Workload::Serial => gets(peer, &items, turns).await,
                Workload::Mget100 => calls(peer, &items, turns).await,
            }
        })
    };
    let tasks: Vec<_> = peers.into_iter().enumerate().map(caller).collect();
    let (mut peers, mut latencies) = (Vec::new(), Vec::new());
    for task in tasks {
        let (peer, mut gets) = task.await.expect("a task that does not panic");
        peers.push(peer);
        latencies.append(&mut gets);
    }
    (peers, latencies)
}

/// Does the gets of one caller and measures each.
async fn timed_gets<P: Peer>(mut peer: P, items: &Items, turns: impl Iterator<Item = usize>) -> (P, Vec<Duration>) {
    let mut latencies = Vec::with_capacity(turns.size_hint().0);
    for at in turns {
        let started = Instant::now();
        let value = peer.get(items.key(at)).await;
        latencies.push(started.elapsed());
        items.check(at, value);
    }
    (peer, latencies)
}

/// Does the gets of one caller.
async fn gets<P: Peer>(mut peer: P, items: &Items, turns: impl Iterator<Item = usize>) -> (P, Vec<Duration>) {
    for at in turns {
        items.check(at, peer.get(items.key(at)).await);
    }
    (peer, Vec::new())
}

/// Does the calls of one caller for all keys.
async fn calls<P: Peer>(mut peer: P, items: &Items, turns: impl Iterator<Item = usize>) -> (P, Vec<Duration>) {
    for _ in turns {
        items.check_all(peer.get_many(&items.keys).await);
    }
    (peer, Vec::new())
}

/// What a client is asked for.
trait Peer: Send + 'static {
    /// Fetches one value.
    fn get(&mut self, key: &str) -> impl Future<Output = Option<impl AsRef<[u8]>>> + Send;

    /// Fetches many values with one call.
    fn get_many(&mut self, keys: &[String]) -> impl Future<Output = impl IntoIterator<Item = impl AsRef<[u8]>>> + Send;
}

impl Peer for memcached2_tokio::Client {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Self::get(self, key).await.expect("an answer")
    }

    async fn get_many(&mut self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>> {
        Self::get_many(self, keys).await.and_then(BatchResult::into_result).expect("answers").into_iter().flatten()
    }
}

impl Peer for async_memcached::Client {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        AsciiProtocol::get(self, key).await.expect("an answer").and_then(|value| value.data)
    }

    async fn get_many(&mut self, keys: &[String]) -> impl IntoIterator<Item = impl AsRef<[u8]>> {
        let values = self.get_multi(keys).await.expect("answers");
        values.into_iter().filter_map(|value| value.data)
    }
}
