//! The client: a pool of connections to each server, one caller at a time on each.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use memcached2_proto::{
    Builder, Call, Checkout, Command, Connection, Error, Leg, Now, Operation, Options, Pool, Router, ServerId,
};

use crate::stream::{Patience, Stream};

/// A client whose calls block the calling thread.
///
/// It is cheap to clone and can be shared by any number of threads: each call takes a connection from a pool, or opens
/// one, and gives it back in step. Looking up a server's name is the one thing that no deadline can cut short: the
/// operating system does that.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    router: Router,
    stations: Vec<Station>,
}

/// The connections to one server.
#[derive(Debug)]
struct Station {
    pool: Mutex<Pool<Box<Link>>>,
    /// Told when a connection came back or was closed while callers wait for one.
    freed: Condvar,
    /// With what the server's URI says otherwise.
    options: Options,
}

/// A socket and the state of the conversation on it.
#[derive(Debug)]
struct Link {
    stream: Stream,
    connection: Connection,
}

impl Client {
    /// A client in the making: its servers, and how it behaves.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::Client;
    ///
    /// let client = Client::builder()
    ///     .servers(["cache1:11211", "cache2:11211"])
    ///     .timeout(Duration::from_millis(250))
    ///     .prefix("shop:")
    ///     .build()?;
    /// # Ok::<(), memcached2_sync::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> Builder<Self> {
        Builder::new(Self::make)
    }

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
    /// The same as of [`Client::new`], and [`Error::Key`] when the prefix cannot stand before a key.
    pub fn with_options(servers: impl IntoIterator<Item = impl AsRef<str>>, options: Options) -> Result<Self, Error> {
        let servers = servers.into_iter().map(|server| server.as_ref().to_owned());
        Self::builder().servers(servers).options(options).build()
    }

    fn make(router: Router, options: &Options) -> Self {
        let router = router.of_client(RandomState::new().hash_one(()), Instant::now);
        let stations = router.servers().iter().map(|server| Station::new(options.towards(server))).collect();
        Self { shared: Arc::new(Shared { router, stations }) }
    }

    /// The servers, in the order given, and which of them has a key.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.shared.router
    }

    /// Closes the client, and all its clones: refuses new calls, with [`Error::Closed`], lets those under way end, says
    /// `quit` on each connection and closes it. Returns whether that was all done `within` so much time.
    ///
    /// What is still under way then ends by its own deadline, and closes its connection. A client that is dropped is
    /// used by nobody, so its connections close at once.
    pub fn close(&self, within: Duration) -> bool {
        let mut patience = Patience::new(Instant::now(), within);
        self.shared.stations.iter().for_each(Station::close);
        self.shared.stations.iter().all(|station| station.wait_until_empty(&mut patience))
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
        let mut patience = Patience::new(started, Duration::ZERO);
        let mut call = Call::new(operation, &shared.router, now);
        loop {
            let begun = call.begun();
            let mut legs = call.legs();
            if let Some(leg) = legs.next() {
                shared.round(leg, &mut legs, (now, begun), &mut patience);
            }
            drop(legs);
            if !call.settle(Instant::now) {
                return call.finish();
            }
        }
    }

    memcached2_proto::operations!([] []);
    memcached2_proto::compositions!([] [] FnOnce);
}

impl Shared {
    /// Asks one server, then the others, and hears them all: so they work at the same time.
    #[inline(always)]
    fn round<'c, P: Command + 'c>(
        &self,
        mut leg: Leg<'c, P>,
        others: &mut impl Iterator<Item = Leg<'c, P>>,
        (now, begun): (Now, Instant),
        patience: &mut Patience,
    ) {
        let asked = self.ask(&mut leg, now, patience);
        if let Some(next) = others.next() {
            return self.others((leg, asked), next, others, (now, begun), patience);
        }
        match asked {
            Ok(mut lease) => match lease.link().converse(&mut leg, patience) {
                Ok(()) => lease.checkin(now),
                Err(error) => leg.fail_on(&mut lease.link().connection, &error),
            },
            Err(error) => leg.fail(&error),
        }
    }

    /// Asks the other servers, and hears all of them as they answer.
    #[cold]
    fn others<'c, P: Command + 'c>(
        &self,
        (first, asked): (Leg<'c, P>, Result<Lease<'_>, Error>),
        second: Leg<'c, P>,
        others: &mut impl Iterator<Item = Leg<'c, P>>,
        (now, begun): (Now, Instant),
        patience: &mut Patience,
    ) {
        let mut under_way = Vec::new();
        let mut keep = |mut leg: Leg<'c, P>, asked, patience: &Patience| match asked {
            Ok(lease) => under_way.push((leg, lease, patience.clone())),
            Err(error) => leg.fail(&error),
        };
        keep(first, asked, patience);
        for mut leg in std::iter::once(second).chain(others) {
            let asked = self.ask(&mut leg, now, patience);
            keep(leg, asked, patience);
        }
        patience.spent();
        while !under_way.is_empty() {
            let ready = ready(&mut under_way);
            let waiting = std::mem::take(&mut under_way);
            for (at, (mut leg, mut lease, mut patience)) in waiting.into_iter().enumerate() {
                let heard = match &ready {
                    Ok(ready) if !ready.get(at).is_some_and(|ready| *ready) => patience.left().map(|_| leg.is_done()),
                    Ok(_) => lease.link().hear_some(&mut leg, &mut patience),
                    Err(error) => Err(error.clone()),
                };
                match heard {
                    Ok(false) => under_way.push((leg, lease, patience)),
                    Ok(true) => {
                        leg.ended(begun.elapsed());
                        lease.checkin(now);
                    }
                    Err(error) => {
                        leg.fail_on(&mut lease.link().connection, &error);
                        leg.ended(begun.elapsed());
                    }
                }
            }
        }
    }

    /// Writes the requests of a leg, as many as may go before their replies are read.
    #[inline(always)]
    fn ask<P: Command>(&self, leg: &mut Leg<'_, P>, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        let mut lease = self.checkout(leg.server(), leg.is_retry(), now, patience)?;
        if let Some(waited) = patience.take_waited() {
            leg.waited(waited);
        }
        leg.submit(&mut lease.link().connection, now);
        match lease.link().write(patience) {
            Ok(()) => Ok(lease),
            Err(error) => {
                leg.fail_on(&mut lease.link().connection, &error);
                Err(error)
            }
        }
    }

    /// A connection to the server that is in step.
    #[inline(always)]
    fn checkout(&self, id: ServerId, fresh: bool, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        let station = self.stations.get(id.index()).ok_or(Error::NoServers)?;
        patience.within(station.options.timeout);
        let mut pool = station.lock();
        if fresh {
            pool.clear();
        }
        loop {
            match pool.checkout(now.monotonic) {
                Checkout::Reuse(link) => return Ok(Lease { station, link: Some(link) }),
                Checkout::Look(link) => {
                    drop(pool);
                    let lease = Lease { station, link: Some(link) };
                    if lease.link.as_ref().is_some_and(|link| link.stream.is_quiet()) {
                        return Ok(lease);
                    }
                    drop(lease);
                    pool = station.lock();
                }
                Checkout::Open => {
                    drop(pool);
                    return self.open(id, Lease { station, link: None }, patience);
                }
                Checkout::Closed => return Err(Error::Closed),
                Checkout::Wait => pool = station.wait(pool, patience)?,
            }
        }
    }

    #[cold]
    fn open<'s>(&self, id: ServerId, mut lease: Lease<'s>, patience: &mut Patience) -> Result<Lease<'s>, Error> {
        let server = self.router.server(id).ok_or(Error::NoServers)?;
        let options = &lease.station.options;
        let begun = Instant::now();
        let stream = Stream::connect(server.address(), options, patience)?;
        patience.waited_since(begun);
        lease.link = Some(Box::new(Link { stream, connection: Connection::with_options(options) }));
        Ok(lease)
    }
}

/// A connection that is checked out, or the right to open one. Unless it is checked in, it is closed, even by a panic.
#[derive(Debug)]
struct Lease<'s> {
    station: &'s Station,
    link: Option<Box<Link>>,
}

impl Lease<'_> {
    #[inline(always)]
    #[expect(clippy::expect_used, reason = "only `checkin` takes it, which ends the lease")]
    fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a lease has a link until it is checked in")
    }

    /// Gives the connection back, if it is in step.
    #[inline(always)]
    fn checkin(mut self, now: Now) {
        if !self.link().connection.is_idle() {
            return;
        }
        if let Some(link) = self.link.take() {
            let wanted = self.station.lock().checkin(link, now.monotonic);
            if wanted {
                self.station.freed.notify_one();
            }
            std::mem::forget(self);
        }
    }
}

impl Drop for Lease<'_> {
    #[cold]
    fn drop(&mut self) {
        drop(self.link.take());
        let wanted = self.station.lock().closed();
        if wanted {
            self.station.freed.notify_one();
        }
    }
}

/// What is asked of one server, on which connection, and how long that may take.
type UnderWay<'c, 's, P> = (Leg<'c, P>, Lease<'s>, Patience);

/// Waits until some of the connections have something to be read, or one has waited for too long, and says which have.
#[cfg(unix)]
fn ready<P>(under_way: &mut [UnderWay<'_, '_, P>]) -> Result<Vec<bool>, Error> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    loop {
        let left = under_way.iter_mut().map(|(_, _, patience)| patience.left().unwrap_or_default()).min();
        let links = under_way.iter().filter_map(|(_, lease, _)| lease.link.as_ref());
        let mut sockets: Vec<_> = links.map(|link| PollFd::new(&link.stream, PollFlags::IN)).collect();
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut sockets, left.as_ref()) {
            Ok(_) => return Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::lost(&error.into())),
        }
    }
}

/// Where there is no poll(2) the connections are heard one after the other.
#[cfg(not(unix))]
fn ready<P>(under_way: &mut [UnderWay<'_, '_, P>]) -> Result<Vec<bool>, Error> {
    Ok(under_way.iter().map(|_| true).collect())
}

impl Station {
    fn new(options: Options) -> Self {
        Self { pool: Mutex::new(Pool::new(options.pool)), freed: Condvar::new(), options }
    }

    /// The pool. A panic while the lock was held cannot have left it half changed.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Pool<Box<Link>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the pool and its idle connections, and wakes whoever waits for one.
    fn close(&self) {
        let idle = self.lock().close();
        self.freed.notify_all();
        idle.into_iter().for_each(|link| link.quit());
    }

    /// Waits until no connection is open; `false` if time runs out.
    fn wait_until_empty(&self, patience: &mut Patience) -> bool {
        let mut pool = self.lock();
        while pool.open() > 0 {
            match self.wait(pool, patience) {
                Ok(guard) => pool = guard,
                Err(_) => return false,
            }
        }
        drop(pool);
        // Somebody else may wait for the same.
        self.freed.notify_all();
        true
    }

    #[cold]
    fn wait<'p>(
        &self,
        mut pool: MutexGuard<'p, Pool<Box<Link>>>,
        patience: &mut Patience,
    ) -> Result<MutexGuard<'p, Pool<Box<Link>>>, Error> {
        let left = patience.left()?;
        let begun = Instant::now();
        pool.wait();
        let (mut pool, _) = self.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner);
        pool.waited();
        patience.waited_since(begun);
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
            if n == 0 {
                return Err(Error::lost(&std::io::ErrorKind::WriteZero.into()));
            }
            self.connection.wrote(n);
        }
        Ok(())
    }

    /// Takes leave of the server; whether it hears that makes no difference.
    fn quit(mut self: Box<Self>) {
        self.connection.quit();
        let _ = self.write(&mut Patience::new(Instant::now(), Duration::from_millis(100)));
    }

    /// Reads until all replies of the leg are there, and writes what is left as soon as it may go.
    #[inline(always)]
    fn converse<P>(&mut self, leg: &mut Leg<'_, P>, patience: &mut Patience) -> Result<(), Error> {
        while !leg.is_done() {
            self.hear_some(leg, patience)?;
        }
        Ok(())
    }

    /// Reads once, and writes what may go then; `true` when all replies of the leg are there.
    #[inline(always)]
    fn hear_some<P>(&mut self, leg: &mut Leg<'_, P>, patience: &mut Patience) -> Result<bool, Error> {
        let n = self.stream.read(self.connection.space(), patience)?;
        let end = self.connection.filled(n);
        if leg.hear(&mut self.connection)? {
            return Ok(true);
        }
        end?;
        self.write(patience)?;
        Ok(false)
    }
}
