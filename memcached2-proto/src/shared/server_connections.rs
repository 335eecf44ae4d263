//! The connections to one server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Driver, Freshness, Phase, SharedConnection};
use crate::call::ObservedConnection;
use crate::observer::{Arrival, ServerStatus};
use crate::opening::{Destination, Endpoint};
use crate::options::Options;
use crate::time::Instant;

/// A server, and the connections to it.
#[derive(Debug)]
pub(super) struct Server<I> {
    pub(super) endpoint: Arc<Endpoint>,
    connections: Mutex<ServerConnections<I>>,
}

/// The connections to one server.
#[derive(Debug)]
pub(super) struct ServerConnections<I> {
    pub(super) shared: Group<I>,
    /// Those for large transfers.
    pub(super) bulk: Group<I>,
}

/// Connections that take turns.
#[derive(Debug)]
pub(super) struct Group<I> {
    connections: Vec<OpenConnection<I>>,
    /// Which connection is next.
    next: usize,
    /// When it was found that the server does not answer on a new one.
    failed_at: Option<Instant>,
}

/// A server that does not answer on a connection for large transfers gets another one after this time.
const RETRY: Duration = Duration::from_secs(5);

/// A connection, its runtime, and when it was opened.
#[derive(Debug)]
struct OpenConnection<I> {
    runtime: I,
    shared: Arc<SharedConnection>,
    begun: Instant,
}

impl ObservedConnection for SharedConnection {
    fn peer(&self) -> Option<&Arc<Destination>> {
        self.peer.get()
    }

    fn arrival(&self) -> &Arrival {
        &self.arrival
    }
}

impl SharedConnection {
    /// Adds what is known of it to the status of its server.
    pub(super) fn add_to(&self, status: &mut ServerStatus) {
        let inner = self.lock();
        let (in_flight, waiting) = inner.slots.counts();
        match inner.is_open && inner.phase != Phase::Ended {
            true if inner.slots.is_empty() => status.idle_connections += 1,
            true => status.used_connections += 1,
            false => {}
        }
        status.in_flight += in_flight;
        status.waiting += waiting;
    }
}

impl<I> Server<I> {
    /// A server without connections.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let group = || Group { connections: Vec::new(), next: 0, failed_at: None };
        let connections = ServerConnections { shared: group(), bulk: group() };
        Self { endpoint: Arc::new(endpoint), connections: Mutex::new(connections) }
    }

    /// A panic while the lock was held cannot have left them half changed.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, ServerConnections<I>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets its connections end when all waiting calls have an answer. A call that still needs one opens another.
    pub(super) fn retire(&self) {
        self.lock().all().for_each(|shared| shared.close());
    }
}

/// The drivers end when all waiting calls have an answer.
impl<I> Drop for Server<I> {
    fn drop(&mut self) {
        self.retire();
    }
}

impl<I: Copy + Eq> ServerConnections<I> {
    /// Whether large transfers have connections of their own now. A server gets them that has been connected to and answers: the
    /// first transfer may also find out that it does not.
    pub(super) fn has_bulk(&self, runtime: I, options: &Options, now: Instant) -> bool {
        options.bulk_connections > 0
            && !self.bulk.is_put_off(now)
            && (self.bulk.has(runtime) || self.shared.of(runtime).any(|open| open.shared.is_open()))
    }
}

impl<I> ServerConnections<I> {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<SharedConnection>> {
        self.shared.connections.iter().chain(&self.bulk.connections).map(|open| &open.shared)
    }
}

impl<I: Copy + Eq> Group<I> {
    fn of(&self, runtime: I) -> impl Iterator<Item = &OpenConnection<I>> {
        self.connections.iter().filter(move |open| open.runtime == runtime)
    }

    pub(super) fn has(&self, runtime: I) -> bool {
        self.of(runtime).next().is_some()
    }

    /// Whether no new one is tried, since the server did not answer on one a short time ago.
    pub(super) fn is_put_off(&self, now: Instant) -> bool {
        self.failed_at.is_some_and(|failed_at| now < failed_at + RETRY)
    }

    /// Adds a connection that was just made, whose driver is put into `to_spawn`.
    pub(super) fn add(
        &mut self,
        runtime: I,
        begun: Instant,
        (driver, shared): (Driver, Arc<SharedConnection>),
        to_spawn: &mut Option<Driver>,
    ) -> Arc<SharedConnection> {
        self.connections.push(OpenConnection { runtime, shared: Arc::clone(&shared), begun });
        *to_spawn = Some(driver);
        shared
    }

    /// Removes the connections that have ended. Whether one has because the server does not answer, which was not reported yet.
    pub(super) fn remove_ended(&mut self, now: Instant) -> bool {
        let (mut unreported_outage, failed_at) = (false, &mut self.failed_at);
        self.connections.retain(|open| {
            let ended = open.shared.has_ended();
            unreported_outage |= ended && open.shared.take_unreported_outage();
            if ended && open.shared.is_unusable() {
                *failed_at = Some(now);
            }
            !ended
        });
        unreported_outage
    }

    /// A connection that answers and on which nothing is asked.
    pub(super) fn idle(&self, runtime: I) -> Option<Arc<SharedConnection>> {
        self.of(runtime).find(|open| open.shared.is_idle()).map(|open| Arc::clone(&open.shared))
    }

    /// The only connection, if there is to be one: the path of most calls.
    #[inline]
    pub(super) fn pick_at_once(
        &self,
        runtime: I,
        freshness: Freshness,
        wanted: usize,
    ) -> Option<Arc<SharedConnection>> {
        match &self.connections[..] {
            [open] if wanted <= 1 && open.runtime == runtime && freshness == Freshness::Any => {
                Some(Arc::clone(&open.shared))
            }
            _ => None,
        }
    }

    /// The next connection in turn; `None` if one more is needed. Also whether one has ended because the server does
    /// not answer, which was not reported yet. `asked` is when the call began.
    pub(super) fn pick(
        &mut self,
        runtime: I,
        freshness: Freshness,
        asked: Instant,
        wanted: usize,
    ) -> (Option<Arc<SharedConnection>>, bool) {
        let unreported_outage = self.remove_ended(asked);
        let mut mine = self.connections.iter().filter(|open| open.runtime == runtime);
        let count = mine.clone().count();
        let picked = match freshness {
            Freshness::Fresh(_) => mine.find(|open| open.begun >= asked),
            Freshness::Any | Freshness::Live if count < wanted => None,
            Freshness::Any | Freshness::Live => {
                self.next = (self.next + 1) % count;
                mine.nth(self.next)
            }
        };
        let picked = picked.map(|open| Arc::clone(&open.shared));
        if picked.is_none() && count >= wanted {
            // The new one takes the place of the oldest, which ends when no call waits for it.
            if let Some(oldest) = self.connections.iter().position(|open| open.runtime == runtime) {
                self.connections.remove(oldest).shared.close();
            }
        }
        (picked, unreported_outage)
    }
}
