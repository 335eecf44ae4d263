//! Which servers are up, as far as calls have found out.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::time::later;

/// When a server that has failed is asked again.
///
/// Until then it costs callers nothing: their keys go to the servers that the [rule](crate::Selection) names next, or
/// fail at once with [`Error::NoServers`](crate::Error::NoServers). Then one call tries it, and the others wait for what
/// becomes of that one. A server has failed when it cannot be connected to, does not answer by the deadline, closes the
/// connection before it has answered, or breaks the protocol.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Reconnect {
    /// With the next call: servers never count as down. The default.
    #[default]
    Immediately,
    /// After a fixed time: python-memcached2's `ReconnectorTime`, whose default is [`Reconnect::TIME`].
    After(Duration),
    /// After a time that doubles with each failure in a row, up to a longest one; by chance up to half of it less, so
    /// that not all clients come back at once.
    Backoff {
        /// The time after the first failure.
        first: Duration,
        /// The longest time.
        most: Duration,
    },
    /// By a rule of one's own.
    Own(Arc<dyn Reconnector>),
}

/// A rule by which servers that have failed are asked again.
pub trait Reconnector: fmt::Debug + Send + Sync {
    /// How long a server is left alone that has failed so many times in a row, counted from 1. `chance` is any number, to
    /// spread clients over time.
    fn wait(&self, failures: u32, chance: u64) -> Duration;
}

impl Reconnect {
    /// How long python-memcached2 leaves a server alone.
    pub const TIME: Duration = Duration::from_secs(30);

    fn wait(&self, failures: u32, chance: u64) -> Duration {
        match self {
            Self::Immediately => Duration::ZERO,
            Self::After(time) => *time,
            Self::Backoff { first, most } => {
                let doubled = first.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
                let whole = doubled.min(*most);
                // A number of 16 bits as a fraction of a half.
                let less = u32::from(chance as u16);
                whole - (whole / 2 / (1 << 16)).saturating_mul(less)
            }
            Self::Own(rule) => rule.wait(failures, chance),
        }
    }
}

/// So long a call that tries a server keeps others from doing the same, unless it ends before: one that was given up by
/// its caller says nothing any more.
const TRIAL: Duration = Duration::from_secs(1);

/// What is known of all servers.
#[derive(Debug)]
pub(super) struct Health {
    rule: Reconnect,
    servers: Box<[State]>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether there is anything to be looked up.
    is_down: AtomicBool,
    fall: Mutex<Fall>,
}

/// How a server went down.
#[derive(Debug, Default)]
struct Fall {
    /// How many times it has failed in a row.
    failures: u32,
    /// When it may be asked again.
    retry: Option<Instant>,
    /// The call that tries it, by the moment when it began: all its parts may.
    trial: Option<Instant>,
}

impl Health {
    /// All of so many servers are up; `None` when a rule never takes one for down.
    pub(super) fn new(rule: &Reconnect, servers: usize) -> Option<Arc<Self>> {
        let servers = (0..servers).map(|_| State::default()).collect();
        let is_kept = !matches!(rule, Reconnect::Immediately);
        is_kept.then(|| Arc::new(Self { rule: rule.clone(), servers }))
    }

    /// Whether a server may be asked: it is up, or its retry is due.
    pub(super) fn is_open(&self, place: usize, now: Instant) -> bool {
        self.fallen(place).is_none_or(|fall| fall.is_open(now))
    }

    /// Asks for a server: `false` when it is down, and somebody else tries it or nobody may yet.
    pub(super) fn claim(&self, place: usize, now: Instant) -> bool {
        let Some(mut fall) = self.fallen(place) else { return true };
        if !fall.is_open(now) {
            return false;
        }
        if fall.trial != Some(now) {
            (fall.trial, fall.retry) = (Some(now), Some(later(now, TRIAL)));
        }
        true
    }

    /// A call had an answer from a server.
    pub(super) fn succeeded(&self, place: usize) {
        if let Some(mut fall) = self.fallen(place) {
            *fall = Fall::default();
            self.servers[place].is_down.store(false, Ordering::Release);
        }
    }

    /// A call had no answer from a server.
    pub(super) fn failed(&self, place: usize, now: Instant) {
        let Some(state) = self.servers.get(place) else { return };
        let mut fall = state.lock();
        // Calls that were under way when it went down are no further failures.
        if state.is_down.load(Ordering::Acquire) && fall.trial.is_none() {
            return;
        }
        fall.failures = fall.failures.saturating_add(1);
        fall.trial = None;
        let chance = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ fall.chance(now);
        fall.retry = Some(later(now, self.rule.wait(fall.failures, chance)));
        state.is_down.store(true, Ordering::Release);
    }

    fn fallen(&self, place: usize) -> Option<MutexGuard<'_, Fall>> {
        self.servers.get(place).filter(|state| state.is_down.load(Ordering::Acquire)).map(State::lock)
    }
}

impl State {
    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Fall> {
        self.fall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fall {
    fn is_open(&self, now: Instant) -> bool {
        self.trial == Some(now) || self.retry.is_none_or(|retry| retry <= now)
    }

    /// Something that differs from client to client: by how many nanoseconds the server failed after its retry was due.
    fn chance(&self, now: Instant) -> u64 {
        let late = self.retry.map_or(Duration::ZERO, |retry| now.max(retry) - now.min(retry));
        u64::from(late.subsec_nanos()).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any moment does")]
    fn start() -> Instant {
        Instant::now()
    }

    fn health(rule: &Reconnect) -> Arc<Health> {
        Health::new(rule, 2).expect("a rule that takes servers for down")
    }

    #[test]
    fn a_server_that_has_failed_is_left_alone_until_one_call_tries_it() {
        let (health, now) = (health(&Reconnect::After(30 * SECOND)), start());
        assert!(health.is_open(0, now) && health.claim(0, now));
        health.failed(0, now);
        assert!(!health.is_open(0, now) && !health.claim(0, now + 29 * SECOND));
        assert!(health.is_open(1, now) && health.claim(1, now));
        let due = now + 30 * SECOND;
        assert!(health.is_open(0, due) && health.claim(0, due));
        // Only one call with all its parts, until it is over or was given up.
        let other = due + Duration::from_nanos(1);
        assert!(health.claim(0, due) && !health.is_open(0, other) && !health.claim(0, other));
        assert!(health.claim(0, due + TRIAL) && !health.claim(0, other + TRIAL));
        health.failed(0, due + TRIAL);
        assert!(!health.is_open(0, due + TRIAL + 29 * SECOND));
        assert!(health.claim(0, due + TRIAL + 30 * SECOND));
        health.succeeded(0);
        assert!(health.claim(0, now) && health.claim(0, now));
    }

    #[test]
    fn calls_that_fail_together_are_one_failure() {
        let backoff = Reconnect::Backoff { first: SECOND, most: 60 * SECOND };
        let (health, now) = (health(&backoff), start());
        (0..64).for_each(|_| health.failed(0, now));
        assert!(health.is_open(0, now + SECOND));
    }

    #[test]
    fn the_time_doubles_up_to_the_longest_and_is_shortened_by_chance() {
        let rule = Reconnect::Backoff { first: SECOND, most: 60 * SECOND };
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (32, 60), (33, 60), (u32::MAX, 60)] {
            let whole = seconds * SECOND;
            assert_eq!(rule.wait(failures, 0), whole);
            let least = rule.wait(failures, u64::MAX);
            assert!(least < whole * 51 / 100 && least >= whole / 2, "{least:?} of {whole:?}");
        }
        assert_eq!(Reconnect::Immediately.wait(9, 0), Duration::ZERO);
        assert!(Health::new(&Reconnect::Immediately, 1).is_none());
    }

    #[derive(Debug)]
    struct Linear;

    impl Reconnector for Linear {
        fn wait(&self, failures: u32, _: u64) -> Duration {
            SECOND * failures
        }
    }

    #[test]
    fn a_rule_may_be_ones_own() {
        let (health, mut now) = (health(&Reconnect::Own(Arc::new(Linear))), start());
        for failures in 1..5 {
            assert!(health.claim(0, now));
            health.failed(0, now);
            now += SECOND * failures;
            assert!(!health.is_open(0, now - SECOND / 2));
        }
    }
}
