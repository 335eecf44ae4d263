//! Which server has a key.
//!
//! For those who choose which server has a key, and when a server is tried again, or write their own rule for it.

mod change;
mod closers;
mod group;
mod gutter;
mod hash;
mod health;
mod journal;
mod migration;
mod options;
mod reconnect;
mod replicas;
mod reports;
mod ring;
mod select;
mod selection;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

pub use self::change::ServerListChange;
use self::closers::Closers;
use self::group::Group;
pub use self::gutter::Gutter;
#[cfg(feature = "ketama")]
pub use self::hash::KetamaMd5;
pub use self::hash::{CMemcache, Crc, KeyHasher, OneAtATime, UpperCrc, Zero};
use self::health::{Attention, Health};
pub(crate) use self::journal::{Claim, KeptKey};
pub use self::journal::{Journal, JournalStore};
pub use self::migration::MigrationStage;
pub use self::options::RouterOptions;
pub use self::reconnect::{CustomReconnect, ReconnectPolicy};
use self::replicas::ReplicaGroups;
pub use self::replicas::{Replicas, WriteTo};
pub use self::ring::BuildSelector;
pub use self::select::Selector;
pub use self::selection::{Selection, UnknownSelection};
use crate::error::{Error, UriProblem};
use crate::incidents::Incidents;
use crate::key::{Key, RoutingKey};
use crate::observer::{Observer, Watch};
use crate::time::{Instant, Now};
use crate::uri::redacted;
pub use crate::uri::{Address, Server};

/// The place of a server in the list that the client was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub(crate) u32);

impl ServerId {
    /// The place, counted from 0.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The servers, and the rule that decides which of them has a key.
#[derive(Debug, Clone)]
pub struct Router {
    /// All of them: first those that have the keys, then those of the other replicas, then those of the gutter.
    servers: Arc<[Server]>,
    /// Those that have the keys.
    main: Group,
    /// Those that have all keys, too.
    replicas: Option<Arc<ReplicaGroups>>,
    /// Those that stand in for servers that are down.
    gutter: Option<Group>,
    prefix: Option<Prefix>,
    /// Whether the keys of a server that is down go to others.
    failover: bool,
    /// Which servers are up.
    health: Arc<Health>,
    /// Which servers close connections after errors.
    closers: Arc<Closers>,
    incidents: Incidents,
    observer: Option<Arc<dyn Observer>>,
    /// The keys that have to be deleted on their servers.
    journal: Option<Arc<Journal>>,
    /// What looks at each request: the observer with its clock, or replicas.
    watch: Option<Watch>,
}

/// What the client writes before every key.
#[derive(Debug, Clone)]
struct Prefix {
    bytes: Arc<[u8]>,
    /// Whether it decides, with the key, which server has a key.
    is_routed: bool,
}

impl Router {
    /// A router for `servers`, in this order, by the default rule.
    #[must_use]
    pub fn new(servers: Vec<Server>) -> Self {
        Self::with_selection(servers, &Selection::Default)
    }

    /// A router for `servers`, in this order, by a rule.
    #[must_use]
    pub fn with_selection(servers: Vec<Server>, selection: &Selection) -> Self {
        let main = Group::new(0, &servers, selection);
        Self::with_groups(servers, main)
    }

    fn with_groups(servers: Vec<Server>, main: Group) -> Self {
        let health = Arc::new(Health::new(&ReconnectPolicy::Immediately, 1, servers.len()));
        let closers = Arc::new(Closers::new(servers.len()));
        Self {
            servers: servers.into(),
            main,
            replicas: None,
            gutter: None,
            prefix: None,
            failover: true,
            health,
            closers,
            incidents: Incidents::default(),
            observer: None,
            journal: None,
            watch: None,
        }
    }

    /// A router for the servers that `texts` name, in this order, by the default rule; see [`Server`] for how a server
    /// is written.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none.
    pub fn parse(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Self::with_options(texts, RouterOptions::default())
    }

    /// A router for the servers that `texts` name, which does what `options` say: [`RouterOptions`], or an [`&Options`](crate::Options).
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none, or a server that was named before, or that has the name of another one if
    /// there is a journal. [`Error::Key`] when the prefix cannot stand before a key.
    pub fn with_options(
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        options: impl Into<RouterOptions>,
    ) -> Result<Self, Error> {
        let options = options.into();
        let mut servers = Vec::new();
        parse_servers(texts, &mut servers)?;
        let selection = &options.selection;
        let main = Group::new(0, &servers, selection);
        let replicas = ReplicaGroups::new(&options.replicas, &mut servers, selection)?;
        let gutter = options.gutter.map(|gutter| gutter.group(&mut servers, selection)).transpose()?;
        if options.journal.is_some() {
            check_names(&servers)?;
        }
        let mut router = Self { replicas, gutter, ..Self::with_groups(servers, main) };
        router.health = Arc::new(Health::new(&options.reconnect, options.failures.max(1), router.servers.len()));
        router.observer = options.observer;
        router.journal = options.journal;
        router.incidents = options.incidents;
        if router.has_replicas() {
            router = router.for_client(0, || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH));
        }
        router.failover = options.failover;
        if let Some(bytes) = options.prefix {
            // As many bytes as a prefix has must be allowed in a key, and leave room for one more.
            Key::new(&[&bytes[..], b"k"].concat())?;
            router.prefix = Some(Prefix { bytes, is_routed: options.route_by_prefix });
        }
        Ok(router)
    }

    /// The same servers, all of them up, for one client: with a number that chance is drawn from, so that not all clients
    /// come back to a server at once, and clocks for its [observer](crate::Observer), if it has one.
    #[must_use]
    pub fn for_client(mut self, seed: u64, clock: fn() -> Now) -> Self {
        self.watch = Watch::new(self.observer.as_ref(), self.has_replicas(), clock);
        let attention = match (&self.watch, &self.journal) {
            (_, Some(_)) => Attention::Plans,
            (Some(_), None) if self.has_replicas() => Attention::Plans,
            (Some(_), None) => Attention::Answers,
            (None, None) => Attention::None,
        };
        self.health = Arc::new(self.health.for_client(seed, attention));
        self.closers = Arc::new(Closers::new(self.servers.len()));
        self
    }

    /// A router for another list of servers, for the same client. What it has found out about a server stays, if that server
    /// is in both lists: whether it is down, for one. [`ServerId`]s are places in the new list.
    ///
    /// # Errors
    ///
    /// Those of [`Router::with_options`].
    pub fn for_servers(
        &self,
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        options: impl Into<RouterOptions>,
    ) -> Result<Self, Error> {
        let mut router = Self::with_options(texts, options)?;
        if let Some(stage) = self.stage() {
            router = router.at_stage(stage)?;
        }
        let place = |server: &Server| self.servers.iter().position(|known| known == server);
        let health = Arc::new(self.health.for_servers(router.servers.iter().map(place)));
        let closers = Arc::new(Closers::new(router.servers.len()));
        Ok(Self { health, closers, watch: self.watch.clone(), ..router })
    }

    /// What has happened to the client.
    #[doc(hidden)]
    #[must_use]
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// What looks at each request, if something does: an observer, or replicas.
    #[inline]
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The keys that have to be deleted on their servers.
    #[inline]
    pub(crate) fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// Whether a server counts as down, whether or not it may be tried again.
    pub(crate) fn is_down(&self, id: ServerId) -> bool {
        self.health.is_down_at(id.index())
    }

    /// Whether all servers are up and there are no observer, journal or replicas, so that nothing has to be looked up or reported.
    #[inline]
    pub(crate) fn all_up_unobserved(&self) -> bool {
        self.health.all_up_unobserved()
    }

    /// Whether every server counts as up and there are neither a journal nor replicas, so that nothing has to be looked up for a plan.
    #[inline]
    pub(crate) fn plans_plainly(&self) -> bool {
        self.health.plans_plainly()
    }

    /// What is written before every key.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.prefix.as_ref().map_or(&[], |prefix| &prefix.bytes)
    }

    /// How many bytes are written before every key.
    #[must_use]
    pub fn prefix_length(&self) -> usize {
        self.prefix().len()
    }

    /// The server of a [`Key`], or of the [`RoutingKey`] of a meta command, which may be of any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NoServers`] if the client has none. [`Error::Key`] if the key is too long with the client's prefix.
    #[inline]
    pub fn route<'k>(&self, key: impl Into<RoutingKey<'k>>) -> Result<ServerId, Error> {
        let key = key.into().unchecked();
        match &self.prefix {
            None => self.choose(key),
            Some(prefix) => self.route_prefixed(prefix, key),
        }
    }

    #[cold]
    fn route_prefixed(&self, prefix: &Prefix, key: Key<'_>) -> Result<ServerId, Error> {
        let mut room = [0; Key::MAX];
        let whole = key.prefixed(&prefix.bytes, &mut room)?;
        self.choose(if prefix.is_routed { whole } else { key })
    }

    #[inline]
    fn choose(&self, key: Key<'_>) -> Result<ServerId, Error> {
        match self.main.servers {
            0 => Err(Error::no_servers()),
            1 => Ok(ServerId(0)),
            _ => self.choose_of_many(key),
        }
    }

    /// The server of all keys while it is up, if there is only one.
    pub(crate) fn only_server(&self) -> Option<ServerId> {
        (self.main.servers == 1 && !self.has_replicas()).then_some(ServerId(0))
    }

    /// Whether every server counts as up.
    pub(crate) fn all_up(&self) -> bool {
        self.health.all_up()
    }

    /// Whether a request whose server is down can go to another one.
    pub(crate) fn may_fail_over(&self) -> bool {
        (self.failover || self.gutter.is_some() || self.has_replicas()) && self.health.is_kept()
    }

    /// The server of a key among those that are up, whose retry is due, or that `is_mine` names by their places. Without failover, and
    /// without a gutter, there is only one, whether it is up or not. With replicas it is the one to read from, after those `skipped`.
    pub(crate) fn route_open(
        &self,
        key: Key<'_>,
        (now, skipped): (Instant, usize),
        is_mine: &dyn Fn(usize) -> bool,
    ) -> Result<ServerId, Error> {
        let is_up = |place| is_mine(place) || self.health.may_try(place, now);
        let routed = match (&self.replicas, &self.gutter) {
            (Some(replicas), _) => self.route_read(key, replicas, skipped, &is_up),
            (None, Some(gutter)) => self.route_or_gutter(key, gutter, &is_up),
            (None, None) if self.failover => self.route_among(key, &is_up),
            (None, None) => return self.route(key),
        };
        match routed {
            Err(Error::NoServers { .. }) => Err(self.all_down(key)),
            routed => routed,
        }
    }

    /// The server of a key among those that are up, by their places.
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`]; [`Error::NoServers`] also when the rule finds none that is up.
    pub fn route_among<'k>(
        &self,
        key: impl Into<RoutingKey<'k>>,
        is_up: &dyn Fn(usize) -> bool,
    ) -> Result<ServerId, Error> {
        self.choose_in(&self.main, key.into().unchecked(), is_up)
    }

    /// The server of a key in a group.
    fn choose_in(&self, group: &Group, key: Key<'_>, is_up: &dyn Fn(usize) -> bool) -> Result<ServerId, Error> {
        let mut room = [0; Key::MAX];
        let place = match &self.prefix {
            None => group.select(key.as_bytes(), is_up),
            Some(prefix) => {
                let whole = key.prefixed(&prefix.bytes, &mut room)?;
                group.select(if prefix.is_routed { whole } else { key }.as_bytes(), is_up)
            }
        };
        id(place)
    }

    #[inline(never)]
    fn choose_of_many(&self, key: Key<'_>) -> Result<ServerId, Error> {
        id(self.main.select_any(key.as_bytes()))
    }

    /// All servers, in the order given: those of the first replica, those of the others, and those of the [gutter](Gutter).
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The places of all servers.
    pub fn ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX)).map(ServerId)
    }

    /// The place of a server: by its [name](Server::name), or written as in the list of servers.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if none of the servers is that.
    pub fn find(&self, server: &str) -> Result<ServerId, Error> {
        let by_name = self.ids().zip(self.servers()).find(|(_, known)| known.name() == server);
        let found = by_name.or_else(|| {
            let named: Server = server.parse().ok()?;
            self.ids().zip(self.servers()).find(|(_, known)| known.address() == named.address())
        });
        found.map(|(id, _)| id).ok_or_else(|| self.not_in_list(server))
    }

    /// The error for a server that is not in the list.
    #[cold]
    pub(crate) fn not_in_list(&self, server: &str) -> Error {
        let names: Vec<_> = self.servers.iter().map(Server::name).collect();
        Error::argument(format!("{} is none of the servers of the client: {}", redacted(server), names.join(", ")))
    }

    /// The server at a place.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index())
    }
}

/// Appends the servers that `texts` name, each of them once.
fn parse_servers(texts: impl IntoIterator<Item = impl AsRef<str>>, servers: &mut Vec<Server>) -> Result<(), Error> {
    for text in texts {
        let server: Server = text.as_ref().parse()?;
        if servers.iter().any(|other| other.address() == server.address() && other.name() == server.name()) {
            return Err(Error::Uri { uri: redacted(text.as_ref()).into(), problem: UriProblem::Repeated });
        }
        servers.push(server);
    }
    Ok(())
}

/// Whether each server has a name of its own.
fn check_names(servers: &[Server]) -> Result<(), Error> {
    let mut names = HashSet::new();
    match servers.iter().find(|server| !names.insert(server.name())) {
        None => Ok(()),
        Some(twin) => Err(Error::Uri { uri: twin.to_string().into(), problem: UriProblem::NameTaken }),
    }
}

fn id(place: Option<usize>) -> Result<ServerId, Error> {
    place.and_then(|place| u32::try_from(place).ok()).map(ServerId).ok_or_else(Error::no_servers)
}

#[cfg(test)]
mod tests;
