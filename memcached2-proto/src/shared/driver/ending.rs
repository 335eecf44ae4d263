//! Deadlines, and the end of a connection.

use std::task::{Poll, Waker};
use std::time::Duration;

use super::Driver;
use crate::call::Fault;
use crate::connection::KnownProtocol;
use crate::error::{Error, Landed};
use crate::shared::{Failure, Phase};
use crate::time::Instant;

/// How much later than its deadline a call may end.
const COALESCED: Duration = Duration::from_millis(1);

/// Whether a connection has been idle for too long: no byte has come since it was `seen` idle. Else notes that it is
/// idle now.
fn is_idle_for_long(seen: &mut Option<(u64, Instant)>, come: u64, until: Instant, now: Instant) -> bool {
    match *seen {
        Some((before, until)) if before == come => until <= now,
        _ => {
            *seen = Some((come, until));
            false
        }
    }
}

impl Driver {
    /// Ends the calls whose deadline has passed. `Ready` if the connection has ended: no byte has come since one of
    /// their requests was written, so the server may have stopped; or the reply to a cancelled request takes too long.
    #[cold]
    pub(super) fn expire(&mut self, now: Instant) -> Poll<()> {
        self.take_over(None);
        let is_connected = self.opening.as_ref().is_none_or(|opening| opening.is_connected());
        let is_silent = self.opening.as_ref().is_some_and(|opening| opening.is_silent(now));
        let options = self.endpoint.options();
        let mut dead = is_connected && self.connection.draining() > options.limits.drain_bytes;
        // When the last of the calls began that nothing has come for.
        let mut silent: Option<Instant> = None;
        let mut due = Vec::new();
        let mut guard = self.shared.lock();
        let inner = &mut *guard;
        for (at, slot) in inner.slots.pending().filter(|(_, slot)| slot.deadline <= now) {
            let is_unheard = match self.opening {
                Some(_) => is_silent,
                None => slot.is_encoded() && self.connection.is_silent_since(slot.ticket),
            };
            silent = silent.max(is_unheard.then_some(slot.begun));
            dead |= is_connected && slot.is_overdue();
            due.push((at, slot.is_encoded().then_some(slot.ticket)));
        }
        if dead || silent.is_some() {
            drop(guard);
            let error = Error::disconnected("closed, because the server had not answered in time");
            let fault = self.fault_of_silence(silent, now);
            self.end_at(&error, fault, Some(now));
            return Poll::Ready(());
        }
        // Never now, or this would be called in a loop.
        let drained_by = now + options.limits.drain.max(Duration::from_millis(1));
        for (at, ticket) in due {
            let woken = match ticket.filter(|ticket| !self.connection.cancel(*ticket)) {
                None => {
                    inner.slots.fail(at, Failure::new(&Error::timeout(Landed::NotSent), Landed::NotSent, Fault::Nobody))
                }
                Some(_) => {
                    // Bytes have come since: a slow server is not down.
                    let failure = Failure::new(&Error::timeout(Landed::Unknown), Landed::Unknown, Fault::Nobody);
                    inner.slots.expire(at, failure, drained_by)
                }
            };
            self.wakers.extend(woken);
        }
        let pending = inner.slots.pending().map(|(_, slot)| slot.deadline).min();
        let is_idle = pending.is_none() && self.opening.is_none() && !self.connection.is_busy();
        if is_idle
            && is_idle_for_long(&mut self.idle, self.connection.bytes_in(), now + options.pool.idle, now)
            && inner.phase == Phase::Open
        {
            inner.phase = Phase::Quitting;
        }
        let retired_at = self.retired_at.filter(|at| *at > now);
        let idle = self.idle.filter(|_| is_idle).map(|(_, until)| until);
        let next = pending.into_iter().chain(retired_at).chain(idle).min();
        // Each check goes through all slots, so deadlines that are close together are handled together.
        inner.deadline = next.map(|next| next.max(now + COALESCED));
        self.deadline = inner.deadline;
        inner.let_in(&self.connection, &mut self.wakers);
        drop(guard);
        self.connection.reclaim();
        self.wakers.drain(..).for_each(Waker::wake);
        Poll::Pending
    }

    /// What a missed deadline is a failure of. A slow server is not down. A server that has been silent since the
    /// request was written has answered before, and the probe of the next connection shows whether it still answers; or it has
    /// answered a later call on another connection.
    fn fault_of_silence(&self, silent: Option<Instant>, now: Instant) -> Fault {
        let Some(begun) = silent else { return Fault::Nobody };
        let known = self.endpoint.known();
        if self.opening.is_none() && known.asks(self.endpoint.connection_options(), now) {
            known.doubt();
            return Fault::Nobody;
        }
        // Else it is taken for one that large transfers can use.
        let may_be_unusable = self.is_bulk && !self.connection.has_served();
        match !may_be_unusable && self.endpoint.has_answered_since(begun) {
            true => Fault::Nobody,
            false => Fault::Server,
        }
    }

    /// Ends the connection. Waiting calls fail with an error that says whether the request may have taken effect.
    pub fn end(&mut self, error: &Error) {
        self.end_at(error, Fault::of(error), None);
    }

    /// Ends the connection before it is open. On another one, what was to be sent on one for large transfers has a chance only before its
    /// deadline.
    pub(super) fn end_opening(&mut self, error: &Error, now: Instant) {
        let fault = match Fault::of(error) {
            Fault::Server if error.is_timeout() => self.fault_of_silence(Some(self.shared.begun), now),
            fault => fault,
        };
        self.end_at(error, fault, self.is_bulk.then_some(now));
    }

    pub(super) fn end_at(&mut self, error: &Error, fault: Fault, now: Option<Instant>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let is_unusable =
            self.is_bulk && !self.connection.has_served() && (fault != Fault::Nobody || error.is_server_full());
        // A server may take no more connections, and still answer on the other one, where what was not sent is sent again unless it is
        // late.
        let (fault, fault_of_late) = if is_unusable { (Fault::Connection, Fault::Nobody) } else { (fault, fault) };
        // Nothing can be submitted from here on. Requests that were not taken over were never written, so they must not
        // count as unknown.
        {
            let mut inner = self.shared.lock();
            inner.phase = Phase::Ended;
            inner.error = Some(error.clone());
            inner.is_unusable = is_unusable;
        }
        self.take_over(None);
        let mut guard = self.shared.lock();
        let inner = &mut *guard;
        let mut reported = false;
        for abandoned in self.connection.fail_pending() {
            let failure = match now {
                Some(now) if inner.slots.is_due(abandoned.tag, now) => {
                    Failure::new(&Error::timeout(abandoned.landed), abandoned.landed, fault_of_late)
                }
                _ if abandoned.stale => Failure::new(error, abandoned.landed, Fault::Connection),
                _ => Failure::new(error, abandoned.landed, fault),
            };
            let speaks = failure.fault == Fault::Server;
            let woken = inner.slots.fail(abandoned.tag, failure);
            reported |= speaks && woken.is_some();
            self.wakers.extend(woken);
        }
        // The connection was made and was not silent: another connection may work.
        let is_lost = matches!(error, Error::Disconnected { .. } | Error::Protocol { .. });
        let is_connected = self.opening.as_ref().is_none_or(|opening| opening.is_connected());
        let is_silent = now.is_some() && fault == Fault::Server;
        let unencoded = if is_lost && is_connected && !is_silent { Fault::Connection } else { fault };
        for at in if inner.slots.has_unencoded() { inner.slots.unencoded() } else { Vec::new() } {
            let failure = match now {
                Some(now) if inner.slots.is_due(at, now) => {
                    Failure::new(&Error::connect(&KnownProtocol::silence()), Landed::NotSent, fault_of_late)
                }
                _ => Failure::new(error, Landed::NotSent, unencoded),
            };
            let speaks = failure.fault == Fault::Server;
            let woken = inner.slots.fail(at, failure);
            reported |= speaks && woken.is_some();
            self.wakers.extend(woken);
        }
        // A server that closes an unused connection has not failed.
        let is_dead = now.is_some() || matches!(error, Error::Connect { .. } | Error::Tls { .. });
        inner.unreported_outage = !reported && is_dead && fault == Fault::Server;
        // It would keep its task alive, and with it this driver.
        let sleeper = inner.driver.take();
        let writer = inner.direct.writer.take();
        self.wakers.append(&mut inner.close_waiters);
        drop(guard);
        drop((sleeper, writer));
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end_at(&Error::disconnected("its runtime has shut down"), Fault::Nobody, None);
    }
}
