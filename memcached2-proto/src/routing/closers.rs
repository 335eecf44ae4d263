//! Servers that cost a connection when a `get` of several keys has failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::reply::error_line;
use crate::time::Instant;

/// Which servers are proxies that close the connection when a `get` of several keys fails, as twemproxy does, or that leave out the
/// end of the reply, as mcrouter does, so that this side closes it. They are recognised by the error line that they send when a
/// server behind them does not answer.
///
/// A closed connection would also fail other requests on it. So such a proxy is asked for one key at a time, and only
/// the keys of the server that is down fail.
#[derive(Debug)]
pub(super) struct Closers {
    /// Until when each of them is remembered.
    until: Box<[Mutex<Option<Instant>>]>,
    /// Whether there has ever been one: while there was none, nothing has to be looked up.
    any: AtomicBool,
}

/// How long a proxy is remembered after such an error line. Each further one starts this time again.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Closers {
    pub(super) fn new(servers: usize) -> Self {
        Self { until: (0..servers).map(|_| Mutex::new(None)).collect(), any: AtomicBool::new(false) }
    }

    /// Whether none has ever been known.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    pub(super) fn holds(&self, place: usize, now: Instant) -> bool {
        !self.is_empty() && self.lock(place).is_some_and(|until| until.is_some_and(|until| now < until))
    }

    /// Notes an error line.
    pub(super) fn on_error_line(&self, place: usize, line: &str, now: Instant) {
        if error_line::costs_connection(line) {
            if let Some(mut until) = self.lock(place) {
                *until = Some(now + REMEMBERED);
                self.any.store(true, Ordering::Relaxed);
            }
        }
    }

    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self, place: usize) -> Option<MutexGuard<'_, Option<Instant>>> {
        self.until.get(place).map(|until| until.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_after_errors_is_remembered_for_a_minute() {
        let (closers, now) = (Closers::new(2), Instant::ZERO);
        for line in ["ERROR", "SERVER_ERROR out of memory", "SERVER_ERROR backend failure"] {
            closers.on_error_line(1, line, now);
        }
        assert!(closers.is_empty() && !closers.holds(1, now));
        closers.on_error_line(1, "SERVER_ERROR Connection refused", now);
        assert!(!closers.is_empty() && closers.holds(1, now) && !closers.holds(0, now) && !closers.holds(2, now));
        closers.on_error_line(1, "SERVER_ERROR unavailable", now + REMEMBERED / 2);
        assert!(closers.holds(1, now + REMEMBERED));
        assert!(!closers.holds(1, now + REMEMBERED * 2));
    }
}
