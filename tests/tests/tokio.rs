//! The client for Tokio: all conformance cases of `tests/cases`, and what tasks that share a connection rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../cases/mod.rs"]
mod cases;
mod shared;

/// What the cases are run through: a client with a blocking face.
mod subject {
    use std::pin::{Pin, pin};
    use std::sync::LazyLock;
    use std::time::Duration;

    use memcached2_proto::fetch::FetchPolicy;
    use memcached2_proto::observer::ServerStatus;
    use memcached2_proto::routing::{MigrationStage, ServerListChange};
    use memcached2_proto::shared::Records as AsyncRecords;
    use memcached2_proto::stream::StreamCommand;
    use memcached2_proto::topology::ServerSource;
    use memcached2_proto::{Error, Instant, Operation, Options, Router, Server, ToValue, Value};
    pub(crate) use memcached2_tokio::{
        Client as AsyncClient, Mapping as AsyncMapping, MissOnError as AsyncMissOnError,
    };
    use tokio::runtime::{Builder, Runtime};

    pub(crate) const NAME: &str = "memcached2-tokio";

    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"));

    /// Of one type for all calls: there are many, and compiling `block_on` for each is a tenth to a fifth of the whole.
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let mut output = None;
        RUNTIME.block_on(pin!(async { output = Some(future.await) }) as Pin<&mut dyn Future<Output = ()>>);
        output.expect("it is ready")
    }

    pub(crate) fn client_of(
        servers: impl IntoIterator<Item = impl AsRef<str>>,
        options: Options,
    ) -> Result<AsyncClient, Error> {
        AsyncClient::with_options(servers, options)
    }

    #[derive(Debug, Clone)]
    pub(crate) struct Client(AsyncClient);

    impl Client {
        pub(crate) fn with_options(
            servers: impl IntoIterator<Item = impl AsRef<str>>,
            options: Options,
        ) -> Result<Self, Error> {
            client_of(servers, options).map(Self)
        }

        pub(crate) fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
            wait(self.0.run(operation))
        }

        #[expect(clippy::unnecessary_wraps, reason = "as that of a transport")]
        fn pause(&self, time: Duration) -> Result<bool, Error> {
            std::thread::sleep(time);
            Ok(true)
        }

        fn now() -> Instant {
            std::time::Instant::now().into()
        }

        fn system_time() -> std::time::SystemTime {
            std::time::SystemTime::now()
        }

        fn run_since<O: Operation>(&self, _: Instant, operation: O) -> Result<O::Output, Error> {
            self.run(operation)
        }

        pub(crate) fn router(&self) -> Router {
            self.0.router()
        }

        pub(crate) fn server_status(&self) -> Vec<ServerStatus> {
            self.0.server_status()
        }

        pub(crate) fn fetch<T: ToValue, E: From<Error>>(
            &self,
            key: impl AsRef<[u8]>,
            policy: &FetchPolicy,
            compute: impl FnOnce() -> Result<T, E>,
        ) -> Result<Value, E> {
            wait(self.0.fetch(key, policy, async || compute()))
        }

        pub(crate) fn fetch_optional<T: ToValue, E: From<Error>>(
            &self,
            key: impl AsRef<[u8]>,
            policy: &FetchPolicy,
            compute: impl FnOnce() -> Result<Option<T>, E>,
        ) -> Result<Option<Value>, E> {
            wait(self.0.fetch_optional(key, policy, async || compute()))
        }

        pub(crate) fn fetch_many<'k, K: AsRef<[u8]>, T: ToValue, E: From<Error>>(
            &self,
            keys: &'k [K],
            policy: &FetchPolicy,
            mut compute: impl FnMut(Vec<&'k K>) -> Result<Vec<Option<T>>, E>,
        ) -> Result<Vec<Option<Value>>, E> {
            wait(self.0.fetch_many(keys, policy, async |missed| compute(missed)))
        }

        pub(crate) fn set_stage(&self, stage: MigrationStage) -> Result<(), Error> {
            self.0.set_stage(stage)
        }

        pub(crate) fn set_servers(
            &self,
            servers: impl IntoIterator<Item = impl AsRef<str>>,
        ) -> Result<ServerListChange, Error> {
            self.0.set_servers(servers)
        }

        pub(crate) fn refresh_servers(&self, source: &mut ServerSource) -> Result<ServerListChange, Error> {
            wait(self.0.refresh_servers(source))
        }

        pub(crate) fn follow_servers(
            &self,
            source: ServerSource,
            period: Duration,
            on_refresh: impl FnMut(Result<ServerListChange, Error>),
        ) {
            wait(self.0.follow_servers(source, period, on_refresh));
        }

        pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
            Self(self.0.with_timeout(timeout))
        }

        pub(crate) fn close(&self, within: Duration) -> bool {
            wait(self.0.close(within))
        }

        /// Of one server, or of all.
        #[expect(clippy::needless_pass_by_value, reason = "as that of a transport")]
        fn records_of<C: StreamCommand>(&self, servers: Vec<Server>, command: C) -> Records<C> {
            Records(match &servers[..] {
                [server] => self.0.on(server.name()).expect("a server").records(command),
                _ => self.0.records(command),
            })
        }

        memcached2_proto::operations!([] [] FnOnce);
    }

    #[derive(Debug)]
    pub(crate) struct Records<C: StreamCommand>(AsyncRecords<C>);

    impl<C: StreamCommand> Records<C> {
        pub(crate) fn open(&mut self) -> Result<(), Error> {
            wait(self.0.open())
        }

        pub(crate) fn idle_timeout(self, timeout: Option<Duration>) -> Self {
            Self(self.0.idle_timeout(timeout))
        }

        pub(crate) fn server(&self) -> Option<&Server> {
            self.0.server()
        }
    }

    impl<C: StreamCommand> Iterator for Records<C> {
        type Item = Result<C::Record, Error>;

        fn next(&mut self) -> Option<Self::Item> {
            wait(self.0.next())
        }
    }

    memcached2_proto::item!([] []);
    memcached2_proto::miss_on_error!([] [] FnOnce);
    memcached2_proto::mapping!([] []);
    memcached2_proto::namespace!([] [] FnOnce);
    memcached2_proto::rate_limit!([] []);
    memcached2_proto::lock!([] []);
    memcached2_proto::near_cache!([] [] FnOnce);
    memcached2_proto::values!([] [] FnOnce);
    memcached2_proto::one_server!([] []);
    memcached2_proto::streams!([] []);

    /// Runs a contract on each kind of runtime, one after the other.
    pub(crate) fn block_on<F: Future<Output = ()>>(contract: impl Fn() -> F) {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(bounded(contract()));
        }
    }

    pub(crate) async fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        tokio::spawn(task).await.expect("the task does not panic")
    }

    pub(crate) async fn yield_now() {
        tokio::task::yield_now().await;
    }

    pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("it does not hang")
    }
}
