//! Waiting in turn for a connection.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use memcached2_proto::Error;

use crate::server_pool::{Guard, ServerPool};
use crate::stream::{Deadline, now};

/// A caller that waits in the queue of a pool, and leaves it when this is dropped.
pub(crate) struct Waiter<'s> {
    server_pool: &'s ServerPool,
    /// The pool; `None` only while it is not locked.
    pool: Option<Guard<'s>>,
    pub(crate) number: u64,
    has_ended: bool,
}

impl<'s> Waiter<'s> {
    /// Takes the last place.
    pub(crate) fn new(server_pool: &'s ServerPool, mut pool: Guard<'s>) -> Self {
        let number = pool.wait(Waker::from(Arc::new(Unpark(thread::current()))));
        Self { server_pool, pool: Some(pool), number, has_ended: false }
    }

    pub(crate) fn pool(&mut self) -> &mut Guard<'s> {
        let server_pool = self.server_pool;
        self.pool.get_or_insert_with(|| server_pool.lock())
    }

    /// Whether this caller is the first.
    pub(crate) fn is_first(&mut self) -> bool {
        let number = self.number;
        self.pool().is_first(number)
    }

    /// Waits to be woken, or for no reason.
    pub(crate) fn wait(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let (left, begun) = (deadline.left()?, now());
        self.pool = None;
        thread::park_timeout(left);
        deadline.waited_since(begun);
        Ok(())
    }

    /// Ends waiting, since it is this caller's turn.
    pub(crate) fn finish(mut self) -> Guard<'s> {
        self.end();
        let server_pool = self.server_pool;
        self.pool.take().unwrap_or_else(|| server_pool.lock())
    }

    /// A caller that leaves wakes the next one, if there is a connection for it.
    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let number = self.number;
        let pool = self.pool();
        pool.leave(number);
        let next = pool.next();
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Waiter<'_> {
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
