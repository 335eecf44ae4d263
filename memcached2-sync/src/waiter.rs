//! Waiting in turn for a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use memcached2_proto::transport::Checkout;
use memcached2_proto::{Error, Landed, Now};

use crate::pooled_connection::{Conn, PooledConnection};
use crate::server_pool::{Guard, ServerPool};
use crate::stream::{Deadline, now};

/// A caller that waits in the queue of a pool, and leaves it when this is dropped.
pub(crate) struct Waiter<'s> {
    server_pool: &'s ServerPool,
    /// The pool; `None` only while it is not locked.
    pool: Option<Guard<'s>>,
    number: u64,
    has_ended: bool,
}

impl<'s> Waiter<'s> {
    /// Takes the last place.
    pub(crate) fn new(server_pool: &'s ServerPool, mut pool: Guard<'s>, waker: Waker) -> Self {
        let number = pool.wait(waker);
        Self { server_pool, pool: Some(pool), number, has_ended: false }
    }

    pub(crate) fn pool(&mut self) -> &mut Guard<'s> {
        let server_pool = self.server_pool;
        self.pool.get_or_insert_with(|| server_pool.lock())
    }

    /// What the pool says to this caller, whose turn it may be.
    pub(crate) fn checkout_in_turn(&mut self, now: Now) -> Checkout<Box<Conn>> {
        let number = self.number;
        self.pool().checkout_in_turn(number, now.monotonic)
    }

    /// Whether this caller is the first.
    pub(crate) fn is_first(&mut self) -> bool {
        let number = self.number;
        self.pool().is_first(number)
    }

    /// Waits to be woken, or for no reason.
    pub(crate) fn wait(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        deadline.left()?;
        self.unlock();
        park([deadline]);
        Ok(())
    }

    /// Lets others have the pool.
    fn unlock(&mut self) {
        self.pool = None;
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

/// Waits until a queue in which this thread stands wakes it, or for no reason, and no longer than to the first deadline.
pub(crate) fn park<'d>(deadlines: impl IntoIterator<Item = &'d mut Deadline>) {
    let begun = now();
    let mut deadlines: Vec<_> = deadlines.into_iter().collect();
    let left = deadlines.iter_mut().map(|deadline| deadline.left().unwrap_or_default()).min();
    thread::park_timeout(left.unwrap_or_default());
    deadlines.into_iter().for_each(|deadline| deadline.waited_since(begun));
}

/// A caller that waits for one of the connections to a server that takes no further one, or to which this program has as many as it may,
/// until this is dropped.
///
/// memcached before 1.6.7 sends no error if it is full: it lets new connections wait. So the other connections show whether the
/// server is up.
pub(crate) struct FullServer<'s> {
    server_pool: &'s ServerPool,
    /// Why no connection could be opened: the server has said that it is full, or time has run out. `None` if none was to be opened.
    error: Option<Error>,
    waiter: Option<Waiter<'s>>,
    waker: Waker,
}

impl<'s> FullServer<'s> {
    /// It is looked at again when `waker` is woken.
    pub(crate) fn new(server_pool: &'s ServerPool, error: Option<Error>, waker: Waker) -> Self {
        Self { server_pool, error, waiter: None, waker }
    }

    /// A connection, or the right to open one, or why there will be none; `None` if it is to be waited for. Then this caller stands in
    /// the queue: it has to look again whenever it is woken, or to leave.
    pub(crate) fn look(&mut self, now: Now, deadline: &mut Deadline) -> Option<Result<PooledConnection<'s>, Error>> {
        let server_pool = self.server_pool;
        let new_waiter = |pool| Waiter::new(server_pool, pool, self.waker.clone());
        let mut waiter = self.waiter.take().unwrap_or_else(|| new_waiter(server_pool.lock()));
        loop {
            let checkout = match &self.error {
                None => waiter.checkout_in_turn(now),
                Some(error) => match checkout_of_full(&mut waiter, error, now, deadline) {
                    Some(checkout) => checkout,
                    // The others were closed, or could not be opened either.
                    None => return Some(Err(error.clone())),
                },
            };
            let (conn, was_idle) = match checkout {
                Checkout::Reuse(conn) => (conn, false),
                Checkout::Look(conn) => (conn, true),
                Checkout::Closed => return Some(Err(Error::closed())),
                Checkout::Open => {
                    drop(waiter.finish());
                    return Some(Ok(PooledConnection::to_be_opened(server_pool)));
                }
                Checkout::Wait if deadline.left().is_err() => {
                    let full = self.error.clone().filter(Error::is_server_full);
                    return Some(Err(full.unwrap_or_else(|| Error::timeout(Landed::NotSent))));
                }
                Checkout::Wait => {
                    waiter.unlock();
                    self.waiter = Some(waiter);
                    return None;
                }
            };
            match server_pool.look(waiter.finish(), conn, was_idle) {
                Ok(pooled) => return Some(Ok(pooled)),
                Err(pool) => waiter = new_waiter(pool),
            }
        }
    }

    /// Waits no more: who stands first and does not look would hold up the others.
    pub(crate) fn leave(&mut self) {
        self.waiter = None;
    }
}

/// What the pool of a server says that takes no further connection; `None` if there is none to be waited for.
fn checkout_of_full(
    waiter: &mut Waiter<'_>,
    error: &Error,
    now: Now,
    deadline: &mut Deadline,
) -> Option<Checkout<Box<Conn>>> {
    // A server that says that it is full has taken those that others are opening.
    let opening = if error.is_server_full() { 0 } else { waiter.server_pool.opening.load(Ordering::Acquire) };
    match waiter.pool().open() > opening {
        // Nobody is woken any more.
        true if waiter.pool().is_closed() => Some(Checkout::Closed),
        true if waiter.is_first() => Some(waiter.pool().checkout_idle(now.monotonic).unwrap_or(Checkout::Wait)),
        true => Some(Checkout::Wait),
        // The others are gone, and there is time left.
        false if matches!(error, Error::Timeout { .. }) && deadline.left().is_ok() => {
            Some(waiter.checkout_in_turn(now))
        }
        false => None,
    }
}

/// Wakes a thread that is parked.
pub(crate) struct Unpark(pub(crate) Thread);

impl Unpark {
    /// A waker of this thread.
    pub(crate) fn this_thread() -> Waker {
        Waker::from(Arc::new(Self(thread::current())))
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
