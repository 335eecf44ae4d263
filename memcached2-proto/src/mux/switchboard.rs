//! The shared connections of a client: which one a call takes, and when another one is opened.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::{Driver, Mux};
use crate::error::Error;
use crate::options::Options;
use crate::router::{Router, ServerId};
use crate::time::Now;
use crate::uri::Address;

/// The connections that the tasks of an asynchronous client share.
///
/// They are told apart by the runtime `R` that drives them, since a driver stands still when its runtime does: a caller
/// gets a connection of the runtime he runs in.
#[derive(Debug)]
pub struct Switchboard<R> {
    router: Router,
    /// Each with what its server's URI says otherwise.
    stations: Vec<(Options, Mutex<Station<R>>)>,
}

/// The connections to one server.
#[derive(Debug)]
struct Station<R> {
    connections: Vec<(R, Arc<Mux>)>,
    /// Whose turn it is.
    next: usize,
    closed: bool,
}

impl<R: Copy + Eq> Switchboard<R> {
    /// No connections yet, to the servers of `router`.
    #[must_use]
    pub fn new(router: Router, options: &Options) -> Self {
        let station = || Station { connections: Vec::new(), next: 0, closed: false };
        let stations = router.servers().iter().map(|server| (options.towards(server), Mutex::new(station()))).collect();
        Self { router, stations }
    }

    /// Which server has a key.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// A connection to a server, driven by `runtime`. If there has to be a new one, `spawn` is given what its task
    /// needs: the address, how long connecting may take, and the driver. Callers can use it at once. It can have ended meanwhile: then ask again, and say so with `ended`.
    ///
    /// # Errors
    ///
    /// [`Error::NoServers`] when there is no such server, [`Error::Closed`] after [`Switchboard::close`].
    #[inline]
    pub fn connection(
        &self,
        id: ServerId,
        runtime: R,
        ended: bool,
        now: Now,
        spawn: impl FnOnce(Address, Duration, Driver),
    ) -> Result<Arc<Mux>, Error> {
        let (options, station) = self.stations.get(id.index()).ok_or(Error::NoServers)?;
        let mut station = station.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unheard = false;
        if let Some(mux) = station.pick(runtime, ended, options.shared_connections.max(1), &mut unheard) {
            return Ok(mux);
        }
        if unheard {
            self.router.report_silence(id, now.monotonic);
        }
        if station.closed {
            return Err(Error::Closed);
        }
        let server = self.router.server(id).ok_or(Error::NoServers)?;
        let (driver, mux) = Driver::new(options, now);
        station.connections.push((runtime, Arc::clone(&mux)));
        drop(station);
        spawn(server.address().clone(), options.connect_timeout, driver);
        Ok(mux)
    }
}

impl<R> Switchboard<R> {
    /// Refuses new calls from now on, and waits until those under way have ended and all connections are closed.
    pub async fn close(&self) {
        let mut left = self.each(|station| {
            station.closed = true;
            station.connections.iter().for_each(|(_, mux)| mux.quit());
        });
        poll_fn(|cx| {
            left.retain(|mux| mux.poll_ended(cx).is_pending());
            if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Closes all connections now: calls under way learn what became of their requests.
    pub fn abort(&self) {
        self.each(|station| station.connections.iter().for_each(|(_, mux)| mux.abort()));
    }

    /// Does something to each station, and returns all connections.
    fn each(&self, mut act: impl FnMut(&mut Station<R>)) -> Vec<Arc<Mux>> {
        let mut all = Vec::new();
        for (_, station) in &self.stations {
            let mut station = station.lock().unwrap_or_else(PoisonError::into_inner);
            act(&mut station);
            all.extend(station.connections.iter().map(|(_, mux)| Arc::clone(mux)));
        }
        all
    }
}

/// The drivers end as soon as everybody who waits has an answer.
impl<R> Drop for Switchboard<R> {
    fn drop(&mut self) {
        for (_, station) in &mut self.stations {
            let station = station.get_mut().unwrap_or_else(PoisonError::into_inner);
            station.connections.iter().for_each(|(_, mux)| mux.close());
        }
    }
}

impl<R: Copy + Eq> Station<R> {
    /// The connection whose turn it is; none, if there should be one more. `unheard` tells whether one has ended because
    /// the server does not answer, and nobody knows of it yet.
    #[inline]
    fn pick(&mut self, runtime: R, ended: bool, wanted: usize, unheard: &mut bool) -> Option<Arc<Mux>> {
        if let [(owner, mux)] = &self.connections[..] {
            if wanted == 1 && *owner == runtime && !ended {
                return Some(Arc::clone(mux));
            }
        }
        self.connections.retain(|(_, mux)| {
            let ended = mux.has_ended();
            *unheard |= ended && mux.take_unheard();
            !ended
        });
        let mut mine = self.connections.iter().filter(|(owner, _)| *owner == runtime);
        let count = mine.clone().count();
        if count < wanted {
            return None;
        }
        self.next = (self.next + 1) % count;
        mine.nth(self.next).map(|(_, mux)| Arc::clone(mux))
    }
}
