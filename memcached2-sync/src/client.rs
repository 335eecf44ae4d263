//! The client: a pool of connections to each server, one caller at a time on each.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use memcached2_proto::{Builder, Call, Command, Error, Leg, Now, Operation, Options, Router, Server, ServerId};

use crate::station::{Lease, Station};
use crate::stream::Patience;

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
        let station = |server: &Server| Station::new(server.address().clone(), options.towards(server));
        let stations = router.servers().iter().map(station).collect();
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

    #[inline(always)]
    fn station(&self, id: ServerId) -> Result<&Station, Error> {
        self.stations.get(id.index()).ok_or(Error::NoServers)
    }

    /// Writes the requests of a leg, as many as may go before their replies are read.
    #[inline(always)]
    fn ask<P: Command>(&self, leg: &mut Leg<'_, P>, now: Now, patience: &mut Patience) -> Result<Lease<'_>, Error> {
        let mut lease = self.station(leg.server())?.checkout(leg.is_retry(), now, patience)?;
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
