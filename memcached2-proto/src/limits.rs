//! The limits of a connection.

use std::time::Duration;

use crate::data::Data;

/// What a server may send, and what may be under way to it.
///
/// The defaults suit any memcached; [`Options::limits`](crate::Options::limits) changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line in bytes that is accepted from a server; 8 KiB unless changed, and at most 12 KiB.
    ///
    /// A memcached sends at most about 320 bytes before a value and 4 KiB in a log line.
    pub line: usize,
    /// The longest value in bytes that is sent; as long as the protocol can say ([`Data::MAX`](crate::Data::MAX)) unless
    /// changed. A server refuses what is too long for it, 1 MiB unless it was started with another `-I`, after it has
    /// taken all of it; this refuses it before a byte is sent.
    pub sent_value: usize,
    /// The longest value in bytes that is accepted from a server; 128 MiB unless changed. memcached's own option `-I` allows
    /// 1 GiB, and is 1 MiB unless set.
    pub value: usize,
    /// How many bytes of statistics are accepted in one answer; 16 MiB unless changed. memcached sends a few kilobytes,
    /// and some 300 bytes for each connection in `stats conns`.
    pub stats: usize,
    /// How long the reply to a cancelled or timed-out request may go on after the deadline, before the connection is
    /// closed; 1 second unless changed.
    pub drain: Duration,
    /// How many bytes of such a reply may still be missing at the deadline, if no later request is waiting either; 8
    /// MiB unless changed.
    pub drain_bytes: usize,
    /// How many requests may be in flight on a shared connection, at least 1; 65,536 unless changed.
    pub in_flight: usize,
    /// How many bytes of requests may wait on a shared connection for the server to take them; 16 MiB unless changed.
    pub unsent: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 8 * 1024,
            sent_value: Data::MAX,
            value: 128 * 1024 * 1024,
            stats: 16 * 1024 * 1024,
            drain: Duration::from_secs(1),
            drain_bytes: 8 * 1024 * 1024,
            in_flight: 65_536,
            unsent: 16 * 1024 * 1024,
        }
    }
}
