//! Whether a shared connection takes requests, and how it ends.

use std::task::{Context, Poll};

use super::SharedConnection;
use crate::error::Error;

/// How far a shared connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// The client was dropped: the driver ends when no caller waits any more.
    Closing,
    /// The same, and the driver sends `quit`.
    Quitting,
    /// The driver ends now, and waiting calls fail.
    Aborting,
    /// The driver has ended: nothing can be submitted any more.
    Ended,
}

impl SharedConnection {
    /// Whether nothing can be submitted any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// Whether the driver has ended.
    pub(super) fn is_over(&self) -> bool {
        self.lock().phase == Phase::Ended
    }

    /// Whether nothing can be submitted any more, though the connection was not lost: the client has closed it.
    pub(super) fn is_closed_on_purpose(&self) -> bool {
        let inner = self.lock();
        inner.phase != Phase::Open && inner.error.as_ref().is_none_or(|error| matches!(error, Error::Closed { .. }))
    }

    /// Ends the connection when all waiting calls have an answer; nothing can be submitted any more.
    pub fn close(&self) {
        self.turn(Phase::Closing);
    }

    /// Ends the connection in the same way, with a `quit` to the server.
    pub fn quit(&self) {
        self.turn(Phase::Quitting);
    }

    /// Ends the connection now. Waiting calls fail with an error that says whether the request may have taken effect.
    pub fn abort(&self) {
        self.turn(Phase::Aborting);
    }

    fn turn(&self, phase: Phase) {
        let mut inner = self.lock();
        if inner.phase < phase {
            inner.phase = phase;
        }
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Waits for the end of the driver.
    pub fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.phase == Phase::Ended {
            return Poll::Ready(());
        }
        if !inner.close_waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            inner.close_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
