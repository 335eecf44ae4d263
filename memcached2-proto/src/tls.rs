//! TLS between a connection and its socket, by rustls.
//!
//! The [guide](crate::guide::tls) shows how it is used.

mod config;
mod failure;
mod session;

pub(crate) use self::config::TlsOptions;
pub use rustls;

pub use self::config::{Certificate, Identity};
pub(crate) use self::failure::LATE;
pub use self::session::TlsSession;

#[cfg(test)]
mod tests;
