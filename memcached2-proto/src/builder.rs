//! A client in the making.

use crate::error::Error;
use crate::options::Options;
use crate::router::Router;

/// A client in the making: its servers, and how it behaves.
///
/// A transport's `Client::builder()` makes one; each method says the default of what it sets.
#[derive(Debug, Clone)]
pub struct Builder<C> {
    servers: Vec<String>,
    pub(crate) options: Options,
    make: fn(Router, &Options) -> C,
}

impl<C> Builder<C> {
    /// A builder of what `make` makes: for a transport's `Client::builder()`.
    #[must_use]
    pub fn new(make: fn(Router, &Options) -> C) -> Self {
        Self { servers: Vec::new(), options: Options::default(), make }
    }

    /// Adds a server; [`Server`](crate::Server) says how one is written. Without any every call fails with
    /// [`Error::NoServers`].
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// Adds servers, in the order that decides where keys go: the same list in the same order is the same for all
    /// clients.
    #[must_use]
    pub fn servers(mut self, servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.servers.extend(servers.into_iter().map(Into::into));
        self
    }

    /// Sets all options at once.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Makes the client. Nothing is connected yet: it works as soon as its servers do.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first server that is none, [`Error::Key`] when the prefix cannot stand before a key.
    pub fn build(self) -> Result<C, Error> {
        Ok((self.make)(Router::with_options(&self.servers, &self.options)?, &self.options))
    }
}
