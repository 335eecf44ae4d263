//! A server that is slow, full or unreliable.

use std::time::Duration;

/// Holds what goes wrong with an [`EmbeddedServer`](crate::EmbeddedServer), until a test sets other faults.
///
/// Faults can be combined. [`Faults::none`] makes the server healthy again.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use memcached2_testkit::{EmbeddedServer, Faults};
///
/// let server = EmbeddedServer::start();
/// let mut socket = TcpStream::connect(server.address())?;
/// let mut answer = [0; 8];
///
/// server.set_faults(Faults::none().refuse());
/// assert!(TcpStream::connect(server.address()).is_err());
/// // Connections that are open go on.
/// socket.write_all(b"set key 0 0 1\r\n1\r\n")?;
/// socket.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"STORED\r\n");
///
/// server.set_faults(Faults::none());
/// assert!(TcpStream::connect(server.address()).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Faults {
    pub(super) refuses: bool,
    pub(super) max_connections: Option<usize>,
    pub(super) is_full: bool,
    /// Of one command, or of all.
    delays: Vec<(Option<String>, Duration)>,
    pub(super) close_after: Option<u64>,
    pub(super) close_after_bytes: Option<u64>,
}

impl Faults {
    /// Returns no faults: all goes well.
    pub fn none() -> Self {
        Self::default()
    }

    /// Delays every answer, also those to what a client asks when it connects.
    ///
    /// Requests are carried out when they come, and answered this much later, by the clock of the machine: what
    /// follows on the same connection is read after that. Other connections do not wait. [`Duration::MAX`] is for
    /// ever. Answers that wait are sent when other faults are set.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    /// use memcached2_testkit::{EmbeddedServer, Faults};
    ///
    /// let server = EmbeddedServer::start();
    /// server.set_faults(Faults::none().delay(Duration::MAX));
    /// let mut socket = TcpStream::connect(server.address())?;
    /// socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// socket.write_all(b"get key\r\n")?;
    /// assert!(socket.read(&mut [0; 5]).is_err(), "a timeout");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn delay(mut self, by: Duration) -> Self {
        self.delays.push((None, by));
        self
    }

    /// Delays the answers to one command alone, named as in [`Request::command`](crate::Request::command).
    ///
    /// If several delays hold for a command, the longest counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memcached2_testkit::embedded::Core;
    /// use memcached2_testkit::Faults;
    ///
    /// let mut core = Core::new(1_800_000_000);
    /// core.set_faults(Faults::none().delay_of("get", Duration::from_secs(2)));
    /// let mut session = core.connect();
    /// session.feed(&mut core, b"mg key v\r\n", 1_800_000_000);
    /// assert_eq!(session.delay(), Duration::from_secs(2));
    /// session.feed(&mut core, b"delete key\r\n", 1_800_000_000);
    /// assert_eq!(session.delay(), Duration::ZERO);
    /// ```
    pub fn delay_of(mut self, command: &str, by: Duration) -> Self {
        self.delays.push((Some(command.to_owned()), by));
        self
    }

    /// Refuses new connections, as a machine does on which no server listens. Open connections stay.
    pub fn refuse(mut self) -> Self {
        self.refuses = true;
        self
    }

    /// Takes no more than this many connections, as memcached does with `-c`: a further one is told `ERROR Too many
    /// open connections` and closed. Those that are open stay, even if they are more.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::net::TcpStream;
    /// use memcached2_testkit::{EmbeddedServer, Faults};
    ///
    /// let server = EmbeddedServer::start();
    /// server.set_faults(Faults::none().max_connections(0));
    /// let mut answer = String::new();
    /// TcpStream::connect(server.address())?.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "ERROR Too many open connections\r\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Answers this many requests of each connection, and closes it when the next one comes, which is not carried out.
    ///
    /// Requests count from when the fault is set, those that [`EmbeddedServer::asked`](crate::EmbeddedServer::asked)
    /// shows: what a client asks when it connects does not.
    ///
    /// ```
    /// use memcached2_testkit::embedded::Core;
    /// use memcached2_testkit::Faults;
    ///
    /// let mut core = Core::new(1_800_000_000);
    /// core.set_faults(Faults::none().close_after(1));
    /// let mut session = core.connect();
    /// session.feed(&mut core, b"get a\r\nget b\r\n", 1_800_000_000);
    /// assert_eq!(session.take_outgoing().as_deref(), Some(&b"END\r\n"[..]));
    /// assert!(session.is_closed());
    /// ```
    pub fn close_after(mut self, requests: u64) -> Self {
        self.close_after = Some(requests);
        self
    }

    /// Closes each connection once it was sent this many bytes of answers, in the middle of one if need be.
    ///
    /// Bytes count as the requests of [`Faults::close_after`] do.
    ///
    /// ```
    /// use memcached2_testkit::embedded::Core;
    /// use memcached2_testkit::Faults;
    ///
    /// let mut core = Core::new(1_800_000_000);
    /// let mut session = core.connect();
    /// session.feed(&mut core, b"set key 0 0 5\r\nvalue\r\n", 1_800_000_000);
    /// assert_eq!(session.take_outgoing().as_deref(), Some(&b"STORED\r\n"[..]));
    ///
    /// core.set_faults(Faults::none().close_after_bytes(18));
    /// session.feed(&mut core, b"get key\r\n", 1_800_000_000);
    /// assert_eq!(session.take_outgoing().as_deref(), Some(&b"VALUE key 0 5\r\nval"[..]));
    /// assert!(session.is_closed());
    /// ```
    pub fn close_after_bytes(mut self, bytes: u64) -> Self {
        self.close_after_bytes = Some(bytes);
        self
    }

    /// Has no memory for items: what is to be stored fails with `SERVER_ERROR out of memory storing object`.
    ///
    /// As in memcached, an old value of the same key may be gone then. Counters that are there, touches and deletes work. An `ma` that
    /// would make a counter fails with `SERVER_ERROR Out of memory allocating new item`, and an `mg` makes no item: it finds none.
    ///
    /// ```
    /// use memcached2_testkit::embedded::Core;
    /// use memcached2_testkit::Faults;
    ///
    /// let mut core = Core::new(1_800_000_000);
    /// core.set_faults(Faults::none().full());
    /// let mut session = core.connect();
    /// session.feed(&mut core, b"set key 0 0 5\r\nvalue\r\n", 1_800_000_000);
    /// let answer = &b"SERVER_ERROR out of memory storing object\r\n"[..];
    /// assert_eq!(session.take_outgoing().as_deref(), Some(answer));
    /// ```
    pub fn full(mut self) -> Self {
        self.is_full = true;
        self
    }

    /// How long the answer to a command waits.
    pub(super) fn delay_to(&self, command: &str) -> Duration {
        let of_command = |of: &Option<String>| of.as_ref().is_none_or(|of| of == command);
        let delays = self.delays.iter().filter(|(of, _)| of_command(of)).map(|(_, by)| *by);
        delays.max().unwrap_or_default()
    }
}
