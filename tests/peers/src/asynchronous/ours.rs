//! The clients of memcached2: one for all callers.

use memcached2_tokio::{BatchResult, Expiry};

use super::Peer;
use crate::client::Client;
use crate::items::{Items, options};
use crate::job::Job;

/// Runs the tasks of smol, on the thread that waits for the end of the work.
pub(super) static EXECUTOR: smol::Executor<'_> = smol::Executor::new();

/// Makes a client for Tokio.
pub(super) fn tokio(job: &Job) -> Vec<memcached2_tokio::Client> {
    let options = match job.client {
        Client::Tokio2 => options().shared_connections(2),
        Client::Tokio4 => options().shared_connections(4),
        _ => options(),
    };
    let client = memcached2_tokio::Client::with_options(&job.servers, options).expect("servers");
    vec![client; job.workload.callers]
}

/// Makes a client for smol.
pub(super) fn smol(job: &Job) -> Vec<memcached2_async_std::Client> {
    let mut builder = memcached2_async_std::Client::builder();
    for server in &job.servers {
        builder = builder.server(server.as_str());
    }
    let builder = builder.options(options()).spawner(|task| EXECUTOR.spawn(task).detach());
    vec![builder.build().expect("servers"); job.workload.callers]
}

/// Both have the same calls.
macro_rules! peers {
    ($($client:ty),*) => {
        $(impl Peer for $client {
            async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
                Self::get(self, key).await.expect("an answer")
            }

            async fn get_many(&mut self, items: &Items) {
                let values = Self::get_many(self, &items.keys).await.and_then(BatchResult::into_result);
                items.check_all(values.expect("values").iter().flatten());
            }

            async fn set(&mut self, key: &str, value: &[u8]) {
                Self::set(self, key, value, Expiry::Never).await.expect("stored");
            }

            async fn set_many(&mut self, items: &Items) {
                let pairs: Vec<_> = items.pairs().collect();
                let stored = Self::set_many(self, &pairs, Expiry::Never).await;
                stored.and_then(BatchResult::into_result).expect("stored");
            }
        })*
    };
}

peers!(memcached2_tokio::Client, memcached2_async_std::Client);
