//! The three clients.

use std::sync::LazyLock;

use futures::FutureExt;
use memcached2_proto::{Error, Operation, Options};
use tokio::runtime::{Builder, Runtime};

/// A client of one of the transports.
pub(crate) trait Subject: Sync + Sized {
    /// How many threads call it, and how many callers each of them is.
    const CALLERS: (usize, usize);

    fn to(address: &str, options: Options) -> Self;

    fn ask<O: Operation>(&self, operation: O) -> impl Future<Output = Result<O::Output, Error>>;

    /// Waits for what callers of this client do.
    fn block_on<T>(callers: impl Future<Output = T>) -> T;
}

impl Subject for memcached2_sync::Client {
    const CALLERS: (usize, usize) = (64, 1);

    fn to(address: &str, options: Options) -> Self {
        Self::with_options([address], options).expect("the address is right")
    }

    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run(operation)
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        callers.now_or_never().expect("it blocks instead of waiting")
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"));

impl Subject for memcached2_tokio::Client {
    const CALLERS: (usize, usize) = (2, 32);

    fn to(address: &str, options: Options) -> Self {
        Self::with_options([address], options).expect("the address is right")
    }

    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run(operation).await
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        RUNTIME.block_on(callers)
    }
}

impl Subject for memcached2_async_std::Client {
    const CALLERS: (usize, usize) = (2, 32);

    fn to(address: &str, options: Options) -> Self {
        Self::with_options([address], options).expect("the address is right")
    }

    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run(operation).await
    }

    fn block_on<T>(callers: impl Future<Output = T>) -> T {
        async_std::task::block_on(callers)
    }
}
