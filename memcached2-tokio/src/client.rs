//! The client: a connection to each server, shared by all tasks.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::fetch::{Followed, Followers, Joined};
use memcached2_proto::observer::{ObservedClient as _, ServerStatus};
use memcached2_proto::routing::{Address, MigrationStage, ServerListChange};
use memcached2_proto::shared::{ConnectFn, Records, SharedConnections};
use memcached2_proto::stream::StreamCommand;
use memcached2_proto::topology::{SrvQuestion, SrvRecord};
use memcached2_proto::{Builder, Error, Instant, Now, Operation, Options, Router, Server};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::over::Own;
use crate::srv::srv_records;
use crate::stream::{Sockets, Spawn, Tokio, now, resolve};

/// A client whose calls are futures.
///
/// It is cheap to clone and can be shared by any number of tasks: they share a connection to each server, on which
/// every caller gets the replies to its own requests, whatever happens to the futures of other callers.
///
/// A client may outlive the runtime it was first used on: each runtime has connections of its own. A runtime needs its
/// timer and its I/O driver (`enable_all`).
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<SharedConnections<Tokio>>,
    connector: Arc<dyn Spawn>,
    /// How long a call may take, in place of what the options say.
    timeout: Option<Duration>,
}

// A panic in an observer, a credentials provider or a stream of the program leaves the client as usable as an error does: its
// locks are taken whether a thread panicked or not, and what was in flight fails.
impl UnwindSafe for Client {}
impl RefUnwindSafe for Client {}

impl Client {
    /// Returns a builder: servers and options.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_tokio::Client;
    ///
    /// let client = Client::builder()
    ///     .servers(["cache1:11211", "cache2:11211"])
    ///     .timeout(Duration::from_millis(250))
    ///     .prefix("shop:")
    ///     .build()?;
    /// # Ok::<(), memcached2_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> Builder<Self> {
        Self::builder_of(Arc::new(Sockets))
    }

    /// Returns a builder of a client that connects by a function of the program: through a tunnel or a proxy, over pipes
    /// within the process, in a simulation.
    ///
    /// The function gets the address of a server as it was written, so a name is still a name. It returns any stream of
    /// [`tokio::io`], for each connection another one, within the [connect timeout](Options::connect_timeout). Options,
    /// several servers and failover work as over sockets, but for TCP keepalive.
    ///
    /// ```no_run
    /// use memcached2_tokio::Client;
    /// use tokio::io::AsyncWriteExt as _;
    /// use tokio::net::TcpStream;
    ///
    /// let client = Client::over(|server| async move {
    ///     let mut stream = TcpStream::connect("bastion:1080").await?;
    ///     stream.write_all(format!("{server}\n").as_bytes()).await?; // What the bastion wants to know first.
    ///     Ok(stream)
    /// })
    /// .servers(["cache1:11211", "cache2:11211"])
    /// .build()?;
    /// # Ok::<(), memcached2_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn over<F, C, S>(connect: F) -> Builder<Self>
    where
        F: Fn(Address) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::builder_of(Arc::new(ConnectFn::new(move |server| {
            let connecting = connect(server);
            async { connecting.await.map(Own) }
        })))
    }

    fn builder_of(connector: Arc<dyn Spawn>) -> Builder<Self> {
        Builder::new(move |router, options| {
            let router = router.for_client(RandomState::new().hash_one(()), || Now::new(Self::now(), SystemTime::now));
            let runtime = Tokio(Arc::clone(&connector));
            let shared = Arc::new(SharedConnections::new(router, options, runtime));
            options.announce(&shared);
            Self { shared, connector: Arc::clone(&connector), timeout: None }
        })
    }

    /// A client of `servers`, with the default [`Options`]. It connects when it is used, so servers may be down now.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] if one of the texts is no address of a server: see [`proto::Server`](memcached2_proto::Server).
    pub fn new(servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Self::with_options(servers, Options::default())
    }

    /// A client of `servers` with these options.
    ///
    /// # Errors
    ///
    /// Those of [`Client::new`], [`Error::Key`] if the prefix is longer than 249 bytes or contains a blank or control
    /// byte, and [`Error::Tls`] if a certificate or key of the options cannot be used. For a gutter and replicas also what
    /// [`Builder::build`] says.
    pub fn with_options(servers: impl IntoIterator<Item = impl AsRef<str>>, options: Options) -> Result<Self, Error> {
        let servers = servers.into_iter().map(|server| server.as_ref().to_owned());
        Self::builder().servers(servers).options(options).build()
    }

    /// The same client, on the same connections, with another timeout for its calls, which replaces
    /// [`Options::timeout`] and the `timeout` of a server's URI. It is cheap, so it can be made for a single call. The
    /// connect timeout does not change.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_tokio::Client;
    ///
    /// # async fn f(client: Client, items: Vec<(String, String)>) -> Result<(), memcached2_tokio::Error> {
    /// let patient = client.with_timeout(Duration::from_secs(30));
    /// patient.set_many(&items, Duration::from_secs(3600)).await?.all_stored()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// The router: the servers, in the order given, and which of them has a key.
    #[must_use]
    pub fn router(&self) -> Router {
        self.shared.router()
    }

    /// The status of each server at this moment: whether it counts as up, how many connections to it are open, and how many callers
    /// wait. For metrics and health checks; nothing is asked of a server.
    ///
    /// ```
    /// use memcached2_tokio::{Client, Error};
    ///
    /// let client = Client::new(["cache1", "cache2"])?;
    /// let status = client.server_status();
    /// assert!(status.iter().all(|server| server.is_up && server.used_connections == 0));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn server_status(&self) -> Vec<ServerStatus> {
        self.shared.server_status()
    }

    /// Replaces the list of servers, of this client and all its clones, and returns what has changed.
    ///
    /// Calls under way end with the servers that they began with. A server that is in both lists keeps its connections, and what is
    /// known of it. One that is gone keeps none. Which keys change their server is up to the [`Selection`](memcached2_proto::Selection):
    /// on a ring, only those that the new servers take over, and those of the servers that are gone.
    ///
    /// ```
    /// use memcached2_tokio::{Client, Error};
    ///
    /// let client = Client::new(["cache1", "cache2"])?;
    /// let change = client.set_servers(["cache2", "cache3"])?;
    /// assert_eq!((change.added, change.removed), (vec!["cache3:11211".to_owned()], vec!["cache1:11211".to_owned()]));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::with_options`]; nothing has changed then. [`Error::Closed`] after [`Client::close`].
    pub fn set_servers(&self, servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<ServerListChange, Error> {
        let change = self.shared.set_servers(servers)?;
        self.shared.options().announce(&self.shared);
        Ok(change)
    }

    /// Goes on to another stage of the migration for which the client was made, with all its clones: see
    /// [`Options::migrate_to`]. Calls under way end in the stage that they began in.
    ///
    /// ```
    /// use memcached2_tokio::proto::routing::MigrationStage;
    /// use memcached2_tokio::{Client, Error};
    ///
    /// let client = Client::builder().server("old1").migrate_to(["new1", "new2"], MigrationStage::Old).build()?;
    /// client.set_stage(MigrationStage::WriteBoth)?;
    /// assert_eq!(client.router().stage(), Some(MigrationStage::WriteBoth));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the client was not made for a migration, [`Error::Closed`] after [`Client::close`].
    pub fn set_stage(&self, stage: MigrationStage) -> Result<(), Error> {
        self.shared.set_stage(stage)
    }

    /// A client of another server, with the same options.
    pub(crate) fn beside(&self, server: &str) -> Result<Self, Error> {
        Ok(Self { shared: Arc::new(self.shared.beside([server])?), ..self.clone() })
    }

    /// The addresses of a name.
    pub(crate) async fn addresses(&self, host: String, port: u16) -> Result<Arc<[SocketAddr]>, Error> {
        resolve(&Arc::default(), host, port).await.map_err(|error| Error::connect(&error))
    }

    /// The SRV records of a name.
    pub(crate) async fn services(&self, question: SrvQuestion) -> Result<Vec<SrvRecord>, Error> {
        srv_records(question).await
    }

    /// Joins the callers who fetch the same key by `fetch`, or those of them that have waited too long.
    pub(crate) fn join(&self, key: &[u8], is_late: bool) -> Joined<'_> {
        self.shared.join(key, is_late)
    }

    /// Waits for the callers that fetch the same keys.
    pub(crate) async fn follow<'f>(&self, followers: &mut Followers<'f>, within: Duration) -> Vec<Followed<'f>> {
        self.shared.follow(followers, within).await
    }

    /// Waits for a time, or until the client is closed; returns whether it is open.
    pub(crate) async fn pause(&self, time: Duration) -> Result<bool, Error> {
        self.shared.pause(time).await
    }

    /// Closes the client, and all its clones: refuses new calls with [`Error::Closed`], waits for the calls under way,
    /// sends `quit` on each connection and closes it. Returns whether all of that was done in time.
    ///
    /// What is still under way then ends at once, with an error that says whether it may have landed. When
    /// the last clone of a client is dropped instead, its connections close as soon as what was sent has been answered.
    /// Without a Tokio runtime it does not wait.
    pub async fn close(&self, time: Duration) -> bool {
        self.shared.close(time).await
    }

    /// Runs any operation; every other method is a name for one call of this.
    ///
    /// Nothing happens until the future is polled. Dropping it cancels the call: a request that was not written is
    /// removed, else its reply is read and discarded.
    ///
    /// # Errors
    ///
    /// The errors of the operation.
    pub async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run_since(Self::now(), operation).await
    }

    /// Runs an operation that began at this moment.
    pub(crate) async fn run_since<O: Operation>(&self, begun: Instant, operation: O) -> Result<O::Output, Error> {
        self.shared.run(operation, Now::new(begun, SystemTime::now), self.timeout).await
    }

    /// The records of these servers, one server after the other.
    pub(crate) fn records_of<C: StreamCommand>(&self, servers: Vec<Server>, command: C) -> Records<C> {
        let connector = Arc::clone(&self.connector);
        let open = Arc::new(move |endpoint, within| connector.open(endpoint, within));
        self.shared.records(servers, command, self.timeout, open)
    }

    /// The moment on the clock of the system.
    #[inline]
    pub(crate) fn now() -> Instant {
        now()
    }

    /// The time of day on the clock of the system.
    pub(crate) fn system_time() -> SystemTime {
        SystemTime::now()
    }

    // All other methods: the lists are in `memcached2-proto/src/operations/`.
    memcached2_proto::operations! { [async] [.await] AsyncFnOnce [
        "async "
        ".await"
        "```
# use std::time::Duration;
# use memcached2_tokio::{Client, Error, Expiry, IfChanged, Store};
# #[tokio::main(flavor = \"current_thread\")]
# async fn main() -> Result<(), Error> {
# let server = memcached2_testkit::EmbeddedServer::start();
# let client = Client::new([server.address()])?;"
        "# Ok(())
# }
```"
    ] }
}
