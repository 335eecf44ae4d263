//! Many callers on one connection, and its driver.
//!
//! Any number of callers submit requests to a [`SharedConnection`] and wait, each with its
//! own slot. One [`Driver`], which the transport runs in a task, takes what they have encoded, writes, reads, and puts
//! the replies into their slots. No caller waits for the socket, so a caller that waits, or is cancelled, does not delay
//! another one; a lone caller may [write](DirectWriter) what the socket takes at once.
//!
//! [`exchange`] is the callers' side of a whole [`Call`](crate::call::Call).

mod closing;
mod connect_fn;
mod direct;
mod driver;
mod exchange;
mod large;
mod load;
mod phase;
mod run;
mod runtime;
mod server_connections;
mod shared_connections;
mod slots;
mod spawner;
mod srv;
mod streams;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

// The package `tests/loom` tries the orders in which threads can take the lock, which needs loom's own lock.
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};

pub use self::connect_fn::{BufferedStream, ConnectFn, Flushed};
use self::direct::Direct;
pub use self::direct::DirectWriter;
pub use self::driver::{AsyncStream, AsyncTimer, Connector, Driver, Next};
pub use self::exchange::{Exchange, Freshness, exchange};
pub use self::large::Transfer;
use self::load::Load;
use self::phase::Phase;
pub use self::runtime::Runtime;
pub use self::shared_connections::SharedConnections;
use self::slots::Slots;
pub use self::spawner::{Spawner, TakesSpawner, Task};
#[doc(hidden)]
pub use self::srv::{SrvSockets, look_up_srv};
pub use self::streams::{OpenStream, Records, StreamConnection, StreamOpening, open_stream};
use crate::call::{Failure, SlotResult};
use crate::command::{Command, Protocol};
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::large_keys::LargeKeys;
use crate::observer::Arrival;
use crate::opening::{Destination, Endpoint};
use crate::request_buffer::RequestBuffer;
use crate::time::{Instant, Now};

/// What the callers and the driver of one connection share.
///
/// No waker is woken or dropped while its lock is held: dropping a waker can drop a task, whose drop cancels a request
/// here.
#[derive(Debug)]
pub struct SharedConnection {
    inner: Mutex<Inner>,
    /// The timeout of calls to this server.
    timeout: Duration,
    /// Whether callers wait when a limit is reached.
    waits_at_limit: bool,
    /// When it was made.
    begun: Instant,
    /// The keys of the server whose values are large.
    large_keys: Arc<LargeKeys>,
    /// Whether it is in the middle of a large reply.
    receives_large: AtomicBool,
    /// Where it is connected to, once it is.
    peer: OnceLock<Arc<Destination>>,
    /// For an observer: when the last reply came.
    arrival: Arrival,
}

#[derive(Debug)]
struct Inner {
    /// What callers have encoded and the driver has not taken over; boxed, because the driver swaps it with its own.
    buffer: Box<RequestBuffer>,
    slots: Slots,
    load: Load,
    /// The slots and tickets of requests that were cancelled since the driver last checked.
    cancelled: Vec<(u32, u64)>,
    /// Whether the server has been connected to, and is ready for requests.
    is_open: bool,
    /// The protocol of requests; `None` until the server has answered the probe.
    protocol: Option<Protocol>,
    /// The earliest deadline of all slots, or an earlier moment.
    deadline: Option<Instant>,
    /// The driver, while it sleeps.
    driver: Option<Waker>,
    direct: Direct,
    phase: Phase,
    /// Whether it was for large transfers, and has failed before the server had answered anything.
    is_unusable: bool,
    /// The error that the driver has ended with.
    error: Option<Error>,
    /// Whether the driver has ended because the server does not answer, or cannot be connected to, and no caller was
    /// left to report that.
    unreported_outage: bool,
    /// Wakers of those who wait for the end.
    close_waiters: Vec<Waker>,
}

/// Whether a request was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// It was; its length in bytes.
    Now(u64),
    /// The protocol is not known yet.
    NotYet,
    /// It has ended already: the answer is there, or will be soon.
    NoLonger,
}

/// How a request is queued.
#[derive(Debug, Clone, Copy, Default)]
struct Queueing<'w> {
    /// An earlier request of the same caller is not encoded yet.
    is_behind: bool,
    /// The same caller asks nothing else of this server now, which would leave in the same packet.
    is_only: bool,
    /// Is woken when the answer is there, if the request is encoded: as after [`SharedConnection::poll`].
    waker: Option<&'w Waker>,
}

/// What the caller does next.
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
    pub(crate) fn new(endpoint: &Endpoint, protocol: Option<Protocol>, begun: Instant) -> Self {
        let options = endpoint.options();
        let inner = Inner {
            buffer: Box::new(endpoint.connection_options().request_buffer()),
            slots: Slots::default(),
            load: Load::new(&options.limits),
            cancelled: Vec::new(),
            is_open: false,
            is_unusable: false,
            protocol,
            deadline: None,
            driver: None,
            direct: Direct::default(),
            phase: Phase::Open,
            error: None,
            unreported_outage: false,
            close_waiters: Vec::new(),
        };
        Self {
            inner: Mutex::new(inner),
            timeout: options.timeout,
            waits_at_limit: options.wait_at_limit,
            begun,
            large_keys: Arc::clone(endpoint.large_keys()),
            receives_large: AtomicBool::new(false),
            peer: OnceLock::new(),
            arrival: Arrival::default(),
        }
    }

    /// A panic while the lock was held cannot have left it half changed: only `encode` calls foreign code, and what it
    /// had encoded is removed.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encodes a request and returns the slot that its answer will be in. It never waits. Whatever the connection does,
    /// the driver answers at the `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`NotSubmitted`]; nothing is queued then.
    #[doc(hidden)]
    pub fn submit<C: Command + ?Sized>(&self, command: &C, now: Now, deadline: Instant) -> Result<u32, NotSubmitted> {
        self.queue(command, now, deadline, Queueing::default()).map(|(slot, _)| slot)
    }

    /// Encodes a request; returns its slot and its length. The length is 0 if it was not encoded, because the protocol
    /// is not known yet, a limit is reached, or an earlier request of the same caller is not encoded yet, so that they stay
    /// in order. Then [`SharedConnection::poll_unencoded`] tells the caller when to [encode](SharedConnection::encode) it.
    #[inline]
    fn queue<C: Command + ?Sized>(
        &self,
        command: &C,
        now: Now,
        deadline: Instant,
        Queueing { is_behind, is_only, waker }: Queueing<'_>,
    ) -> Result<(u32, u64), NotSubmitted> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.phase != Phase::Open {
            return Err(inner.not_submitted());
        }
        inner.slots.begun = now.monotonic;
        let (slot, length) = match inner.protocol {
            Some(protocol) if !is_behind && !inner.load.is_full() => {
                let queued = inner.queue(command, protocol, now, deadline).map_err(NotSubmitted::Invalid)?;
                if let Some(waker) = waker {
                    inner.slots.park(queued.0, waker);
                }
                queued
            }
            known => (inner.queue_unencoded(deadline, known.is_some(), is_behind, self.waits_at_limit)?, 0),
        };
        inner.note_deadline(deadline);
        let driver = if is_only && inner.write_directly(deadline) { None } else { inner.driver.take() };
        drop(guard);
        if let Some(driver) = driver {
            let unknown = UnknownSlot { shared: self, slot };
            driver.wake();
            std::mem::forget(unknown);
        }
        Ok((slot, length))
    }

    /// Encodes the request of a slot that was opened before the protocol was known.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; the slot is free then.
    #[cold]
    pub(crate) fn encode<C: Command + ?Sized>(&self, slot: u32, command: &C, now: Now) -> Result<Encoded, Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // The driver takes over nothing after the connection has ended.
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
        let deferred_drop = inner.slots.encoded(slot, encoded.is_ok().then_some(ticket));
        if let Ok(request) = &encoded {
            inner.buffer.requests.push(*request);
            inner.load.add(request.length, inner.buffer.requests.len());
        }
        // It may have waited only for this one to end.
        let driver = inner.driver.take();
        drop(guard);
        drop(deferred_drop);
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

    /// What the caller of a slot without a request does next.
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

    /// Cancels the call of a slot. The request is removed if nothing of it was written; else its reply is read and
    /// discarded.
    #[doc(hidden)]
    pub fn cancel(&self, slot: u32) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let (cancelled, deferred_drop) = inner.slots.leave(slot);
        inner.cancelled.extend(cancelled.map(|ticket| (slot, ticket)));
        // It removes the request, lets another caller in, or has waited only for this one to end.
        let driver = inner.driver.take();
        drop(guard);
        drop(deferred_drop);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether it is open.
    fn is_open(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Open && inner.is_open
    }

    /// Whether it is open, and nothing is asked: then a small request does not wait for a large one.
    fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Open && inner.is_open && inner.slots.is_empty()
    }

    /// Whether the connection has ended because the server does not answer, and that was not reported, because all
    /// callers were cancelled before. It is `true` once.
    fn take_unreported_outage(&self) -> bool {
        std::mem::take(&mut self.lock().unreported_outage)
    }
}

/// A slot that its caller does not know yet, who could not cancel it: it is cancelled if the driver cannot be woken, by a panic.
struct UnknownSlot<'s> {
    shared: &'s SharedConnection,
    slot: u32,
}

impl Drop for UnknownSlot<'_> {
    fn drop(&mut self) {
        self.shared.cancel(self.slot);
    }
}

impl Inner {
    /// Lets the driver look at the slots at this moment at the latest.
    #[inline]
    fn note_deadline(&mut self, deadline: Instant) {
        if self.deadline.is_none_or(|earliest| deadline < earliest) {
            self.deadline = Some(deadline);
        }
    }

    /// Encodes a request, for which there is room; returns its slot and its length.
    #[inline]
    fn queue<C: Command + ?Sized>(
        &mut self,
        command: &C,
        protocol: Protocol,
        now: Now,
        deadline: Instant,
    ) -> Result<(u32, u64), Error> {
        let ticket = self.buffer.ticket;
        let mut request = self.buffer.request(command, protocol, now, 0)?;
        request.tag = self.slots.open(ticket, deadline);
        self.buffer.requests.push(request);
        self.load.add(request.length, self.buffer.requests.len());
        Ok((request.tag, request.length))
    }

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

    /// Lets waiting callers in, if there is room; their wakers are added to `wakers`.
    #[cold]
    fn let_in(&mut self, connection: &Connection, wakers: &mut Vec<Waker>) {
        if self.load.is_full() {
            self.load.update(connection, self.buffer.requests.len());
            self.load.let_in(&mut self.slots, wakers);
        }
    }

    #[cold]
    fn not_submitted(&self) -> NotSubmitted {
        NotSubmitted::Ended(self.error.clone().unwrap_or_else(Error::closed).with_landed(Landed::NotSent))
    }
}
