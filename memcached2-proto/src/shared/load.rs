//! How much is in flight on a shared connection, and which callers wait for room.

use std::collections::VecDeque;
use std::task::Waker;

use super::slots::Slots;
use crate::connection::Connection;
use crate::limits::Limits;

/// How many callers are let in at once at most. Each encodes its request when it is polled, if there still is room. So
/// a caller that is not polled delays no other one, unless there are this many of them.
const AT_ONCE: usize = 64;

/// What is in flight, and its limits.
#[derive(Debug)]
pub(super) struct Load {
    /// How many bytes are encoded and not written, as far as the driver has said.
    unsent: u64,
    /// How many of those the driver has taken over, and how many requests, which are not answered yet.
    taken: u64,
    in_flight: usize,
    limits: (u64, usize),
    /// Whether a limit is reached, or callers wait for room.
    is_full: bool,
    /// The slots of callers who wait, in their order; some of them may have gone.
    waiting: VecDeque<u32>,
}

impl Load {
    pub(super) fn new(limits: &Limits) -> Self {
        // With none in flight, there never would be room.
        let limits = (limits.unsent, limits.in_flight.max(1));
        Self { unsent: 0, taken: 0, in_flight: 0, limits, is_full: false, waiting: VecDeque::new() }
    }

    /// Whether a caller has to wait.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a limit is reached.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.unsent > self.limits.0 || self.in_flight >= self.limits.1
    }

    /// A request of this many bytes was encoded; `encoded` requests are not taken over by the driver yet.
    #[inline]
    pub(super) fn add(&mut self, bytes: u64, encoded: usize) {
        self.unsent += bytes;
        if self.unsent > self.limits.0 || self.in_flight + encoded >= self.limits.1 {
            self.is_full = true;
        }
    }

    /// The driver takes over what is encoded, and says what of all before is still on its way.
    #[inline]
    pub(super) fn take_over(&mut self, connection: &Connection, requests: usize) {
        self.update(connection, requests);
        self.taken = self.unsent;
    }

    /// The driver says what of all that it has taken over is on its way; `encoded` requests are not taken over yet.
    #[inline]
    pub(super) fn update(&mut self, connection: &Connection, encoded: usize) {
        let not_taken = self.unsent - self.taken;
        self.taken = connection.unsent();
        self.unsent = self.taken + not_taken;
        self.in_flight = connection.in_flight() + encoded;
    }

    /// A caller waits, after all others.
    pub(super) fn wait_last(&mut self, slot: u32) {
        self.is_full = true;
        self.waiting.push_back(slot);
    }

    /// A caller whose turn it was waits again.
    pub(super) fn wait_first(&mut self, slot: u32) {
        self.is_full = true;
        self.waiting.push_front(slot);
    }

    /// Lets callers in, if there is room again; their wakers are put with the others.
    #[cold]
    pub(super) fn let_in(&mut self, slots: &mut Slots, wakers: &mut Vec<Waker>) {
        let mut left = AT_ONCE;
        while left > 0 && !self.is_over() {
            let Some(slot) = self.waiting.pop_front() else { break };
            let waker = slots.let_in(slot);
            left -= usize::from(waker.is_some());
            wakers.extend(waker);
        }
        self.is_full = self.is_over() || !self.waiting.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_has_not_taken_over_counts_though_it_has_looked_at_the_load_since() {
        let mut load = Load::new(&Limits { unsent: 10, ..Limits::default() });
        let connection = Connection::new(Limits::default());
        load.add(11, 1);
        load.update(&connection, 1);
        assert!(load.is_over());
        load.take_over(&connection, 1);
        assert!(load.is_over());
        // It was written.
        load.update(&connection, 0);
        assert!(!load.is_over());
    }

    #[test]
    fn there_is_room_for_one_request_again_even_if_the_limit_is_none() {
        let mut load = Load::new(&Limits { in_flight: 0, unsent: 0, ..Limits::default() });
        let connection = Connection::new(Limits::default());
        assert!(!load.is_full() && !load.is_over());
        load.add(1, 1);
        assert!(load.is_full());
        load.take_over(&connection, 1);
        assert!(load.is_over());
        // It was answered.
        load.update(&connection, 0);
        load.let_in(&mut Slots::default(), &mut Vec::new());
        assert!(!load.is_over() && !load.is_full());
    }
}
