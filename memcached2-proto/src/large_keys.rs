//! Which keys of a server have large values.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::key::Key;

/// How many keys with large values are remembered for each server; the last ones.
const KEYS: usize = 1024;

/// The keys of a server that have had large values lately, which says how large a reply will be.
///
/// A key is known by its checksum. One that is taken for another is asked for on the other connection, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct LargeKeys(OnceLock<Box<[AtomicU32]>>);

impl LargeKeys {
    /// Whether there was a large transfer at all.
    #[inline]
    pub(crate) fn is_in_use(&self) -> bool {
        self.0.get().is_some()
    }

    /// Gets ready for keys: there was a large transfer.
    #[cold]
    pub(crate) fn begin(&self) -> &[AtomicU32] {
        self.0.get_or_init(|| (0..KEYS).map(|_| AtomicU32::new(0)).collect())
    }

    /// Whether a key has had a large value.
    #[cold]
    pub(crate) fn has(&self, key: Key<'_>) -> bool {
        let sum = checksum(key);
        self.0.get().is_some_and(|sums| sums[place(sum)].load(Ordering::Relaxed) == sum)
    }

    /// Remembers that the value of a key is large.
    #[cold]
    pub(crate) fn add(&self, key: Key<'_>) {
        let sum = checksum(key);
        self.begin()[place(sum)].store(sum, Ordering::Relaxed);
    }

    /// Forgets a key, whose value is small.
    #[cold]
    pub(crate) fn remove(&self, key: Key<'_>) {
        let sum = checksum(key);
        let _ = self.begin()[place(sum)].compare_exchange(sum, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Never 0, which stands for no key.
fn checksum(key: Key<'_>) -> u32 {
    crc32fast::hash(key.as_bytes()).max(1)
}

fn place(sum: u32) -> usize {
    sum as usize % KEYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_it_is_removed_or_another_takes_its_place() {
        let large = LargeKeys::default();
        let key = |at: usize| format!("key{at}");
        let has = |at| large.has(Key::new(&key(at)).expect("a key"));
        assert!(!large.is_in_use() && !has(0));
        large.add(Key::new("key0").expect("a key"));
        assert!(large.is_in_use() && has(0) && !has(1));
        large.remove(Key::new("key1").expect("a key"));
        assert!(has(0));
        large.remove(Key::new("key0").expect("a key"));
        assert!(!has(0));
        (0..10 * KEYS).for_each(|at| large.add(Key::new(&key(at)).expect("a key")));
        assert!((0..10 * KEYS).filter(|at| has(*at)).count() <= KEYS);
    }
}
