//! Which servers are up, as far as calls have found out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ReconnectPolicy, ServerId};
use crate::error::{Cause, Error};
use crate::observer::ServerEvent;
use crate::time::Instant;

/// How long a probe keeps other calls from probing the same server. It is limited, because a probing future may be held
/// without being polled.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// The health of all servers.
#[derive(Debug)]
pub(super) struct Health {
    policy: ReconnectPolicy,
    /// After how many failures in a row a server counts as down.
    down_after: u32,
    /// The random seed of this client.
    seed: u64,
    servers: Box<[Mutex<Option<Outage>>]>,
    /// How many servers have failed, plus 1 with an observer, a journal or replicas: while it is 0, nothing has to be looked up.
    attention: AtomicUsize,
    /// 1 with an observer, a journal or replicas, else 0.
    observers: usize,
    /// The attention with which calls are planned without looking anything up: that of an observer alone.
    plain: usize,
}

/// What of a call needs attention though all servers are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attention {
    None,
    /// Its answers: there is an observer.
    Answers,
    /// Its plan, too: there is a journal, or there are replicas.
    Plans,
}

/// The failures of a server, which make it count as down if they are enough.
#[derive(Debug, Clone)]
struct Outage {
    /// How many times it has failed in a row.
    failures: u32,
    /// When it has failed last.
    failed: Instant,
    /// When it may be tried again.
    retry: Instant,
    /// How many probes there were: the last one has this number.
    probes: u64,
    /// While the last one is under way: until when no other call may probe.
    probe: Option<Instant>,
    /// How many probes there had been when the server failed for the last time: what comes of those is no further failure.
    settled: u64,
    /// The last failure.
    cause: Cause<Error>,
}

impl Health {
    /// The health of `servers` servers, all up.
    pub(super) fn new(policy: &ReconnectPolicy, down_after: u32, servers: usize) -> Self {
        let servers = (0..servers).map(|_| Mutex::new(None)).collect();
        let (policy, attention) = (policy.clone(), AtomicUsize::new(0));
        Self { policy, down_after, seed: 0, servers, attention, observers: 0, plain: 0 }
    }

    /// The same with all servers up, another random seed, and an observer, a journal, or none.
    pub(super) fn for_client(&self, seed: u64, attention: Attention) -> Self {
        let observers = usize::from(attention != Attention::None);
        let plain = usize::from(attention == Attention::Answers);
        let attention = AtomicUsize::new(observers);
        Self { seed, attention, observers, plain, ..Self::new(&self.policy, self.down_after, self.servers.len()) }
    }

    /// The same for another list of servers. For each of them: which place it has in this list, if it is in it. What is known of those
    /// is kept, but for a probe that is under way.
    pub(super) fn for_servers(&self, places: impl Iterator<Item = Option<usize>>) -> Self {
        let outage = |place| self.lock(place).and_then(|outage| outage.clone());
        let outages: Vec<_> = places.map(|place| place.and_then(outage)).collect();
        let attention = AtomicUsize::new(self.observers + outages.iter().flatten().count());
        let servers = outages.into_iter().map(Mutex::new).collect();
        Self { policy: self.policy.clone(), servers, attention, ..*self }
    }

    /// Whether servers can count as down.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self.policy, ReconnectPolicy::Immediately)
    }

    /// Whether all servers are up, and there is no observer.
    #[inline]
    pub(super) fn all_up_unobserved(&self) -> bool {
        self.attention.load(Ordering::Acquire) == 0
    }

    /// Whether all servers are up, and there is nothing but an observer.
    #[inline]
    pub(super) fn plans_plainly(&self) -> bool {
        self.attention.load(Ordering::Acquire) == self.plain
    }

    /// Whether all servers are up.
    pub(super) fn all_up(&self) -> bool {
        self.attention.load(Ordering::Acquire) == self.observers
    }

    /// Whether a server counts as down.
    pub(super) fn is_down_at(&self, place: usize) -> bool {
        self.lock(place).is_some_and(|outage| outage.as_ref().is_some_and(|outage| self.is_down(outage)))
    }

    /// Whether a server may be asked: it is up, or its retry is due.
    pub(super) fn may_try(&self, place: usize, now: Instant) -> bool {
        self.lock(place)
            .is_none_or(|outage| outage.as_ref().is_none_or(|outage| !self.is_down(outage) || outage.may_try(now)))
    }

    /// Whether a call may use a server: `None` if it is down and may not be probed now. The number of a probe if this
    /// call is the one that probes it.
    pub(super) fn claim(&self, place: usize, now: Instant) -> Option<Option<u64>> {
        let mut outage = self.lock(place)?;
        let Some(outage) = outage.as_mut().filter(|outage| self.is_down(outage)) else { return Some(None) };
        if !outage.may_try(now) {
            return None;
        }
        outage.probes += 1;
        outage.probe = Some(now + PROBE_LIMIT);
        Some(Some(outage.probes))
    }

    /// A probe ended without a result.
    pub(super) fn release(&self, place: usize, probe: u64) {
        if let Some(Some(outage)) = self.lock(place).as_deref_mut() {
            if outage.probes == probe {
                outage.probe = None;
            }
        }
    }

    /// A call had an answer from a server; what that changes.
    pub(super) fn succeeded(&self, place: usize) -> Option<ServerEvent> {
        if self.all_up() {
            return None;
        }
        let outage = self.lock(place)?.take()?;
        self.attention.fetch_sub(1, Ordering::AcqRel);
        if !self.is_down(&outage) {
            return None;
        }
        if let ReconnectPolicy::Custom(policy) = &self.policy {
            policy.recovered(id(place));
        }
        Some(ServerEvent::Up)
    }

    /// The last failure of a server, since it has answered.
    pub(super) fn cause(&self, place: usize) -> Option<Cause<Error>> {
        self.lock(place)?.as_ref().map(|outage| outage.cause.clone())
    }

    /// A call that began at `begun` had no answer from a server; returns what that changes. `probe` is its number if it
    /// was a probe.
    pub(super) fn failed(
        &self,
        place: usize,
        error: Error,
        probe: Option<u64>,
        (begun, now): (Instant, Instant),
    ) -> Option<ServerEvent> {
        let (Some(mut outage), true) = (self.lock(place), self.is_kept()) else { return None };
        let (failures, probes) = match &*outage {
            None => (1, 0),
            // What fails together is one failure.
            Some(outage) if !self.is_down(outage) && outage.failed > begun => return None,
            Some(outage) if !self.is_down(outage) => (outage.failures + 1, outage.probes),
            Some(outage) if probe > Some(outage.settled) => (outage.failures.saturating_add(1), outage.probes),
            // Calls that were under way when it went down are no further failures.
            Some(_) => return None,
        };
        if outage.is_none() {
            self.attention.fetch_add(1, Ordering::AcqRel);
        }
        let cause = Cause::new(error);
        let counted = Outage { failures, failed: now, retry: now, probes, probe: None, settled: probes, cause };
        let outage = outage.insert(counted);
        if !self.is_down(outage) {
            return None;
        }
        let in_a_row = failures - (self.down_after - 1);
        // Never zero: else the failed call would choose the same server again.
        let wait = self.policy.wait(id(place), in_a_row, self.chance(place, in_a_row)).max(Duration::from_nanos(1));
        outage.retry = now + wait;
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

    /// A server was silent until a deadline, and its callers are gone, so that no call can report it.
    pub(super) fn fell_silent(&self, place: usize, error: Error, now: Instant) -> Option<ServerEvent> {
        let due = |outage: &Outage| (outage.retry <= now).then_some(outage.probes);
        let probe = self.lock(place).and_then(|outage| outage.as_ref().and_then(due));
        self.failed(place, error, probe, (now, now))
    }

    /// Whether there are enough failures for the server to count as down.
    fn is_down(&self, outage: &Outage) -> bool {
        outage.failures >= self.down_after
    }

    /// What is known of a server. A panic while the lock was held cannot have left it half changed.
    fn lock(&self, place: usize) -> Option<MutexGuard<'_, Option<Outage>>> {
        self.servers.get(place).map(|server| server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// There are fewer than 2^32 servers.
fn id(place: usize) -> ServerId {
    ServerId(u32::try_from(place).unwrap_or(u32::MAX))
}

impl Outage {
    fn may_try(&self, now: Instant) -> bool {
        self.retry <= now && self.probe.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests;
