//! When a server that is down is tried again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ServerId;

/// When a server that is down is tried again.
///
/// Until then no call waits for it: its keys go to the servers that the [selection](crate::Selection) names next, or
/// fail at once with [`Error::Down`](crate::Error::Down) if there is none. Then one call probes it, and the others do
/// not wait for that one.
///
/// A server has failed if it cannot be connected to, does not answer the probe of a new connection
/// ([`KnownProtocol`](crate::connection::KnownProtocol)), closes a new connection before it has answered, or breaks the protocol. A
/// missed deadline is no failure by itself: the connection is closed, and the probe of the next connection, which has
/// half of [`Options::connect_timeout`](crate::Options::connect_timeout), or of [`Options::timeout`](crate::Options::timeout) if that
/// is shorter, shows whether the server still answers. Only where there is no probe is a missed deadline a failure: with
/// [`Options::protocol`](crate::Options::protocol), and for a minute after a server has closed the connection on the probe. A
/// server that closes a used connection may have been restarted, and a server that refuses a connection because it has
/// too many is full, not down: neither counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// With the next call: servers never count as down, so each call to a dead server waits for it. python-memcached2's
    /// `ReconnectorSimple`.
    Immediately,
    /// After a fixed time: python-memcached2's `ReconnectorTime`, whose default is [`ReconnectPolicy::TIME`].
    After(Duration),
    /// After a time that doubles with each failure in a row, up to a maximum. A random part of at most a half is
    /// subtracted, so that not all clients come back at once. The default, from [`ReconnectPolicy::MIN_DELAY`] to
    /// [`ReconnectPolicy::MAX_DELAY`].
    Backoff {
        /// The time after the first failure.
        min_delay: Duration,
        /// The longest time.
        max_delay: Duration,
    },
    /// By your own rule.
    Custom(Arc<dyn CustomReconnect>),
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::Backoff { min_delay: Self::MIN_DELAY, max_delay: Self::MAX_DELAY }
    }
}

/// Your own rule for when a server that is down is tried again. It is called within a call, so it must not wait or use
/// the client.
pub trait CustomReconnect: fmt::Debug + Send + Sync {
    /// How long a server is not tried after this number of failures in a row, counted from 1: the one with which it counts as
    /// down, so that of several that [this takes](crate::Options::failures) the last one is the first here. It is called once
    /// for each of them. `chance` is a random number, to spread clients over time.
    fn wait(&self, server: ServerId, failures: u32, chance: u64) -> Duration;

    /// Called when a server that had failed has answered. Its failures are counted from 1 again; nothing has to be
    /// done.
    fn recovered(&self, _server: ServerId) {}
}

impl ReconnectPolicy {
    /// How long python-memcached2 does not try a server.
    pub const TIME: Duration = Duration::from_secs(30);

    /// The delay after the first failure, unless set: short, because most failures are.
    pub const MIN_DELAY: Duration = Duration::from_secs(1);

    /// The maximum delay, unless set. So a server that is back is used in about 2 seconds, and a server that stays down
    /// delays one call a second, by at most the connect timeout.
    pub const MAX_DELAY: Duration = Duration::from_millis(1500);

    pub(super) fn wait(&self, server: ServerId, failures: u32, chance: u64) -> Duration {
        match self {
            Self::Immediately => Duration::ZERO,
            Self::After(time) => *time,
            Self::Backoff { min_delay, max_delay } => {
                let doubled = min_delay.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
                let whole = doubled.min(*max_delay);
                // A number of 16 bits as a fraction of a half.
                let less = u32::from(chance as u16);
                whole - (whole / 2 / (1 << 16)).saturating_mul(less)
            }
            Self::Custom(rule) => rule.wait(server, failures, chance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_is_back_is_asked_within_two_seconds_unless_set() {
        let rule = ReconnectPolicy::default();
        for failures in [1, 2, 3, 10, 1000, u32::MAX] {
            assert!(rule.wait(ServerId(0), failures, 0) <= 3 * SECOND / 2, "after {failures} failures");
        }
    }

    #[test]
    fn the_time_doubles_up_to_the_longest_and_is_shortened_by_chance() {
        let rule = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: 60 * SECOND };
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (32, 60), (33, 60), (u32::MAX, 60)] {
            let whole = seconds * SECOND;
            assert_eq!(rule.wait(ServerId(0), failures, 0), whole);
            let least = rule.wait(ServerId(0), failures, u64::MAX);
            assert!(least < whole * 51 / 100 && least >= whole / 2, "{least:?} of {whole:?}");
        }
        assert_eq!(ReconnectPolicy::Immediately.wait(ServerId(0), 9, 0), Duration::ZERO);
    }
}
