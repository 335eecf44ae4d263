//! The three clients, and many callers of each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, poll_immediate};
use memcached2_proto::{Error, Operation};
use tokio::runtime::{Builder, Runtime};

use super::caller::Caller;
use super::tally::{Nature, Tally};

/// Longer than any call takes.
const PATIENT: Duration = Duration::from_secs(60);

/// A client of one of the transports.
pub(crate) trait Subject: Clone + Send + 'static {
    /// How many threads call it, and how many callers each of them is.
    const CALLERS: (u64, u64);

    /// Runs an operation; a call that is `cancelled` is dropped as soon as it has to wait, and `None` then.
    fn ask<O: Operation>(
        &self,
        operation: O,
        cancelled: bool,
    ) -> impl Future<Output = Option<Result<O::Output, Error>>>;

    /// Waits for what callers of this client do.
    fn block_on<T>(callers: impl Future<Output = T>) -> T;
}

impl Subject for memcached2_sync::Client {
    const CALLERS: (u64, u64) = (16, 1);

    async fn ask<O: Operation>(&self, operation: O, _: bool) -> Option<Result<O::Output, Error>> {
        Some(self.run(operation))
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        callers.now_or_never().expect("it blocks instead of waiting")
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"));

impl Subject for memcached2_tokio::Client {
    const CALLERS: (u64, u64) = (2, 16);

    async fn ask<O: Operation>(&self, operation: O, cancelled: bool) -> Option<Result<O::Output, Error>> {
        match cancelled {
            true => poll_immediate(self.run(operation)).await,
            false => Some(self.run(operation).await),
        }
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        RUNTIME.block_on(callers)
    }
}

impl Subject for memcached2_async_std::Client {
    const CALLERS: (u64, u64) = (2, 16);

    async fn ask<O: Operation>(&self, operation: O, cancelled: bool) -> Option<Result<O::Output, Error>> {
        match cancelled {
            true => poll_immediate(self.run(operation)).await,
            false => Some(self.run(operation).await),
        }
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        async_std::task::block_on(callers)
    }
}

/// Lets many callers share a client for this many calls; `on_third` is called when a third and two thirds of them are
/// done.
pub(crate) fn share<S: Subject>(
    client: &S,
    (nature, calls, seed): (Nature, u64, u64),
    mut on_third: impl FnMut(u64),
) -> Arc<Tally> {
    /// The owners so far: the next ones have other keys.
    static OWNERS: AtomicU64 = AtomicU64::new(0);
    S::block_on(super::caller::prepare(client));
    let tally = Arc::new(Tally::default());
    let (sender, receiver) = channel();
    let (threads, each) = S::CALLERS;
    let first = OWNERS.fetch_add(threads * each, Ordering::Relaxed) + 1;
    let crew: Vec<_> = (0..threads)
        .map(|thread| {
            let (client, tally, sender) = (client.clone(), tally.clone(), sender.clone());
            thread::spawn(move || {
                let owners = first + thread * each..first + (thread + 1) * each;
                S::block_on(join_all(owners.map(|owner| {
                    let mut caller = Caller::new(owner, seed, nature);
                    let (client, tally, sender) = (&client, &tally, &sender);
                    async move {
                        while let Some(call) = tally.begin(calls) {
                            if call % (calls / 3 + 1) == 0 {
                                let _ = sender.send(call / (calls / 3 + 1));
                            }
                            caller.call(client, tally).await;
                        }
                    }
                })));
            })
        })
        .collect();
    drop(sender);
    let mut before = 0;
    loop {
        match receiver.recv_timeout(PATIENT) {
            Ok(third) => on_third(third),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let ended = tally.ended();
                assert!(ended > before, "a call hangs: {tally}");
                before = ended;
            }
        }
    }
    crew.into_iter().for_each(|thread| thread.join().expect("no panic"));
    tally
}
