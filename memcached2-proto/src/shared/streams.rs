//! Records of servers, each on a connection of its own.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::driver::{exchange_bytes, write};
use super::{AsyncStream, AsyncTimer, Connector};
use crate::error::Error;
use crate::opening::{Endpoint, Opening, Step};
use crate::replaceable::ClosedFlag;
use crate::stream::{RecordStream, StreamCommand};
use crate::time::{Instant, Now};
use crate::tls::TlsSession;
use crate::uri::Server;

/// The records of one server, or of several, one server after the other.
///
/// It is a [`Stream`](futures_core::Stream), and has [`Records::next`] for those who need no more. Nothing happens until it is polled: then a
/// connection is opened, as for any other request, with TLS and credentials, within the timeout of a call. While it is not polled, nothing is read,
/// and the server waits. Dropping it closes the connection. It counts neither for nor against the health of a server, and does not belong to
/// the connections of the client.
///
/// After an error the next server follows, if there is one. Once the client is closed, no further server is asked.
#[must_use = "nothing is asked until it is polled"]
pub struct Records<C: StreamCommand> {
    command: C,
    open: OpenStream,
    servers: VecDeque<Target>,
    /// Whether the client is.
    is_closed: ClosedFlag,
    current: Option<Target>,
    state: State<C>,
    idle: Option<Duration>,
    /// What came when it was opened.
    peeked: Option<C::Record>,
}

/// A server to be asked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) server: Server,
    pub(super) endpoint: Arc<Endpoint>,
    /// How long opening may take.
    pub(super) within: Duration,
}

enum State<C: StreamCommand> {
    Between,
    Opening(StreamOpening),
    Open(Box<Open<C>>),
}

/// Opens a connection to a server, within a time.
pub type OpenStream = Arc<dyn Fn(Arc<Endpoint>, Duration) -> StreamOpening + Send + Sync>;

/// A connection that is being opened.
pub type StreamOpening = Pin<Box<dyn Future<Output = Result<StreamConnection, Error>> + Send>>;

/// A connection that was opened, and belongs to one caller.
pub struct StreamConnection {
    socket: Box<dyn AsyncStream + Send>,
    tls: Option<TlsSession>,
    timer: Box<dyn AsyncTimer + Send>,
}

struct Open<C: StreamCommand> {
    connection: StreamConnection,
    stream: RecordStream<C>,
    /// Until when the server must have said something, once it is waited for.
    idle_until: Option<Instant>,
}

/// Opens a connection: all that a transport does for [`Records`], with its sockets and its timer.
///
/// # Errors
///
/// Those of [`Opening::step`].
pub async fn open_stream<C: Connector<Stream: Send + 'static>>(
    connector: C,
    mut timer: impl AsyncTimer + Send + 'static,
    endpoint: Arc<Endpoint>,
    now: Now,
    within: Duration,
) -> Result<StreamConnection, Error> {
    let begun = timer.now();
    let mut opening = Opening::new(&endpoint, now.at(begun), Some(begun + within));
    let mut socket = None;
    loop {
        match (opening.step()?, &mut socket) {
            (Step::Ready, _) => break,
            (Step::Resolve { host, port }, _) => {
                let found = meanwhile(connector.resolve(&endpoint, host, port), &mut opening, &mut timer).await;
                found.into_iter().for_each(|found| opening.resolved(found, timer.now()));
            }
            (Step::Connect(destination), _) => {
                socket = None;
                let connected = meanwhile(connector.connect(&endpoint, destination), &mut opening, &mut timer).await;
                let connected = connected.map(|connected| connected.map(|connected| socket = Some(connected)));
                connected.into_iter().for_each(|connected| opening.connected(connected, timer.now()));
            }
            (Step::Exchange, Some(socket)) => {
                poll_fn(|cx| match exchange_bytes(&mut opening, cx, socket, &timer) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => poll_deadline(&mut opening, cx, &mut timer),
                })
                .await;
            }
            (Step::Exchange, None) => return Err(Error::closed()),
        }
    }
    let socket = socket.ok_or_else(Error::closed)?;
    Ok(StreamConnection { socket: Box::new(socket), tls: opening.finish().tls, timer: Box::new(timer) })
}

/// Waits for a step, and keeps its deadline. `None`: it is over without it.
async fn meanwhile<T>(step: impl Future<Output = T>, opening: &mut Opening, timer: &mut impl AsyncTimer) -> Option<T> {
    let mut step = pin!(step);
    poll_fn(|cx| match step.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => poll_deadline(opening, cx, timer).map(|()| None),
    })
    .await
}

/// `Ready` when the deadline of the step has passed.
fn poll_deadline(opening: &mut Opening, cx: &mut Context<'_>, timer: &mut impl AsyncTimer) -> Poll<()> {
    loop {
        let Some(by) = opening.deadline() else { return Poll::Pending };
        let now = ready!(timer.poll_until(cx, by));
        if opening.on_deadline(now) {
            return Poll::Ready(());
        }
    }
}

impl<C: StreamCommand> Records<C> {
    pub(super) fn new(command: C, open: OpenStream, servers: VecDeque<Target>, is_closed: ClosedFlag) -> Self {
        let idle = command.idle_timeout();
        Self { command, open, servers, is_closed, current: None, state: State::Between, idle, peeked: None }
    }

    /// Sets how long the server may be silent while it is waited for, or `None` for any time. Default: 30 seconds for a dump, and no limit for a
    /// watch. A server that is silent for longer is [`Error::Timeout`].
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle = timeout;
        self
    }

    /// The server that is read from, or was read from last.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        self.current.as_ref().map(|target| &target.server)
    }

    /// Connects to the first server, and waits until it has begun to answer. What happens in it from then on, a watch reports.
    ///
    /// # Errors
    ///
    /// Those of every call; [`Error::Refused`] if the server does not do it.
    pub async fn open(&mut self) -> Result<(), Error> {
        if self.peeked.is_none() {
            let opened = poll_fn(|cx| self.poll_any(cx, true)).await;
            self.peeked = opened.transpose()?.flatten();
        }
        Ok(())
    }

    /// The next record; `None` after the last one.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), [`Error::Timeout`] of a server that is silent, [`Error::Disconnected`] and
    /// [`Error::Protocol`]. After each the next server follows.
    pub async fn next(&mut self) -> Option<Result<C::Record, Error>> {
        poll_fn(|cx| self.poll_record(cx)).await
    }

    fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<C::Record, Error>>> {
        if let Some(record) = self.peeked.take() {
            return Poll::Ready(Some(Ok(record)));
        }
        self.poll_any(cx, false).map(|next| next.and_then(Result::transpose))
    }

    /// The next record. `Some(Ok(None))` says that the server has begun, if `until_begun`.
    fn poll_any(&mut self, cx: &mut Context<'_>, until_begun: bool) -> Poll<Option<Result<Option<C::Record>, Error>>> {
        loop {
            let next = match &mut self.state {
                State::Between => {
                    let Some(target) = self.servers.pop_front() else { return Poll::Ready(None) };
                    let is_closed = self.is_closed.get();
                    if !is_closed {
                        self.state = State::Opening((self.open)(Arc::clone(&target.endpoint), target.within));
                    }
                    self.current = Some(target);
                    match is_closed {
                        true => Err(Error::closed()),
                        false => continue,
                    }
                }
                State::Opening(opening) => {
                    match ready!(opening.as_mut().poll(cx)).and_then(|opened| self.begin(opened)) {
                        Ok(open) => {
                            self.state = State::Open(Box::new(open));
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
                State::Open(open) => match ready!(open.poll(cx, self.idle, until_begun)) {
                    Ok(None) if open.stream.has_ended() => {
                        self.state = State::Between;
                        continue;
                    }
                    next => next,
                },
            };
            return Poll::Ready(Some(next.map_err(|error| {
                self.state = State::Between;
                let server = self.server().map(Server::shared_name);
                error.of_request(self.command.name(), None, server)
            })));
        }
    }

    fn begin(&self, connection: StreamConnection) -> Result<Open<C>, Error> {
        let limits = self.current.as_ref().map(|target| target.endpoint.connection_options().limits);
        let stream = RecordStream::new(self.command.clone(), limits.unwrap_or_default())?;
        Ok(Open { connection, stream, idle_until: None })
    }
}

impl<C: StreamCommand> Open<C> {
    /// The next record; none if it has ended, or has begun and that is waited for.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        idle: Option<Duration>,
        until_begun: bool,
    ) -> Poll<Result<Option<C::Record>, Error>> {
        loop {
            let record = self.stream.next_record()?;
            if record.is_some() || self.stream.has_ended() || (until_begun && self.stream.has_begun()) {
                return Poll::Ready(Ok(record));
            }
            match self.poll_exchange(cx) {
                Poll::Ready(Ok(())) => self.idle_until = None,
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::lost(&error, self.stream.landed()))),
                Poll::Pending => {
                    let Some(idle) = idle else { return Poll::Pending };
                    let timer = &mut self.connection.timer;
                    let until = *self.idle_until.get_or_insert_with(|| timer.now() + idle);
                    ready!(timer.poll_until(cx, until));
                    return Poll::Ready(Err(Error::timeout(self.stream.landed())));
                }
            }
        }
    }

    /// Writes what there is, and reads once.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { connection: StreamConnection { socket, tls, .. }, stream, .. } = self;
        let Some(tls) = tls else {
            while !stream.unwritten().is_empty() {
                let n = write(&mut **socket, cx, &[IoSlice::new(stream.unwritten())])?;
                if n == 0 {
                    break;
                }
                stream.advance_written(n);
            }
            let n = ready!(socket.poll_read(cx, stream.read_buf()))?;
            stream.advance_read(n);
            return Poll::Ready(Ok(()));
        };
        tls.write_stream(stream, |slices| write(&mut **socket, cx, slices))?;
        loop {
            if let Some(n) = tls.decrypt(stream.read_buf())? {
                stream.advance_read(n);
                return Poll::Ready(Ok(()));
            }
            let n = ready!(socket.poll_read(cx, tls.read_buf()))?;
            tls.advance_read(n);
        }
    }
}

impl<C: StreamCommand> futures_core::Stream for Records<C> {
    type Item = Result<C::Record, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_record(cx)
    }
}

impl<C: StreamCommand + Debug> Debug for Records<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("command", &self.command)
            .field("server", &self.server())
            .finish_non_exhaustive()
    }
}

impl Debug for StreamConnection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("StreamConnection")
    }
}
