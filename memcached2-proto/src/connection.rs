//! The state machine of one connection: requests out, replies in, and which reply belongs to which request.
//!
//! For embedders with their own event loop; the guide `embedding` begins with it.

mod feed;
mod held;
mod in_flight;
mod known;
mod leaving;
mod options;
mod probe;
mod refusal;
mod send_window;
mod typed;

use std::collections::VecDeque;
use std::io::IoSlice;

use self::held::Held;
use self::in_flight::{InFlight, Kind};
pub use self::known::KnownProtocol;
pub use self::leaving::Abandoned;
pub use self::options::ConnectionOptions;
use self::probe::Probe;
use self::send_window::SendWindow;
pub use self::typed::{Pending, TypedConnection};
use crate::command::{Command, Protocol};
use crate::error::{Error, Landed};
use crate::limits::Limits;
use crate::reply::{Decoder, Expected, Opaque, Reply, ReplyKind};
use crate::request_buffer::{Request, RequestBuffer};
use crate::time::Now;

/// One connection without its socket: requests go in, bytes come out; bytes go in, replies come out.
///
/// Pipelining is built in: submit one request or ten thousand. A transport repeats four steps:
///
/// 1. write what [`Connection::write_slices`] offers, and say with [`Connection::advance_written`] how much of it went;
/// 2. read into [`Connection::read_buf`], and say with [`Connection::advance_read`] how much came;
/// 3. take replies with [`Connection::next_reply`] until there is none;
/// 4. after a failure, call [`Connection::fail_pending`], which says which requests may have taken effect, and close
///    the socket.
///
/// An [`Opening`](crate::opening::Opening) makes one, from the address of a server on.
///
/// It never times out by itself and has no deadline: a transport keeps those of its callers, and asks
/// [`Connection::is_silent_since`] or [`Connection::bytes_in`] whether the server shows a sign of life.
///
/// [`Connection::feed`] and [`Connection::take_outgoing`] do steps 1 to 3 with buffers of the transport's own, as I/O by
/// completion needs them. A [`TypedConnection`] returns a handle for each request, which becomes its typed response.
///
/// It is never out of step. Replies are matched to requests by their order; a reply to a meta command must carry the
/// number of its request; a returned key must be one that was requested; and a byte that no request expects ends the
/// connection. `memcached2-proto/examples/event_loop.rs` is a whole program around it.
#[derive(Debug)]
pub struct Connection {
    sending: SendWindow,
    in_flight: VecDeque<InFlight>,
    /// The ticket of the front request; a request of the connection itself has that of the request after it.
    first: u64,
    /// How many of the requests were written whole.
    written_count: usize,
    decoder: Decoder,
    /// How many bytes have come, and other signs of life.
    bytes_in: u64,
    /// How many had come when the front request became the front one: its own reply begins there.
    front_from: u64,
    protocol: Protocol,
    mode: Mode,
    /// Whether a reply has ever come.
    served: bool,
    /// Whether the server has ended the stream.
    ended: bool,
    /// Whether the last request is `quit`.
    quitting: bool,
    failed: Option<Error>,
    /// Error lines whose requests are not sure yet; boxed, because there are usually none.
    held: Option<Box<Held>>,
    /// Whether it was closed by this side while the server answers, which is no failure of the server.
    given_up: bool,
    /// Whether the socket took nothing when it was written to last.
    is_write_blocked: bool,
}

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Everything.
    Open,
    /// The server is asked whether it speaks meta, and nothing else.
    Probing(Probe),
    /// Nothing more, because the server closes the connection after the pending replies.
    Leaving,
}

impl Connection {
    /// How many slices are written at once: a request and the large values in it.
    const SLICES: usize = 4;

    /// A connection that refuses what exceeds `limits` and speaks the classic protocol.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            sending: SendWindow::default(),
            in_flight: VecDeque::new(),
            first: 0,
            written_count: 0,
            decoder: Decoder::new(limits),
            bytes_in: 0,
            front_from: 0,
            protocol: Protocol::Classic,
            mode: Mode::Open,
            served: false,
            ended: false,
            quitting: false,
            failed: None,
            held: None,
            given_up: false,
            is_write_blocked: false,
        }
    }

    /// A connection that behaves as `options` say. Unless they name a protocol it speaks the classic one, until a
    /// [probe](Connection::probe) has shown that the server speaks meta.
    #[must_use]
    pub fn with_options(options: &ConnectionOptions) -> Self {
        let mut connection = Self::new(options.limits);
        connection.protocol = options.protocol.unwrap_or_default();
        *connection.sending.buffer() = RequestBuffer::new(options.prefix.clone(), options.limits.sent_value);
        connection
    }

    /// Chooses the protocol of the requests submitted from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The protocol of the requests submitted from now on.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Encodes a request, and returns its ticket, with which it can be [cancelled](Connection::cancel). The `tag`, any
    /// number, comes back with its replies.
    ///
    /// # Errors
    ///
    /// When the request cannot be encoded, or the connection has failed; nothing is queued then.
    #[inline]
    pub fn submit<C: Command + ?Sized>(&mut self, command: &C, now: Now, tag: u32) -> Result<u64, Error> {
        let ticket = self.next_ticket();
        self.submit_sized(command, now, tag)?;
        Ok(ticket)
    }

    /// Encodes a request, and returns how many bytes it has.
    #[inline]
    pub(crate) fn submit_sized<C: Command + ?Sized>(&mut self, command: &C, now: Now, tag: u32) -> Result<u64, Error> {
        self.queue(command, now, tag, Kind::Asked)
    }

    #[inline]
    fn queue<C: Command + ?Sized>(&mut self, command: &C, now: Now, tag: u32, kind: Kind) -> Result<u64, Error> {
        if self.ended || self.quitting || self.failed.is_some() {
            return Err(self.unusable());
        }
        let request = self.sending.buffer().request(command, self.protocol, now, tag)?;
        let length = request.length;
        self.enqueue(request, kind);
        Ok(length)
    }

    #[cold]
    fn unusable(&self) -> Error {
        let error = match &self.failed {
            Some(error) => error.clone(),
            None if self.quitting => Error::closed(),
            None => Error::disconnected(ENDED),
        };
        error.with_landed(Landed::NotSent)
    }

    /// Sends `quit` after all submitted requests; nothing can be submitted any more. The server answers the requests
    /// before it and ends the stream.
    pub fn quit(&mut self) {
        const QUIT: &[u8] = b"quit\r\n";
        if !self.ended && !self.quitting && self.failed.is_none() {
            self.sending.buffer().put(QUIT);
            self.enqueue(
                Request { tag: 0, reply_kind: ReplyKind::Ok, keys: 0, fence: 0, length: QUIT.len() as u64 },
                Kind::Quit,
            );
            self.quitting = true;
        }
    }

    /// Takes over the requests that others have encoded and leaves `buffer` empty. The ticket of the first of them is
    /// [`Connection::next_ticket`], and each next one has the next number.
    #[inline]
    pub fn append_from(&mut self, buffer: &mut RequestBuffer) {
        self.sending.append_from(buffer);
        buffer.requests.drain(..).for_each(|request| self.enqueue(request, Kind::Asked));
    }

    #[inline]
    fn enqueue(&mut self, request: Request, kind: Kind) {
        let Request { tag, reply_kind, keys, fence, length } = request;
        if self.in_flight.is_empty() {
            self.sending.keys().open(keys as usize);
            self.front_from = self.bytes_in;
            self.decoder.expect(Expected { reply_kind, opaque: Opaque::from_ticket(self.first), is_fenced: fence > 0 });
        }
        let end = self.sending.queued(length);
        let carried_out = end - u64::from(fence);
        self.in_flight.push_back(InFlight {
            tag,
            reply_kind,
            keys,
            kind,
            end,
            carried_out,
            bytes_in_before: self.bytes_in,
        });
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    ///
    /// It fills none while replies must be read first: a server stops reading while its replies are not read, so
    /// writing a large batch without reading could block for ever.
    #[inline]
    pub fn write_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.failed.is_some() {
            // The rest of a request that was refused half-way could be read as commands.
            return 0;
        }
        self.reclaim();
        match self.mode {
            Mode::Open => self.sending.grant(&self.in_flight),
            Mode::Probing(probe) => self.sending.grant_until(&self.in_flight, probe.unanswered()),
            Mode::Leaving => return 0,
        }
        self.sending.slices(slices)
    }

    /// Says that `n` bytes of what [`Connection::write_slices`] offered were written.
    #[inline]
    pub fn advance_written(&mut self, n: usize) {
        self.sending.advance_written(n);
        let written = self.sending.written();
        while let Some(request) = self.in_flight.get_mut(self.written_count).filter(|next| next.end <= written) {
            request.bytes_in_before = self.bytes_in;
            self.written_count += 1;
        }
        if std::mem::take(&mut self.is_write_blocked) {
            self.note_write_progress();
        }
    }

    /// Writes what may go with `write`, which returns how many bytes of the slices it has taken. Returns `false` if that was none,
    /// since the socket is full.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    #[inline]
    pub fn write_with<E>(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<bool, E> {
        while !self.is_flushed() {
            let mut slices = [IoSlice::new(&[]); Self::SLICES];
            let count = self.write_slices(&mut slices);
            if count == 0 {
                break;
            }
            match write(&slices[..count])? {
                0 => {
                    self.is_write_blocked = true;
                    return Ok(false);
                }
                n => self.advance_written(n),
            }
        }
        Ok(true)
    }

    /// Whether the socket took nothing when it was [written to](Connection::write_with) last.
    #[must_use]
    #[inline]
    pub fn is_write_blocked(&self) -> bool {
        self.is_write_blocked
    }

    /// The socket has taken bytes again after it had been full: so the server takes what is sent to it, and is not silent, even
    /// if it says nothing before it has all of a long request.
    #[cold]
    fn note_write_progress(&mut self) {
        // A sign of life, and no part of a reply.
        self.bytes_in += 1;
        self.front_from += 1;
    }

    /// Whether every byte of every request was written.
    #[must_use]
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.sending.is_flushed()
    }

    /// The buffer to read into. It is never empty if [`Connection::next_reply`] is called until it returns `None`.
    #[inline]
    pub fn read_buf(&mut self) -> &mut [u8] {
        self.decoder.read_buf()
    }

    /// Says that `n` bytes were read into [`Connection::read_buf`]; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] at the end of the stream, unless it answers [`Connection::quit`]. Replies that came
    /// before it can still be taken.
    #[inline]
    pub fn advance_read(&mut self, n: usize) -> Result<(), Error> {
        if n == 0 {
            return self.end();
        }
        self.bytes_in += n as u64;
        self.decoder.advance_read(n);
        Ok(())
    }

    #[cold]
    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        let is_in_step = self.failed.is_none() && self.is_flushed() && self.decoder.is_empty();
        match self.in_flight.front() {
            Some(request) if request.kind == Kind::Quit && is_in_step => {
                self.confirm(None);
                Ok(())
            }
            _ => Err(self.ended_early()),
        }
    }

    /// The next reply: the tag of its request, the reply, and whether it is the last one to that request.
    ///
    /// # Errors
    ///
    /// When the server breaks the protocol; the connection is of no use from then on.
    #[inline]
    pub fn next_reply(&mut self) -> Result<Option<(u32, Reply, bool)>, Error> {
        match self.next_ahead() {
            Some(reply) => Ok(Some(reply)),
            None => self.next_in_order(),
        }
    }

    /// The next reply, if it is one of the most common and nothing out of the ordinary is under way.
    #[inline]
    fn next_ahead(&mut self) -> Option<(u32, Reply, bool)> {
        let front = self.in_flight.front()?;
        if front.kind != Kind::Asked || self.written_count == 0 || self.held.is_some() || self.failed.is_some() {
            return None;
        }
        let tag = front.tag;
        let (reply, last) = self.decoder.decode_ahead(self.sending.keys())?;
        if last {
            self.served = true;
            self.pop();
        }
        Some((tag, reply, last))
    }

    /// The next reply, whatever it is.
    fn next_in_order(&mut self) -> Result<Option<(u32, Reply, bool)>, Error> {
        if self.held.is_some() {
            if let Some(sure) = self.next_sure() {
                return Ok(Some(sure));
            }
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            if self.mode == Mode::Leaving && self.written_count == 0 {
                return Err(self.give_up(CLOSED_SOON));
            }
            let Some(request) = self.in_flight.front() else {
                // Without an expected reply, any byte is unexpected.
                return match self.decoder.pending().is_empty() || self.may_be_full() {
                    true if self.held.is_some() => Ok(self.ask_for_proof()),
                    true => Ok(None),
                    false => Err(self.unasked()),
                };
            };
            let (tag, kind) = (request.tag, request.kind);
            if matches!(kind, Kind::Removed | Kind::Quit) {
                match self.skip(kind) {
                    Ok(true) => continue,
                    end => return end.map(|_| None),
                }
            }
            match self.decoder.decode_by_line(self.sending.keys(), kind != Kind::Cancelled) {
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.fail(error)),
                Ok(Some((reply, last))) => {
                    let is_sure = match &reply {
                        Reply::Refused(line) => self.on_error_line(line)?,
                        _ if self.written_count == 0 => self.check_begun(last)?,
                        _ => !self.decoder.is_in_doubt(),
                    };
                    if !is_sure {
                        self.hold(reply);
                        continue;
                    }
                    if last {
                        self.served = true;
                        if self.held.is_some() && self.decoder.expected().is_checked() {
                            self.pop_proof(kind);
                            self.confirm(kind.report(tag, reply, last));
                            return Ok(self.next_sure());
                        }
                        self.pop();
                    }
                    match kind {
                        Kind::Asked => return Ok(Some((tag, reply, last))),
                        Kind::Cancelled if last => return Ok(Some((tag, Reply::Cancelled, true))),
                        Kind::Cancelled | Kind::Removed | Kind::Quit | Kind::Proof => self.check()?,
                        Kind::Probe => self.on_probe(&reply)?,
                    }
                }
            }
        }
    }

    /// Whether the connection is still of use.
    #[cold]
    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Ends the front request, whose reply is complete.
    #[inline]
    fn pop(&mut self) {
        self.sending.keys().close();
        if let Some(done) = self.in_flight.pop_front() {
            self.first += 1;
            self.written_count = self.written_count.saturating_sub(1);
            self.sending.answered(&done);
        }
        if let Some(next) = self.in_flight.front() {
            self.sending.keys().open(next.keys as usize);
            self.decoder.expect(next.expected(self.first));
            // What is in the buffer already belongs to the next reply.
            self.front_from = self.bytes_in - self.decoder.unread() as u64;
        }
    }

    /// Ends the front request, whose reply proves the error lines before it. The connection's own `mn` comes after them
    /// and has no ticket.
    #[cold]
    fn pop_proof(&mut self, kind: Kind) {
        if kind == Kind::Proof {
            self.first -= 1;
        }
        self.pop();
    }

    /// Ends the front request if it was cancelled unwritten; nothing may come after a `quit`.
    #[cold]
    fn skip(&mut self, kind: Kind) -> Result<bool, Error> {
        match kind {
            Kind::Quit if self.decoder.is_empty() => Ok(false),
            Kind::Quit => Err(self.unasked()),
            _ => {
                self.pop();
                Ok(true)
            }
        }
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        // A server that has served before is one, and is there.
        self.given_up = self.served;
        error
    }

    /// Ends the connection for a reason that says nothing against the server.
    #[cold]
    fn give_up(&mut self, reason: &str) -> Error {
        let error = self.fail(Error::disconnected(reason));
        self.given_up = true;
        error
    }

    /// Whether the connection can be used for another call: no request is in flight, and no unexpected byte has come.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        let is_open = self.failed.is_none() && !self.ended && self.mode == Mode::Open;
        self.in_flight.is_empty() && is_open && self.is_flushed() && self.decoder.pending().is_empty()
    }

    /// Whether something that has come unasked could be taken for the reply to the next request: no request is under way, and
    /// the protocol has no check that would notice. Then a transport looks before it writes whether something has come, and
    /// closes the connection if it has.
    #[must_use]
    #[inline]
    pub fn needs_look(&self) -> bool {
        self.protocol == Protocol::Classic && self.served && !self.sending.has_begun()
    }

    /// Whether no further request should be submitted: the connection ends once the replies under way have come.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.mode == Mode::Leaving
    }

    /// Whether a request is under way, or a reply has to be drained.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.held.is_some() || self.in_flight.iter().any(InFlight::is_owed)
    }
}

/// The reason of a connection that the server has ended.
const ENDED: &str = "the server closed it";
/// The reason of a connection that the server is about to end.
const CLOSED_SOON: &str = "closed, because the server closes it after such an error";

#[cfg(test)]
mod tests;
