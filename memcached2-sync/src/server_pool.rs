//! The connections to one server: a pool, and one caller at a time on each.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use memcached2_proto::observer::ServerStatus;
use memcached2_proto::opening::Endpoint;
use memcached2_proto::transport::{Checkout, Pool};
use memcached2_proto::{Error, Now, Options, Server};

use crate::pooled_connection::{Conn, PooledConnection};
use crate::stream::{Deadline, now as clock};
use crate::waiter::{FullServer, Unpark, Waiter, park};

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct ServerPool {
    pub(crate) endpoint: Arc<Endpoint>,
    pool: Mutex<Pool<Box<Conn>>>,
    /// How many of them are being opened, or about to be.
    pub(crate) opening: AtomicUsize,
    /// Notified when a connection was closed after the client.
    pub(crate) emptied: Condvar,
    /// The process that has made the idle connections.
    pub(crate) process: AtomicU32,
}

impl ServerPool {
    /// The pool of the server at this place, without connections yet.
    pub(crate) fn new(place: usize, server: &Server, options: &Options) -> Self {
        let endpoint = Endpoint::new(place, server, options);
        Self {
            pool: Mutex::new(Pool::new(endpoint.options().pool)),
            opening: AtomicUsize::new(0),
            endpoint: Arc::new(endpoint),
            emptied: Condvar::new(),
            process: AtomicU32::new(std::process::id()),
        }
    }

    /// A connection to the server that is in step.
    #[inline]
    pub(crate) fn checkout(
        &self,
        fresh: bool,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<PooledConnection<'_>, Error> {
        let (pool, checkout) = self.ask_pool(fresh, now, deadline);
        match checkout {
            Checkout::Reuse(conn) if !conn.connection.needs_look() => Ok(PooledConnection::reused(self, conn, false)),
            other => self.open(pool, other, now, deadline),
        }
    }

    /// A connection to the server that is in step, or the right to open one; `None` if it has to be waited for.
    pub(crate) fn reserve(
        &self,
        fresh: bool,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<Option<PooledConnection<'_>>, Error> {
        let (pool, checkout) = self.ask_pool(fresh, now, deadline);
        self.settle(pool, checkout, now).map(Result::ok)
    }

    /// What the pool says, and the pool.
    #[inline]
    fn ask_pool(&self, fresh: bool, now: Now, deadline: &mut Deadline) -> (Guard<'_>, Checkout<Box<Conn>>) {
        deadline.within(self.endpoint.options().timeout);
        let mut pool = self.lock();
        if fresh {
            pool.clear();
        }
        let checkout = pool.checkout(now.monotonic);
        (pool, checkout)
    }

    /// Opens a connection, if none is idle and still open.
    #[cold]
    fn open<'s>(
        &'s self,
        pool: Guard<'s>,
        checkout: Checkout<Box<Conn>>,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<PooledConnection<'s>, Error> {
        let (mut pool, mut checkout) = (pool, checkout);
        let mut pooled = loop {
            match self.settle(pool, checkout, now)? {
                Ok(pooled) => break pooled,
                Err(guard) => (pool, checkout) = self.wait(guard, now, deadline)?,
            }
        };
        while pooled.conn.is_none() {
            let begun = clock();
            let connected = pooled.connect(&mut deadline.at_most(self.time_to_open()));
            let Err(error) = connected else {
                deadline.waited_since(begun);
                break;
            };
            drop(pooled);
            pooled = self.wait_if_full(error, now, deadline)?;
        }
        Ok(pooled)
    }

    /// Does what the pool says, until there is a connection or the right to open one, or that has to be waited for.
    #[cold]
    fn settle<'s>(
        &'s self,
        mut pool: Guard<'s>,
        mut checkout: Checkout<Box<Conn>>,
        now: Now,
    ) -> Result<Result<PooledConnection<'s>, Guard<'s>>, Error> {
        loop {
            let looked = match checkout {
                Checkout::Wait => return Ok(Err(pool)),
                Checkout::Closed => return Err(Error::closed()),
                Checkout::Open => {
                    drop(pool);
                    return Ok(Ok(PooledConnection::to_be_opened(self)));
                }
                Checkout::Reuse(conn) if !conn.connection.needs_look() => {
                    return Ok(Ok(PooledConnection::reused(self, conn, false)));
                }
                Checkout::Reuse(conn) => self.look(pool, conn, false),
                Checkout::Look(conn) => self.look(pool, conn, true),
            };
            match looked {
                Ok(pooled) => return Ok(Ok(pooled)),
                Err(guard) => pool = guard,
            }
            checkout = pool.checkout_again(now.monotonic);
        }
    }

    /// Takes an idle connection, unless the server has closed it or has sent unexpected bytes.
    #[cold]
    pub(crate) fn look<'s>(
        &'s self,
        pool: Guard<'s>,
        conn: Box<Conn>,
        was_idle: bool,
    ) -> Result<PooledConnection<'s>, Guard<'s>> {
        let pooled = PooledConnection::reused(self, conn, was_idle);
        if self.is_of_this_process(pool) && pooled.conn.as_ref().is_some_and(|conn| conn.stream.is_quiet()) {
            return Ok(pooled);
        }
        drop(pooled);
        Err(self.lock())
    }

    /// Whether the idle connections were made by this process. After a fork they are those of the parent, which goes on with them:
    /// they are closed in this process alone, and others are opened.
    fn is_of_this_process(&self, mut pool: Guard<'_>) -> bool {
        let process = std::process::id();
        let is_same = self.process.swap(process, Ordering::Relaxed) == process;
        if !is_same {
            pool.clear();
        }
        is_same
    }

    /// If the server accepts no further connection, a caller waits for an existing one, or until it may open one.
    #[cold]
    fn wait_if_full(&self, error: Error, now: Now, deadline: &mut Deadline) -> Result<PooledConnection<'_>, Error> {
        if !error.is_server_full() && !error.is_timeout() {
            return Err(error);
        }
        let mut full = FullServer::new(self, Some(error), Unpark::this_thread());
        loop {
            if let Some(ended) = full.look(now, deadline) {
                return ended;
            }
            park([&mut *deadline]);
        }
    }

    /// Whether a connection may have failed to open because the server takes no more of them.
    pub(crate) fn may_be_full(&self, error: &Error) -> bool {
        error.is_server_full() || (error.is_timeout() && self.has_others())
    }

    /// How long a connection may take to be opened. A server that says nothing on a new one may be full: then one of the others is
    /// free before it speaks.
    pub(crate) fn time_to_open(&self) -> Duration {
        if self.has_others() { self.endpoint.options().connect_timeout } else { Duration::MAX }
    }

    /// Whether there are connections besides those that other callers are opening: what those wait for may never come.
    fn has_others(&self) -> bool {
        self.lock().open() > self.opening.load(Ordering::Acquire)
    }

    /// Waits in turn until there is a connection, or the right to open one.
    #[cold]
    fn wait<'s>(
        &'s self,
        pool: Guard<'s>,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<(Guard<'s>, Checkout<Box<Conn>>), Error> {
        let mut waiter = Waiter::new(self, pool, Unpark::this_thread());
        loop {
            waiter.wait(deadline)?;
            match waiter.checkout_in_turn(now) {
                Checkout::Wait => {}
                checkout => return Ok((waiter.finish(), checkout)),
            }
        }
    }

    /// Adds what is known of it to the status of its server.
    pub(crate) fn add_to(&self, status: &mut ServerStatus) {
        status.add_pool(&self.lock(), self.opening.load(Ordering::Acquire));
    }

    /// The pool. A panic while the lock was held cannot have left it half changed.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the pool and its idle connections, and wakes all waiting callers.
    pub(crate) fn close(&self) {
        let (idle, waiting) = self.lock().close();
        waiting.into_iter().for_each(Waker::wake);
        self.emptied.notify_all();
        idle.into_iter().for_each(|conn| conn.quit());
    }

    /// Waits until no connection is open; `false` if time runs out.
    pub(crate) fn wait_until_empty(&self, deadline: &mut Deadline) -> bool {
        let mut pool = self.lock();
        while pool.open() > 0 {
            let Ok(left) = deadline.left() else { return false };
            (pool, _) = self.emptied.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Called when a connection has left the pool.
    #[cold]
    pub(crate) fn on_closed(&self) {
        let mut pool = self.lock();
        let next = pool.closed();
        let is_closed = pool.is_closed();
        drop(pool);
        next.into_iter().for_each(Waker::wake);
        if is_closed {
            self.emptied.notify_all();
        }
    }
}

/// The pool, while it is locked.
pub(crate) type Guard<'p> = MutexGuard<'p, Pool<Box<Conn>>>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memcached2_proto::{Error, Expiry, Options};
    use memcached2_testkit::{EmbeddedServer, Faults};

    use crate::Client;

    #[test]
    fn a_call_that_waits_for_a_connection_to_a_full_server_ends_when_the_client_is_closed() {
        let server = EmbeddedServer::start();
        let options = Options::default().timeout(Duration::from_secs(20));
        let client = Client::with_options([server.address()], options).unwrap();
        client.set("a", "x", Expiry::Never).unwrap();
        server.set_faults(Faults::none().max_connections(1).delay(Duration::MAX));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| client.get("a"));
            let status = || client.server_status().remove(0);
            while status().used_connections == 0 {
                std::thread::yield_now();
            }
            let second = scope.spawn(|| client.get("a"));
            while status().waiting == 0 {
                std::thread::yield_now();
            }
            client.close(Duration::ZERO);
            let error = second.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Closed { .. }), "{error:?}");
            server.set_faults(Faults::none());
            assert!(first.join().unwrap().is_ok());
        });
    }
}
