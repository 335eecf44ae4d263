//! The clients for tasks. The work is done by tasks on an executor with one thread, as it would be in a server.

mod others;
mod ours;

#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "mcmc")]
mod mcmc;
#[cfg(feature = "opendal")]
mod opendal;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;

use crate::client::Client;
use crate::figures::{Figures, Meter};
use crate::items::Items;
use crate::job::{Job, Operation};

/// Does a job with a client for tasks.
pub(crate) fn measure(job: &Job) -> Figures {
    if job.client == Client::Smol {
        return smol::block_on(
            ours::EXECUTOR.run(run(job, ours::smol(job), |work| Box::pin(ours::EXECUTOR.spawn(work)))),
        );
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match job.client {
            Client::MemcacheTokio => run(job, others::memcache(job).await, tokio_task).await,
            Client::AsyncMemcached => run(job, others::async_memcached(job).await, tokio_task).await,
            Client::MemcacheAsync => run(job, others::memcache_async(job).await, tokio_task).await,
            #[cfg(feature = "deadpool")]
            Client::Deadpool => run(job, deadpool::pools(job), tokio_task).await,
            Client::Bb8 => run(job, others::bb8(job).await, tokio_task).await,
            #[cfg(feature = "mcmc")]
            Client::Mcmc if job.workload.servers > 1 => run(job, mcmc::sharded(job).await, tokio_task).await,
            #[cfg(feature = "mcmc")]
            Client::Mcmc => run(job, mcmc::connections(job).await, tokio_task).await,
            #[cfg(feature = "opendal")]
            Client::Opendal => run(job, opendal::operators(job), tokio_task).await,
            _ => run(job, ours::tokio(job), tokio_task).await,
        }
    })
}

/// The work of a caller, from which it comes back with its client and its latencies.
type Work<P> = Pin<Box<dyn Future<Output = (P, Vec<Duration>)> + Send>>;

/// Starts work in a task of Tokio and returns its end.
fn tokio_task<P: Peer>(work: Work<P>) -> Work<P> {
    let task = tokio::spawn(work);
    Box::pin(async { task.await.expect("a task that does not panic") })
}

/// Warms the clients up and measures them; there is one for each caller.
async fn run<P: Peer>(job: &Job, peers: Vec<P>, spawn: impl Fn(Work<P>) -> Work<P>) -> Figures {
    let items = Arc::new(Items::of(job.workload.size));
    let operation = job.workload.operation;
    let (peers, _) = operate(operation, peers, &items, job.workload.warm_up(), &spawn).await;
    let meter = Meter::start(&job.servers);
    let (_peers, latencies) = operate(operation, peers, &items, job.count, &spawn).await;
    meter.stop(job.count, latencies)
}

/// Does this many operations, divided among tasks, and returns the latencies.
async fn operate<P: Peer>(
    operation: Operation,
    peers: Vec<P>,
    items: &Arc<Items>,
    count: usize,
    spawn: &impl Fn(Work<P>) -> Work<P>,
) -> (Vec<P>, Vec<Duration>) {
    let callers = peers.len();
    let caller = |(first, peer)| -> Work<P> {
        let (items, share) = (items.clone(), (first..count).step_by(callers).len());
        spawn(Box::pin(work(operation, peer, items, first..first + share)))
    };
    let tasks: Vec<_> = peers.into_iter().enumerate().map(caller).collect();
    let (mut peers, mut all) = (Vec::with_capacity(callers), Vec::with_capacity(count));
    for task in tasks {
        let (peer, mut latencies) = task.await;
        peers.push(peer);
        all.append(&mut latencies);
    }
    (peers, all)
}

/// Does the operations of one caller and measures each.
async fn work<P: Peer>(
    operation: Operation,
    mut peer: P,
    items: Arc<Items>,
    turns: impl ExactSizeIterator<Item = usize>,
) -> (P, Vec<Duration>) {
    let mut latencies = Vec::with_capacity(turns.len());
    for at in turns {
        let started = Instant::now();
        match operation {
            Operation::Get => {
                let value = peer.get(items.key(at)).await;
                latencies.push(started.elapsed());
                items.check(at, value);
                continue;
            }
            Operation::GetMany => peer.get_many(&items).await,
            Operation::Set => peer.set(items.key(at), items.value(at)).await,
            Operation::SetMany => peer.set_many(&items).await,
        }
        latencies.push(started.elapsed());
    }
    (peer, latencies)
}

/// What a client is asked for. [`Client::does`] says what of it.
trait Peer: Send + 'static {
    /// Fetches one value.
    fn get(&mut self, key: &str) -> impl Future<Output = Option<impl AsRef<[u8]>>> + Send;

    /// Fetches all values with one call, and checks them.
    fn get_many(&mut self, _items: &Items) -> impl Future<Output = ()> + Send {
        async { unreachable!("it has no such call") }
    }

    /// Stores one value.
    fn set(&mut self, _key: &str, _value: &[u8]) -> impl Future<Output = ()> + Send {
        async { unreachable!("it has no such call that waits for an answer") }
    }

    /// Stores all values with one call.
    fn set_many(&mut self, _items: &Items) -> impl Future<Output = ()> + Send {
        async { unreachable!("it has no such call") }
    }
}
