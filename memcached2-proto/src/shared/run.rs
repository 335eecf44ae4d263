//! Several requests of one caller in a row: under one lock, which each of them would take for itself.

use std::task::Waker;

use super::{Inner, MutexGuard, Phase, SharedConnection};
use crate::call::SlotResult;
use crate::command::Command;
use crate::time::{Instant, Now};

/// How many requests are encoded, or answered, under one lock: others wait for it meanwhile.
pub(super) const AT_ONCE: usize = 64;
/// How many bytes may be encoded before the last of them.
const BYTES: u64 = 32 * 1024;

/// Encodes requests under a lock, as long as it lives.
pub(super) struct Run<'s> {
    /// Until it is dropped.
    guard: Option<MutexGuard<'s, Inner>>,
    deadline: Instant,
    requests: usize,
    bytes: u64,
}

impl SharedConnection {
    /// Begins to encode several requests of a call that begins now, which end at this moment at the latest.
    pub(super) fn begin_run(&self, now: Now, deadline: Instant) -> Run<'_> {
        let mut guard = self.lock();
        guard.slots.begun = now.monotonic;
        // That of the request before does not suffice: if it was answered meanwhile, the driver may wait for a later one by now.
        guard.note_deadline(deadline);
        Run { guard: Some(guard), deadline, requests: 0, bytes: 0 }
    }

    /// Takes the answers in these slots, as long as they are there; the slots are free from then on.
    pub(super) fn take_run(&self, slots: impl Iterator<Item = u32>, taken: &mut Vec<SlotResult>) {
        let mut inner = self.lock();
        taken.extend(slots.take(AT_ONCE).map_while(|slot| inner.slots.take(slot)));
    }
}

impl Run<'_> {
    /// Encodes a request as [`SharedConnection::queue`] does, and returns its slot and its length; `None` if that is left to it.
    #[inline]
    pub(super) fn queue<C: Command + ?Sized>(&mut self, command: &C, now: Now) -> Option<(u32, u64)> {
        let inner = self.guard.as_deref_mut()?;
        let is_over = self.requests == AT_ONCE || self.bytes > BYTES;
        let protocol = inner.protocol.filter(|_| inner.phase == Phase::Open && !inner.load.is_full() && !is_over)?;
        // What is wrong with it is found out once more, and said, by `queue`.
        let (slot, length) = inner.queue(command, protocol, now, self.deadline).ok()?;
        (self.requests, self.bytes) = (self.requests + 1, self.bytes + length);
        Some((slot, length))
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let is_asked = self.requests > 0;
        let driver = self.guard.take().and_then(|mut guard| guard.driver.take_if(|_| is_asked));
        driver.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::driver::tests::now;
    use super::*;
    use crate::command::{Protocol, Store};
    use crate::limits::Limits;
    use crate::opening::Endpoint;
    use crate::options::Options;
    use crate::shared::Driver;

    /// How many stores of this many bytes a run takes, and how many requests are encoded then.
    fn taken(limits: Limits, bytes: usize, before: impl FnOnce(&SharedConnection)) -> (usize, usize) {
        let options = Options { limits, ..Options::default().protocol(Protocol::Classic) };
        let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().unwrap(), &options));
        let (_driver, shared) = Driver::new(&endpoint, now());
        before(&shared);
        let value = vec![b'x'; bytes];
        let store = Store::set("a", &value).unwrap();
        let mut run = shared.begin_run(now(), Instant::ZERO + Duration::from_secs(1));
        let taken = std::iter::from_fn(|| run.queue(&store, now())).take(1000).count();
        drop(run);
        let encoded = shared.lock().buffer.requests.len();
        (taken, encoded)
    }

    #[test]
    fn a_run_leaves_the_lock_to_others_after_some_requests_and_keeps_the_limits_of_the_connection() {
        let any = Limits::default();
        assert_eq!(taken(any, 1, |_| ()), (AT_ONCE, AT_ONCE));
        assert_eq!(taken(any, 10 * 1024, |_| ()), (4, 4));
        assert_eq!(taken(Limits { in_flight: 3, ..any }, 1, |_| ()), (3, 3));
        // The one that is over the limit is the last one.
        assert_eq!(taken(Limits { unsent: 1024, ..any }, 1024, |_| ()), (1, 1));
        assert_eq!(taken(Limits { sent_value: 10, ..any }, 11, |_| ()), (0, 0));
        assert_eq!(taken(any, 1, SharedConnection::close), (0, 0));
    }
}
