//! What the connections to one server have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::silence::Silence;
use crate::connection::{ConnectionOptions, KnownProtocol};
use crate::error::Error;
use crate::large_keys::LargeKeys;
use crate::lookup::Lookup;
use crate::options::Options;
use crate::time::Instant;
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
    /// When the last of the calls began that it has answered, noted while there are several connections: then one may be silent, and
    /// others answered meanwhile.
    latest_answer: AtomicU64,
    /// Each driver of a shared connection holds one.
    drivers: Arc<()>,
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
            latest_answer: AtomicU64::default(),
            drivers: Arc::default(),
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

    /// Notes that it has answered a call that began at this moment. That is needed only while there are several connections.
    pub fn answered(&self, begun: Instant) {
        // An earlier call may end after a later one.
        self.latest_answer.fetch_max(begun.as_nanos(), Ordering::Relaxed);
    }

    /// Whether it has answered, on any connection, a call that began after this moment. Then silence since that moment does not show
    /// that it is down.
    #[must_use]
    pub fn has_answered_since(&self, moment: Instant) -> bool {
        self.latest_answer.load(Ordering::Relaxed) > moment.as_nanos()
    }

    /// What each driver of a shared connection holds, so that the count shows whether there are several.
    pub(crate) fn drivers(&self) -> &Arc<()> {
        &self.drivers
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_later_call_counts_though_an_earlier_call_ends_after_it() {
        let endpoint = Endpoint::new(0, &"127.0.0.1".parse().unwrap(), &Options::default());
        let [earlier, between, later] = [1, 2, 3].map(Instant::from_nanos);
        assert!(!endpoint.has_answered_since(between));
        endpoint.answered(later);
        endpoint.answered(earlier);
        assert!(endpoint.has_answered_since(between) && !endpoint.has_answered_since(later));
    }
}
