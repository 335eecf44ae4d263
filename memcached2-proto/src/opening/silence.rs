//! For how long a server has not answered those who open connections to it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Instant;

/// For how long callers have waited for a server that has said nothing since, each within its own deadline: one whose time is
/// shorter than that to connect proves nothing, but all of them together may.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Waited>);

#[derive(Debug, Default)]
struct Waited {
    time: Duration,
    /// When that was counted last.
    until: Option<Instant>,
}

impl Silence {
    /// Counts that it was silent from the moment `begun` until `now`, and returns for how long it was altogether. What callers wait at
    /// the same time counts once.
    pub(super) fn add(&self, begun: Instant, now: Instant) -> Duration {
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = waited.until.map_or(begun, |until| until.max(begun));
        waited.time += now.saturating_duration_since(from);
        waited.until = waited.until.max(Some(now));
        waited.time
    }

    /// It has said something, or takes requests.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Waited::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_wait_for_at_the_same_time_counts_once_until_the_server_answers() {
        let silence = Silence::default();
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        for (begun, now, expected) in [(0, 5, 5), (2, 7, 7), (1, 6, 7), (100, 110, 17)] {
            assert_eq!(silence.add(at(begun), at(now)), Duration::from_millis(expected));
        }
        silence.end();
        assert_eq!(silence.add(at(200), at(205)), Duration::from_millis(5));
    }
}
