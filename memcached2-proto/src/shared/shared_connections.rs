//! The shared connections of a client: which one a call gets, and when another one is opened.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::closing::Closing;
use super::server_connections::{Server, ServerConnections};
use super::streams::Target;
use super::{Driver, Freshness, OpenStream, Records, Runtime, SharedConnection, Transfer};
use crate::error::Error;
use crate::fetch::Flights;
use crate::observer::{ObservedClient, ServerStatus};
use crate::opening::Endpoint;
use crate::options::Options;
use crate::replaceable::{Current, Replaceable};
use crate::routing::{MigrationStage, Router, ServerId, ServerListChange};
use crate::stream::StreamCommand;
use crate::time::Now;
use crate::uri;

/// The connections that the tasks of an asynchronous client share.
///
/// Each belongs to the runtime that drives it, because a driver stops with its runtime. A caller gets a connection of its own
/// runtime.
#[derive(Debug)]
pub struct SharedConnections<R: Runtime> {
    servers: Replaceable<Servers<R::Id>>,
    options: Options,
    pub(super) closing: Closing,
    /// What its callers fetch by `fetch`.
    flights: Flights,
    runtime: R,
}

impl<R: Runtime<Id: Send> + Send + Sync> ObservedClient for SharedConnections<R> {
    fn server_status(&self) -> Vec<ServerStatus> {
        let current = self.servers.get();
        let status = |(id, server): (ServerId, &Arc<Server<R::Id>>)| {
            let mut status = current.router.status(id)?;
            let options = server.endpoint.options();
            status.max_connections = options.shared_connections.max(1) + options.bulk_connections;
            server.lock().all().for_each(|shared| shared.add_to(&mut status));
            Some(status)
        };
        current.router.ids().zip(&current.servers).filter_map(status).collect()
    }
}

/// The servers of a call.
#[derive(Debug)]
pub(super) struct Servers<I> {
    pub(super) router: Router,
    /// Those of the router, in its order.
    servers: Vec<Arc<Server<I>>>,
}

impl<R: Runtime> SharedConnections<R> {
    /// The shared connections to the servers of `router`, none of them open yet.
    #[must_use]
    pub fn new(router: Router, options: &Options, runtime: R) -> Self {
        let server = |(place, server)| Arc::new(Server::new(Endpoint::new(place, server, options)));
        let servers = router.servers().iter().enumerate().map(server).collect();
        Self {
            servers: Replaceable::new(Servers { router, servers }),
            options: options.clone(),
            closing: Closing::default(),
            flights: Flights::default(),
            runtime,
        }
    }

    /// Shared connections to other servers, with the same options and the same runtime.
    ///
    /// # Errors
    ///
    /// Those of [`Router::with_options`].
    pub fn beside(&self, servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error>
    where
        R: Clone,
    {
        let options = self.options.of_other_servers();
        let router = Router::with_options(servers, &options)?;
        Ok(Self::new(router, &options, self.runtime.clone()))
    }

    /// Replaces the list of servers, and returns what has changed. Calls under way end with the servers that they began with; a server
    /// that is in both lists keeps its connections.
    ///
    /// # Errors
    ///
    /// Those of [`Router::with_options`], and [`Error::Closed`] after [`SharedConnections::close`]. Nothing has changed then.
    pub fn set_servers(&self, servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<ServerListChange, Error> {
        let with = |before: &Servers<R::Id>, router: Router| {
            let server = |(place, server)| match before.router.place_of(server) {
                Some(known) => Arc::clone(&before.servers[known.index()]),
                None => Arc::new(Server::new(Endpoint::new(place, server, &self.options))),
            };
            let servers: Vec<_> = router.servers().iter().enumerate().map(server).collect();
            let is_kept = |known: &Arc<Server<_>>| servers.iter().any(|server| Arc::ptr_eq(server, known));
            before.servers.iter().filter(|known| !is_kept(known)).for_each(|known| known.retire());
            Servers { router, servers }
        };
        self.options.replace_servers(&self.servers, |before| &before.router, servers, with)
    }

    /// Goes on to another stage of the migration. Calls under way end in the stage that they began in.
    ///
    /// # Errors
    ///
    /// Those of [`Router::at_stage`], and [`Error::Closed`] after [`SharedConnections::close`]. Nothing has changed then.
    pub fn set_stage(&self, stage: MigrationStage) -> Result<(), Error> {
        self.servers.replace(|before| {
            let servers = Servers { router: before.router.at_stage(stage)?, servers: before.servers.clone() };
            Ok((servers, ()))
        })
    }

    /// Which server has a key.
    #[must_use]
    pub fn router(&self) -> Router {
        self.servers.get().router.clone()
    }

    /// The options of its client.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How long a call may take unless the caller or the URI of a server says otherwise.
    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// The servers of a call that begins now.
    #[inline]
    pub(super) fn current(&self) -> Current<'_, Servers<R::Id>> {
        self.servers.get()
    }

    /// What its callers fetch by `fetch`.
    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Whether new calls are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.servers.is_closed()
    }

    /// The runtime whose tasks drive the connections.
    #[inline]
    pub(super) fn runtime(&self) -> &R {
        &self.runtime
    }

    /// A connection to a server for a transfer, which callers can use at once; a new one if it is needed. If it has ended meanwhile,
    /// ask for one that is [live](Freshness::Live).
    ///
    /// # Errors
    ///
    /// [`Error::NoServers`] when there is no such server, [`Error::Closed`] after [`SharedConnections::close`], and when the
    /// caller runs in [no runtime](Runtime::id).
    #[inline]
    pub(super) fn connection(
        &self,
        servers: &Servers<R::Id>,
        id: ServerId,
        freshness: Freshness,
        transfer: Transfer,
        now: Now,
    ) -> Result<Arc<SharedConnection>, Error> {
        let runtime = self.runtime.id()?;
        let server = servers.servers.get(id.index()).ok_or_else(Error::no_servers)?;
        let server_connections = server.lock();
        if transfer == Transfer::Small {
            let wanted = server.endpoint.options().shared_connections;
            if let Some(shared) = server_connections.shared.pick_at_once(runtime, freshness, wanted) {
                return Ok(shared);
            }
        }
        let at = (&servers.router, id, &server.endpoint);
        self.connection_in_turn(at, server_connections, runtime, (freshness, transfer), now)
    }

    /// The next connection in turn, or a new one.
    #[cold]
    #[inline(never)]
    fn connection_in_turn(
        &self,
        (router, id, endpoint): (&Router, ServerId, &Arc<Endpoint>),
        mut server_connections: MutexGuard<'_, ServerConnections<R::Id>>,
        runtime: R::Id,
        (freshness, transfer): (Freshness, Transfer),
        now: Now,
    ) -> Result<Arc<SharedConnection>, Error> {
        let (options, moment) = (endpoint.options(), now.monotonic);
        let mut unreported_outage = transfer != Transfer::Small && server_connections.bulk.remove_ended(moment);
        let has_bulk = transfer != Transfer::Small && server_connections.has_bulk(runtime, options, moment);
        let ServerConnections { shared, bulk, .. } = &mut *server_connections;
        let is_bulk = has_bulk && transfer == Transfer::Large;
        let freshness = match freshness {
            // The one before was not answered, which says nothing about the others.
            Freshness::Fresh(_) if transfer == Transfer::Large && bulk.is_put_off(moment) => Freshness::Live,
            freshness => freshness,
        };
        let begun = if let Freshness::Fresh(round) = freshness { round } else { moment };
        let new = |is_bulk| if is_bulk { Driver::bulk(endpoint, now) } else { Driver::new(endpoint, now) };
        let mut driver = None;
        let group = if is_bulk { &mut *bulk } else { shared };
        let wanted = if is_bulk { options.bulk_connections } else { options.shared_connections.max(1) };
        let (picked, is_unreported) = group.pick(runtime, freshness, moment, wanted);
        unreported_outage |= is_unreported;
        let mut shared = picked.unwrap_or_else(|| group.add(runtime, begun, new(is_bulk), &mut driver));
        if has_bulk && transfer == Transfer::Aside && driver.is_none() {
            if !bulk.has(runtime) {
                // For those that come later: to wait until it is open may take longer than the reply.
                bulk.add(runtime, begun, new(true), &mut driver);
            }
            shared = bulk.idle(runtime).unwrap_or(shared);
        }
        drop(server_connections);
        if unreported_outage {
            router.report_silence(id, now.monotonic);
        }
        if let Some(mut driver) = driver {
            if let Err(closed) = self.closing.add(driver.shared()) {
                driver.end(&closed);
                return Err(closed);
            }
            self.runtime.spawn(driver);
        }
        Ok(shared)
    }

    /// The records of these servers, one server after the other, each on a connection that `open` makes. Opening takes no longer than `timeout`,
    /// or what the [options](crate::Options::timeout) of the server say.
    pub fn records<C: StreamCommand>(
        &self,
        servers: Vec<uri::Server>,
        command: C,
        timeout: Option<Duration>,
        open: OpenStream,
    ) -> Records<C> {
        let current = self.servers.get();
        let target = |server: uri::Server| {
            let endpoint = match current.router.place_of(&server) {
                Some(known) => Arc::clone(&current.servers[known.index()].endpoint),
                // It has left the list meanwhile.
                None => Arc::new(Endpoint::new(0, &server, &self.options)),
            };
            let within = timeout.unwrap_or_else(|| endpoint.options().timeout);
            Target { server, endpoint, within }
        };
        Records::new(command, open, servers.into_iter().map(target).collect(), self.servers.closed_flag())
    }

    /// Refuses new calls from now on, and lets each connection end with a `quit` when the calls under way have ended. Returns all of
    /// them.
    pub(super) fn quit(&self) -> Vec<Arc<SharedConnection>> {
        self.servers.close();
        self.closing.close()
    }
}
