//! How a client behaves, whichever its transport.

use std::time::Duration;

use crate::command::Dialect;
use crate::limits::Limits;
use crate::pool::PoolLimits;

/// How a client behaves. Every option has a default that suits production; change what you must.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::Options;
///
/// let options = Options::default().timeout(Duration::from_millis(250));
/// assert_eq!(options.connect_timeout, Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// See [`Options::timeout`].
    pub timeout: Duration,
    /// See [`Options::connect_timeout`].
    pub connect_timeout: Duration,
    /// See [`Options::shared_connections`].
    pub shared_connections: usize,
    /// See [`Options::dialect`].
    pub dialect: Option<Dialect>,
    /// See [`Options::pool`].
    pub pool: PoolLimits,
    /// See [`Options::limits`].
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            shared_connections: 1,
            dialect: None,
            pool: PoolLimits::default(),
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Sets how long a whole call may take, connecting and a retry included; 1 second unless set. A call that takes
    /// longer fails: with [`Error::Timeout`](crate::Error::Timeout), with [`Error::Connect`](crate::Error::Connect) if
    /// there was no connection yet, or with [`Error::Disconnected`](crate::Error::Disconnected) if the connection was
    /// given up because another caller had waited in vain.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long connecting to one server may take; 500 milliseconds unless set. The deadline of the call holds
    /// besides.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many connections to each server the tasks of an asynchronous client share; 1 unless set. The blocking
    /// client does not share connections: see [`PoolLimits::connections`].
    #[must_use]
    pub fn shared_connections(mut self, connections: usize) -> Self {
        self.shared_connections = connections.max(1);
        self
    }

    /// Sets the dialect that is spoken on every connection. Unless set, the blocking client speaks text, and shared
    /// connections ask the server for its version, to speak the one that serves many callers best.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Sets how many connections the blocking client opens, and how long it keeps them.
    #[must_use]
    pub fn pool(mut self, pool: PoolLimits) -> Self {
        self.pool = pool;
        self
    }

    /// Sets what is accepted from a server.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
