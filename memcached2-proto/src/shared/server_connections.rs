//! The connections to one server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Freshness, SharedConnection};
use crate::opening::Endpoint;
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
    connections: Vec<OpenConnection<I>>,
    /// Which connection is next.
    next: usize,
    pub(super) closed: bool,
}

/// A connection, its runtime, and when it was opened.
#[derive(Debug)]
struct OpenConnection<I> {
    runtime: I,
    shared: Arc<SharedConnection>,
    begun: Instant,
}

impl<I> Server<I> {
    /// A server without connections.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let connections = ServerConnections { connections: Vec::new(), next: 0, closed: false };
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

impl<I> ServerConnections<I> {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<SharedConnection>> {
        self.connections.iter().map(|open| &open.shared)
    }

    /// Adds a connection that was just made.
    pub(super) fn add(&mut self, runtime: I, begun: Instant, shared: &Arc<SharedConnection>) {
        self.connections.push(OpenConnection { runtime, shared: Arc::clone(shared), begun });
    }
}

impl<I: Copy + Eq> ServerConnections<I> {
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
        let mut unreported_outage = false;
        self.connections.retain(|open| {
            let ended = open.shared.has_ended();
            unreported_outage |= ended && open.shared.take_unreported_outage();
            !ended
        });
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
