//! What a client knows of its servers, and of its connections to them.

use crate::transport::Pool;
use crate::uri::Server;

/// A server as a client sees it at a moment, and its connections to it: see [`ObservedClient::server_status`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The server.
    pub server: Server,
    /// Whether it counts as up: as long as nothing else was found out.
    pub is_up: bool,
    /// How many connections there may be at most; of an asynchronous client for each runtime, those for large transfers included.
    pub max_connections: usize,
    /// How many are open and in use: a caller has it, or requests on it are not answered yet.
    pub used_connections: usize,
    /// How many are open, and not in use.
    pub idle_connections: usize,
    /// How many requests were sent, or are about to be, and have no answer yet; of a blocking client how many callers have a
    /// connection.
    pub in_flight: usize,
    /// How many callers wait: for a connection of the pool, or on shared connections for one that is opened, or for room.
    pub waiting: usize,
}

/// A client that can be asked for its status, such as by an observer.
pub trait ObservedClient: Send + Sync {
    /// The status of each server at this moment, in the order of the client's [router](crate::Router::servers). Each part is right, but
    /// they are counted one after the other.
    fn server_status(&self) -> Vec<ServerStatus>;
}

impl ServerStatus {
    /// Adds what another client knows of the same server: it counts as up if it does so for all of them.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn add(&mut self, other: &Self) {
        self.is_up &= other.is_up;
        self.max_connections += other.max_connections;
        self.used_connections += other.used_connections;
        self.idle_connections += other.idle_connections;
        self.in_flight += other.in_flight;
        self.waiting += other.waiting;
    }

    /// Adds the connections of a pool, `opening` of which are only about to be.
    pub fn add_pool<S>(&mut self, pool: &Pool<S>, opening: usize) {
        let used = pool.open().saturating_sub(pool.idle() + opening);
        self.max_connections += pool.limit();
        self.used_connections += used;
        self.idle_connections += pool.idle();
        self.in_flight += used;
        self.waiting += pool.waiting();
    }
}
