//! Servers among which a rule chooses.

use std::ops::Range;
use std::sync::Arc;

use super::{Selection, Selector};
use crate::uri::Server;

/// Servers that stand side by side in the list of a router, and the rule that chooses one of them for a key.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The place of the first of them.
    first: usize,
    /// How many there are.
    pub(super) servers: usize,
    selector: Arc<dyn Selector>,
}

impl Group {
    /// The servers from the place `first` on.
    pub(super) fn new(first: usize, all: &[Server], selection: &Selection) -> Self {
        let servers = all.get(first..).unwrap_or_default();
        Self { first, servers: servers.len(), selector: selection.selector(servers) }
    }

    /// The places of its servers.
    pub(super) fn places(&self) -> Range<usize> {
        self.first..self.first + self.servers
    }

    /// The place of the server of a key while all are up, of a group that is the first one.
    pub(super) fn select_any(&self, key: &[u8]) -> Option<usize> {
        self.selector.select(key, &|_| true).filter(|place| *place < self.servers)
    }

    /// The place in the whole list of the server of a key, among those that are up by their places in the whole list.
    pub(super) fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        let first = self.first;
        let found = match self.servers {
            0 => None,
            1 => is_up(first).then_some(0),
            count if first == 0 => self.selector.select(key, is_up).filter(|place| *place < count),
            count => self.selector.select(key, &|place| is_up(first + place)).filter(|place| *place < count),
        };
        found.map(|place| first + place)
    }
}
