//! A value that is kept, and when it was last known to be the server's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::Weighter;

use super::Question;
use crate::time::Instant;
use crate::value::Value;

#[derive(Debug)]
pub(super) struct Entry {
    value: Value,
    cas: Option<u64>,
    /// How many incidents there had been when it was asked for.
    incidents: Option<u64>,
    /// When the last answer was asked for, in nanoseconds.
    asked: AtomicU64,
    /// How often keys like this had been written by then.
    written: AtomicU64,
    /// When a caller has begun to ask early.
    renewing: AtomicU64,
}

impl Entry {
    /// The value in an answer.
    pub(super) fn new(value: Value, question: &Question) -> Self {
        let &Question { begun, written, incidents, .. } = question;
        Self {
            // 0 is the version of a server without versions.
            cas: value.cas.filter(|cas| *cas != 0),
            value: Value { cas: None, ..value },
            incidents,
            asked: begun.as_nanos().into(),
            written: written.into(),
            renewing: AtomicU64::new(0),
        }
    }

    /// The value, as a `get` returns it.
    pub(super) fn value(&self) -> Value {
        self.value.clone()
    }

    pub(super) fn cas(&self) -> Option<u64> {
        self.cas
    }

    pub(super) fn incidents(&self) -> Option<u64> {
        self.incidents
    }

    /// Whether it was asked for within this time, and nothing was written since.
    pub(super) fn is_fresh(&self, now: Instant, written: u64, max_age: Duration) -> bool {
        self.written.load(Ordering::Acquire) == written && self.age(now) < max_age
    }

    /// Whether this caller is the one that asks early: in the last quarter of the time, and not while another one may be asking.
    pub(super) fn is_due(&self, now: Instant, max_age: Duration) -> bool {
        if self.age(now) < max_age / 4 * 3 {
            return false;
        }
        let begun = self.renewing.load(Ordering::Relaxed);
        let is_asked = now.saturating_duration_since(Instant::from_nanos(begun)) < max_age / 8;
        let renew = || self.renewing.compare_exchange(begun, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed);
        !is_asked && renew().is_ok()
    }

    /// Takes note that the value was still the server's. Of answers that overtake each other the latest counts.
    pub(super) fn confirm(&self, asked: Instant, written: u64) {
        self.asked.fetch_max(asked.as_nanos(), Ordering::AcqRel);
        self.written.fetch_max(written, Ordering::AcqRel);
    }

    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        let asked = |entry: &Self| entry.asked.load(Ordering::Acquire);
        asked(self) > asked(other)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(Instant::from_nanos(self.asked.load(Ordering::Acquire)))
    }
}

/// How many bytes an entry counts.
#[derive(Debug, Clone)]
pub(super) struct Weight;

impl Weighter<Box<[u8]>, std::sync::Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &std::sync::Arc<Entry>) -> u64 {
        /// What an entry takes besides its bytes: pointers, counters, and what the allocator rounds up.
        const OVERHEAD: usize = size_of::<Entry>() + 128;
        (key.len() + entry.value.data.len() + OVERHEAD) as u64
    }
}
