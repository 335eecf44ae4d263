//! What a driver does before the server has said which protocol it speaks.

use std::task::Waker;
use std::time::Instant;

use super::Driver;
use crate::connection::Connection;

impl Driver {
    /// The connection was lost, or is silent, before the server has said which protocol it speaks: whether another one is to
    /// be made on which it is not asked.
    #[cold]
    pub(super) fn speaks_classic_instead(&mut self, now: Instant) -> bool {
        self.probed_by = None;
        if self.opening.is_none() || self.ended || !self.known.retries_classic(now) {
            return false;
        }
        self.connection = Connection::with_options(&self.options);
        self.connected = false;
        self.open();
        true
    }

    /// Lets the callers encode what they ask: the protocol is known.
    #[cold]
    pub(super) fn open(&mut self) {
        (self.opening, self.probed_by) = (None, None);
        let mut inner = self.mux.lock();
        inner.protocol = Some(self.connection.protocol());
        inner.outbox.ticket = self.connection.next_ticket();
        let callers = inner.slots.let_encode();
        drop(inner);
        callers.into_iter().for_each(Waker::wake);
    }
}
