//! The state machine of one connection: requests out, replies in, and which reply belongs to which request.
//!
//! For embedders with their own event loop; the guide `embedding` begins with it.

mod feed;
mod held;
mod in_flight;
mod known;
mod options;
mod pending;
mod probe;
mod read;
mod refusal;
mod send_window;
#[cfg(feature = "tls")]
mod tls_records;
mod typed;
mod write;

use std::collections::VecDeque;
#[cfg(feature = "routing")]
use std::sync::Arc;

use self::held::Held;
use self::in_flight::{InFlight, Kind};
pub use self::known::KnownProtocol;
pub use self::options::ConnectionOptions;
pub use self::pending::Abandoned;
use self::probe::Probe;
#[cfg(feature = "routing")]
pub(crate) use self::refusal::{full_server, is_of_full_server};
use self::send_window::SendWindow;
#[cfg(feature = "tls")]
pub(crate) use self::tls_records::RecordSource;
pub use self::typed::{Pending, TypedConnection};
use crate::command::{Command, Protocol};
#[cfg(feature = "routing")]
use crate::destination::Destination;
use crate::error::{Error, Landed};
use crate::limits::Limits;
use crate::reply::{Decoder, Expected, Opaque, ReplyKind};
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
    /// Where it is connected to, if that is known.
    #[cfg(feature = "routing")]
    peer: Option<Arc<Destination>>,
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
    /// A connection that refuses what exceeds `limits` and speaks the classic protocol.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut sending = SendWindow::default();
        *sending.buffer() = RequestBuffer::new(None, limits.sent_value);
        Self {
            sending,
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
            #[cfg(feature = "routing")]
            peer: None,
        }
    }

    /// Says where it is connected to, for an observer.
    #[cfg(feature = "routing")]
    pub(crate) fn set_peer(&mut self, peer: Option<Arc<Destination>>) {
        self.peer = peer;
    }

    /// Where it is connected to, if that is known.
    #[cfg(feature = "routing")]
    pub(crate) fn peer(&self) -> Option<&Arc<Destination>> {
        self.peer.as_ref()
    }

    /// A connection that behaves as `options` say. Unless they name a protocol it speaks the classic one, until a
    /// [probe](Connection::probe) has shown that the server speaks meta.
    #[must_use]
    pub fn with_options(options: &ConnectionOptions) -> Self {
        let mut connection = Self::new(options.limits);
        connection.protocol = options.protocol.unwrap_or_default();
        *connection.sending.buffer() = options.request_buffer();
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
    #[cfg(feature = "routing")]
    #[inline]
    pub(crate) fn append_from(&mut self, buffer: &mut RequestBuffer) {
        self.sending.append_from(buffer);
        buffer.requests.drain(..).for_each(|request| self.enqueue(request, Kind::Asked));
    }

    #[inline]
    fn enqueue(&mut self, request: Request, kind: Kind) {
        let Request { tag, reply_kind, keys, fence, length } = request;
        if self.in_flight.is_empty() {
            self.sending.keys().open_pushed(keys as usize);
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

    /// Whether a reply has ever come.
    #[cfg(feature = "routing")]
    pub(crate) fn has_served(&self) -> bool {
        self.served
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
#[cfg(feature = "routing")]
mod tests;
