//! What the connections to one server have in common.

use std::sync::Arc;
use std::time::Duration;

use super::silence::Silence;
use crate::connection::{ConnectionOptions, KnownProtocol};
use crate::error::Error;
use crate::large_keys::LargeKeys;
use crate::lookup::Lookup;
use crate::options::Options;
use crate::tls::TlsSession;
use crate::uri::{Address, Server};

/// What the connections to one server have in common: where it is, how a client behaves towards it, and what was found out of
/// it.
#[derive(Debug)]
pub struct Endpoint {
    server: Server,
    options: Options,
    connection_options: ConnectionOptions,
    known: KnownProtocol,
    lookup: Arc<Lookup>,
    silence: Silence,
    large_keys: Arc<LargeKeys>,
    /// The name that its certificate must have, if it is connected to by TLS.
    tls_name: Option<Arc<str>>,
}

impl Endpoint {
    /// The server at this place among those of a client that behaves as `options` say, where its URI says nothing else.
    #[must_use]
    pub fn new(place: usize, server: &Server, options: &Options) -> Self {
        let options = options.towards(server);
        Self {
            tls_name: tls_name(server, &options),
            server: server.clone(),
            connection_options: ConnectionOptions {
                max_ttl: server.options().max_ttl,
                ..ConnectionOptions::from(&options)
            },
            options,
            known: KnownProtocol::for_server(place),
            lookup: Arc::default(),
            silence: Silence::default(),
            large_keys: Arc::default(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.server.address()
    }

    /// How a client behaves towards it.
    #[must_use]
    #[inline]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What of that its connections are made with.
    #[must_use]
    pub fn connection_options(&self) -> &ConnectionOptions {
        &self.connection_options
    }

    /// What its connections have found out of the protocol that it speaks.
    #[must_use]
    pub fn known(&self) -> &KnownProtocol {
        &self.known
    }

    /// Finds the addresses of its name, once for all who ask at the same time.
    #[must_use]
    pub fn lookup(&self) -> &Arc<Lookup> {
        &self.lookup
    }

    /// Tells the observer that a connection is ready, and how long it took to open it.
    pub(super) fn on_connect(&self, time: Duration) {
        if let Some(observer) = &self.options.observer {
            observer.on_connect(&self.server, time);
        }
    }

    /// For how long it has not answered those who open connections.
    pub(super) fn silence(&self) -> &Silence {
        &self.silence
    }

    /// Which of its keys have large values.
    pub(crate) fn large_keys(&self) -> &Arc<LargeKeys> {
        &self.large_keys
    }

    /// A session of TLS, if it is connected to by that.
    pub(super) fn begin_tls(&self) -> Result<Option<TlsSession>, Error> {
        match &self.tls_name {
            None => Ok(None),
            #[cfg(feature = "tls")]
            Some(name) => TlsSession::new(&self.options.tls, name).map(Some),
            #[cfg(not(feature = "tls"))]
            Some(_) => Ok(None),
        }
    }
}

/// The name that the certificate of a server must have, if it is connected to by TLS.
fn tls_name(server: &Server, options: &Options) -> Option<Arc<str>> {
    let Address::Tcp { host, .. } = server.address() else { return None };
    let named = server.options().tls_name.clone();
    #[cfg(feature = "tls")]
    let named = named.or_else(|| options.tls.server_name.clone());
    let _ = options;
    server.is_tls().then(|| named.unwrap_or_else(|| host.as_str().into()))
}
