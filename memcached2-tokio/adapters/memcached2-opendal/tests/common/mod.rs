//! Servers to run a case on: within the test program, and memcached if it is installed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it; a panic is the failure of the test"
)]

use memcached2_opendal::Memcached2;
use memcached2_testkit::{EmbeddedServer, Memcached};
use opendal::Operator;

/// Which server a case runs on.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Embedded,
    Memcached,
}

/// A server that ends when it is dropped.
#[derive(Debug)]
pub enum Started {
    Embedded(EmbeddedServer),
    Memcached(Memcached),
}

impl Kind {
    /// A new server; none if memcached is not installed.
    pub fn start(self) -> Option<Started> {
        match self {
            Self::Embedded => Some(Started::Embedded(EmbeddedServer::start())),
            Self::Memcached if Memcached::installed() => Some(Started::Memcached(Memcached::start())),
            Self::Memcached => {
                eprintln!("skipped: memcached is not installed");
                None
            }
        }
    }
}

impl Started {
    pub fn address(&self) -> String {
        match self {
            Self::Embedded(server) => server.address(),
            Self::Memcached(server) => server.address(),
        }
    }

    pub fn operator(&self) -> Operator {
        operator(&self.address())
    }
}

/// An operator over these servers.
pub fn operator(addresses: &str) -> Operator {
    Operator::new(Memcached2::default().endpoint(addresses)).unwrap()
}

/// Bytes that differ from each other.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Makes a test of each function for each kind of server.
#[macro_export]
macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                if let Some(server) = super::Kind::Embedded.start() {
                    super::$name(server).await;
                }
            })*
        }

        mod memcached {
            $(#[tokio::test]
            async fn $name() {
                if let Some(server) = super::Kind::Memcached.start() {
                    super::$name(server).await;
                }
            })*
        }
    };
}
