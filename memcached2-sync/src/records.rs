//! Records of servers, each on a connection of its own.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use memcached2_proto::opening::Endpoint;
use memcached2_proto::stream::{RecordStream, StreamCommand};
use memcached2_proto::tls::TlsSession;
use memcached2_proto::transport::ClosedFlag;
use memcached2_proto::{Error, Server};

use crate::opening::open;
use crate::stream::{Deadline, Stream, now};

/// The records of one server, or of several, one server after the other.
///
/// It is an iterator. Nothing happens until it is asked for a record: then a connection is opened, as for any other request, with TLS and
/// credentials, within the timeout of a call. While it is not asked, nothing is read, and the server waits. Dropping it closes the connection.
/// It counts neither for nor against the health of a server, and does not belong to the pool.
///
/// After an error the next server follows, if there is one. Once the client is closed, no further server is asked.
///
/// ```no_run
/// use memcached2_sync::{Client, Error};
///
/// let client = Client::new(["cache1", "cache2"])?;
/// let mut items = client.metadump();
/// while let Some(item) = items.next() {
///     match item {
///         Ok(item) => println!("{} expires at {:?}", item.key.escape_ascii(), item.exptime),
///         // `Error::Refused` of a server that dumps for another client, `Error::Timeout` of one that is silent, and so on.
///         Err(error) => eprintln!("not all of {:?}: {error}", items.server().map(|server| server.name())),
///     }
/// }
/// # Ok::<(), Error>(())
/// ```
#[must_use = "nothing is asked until it is iterated over"]
pub struct Records<C: StreamCommand> {
    command: C,
    servers: VecDeque<Target>,
    /// Whether the client is.
    is_closed: ClosedFlag,
    current: Option<Target>,
    open: Option<Box<Open<C>>>,
    idle: Option<Duration>,
    /// What came when it was opened.
    peeked: Option<C::Record>,
}

/// A server to be asked.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: Server,
    pub(crate) endpoint: Arc<Endpoint>,
    /// How long opening may take.
    pub(crate) within: Duration,
}

struct Open<C: StreamCommand> {
    socket: Stream,
    tls: Option<TlsSession>,
    stream: RecordStream<C>,
}

impl<C: StreamCommand> Records<C> {
    pub(crate) fn new(command: C, servers: VecDeque<Target>, is_closed: ClosedFlag) -> Self {
        let idle = command.idle_timeout();
        Self { command, servers, is_closed, current: None, open: None, idle, peeked: None }
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
    pub fn open(&mut self) -> Result<(), Error> {
        if self.peeked.is_none() {
            self.peeked = self.advance(true).transpose()?.flatten();
        }
        Ok(())
    }

    /// The next record. `Some(Ok(None))` says that the server has begun, if `until_begun`.
    fn advance(&mut self, until_begun: bool) -> Option<Result<Option<C::Record>, Error>> {
        loop {
            let next = match &mut self.open {
                Some(open) => open.next(self.idle, until_begun),
                None => match self.connect()? {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            match next {
                Ok(None) if self.open.as_ref().is_none_or(|open| open.stream.has_ended()) => self.open = None,
                Ok(record) => return Some(Ok(record)),
                Err(error) => {
                    self.open = None;
                    let server = self.current.as_ref().map(|target| target.server.name());
                    return Some(Err(error.of_stream(self.command.name(), server)));
                }
            }
        }
    }

    /// Opens a connection to the next server; `None` if there is none.
    fn connect(&mut self) -> Option<Result<(), Error>> {
        let target = self.current.insert(self.servers.pop_front()?);
        if self.is_closed.get() {
            return Some(Err(Error::closed()));
        }
        let mut deadline = Deadline::new(now(), target.within);
        let opened = open(&target.endpoint, &mut deadline).and_then(|(socket, opened)| {
            let limits = target.endpoint.connection_options().limits;
            Ok(Open { socket, tls: opened.tls, stream: RecordStream::new(self.command.clone(), limits)? })
        });
        Some(opened.map(|opened| self.open = Some(Box::new(opened))))
    }
}

impl<C: StreamCommand> Open<C> {
    /// The next record; none if it has ended, or has begun and that is waited for.
    fn next(&mut self, idle: Option<Duration>, until_begun: bool) -> Result<Option<C::Record>, Error> {
        loop {
            let record = self.stream.next_record()?;
            if record.is_some() || self.stream.has_ended() || (until_begun && self.stream.has_begun()) {
                return Ok(record);
            }
            self.exchange(idle).map_err(|error| error.of_landed(self.stream.landed()))?;
        }
    }

    /// Writes what there is, and reads once.
    fn exchange(&mut self, idle: Option<Duration>) -> Result<(), Error> {
        let Self { socket, tls, stream } = self;
        let mut deadline = Deadline::until(idle.map(|idle| now() + idle));
        let Some(tls) = tls else {
            while !stream.unwritten().is_empty() {
                let n = socket.write_waiting(&[IoSlice::new(stream.unwritten())], &mut deadline)?;
                stream.advance_written(n);
            }
            let n = socket.read_waiting(stream.read_buf(), &mut deadline)?;
            stream.advance_read(n);
            return Ok(());
        };
        tls.write_stream(stream, |slices| socket.write_waiting(slices, &mut deadline))?;
        loop {
            let decrypted = tls.decrypt(stream.read_buf()).map_err(|error| Error::lost(&error, stream.landed()))?;
            if let Some(n) = decrypted {
                stream.advance_read(n);
                return Ok(());
            }
            let n = socket.read_waiting(tls.read_buf(), &mut deadline)?;
            tls.advance_read(n);
        }
    }
}

impl<C: StreamCommand> Iterator for Records<C> {
    type Item = Result<C::Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.peeked.take() {
            Some(record) => Some(Ok(record)),
            None => self.advance(false).and_then(Result::transpose),
        }
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
