//! The three clients, as callers see them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use memcached2_proto::{Error, Operation, Options};
use tokio::runtime::{Builder, Runtime};

/// When a caller drops its call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    Never,
    /// After it was polled this many times.
    Polls(usize),
    /// After this time.
    After(Duration),
}

/// A client of one of the transports.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    /// How many threads call, and how many callers each of them is.
    const CALLERS: (usize, usize);
    /// Whether a call can be dropped.
    const DROPS: bool;

    fn connect(servers: &[String], options: Options) -> Self;

    /// Runs an operation; `None` if it was dropped.
    fn ask<O: Operation>(&self, operation: O, cut: Cut) -> impl Future<Output = Option<Result<O::Output, Error>>>;

    fn pause(time: Duration) -> impl Future<Output = ()>;

    fn close(&self, within: Duration) -> impl Future<Output = bool>;

    fn block_on<T>(callers: impl Future<Output = T>) -> T;

    /// How many tasks there are, or threads where there are no tasks.
    fn tasks() -> usize;
}

impl Subject for memcached2_sync::Client {
    const NAME: &'static str = "sync";
    const CALLERS: (usize, usize) = (16, 1);
    const DROPS: bool = false;

    fn connect(servers: &[String], options: Options) -> Self {
        Self::with_options(servers, options).expect("right addresses")
    }

    async fn ask<O: Operation>(&self, operation: O, _: Cut) -> Option<Result<O::Output, Error>> {
        Some(self.run(operation))
    }

    async fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    async fn close(&self, within: Duration) -> bool {
        Self::close(self, within)
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        callers.now_or_never().expect("it blocks instead of waiting")
    }

    fn tasks() -> usize {
        std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"));

impl Subject for memcached2_tokio::Client {
    const NAME: &'static str = "tokio";
    const CALLERS: (usize, usize) = (2, 16);
    const DROPS: bool = true;

    fn connect(servers: &[String], options: Options) -> Self {
        Self::with_options(servers, options).expect("right addresses")
    }

    async fn ask<O: Operation>(&self, operation: O, cut: Cut) -> Option<Result<O::Output, Error>> {
        match cut {
            Cut::Never => Some(self.run(operation).await),
            Cut::Polls(polls) => polled(polls, self.run(operation)).await,
            Cut::After(time) => tokio::time::timeout(time, self.run(operation)).await.ok(),
        }
    }

    async fn pause(time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn close(&self, within: Duration) -> bool {
        Self::close(self, within).await
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        RUNTIME.block_on(callers)
    }

    fn tasks() -> usize {
        RUNTIME.metrics().num_alive_tasks()
    }
}

/// How many tasks the clients for async-std have started that have not ended.
static TASKS: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Counts a task as long as it lives.
struct Alive;

impl Alive {
    fn new() -> Self {
        TASKS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        TASKS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Subject for memcached2_async_std::Client {
    const NAME: &'static str = "async-std";
    const CALLERS: (usize, usize) = (2, 16);
    const DROPS: bool = true;

    fn connect(servers: &[String], options: Options) -> Self {
        let builder = Self::builder().servers(servers).options(options).spawner(|task| {
            let alive = Alive::new();
            async_std::task::spawn(async move {
                let _alive = alive;
                task.await;
            });
        });
        builder.build().expect("right addresses")
    }

    async fn ask<O: Operation>(&self, operation: O, cut: Cut) -> Option<Result<O::Output, Error>> {
        match cut {
            Cut::Never => Some(self.run(operation).await),
            Cut::Polls(polls) => polled(polls, self.run(operation)).await,
            Cut::After(time) => async_std::future::timeout(time, self.run(operation)).await.ok(),
        }
    }

    async fn pause(time: Duration) {
        async_std::task::sleep(time).await;
    }

    async fn close(&self, within: Duration) -> bool {
        Self::close(self, within).await
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        async_std::task::block_on(callers)
    }

    fn tasks() -> usize {
        TASKS.load(Ordering::SeqCst)
    }
}

/// Polls a call this many times at most.
async fn polled<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let (mut call, mut left) = (pin!(call), polls);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
