//! Where a connection goes.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a socket is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An address of TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Destination {
    /// Whether it says something: not the address of a connector that looks no name up.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Tcp(address) if address.ip().is_unspecified())
    }

    /// The IP address or the path, and the port.
    #[cfg(any(feature = "opentelemetry", feature = "tracing"))]
    pub(crate) fn address_and_port(&self) -> (String, Option<u16>) {
        match self {
            Self::Tcp(address) => (address.ip().to_string(), Some(address.port())),
            Self::Unix(path) => (path.display().to_string(), None),
        }
    }
}
