//! The connections to one server: a pool, and one caller at a time on each.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use memcached2_proto::{Address, Checkout, Command, Connection, Error, KnownProtocol, Leg, Lookup, Now, Options, Pool};

use crate::stream::{Connecting, Patience, Stream};
use crate::turn::Turn;

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Station {
    address: Address,
    pool: Mutex<Pool<Box<Link>>>,
    /// Told when a connection was closed after the client.
    emptied: Condvar,
    /// With what the server's URI says otherwise.
    options: Options,
    /// What its connections have found out of the protocol that it speaks.
    known: KnownProtocol,
    lookup: Arc<Lookup>,
}

impl Station {
    pub(crate) fn new(address: Address, options: Options) -> Self {
        Self {
            address,
            pool: Mutex::new(Pool::new(options.pool)),
            emptied: Condvar::new(),
            options,
            known: KnownProtocol::default(),
            lookup: Arc::default(),
        }
    }

    /// A connection to the server that is in step.
    #[inline(always)]
    pub(crate) fn checkout(&self, fresh: bool, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        match self.at_hand(fresh, now, patience) {
            Ok(lease) => Ok(lease),
            Err((pool, checkout)) => self.open(pool, checkout, now, patience),
        }
    }

    /// A connection to the server that is in step, or the right to open one.
    pub(crate) fn reserve(&self, fresh: bool, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        match self.at_hand(fresh, now, patience) {
            Ok(lease) => Ok(lease),
            Err((pool, checkout)) => self.settle(pool, checkout, now, patience),
        }
    }

    /// An idle connection that needs no look, or what else the pool says.
    // In place, with all else cold: 46 instructions less of a get.
    #[inline(always)]
    fn at_hand(
        &self,
        fresh: bool,
        now: Now,
        patience: &mut Patience,
    ) -> Result<Lease<'_>, (Guard<'_>, Checkout<Box<Link>>)> {
        patience.within(self.options.timeout);
        let mut pool = self.lock();
        if fresh {
            pool.clear();
        }
        match pool.checkout(now.monotonic) {
            Checkout::Reuse(link) if !link.connection.needs_look() => {
                Ok(Lease { station: self, link: Some(link), was_idle: false })
            }
            other => Err((pool, other)),
        }
    }

    /// Opens a connection, if none is idle and still open.
    #[cold]
    fn open<'s>(
        &'s self,
        pool: Guard<'s>,
        checkout: Checkout<Box<Link>>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<Lease<'s>, Error> {
        let mut lease = self.settle(pool, checkout, now, patience)?;
        if lease.link.is_none() {
            if let Err(error) = lease.connect(patience) {
                drop(lease);
                return self.wait_if_full(error, now, patience);
            }
        }
        Ok(lease)
    }

    /// Does what the pool says, until there is a connection or the right to open one.
    #[cold]
    fn settle<'s>(
        &'s self,
        mut pool: Guard<'s>,
        mut checkout: Checkout<Box<Link>>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<Lease<'s>, Error> {
        loop {
            let looked = match checkout {
                Checkout::Wait => {
                    (pool, checkout) = self.wait(pool, now, patience)?;
                    continue;
                }
                Checkout::Closed => return Err(Error::Closed),
                Checkout::Open => {
                    drop(pool);
                    return Ok(Lease { station: self, link: None, was_idle: false });
                }
                Checkout::Reuse(link) => self.look(pool, link, false),
                Checkout::Look(link) => self.look(pool, link, true),
            };
            match looked {
                Ok(lease) => return Ok(lease),
                Err(guard) => pool = guard,
            }
            checkout = pool.checkout_again(now.monotonic);
        }
    }

    /// Takes an idle connection, unless the server has closed it or sent something that nobody asked for.
    #[cold]
    fn look<'s>(&'s self, pool: Guard<'s>, link: Box<Link>, was_idle: bool) -> Result<Lease<'s>, Guard<'s>> {
        let lease = Lease { station: self, link: Some(link), was_idle };
        drop(pool);
        if lease.link.as_ref().is_some_and(|link| link.stream.is_quiet()) {
            return Ok(lease);
        }
        drop(lease);
        Err(self.lock())
    }

    /// Where the server takes no further connection, a caller waits for one of those that there are.
    #[cold]
    fn wait_if_full(&self, error: Error, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        if !error.is_server_full() {
            return Err(error);
        }
        let mut turn = Turn::new(self, self.lock());
        while turn.pool().open() > 0 {
            let checkout = match turn.has_come() {
                true => turn.pool().checkout_idle(now.monotonic),
                false => None,
            };
            let (link, was_idle) = match checkout {
                Some(Checkout::Reuse(link)) => (link, false),
                Some(Checkout::Look(link)) => (link, true),
                _ => match turn.wait(patience) {
                    Ok(()) => continue,
                    Err(_) => return Err(error),
                },
            };
            match self.look(turn.leave(), link, was_idle) {
                Ok(lease) => return Ok(lease),
                Err(pool) => turn = Turn::new(self, pool),
            }
        }
        Err(error)
    }

    /// Waits in turn until there is a connection, or the right to open one.
    #[cold]
    fn wait<'s>(
        &'s self,
        pool: Guard<'s>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<(Guard<'s>, Checkout<Box<Link>>), Error> {
        let mut turn = Turn::new(self, pool);
        loop {
            turn.wait(patience)?;
            let number = turn.number;
            match turn.pool().checkout_in_turn(number, now.monotonic) {
                Checkout::Wait => {}
                checkout => return Ok((turn.leave(), checkout)),
            }
        }
    }

    /// The pool. A panic while the lock was held cannot have left it half changed.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the pool and its idle connections, and wakes whoever waits for one.
    pub(crate) fn close(&self) {
        let (idle, waiting) = self.lock().close();
        waiting.into_iter().for_each(Waker::wake);
        self.emptied.notify_all();
        idle.into_iter().for_each(|link| link.quit());
    }

    /// Waits until no connection is open; `false` if time runs out.
    pub(crate) fn wait_until_empty(&self, patience: &mut Patience) -> bool {
        let mut pool = self.lock();
        while pool.open() > 0 {
            let Ok(left) = patience.left() else { return false };
            (pool, _) = self.emptied.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Hears that a connection is gone from the pool.
    #[cold]
    fn on_closed(&self) {
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
pub(crate) type Guard<'p> = MutexGuard<'p, Pool<Box<Link>>>;

/// A socket and the state of the conversation on it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    pub(crate) connection: Connection,
    /// Within which time the server has to say which protocol it speaks, if it is asked and has to.
    within: Option<Duration>,
    begun: Instant,
    /// Whether the socket was full when it was written to last.
    is_stuck: bool,
}

impl Link {
    /// Submits a leg, and writes as much of it as may go before replies are read.
    #[inline(always)]
    pub(crate) fn ask<P: Command>(
        &mut self,
        leg: &mut Leg<'_, P>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        leg.submit(&mut self.connection, now);
        self.write(patience)
    }

    /// Submits a leg, and writes as much of it as the socket takes at once; whether that is all that may go now.
    pub(crate) fn begin<P: Command>(
        &mut self,
        leg: &mut Leg<'_, P>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        leg.submit(&mut self.connection, now);
        self.write_at_once(patience)
    }

    /// Writes what may go before replies are read, as much as the socket takes at once; whether that is all.
    #[cfg(unix)]
    pub(crate) fn write_at_once(&mut self, patience: &mut Patience) -> Result<bool, Error> {
        patience.left()?;
        while !self.connection.is_flushed() {
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let count = self.connection.outgoing(&mut slices);
            if count == 0 {
                break;
            }
            match self.stream.write_at_once(&slices[..count])? {
                Some(n) => {
                    self.connection.wrote(n);
                    if std::mem::take(&mut self.is_stuck) {
                        self.connection.took();
                    }
                }
                None => {
                    self.is_stuck = true;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Writes all that may go before replies are read: where there is no poll(2), nobody waits for several sockets.
    #[cfg(not(unix))]
    pub(crate) fn write_at_once(&mut self, patience: &mut Patience) -> Result<bool, Error> {
        self.write(patience).map(|()| true)
    }

    /// Writes all that may go before replies are read.
    #[inline(always)]
    fn write(&mut self, patience: &mut Patience) -> Result<(), Error> {
        while !self.connection.is_flushed() {
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let count = self.connection.outgoing(&mut slices);
            if count == 0 {
                break;
            }
            let n = self.stream.write(&slices[..count], patience)?;
            if n == 0 {
                return Err(Error::lost(&std::io::ErrorKind::WriteZero.into()));
            }
            self.connection.wrote(n);
        }
        Ok(())
    }

    /// Waits until the server has said which protocol it speaks.
    fn open(&mut self, patience: &mut Patience) -> Result<(), Error> {
        let mut own = match self.within {
            Some(within) => patience.at_most(within)?,
            None => patience.clone(),
        };
        self.write(&mut own)?;
        while !self.hear_probe(&mut own)? {}
        Ok(())
    }

    /// Reads once; `true` when the server has said which protocol it speaks.
    pub(crate) fn hear_probe(&mut self, patience: &mut Patience) -> Result<bool, Error> {
        let n = self.stream.read(self.connection.space(), patience)?;
        let end = self.connection.filled(n);
        // There is no other reply than the one to the probe.
        self.connection.next_reply()?;
        if self.connection.is_probing() {
            end?;
        }
        Ok(!self.connection.is_probing())
    }

    /// Takes leave of the server; whether it hears that makes no difference.
    fn quit(mut self: Box<Self>) {
        self.connection.quit();
        let _ = self.write(&mut Patience::new(Instant::now(), Duration::from_millis(100)));
    }

    /// Reads until all replies of the leg are there, and writes what is left as soon as it may go.
    #[inline(always)]
    pub(crate) fn converse<P: Command>(
        &mut self,
        leg: &mut Leg<'_, P>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        while !leg.is_done() {
            self.hear_some(leg, now, patience)?;
        }
        Ok(())
    }

    /// Reads once, and writes what may go then; `true` when all replies of the leg are there.
    #[inline(always)]
    fn hear_some<P: Command>(
        &mut self,
        leg: &mut Leg<'_, P>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let is_done = self.read(leg, now, patience)?;
        if !is_done {
            self.write(patience)?;
        }
        Ok(is_done)
    }

    /// Reads once, and submits more of the leg if there is more; `true` when all replies are there.
    #[inline(always)]
    pub(crate) fn read<P: Command>(
        &mut self,
        leg: &mut Leg<'_, P>,
        now: Now,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let n = self.stream.read(self.connection.space(), patience)?;
        let end = self.connection.filled(n);
        let is_done = leg.hear(&mut self.connection)?;
        if !is_done {
            end?;
            leg.submit(&mut self.connection, now);
        }
        Ok(is_done)
    }
}

/// A connection that is checked out, or the right to open one. Unless it is checked in, it is closed, even by a panic.
#[derive(Debug)]
pub(crate) struct Lease<'s> {
    station: &'s Station,
    pub(crate) link: Option<Box<Link>>,
    /// Whether the connection had been idle for so long that it may have died unnoticed.
    was_idle: bool,
}

impl Lease<'_> {
    #[inline(always)]
    #[expect(clippy::expect_used, reason = "only `checkin` takes it, which ends the lease")]
    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a lease has a link until it is checked in")
    }

    /// Opens the connection.
    #[cold]
    fn connect(&mut self, patience: &mut Patience) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let stream = Stream::connect(&self.station.address, &self.station.lookup, &self.station.options, patience)?;
            self.begin(stream);
            if self.link().connection.is_probing() {
                if let Err(error) = self.link().open(patience) {
                    self.reopens(error, patience)?;
                    continue;
                }
                self.opened();
            }
            patience.waited_since(begun);
            return Ok(());
        }
    }

    /// Begins to open the connection; `None` when it was made at once.
    pub(crate) fn begin_connecting(&mut self, patience: &mut Patience) -> Result<Option<Connecting>, Error> {
        let connecting =
            Connecting::begin(&self.station.address, &self.station.lookup, &self.station.options, patience)?;
        if connecting.is_none() {
            let stream = Stream::connect(&self.station.address, &self.station.lookup, &self.station.options, patience)?;
            self.begin(stream);
        }
        Ok(connecting)
    }

    /// Takes the connection that was made.
    pub(crate) fn connected(&mut self, connecting: Connecting) -> Result<(), Error> {
        let stream = connecting.finish(&self.station.options)?;
        self.begin(stream);
        Ok(())
    }

    /// Asks the server for its protocol. Until when it has to say something, if it has to.
    pub(crate) fn probe(&mut self, patience: &mut Patience) -> Result<Option<Instant>, Error> {
        let link = self.link();
        link.write(patience)?;
        Ok(link.within.and_then(|within| Instant::now().checked_add(within)))
    }

    /// Begins the conversation.
    fn begin(&mut self, stream: Stream) {
        let now = Now::new(Instant::now(), SystemTime::now);
        let (connection, within) = self.station.known.begin(&self.station.options, now);
        self.link = Some(Box::new(Link { stream, connection, within, begun: now.monotonic, is_stuck: false }));
    }

    /// The server has said which protocol it speaks.
    pub(crate) fn opened(&mut self) {
        let protocol = self.link().connection.protocol();
        self.station.known.proved(protocol);
    }

    /// The server was asked for its protocol and did not answer: whether to connect once more, without asking it, or the
    /// error. That a caller has no more time says nothing.
    pub(crate) fn reopens(&mut self, error: Error, patience: &mut Patience) -> Result<(), Error> {
        self.link = None;
        match error {
            Error::Timeout { .. } | Error::Disconnected { .. } | Error::Protocol { .. }
                if patience.left().is_ok() && self.station.known.retries_classic(Instant::now()) =>
            {
                Ok(())
            }
            Error::Timeout { .. } => Err(KnownProtocol::silence()),
            error => Err(error),
        }
    }

    /// Ends what was asked on the connection with an error, and closes it; and with it the others that have been idle since
    /// before the call, if it was dead before it was used.
    #[cold]
    pub(crate) fn fail<P>(mut self, leg: &mut Leg<'_, P>, error: &Error, now: Now) {
        let Some(mut link) = self.link.take() else { return leg.fail(error) };
        let Station { known, options, .. } = self.station;
        let spares_server = self.was_idle || known.asks(options, Instant::now());
        if leg.fail_on(&mut link.connection, error, spares_server) {
            known.doubt();
            self.station.lock().discard_idle_since(now.monotonic);
        }
    }

    /// Whether the connection is older than it may become.
    #[inline]
    fn is_old(&mut self, now: Now) -> bool {
        let Some(age) = self.station.options.max_age else { return false };
        now.monotonic.saturating_duration_since(self.link().begun) > age
    }

    /// Gives the connection back, if it is in step.
    #[inline(always)]
    pub(crate) fn checkin(mut self, now: Now) {
        if !self.link().connection.is_idle() || self.is_old(now) {
            return;
        }
        if let Some(link) = self.link.take() {
            let mut pool = self.station.lock();
            let next = pool.checkin(link, now.monotonic);
            let is_closed = pool.is_closed();
            drop(pool);
            if let Some(next) = next {
                next.wake();
            }
            if is_closed {
                self.station.emptied.notify_all();
            }
            std::mem::forget(self);
        }
    }
}

impl Drop for Lease<'_> {
    #[cold]
    fn drop(&mut self) {
        drop(self.link.take());
        self.station.on_closed();
    }
}
