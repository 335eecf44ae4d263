//! The shared connections of a client: which one a call gets, and when another one is opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::records::Target;
use super::{Driver, Freshness, OpenStream, Records, Runtime, SharedConnection};
use crate::error::Error;
use crate::opening::Endpoint;
use crate::options::Options;
use crate::routing::{Router, ServerId};
use crate::stream::StreamCommand;
use crate::time::{Instant, Now};

/// The connections that the tasks of an asynchronous client share.
///
/// Each belongs to the runtime that drives it, because a driver stops with its runtime. A caller gets a connection of its own
/// runtime.
#[derive(Debug)]
pub struct SharedConnections<R: Runtime> {
    router: Router,
    servers: Vec<Server<R::Id>>,
    runtime: R,
}

/// How to connect to a server, and the connections to it.
type Server<I> = (Arc<Endpoint>, Mutex<ServerConnections<I>>);

/// The connections to one server.
#[derive(Debug)]
struct ServerConnections<I> {
    connections: Vec<OpenConnection<I>>,
    /// Which connection is next.
    next: usize,
    closed: bool,
}

/// A connection, its runtime, and when it was opened.
#[derive(Debug)]
struct OpenConnection<I> {
    runtime: I,
    shared: Arc<SharedConnection>,
    begun: Instant,
}

impl<R: Runtime> SharedConnections<R> {
    /// The shared connections to the servers of `router`, none of them open yet.
    #[must_use]
    pub fn new(router: Router, options: &Options, runtime: R) -> Self {
        let none_yet = || Mutex::new(ServerConnections { connections: Vec::new(), next: 0, closed: false });
        let servers = router.servers().iter().enumerate();
        let servers =
            servers.map(|(place, server)| (Arc::new(Endpoint::new(place, server, options)), none_yet())).collect();
        Self { router, servers, runtime }
    }

    /// Which server has a key.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The runtime whose tasks drive the connections.
    #[inline]
    pub(super) fn runtime(&self) -> &R {
        &self.runtime
    }

    /// A connection to a server, which callers can use at once; a new one if it is needed. If it has ended meanwhile, ask for one
    /// that is [live](Freshness::Live).
    ///
    /// # Errors
    ///
    /// [`Error::NoServers`] when there is no such server, [`Error::Closed`] after [`SharedConnections::close`], and when the
    /// caller runs in [no runtime](Runtime::id).
    #[inline]
    pub fn connection(&self, id: ServerId, freshness: Freshness, now: Now) -> Result<Arc<SharedConnection>, Error> {
        let runtime = self.runtime.id()?;
        let (endpoint, server_connections) = self.servers.get(id.index()).ok_or_else(Error::no_servers)?;
        let mut server_connections = server_connections.lock().unwrap_or_else(PoisonError::into_inner);
        if server_connections.closed {
            return Err(Error::closed());
        }
        if let Some(shared) = server_connections.pick_at_once(runtime, freshness, endpoint.options().shared_connections)
        {
            return Ok(shared);
        }
        let (picked, unreported_outage) =
            server_connections.pick(runtime, freshness, now.monotonic, endpoint.options().shared_connections.max(1));
        if unreported_outage {
            self.router.report_silence(id, now.monotonic);
        }
        if let Some(shared) = picked {
            return Ok(shared);
        }
        let (driver, shared) = Driver::new(endpoint, now);
        let begun = if let Freshness::Fresh(moment) = freshness { moment } else { now.monotonic };
        server_connections.connections.push(OpenConnection { runtime, shared: Arc::clone(&shared), begun });
        drop(server_connections);
        self.runtime.spawn(driver);
        Ok(shared)
    }

    /// The records of these servers, one server after the other, each on a connection that `open` makes. Opening takes no longer than `timeout`,
    /// or what the [options](crate::Options::timeout) of the server say.
    pub fn records<C: StreamCommand>(
        &self,
        ids: Vec<ServerId>,
        command: C,
        timeout: Option<Duration>,
        open: OpenStream,
    ) -> Records<C> {
        let target = |id: ServerId| {
            let (endpoint, connections) = self.servers.get(id.index())?;
            let is_closed = connections.lock().unwrap_or_else(PoisonError::into_inner).closed;
            let name = Arc::clone(self.router.server(id)?.shared_name());
            let within = timeout.unwrap_or_else(|| endpoint.options().timeout);
            Some(Target { id, name, endpoint: Arc::clone(endpoint), is_closed, within })
        };
        Records::new(command, open, ids.into_iter().filter_map(target).collect())
    }

    /// Refuses new calls from now on, and lets each connection end with a `quit` when the calls under way have ended. Returns all of
    /// them.
    pub(super) fn quit(&self) -> Vec<Arc<SharedConnection>> {
        self.each(|server_connections| {
            server_connections.closed = true;
            server_connections.connections.iter().for_each(|open| open.shared.quit());
        })
    }

    /// Does something to the connections of each server, and returns all connections.
    fn each(&self, mut act: impl FnMut(&mut ServerConnections<R::Id>)) -> Vec<Arc<SharedConnection>> {
        let mut all = Vec::new();
        for (_, server_connections) in &self.servers {
            let mut server_connections = server_connections.lock().unwrap_or_else(PoisonError::into_inner);
            act(&mut server_connections);
            all.extend(server_connections.connections.iter().map(|open| Arc::clone(&open.shared)));
        }
        all
    }
}

/// The drivers end when all waiting calls have an answer.
impl<R: Runtime> Drop for SharedConnections<R> {
    fn drop(&mut self) {
        for (_, server_connections) in &mut self.servers {
            let server_connections = server_connections.get_mut().unwrap_or_else(PoisonError::into_inner);
            server_connections.connections.iter().for_each(|open| open.shared.close());
        }
    }
}

impl<I: Copy + Eq> ServerConnections<I> {
    /// The only connection, if there is to be one: the path of most calls.
    #[inline]
    fn pick_at_once(&self, runtime: I, freshness: Freshness, wanted: usize) -> Option<Arc<SharedConnection>> {
        match &self.connections[..] {
            [open] if wanted <= 1 && open.runtime == runtime && freshness == Freshness::Any => {
                Some(Arc::clone(&open.shared))
            }
            _ => None,
        }
    }

    /// The next connection in turn; `None` if one more is needed. Also whether one has ended because the server does
    /// not answer, which was not reported yet. `asked` is when the call began.
    fn pick(
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
