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
    /// Begins to encode several requests, which end at this moment at the latest.
    pub(super) fn begin_run(&self, deadline: Instant) -> Run<'_> {
        let mut guard = self.lock();
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
