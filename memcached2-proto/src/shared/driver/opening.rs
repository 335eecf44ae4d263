//! What a driver does when its connection is made or lost, or a deadline passes, also before the server has answered
//! the probe.

use std::task::{Context, Poll, Waker};

use super::{Driver, Next};
use crate::connection::{Connection, KnownProtocol};
use crate::error::Error;
use crate::time::Instant;

impl Driver {
    /// The connection was made: the server must answer the probe in time, if there is one.
    #[cold]
    pub(super) fn on_connected(&mut self, now: Instant) {
        self.connected = true;
        self.probed_by = self.opening.flatten().map(|within| now + within);
        self.retired_at = self.known.age(&self.options).map(|age| now + age);
        let mut inner = self.shared.lock();
        inner.deadline = inner.deadline.into_iter().chain(self.probed_by).chain(self.retired_at).min();
    }

    /// The connection was lost, or has ended by itself.
    #[cold]
    pub(super) fn on_lost(&mut self, error: &Error, now: Instant) -> Next {
        let is_lost = matches!(error, Error::Disconnected { .. } | Error::Protocol { .. });
        if is_lost && self.speaks_classic_instead(now) {
            return Next::Connect;
        }
        self.end(error);
        Next::Over
    }

    /// A deadline has passed.
    #[cold]
    pub(super) fn on_deadline(&mut self, cx: &Context<'_>, now: Instant) -> Poll<Next> {
        if self.probed_by.is_some_and(|by| by <= now) {
            if self.speaks_classic_instead(now) {
                return Poll::Ready(Next::Connect);
            }
            self.end(&KnownProtocol::silence());
            return Poll::Ready(Next::Over);
        }
        if self.expire(now).is_ready() {
            return Poll::Ready(Next::Over);
        }
        if self.retired_at.is_some_and(|at| at <= now) {
            self.shared.close();
        }
        if self.shared.has_ended() {
            // There may be no call left to wait for.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection was lost, or is silent, before the server answered the probe. Returns whether another connection
    /// must be made, without a probe.
    #[cold]
    fn speaks_classic_instead(&mut self, now: Instant) -> bool {
        self.probed_by = None;
        if self.opening.is_none() || self.ended || !self.known.retries_classic(now) {
            return false;
        }
        self.connection = Connection::with_options(&self.options);
        self.connected = false;
        self.open();
        true
    }

    /// Lets the callers encode their requests, because the protocol is known.
    #[cold]
    pub(super) fn open(&mut self) {
        (self.opening, self.probed_by) = (None, None);
        let mut inner = self.shared.lock();
        inner.protocol = Some(self.connection.protocol());
        inner.buffer.ticket = self.connection.next_ticket();
        let callers = inner.slots.let_encode();
        drop(inner);
        callers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::options::Options;
    use crate::time::Now;

    #[test]
    fn connections_that_are_made_together_are_not_replaced_together() {
        let (most, known) = (Duration::from_secs(1000), Arc::new(KnownProtocol::default()));
        let options = Options::default().max_age(most);
        let now = Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
        let mut retired_after = [(); 3].map(|()| {
            let (mut driver, _) = Driver::new(&options, &known, now);
            driver.on_connected(now.monotonic);
            driver.retired_at.map(|at| at - now.monotonic)
        });
        retired_after.sort();
        assert!(retired_after[0] >= Some(most * 9 / 10) && retired_after[2] <= Some(most), "{retired_after:?}");
        assert!(retired_after[0] < retired_after[1] && retired_after[1] < retired_after[2], "{retired_after:?}");
    }
}
