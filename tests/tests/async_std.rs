//! The client for async-std: all conformance cases of `tests/cases`, and what tasks that share a connection rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../cases/mod.rs"]
mod cases;
mod shared;

/// What the cases are run through: a client with a blocking face.
mod subject {
    use std::time::Duration;

    use async_std::task;
    pub(crate) use memcached2_async_std::{
        Client as AsyncClient, Mapping as AsyncMapping, MissOnError as AsyncMissOnError,
    };
    use memcached2_proto::{Error, Instant, Operation, Options};

    pub(crate) const NAME: &str = "memcached2-async-std";

    #[derive(Debug, Clone)]
    pub(crate) struct Client(AsyncClient);

    impl Client {
        pub(crate) fn with_options(
            servers: impl IntoIterator<Item = impl AsRef<str>>,
            options: Options,
        ) -> Result<Self, Error> {
            AsyncClient::with_options(servers, options).map(Self)
        }

        pub(crate) fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
            task::block_on(self.0.run(operation))
        }

        fn now() -> Instant {
            Instant::ZERO
        }

        fn run_since<O: Operation>(&self, _: Instant, operation: O) -> Result<O::Output, Error> {
            self.run(operation)
        }

        pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
            Self(self.0.with_timeout(timeout))
        }

        pub(crate) fn close(&self, within: Duration) -> bool {
            task::block_on(self.0.close(within))
        }

        memcached2_proto::operations!([] [] FnOnce);
    }

    memcached2_proto::item!([] []);
    memcached2_proto::miss_on_error!([] [] FnOnce);
    memcached2_proto::mapping!([] []);

    pub(crate) fn block_on<F: Future<Output = ()>>(contract: impl Fn() -> F) {
        task::block_on(bounded(contract()));
    }

    pub(crate) async fn spawn<T: Send + 'static>(job: impl Future<Output = T> + Send + 'static) -> T {
        task::spawn(job).await
    }

    pub(crate) async fn yield_now() {
        task::yield_now().await;
    }

    pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
        async_std::future::timeout(Duration::from_secs(60), future).await.expect("it does not hang")
    }
}
