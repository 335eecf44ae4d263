//! Which servers are up, as far as calls have found out.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ServerId;
use crate::error::{Cause, Error};
use crate::observer::ServerEvent;
use crate::time::later;

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

    fn wait(&self, server: ServerId, failures: u32, chance: u64) -> Duration {
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

/// So long a call that tries a server keeps others from doing the same, unless it ends before: one that its caller holds
/// and does not go on with says nothing any more.
const TRIAL: Duration = Duration::from_secs(1);

/// What is known of all servers.
#[derive(Debug)]
pub(super) struct Health {
    rule: ReconnectPolicy,
    /// After how many failures in a row a server counts as down.
    down_after: u32,
    /// What chance is drawn from.
    seed: u64,
    servers: Box<[Mutex<Option<Outage>>]>,
    /// How many servers are down, besides those who observe: while that is none, nothing has to be looked up.
    attention: AtomicUsize,
    /// How many observe: one at the most.
    observers: usize,
}

/// The failures of a server, which make it count as down if they are enough.
#[derive(Debug)]
struct Outage {
    /// How many times it has failed in a row.
    failures: u32,
    /// When it has failed last.
    failed: Instant,
    /// When it may be asked again.
    retry: Instant,
    /// How many trials there were: the last one has this number.
    trials: u64,
    /// While the last one is under way, until when nobody else may try.
    trial: Option<Instant>,
    /// How many trials there had been when the server failed for the last time: what comes of those is no further failure.
    settled: u64,
    /// The last failure.
    cause: Cause<Error>,
}

impl Health {
    /// All of so many servers are up.
    pub(super) fn new(rule: &ReconnectPolicy, down_after: u32, servers: usize) -> Self {
        let servers = (0..servers).map(|_| Mutex::new(None)).collect();
        Self { rule: rule.clone(), down_after, seed: 0, servers, attention: AtomicUsize::new(0), observers: 0 }
    }

    /// All servers are up; chance is drawn from another number, and somebody may observe.
    pub(super) fn for_client(&self, seed: u64, is_observed: bool) -> Self {
        let observers = usize::from(is_observed);
        let attention = AtomicUsize::new(observers);
        Self { seed, attention, observers, ..Self::new(&self.rule, self.down_after, self.servers.len()) }
    }

    /// Whether servers can count as down.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self.rule, ReconnectPolicy::Immediately)
    }

    /// Whether all servers are up, and nobody observes.
    #[inline]
    pub(super) fn all_up_unobserved(&self) -> bool {
        self.attention.load(Ordering::Acquire) == 0
    }

    /// Whether all servers are up.
    pub(super) fn all_up(&self) -> bool {
        self.attention.load(Ordering::Acquire) == self.observers
    }

    /// Whether a server may be asked: it is up, or its retry is due.
    pub(super) fn is_open(&self, place: usize, now: Instant) -> bool {
        self.lock(place).is_none_or(|fall| fall.as_ref().is_none_or(|fall| !self.is_down(fall) || fall.is_open(now)))
    }

    /// Asks for a server: `None` when it is down, and somebody else tries it or nobody may yet; the number of a trial
    /// when whoever asked is the one that tries it.
    pub(super) fn claim(&self, place: usize, now: Instant) -> Option<Option<u64>> {
        let mut fall = self.lock(place)?;
        let Some(fall) = fall.as_mut().filter(|fall| self.is_down(fall)) else { return Some(None) };
        if !fall.is_open(now) {
            return None;
        }
        fall.trials += 1;
        fall.trial = Some(later(now, TRIAL));
        Some(Some(fall.trials))
    }

    /// Nothing came of a trial.
    pub(super) fn release(&self, place: usize, trial: u64) {
        if let Some(Some(fall)) = self.lock(place).as_deref_mut() {
            if fall.trials == trial {
                fall.trial = None;
            }
        }
    }

    /// A call had an answer from a server; what that changes.
    pub(super) fn succeeded(&self, place: usize) -> Option<ServerEvent> {
        if self.all_up() {
            return None;
        }
        let fall = self.lock(place)?.take()?;
        self.attention.fetch_sub(1, Ordering::AcqRel);
        if !self.is_down(&fall) {
            return None;
        }
        if let ReconnectPolicy::Custom(rule) = &self.rule {
            rule.recovered(id(place));
        }
        Some(ServerEvent::Up)
    }

    /// The last failure of a server, since it has answered.
    pub(super) fn cause(&self, place: usize) -> Option<Cause<Error>> {
        self.lock(place)?.as_ref().map(|fall| fall.cause.clone())
    }

    /// A call that had `begun` then had no answer from a server; what that changes. `trial` is its number if the call was to
    /// try it.
    pub(super) fn failed(
        &self,
        place: usize,
        error: Error,
        trial: Option<u64>,
        (begun, now): (Instant, Instant),
    ) -> Option<ServerEvent> {
        let (Some(mut fall), true) = (self.lock(place), self.is_kept()) else { return None };
        let (failures, trials) = match &*fall {
            None => (1, 0),
            // What fails together is one failure.
            Some(fall) if !self.is_down(fall) && fall.failed > begun => return None,
            Some(fall) if !self.is_down(fall) => (fall.failures + 1, fall.trials),
            Some(fall) if trial > Some(fall.settled) => (fall.failures.saturating_add(1), fall.trials),
            // Calls that were under way when it went down are no further failures.
            Some(_) => return None,
        };
        if fall.is_none() {
            self.attention.fetch_add(1, Ordering::AcqRel);
        }
        let cause = Cause::new(error);
        let counted = Outage { failures, failed: now, retry: now, trials, trial: None, settled: trials, cause };
        let fall = fall.insert(counted);
        if !self.is_down(fall) {
            return None;
        }
        let in_a_row = failures - (self.down_after - 1);
        // Never none: the call that has failed is to look for another server.
        let wait = self.rule.wait(id(place), in_a_row, self.chance(place, in_a_row)).max(Duration::from_nanos(1));
        fall.retry = later(now, wait);
        Some(ServerEvent::Down { failures: in_a_row, wait })
    }

    /// A number that is another one for each client, server and failure: a round of `SplitMix64`.
    fn chance(&self, place: usize, failures: u32) -> u64 {
        let step = ((place as u64) << 32 | u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed.wrapping_add(step);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A server has fallen silent while nobody waited for it any more: no call can say that it was to try it.
    pub(super) fn fell_silent(&self, place: usize, error: Error, now: Instant) -> Option<ServerEvent> {
        let due = |fall: &Outage| (fall.retry <= now).then_some(fall.trials);
        let trial = self.lock(place).and_then(|fall| fall.as_ref().and_then(due));
        self.failed(place, error, trial, (now, now))
    }

    /// Whether so many failures make a server count as down.
    fn is_down(&self, fall: &Outage) -> bool {
        fall.failures >= self.down_after
    }

    /// What is known of a server. A panic while the lock was held cannot have left it half changed.
    fn lock(&self, place: usize) -> Option<MutexGuard<'_, Option<Outage>>> {
        self.servers.get(place).map(|server| server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// There are no more servers than 32 bits can count.
fn id(place: usize) -> ServerId {
    ServerId(u32::try_from(place).unwrap_or(u32::MAX))
}

impl Outage {
    fn is_open(&self, now: Instant) -> bool {
        self.retry <= now && self.trial.is_none_or(|until| until <= now)
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

    fn gone() -> Error {
        Error::disconnected("gone")
    }

    fn health(rule: &ReconnectPolicy) -> Health {
        Health::new(rule, 1, 2)
    }

    #[test]
    fn a_server_that_has_failed_is_left_alone_until_one_call_tries_it() {
        let (health, now) = (health(&ReconnectPolicy::After(30 * SECOND)), start());
        assert!(health.all_up() && health.claim(0, now) == Some(None));
        health.failed(0, gone(), None, (now, now));
        assert!(!health.all_up() && !health.is_open(0, now));
        assert_eq!(health.claim(0, now + 29 * SECOND), None);
        assert!(health.is_open(1, now) && health.claim(1, now) == Some(None));
        let due = now + 30 * SECOND;
        let trial = health.claim(0, due).expect("its retry is due");
        assert!(trial.is_some() && !health.is_open(0, due) && health.claim(0, due).is_none());
        health.failed(0, gone(), trial, (due, due));
        assert!(!health.is_open(0, due + 29 * SECOND));
        assert!(health.claim(0, due + 30 * SECOND).is_some());
        health.succeeded(0);
        assert!(health.all_up() && health.claim(0, now) == Some(None));
    }

    #[test]
    fn a_trial_of_which_nothing_came_is_anybody_elses() {
        let (health, now) = (health(&ReconnectPolicy::After(SECOND)), start());
        health.failed(0, gone(), None, (now, now));
        let due = now + SECOND;
        let first = health.claim(0, due).expect("due").expect("a trial");
        health.release(0, first);
        let second = health.claim(0, due).expect("released").expect("a trial");
        // What was given back, or is over, says nothing about the one under way.
        health.release(0, first);
        assert_eq!(health.claim(0, due), None);
        // One that is held for too long is no reason to wait.
        assert!(health.claim(0, due + TRIAL).is_some_and(|trial| trial.is_some_and(|trial| trial != second)));
    }

    #[test]
    fn trials_that_outlast_each_other_are_one_failure() {
        let backoff = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: 60 * SECOND };
        let (health, now) = (health(&backoff), start());
        health.failed(0, gone(), None, (now, now));
        let trial = |after| health.claim(0, now + after * SECOND).expect("open").expect("a trial");
        let trials = [trial(1), trial(2), trial(3)];
        let fail = |trial, after| health.failed(0, gone(), Some(trial), (now + after * SECOND, now + after * SECOND));
        assert!(matches!(fail(trials[0], 6), Some(ServerEvent::Down { failures: 2, .. })));
        assert_eq!((fail(trials[1], 7), fail(trials[2], 7)), (None, None));
        assert!(matches!(fail(trial(8), 9), Some(ServerEvent::Down { failures: 3, .. })));
    }

    #[test]
    fn calls_that_fail_together_are_one_failure() {
        let backoff = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: 60 * SECOND };
        let (health, now) = (health(&backoff), start());
        let changes: Vec<_> = (0..64).filter_map(|_| health.failed(0, gone(), None, (now, now))).collect();
        assert!(matches!(changes[..], [ServerEvent::Down { failures: 1, wait }] if wait <= SECOND), "{changes:?}");
        assert!(health.is_open(0, now + SECOND));
        // An answer to one of them says that it is up.
        assert_eq!((health.succeeded(0), health.succeeded(0)), (Some(ServerEvent::Up), None));
        assert!(health.all_up());
    }

    #[test]
    fn a_server_may_never_count_as_down() {
        let (health, now) = (health(&ReconnectPolicy::Immediately), start());
        health.failed(0, gone(), None, (now, now));
        assert!(health.all_up_unobserved() && health.all_up() && health.claim(0, now) == Some(None));
        assert!(!health.for_client(0, true).all_up_unobserved());
    }

    #[test]
    fn a_server_may_have_to_fail_several_times() {
        let (health, begun) = (Health::new(&ReconnectPolicy::After(SECOND), 3, 2), start());
        let is_up = |now| health.is_open(0, now) && health.claim(0, now) == Some(None);
        let fail = |begun, now| health.failed(0, gone(), None, (begun, now));
        // What began before the last failure is the same one.
        let mut now = begun + SECOND;
        assert_eq!((fail(begun, now), fail(begun, now), fail(begun, now)), (None, None, None));
        assert!(is_up(now) && health.succeeded(0).is_none() && health.all_up());
        // An answer begins anew.
        for _ in 0..2 {
            assert_eq!(fail(now, now + SECOND), None);
            now += SECOND;
            assert!(is_up(now));
        }
        assert_eq!(fail(now, now), Some(ServerEvent::Down { failures: 1, wait: SECOND }));
        assert!(!is_up(now));
        let trial = health.claim(0, now + SECOND).expect("due");
        assert_eq!(health.failed(0, gone(), trial, (now, now)), Some(ServerEvent::Down { failures: 2, wait: SECOND }));
        assert_eq!(health.succeeded(0), Some(ServerEvent::Up));
        assert!(health.all_up());
    }

    #[test]
    fn a_server_that_is_back_is_asked_within_two_seconds_unless_set() {
        let rule = ReconnectPolicy::default();
        for failures in [1, 2, 3, 10, 1000, u32::MAX] {
            assert!(rule.wait(ServerId(0), failures, 0) <= 3 * SECOND / 2, "after {failures} failures");
        }
    }

    #[test]
    fn clients_do_not_come_back_at_once() {
        let rule = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: SECOND };
        let due = |seed| {
            let (health, now) = (health(&rule).for_client(seed, false), start());
            health.failed(1, gone(), None, (now, now));
            (500..=1000).find(|millis| health.is_open(1, now + Duration::from_millis(*millis))).expect("in time")
        };
        let mut times: Vec<_> = (0..100).map(due).collect();
        times.sort_unstable();
        times.dedup();
        assert!(times.len() > 50 && times[0] < 600 && times[times.len() - 1] > 900, "{times:?}");
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

    /// It also counts the failures that it hears of.
    #[derive(Debug, Default)]
    struct Linear(AtomicUsize);

    impl CustomReconnect for Linear {
        fn wait(&self, server: ServerId, failures: u32, _: u64) -> Duration {
            assert_eq!((server, self.0.fetch_add(1, Ordering::Relaxed) + 1), (ServerId(1), failures as usize));
            SECOND * failures
        }

        fn recovered(&self, server: ServerId) {
            assert_eq!((server, self.0.swap(0, Ordering::Relaxed)), (ServerId(1), 4));
        }
    }

    #[test]
    fn a_rule_may_be_ones_own() {
        let rule = Arc::new(Linear::default());
        let (health, mut now) = (health(&ReconnectPolicy::Custom(Arc::<Linear>::clone(&rule))), start());
        for failures in 1..5 {
            let trial = health.claim(1, now).expect("due");
            health.failed(1, gone(), trial, (now, now));
            now += SECOND * failures;
            assert!(!health.is_open(1, now - SECOND / 2));
        }
        // It hears of each recovery once.
        health.succeeded(1);
        health.succeeded(1);
        assert_eq!(rule.0.load(Ordering::Relaxed), 0);
    }
}
