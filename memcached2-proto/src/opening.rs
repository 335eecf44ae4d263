//! From the address of a server to a connection that is ready for requests.
//!
//! For embedders with their own event loop, and for authors of a transport.

mod attempts;
mod authentication;
mod endpoint;
mod exchange;
mod opened;
mod silence;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::attempts::ConnectAttempts;
use self::authentication::Authentication;
pub use self::endpoint::Endpoint;
use crate::command::Protocol;
use crate::connection::{Connection, KnownProtocol};
pub use crate::destination::Destination;
use crate::error::{Error, Landed};
use crate::lookup::Lookup;
use crate::time::{Instant, Now};
use crate::tls::TlsSession;
use crate::uri::Address;

/// Opens one connection to a server: looks its name up, connects to one of its addresses, agrees on TLS if
/// the server is written `memcacheds://`, gives it [credentials](crate::credentials) if there are any, and asks which protocol
/// it speaks.
///
/// It does no I/O and reads no clock. A transport does what [`Opening::step`] says, and reports what came of it:
///
/// | step | what the transport does | what it reports |
/// |---|---|---|
/// | [`Resolve`](Step::Resolve) | looks the name of the server up | [`Opening::resolved`] |
/// | [`Connect`](Step::Connect) | closes the socket that it has, if there is one, and connects another one | [`Opening::connected`] |
/// | [`Exchange`](Step::Exchange) | writes by [`Opening::write_with`], and reads into [`Opening::read_buf`]; or both by [`Opening::exchange`] | [`Opening::advance_read`], [`Opening::failed`] |
/// | [`Ready`](Step::Ready) | takes the connection by [`Opening::finish`] | |
/// | an error | writes once more by [`Opening::write_with`], if there is a socket: TLS tells the server why | |
///
/// No step may take longer than until [`Opening::deadline`]; when that has passed, it calls [`Opening::on_deadline`]. A
/// server that closes the connection because of the probe, or is silent, is connected to again without a probe: then
/// the step is `Resolve` or `Connect` again.
///
/// ```
/// use std::io;
/// use std::net::{TcpStream, ToSocketAddrs};
/// use std::sync::Arc;
/// use std::time::SystemTime;
/// use memcached2_proto::opening::{Destination, Endpoint, Opened, Opening, Step};
/// use memcached2_proto::{Error, Instant, Now};
///
/// fn now() -> Instant {
///     std::time::Instant::now().into()
/// }
///
/// fn open(endpoint: &Arc<Endpoint>) -> Result<(TcpStream, Opened), Error> {
///     let mut opening = Opening::new(endpoint, Now::new(now(), SystemTime::now), None);
///     let mut socket = None;
///     loop {
///         match (opening.step()?, &mut socket) {
///             (Step::Resolve { host, port }, _) => {
///                 let found = (host, port).to_socket_addrs().map(Iterator::collect);
///                 opening.resolved(found, now());
///             }
///             (Step::Connect(Destination::Tcp(address)), _) => {
///                 let left = opening.deadline().expect("connecting has one") - now();
///                 let connected = TcpStream::connect_timeout(&address, left);
///                 opening.connected(connected.map(|stream| socket = Some(stream)), now());
///             }
///             // One that cannot be interrupted: a transport has to keep the deadline.
///             (Step::Exchange, Some(socket)) => opening.exchange(socket, now()),
///             (Step::Ready, Some(_)) => break,
///             _ => return Err(Error::connect(&io::ErrorKind::Unsupported.into())),
///         }
///     }
///     Ok((socket.expect("it was connected"), opening.finish()))
/// }
/// ```
#[derive(Debug)]
pub struct Opening {
    endpoint: Arc<Endpoint>,
    connection: Connection,
    tls: Option<TlsSession>,
    /// Since the server has answered a part of what was written last: until when the rest must come.
    answer_by: Option<Instant>,
    stage: Stage,
    /// When it began.
    now: Now,
    /// Until when the server must have been connected to.
    connect_by: Instant,
    /// Until when the whole of it must be done, whatever else is left.
    until: Option<Instant>,
    is_connected: bool,
    /// Where the socket is connected to.
    peer: Option<Arc<Destination>>,
    /// Since when the server has said nothing.
    silent_since: Instant,
    /// How long the server may be silent after the probe, if that is limited.
    probe_within: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look up a name, and report its addresses by [`Opening::resolved`]. Several connections to one server share the
    /// [look-up](Endpoint::lookup).
    Resolve {
        /// The name.
        host: String,
        /// The port, which each of the addresses has.
        port: u16,
    },
    /// Connect, and report the result to [`Opening::connected`]. Close an earlier socket.
    Connect(Destination),
    /// Write, and read.
    Exchange,
    /// Nothing: the connection is ready.
    Ready,
}

/// What has been opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// It is ready for requests.
    pub connection: Connection,
    /// What stands between it and the socket, if the server is connected to by TLS.
    pub tls: Option<TlsSession>,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// The name is looked up.
    Resolve,
    /// An address is connected to, until then; the only one, if there are no attempts.
    Connect(Destination, Instant, Option<ConnectAttempts>),
    /// The handshake of TLS is under way.
    Tls,
    /// The server gets credentials, if it asks for them.
    Authenticate(Box<Authentication>),
    /// The server is asked for its protocol, and has to say something until then, if it has to.
    Probe(Option<Instant>),
    /// Since then.
    Ready(Instant),
    Failed(Error),
}

impl Opening {
    /// Begins to open a connection at the moment `now`, which may take no longer than `until`, whatever the options of the
    /// endpoint say.
    #[must_use]
    pub fn new(endpoint: &Arc<Endpoint>, now: Now, until: Option<Instant>) -> Self {
        let (connection, probe_within) = endpoint.known().begin(endpoint.connection_options(), now);
        let mut opening = Self {
            endpoint: Arc::clone(endpoint),
            connection,
            tls: None,
            answer_by: None,
            stage: Stage::Resolve,
            now,
            connect_by: now.monotonic,
            until,
            is_connected: false,
            peer: None,
            silent_since: now.monotonic,
            probe_within,
        };
        opening.first_step(now.monotonic);
        opening
    }

    /// What to do next.
    ///
    /// # Errors
    ///
    /// Why the connection cannot be opened: [`Error::Connect`], [`Error::Tls`], [`Error::Disconnected`], [`Error::Protocol`],
    /// [`Error::Refused`] if the server wants credentials and there are none, [`Error::NoCredentials`],
    /// [`Error::CredentialsRefused`], [`Error::CredentialsNotWanted`], or [`Error::Timeout`] if there was no time to begin with.
    pub fn step(&self) -> Result<Step, Error> {
        match &self.stage {
            Stage::Resolve => match self.endpoint.address() {
                Address::Tcp { host, port } => Ok(Step::Resolve { host: host.clone(), port: *port }),
                Address::Unix(path) => Ok(Step::Connect(Destination::Unix(path.clone()))),
            },
            Stage::Connect(destination, ..) => Ok(Step::Connect(destination.clone())),
            Stage::Tls | Stage::Authenticate(_) | Stage::Probe(_) => Ok(Step::Exchange),
            Stage::Ready(_) => Ok(Step::Ready),
            Stage::Failed(error) => Err(error.clone()),
        }
    }

    /// Until when the step has to be done; then [`Opening::on_deadline`] decides. `None`: there is no limit, or nothing is left to
    /// be done.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Resolve | Stage::Tls => Some(self.connect_by),
            Stage::Connect(_, by, _) => Some(*by),
            Stage::Authenticate(_) => self.answer_by.into_iter().chain(self.until).min(),
            Stage::Probe(by) => by.iter().copied().chain(self.answer_by).chain(self.until).min(),
            Stage::Ready(_) | Stage::Failed(_) => None,
        }
    }

    /// Ends the step if its deadline has passed, and returns whether it has: then [`Opening::step`] says what comes next, and
    /// what was under way is of no use any more.
    pub fn on_deadline(&mut self, now: Instant) -> bool {
        if self.deadline().is_none_or(|by| by > now) {
            return false;
        }
        match &self.stage {
            Stage::Resolve => {
                let late = io::Error::new(ErrorKind::TimedOut, "the name was not looked up in time");
                self.stage = Stage::Failed(self.too_late(&late, now));
            }
            Stage::Connect(..) => self.connected(Err(ErrorKind::TimedOut.into()), now),
            #[cfg(feature = "tls")]
            Stage::Tls => {
                let late = io::Error::new(ErrorKind::TimedOut, crate::tls::LATE);
                self.stage = Stage::Failed(self.too_late(&late, now));
            }
            // A caller whose deadline has passed proves nothing about the server.
            _ => match self.speaks_classic_instead(true, now) {
                true => self.begin(now),
                false => self.stage = Stage::Failed(self.too_late(&KnownProtocol::silence(), now)),
            },
        }
        true
    }

    /// The name was looked up: its addresses, which are tried in this order.
    pub fn resolved(&mut self, addresses: io::Result<Arc<[SocketAddr]>>, now: Instant) {
        if !matches!(self.stage, Stage::Resolve) {
            return;
        }
        match addresses {
            Ok(addresses) => self.connect_next(ConnectAttempts::new(addresses, self.connect_by), now),
            Err(error) => self.stage = Stage::Failed(self.unconnected(&error, now)),
        }
    }

    /// The socket is connected, or cannot be: then the next address is tried, if there is one.
    pub fn connected(&mut self, result: io::Result<()>, now: Instant) {
        let Stage::Connect(destination, _, attempts) = &mut self.stage else { return };
        let attempts = attempts.take();
        self.is_connected = result.is_ok();
        if self.is_connected {
            self.silent_since = now;
            self.peer = destination.is_known().then(|| Arc::new(destination.clone()));
        }
        match (result, attempts) {
            (Ok(()), _) => match self.endpoint.begin_tls() {
                Ok(None) => self.secured(now),
                Ok(tls) => (self.tls, self.stage) = (tls, Stage::Tls),
                Err(error) => self.stage = Stage::Failed(error),
            },
            (Err(error), None) => self.stage = Stage::Failed(self.unconnected(&error, now)),
            (Err(error), Some(mut attempts)) => {
                attempts.failed(error);
                self.connect_next(attempts, now);
            }
        }
    }

    /// The socket is connected, and encrypted if it has to be. Credentials come before anything else.
    fn secured(&mut self, now: Instant) {
        match &self.endpoint.options().credentials {
            Some(source) => self.stage = Stage::Authenticate(Box::new(Authentication::new(source.clone()))),
            None => self.probe(now),
        }
    }

    /// Asks the server for its protocol, unless that is known.
    fn probe(&mut self, now: Instant) {
        self.stage = match self.connection.is_probing() {
            true => Stage::Probe(self.probe_within.map(|within| now + within)),
            false => {
                self.endpoint.silence().end();
                Stage::Ready(now)
            }
        };
    }

    /// The protocol that the connection speaks, if that is known before anything was exchanged.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        (!self.connection.is_probing()).then(|| self.connection.protocol())
    }

    /// Whether the server has been connected to.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether the server was asked something and has said nothing since, for as long as it may take to connect.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Tls | Stage::Authenticate(_) | Stage::Probe(_))
            && self.answer_by.is_none()
            && now.saturating_duration_since(self.silent_since) >= self.endpoint.options().connect_timeout
    }

    /// The connection. It takes requests from now on, and belongs to the socket that was connected last.
    #[must_use]
    pub fn finish(mut self) -> Opened {
        self.endpoint.options().incidents.add();
        if let Stage::Ready(since) = self.stage {
            self.endpoint.on_connect(since.saturating_duration_since(self.now.monotonic));
        }
        self.connection.set_peer(self.peer);
        Opened { connection: self.connection, tls: self.tls }
    }

    /// Starts again, with the whole time to connect.
    fn begin(&mut self, now: Instant) {
        (self.connection, self.probe_within) =
            self.endpoint.known().begin(self.endpoint.connection_options(), self.now.at(now));
        self.first_step(now);
    }

    fn first_step(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.stage = Stage::Failed(Error::timeout(Landed::NotSent));
            return;
        }
        let endpoint = Arc::clone(&self.endpoint);
        (self.connect_by, self.silent_since) = (self.within_connect_timeout(now), now);
        (self.stage, self.is_connected, self.answer_by, self.tls) = (Stage::Resolve, false, None, None);
        match endpoint.address() {
            Address::Tcp { host, port } => {
                if let Some(address) = Lookup::literal(host, *port) {
                    self.resolved(Ok(Arc::new([address])), now);
                }
            }
            Address::Unix(path) => {
                self.stage = Stage::Connect(Destination::Unix(path.clone()), self.connect_by, None);
            }
        }
    }

    /// The first step is done from this moment on: the time to connect begins now, not when the caller began who needs the
    /// connection.
    pub(crate) fn start(&mut self, now: Instant) {
        (self.connect_by, self.silent_since) = (self.within_connect_timeout(now), now);
        if let Stage::Connect(_, by, attempts) = &mut self.stage {
            *by = self.connect_by;
            attempts.iter_mut().for_each(|attempts| attempts.set_deadline(self.connect_by));
        }
    }

    fn within_connect_timeout(&self, now: Instant) -> Instant {
        let by = now + self.endpoint.options().connect_timeout;
        self.until.map_or(by, |until| until.min(by))
    }

    fn connect_next(&mut self, mut attempts: ConnectAttempts, now: Instant) {
        self.stage = match attempts.next_address(now) {
            Ok((address, by)) => Stage::Connect(Destination::Tcp(address), by, Some(attempts)),
            Err(error) => Stage::Failed(self.unconnected(&error, now)),
        };
    }

    /// The error of a server that could not be connected to.
    fn unconnected(&self, error: &io::Error, now: Instant) -> Error {
        match error.kind() {
            ErrorKind::TimedOut => self.too_late(error, now),
            _ => Error::connect(error),
        }
    }

    /// The error of a step that has taken too long. That the time of the caller is over proves nothing about the server, unless
    /// callers have waited for it as long as connecting may take, one after the other.
    fn too_late(&self, late: &io::Error, now: Instant) -> Error {
        let waited = self.endpoint.silence().add(self.silent_since, now);
        match self.until {
            Some(until) if until <= now && waited < self.endpoint.options().connect_timeout => {
                Error::timeout(Landed::NotSent)
            }
            _ => Error::connect(late),
        }
    }

    /// The connection was lost, or is silent, before the server answered the probe. Returns whether another connection
    /// must be made, without a probe.
    fn speaks_classic_instead(&self, is_silent: bool, now: Instant) -> bool {
        matches!(self.stage, Stage::Probe(_))
            && self.until.is_none_or(|until| until > now)
            && self.endpoint.known().retries_classic(is_silent, now)
    }
}

#[cfg(test)]
mod tests;
