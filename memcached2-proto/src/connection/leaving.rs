//! Callers who go before their replies have come, and connections that are given up.

use super::{Connection, Kind};
use crate::error::{Error, Landed};

/// What became of a request on a connection that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The tag of the request.
    pub tag: u32,
    /// Whether it may have taken effect.
    pub landed: Landed,
    /// Whether this speaks against the connection alone, so that what does no harm twice can be asked again on a fresh one:
    /// it had served before and not a byte of this reply had come, so it had most likely been closed while it was idle;
    /// or it was given up here, since it may have been out of step.
    pub stale: bool,
    /// Whether the server has given no sign of life since it was written: it may have stopped altogether.
    pub silent: bool,
}

impl Connection {
    /// The number that the next request will have: what [`Connection::forget`] knows it by.
    #[must_use]
    pub fn next_ticket(&self) -> u64 {
        self.first + (self.waits.len() - self.unnumbered()) as u64
    }

    /// Stops caring for a request: its reply will be read and thrown away, and then be reported as
    /// [`Reply::Forgotten`](crate::Reply::Forgotten). Nobody else on the connection notices.
    pub fn forget(&mut self, ticket: u64) {
        if let Some(wait) = self.find(ticket).and_then(|at| self.waits.get_mut(at)) {
            wait.kind = match wait.kind {
                Kind::Asked => Kind::Forgotten,
                kind => kind,
            };
        }
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        let at = self.unnumbered() + usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        Some(at).filter(|at| *at < self.waits.len())
    }

    /// How many of the requests under way have no ticket: one that is the connection's own is in front, or there is none.
    fn unnumbered(&self) -> usize {
        usize::from(self.waits.front().is_some_and(|wait| wait.kind == Kind::Proof))
    }

    /// Whether no byte has come since this request was written, or submitted if it has not left yet, nor has the server
    /// [taken](Connection::took) any: it may have stopped altogether.
    #[must_use]
    pub fn is_silent_since(&self, ticket: u64) -> bool {
        self.find(ticket).and_then(|at| self.waits.get(at)).is_some_and(|wait| wait.bytes_in_before == self.bytes_in)
    }

    /// Takes a request back of which no byte was written; `false` if it is too late for that, as it is once the connection
    /// has failed: what became of the request is then told by [`Connection::fail_pending`].
    ///
    /// Those behind it keep their tickets.
    pub fn withdraw(&mut self, ticket: u64) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let Some(at) = self.find(ticket) else { return false };
        let start = at.checked_sub(1).map_or_else(|| self.sending.answered_until(), |before| self.waits[before].end);
        let length = self.waits[at].end - start;
        if start < self.sending.written() || !self.waits[at].is_owed() {
            return false;
        }
        self.sending.kill(start, length);
        self.waits[at].kind = Kind::Withdrawn;
        while self.waits.front().is_some_and(|wait| wait.kind == Kind::Withdrawn) {
            self.pop();
        }
        true
    }

    /// Gives back the memory of requests that were [withdrawn](Connection::withdraw), if that is much. [`Connection::write_slices`]
    /// does the same.
    pub fn reclaim(&mut self) {
        if self.sending.is_wasteful() {
            self.sending.reclaim(&mut self.waits);
        }
    }

    /// How many bytes have come, and other signs of life.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// How many requests are not answered yet.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.waits.len()
    }

    /// How many bytes of requests are yet to be written.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.sending.unsent()
    }

    /// How many bytes of a value that nobody waits for are still to come, when nobody waits for what follows either.
    #[must_use]
    pub fn draining(&self) -> usize {
        match self.waits.iter().all(|wait| wait.kind != Kind::Asked) {
            true => self.decoder.announced(),
            false => 0,
        }
    }

    /// Gives the connection up: what became of each request that has no complete reply.
    ///
    /// A request is `NotSent` unless all of it was written that the server carries out, which does not include its
    /// [fence](crate::RequestBuffer::put_fence): a server does nothing on half a request.
    pub fn fail_pending(&mut self) -> impl Iterator<Item = Abandoned> + use<> {
        self.failed.get_or_insert_with(Error::closed);
        let written = self.sending.written();
        let touched = self.bytes_in > self.front_from;
        let (served, given_up, bytes_in) = (self.served, self.given_up, self.bytes_in);
        // Those whose error lines were never reported come first; nothing more will come for them.
        let held = self.take_held().map(|wait| (false, wait));
        let waits = (0..).zip(std::mem::take(&mut self.waits)).map(move |(at, wait)| (at == 0 && touched, wait));
        held.chain(waits).filter(|(_, wait)| wait.is_owed()).map(move |(is_touched, wait)| Abandoned {
            tag: wait.tag,
            landed: if wait.carried_out <= written { Landed::Unknown } else { Landed::NotSent },
            stale: given_up || (served && !is_touched),
            silent: wait.bytes_in_before == bytes_in,
        })
    }
}
