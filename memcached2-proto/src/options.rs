//! How a client behaves, whichever its transport.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::command::Protocol;
use crate::limits::Limits;
use crate::observer::Observer;
use crate::pool::PoolLimits;
use crate::router::{ReconnectPolicy, Selection};
use crate::uri::Server;

/// How a client behaves. Every option has a default that suits production; change what you must.
///
/// A client's `builder()` has the same methods; an `Options` is for those who keep one for several clients.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::Options;
///
/// let options = Options::default().timeout(Duration::from_millis(250)).prefix("shop:");
/// assert_eq!(options.connect_timeout, Duration::from_millis(500));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// See [`Options::timeout`].
    pub timeout: Duration,
    /// See [`Options::connect_timeout`].
    pub connect_timeout: Duration,
    /// See [`Options::prefix`].
    pub prefix: Option<Arc<[u8]>>,
    /// See [`Options::route_by_prefix`].
    pub route_by_prefix: bool,
    /// See [`Options::selection`].
    pub selection: Selection,
    /// See [`Options::reconnect`].
    pub reconnect: ReconnectPolicy,
    /// See [`Options::failures`].
    pub failures: u32,
    /// See [`Options::failover`].
    pub failover: bool,
    /// See [`Options::observer`].
    pub observer: Option<Arc<dyn Observer>>,
    /// See [`Options::shared_connections`].
    pub shared_connections: usize,
    /// See [`Options::wait_at_limit`].
    pub wait_at_limit: bool,
    /// See [`Options::keepalive`].
    pub keepalive: Option<Duration>,
    /// See [`Options::max_age`].
    pub max_age: Option<Duration>,
    /// See [`Options::protocol`].
    pub protocol: Option<Protocol>,
    /// How many connections the blocking client opens, and how long it keeps them.
    pub pool: PoolLimits,
    /// What is sent and what is accepted.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            prefix: None,
            route_by_prefix: true,
            selection: Selection::Default,
            reconnect: ReconnectPolicy::default(),
            failures: 1,
            failover: true,
            observer: None,
            shared_connections: 1,
            wait_at_limit: true,
            keepalive: Some(Duration::from_secs(60)),
            max_age: None,
            protocol: None,
            pool: PoolLimits::default(),
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// How the client behaves towards one server, whose URI may say otherwise; see [`Server`].
    #[must_use]
    pub fn towards(&self, server: &Server) -> Self {
        let (mut options, of_server) = (self.clone(), server.options());
        options.timeout = of_server.timeout.unwrap_or(self.timeout);
        options.connect_timeout = of_server.connect_timeout.unwrap_or(self.connect_timeout);
        options.shared_connections = of_server.connections.unwrap_or(self.shared_connections);
        options.pool.connections = of_server.connections.unwrap_or(self.pool.connections);
        options
    }
}

/// Each option is written once, and is a method of [`Options`] and of [`Builder`].
macro_rules! options {
    ($($(#[$doc:meta])* fn $name:ident($self:ident, $value:ident: $type:ty) $body:block)*) => {
        impl Options {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut $self, $value: $type) -> Self {
                    $body
                    $self
                }
            )*
        }

        impl<C> Builder<C> {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $value: $type) -> Self {
                    self.options = self.options.$name($value);
                    self
                }
            )*
        }
    };
}

options! {
    /// Sets how long a whole call may take, connecting and a retry included; 1 second unless set. A call that takes
    /// longer fails: with [`Error::Timeout`](crate::Error::Timeout), with [`Error::Connect`](crate::Error::Connect) if
    /// there was no connection yet, or with [`Error::Disconnected`](crate::Error::Disconnected) if the connection was
    /// given up because another caller had waited in vain.
    fn timeout(self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sets how long connecting to one server may take; 500 milliseconds unless set. The deadline of the call holds
    /// besides.
    fn connect_timeout(self, timeout: Duration) {
        self.connect_timeout = timeout;
    }

    /// Sets what is written before every key, so that several programs can share servers; nothing unless set.
    ///
    /// It counts among the 250 bytes of a key, and must be made of bytes that a key may hold: else making the client
    /// fails, with [`Error::Key`](crate::Error::Key). Callers never see it; `flush_all` and `stats` know nothing of it.
    fn prefix(self, prefix: impl AsRef<[u8]>) {
        self.prefix = Some(Arc::from(prefix.as_ref())).filter(|prefix: &Arc<[u8]>| !prefix.is_empty());
    }

    /// Sets whether the prefix has a say in which server has a key; it has unless set to `false`.
    ///
    /// With `true` a key is where a client without a prefix finds it by its whole name; with `false` the same key lies
    /// on the same server whatever the prefix (as by default in libmemcached, `MEMCACHED_BEHAVIOR_HASH_WITH_PREFIX_KEY`).
    fn route_by_prefix(self, routed: bool) {
        self.route_by_prefix = routed;
    }

    /// Sets the rule by which keys find their servers; that of python-memcached2 unless set.
    fn selection(self, selection: Selection) {
        self.selection = selection;
    }

    /// Sets when a server that is down is asked again; unless set after 1 second, then every 1.5 seconds, each by chance up to
    /// half of it less. Until then it costs callers nothing, and its keys go to other servers where the selection says so.
    fn reconnect(self, reconnect: ReconnectPolicy) {
        self.reconnect = reconnect;
    }

    /// Sets how many times in a row a server must fail before it counts as down; once unless set, and at least once. What
    /// fails together, since it waited for the same connection, is one failure, and any answer begins anew.
    ///
    /// Once is enough, since only what leaves no doubt is a failure (see [`ReconnectPolicy`](crate::ReconnectPolicy)): no slow answer, no refusal, no
    /// connection that was lost. A call that was not sent asks the same server again until it counts as down, so a higher
    /// number makes the first calls pay more for a server that is.
    fn failures(self, failures: u32) {
        self.failures = failures.max(1);
    }

    /// Sets whether the keys of a server that is down go to other servers, as the selection names them; they do unless set to
    /// `false`. Then they fail at once, with [`Error::Down`](crate::Error::Down), until the server is back.
    ///
    /// With failover a server that comes back still has what it had when it went, and what was stored or deleted elsewhere
    /// meanwhile is not known to it: a `get` finds the old value of a key that was deleted during the outage, until it
    /// expires. The copies on the other servers likewise stay, and are found again in the next outage. Who must not read an
    /// old value sets `false`, lets values expire soon, or flushes a server before it comes back.
    fn failover(self, failover: bool) {
        self.failover = failover;
    }

    /// Sets who hears of every request and of what came of it; nobody unless set. The features `tracing` and `metrics` each
    /// have one.
    fn observer(self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Sets how many connections to each server the tasks of an asynchronous client share; 1 unless set. The blocking
    /// client does not share connections: see `pool_connections`.
    fn shared_connections(self, connections: usize) {
        self.shared_connections = connections.max(1);
    }

    /// Sets how many requests may be in flight on a shared connection, from being encoded until they are answered; 65,536 unless
    /// set. Each takes some 200 bytes of memory.
    fn in_flight_limit(self, requests: usize) {
        self.limits.in_flight = requests.max(1);
    }

    /// Sets how many bytes of requests may wait on a shared connection for the server to take them, but for the last request;
    /// 16 MiB unless set. So a server that reads slowly, or not at all, cannot make memory grow.
    fn unsent_limit(self, bytes: u64) {
        self.limits.unsent = bytes;
    }

    /// Sets what becomes of a call when one of these two limits is reached: with `true`, which is the default, it waits in its turn,
    /// until its deadline, with `false` it fails at once with [`Error::Overloaded`](crate::Error::Overloaded).
    fn wait_at_limit(self, wait: bool) {
        self.wait_at_limit = wait;
    }

    /// Sets the protocol that is spoken on every connection, and asks no server. Unless set, each connection begins with the
    /// question whether the server speaks meta, which takes a round trip: see [`KnownProtocol`](crate::KnownProtocol).
    ///
    /// With [`Protocol::Meta`] a server that does not speak it reads values as commands: set it only for servers that are
    /// sure to.
    fn protocol(self, protocol: Protocol) {
        self.protocol = Some(protocol);
    }

    /// Sets how many connections to one server the blocking client has at most; callers wait for one until their
    /// deadline. 64 unless set.
    fn pool_connections(self, connections: usize) {
        self.pool.connections = connections;
    }

    /// Sets how long a connection may be idle before it is closed; 60 seconds unless set. The blocking client looks when it
    /// needs a connection; an asynchronous one closes it by itself, at most twice as late and once the deadline of the last
    /// call has passed.
    fn pool_idle(self, idle: Duration) {
        self.pool.idle = idle;
    }

    /// Sets after how much time without a packet the operating system asks whether the other end of a TCP connection is still
    /// there (TCP keepalive), so that a firewall does not forget the connection, and one that is dead is found; 60 seconds
    /// unless set, in steps of whole seconds. `None` leaves it off.
    fn keepalive(self, idle: impl Into<Option<Duration>>) {
        self.keepalive = idle.into();
    }

    /// Sets how old a connection may become before another one takes its place, which looks the server's name up anew: so a
    /// server whose address has moved is followed, and so is one that learns another protocol. `None`, as long as it lasts,
    /// unless set. Each connection becomes 90 to 100 % as old, so that those which were made together are not replaced
    /// together. Requests under way are answered on the old one; an asynchronous client may keep it for up to the timeout of a
    /// call longer.
    fn max_age(self, age: impl Into<Option<Duration>>) {
        self.max_age = age.into();
    }

    /// Sets how long a connection of the blocking client may be idle before it is looked at when it is used again; 1
    /// second unless set. A server that restarted, or closes idle connections, has closed it by then.
    fn pool_trusted(self, trusted: Duration) {
        self.pool.trusted = trusted;
    }

    /// Sets the longest line in bytes that is accepted from a server; 8 KiB unless set, and at most 12 KiB.
    fn line_limit(self, bytes: usize) {
        self.limits.line = bytes;
    }

    /// Sets the longest value in bytes that is accepted from a server; 128 MiB unless set. Memory is taken as it
    /// comes, not as it is announced; if there is none for more of it, that call alone fails.
    fn value_limit(self, bytes: usize) {
        self.limits.value = bytes;
    }

    /// Sets the longest value in bytes that is sent; as long as the protocol can say unless set. A longer one fails with
    /// [`Error::TooLarge`](crate::Error::TooLarge) before a byte is sent, where the server, whose own limit is 1 MiB
    /// unless it was started with another `-I`, would take all of it and refuse it then. The server removes the value that was
    /// there before when it refuses a `set`; here it stays, and is still served: delete it if it must not be.
    fn sent_value_limit(self, bytes: usize) {
        self.limits.sent_value = bytes;
    }

    /// Sets how many bytes of statistics are accepted in one answer; 16 MiB unless set.
    fn stats_limit(self, bytes: usize) {
        self.limits.stats = bytes;
    }

    /// Sets how long a reply that nobody waits for any more may go on after its caller's deadline, before its connection
    /// is closed; 1 second unless set.
    fn drain_limit(self, time: Duration) {
        self.limits.drain = time;
    }

    /// Sets how many announced bytes of such a reply may be outstanding at that moment; 8 MiB unless set.
    fn drain_bytes_limit(self, bytes: usize) {
        self.limits.drain_bytes = bytes;
    }
}
