//! Waiting in turn for a connection.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use memcached2_proto::Error;

use crate::station::{Guard, Station};
use crate::stream::Patience;

/// A caller who waits in the queue of a pool, which he leaves when this is dropped.
pub(crate) struct Turn<'s> {
    station: &'s Station,
    /// The pool; `None` only while it is not locked.
    pool: Option<Guard<'s>>,
    pub(crate) number: u64,
    has_left: bool,
}

impl<'s> Turn<'s> {
    /// Takes a place behind all others.
    pub(crate) fn new(station: &'s Station, mut pool: Guard<'s>) -> Self {
        let number = pool.wait(Waker::from(Arc::new(Unpark(thread::current()))));
        Self { station, pool: Some(pool), number, has_left: false }
    }

    pub(crate) fn pool(&mut self) -> &mut Guard<'s> {
        let station = self.station;
        self.pool.get_or_insert_with(|| station.lock())
    }

    /// Whether nobody else is before this caller.
    pub(crate) fn has_come(&mut self) -> bool {
        let number = self.number;
        self.pool().is_first(number)
    }

    /// Waits to be woken, or for no reason.
    pub(crate) fn wait(&mut self, patience: &mut Patience) -> Result<(), Error> {
        let (left, begun) = (patience.left()?, Instant::now());
        self.pool = None;
        thread::park_timeout(left);
        patience.waited_since(begun);
        Ok(())
    }

    /// Ends waiting, since it is this caller's turn.
    pub(crate) fn leave(mut self) -> Guard<'s> {
        self.end();
        let station = self.station;
        self.pool.take().unwrap_or_else(|| station.lock())
    }

    /// Whoever leaves wakes the next one, if there is something for him.
    fn end(&mut self) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        let number = self.number;
        let pool = self.pool();
        pool.leave(number);
        let next = pool.next();
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Wakes a thread that is parked.
pub(crate) struct Unpark(pub(crate) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
