//! When replies came.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Instant;

/// When the last reply came over a connection, noted only once somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Arrival(AtomicU64);

/// What it is as long as nobody wants to know.
const UNWANTED: u64 = 0;

impl Arrival {
    /// Notes that replies have come, if that is wanted.
    #[inline]
    pub(crate) fn note(&self, now: impl FnOnce() -> Instant) {
        if self.0.load(Ordering::Relaxed) != UNWANTED {
            self.set(now());
        }
    }

    /// When the last reply came. That is wanted from now on; the first time it is not known, so it is now.
    #[inline]
    pub(crate) fn last(&self, now: impl FnOnce() -> Instant) -> Instant {
        match self.0.load(Ordering::Relaxed) {
            UNWANTED => self.set(now()),
            nanos => Instant::from_nanos(nanos),
        }
    }

    #[inline]
    fn set(&self, moment: Instant) -> Instant {
        self.0.store(moment.as_nanos(), Ordering::Relaxed);
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_read_for_replies_until_their_time_is_wanted() {
        let arrival = Arrival::default();
        arrival.note(|| panic!("nobody wants to know"));
        assert_eq!(arrival.last(|| Instant::from_nanos(3)), Instant::from_nanos(3));
        arrival.note(|| Instant::from_nanos(5));
        assert_eq!(arrival.last(|| panic!("it is known")), Instant::from_nanos(5));
    }
}
