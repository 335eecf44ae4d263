//! The builder of the service.

use std::fmt;
use std::time::Duration;

use memcached2_tokio::{Client, Credentials, Expiry, LongKeys, Namespace};
use opendal_core::raw::{Service, normalize_root, signed_duration_to_duration};
use opendal_core::{Builder, Error, ErrorKind, Result};

use crate::config::{Memcached2Config, server};
use crate::error::invalid;
use crate::service::Memcached2Service;

/// The builder of an operator over memcached: from a client, or from the addresses of servers.
///
/// A client has all options of memcached2: routing, replicas, a gutter, limits, observers, TLS. It may be used by others, too.
///
/// ```
/// use std::time::Duration;
/// use memcached2_opendal::Memcached2;
/// use memcached2_tokio::Client;
/// use opendal::Operator;
///
/// let client = Client::builder().servers(["cache1", "cache2"]).timeout(Duration::from_millis(250)).build()?;
/// let operator = Operator::new(Memcached2::new(client).root("/builds"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Building connects to no server; the first operation does.
#[derive(Default)]
pub struct Memcached2 {
    keys: Option<Namespace>,
    config: Memcached2Config,
    default_ttl: Option<Duration>,
}

impl Memcached2 {
    /// A builder of an operator that uses this client.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a client is cheap to clone, and a builder of a service owns what it is made of"
    )]
    pub fn new(client: Client) -> Self {
        Self::in_namespace(client.long_keys(LongKeys::Hash))
    }

    /// A builder of an operator whose files are in a namespace of a client, so that all are deleted by one request:
    ///
    /// ```
    /// # use memcached2_opendal::Memcached2;
    /// # use memcached2_tokio::Client;
    /// # use opendal::Operator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = memcached2_testkit::EmbeddedServer::start();
    /// let builds = Client::new([server.address()])?.namespace("builds")?;
    /// let operator = Operator::new(Memcached2::in_namespace(builds.clone()))?;
    /// operator.write("main.o", "an object file").await?;
    /// builds.clear().await?;
    /// assert!(!operator.exists("main.o").await?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn in_namespace(namespace: Namespace) -> Self {
        Self { keys: Some(namespace.long_keys(LongKeys::Hash)), ..Self::default() }
    }

    /// Sets the servers, separated by commas. Each is written as a [`Server`](memcached2_tokio::Server) is: `cache1`,
    /// `cache1:11211`, `memcached://cache1?timeout=250ms`, `memcacheds://cache1` by TLS, `memcached+unix:///run/memcached.sock`;
    /// or as in OpenDAL's own service for memcached: `tcp://cache1:11211`, `unix:///run/memcached.sock`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.config.endpoint = filled(endpoint);
        self
    }

    /// Sets the directory that all paths are in; `/` unless set.
    #[must_use]
    pub fn root(mut self, root: &str) -> Self {
        self.config.root = filled(root);
        self
    }

    /// Sets the user, for servers with ASCII authentication (memcached's option `-Y`). SASL needs the binary protocol, which
    /// memcached2 does not speak.
    #[must_use]
    pub fn username(mut self, username: &str) -> Self {
        self.config.username = filled(username);
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.config.password = filled(password);
        self
    }

    /// Sets how long a file stays after it was written; until it is evicted unless set, and with 0. It is rounded up to whole seconds,
    /// may be more than 30 days, and must end before 2038-01-19.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = Some(ttl);
        self
    }

    pub(crate) fn from_config(config: Memcached2Config) -> Self {
        Self { keys: None, config, default_ttl: None }
    }

    /// The keys of the client, which is made here unless the program has given one.
    fn keys(keys: Option<Namespace>, config: &Memcached2Config) -> Result<Namespace> {
        let Memcached2Config { endpoint, username, password, .. } = config;
        if let Some(keys) = keys {
            let is_free = endpoint.is_none() && username.is_none() && password.is_none();
            let twice = "the client has its servers and credentials already: set them there, or give no client";
            return if is_free { Ok(keys) } else { Err(Error::new(ErrorKind::ConfigInvalid, twice)) };
        }
        let Some(endpoint) = endpoint else {
            return Err(Error::new(ErrorKind::ConfigInvalid, "there is no server: set the endpoint, or give a client"));
        };
        let mut builder = Client::builder().servers(endpoint.split(',').map(server));
        match (username, password) {
            (None, None) => {}
            (Some(user), Some(password)) => {
                builder = builder.credentials(Credentials::new(user, password).map_err(invalid)?);
            }
            _ => return Err(Error::new(ErrorKind::ConfigInvalid, "a user and a password are only of use together")),
        }
        Ok(builder.build().map_err(invalid)?.long_keys(LongKeys::Hash))
    }

    fn expiry(&self) -> Result<Expiry> {
        let of_config = || self.config.default_ttl.map(signed_duration_to_duration).transpose();
        let ttl = self.default_ttl.map_or_else(of_config, |ttl| Ok(Some(ttl)))?;
        Ok(ttl.filter(|ttl| !ttl.is_zero()).into())
    }
}

/// It shows no password.
impl fmt::Debug for Memcached2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memcached2")
            .field("keys", &self.keys)
            .field("config", &self.config)
            .field("default_ttl", &self.default_ttl)
            .finish()
    }
}

impl Builder for Memcached2 {
    type Config = Memcached2Config;

    fn build(self) -> Result<impl Service> {
        let expiry = self.expiry()?;
        let root = normalize_root(self.config.root.as_deref().unwrap_or("/"));
        Ok(Memcached2Service::new(Self::keys(self.keys, &self.config)?, root, expiry))
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
