//! When a server that has failed is asked again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ServerId;

/// When a server that has failed is asked again.
///
/// Until then it costs callers nothing: their keys go to the servers that the [rule](crate::Selection) names next, or
/// fail at once with [`Error::Down`](crate::Error::Down) when there is none. Then one call tries it, and the others do not wait for what becomes of that one.
///
/// A server has failed when it cannot be connected to, takes a connection and does not answer the question for its protocol
/// ([`KnownProtocol`](crate::KnownProtocol)), closes a fresh connection before it has answered, or breaks the protocol. One
/// that was silent until a deadline has answered before: its connection is closed, and the question at the beginning of the
/// next one, which has half of [`Options::connect_timeout`](crate::Options::connect_timeout), shows whether it still does.
/// Only where nothing is asked, since the client was told the protocol, the silence itself is a failure. A server that
/// closes a connection which has served before may have been restarted meanwhile, and one that has as many connections as
/// it may have is full, not down: neither counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// With the next call, whatever that costs: servers never count as down. python-memcached2's `ReconnectorSimple`.
    Immediately,
    /// After a fixed time: python-memcached2's `ReconnectorTime`, whose default is [`ReconnectPolicy::TIME`].
    After(Duration),
    /// After a time that doubles with each failure in a row, up to a longest one; by chance up to half of it less, so
    /// that not all clients come back at once. The default, from [`ReconnectPolicy::MIN_DELAY`] to [`ReconnectPolicy::MAX_DELAY`].
    Backoff {
        /// The time after the first failure.
        min_delay: Duration,
        /// The longest time.
        max_delay: Duration,
    },
    /// By a rule of one's own.
    Custom(Arc<dyn CustomReconnect>),
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::Backoff { min_delay: Self::MIN_DELAY, max_delay: Self::MAX_DELAY }
    }
}

/// A rule by which servers that have failed are asked again. It is called in the middle of a call, so it must not wait,
/// nor use the client.
pub trait CustomReconnect: fmt::Debug + Send + Sync {
    /// How long a server is left alone that has failed so many times in a row, counted from 1. It is asked once for each
    /// failure. `chance` is any number, another one for each failure and each client, to spread clients over time.
    fn wait(&self, server: ServerId, failures: u32, chance: u64) -> Duration;

    /// Hears that a server has answered which had failed before. Nothing has to be done about it: its failures are counted
    /// from 1 again.
    fn recovered(&self, _server: ServerId) {}
}

impl ReconnectPolicy {
    /// How long python-memcached2 leaves a server alone.
    pub const TIME: Duration = Duration::from_secs(30);

    /// How long a server is left alone after its first failure, unless set: short, since most failures are.
    pub const MIN_DELAY: Duration = Duration::from_secs(1);

    /// How long a server is left alone at most, unless set: one that is back is used within 2 seconds, and one that stays
    /// away costs a single call in a second what connecting may take.
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
