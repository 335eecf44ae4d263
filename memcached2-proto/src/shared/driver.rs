//! The driver of a shared connection, which owns the socket.

mod callers;
mod ending;
mod opening;
#[cfg(test)]
pub(super) mod tests;
mod wire;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use self::callers::Left;
pub use self::opening::Connector;
pub(super) use self::opening::exchange as exchange_bytes;
pub(super) use self::wire::write;
use self::wire::{Sealed, Wire};
use super::SharedConnection;
use super::direct::DirectWriter;
use super::large::LARGE;
use super::slots::Slots;
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::opening::{Endpoint, Opening};
use crate::reply::{Decoder, Reply};
use crate::request_buffer::RequestBuffer;
use crate::time::{Instant, Now};
use crate::tls::TlsSession;

/// How many bytes are read or written at once: a longer call of the operating system would keep the processor from others.
const PIECE: usize = 64 * 1024;

/// A socket that a [`Driver`] can read and write: what every asynchronous stream has.
pub trait AsyncStream {
    /// Reads into `space`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `slices` and returns how many bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Writes some of `slices` if the operating system takes them now, without asking the runtime, which reports a
    /// socket as writable only when much of its buffer is free. It finds out whether a slow server takes anything at
    /// all; without it, the server counts as silent sooner.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing, and what the operating system says.
    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = slices;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Wakes the task when other tasks and other sockets have had their turn: the driver has moved much. A runtime that looks at
    /// its sockets only when no task is ready needs more than a wake.
    fn give_way(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Whether something can be read, or the stream has ended: what the operating system knows now, whatever the runtime
    /// has noticed of it. `false` is right for a stream that no operating system stands behind: what it knows, `poll_read` says.
    fn has_unread(&self) -> bool {
        false
    }

    /// What writes to the same socket from any thread. With it a lone caller writes its request itself, and the driver is woken only by
    /// the reply: that saves a seventh of the instructions of a `get` on Tokio. `None` if only the driver can write.
    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        None
    }
}

/// The clock of a [`Driver`]: a timer that can be set to another deadline.
pub trait AsyncTimer {
    /// The present moment.
    fn now(&self) -> Instant;

    /// Waits until `deadline`; `Ready` with the present moment, which is not before it.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant>;
}

/// Drives one shared connection: it takes what callers have encoded, writes, reads, and hands out the replies.
///
/// The transport runs it in a task: [`Driver::run`] is the whole of it, unless you poll by hand. When the driver is
/// dropped, all waiting calls fail, and the next call opens another connection.
#[derive(Debug)]
pub struct Driver {
    endpoint: Arc<Endpoint>,
    /// That of the endpoint: one for it, and one for each driver.
    drivers: Arc<()>,
    shared: Arc<SharedConnection>,
    /// Until it is ready for requests.
    opening: Option<Box<Opening>>,
    /// What stands between the connection and the socket, if the server is connected to by TLS.
    tls: Option<TlsSession>,
    /// Whether it is neither being opened nor connected by TLS.
    is_plain: bool,
    /// If the protocol is known from the beginning, it takes requests meanwhile.
    connection: Connection,
    /// Swapped with the buffer that callers encode into.
    taken: Box<RequestBuffer>,
    /// Kept to reuse their memory.
    arrived: Vec<(u32, Reply, bool)>,
    wakers: Vec<Waker>,
    deadline: Option<Instant>,
    /// With `max_age`: when another connection takes its place.
    retired_at: Option<Instant>,
    /// While nothing is in flight: how many bytes had come when that was seen, and when the idle connection is closed
    /// if no more come.
    idle: Option<(u64, Instant)>,
    /// Whether callers waited for room when the driver last checked.
    is_full: bool,
    /// Whether it is for large transfers alone, so that there is another connection to the server.
    is_bulk: bool,
    /// Whether it is in the middle of a large reply.
    receives_large: bool,
    /// Whether one caller at most got its reply by the last read.
    is_lone: bool,
    /// Whether a caller may have written.
    is_lent: bool,
    ended: bool,
}

impl Driver {
    /// What its callers share.
    pub(super) fn shared(&self) -> &Arc<SharedConnection> {
        &self.shared
    }

    /// A driver whose connection is not made yet, and what its callers share. They can submit from now on.
    #[must_use]
    pub fn new(endpoint: &Arc<Endpoint>, now: Now) -> (Self, Arc<SharedConnection>) {
        let opening = Opening::new(endpoint, now, None);
        let mut connection = Connection::with_options(endpoint.connection_options());
        connection.set_protocol(opening.protocol().unwrap_or_default());
        let shared = Arc::new(SharedConnection::new(endpoint, opening.protocol(), now.monotonic));
        let driver = Self {
            endpoint: Arc::clone(endpoint),
            drivers: Arc::clone(endpoint.drivers()),
            shared: Arc::clone(&shared),
            opening: Some(Box::new(opening)),
            tls: None,
            is_plain: false,
            connection,
            taken: Box::new(endpoint.connection_options().request_buffer()),
            arrived: Vec::new(),
            wakers: Vec::new(),
            deadline: None,
            retired_at: None,
            idle: None,
            is_full: false,
            is_bulk: false,
            receives_large: false,
            is_lone: true,
            is_lent: false,
            ended: false,
        };
        (driver, shared)
    }

    /// The driver of a connection for large transfers.
    pub(super) fn bulk(endpoint: &Arc<Endpoint>, now: Now) -> (Self, Arc<SharedConnection>) {
        let (mut driver, shared) = Self::new(endpoint, now);
        driver.is_bulk = true;
        (driver, shared)
    }

    /// Reads and writes as far as the socket allows. `Ready` when the connection has ended and all calls have their
    /// results, or when another connection must be made.
    #[inline]
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut impl AsyncStream,
        alarm: &mut impl AsyncTimer,
    ) -> Poll<Next> {
        if !self.is_plain {
            if let Some(polled) = self.poll_first_or_sealed(cx, socket, alarm) {
                return polled;
            }
        }
        self.poll_open(cx, socket, alarm)
    }

    /// Does the same while the connection is opened, or by TLS; nothing once it is open without.
    #[cold]
    fn poll_first_or_sealed(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut impl AsyncStream,
        alarm: &mut impl AsyncTimer,
    ) -> Option<Poll<Next>> {
        if self.opening.is_some() {
            match self.poll_opening(cx, socket, alarm) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(next)) => return Some(Poll::Ready(next)),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        let session = self.tls.take()?;
        let mut sealed = Sealed { socket, session };
        let polled = self.poll_open(cx, &mut sealed, alarm);
        self.tls = Some(sealed.session);
        Some(polled)
    }

    #[inline]
    fn poll_open(&mut self, cx: &mut Context<'_>, socket: &mut impl Wire, alarm: &mut impl AsyncTimer) -> Poll<Next> {
        match self.turn(cx, socket, alarm) {
            Poll::Pending => self.watch(cx, alarm, socket),
            Poll::Ready(error) => {
                self.end(&if self.is_plain { self.connection.explain_lost(error) } else { error });
                Poll::Ready(Next::Over)
            }
        }
    }

    /// Ends the calls whose deadline has passed, and waits for the next deadline.
    #[inline]
    fn watch(&mut self, cx: &mut Context<'_>, alarm: &mut impl AsyncTimer, socket: &mut impl Wire) -> Poll<Next> {
        while let Some(deadline) = self.deadline {
            let Poll::Ready(now) = alarm.poll_until(cx, deadline) else { break };
            if self.connection.is_write_blocked() {
                // Finds out whether the socket has room again. The next write or read gets its other errors.
                let _ = socket.write_at_once(&mut self.connection);
            }
            if self.on_deadline(cx, now).is_ready() {
                return Poll::Ready(Next::Over);
            }
        }
        Poll::Pending
    }

    #[inline]
    fn turn(&mut self, cx: &mut Context<'_>, socket: &mut impl Wire, alarm: &impl AsyncTimer) -> Poll<Error> {
        /// How many reads there are in a row, before writes, deadlines and other tasks have their turn.
        const READS: usize = 4;
        if self.is_lent {
            // What the reply may answer that is read now.
            self.take_over(None);
        }
        for reads in 1.. {
            let space = self.connection.read_buf();
            let piece = space.len().min(PIECE);
            match socket.poll_read(cx, &mut space[..piece]) {
                Poll::Ready(Ok(n)) => {
                    let end = self.connection.advance_read(n);
                    let handed_out = self.hand_out(alarm);
                    if n >= Decoder::LARGE || self.receives_large {
                        self.watch_large_reply();
                    }
                    match handed_out.and_then(|answered| end.map(|()| answered)) {
                        Err(error) => return Poll::Ready(error),
                        // The callers just woken will most likely send again: their requests shall leave together.
                        Ok(answered) if answered > 1 => {
                            self.is_lone = false;
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Ok(answered) if reads < READS => {
                            self.is_lone |= answered == 1;
                            continue;
                        }
                        Ok(_) => {
                            socket.give_way(cx);
                            // All that has come must be read before it is checked that nothing comes unasked.
                            if self.connection.needs_look() {
                                return Poll::Pending;
                            }
                        }
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(Error::lost(&error, Landed::Unknown)),
                Poll::Pending => {}
            }
            let next = loop {
                let next = self.take_over(Some(cx.waker()));
                // By TLS there may be something left.
                let is_written = self.is_plain && self.connection.is_flushed();
                if !is_written {
                    if let Poll::Ready(Err(error)) = self.write(cx, socket) {
                        return Poll::Ready(error);
                    }
                }
                if self.is_full {
                    self.attend();
                }
                if next != Left::More {
                    break next;
                }
            };
            return match next {
                Left::Wait | Left::More => Poll::Pending,
                Left::Closed | Left::Quit if self.connection.is_busy() => Poll::Pending,
                Left::Closed => {
                    socket.close(cx, &mut self.connection);
                    Poll::Ready(Error::closed())
                }
                Left::Quit => {
                    self.connection.quit();
                    let _ = self.write(cx, socket);
                    socket.close(cx, &mut self.connection);
                    Poll::Ready(Error::closed())
                }
                Left::Aborted => {
                    // By the client itself: the server has nothing to do with it.
                    self.is_plain = false;
                    Poll::Ready(aborted())
                }
            };
        }
        Poll::Pending
    }

    /// Writes what may go.
    #[inline]
    fn write(&mut self, cx: &mut Context<'_>, socket: &mut impl Wire) -> Poll<Result<(), Error>> {
        if !self.connection.is_flushed() && self.connection.needs_look() && socket.has_unread() {
            return Poll::Ready(Err(self.connection.on_unread()));
        }
        match socket.write(cx, &mut self.connection) {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(Error::lost(&error, Landed::Unknown))),
        }
    }

    /// Says when a large reply begins, and when it has come.
    #[cold]
    fn watch_large_reply(&mut self) {
        let receives = self.connection.is_reply_longer_than(LARGE);
        if receives != self.receives_large {
            self.receives_large = receives;
            self.shared.set_receives_large(receives);
        }
    }

    /// Notes when the last of the calls began that the server has answered: there are other connections to it.
    #[cold]
    fn note_answers(&self, slots: &Slots) {
        if let Some(begun) = self.arrived.iter().filter_map(|(slot, ..)| slots.begun(*slot)).max() {
            self.endpoint.answered(begun);
        }
    }

    /// Puts complete replies into their slots, and returns how many callers got their answer.
    #[inline]
    fn hand_out(&mut self, alarm: &impl AsyncTimer) -> Result<usize, Error> {
        let arrived = &mut self.arrived;
        let drained = self.connection.drain(&mut |slot, reply, last| arrived.push((slot, reply, last)));
        // Most reads bring one reply, which needs no list. That, and no call of `write` for nothing, takes 67 instructions less of a get.
        let mut first = None;
        if !self.arrived.is_empty() {
            self.shared.arrival.note(|| alarm.now());
            let mut guard = self.shared.lock();
            let inner = &mut *guard;
            if Arc::strong_count(&self.drivers) > 2 {
                self.note_answers(&inner.slots);
            }
            for (slot, reply, last) in self.arrived.drain(..) {
                let waker = inner.slots.deliver(slot, reply, last);
                match first {
                    None => first = waker,
                    Some(_) => self.wakers.extend(waker),
                }
            }
        }
        let answered = usize::from(first.is_some()) + self.wakers.len();
        // Before a caller is woken, which would use it again.
        if self.connection.is_leaving() {
            self.shared.close();
        }
        if let Some(first) = first {
            first.wake();
        }
        if answered > 1 {
            self.wakers.drain(..).for_each(Waker::wake);
        }
        drained.map(|()| answered)
    }
}

/// What a driver's task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// End: the connection is closed, and all calls have their results.
    Over,
    /// Connect once more, and go on with the new socket.
    Connect,
}

fn aborted() -> Error {
    Error::disconnected("the client was closed")
}
