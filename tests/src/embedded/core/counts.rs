//! The counters.

use std::collections::BTreeMap;

use super::store::Item;

/// What has happened since the start or the last `stats reset`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) total_connections: u64,
    pub(super) get_cmds: u64,
    pub(super) get_misses: u64,
    pub(super) get_expired: u64,
    pub(super) get_flushed: u64,
    pub(super) touch_cmds: u64,
    pub(super) touch_misses: u64,
    pub(super) flush_cmds: u64,
    pub(super) meta_cmds: u64,
    pub(super) delete_misses: u64,
    pub(super) incr_misses: u64,
    pub(super) decr_misses: u64,
    pub(super) cas_misses: u64,
    pub(super) store_too_large: u64,
    pub(super) store_no_memory: u64,
    pub(super) total_items: u64,
    pub(super) auth_cmds: u64,
    pub(super) auth_errors: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) conn_yields: u64,
    pub(super) expired_unfetched: u64,
    pub(super) evicted_unfetched: u64,
    pub(super) evictions: u64,
    pub(super) reclaimed: u64,
    pub(super) classes: BTreeMap<usize, ClassCounts>,
    /// By key prefix; filled while `stats detail` is on.
    pub(super) prefixes: BTreeMap<Vec<u8>, PrefixCounts>,
}

#[derive(Debug, Default)]
pub(super) struct ClassCounts {
    pub(super) get_hits: u64,
    pub(super) set_cmds: u64,
    pub(super) delete_hits: u64,
    pub(super) incr_hits: u64,
    pub(super) decr_hits: u64,
    pub(super) cas_hits: u64,
    pub(super) cas_badval: u64,
    pub(super) touch_hits: u64,
    pub(super) evicted: u64,
    pub(super) evicted_nonzero: u64,
    pub(super) reclaimed: u64,
}

#[derive(Debug, Default)]
pub(super) struct PrefixCounts {
    pub(super) gets: u64,
    pub(super) hits: u64,
    pub(super) sets: u64,
    pub(super) deletes: u64,
}

impl Counts {
    pub(super) fn class(&mut self, class: usize) -> &mut ClassCounts {
        self.classes.entry(class).or_default()
    }

    /// Counts an item that made space for another one.
    pub(super) fn left(&mut self, item: &Item, expired: bool) {
        let unfetched = u64::from(!item.fetched);
        if expired {
            self.reclaimed += 1;
            self.expired_unfetched += unfetched;
            self.class(item.class).reclaimed += 1;
        } else {
            self.evictions += 1;
            self.evicted_unfetched += unfetched;
            self.class(item.class).evicted += 1;
            self.class(item.class).evicted_nonzero += u64::from(item.exptime != 0);
        }
    }

    /// Counts a hit of this class, or a miss.
    pub(super) fn fetched(&mut self, class: Option<usize>, touched: bool) {
        match (class, touched) {
            (Some(class), true) => self.class(class).touch_hits += 1,
            (Some(class), false) => self.class(class).get_hits += 1,
            (None, true) => self.touch_misses += 1,
            (None, false) => self.get_misses += 1,
        }
        *(if touched { &mut self.touch_cmds } else { &mut self.get_cmds }) += 1;
    }

    /// Counts an `incr` or a `decr` of nothing.
    pub(super) fn not_counted(&mut self, up: bool) {
        *(if up { &mut self.incr_misses } else { &mut self.decr_misses }) += 1;
    }

    /// Finds what is counted for the prefix of a key, if it has one.
    pub(super) fn prefix(&mut self, key: &[u8]) -> Option<&mut PrefixCounts> {
        let end = key.iter().position(|byte| *byte == b':')?;
        Some(self.prefixes.entry(key[..end].to_vec()).or_default())
    }

    pub(super) fn sum(&self, of: impl Fn(&ClassCounts) -> u64) -> u64 {
        self.classes.values().map(of).sum()
    }
}
