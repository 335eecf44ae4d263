//! The servers that cases run against: each case on both kinds.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use memcached2_proto::Protocol;
use memcached2_testkit::{EmbeddedServer, EmbeddedSetup, Memcached, MemcachedSetup};

use super::certificates::{Files, begin_tls, signed};
use super::setting::{HOUR, PATIENT, client};
use crate::subject::Client;

/// Which server a case runs against, and how it is connected to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) server: On,
    pub(super) channel: Channel,
    pub(super) case: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Embedded,
    Memcached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Tcp,
    Unix,
    Tls,
    TlsWithPassword,
}

const fn kind(server: On, channel: Channel) -> Kind {
    Kind { server, channel, case: "" }
}

/// The places of a kind of server: by each channel.
const fn places(server: On) -> [Kind; 4] {
    [
        kind(server, Channel::Tcp),
        kind(server, Channel::Unix),
        kind(server, Channel::Tls),
        kind(server, Channel::TlsWithPassword),
    ]
}

pub(super) const EMBEDDED: [Kind; 4] = places(On::Embedded);
pub(super) const MEMCACHED: [Kind; 4] = places(On::Memcached);

/// The user and password of servers that are connected to with them.
const CREDENTIALS: (&str, &str) = ("cases", "pass-word");

impl On {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "the embedded server",
            Self::Memcached => "memcached",
        }
    }
}

impl Channel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "by TCP",
            Self::Unix => "by Unix socket",
            Self::Tls => "by TLS",
            Self::TlsWithPassword => "by TLS with a password",
        }
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsWithPassword)
    }
}

/// A server of either kind.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    channel: Channel,
    /// An idle connection, to ask it for items again: a handshake of TLS takes longer than many answers.
    idle: Mutex<Option<Connection>>,
    /// Those of its certificate, which are removed when it is dropped.
    _files: Option<Files>,
}

/// A connection without a client.
struct Connection(BufReader<Box<dyn Stream>>);

#[derive(Debug)]
enum Process {
    Embedded(EmbeddedServer),
    Memcached(Memcached),
}

/// How a server is to be started.
enum Setup {
    Embedded(EmbeddedSetup),
    Memcached(MemcachedSetup),
}

impl Kind {
    /// A server over the channel.
    pub(super) fn start(self) -> Server {
        self.start_with(Memcached::with().threads(1), EmbeddedServer::with())
    }

    fn start_with(self, memcached: MemcachedSetup, embedded: EmbeddedSetup) -> Server {
        let setup = match self.server {
            On::Embedded => Setup::Embedded(embedded),
            On::Memcached => Setup::Memcached(memcached),
        };
        match self.channel {
            Channel::TlsWithPassword => setup.credentials(CREDENTIALS.0, CREDENTIALS.1).start(self.channel),
            channel => setup.start(channel),
        }
    }

    /// A server on a Unix socket.
    pub(super) fn start_on_unix_socket(self) -> Server {
        Self { channel: Channel::Unix, ..self }.start()
    }

    /// A server on IPv6, which not every machine has.
    fn start_on_ipv6(self) -> Option<Server> {
        UdpSocket::bind("[::1]:0").ok()?;
        let server = self.start_with(Memcached::with().threads(1).ipv6(), EmbeddedServer::with().ipv6());
        assert!(server.address().starts_with("[::1]:"));
        Some(server)
    }

    /// Servers on every kind of socket that serve only clients with this user and password.
    pub(super) fn start_with_credentials(self, user: &str, password: &str) -> Vec<Server> {
        let setup = || match self.server {
            On::Embedded => Setup::Embedded(EmbeddedServer::with()).credentials(user, password),
            On::Memcached => Setup::Memcached(Memcached::with().threads(1)).credentials(user, password),
        };
        let channel = if self.channel == Channel::TlsWithPassword { Channel::Tls } else { self.channel };
        let has_ipv6 = channel != Channel::Unix && UdpSocket::bind("[::1]:0").is_ok();
        let on_ipv6 = has_ipv6.then(|| setup().ipv6().start(channel));
        [setup().start(channel)].into_iter().chain(on_ipv6).collect()
    }

    /// A server that knows all flags of the meta commands, if it is the embedded one.
    pub(super) fn start_newest(self) -> Server {
        self.start_with(Memcached::with().threads(1), EmbeddedServer::with().version("1.6.45"))
    }

    /// A server with half a gigabyte for items, and as many threads as it likes.
    pub(super) fn start_large(self) -> Server {
        self.start_with(Memcached::with().args(["-m", "512"]), EmbeddedServer::with().memory_limit(512 << 20))
    }

    /// A server that counts how many items there are of each size.
    pub(super) fn start_counting_sizes(self) -> Server {
        let server = self.start_with(Memcached::with().args(["-o", "track_sizes"]), EmbeddedServer::with());
        if self.server == On::Embedded {
            ask(&server, "stats sizes_enable");
        }
        server
    }

    /// A server that a client can end.
    pub(super) fn start_allowing_shutdown(self) -> Server {
        self.start_with(Memcached::with().threads(1).args(["-A"]), EmbeddedServer::with().allow_shutdown())
    }

    /// This many servers, and their addresses.
    pub(super) fn servers(self, count: usize) -> (Vec<Server>, Vec<String>) {
        let servers: Vec<_> = (0..count).map(|_| self.start()).collect();
        let addresses = servers.iter().map(Server::address).collect();
        (servers, addresses)
    }

    /// The protocols that a server of this kind speaks, for clients with the option `protocol`.
    pub(super) fn protocols(self) -> &'static [Protocol] {
        let case = self.case;
        match self.server {
            On::Memcached if Memcached::is_too_old_for(&format!("{case} in meta"), (1, 6, 10)) => &[Protocol::Classic],
            _ => &[Protocol::Classic, Protocol::Meta],
        }
    }

    /// Runs a case over the channel; that of TCP by IPv6, too.
    pub(super) fn on_each_socket(self, case: impl Fn(&Client)) {
        let on_ipv6 = if self.channel == Channel::Tcp { self.start_on_ipv6() } else { None };
        [Some(self.start()), on_ipv6].into_iter().flatten().for_each(|server| case(&client(&[server.address()])));
    }
}

/// What a server is called that has this address.
pub(super) fn name(address: &str) -> &str {
    let (_, rest) = address.split_once("://").unwrap_or(("", address));
    rest.split_once('@').map_or(rest, |(_, rest)| rest)
}

impl Setup {
    fn credentials(self, user: &str, password: &str) -> Self {
        match self {
            Self::Embedded(setup) => Self::Embedded(setup.credentials(user, password)),
            Self::Memcached(setup) => Self::Memcached(setup.credentials(user, password)),
        }
    }

    fn ipv6(self) -> Self {
        match self {
            Self::Embedded(setup) => Self::Embedded(setup.ipv6()),
            Self::Memcached(setup) => Self::Memcached(setup.ipv6()),
        }
    }

    fn start(self, channel: Channel) -> Server {
        let (process, files) = match (self, channel) {
            (Self::Embedded(setup), Channel::Tcp) => (Process::Embedded(setup.start()), None),
            (Self::Embedded(setup), Channel::Unix) => (Process::Embedded(setup.unix_socket().start()), None),
            (Self::Embedded(setup), _) => (Process::Embedded(setup.tls(signed().config()).start()), None),
            (Self::Memcached(setup), Channel::Tcp) => (Process::Memcached(setup.start()), None),
            (Self::Memcached(setup), Channel::Unix) => (Process::Memcached(setup.unix_socket().start()), None),
            (Self::Memcached(setup), _) => {
                let (server, files) = signed().serve(setup);
                (Process::Memcached(server), Some(files))
            }
        };
        Server { process, channel, idle: Mutex::new(None), _files: files }
    }
}

impl Server {
    pub(super) fn address(&self) -> String {
        let address = match &self.process {
            Process::Embedded(server) => server.address(),
            Process::Memcached(server) => server.address(),
        };
        match self.channel {
            Channel::TlsWithPassword => {
                let (user, password) = CREDENTIALS;
                address.replace("://", &format!("://{user}:{password}@"))
            }
            _ => address,
        }
    }

    pub(super) fn stop(&mut self) {
        drop(self.idle());
        match &mut self.process {
            Process::Embedded(server) => server.stop(),
            Process::Memcached(server) => server.stop(),
        }
    }

    pub(super) fn restart(&mut self) {
        drop(self.idle());
        match &mut self.process {
            Process::Embedded(server) => server.restart(),
            Process::Memcached(server) => server.restart(),
        }
    }

    /// Lets it stand still: connections can be made, and nothing is answered.
    pub(super) fn suspend(&self) {
        match &self.process {
            Process::Embedded(server) => server.suspend(),
            Process::Memcached(server) => server.suspend(),
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        match &self.process {
            Process::Embedded(server) => server.resume(),
            Process::Memcached(server) => server.resume(),
        }
    }

    /// The lines that it answers to a line, without a client, up to one that `is_last`.
    pub(super) fn lines(&self, line: &str, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        self.connect().ask(line, is_last)
    }

    /// The same, on a connection that is kept: nothing comes after the last line.
    fn items(&self, line: &str, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut connection = self.idle().unwrap_or_else(|| self.connect());
        let lines = connection.ask(line, &is_last);
        if lines.last().is_some_and(|line| is_last(line)) {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
        lines
    }

    fn idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether it holds an item of this key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.items(&format!("get {key}"), |line| line == "END").len() > 1
    }

    /// When an item expires, in seconds from now; `None` is never.
    ///
    /// memcached before 1.6.10 answers `mg` in a draft of its format, and before 1.5.19 with an error.
    #[track_caller]
    pub(super) fn seconds_left(&self, key: &str) -> Option<u64> {
        let lines = self.items(&format!("mg {key} t\r\nversion"), |line| line.starts_with("VERSION "));
        let answer = &lines[0];
        if answer == "ERROR" {
            return self.seconds_left_of_dumped(key);
        }
        let (_, left) = answer.split_once(" t").unwrap_or_else(|| panic!("{answer}"));
        // What else is said follows: that others have won the item, for one.
        let left = left.split_whitespace().next().unwrap_or_default();
        (left != "-1").then(|| left.parse().unwrap())
    }

    /// The same, as `stats cachedump` reports it: before 1.5.0 for every item, since then for new ones.
    #[track_caller]
    fn seconds_left_of_dumped(&self, key: &str) -> Option<u64> {
        let is_end = |line: &str| line == "END";
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let item = (1..64).find_map(|class| {
            let items = self.lines(&format!("stats cachedump {class} 0"), is_end);
            items.into_iter().find(|item| item.starts_with(&format!("ITEM {key} ")))
        });
        let item = item.unwrap_or_else(|| panic!("{key} is not listed"));
        let (_, expires) = item.strip_suffix(" s]").and_then(|item| item.rsplit_once(' ')).unwrap();
        match expires.parse().unwrap() {
            0 => None,
            expires => Some(u64::saturating_sub(expires, begun)),
        }
    }

    fn connect(&self) -> Connection {
        let address = match &self.process {
            Process::Memcached(server) => server.plain_address(),
            Process::Embedded(server) => server.address(),
        };
        let stream: Box<dyn Stream> = match address.split_once("://") {
            None => Box::new(connect_tcp(&address)),
            Some(("memcacheds", address)) => Box::new(begin_tls(connect_tcp(address))),
            #[cfg(unix)]
            Some((_, path)) => {
                let stream = UnixStream::connect(path).expect("the server listens");
                stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
                Box::new(stream)
            }
            #[cfg(not(unix))]
            Some(_) => panic!("there are no Unix sockets here"),
        };
        let mut connection = Connection(BufReader::new(stream));
        if self.channel == Channel::TlsWithPassword {
            let given = format!("{} {}", CREDENTIALS.0, CREDENTIALS.1);
            let answer = connection.ask(&format!("set credentials 0 0 {}\r\n{given}", given.len()), |_| true);
            assert_eq!(answer, ["STORED"]);
        }
        connection
    }
}

impl Connection {
    /// The lines that answer a line, up to one that `is_last`.
    fn ask(&mut self, line: &str, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("the server reads");
        let mut lines = Vec::new();
        for line in self.0.by_ref().lines() {
            lines.push(line.expect("the server answers"));
            if lines.last().is_some_and(|line| is_last(line)) {
                break;
            }
        }
        lines
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

fn connect_tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
    stream
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// The first line that a server answers to a line.
pub(super) fn ask(server: &Server, line: &str) -> String {
    server.lines(line, |_| true).pop().expect("an answer")
}

/// Asserts that an item expires in this many hours.
#[track_caller]
pub(super) fn assert_hours_left(server: &Server, key: &str, hours: u32) {
    assert_seconds_left(server, key, (hours * HOUR).as_secs());
}

/// By how many seconds a server may take an `exptime` of more than 30 days, which is a point in time, for later than it is.
///
/// memcached's clock is one to two seconds behind, and as many more as its timer comes late on a busy machine.
pub(super) const CLOCK_LAG: u64 = 30;

/// Asserts that an item expires in about this many seconds.
#[track_caller]
pub(super) fn assert_seconds_left(server: &Server, key: &str, expected: u64) {
    let left = server.seconds_left(key).expect("the item expires");
    // The server counts in seconds, and may have counted some since.
    assert!((expected - HOUR.as_secs() / 2..=expected + CLOCK_LAG).contains(&left), "{expected} seconds: {left}");
}
