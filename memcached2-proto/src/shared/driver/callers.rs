//! What a driver takes over from the callers.

use std::task::Waker;

use super::Driver;
use crate::command::Protocol;
use crate::shared::Phase;

/// What callers have left for the driver to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: whoever has something wakes it.
    Wait,
    /// Near the end, the requests that were taken over now.
    More,
    /// Nothing, and nothing will come any more.
    Closed,
    /// The same, and `quit` is sent.
    Quit,
    /// The end.
    Aborted,
}

impl Left {
    #[cold]
    fn at_the_end(phase: Phase, taken: bool) -> Self {
        match phase {
            Phase::Aborting => Self::Aborted,
            _ if taken => Self::More,
            Phase::Quitting => Self::Quit,
            _ => Self::Closed,
        }
    }
}

impl Driver {
    /// Takes over what callers have encoded since the last time, and stores `sleeper`, which those wake who encode more: also while
    /// this is written, so that the driver need not look again.
    #[inline]
    pub(super) fn take_over(&mut self, sleeper: Option<&Waker>) -> Left {
        let mut guard = self.shared.lock();
        let inner = &mut *guard;
        let taken = !inner.buffer.is_empty();
        let left = match inner.phase {
            Phase::Open => Left::Wait,
            // They were submitted before the end.
            phase if phase != Phase::Aborting && !taken && inner.slots.has_unencoded() => Left::Wait,
            phase => Left::at_the_end(phase, taken),
        };
        let is_quiet = inner.cancelled.is_empty() && !inner.load.is_full();
        if taken {
            inner.load.take_over(&self.connection, inner.buffer.requests.len());
            self.taken.ticket = inner.buffer.ticket;
            std::mem::swap(&mut inner.buffer, &mut self.taken);
        }
        self.deadline = inner.deadline;
        let (mut old, mut lent) = (None, None);
        if let Some(sleeper) = sleeper {
            // It is there still if a caller has written.
            if !inner.driver.as_ref().is_some_and(|driver| driver.will_wake(sleeper)) {
                old = inner.driver.replace(sleeper.clone());
            }
            if self.is_lone && !taken && is_quiet && left == Left::Wait && inner.direct.writer.is_some() {
                lent = inner.deadline.filter(|_| self.awaits_nothing());
            }
        }
        self.is_lent = lent.is_some();
        inner.direct.lent = lent;
        let written = std::mem::take(&mut inner.direct.written);
        drop(guard);
        drop(old);
        if taken {
            self.connection.append_from(&mut self.taken);
            if written > 0 {
                self.connection.written_directly(written);
            }
        }
        if !is_quiet {
            self.attend();
        }
        left
    }

    /// Whether nothing is on its way, and what comes shows to which request it belongs.
    #[inline]
    fn awaits_nothing(&self) -> bool {
        self.connection.is_idle() && self.connection.protocol() == Protocol::Meta
    }

    /// Cancels the requests whose callers are gone, and lets callers in that wait for room.
    #[cold]
    pub(super) fn attend(&mut self) {
        let (taken, mut later) = (self.connection.next_ticket(), Vec::new());
        let mut unwritten = std::mem::take(&mut self.shared.lock().cancelled);
        unwritten.retain(|&(slot, ticket)| {
            // It was encoded after the others were taken over, and is taken over next.
            let is_taken = ticket < taken;
            if !is_taken {
                later.push((slot, ticket));
            }
            is_taken && self.connection.cancel(ticket)
        });
        self.connection.reclaim();
        let mut guard = self.shared.lock();
        let inner = &mut *guard;
        inner.cancelled.append(&mut later);
        unwritten.iter().for_each(|(slot, _)| inner.slots.drained(*slot));
        inner.let_in(&self.connection, &mut self.wakers);
        self.is_full = inner.load.is_full();
        drop(guard);
        self.wakers.drain(..).for_each(Waker::wake);
    }
}
