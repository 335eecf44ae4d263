//! What is asked of one server on one connection.

use super::observed::Via;
use super::{Call, Fault, Operation, Progress as _};
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::observer::Watch;
use crate::reply::{Reply, ReplyKind};
use crate::routing::ServerId;
use crate::time::Now;

/// At most this many encoded bytes of a batch are in memory: far more than a socket takes at once.
const ENCODED: u64 = 256 * 1024;

/// The requests of a [`Call`] that go to one server in one round, and how far they are.
#[derive(Debug)]
pub struct ServerBatch {
    server: ServerId,
    /// The places of its requests: from `first` to `end`, of which `next` is submitted next.
    first: usize,
    next: usize,
    end: usize,
    /// How many have no answer yet.
    open: usize,
    is_retry: bool,
}

impl ServerBatch {
    /// The server to ask.
    #[must_use]
    #[inline]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Whether it needs a fresh connection, since the one before was dead.
    #[must_use]
    #[inline]
    pub fn is_retry(&self) -> bool {
        self.is_retry
    }

    /// Where the requests of the next server begin: see [`Call::batch`].
    #[must_use]
    #[inline]
    pub fn end(&self) -> usize {
        self.end
    }

    /// Whether all answers have come.
    #[must_use]
    #[inline]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }
}

impl<O: Operation> Call<'_, O> {
    /// The requests to be sent to one server in this round: those of the first server from a place on. The next server's begin
    /// at [`ServerBatch::end`].
    #[must_use]
    #[inline]
    pub fn batch(&self, from: usize) -> Option<ServerBatch> {
        let mut first = from;
        loop {
            let server = self.plan.sub_requests.get(first)?.server;
            let (mut end, mut open, mut is_retry) = (first, 0, false);
            while let Some(sub_request) = self.plan.sub_requests.get(end).filter(|next| next.server == server) {
                open += usize::from(sub_request.is_open());
                is_retry |= sub_request.is_open() && sub_request.is_retry;
                end += 1;
            }
            if open > 0 {
                return Some(ServerBatch { server, first, next: first, end, open, is_retry });
            }
            first = end;
        }
    }

    /// Submits further requests, as many as may be in memory at once. A request that cannot be encoded fails alone.
    /// Call it again after [`Call::take_replies`].
    ///
    /// The connection has no other requests under way than those of this batch, until that is [done](ServerBatch::is_done):
    /// [`Call::take_replies`] takes every reply for one to them. Several calls at a time share a connection by
    /// [`SharedConnections`](crate::shared::SharedConnections).
    // In place: 14 instructions less of a blocking get.
    #[inline(always)]
    pub fn submit(&mut self, batch: &mut ServerBatch, connection: &mut Connection, now: Now) {
        while let Err((at, error)) = self.submit_more(batch, connection, now) {
            batch.open -= 1;
            self.fail(at, &error, Fault::of(&error));
        }
    }

    /// The same, until one cannot be encoded: its place, and why.
    #[inline]
    fn submit_more(
        &mut self,
        batch: &mut ServerBatch,
        connection: &mut Connection,
        now: Now,
    ) -> Result<(), (usize, Error)> {
        let next = batch.next;
        for (at, sub_request) in (next..).zip(&mut self.plan.sub_requests[next..batch.end]) {
            batch.next = at + 1;
            if !sub_request.is_open() {
                continue;
            }
            let command = self.progress.command(sub_request.index as usize);
            // More requests than 32 bits can count do not fit the memory.
            let tag = u32::try_from(at).unwrap_or(u32::MAX);
            sub_request.encoded(connection.submit_sized(command, now, tag).map_err(|error| (at, error))?);
            if connection.unsent() > ENCODED {
                break;
            }
        }
        Ok(())
    }

    /// Takes the replies that are complete; `true` when all have come.
    ///
    /// # Errors
    ///
    /// When the connection has failed: see [`Call::fail_on`].
    #[inline]
    pub fn take_replies(&mut self, batch: &mut ServerBatch, connection: &mut Connection) -> Result<bool, Error> {
        while batch.open > 0 {
            let Some((tag, reply, last)) = connection.next_reply()? else { return Ok(false) };
            self.answer_via(|| Via::pooled(connection), tag as usize, reply, last);
            if !last {
                self.take_values(tag as usize, connection);
                continue;
            }
            batch.open -= 1;
            if batch.open > 0 {
                self.take_successes(batch, connection);
            }
        }
        Ok(true)
    }

    /// Takes the replies that follow one that is a success, as long as they are, too, at once.
    fn take_successes(&mut self, batch: &mut ServerBatch, connection: &mut Connection) {
        if self.plan.router.watch().is_none() {
            let open = &mut batch.open;
            connection.take_successes(|tag, kind| {
                // Each as it is known: a reply of either kind would be looked at again, which takes 15 instructions more of each.
                match kind {
                    ReplyKind::MetaDeleted => self.take_answer(tag as usize, Reply::Deleted, true),
                    _ => self.take_answer(tag as usize, Reply::Stored, true),
                }
                *open -= 1;
            });
        }
    }

    /// Takes the values that follow the first one of the reply to a request at a place, at once. They are counted one by one
    /// for an observer that wants requests, and with replicas.
    fn take_values(&mut self, at: usize, connection: &mut Connection) {
        if self.plan.router.watch().is_some_and(Watch::counts_values) {
            return;
        }
        let (index, progress) = (self.plan.sub_requests[at].index as usize, &mut self.progress);
        connection.take_values(&mut |place, value| progress.take_value(index, place, value));
    }

    /// Ends a batch with an error: there was no connection, so nothing was sent.
    #[cold]
    pub fn fail_batch(&mut self, batch: &mut ServerBatch, error: &Error) {
        let fault = match error {
            // It was made, and lost before the server answered the probe.
            Error::Disconnected { .. } | Error::Protocol { .. } => Fault::Connection,
            error => Fault::of(error),
        };
        self.fail_rest(batch, &error.clone().with_landed(Landed::NotSent), fault);
    }

    /// Ends what is left of a batch.
    fn fail_rest(&mut self, batch: &mut ServerBatch, error: &Error, fault: Fault) {
        for at in batch.first..batch.end {
            if self.plan.sub_requests[at].is_open() {
                self.fail(at, error, fault);
            }
        }
        batch.open = 0;
    }

    /// Ends a batch with an error of its connection, which knows which requests may have taken effect. If the
    /// connection was silent, that is a failure of the server. With `spares_server` it is not: set it if the connection
    /// may have died while it was idle, or if the next connection will show at once whether the server answers.
    ///
    /// Returns whether the connection was most likely dead before it was used: then others that have been idle for as long
    /// are, too.
    #[cold]
    pub fn fail_on(
        &mut self,
        batch: &mut ServerBatch,
        connection: &mut Connection,
        error: &Error,
        spares_server: bool,
    ) -> bool {
        self.note_peer(batch.server, connection.peer());
        let mut was_dead = false;
        for abandoned in connection.fail_pending() {
            was_dead |= abandoned.stale || (spares_server && abandoned.silent);
            let fault = match error.is_timeout() {
                // A server that is slow is not down.
                true if !abandoned.silent || spares_server => Fault::Nobody,
                false if abandoned.stale => Fault::Connection,
                _ => Fault::of(error),
            };
            let error = error.clone().with_landed(abandoned.landed);
            self.fail(abandoned.tag as usize, &error, fault);
        }
        let error = error.clone().with_landed(Landed::NotSent);
        let fault = Fault::of(&error);
        self.fail_rest(batch, &error, fault);
        was_dead
    }
}

#[cfg(test)]
mod tests;
