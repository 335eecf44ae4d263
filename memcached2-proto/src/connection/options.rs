//! What a connection is made with.

use std::sync::Arc;
use std::time::Duration;

use crate::command::Protocol;
use crate::limits::Limits;
use crate::request_buffer::RequestBuffer;

/// How connections behave: what of the options of a client concerns them.
///
/// ```
/// use memcached2_proto::connection::ConnectionOptions;
/// use memcached2_proto::{Connection, Protocol};
///
/// let mut options = ConnectionOptions::default();
/// options.prefix = Some(b"shop:"[..].into());
/// options.protocol = Some(Protocol::Meta);
/// let connection = Connection::with_options(&options);
/// # assert!(connection.is_idle());
/// ```
///
/// A client's [`Options`](crate::Options) become these by [`From`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// What is written before every key; nothing unless changed. If it is longer than 249 bytes or contains a blank or control
    /// byte, every request with a key fails with [`Error::Key`](crate::Error::Key).
    pub prefix: Option<Arc<[u8]>>,
    /// What is sent and what is accepted.
    pub limits: Limits,
    /// The protocol that is spoken; unless set, each server is asked whether it speaks meta.
    pub protocol: Option<Protocol>,
    /// Within what time a server that has never answered that question must have said something; 250 milliseconds unless
    /// changed.
    pub probe_timeout: Duration,
    /// How old a connection may become; as old as it lasts unless set.
    pub max_age: Option<Duration>,
    /// How long an item may stay that is stored or touched: longer expiries are cut to it, and an item that is to stay for ever
    /// stays for this long. Nothing is cut unless set.
    pub max_ttl: Option<Duration>,
}

impl ConnectionOptions {
    /// An empty buffer for requests on such a connection.
    pub(crate) fn request_buffer(&self) -> RequestBuffer {
        RequestBuffer::new(self.prefix.clone(), self.limits.sent_value).with_max_ttl(self.max_ttl)
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            prefix: None,
            limits: Limits::default(),
            protocol: None,
            probe_timeout: Duration::from_millis(250),
            max_age: None,
            max_ttl: None,
        }
    }
}
