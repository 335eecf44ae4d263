//! Large transfers, which get connections of their own.

use std::sync::atomic::Ordering;

use super::SharedConnection;
use crate::command::Command;

/// A call that moves at least this many bytes of values to or from one server is a large transfer: on a gigabit network it
/// takes half a millisecond, longer than a small request takes as a whole.
pub(super) const LARGE: usize = 64 * 1024;

/// Which connection suits a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// One for small requests.
    Small,
    /// The same, but one for large transfers if it is idle: the other one is in the middle of a large reply.
    Aside,
    /// One for large transfers.
    Large,
}

impl SharedConnection {
    /// Whether it was for large transfers, and has failed before the server had answered anything.
    pub(super) fn is_unusable(&self) -> bool {
        self.lock().is_unusable
    }

    /// Says whether it is in the middle of a large reply.
    #[cold]
    pub(super) fn set_receives_large(&self, receives: bool) {
        self.receives_large.store(receives, Ordering::Relaxed);
        if receives {
            self.large_keys.begin();
        }
    }

    /// Which other connection suits a request better than this one, if that is not settled: as far as large values are known.
    #[cold]
    pub(super) fn better_for<C: Command + ?Sized>(&self, command: &C, settled: Option<Transfer>) -> Option<Transfer> {
        let key = command.only_key();
        match (settled, key) {
            // What follows it goes the same way, so that nothing overtakes it even if its caller does not wait.
            (Some(Transfer::Large), Some(key)) if command.transfer_size() >= LARGE => self.large_keys.add(key),
            (Some(_), _) => {}
            (None, Some(key)) if self.large_keys.has(key) => return Some(Transfer::Large),
            (None, _) if self.receives_large.load(Ordering::Relaxed) => return Some(Transfer::Aside),
            (None, _) => {}
        }
        None
    }
}
