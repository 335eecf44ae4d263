//! Requests that are cancelled, and connections that are closed with requests in flight.

use super::{Connection, Kind};
use crate::error::{Error, Landed};

/// The end of a request on a connection that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The tag of the request.
    pub tag: u32,
    /// Whether it may have taken effect.
    pub landed: Landed,
    /// Whether the connection failed, and not the server, so that a read can be retried on a fresh one. There are two
    /// cases. The connection had served before, and no byte of this reply has come: the server has probably closed it while
    /// it was idle. Or this side has closed it, because it may have been out of step.
    pub stale: bool,
    /// Whether the server has given no sign of life since it was written: it may have stopped altogether.
    pub silent: bool,
}

impl Connection {
    /// The number that the next request will have: what [`Connection::cancel`] knows it by.
    #[must_use]
    pub fn next_ticket(&self) -> u64 {
        self.first + (self.in_flight.len() - self.unnumbered()) as u64
    }

    /// Cancels a request. The other requests keep their tickets and their replies.
    ///
    /// `true`: no byte of the request was written, and none will be. `false`: it was written, at least in part. Its reply will
    /// be read and discarded, and then reported as [`Reply::Cancelled`](crate::Reply::Cancelled). An error line that has come
    /// already, and waits for the proof that it belongs to this request, is reported as if it was not cancelled. If the
    /// connection has failed, [`Connection::fail_pending`] still reports the request.
    pub fn cancel(&mut self, ticket: u64) -> bool {
        let Some(at) = self.find(ticket) else { return false };
        if self.failed.is_none() && self.remove(at) {
            return true;
        }
        if let Some(request) = self.in_flight.get_mut(at).filter(|request| request.kind == Kind::Asked) {
            request.kind = Kind::Cancelled;
        }
        false
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        let at = self.unnumbered() + usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        Some(at).filter(|at| *at < self.in_flight.len())
    }

    /// How many of the requests in flight have no ticket: 1 if the connection's own `mn` is in front, else 0.
    fn unnumbered(&self) -> usize {
        usize::from(self.in_flight.front().is_some_and(|request| request.kind == Kind::Proof))
    }

    /// Whether no byte has come since this request was written, or submitted if it has not left yet, nor has the server
    /// taken any: it may have stopped altogether.
    #[must_use]
    pub fn is_silent_since(&self, ticket: u64) -> bool {
        self.find(ticket)
            .and_then(|at| self.in_flight.get(at))
            .is_some_and(|request| request.bytes_in_before == self.bytes_in)
    }

    /// Removes a request that is not written, unless a byte of it was written.
    fn remove(&mut self, at: usize) -> bool {
        let start =
            at.checked_sub(1).map_or_else(|| self.sending.answered_until(), |before| self.in_flight[before].end);
        let length = self.in_flight[at].end - start;
        if start < self.sending.written() || !self.in_flight[at].is_owed() {
            return false;
        }
        self.sending.kill(start, length);
        self.in_flight[at].kind = Kind::Removed;
        while self.in_flight.front().is_some_and(|request| request.kind == Kind::Removed) {
            self.pop();
        }
        if self.in_flight.is_empty() {
            // Its reply was to show whose the error lines before it are.
            self.ask_for_proof();
        }
        true
    }

    /// Gives back the memory of requests that were [cancelled](Connection::cancel) unwritten, if that is much. [`Connection::write_slices`]
    /// does the same.
    pub fn reclaim(&mut self) {
        if self.sending.is_wasteful() {
            self.sending.reclaim(&mut self.in_flight);
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
        self.in_flight.len()
    }

    /// How many bytes of requests are not written yet.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.sending.unsent()
    }

    /// How many bytes of the value of a cancelled request are still missing, if all requests in flight are cancelled;
    /// else 0.
    #[must_use]
    pub fn draining(&self) -> usize {
        match self.in_flight.iter().all(|request| request.kind != Kind::Asked) {
            true => self.decoder.announced(),
            false => 0,
        }
    }

    /// Fails the connection, and returns each request without a complete reply, with whether it may have taken effect.
    ///
    /// A request is `NotSent` unless all of it was written that the server carries out, which does not include its
    /// [fence](crate::command::RequestBuffer::put_fence): a server does nothing on half a request.
    pub fn fail_pending(&mut self) -> impl Iterator<Item = Abandoned> + use<> {
        self.failed.get_or_insert_with(Error::closed);
        let written = self.sending.written();
        let touched = self.bytes_in > self.front_from;
        let (served, given_up, bytes_in) = (self.served, self.given_up, self.bytes_in);
        // Those whose error lines were never reported come first; nothing more will come for them.
        let held = self.take_held().map(|request| (false, request));
        let in_flight =
            (0..).zip(std::mem::take(&mut self.in_flight)).map(move |(at, request)| (at == 0 && touched, request));
        held.chain(in_flight).filter(|(_, request)| request.is_owed()).map(move |(is_touched, request)| Abandoned {
            tag: request.tag,
            landed: if request.carried_out <= written { Landed::Unknown } else { Landed::NotSent },
            stale: given_up || (served && !is_touched),
            silent: request.bytes_in_before == bytes_in,
        })
    }
}
