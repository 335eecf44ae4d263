//! The asynchronous clients, each on an executor of one thread: the test and the drivers of connections run in turn.

use std::future::{poll_fn, ready};
use std::task::Poll;
use std::time::Duration;

use memcached2_proto::{Error, Operation, Options};

use super::network::Network;

pub(crate) trait Subject: Clone + 'static {
    const NAME: &'static str;

    /// A client of the server behind `network`.
    fn over(network: &Network, address: &str, options: Options) -> Self;

    /// A client of a server with sockets.
    fn at(address: &str, options: Options) -> Self;

    fn ask<O: Operation>(&self, operation: O) -> impl Future<Output = Result<O::Output, Error>>;

    fn end(&self, time: Duration) -> impl Future<Output = bool>;

    fn block_on<T>(future: impl Future<Output = T>) -> T;
}

/// Lets the drivers go on.
pub(crate) async fn turn() {
    let mut is_second = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Subject for memcached2_tokio::Client {
    const NAME: &'static str = "memcached2-tokio";

    fn over(network: &Network, address: &str, options: Options) -> Self {
        let network = network.clone();
        Self::over(move |_| ready(Ok(network.connect()))).server(address).options(options).build().unwrap()
    }

    fn at(address: &str, options: Options) -> Self {
        Self::with_options([address], options).unwrap()
    }

    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run(operation).await
    }

    async fn end(&self, time: Duration) -> bool {
        self.close(time).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }
}

static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

impl Subject for memcached2_async_std::Client {
    const NAME: &'static str = "memcached2-async-std";

    fn over(network: &Network, address: &str, options: Options) -> Self {
        let network = network.clone();
        let builder = Self::over(move |_| ready(Ok(network.connect()))).server(address).options(options);
        builder.spawner(|task| EXECUTOR.spawn(task).detach()).build().unwrap()
    }

    fn at(address: &str, options: Options) -> Self {
        let builder = Self::builder().server(address).options(options);
        builder.spawner(|task| EXECUTOR.spawn(task).detach()).build().unwrap()
    }

    async fn ask<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run(operation).await
    }

    async fn end(&self, time: Duration) -> bool {
        self.close(time).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(EXECUTOR.run(future))
    }
}
