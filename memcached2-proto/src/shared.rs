//! Many callers on one connection: what they and its driver share.
//!
//! Any number of callers [submit](SharedConnection::submit) requests to a [`SharedConnection`] and wait, each in a slot of its own. One
//! [`Driver`], run by the transport in a task beside the socket, takes what they have encoded, writes and reads, and
//! puts the replies into their slots. A caller that waits, or stops waiting, cannot hold up another one, since no
//! caller touches the socket.
//!
//! [`exchange`] is the callers' side of a whole [`Call`](crate::Call).

mod driver;
mod exchange;
mod load;
mod shared_connections;
mod slots;

use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

// `tests/loom.rs` tries the orders in which threads can come to the lock, which only a lock of loom's own tells it.
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};

pub use self::driver::{AsyncStream, AsyncTimer, Driver, Next};
pub use self::exchange::{Exchange, Freshness, exchange};
use self::load::Load;
pub use self::shared_connections::{SharedConnections, Target};
use self::slots::Slots;
use crate::call::{Failure, SlotResult};
use crate::command::{Command, Protocol};
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::options::Options;
use crate::request_buffer::RequestBuffer;
use crate::time::{Instant, Now};

/// What callers and the driver of one shared connection have in common.
///
/// No waker is woken or dropped while its lock is held: dropping one can drop a task whose drop comes back here.
#[derive(Debug)]
pub struct SharedConnection {
    inner: Mutex<Inner>,
    /// How long a call may take that asks the server.
    timeout: Duration,
    /// Whether callers wait where there is no room.
    waits_at_limit: bool,
    /// When it was made.
    begun: Instant,
}

#[derive(Debug)]
struct Inner {
    /// What callers have encoded and the driver has not taken over; boxed, since the two swap theirs.
    buffer: Box<RequestBuffer>,
    slots: Slots,
    load: Load,
    /// The slots and tickets of requests whose callers have gone since the driver last looked.
    cancelled: Vec<(u32, u64)>,
    /// What requests are encoded in; `None` until the server has been asked, so that callers wait with it.
    protocol: Option<Protocol>,
    /// The earliest deadline of all slots, or an earlier moment.
    deadline: Option<Instant>,
    /// The driver, while it sleeps.
    driver: Option<Waker>,
    phase: Phase,
    /// What the driver has ended with.
    error: Option<Error>,
    /// Whether the driver has ended because the server does not answer, or cannot be connected to, and nobody was there to
    /// hear of it.
    unreported_outage: bool,
    /// Those who wait for the end.
    close_waiters: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// The client is gone: the driver ends as soon as nobody waits.
    Closing,
    /// The same, and the driver takes leave of the server.
    Quitting,
    /// The driver is to end now, whoever waits.
    Aborting,
    /// The driver has ended: nothing can be submitted any more.
    Ended,
}

/// What became of a request that was to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// It has so many bytes.
    Now(u64),
    /// The protocol is not known yet.
    NotYet,
    /// It has come to an end: the answer is there, or is about to be.
    NoLonger,
}

/// What a caller does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Encode the request.
    Encode,
    /// Take the answer.
    Done(SlotResult),
}

/// Why a request was not submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSubmitted {
    /// The connection has ended, by this error; another one is needed.
    Ended(Error),
    /// The request cannot be encoded.
    Invalid(Error),
}

impl SharedConnection {
    /// What the callers of a connection share that speaks `protocol`, if that is known.
    pub(crate) fn new(options: &Options, protocol: Option<Protocol>, begun: Instant) -> Self {
        let inner = Inner {
            buffer: Box::new(RequestBuffer::with_options(options)),
            slots: Slots::default(),
            load: Load::new(&options.limits),
            cancelled: Vec::new(),
            protocol,
            deadline: None,
            driver: None,
            phase: Phase::Open,
            error: None,
            unreported_outage: false,
            close_waiters: Vec::new(),
        };
        Self { inner: Mutex::new(inner), timeout: options.timeout, waits_at_limit: options.wait_at_limit, begun }
    }

    /// A panic while the lock was held cannot have left it half changed: nothing in there calls foreign code but
    /// `encode`, and what that had encoded is taken back.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encodes a request and returns the slot that its answer will be in. It never waits: whatever the connection
    /// does, the driver answers by `deadline`.
    ///
    /// # Errors
    ///
    /// [`NotSubmitted`]; nothing is queued then.
    #[doc(hidden)]
    pub fn submit<C: Command + ?Sized>(&self, command: &C, now: Now, deadline: Instant) -> Result<u32, NotSubmitted> {
        self.queue(command, now, deadline, false).map(|(slot, _)| slot)
    }

    /// Encodes a request; its slot and its length. That is 0 while the protocol is not known or there is no room: then the caller
    /// is told by [`SharedConnection::poll_unencoded`] to [encode](SharedConnection::encode) it; as he is if `is_behind` says that an earlier request of his is not encoded
    /// yet, so that they stay in their order.
    #[inline]
    fn queue<C: Command + ?Sized>(
        &self,
        command: &C,
        now: Now,
        deadline: Instant,
        is_behind: bool,
    ) -> Result<(u32, u64), NotSubmitted> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.phase != Phase::Open {
            return Err(inner.not_submitted());
        }
        let (slot, length) = match inner.protocol {
            Some(protocol) if !is_behind && !inner.load.is_full() => {
                let ticket = inner.buffer.ticket;
                let mut request = inner.buffer.request(command, protocol, now, 0).map_err(NotSubmitted::Invalid)?;
                request.tag = inner.slots.open(ticket, deadline);
                inner.buffer.requests.push(request);
                inner.load.add(request.length, inner.buffer.requests.len());
                (request.tag, request.length)
            }
            known => (inner.queue_unencoded(deadline, known.is_some(), is_behind, self.waits_at_limit)?, 0),
        };
        if inner.deadline.is_none_or(|earliest| deadline < earliest) {
            inner.deadline = Some(deadline);
        }
        let driver = inner.driver.take();
        drop(guard);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok((slot, length))
    }

    /// Encodes the request of a slot that was given to its caller before the protocol was known.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; the slot is free then.
    #[cold]
    pub(crate) fn encode<C: Command + ?Sized>(&self, slot: u32, command: &C, now: Now) -> Result<Encoded, Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // What is encoded once the connection has ended, the driver does not take over any more.
        if inner.phase == Phase::Ended {
            return Ok(Encoded::NoLonger);
        }
        if !inner.slots.is_ready(slot) {
            return Ok(if inner.slots.is_waiting(slot) { Encoded::NotYet } else { Encoded::NoLonger });
        }
        if inner.load.is_over() {
            inner.slots.put_off(slot);
            inner.load.wait_first(slot);
            return Ok(Encoded::NotYet);
        }
        let ticket = inner.buffer.ticket;
        let encoded = inner.buffer.request(command, inner.protocol.unwrap_or_default(), now, slot);
        inner.slots.encoded(slot, encoded.is_ok().then_some(ticket));
        if let Ok(request) = &encoded {
            inner.buffer.requests.push(*request);
            inner.load.add(request.length, inner.buffer.requests.len());
        }
        // It may have waited for this one alone to end.
        let driver = inner.driver.take();
        drop(guard);
        if let Some(driver) = driver {
            driver.wake();
        }
        encoded.map(|request| Encoded::Now(request.length))
    }

    /// The answer in a slot, which is free from then on.
    #[inline]
    pub(crate) fn poll(&self, slot: u32, cx: &Context<'_>) -> Poll<SlotResult> {
        let mut inner = self.lock();
        match inner.slots.take(slot) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let old = inner.slots.park(slot, cx.waker());
                drop(inner);
                drop(old);
                Poll::Pending
            }
        }
    }

    /// What the caller in a slot does next that had no request in it at first.
    #[cold]
    pub(crate) fn poll_unencoded(&self, slot: u32, cx: &Context<'_>) -> Poll<Turn> {
        if self.lock().slots.is_ready(slot) {
            return Poll::Ready(Turn::Encode);
        }
        match self.poll(slot, cx) {
            Poll::Ready(outcome) => Poll::Ready(Turn::Done(outcome)),
            Poll::Pending if self.lock().slots.is_ready(slot) => Poll::Ready(Turn::Encode),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Stops waiting for the answer in a slot. The request is taken back if nothing of it was written; else the answer is
    /// read and thrown away when it comes.
    #[doc(hidden)]
    pub fn cancel(&self, slot: u32) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let (cancelled, deferred_drop) = inner.slots.leave(slot);
        inner.cancelled.extend(cancelled.map(|ticket| (slot, ticket)));
        // It takes back what it has not written, lets another caller in, or has waited for this one alone to end.
        let driver = inner.driver.take();
        drop(guard);
        drop(deferred_drop);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether nothing can be submitted any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// Whether the connection has ended because the server does not answer, which nobody has heard yet: all who had asked
    /// had gone by then. It is told once.
    fn take_unreported_outage(&self) -> bool {
        std::mem::take(&mut self.lock().unreported_outage)
    }

    /// Ends the connection as soon as everybody who waits has an answer; nothing can be submitted any more.
    pub fn close(&self) {
        self.turn(Phase::Closing);
    }

    /// Ends the connection in the same way, with a `quit` to the server.
    pub fn quit(&self) {
        self.turn(Phase::Quitting);
    }

    /// Ends the connection now: everybody who waits learns what became of his request.
    pub fn abort(&self) {
        self.turn(Phase::Aborting);
    }

    fn turn(&self, phase: Phase) {
        let mut inner = self.lock();
        if inner.phase < phase {
            inner.phase = phase;
        }
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Waits for the end of the driver.
    pub fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.phase == Phase::Ended {
            return Poll::Ready(());
        }
        if !inner.close_waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            inner.close_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Inner {
    /// A slot for a request that cannot be encoded yet: the protocol is not known, an earlier request of the caller is not
    /// encoded either, or there is no room.
    #[cold]
    fn queue_unencoded(
        &mut self,
        deadline: Instant,
        is_known: bool,
        is_behind: bool,
        waits: bool,
    ) -> Result<u32, NotSubmitted> {
        let has_room = !self.load.is_full();
        if is_known && !has_room && !waits {
            return Err(NotSubmitted::Invalid(Error::overloaded()));
        }
        let is_ready = is_known && (has_room || is_behind);
        let slot = self.slots.open_unencoded(deadline, is_ready);
        if is_known && !is_ready {
            self.load.wait_last(slot);
        }
        Ok(slot)
    }

    /// Lets callers in who have waited for room, if there is some; their wakers are put with the others.
    #[cold]
    fn let_in(&mut self, connection: &Connection, wakers: &mut Vec<Waker>) {
        if self.load.is_full() {
            self.load.take_over(connection, self.buffer.requests.len());
            self.load.let_in(&mut self.slots, wakers);
        }
    }

    #[cold]
    fn not_submitted(&self) -> NotSubmitted {
        NotSubmitted::Ended(self.error.clone().unwrap_or_else(Error::closed).with_landed(Landed::NotSent))
    }
}
