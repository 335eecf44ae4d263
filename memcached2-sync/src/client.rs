//! The client: a pool of connections to each server, one caller at a time on each.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, ServerBatch};
use memcached2_proto::fetch::{Flights, Followed, Followers, Joined};
use memcached2_proto::observer::{ObservedClient, ServerStatus};
use memcached2_proto::opening::Endpoint;
use memcached2_proto::routing::{MigrationStage, ServerId, ServerListChange};
use memcached2_proto::stream::StreamCommand;
use memcached2_proto::topology::{SrvQuestion, SrvRecord};
use memcached2_proto::transport::Replaceable;
use memcached2_proto::{Builder, Error, Instant, Now, Operation, Options, Router, Server};

use crate::fan_out::FanOut;
use crate::records::{Records, Target};
use crate::server_pool::ServerPool;
use crate::srv::srv_records;
use crate::stream::{Deadline, now};
use crate::waiter::Unpark;

/// A client whose calls block the calling thread.
///
/// It is cheap to clone and can be shared by any number of threads: each call takes a connection from a pool, or opens
/// one, and gives it back in step.
///
/// A process that forks must not use a client in the child that was used in the parent: both would write to the same
/// connections and read each other's replies. Make the client after the fork, in each process its own. A connection that has been
/// idle for longer than [`Options::pool_trusted`] is recognised as the parent's and left to it.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// How long a call may take, in place of what the options say.
    timeout: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    servers: Replaceable<Servers>,
    /// The pools of servers that have left the list, as long as a call may use them.
    retired: Mutex<Vec<Weak<ServerPool>>>,
    options: Options,
    /// What callers fetch by `fetch`.
    flights: Flights,
    /// Who waits until the client is closed.
    pauses: Mutex<()>,
    closed: Condvar,
}

/// The servers of a call.
#[derive(Debug)]
struct Servers {
    router: Router,
    server_pools: Vec<Arc<ServerPool>>,
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
    /// use memcached2_sync::Client;
    ///
    /// let client = Client::builder()
    ///     .servers(["cache1:11211", "cache2:11211"])
    ///     .timeout(Duration::from_millis(250))
    ///     .prefix("shop:")
    ///     .build()?;
    /// # Ok::<(), memcached2_sync::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> Builder<Self> {
        Builder::new(Self::make)
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

    fn make(router: Router, options: &Options) -> Self {
        let router = router.for_client(RandomState::new().hash_one(()), || Now::new(Self::now(), SystemTime::now));
        let server_pool = |(place, server): (usize, &Server)| Arc::new(ServerPool::new(place, server, options));
        let server_pools = router.servers().iter().enumerate().map(server_pool).collect();
        let servers = Replaceable::new(Servers { router, server_pools });
        let (pauses, closed) = (Mutex::default(), Condvar::new());
        let (options, flights, retired) = (options.clone(), Flights::default(), Mutex::default());
        let shared = Shared { servers, retired, options, flights, pauses, closed };
        let client = Self { shared: Arc::new(shared), timeout: None };
        client.shared.options.announce(&client.shared);
        client
    }

    /// The same client, on the same connections, with another timeout for its calls, which replaces
    /// [`Options::timeout`] and the `timeout` of a server's URI. It is cheap, so it can be made for a single call. The
    /// connect timeout does not change.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::Client;
    ///
    /// # fn f(client: Client, items: Vec<(String, String)>) -> Result<(), memcached2_sync::Error> {
    /// let patient = client.with_timeout(Duration::from_secs(30));
    /// patient.set_many(&items, Duration::from_secs(3600))?.all_stored()?;
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
        self.shared.servers.get().router.clone()
    }

    /// The status of each server at this moment: whether it counts as up, how many connections to it are open, and how many callers
    /// wait. For metrics and health checks; nothing is asked of a server.
    ///
    /// ```
    /// use memcached2_sync::{Client, Error};
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
    /// use memcached2_sync::{Client, Error};
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
        let options = &self.shared.options;
        let with = |before: &Servers, router: Router| {
            let server_pool = |(place, server): (usize, &Server)| match before.router.place_of(server) {
                Some(known) => Arc::clone(&before.server_pools[known.index()]),
                None => Arc::new(ServerPool::new(place, server, options)),
            };
            let server_pools: Vec<_> = router.servers().iter().enumerate().map(server_pool).collect();
            let is_kept = |known: &Arc<ServerPool>| server_pools.iter().any(|pool| Arc::ptr_eq(pool, known));
            let mut retired = self.shared.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.retain(|known| known.strong_count() > 0);
            for known in before.server_pools.iter().filter(|known| !is_kept(known)) {
                known.lock().retire();
                retired.push(Arc::downgrade(known));
            }
            Servers { router, server_pools }
        };
        let change = options.replace_servers(&self.shared.servers, |before| &before.router, servers, with)?;
        options.announce(&self.shared);
        Ok(change)
    }

    /// Goes on to another stage of the migration for which the client was made, with all its clones: see
    /// [`Options::migrate_to`]. Calls under way end in the stage that they began in.
    ///
    /// ```
    /// use memcached2_sync::proto::routing::MigrationStage;
    /// use memcached2_sync::{Client, Error};
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
        self.shared.servers.replace(|before| {
            let servers = Servers { router: before.router.at_stage(stage)?, server_pools: before.server_pools.clone() };
            Ok((servers, ()))
        })
    }

    /// Closes the client, and all its clones: refuses new calls with [`Error::Closed`], waits for the calls under way,
    /// sends `quit` on each connection and closes it. Returns whether all of that was done in time (`within`).
    ///
    /// A call that is still under way then ends by its own deadline, and closes its connection. The connections of a
    /// dropped client close at once.
    pub fn close(&self, within: Duration) -> bool {
        let mut deadline = Deadline::new(Self::now(), within);
        let servers = self.shared.servers.close();
        drop(self.shared.pauses.lock());
        self.shared.closed.notify_all();
        let retired = self.shared.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let left: Vec<_> = retired.iter().filter_map(Weak::upgrade).collect();
        drop(retired);
        let server_pools = || servers.server_pools.iter().chain(&left);
        server_pools().for_each(|server_pool| server_pool.close());
        server_pools().all(|server_pool| server_pool.wait_until_empty(&mut deadline))
    }

    /// A client of another server, with the same options.
    pub(crate) fn beside(&self, server: &str) -> Result<Self, Error> {
        Self::with_options([server], self.shared.options.of_other_servers())
    }

    /// The addresses of a name.
    #[expect(clippy::unused_self, reason = "as in an asynchronous client")]
    pub(crate) fn addresses(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, Error> {
        (host, port).to_socket_addrs().map(Iterator::collect).map_err(|error| Error::connect(&error))
    }

    /// The SRV records of a name.
    #[expect(clippy::unused_self, reason = "as in an asynchronous client")]
    pub(crate) fn services(&self, question: SrvQuestion) -> Result<Vec<SrvRecord>, Error> {
        srv_records(question).map_err(|error| Error::connect(&error))
    }

    /// Joins the callers who fetch the same key by `fetch`, or those of them that have waited too long.
    pub(crate) fn join(&self, key: &[u8], is_late: bool) -> Joined<'_> {
        self.shared.flights.join(key, is_late)
    }

    /// Waits for the callers that fetch the same keys, for this time at most.
    pub(crate) fn follow<'f>(&self, followers: &mut Followers<'f>, within: Duration) -> Vec<Followed<'f>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let begun = Self::now();
        loop {
            if let Poll::Ready(come) = followers.poll(&Context::from_waker(&waker)) {
                return come;
            }
            let left = within.saturating_sub(Self::now() - begun);
            if left.is_zero() {
                return followers.give_up();
            }
            thread::park_timeout(left);
        }
    }

    /// Waits for a time, or until the client is closed; returns whether it is open.
    #[expect(clippy::unnecessary_wraps, reason = "as in an asynchronous client")]
    pub(crate) fn pause(&self, time: Duration) -> Result<bool, Error> {
        let guard = self.shared.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |(): &mut ()| !self.shared.servers.is_closed();
        drop(self.shared.closed.wait_timeout_while(guard, time, is_open));
        Ok(!self.shared.servers.is_closed())
    }

    /// Runs any operation; every other method is a name for one call of this.
    ///
    /// # Errors
    ///
    /// The errors of the operation.
    #[inline]
    pub fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        self.run_since(Self::now(), operation)
    }

    /// Runs an operation that began at this moment.
    #[inline]
    pub(crate) fn run_since<O: Operation>(&self, begun: Instant, operation: O) -> Result<O::Output, Error> {
        let servers = self.shared.servers.get();
        let servers = &*servers;
        let now = Now::new(begun, SystemTime::now);
        let mut call = Call::new(operation, &servers.router, now);
        call.keep_time_to_merge(Self::now);
        let mut deadline = Deadline::of_call(begun, self.timeout, call.time_to_merge());
        loop {
            if let Some(batch) = call.batch(0) {
                servers.round(&mut call, batch, now, &mut deadline);
            }
            if !call.end_round(Self::now) {
                return call.finish();
            }
            let left = deadline.left().unwrap_or_default();
            if let Some(replay) = call.replay(Self::now() - begun, left) {
                // What could not be deleted is kept.
                let _ = self.run_since(begun, replay);
            }
            if let Some(fill) = call.fill() {
                if let Ok(next) = self.run_since(begun, fill) {
                    call.filled(next);
                }
            }
        }
    }

    /// The records of these servers, one server after the other.
    pub(crate) fn records_of<C: StreamCommand>(&self, servers: Vec<Server>, command: C) -> Records<C> {
        let current = self.shared.servers.get();
        let target = |server: Server| {
            let endpoint = match current.router.place_of(&server) {
                Some(known) => Arc::clone(&current.server_pools[known.index()].endpoint),
                // It has left the list meanwhile.
                None => Arc::new(Endpoint::new(0, &server, &self.shared.options)),
            };
            let within = self.timeout.unwrap_or_else(|| endpoint.options().timeout);
            Target { server, endpoint, within }
        };
        Records::new(command, servers.into_iter().map(target).collect(), self.shared.servers.closed_flag())
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
    memcached2_proto::operations! { [] [] FnOnce [
        ""
        ""
        "```
# use std::time::Duration;
# use memcached2_sync::{Client, Error, Expiry, IfChanged, Store};
# fn main() -> Result<(), Error> {
# let server = memcached2_testkit::EmbeddedServer::start();
# let client = Client::new([server.address()])?;"
        "# Ok(())
# }
```"
    ] }
}

impl ObservedClient for Shared {
    fn server_status(&self) -> Vec<ServerStatus> {
        let current = self.servers.get();
        let status = |(id, pool): (ServerId, &Arc<ServerPool>)| {
            let mut status = current.router.status(id)?;
            pool.add_to(&mut status);
            Some(status)
        };
        current.router.ids().zip(&current.server_pools).filter_map(status).collect()
    }
}

impl Servers {
    /// Does a round with one server, or with several at the same time.
    #[inline]
    fn round<O: Operation>(&self, call: &mut Call<'_, O>, mut batch: ServerBatch, now: Now, deadline: &mut Deadline) {
        if call.batch(batch.end()).is_some() {
            return FanOut::new(call, now).run(batch, |server| self.server_pool(server), deadline);
        }
        let pooled = self
            .server_pool(batch.server())
            .and_then(|server_pool| server_pool.checkout(batch.is_retry(), now, deadline));
        let mut pooled = match pooled {
            Ok(pooled) => pooled,
            Err(error) => return call.fail_batch(&mut batch, &error),
        };
        if let Some(waited) = deadline.take_waited() {
            call.waited(batch.server(), waited);
        }
        match pooled.conn().exchange(call, &mut batch, now, deadline) {
            Ok(()) => pooled.checkin(now),
            Err(error) => pooled.fail(call, &mut batch, &error, now),
        }
    }

    #[inline]
    fn server_pool(&self, id: ServerId) -> Result<&ServerPool, Error> {
        self.server_pools.get(id.index()).map(|server_pool| &**server_pool).ok_or_else(Error::no_servers)
    }
}

#[cfg(test)]
mod tests;
