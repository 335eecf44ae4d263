//! What the connections to one server have in common.

use std::sync::Arc;

use crate::connection::{ConnectionOptions, KnownProtocol};
use crate::lookup::Lookup;
use crate::options::Options;
use crate::uri::{Address, Server};

/// What the connections to one server have in common: where it is, how a client behaves towards it, and what was found out of
/// it.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    options: Options,
    connection_options: ConnectionOptions,
    known: KnownProtocol,
    lookup: Arc<Lookup>,
}

impl Endpoint {
    /// The server at this place among those of a client that behaves as `options` say, where its URI says nothing else.
    #[must_use]
    pub fn new(place: usize, server: &Server, options: &Options) -> Self {
        let options = options.towards(server);
        Self {
            address: server.address().clone(),
            connection_options: ConnectionOptions::from(&options),
            options,
            known: KnownProtocol::for_server(place),
            lookup: Arc::default(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
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
}
