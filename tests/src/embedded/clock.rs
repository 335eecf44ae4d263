use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock of a server; clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Follows the clock of the machine.
    runs: bool,
    /// In nanoseconds: the whole time since 1970, or what the clock of the machine is ahead.
    time: Arc<AtomicU64>,
}

impl Clock {
    /// Returns the clock of the machine, which can still be advanced.
    #[must_use]
    pub fn system() -> Self {
        Self { runs: true, time: Arc::default() }
    }

    /// Returns a clock that stands still at a unix time until it is advanced.
    ///
    /// A time within the first 30 days of 1970 confuses relative and absolute expiry.
    #[must_use]
    pub fn manual(unix_seconds: u64) -> Self {
        Self { runs: false, time: Arc::new(AtomicU64::new(nanoseconds(Duration::from_secs(unix_seconds)))) }
    }

    /// Moves the time forward.
    ///
    /// Servers count whole seconds: half a second twice is one. [`Duration::MAX`] goes to the end of time, some centuries from now.
    pub fn advance(&self, by: Duration) {
        let later = |time: u64| Some(time.saturating_add(nanoseconds(by)));
        // It always returns a time.
        let _ = self.time.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }

    /// Returns the unix time in whole seconds.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        let time = Duration::from_nanos(self.time.load(Ordering::SeqCst));
        let machine =
            if self.runs { SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() } else { Duration::ZERO };
        (machine + time).as_secs()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
