//! The configuration as data.

use std::fmt;

use memcached2_tokio::Server;
use opendal_core::raw::SignedDuration;
use opendal_core::raw::percent_decode_path;
use opendal_core::{Configurator, OperatorUri, Result};
use serde::{Deserialize, Serialize};

use crate::builder::Memcached2;

/// The configuration of the service, from a file, a table of options or a URI. Its fields are the methods of [`Memcached2`].
///
/// ```
/// use std::collections::HashMap;
/// use memcached2_opendal::Memcached2;
/// use opendal::Operator;
///
/// let options = HashMap::from([
///     ("endpoint".to_owned(), "cache1:11211,cache2:11211".to_owned()),
///     ("default_ttl".to_owned(), "90m".to_owned()),
/// ]);
/// let operator = Operator::from_iter::<Memcached2>(options)?;
/// # Ok::<(), opendal::Error>(())
/// ```
#[derive(Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Memcached2Config {
    /// The servers, separated by commas: see [`Memcached2::endpoint`].
    pub endpoint: Option<String>,
    /// The directory that all paths are in; `/` unless set.
    pub root: Option<String>,
    /// The user, for servers with ASCII authentication (`-Y`).
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// How long a file stays, such as `1500ms`, `90m` or `1440h`; 0 and none mean until it is evicted.
    pub default_ttl: Option<SignedDuration>,
}

/// It shows no password, neither that of an address.
impl fmt::Debug for Memcached2Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |text| server(text).parse::<Server>().map_or_else(|_| "invalid".to_owned(), |one| one.name().to_owned());
        let names: Vec<String> = self.endpoint.iter().flat_map(|endpoint| endpoint.split(',')).map(name).collect();
        f.debug_struct("Memcached2Config")
            .field("endpoint", &names)
            .field("root", &self.root)
            .field("username", &self.username)
            .field("default_ttl", &self.default_ttl)
            .finish_non_exhaustive()
    }
}

impl Configurator for Memcached2Config {
    type Builder = Memcached2;

    /// `memcached2://user:password@cache1:11211/root?default_ttl=24h`. Several servers are in the option `endpoint`, with nothing
    /// before the root: `memcached2:///root?endpoint=cache1,cache2`.
    fn from_uri(uri: &OperatorUri) -> Result<Self> {
        let mut config = Self::from_iter(uri.options().clone())?;
        let set = |option: &mut Option<String>, part: Option<&str>| {
            if let Some(text) = part {
                *option = Some(text.to_owned());
            }
        };
        set(&mut config.endpoint, uri.authority());
        set(&mut config.root, uri.root());
        set(&mut config.username, uri.username().map(percent_decode_path).as_deref());
        set(&mut config.password, uri.password().map(percent_decode_path).as_deref());
        Ok(config)
    }

    fn into_builder(self) -> Memcached2 {
        Memcached2::from_config(self)
    }
}

/// The address of a server as the client writes it. `tcp://` and `unix://` are those of OpenDAL's own service for memcached.
pub(crate) fn server(text: &str) -> String {
    let text = text.trim();
    if let Some(address) = text.strip_prefix("tcp://") {
        format!("memcached://{address}")
    } else if let Some(path) = text.strip_prefix("unix://") {
        format!("memcached+unix://{path}")
    } else {
        text.to_owned()
    }
}
