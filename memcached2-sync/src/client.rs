//! The client: a pool of connections to each server, one caller at a time on each.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use memcached2_proto::{
    Call, Checkout, Command, Connection, Dialect, Error, Leg, Now, Operation, Options, Pool, Router, ServerId,
};

use crate::stream::{Patience, Stream};

/// A client whose calls block the calling thread.
///
/// It is cheap to clone and can be shared by any number of threads: each call takes a connection from a pool, or opens
/// one, and gives it back in step.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    router: Router,
    stations: Vec<Station>,
    options: Options,
}

/// The connections to one server.
#[derive(Debug)]
struct Station {
    pool: Mutex<Pool<Box<Link>>>,
    /// Told when a connection came back or was closed while callers wait for one.
    freed: Condvar,
}

/// A socket and the state of the conversation on it.
#[derive(Debug)]
struct Link {
    stream: Stream,
    connection: Connection,
}

impl Client {
    /// A client of `servers`, with the default [`Options`]. Nothing is connected yet: it works as soon as they do.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] when one of the texts names no server; [`proto::Server`](memcached2_proto::Server) says how they
    /// are written.
    pub fn new(servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Self::with_options(servers, Options::default())
    }

    /// A client of `servers` that behaves as `options` say.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::new`].
    pub fn with_options(servers: impl IntoIterator<Item = impl AsRef<str>>, options: Options) -> Result<Self, Error> {
        let router = Router::parse(servers)?;
        let station = || Station { pool: Mutex::new(Pool::new(options.pool)), freed: Condvar::new() };
        let stations = router.ids().map(|_| station()).collect();
        Ok(Self { shared: Arc::new(Shared { router, stations, options }) })
    }

    /// Runs any operation; every other method is a name for one call of this.
    ///
    /// # Errors
    ///
    /// What the operation makes of the failures of its parts.
    #[inline]
    pub fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        let shared = &*self.shared;
        let started = Instant::now();
        let now = Now::new(started, SystemTime::now);
        let mut patience = Patience::new(started, shared.options.timeout);
        let mut call = Call::new(operation, &shared.router, now);
        loop {
            let mut legs = call.legs();
            if let Some(leg) = legs.next() {
                shared.round(leg, &mut legs, now, &mut patience);
            }
            drop(legs);
            if !call.settle() {
                return call.finish();
            }
        }
    }

    memcached2_proto::operations!([] []);
}

impl Shared {
    /// Asks one server, then the others, and then hears the one: so all of them work at the same time.
    #[inline(always)]
    fn round<'c, P: Command + 'c>(
        &self,
        mut leg: Leg<'c, P>,
        others: &mut impl Iterator<Item = Leg<'c, P>>,
        now: Now,
        patience: &mut Patience,
    ) {
        let asked = self.ask(&mut leg, now, patience);
        if let Some(next) = others.next() {
            self.next_round(next, others, now, patience);
        }
        match asked {
            Ok(link) => self.hear(leg, link, now, patience),
            Err(error) => leg.fail(&error),
        }
    }

    /// The same behind a call, so that the one above can be inlined for the first server, which is often the only one.
    fn next_round<'c, P: Command + 'c>(
        &self,
        leg: Leg<'c, P>,
        others: &mut impl Iterator<Item = Leg<'c, P>>,
        now: Now,
        patience: &mut Patience,
    ) {
        self.round(leg, others, now, patience);
    }

    /// Writes the requests of a leg, as many as may go before their replies are read.
    #[inline(always)]
    fn ask<P: Command>(&self, leg: &mut Leg<'_, P>, now: Now, patience: &mut Patience) -> Result<Box<Link>, Error> {
        let server = leg.server();
        let mut link = self.checkout(server, leg.is_retry(), now, patience)?;
        leg.submit(&mut link.connection, now);
        match link.write(patience) {
            Ok(()) => Ok(link),
            Err(error) => {
                leg.fail_on(&mut link.connection, &error);
                self.close(server, link);
                Err(error)
            }
        }
    }

    /// Reads the replies of a leg.
    #[inline(always)]
    fn hear<P>(&self, mut leg: Leg<'_, P>, mut link: Box<Link>, now: Now, patience: &mut Patience) {
        match link.converse(&mut leg, patience) {
            Ok(()) => self.checkin(leg.server(), link, now),
            Err(error) => {
                leg.fail_on(&mut link.connection, &error);
                self.close(leg.server(), link);
            }
        }
    }

    /// A connection to the server that is in step.
    #[inline(always)]
    fn checkout(&self, id: ServerId, fresh: bool, now: Now, patience: &mut Patience) -> Result<Box<Link>, Error> {
        let station = self.stations.get(id.index()).ok_or(Error::NoServers)?;
        let mut pool = station.lock();
        if fresh {
            pool.clear();
        }
        loop {
            match pool.checkout(now.monotonic) {
                Checkout::Reuse(link) => return Ok(link),
                Checkout::Look(link) => {
                    drop(pool);
                    if link.stream.is_quiet() {
                        return Ok(link);
                    }
                    drop(link);
                    pool = station.lock();
                    pool.closed();
                }
                Checkout::Open => {
                    drop(pool);
                    return self.open(id, patience).inspect_err(|_| station.closed());
                }
                Checkout::Wait => pool = station.wait(pool, patience)?,
            }
        }
    }

    #[cold]
    fn open(&self, id: ServerId, patience: &mut Patience) -> Result<Box<Link>, Error> {
        let server = self.router.server(id).ok_or(Error::NoServers)?;
        let stream = Stream::connect(server.address(), &self.options, patience)?;
        let mut connection = Connection::new(self.options.limits);
        connection.speak(self.options.dialect.unwrap_or(Dialect::Text));
        Ok(Box::new(Link { stream, connection }))
    }

    #[inline(always)]
    fn checkin(&self, id: ServerId, link: Box<Link>, now: Now) {
        if !link.connection.is_idle() {
            return self.close(id, link);
        }
        if let Some(station) = self.stations.get(id.index()) {
            let wanted = station.lock().checkin(link, now.monotonic);
            if wanted {
                station.freed.notify_one();
            }
        }
    }

    #[cold]
    fn close(&self, id: ServerId, link: Box<Link>) {
        drop(link);
        if let Some(station) = self.stations.get(id.index()) {
            station.closed();
        }
    }
}

impl Station {
    /// The pool. A panic while the lock was held cannot have left it half changed.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Pool<Box<Link>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) {
        let wanted = self.lock().closed();
        if wanted {
            self.freed.notify_one();
        }
    }

    #[cold]
    fn wait<'p>(
        &self,
        mut pool: MutexGuard<'p, Pool<Box<Link>>>,
        patience: &mut Patience,
    ) -> Result<MutexGuard<'p, Pool<Box<Link>>>, Error> {
        let left = patience.left()?;
        pool.wait();
        let (mut pool, _) = self.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner);
        pool.waited();
        Ok(pool)
    }
}

impl Link {
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
            self.connection.wrote(n);
        }
        Ok(())
    }

    /// Reads until all replies of the leg are there, and writes what is left as soon as it may go.
    #[inline(always)]
    fn converse<P>(&mut self, leg: &mut Leg<'_, P>, patience: &mut Patience) -> Result<(), Error> {
        patience.renew();
        while !leg.is_done() {
            let n = self.stream.read(self.connection.space(), patience)?;
            let end = self.connection.filled(n);
            if !leg.hear(&mut self.connection)? {
                end?;
                self.write(patience)?;
            }
        }
        Ok(())
    }
}
