//! The conformance cases through the blocking client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../cases/mod.rs"]
mod cases;

/// What the cases are run through.
mod subject {
    pub(crate) use memcached2_sync::Client;

    pub(crate) const NAME: &str = "memcached2-sync";
}
