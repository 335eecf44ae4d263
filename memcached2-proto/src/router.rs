//! Which server has a key.

mod hash;
mod health;
mod ring;
mod select;
mod selection;

use std::sync::Arc;
use std::time::Instant;

pub use self::hash::{CMemcache, Crc, Hasher, KetamaMd5, OneAtATime, UpperCrc, Zero};
use self::health::Health;
pub use self::health::{Reconnect, Reconnector};
pub use self::ring::Design;
pub use self::select::Selector;
pub use self::selection::{Selection, UnknownSelection};
use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
use crate::time::Now;
use crate::uri::Server;

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

/// The servers, and the rule that gives each key to one of them.
#[derive(Debug, Clone)]
pub struct Router {
    servers: Arc<[Server]>,
    selector: Arc<dyn Selector>,
    prefix: Option<Prefix>,
    /// Which servers are up, unless all count as up always.
    health: Option<Arc<Health>>,
}

/// What the client writes before every key.
#[derive(Debug, Clone)]
struct Prefix {
    bytes: Arc<[u8]>,
    /// Whether it has a say in which server has a key.
    is_routed: bool,
}

impl Router {
    /// A router for `servers`, in this order, by the default rule.
    #[must_use]
    pub fn new(servers: Vec<Server>) -> Self {
        Self::by(servers, &Selection::Default)
    }

    /// A router for `servers`, in this order, by a rule.
    #[must_use]
    pub fn by(servers: Vec<Server>, selection: &Selection) -> Self {
        Self { selector: selection.selector(&servers), servers: servers.into(), prefix: None, health: None }
    }

    /// A router for the servers that `texts` name, in this order, by the default rule; see [`Server`] for how a server
    /// is written.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none.
    pub fn parse(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Self::of(texts, &Options::default())
    }

    /// A router for the servers that `texts` name, which does what `options` say.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none, [`Error::Key`] when the prefix cannot stand before a key.
    pub fn of(texts: impl IntoIterator<Item = impl AsRef<str>>, options: &Options) -> Result<Self, Error> {
        let servers = texts.into_iter().map(|text| text.as_ref().parse()).collect::<Result<Vec<Server>, _>>()?;
        let mut router = Self::by(servers, &options.selection);
        router.health = Health::new(&options.reconnect, router.servers.len());
        if let Some(bytes) = options.prefix.clone() {
            // As many bytes as a prefix has must be allowed in a key, and leave room for one more.
            Key::new(&[&bytes[..], b"k"].concat())?;
            router.prefix = Some(Prefix { bytes, is_routed: options.route_by_prefix });
        }
        Ok(router)
    }

    /// How many bytes are written before every key.
    pub(crate) fn prefix_length(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.bytes.len())
    }

    /// The server of a key.
    ///
    /// # Errors
    ///
    /// [`Error::NoServers`] when there is none, [`Error::Key`] when the key is too long with the client's prefix.
    #[inline(always)]
    pub fn route(&self, key: Key<'_>) -> Result<ServerId, Error> {
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

    #[inline(always)]
    fn choose(&self, key: Key<'_>) -> Result<ServerId, Error> {
        match self.servers.len() {
            0 => Err(Error::NoServers),
            1 => Ok(ServerId(0)),
            _ => self.choose_of_many(key),
        }
    }

    /// The server to ask for a key now: of those that are up, or whose retry is due.
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`]; [`Error::NoServers`] also when none that may have the key is up.
    #[inline(always)]
    pub fn assign(&self, key: Key<'_>, now: Now) -> Result<ServerId, Error> {
        match (&self.prefix, &self.health) {
            (None, None) => self.choose(key),
            _ => self.assign_by(key, now.monotonic),
        }
    }

    #[cold]
    fn assign_by(&self, key: Key<'_>, now: Instant) -> Result<ServerId, Error> {
        /// Another call may be the one that tries a server: so many such servers are passed over.
        const TRIES: usize = 4;
        let Some(health) = &self.health else { return self.route(key) };
        for _ in 0..TRIES {
            let server = self.route_among(key, &|place| health.is_open(place, now))?;
            if health.claim(server.index(), now) {
                return Ok(server);
            }
        }
        Err(Error::NoServers)
    }

    /// Whether a server may be asked: it is up, or its retry is due.
    pub(crate) fn knock(&self, id: ServerId, now: Now) -> Result<(), Error> {
        match &self.health {
            Some(health) if !health.claim(id.index(), now.monotonic) => Err(self.at(id, Error::Down { server: None })),
            _ => Ok(()),
        }
    }

    /// Whether servers can count as down.
    #[inline]
    pub(crate) fn has_health(&self) -> bool {
        self.health.is_some()
    }

    /// Hears what came of asking a server: an error that says that it is down, or an answer.
    pub(crate) fn report(&self, id: ServerId, error: Option<&Error>, now: Instant) {
        let Some(health) = &self.health else { return };
        match error {
            None => health.succeeded(id.index()),
            Some(error) if error.is_of_the_server() => health.failed(id.index(), now),
            Some(_) => {}
        }
    }

    /// The server of a key among those that are up, by their places.
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`]; [`Error::NoServers`] also when the rule finds none that is up.
    pub fn route_among(&self, key: Key<'_>, is_up: &dyn Fn(usize) -> bool) -> Result<ServerId, Error> {
        let mut room = [0; Key::MAX];
        match &self.prefix {
            None => self.choose_among(key.as_bytes(), is_up),
            Some(prefix) => {
                let whole = key.prefixed(&prefix.bytes, &mut room)?;
                self.choose_among(if prefix.is_routed { whole } else { key }.as_bytes(), is_up)
            }
        }
    }

    #[inline(never)]
    fn choose_of_many(&self, key: Key<'_>) -> Result<ServerId, Error> {
        self.choose_among(key.as_bytes(), &|_| true)
    }

    fn choose_among(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Result<ServerId, Error> {
        let found = match self.servers.len() {
            0 => None,
            1 => is_up(0).then_some(0),
            count => self.selector.select(key, is_up).filter(|place| *place < count),
        };
        found.and_then(|place| u32::try_from(place).ok()).map(ServerId).ok_or(Error::NoServers)
    }

    /// All servers, in the order given.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The places of all servers.
    pub fn ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX)).map(ServerId)
    }

    /// The server at a place.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index())
    }
}

impl Router {
    /// The same error with the name of its server.
    #[cold]
    pub(crate) fn at(&self, id: ServerId, error: Error) -> Error {
        match self.server(id) {
            Some(server) => error.at(server.shared_name()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_one_of_the_servers() {
        let router = |servers: &[&str]| Router::new(servers.iter().map(|server| server.parse().unwrap()).collect());
        let key = Key::new("x").unwrap();
        assert_eq!(router(&[]).route(key), Err(Error::NoServers));
        assert_eq!(router(&["a"]).route(key), Ok(ServerId(0)));
        assert_eq!(router(&["a", "b", "c"]).route(key), Ok(ServerId(3292 % 3)));
    }
}
