//! A client in the making.

use std::sync::Arc;
use std::time::Duration;

use crate::command::Protocol;
use crate::error::Error;
use crate::observer::Observer;
use crate::options::{Options, options};
use crate::routing::{ReconnectPolicy, Router, Selection};

/// A builder of a client: its servers and options.
///
/// `Client::builder()` of a transport returns one. Each method states its default.
#[derive(Debug, Clone)]
pub struct Builder<C> {
    servers: Vec<String>,
    options: Options,
    make: fn(Router, &Options) -> C,
}

impl<C> Builder<C> {
    /// A builder that calls `make` with the router and the options: for `Client::builder()` of a transport.
    #[must_use]
    pub fn new(make: fn(Router, &Options) -> C) -> Self {
        Self { servers: Vec::new(), options: Options::default(), make }
    }

    /// Adds a server; [`Server`](crate::Server) says how one is written. Without a server, every call fails with
    /// [`Error::NoServers`].
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// Adds servers. The order may decide where keys go: give all clients the same list in the same order.
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

    /// Makes the client. It connects when it is used, so its servers may be down now.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that is no address of a server. [`Error::Key`] if the prefix is longer than
    /// 250 bytes or contains a blank or control byte. [`Error::Tls`] if a certificate is not usable, or no authority is trusted.
    pub fn build(self) -> Result<C, Error> {
        let router = Router::with_options(&self.servers, &self.options)?;
        #[cfg(feature = "tls")]
        if router.servers().iter().any(crate::uri::Server::is_tls) {
            self.options.tls.client_config()?;
        }
        Ok((self.make)(router, &self.options))
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* fn $name:ident($self:ident, $value:ident: $type:ty) $body:block)*) => {
        impl<C> Builder<C> {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $value: $type) -> Self {
                    self.options = self.options.$name($value);
                    self
                }
            )*
        }
    };
}

options!(methods);
