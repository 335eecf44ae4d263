//! How often keys were written: an answer is kept only if the number is the same as when it was asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

/// How many counters there are. Keys that share one are asked for again when any of them is written, which costs a request and no
/// wrong answer.
const COUNTERS: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Writes(Box<[AtomicU64]>);

impl Default for Writes {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }
}

/// Keys that are being written. It counts at the beginning and, when it is dropped, at the end, however that comes: an answer that was
/// asked for in between may be the old value or the new one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Writing<'w> {
    writes: &'w Writes,
    counters: SmallVec<[u32; 4]>,
}

impl Writes {
    /// How often keys with the counter of this one were written.
    #[inline]
    pub(super) fn count(&self, key: &[u8]) -> u64 {
        self.0[place(key) as usize].load(Ordering::SeqCst)
    }

    pub(super) fn begin<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Writing<'_> {
        let writing = Writing { writes: self, counters: keys.into_iter().map(place).collect() };
        writing.count();
        writing
    }

    /// Counts a write of every key.
    pub(super) fn count_all(&self) {
        self.0.iter().for_each(add);
    }
}

impl Writing<'_> {
    fn count(&self) {
        self.counters.iter().for_each(|at| add(&self.writes.0[*at as usize]));
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}

fn place(key: &[u8]) -> u32 {
    crc32fast::hash(key) % COUNTERS as u32
}
