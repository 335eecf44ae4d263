//! Which server has a key.

use std::sync::Arc;

use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
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
///
/// The rule is that of python-memcached2: the upper half of the CRC-32 of the key, 15 bits of it and never 0, modulo
/// the number of servers.
#[derive(Debug, Clone)]
pub struct Router {
    servers: Vec<Server>,
    prefix: Option<Prefix>,
}

/// What the client writes before every key.
#[derive(Debug, Clone)]
struct Prefix {
    bytes: Arc<[u8]>,
    /// Whether it has a say in which server has a key.
    is_routed: bool,
}

impl Router {
    /// A router for `servers`, in this order.
    #[must_use]
    pub fn new(servers: Vec<Server>) -> Self {
        Self { servers, prefix: None }
    }

    /// A router for the servers that `texts` name, in this order; see [`Server`] for how a server is written.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none.
    pub fn parse(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Ok(Self::new(texts.into_iter().map(|text| text.as_ref().parse::<Server>()).collect::<Result<_, _>>()?))
    }

    /// A router for the servers that `texts` name, which does what `options` say.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that names none, [`Error::Key`] when the prefix cannot stand before a key.
    pub fn of(texts: impl IntoIterator<Item = impl AsRef<str>>, options: &Options) -> Result<Self, Error> {
        let mut router = Self::parse(texts)?;
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
            servers => Ok(ServerId(hash(key) % u32::try_from(servers).unwrap_or(u32::MAX))),
        }
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

fn hash(key: Key<'_>) -> u32 {
    ((crc32fast::hash(key.as_bytes()) >> 16) & 0x7fff).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_the_c_client_does() {
        // Given in the documentation of python-memcached2's HasherCMemcache.
        assert_eq!(hash(Key::new("x").unwrap()), 3292);
        assert_eq!(hash(Key::new("y").unwrap()), 31707);
    }

    #[test]
    fn a_key_goes_to_one_of_the_servers() {
        let router = |servers: &[&str]| Router::new(servers.iter().map(|server| server.parse().unwrap()).collect());
        let key = Key::new("x").unwrap();
        assert_eq!(router(&[]).route(key), Err(Error::NoServers));
        assert_eq!(router(&["a"]).route(key), Ok(ServerId(0)));
        assert_eq!(router(&["a", "b", "c"]).route(key), Ok(ServerId(3292 % 3)));
    }
}
