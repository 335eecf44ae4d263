//! The servers that cases run against: each case on both kinds.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use memcached2_proto::Protocol;
use memcached2_testkit::{EmbeddedServer, Memcached, MemcachedSetup};

use super::certificates::{Files, serve};
use super::setting::{HOUR, PATIENT, client};
use crate::subject::Client;

/// Which kind of server a case runs against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Embedded,
    /// With the name of the case.
    Memcached(&'static str),
    /// A memcached whose clients use TLS.
    Tls(&'static str),
}

/// A server of either kind.
#[derive(Debug)]
pub(super) enum Server {
    Embedded(EmbeddedServer),
    Memcached(Memcached),
    Tls(Memcached, #[expect(dead_code, reason = "they are removed when it is dropped")] Files),
}

impl Kind {
    /// A server on 127.0.0.1.
    pub(super) fn start(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::start()),
            Self::Memcached(_) => Server::Memcached(Memcached::with().threads(1).start()),
            Self::Tls(_) => with_tls(Memcached::with().threads(1)),
        }
    }

    /// A server on a Unix socket.
    pub(super) fn start_on_unix_socket(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().unix_socket().start()),
            Self::Memcached(_) | Self::Tls(_) => Server::Memcached(Memcached::with().threads(1).unix_socket().start()),
        }
    }

    /// A server on IPv6, which not every machine has.
    fn start_on_ipv6(self) -> Option<Server> {
        UdpSocket::bind("[::1]:0").ok()?;
        let server = match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().ipv6().start()),
            Self::Memcached(_) | Self::Tls(_) => Server::Memcached(Memcached::with().threads(1).ipv6().start()),
        };
        assert!(server.address().starts_with("[::1]:"));
        Some(server)
    }

    /// Servers on every kind of socket that serve only clients with this user and password.
    pub(super) fn start_with_credentials(self, user: &str, password: &str) -> Vec<Server> {
        let on_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
        match self {
            Self::Embedded => {
                let setup = EmbeddedServer::with().credentials(user, password);
                let on_ipv6 = on_ipv6.then(|| setup.clone().ipv6().start());
                let servers = [setup.clone().start(), setup.unix_socket().start()];
                servers.into_iter().chain(on_ipv6).map(Server::Embedded).collect()
            }
            Self::Memcached(_) => {
                let setup = Memcached::with().threads(1).credentials(user, password);
                let on_ipv6 = on_ipv6.then(|| setup.clone().ipv6().start());
                let servers = [setup.clone().start(), setup.unix_socket().start()];
                servers.into_iter().chain(on_ipv6).map(Server::Memcached).collect()
            }
            Self::Tls(_) => {
                let setup = Memcached::with().threads(1).credentials(user, password);
                let on_ipv6 = on_ipv6.then(|| with_tls(setup.clone().ipv6()));
                [with_tls(setup)].into_iter().chain(on_ipv6).collect()
            }
        }
    }

    /// A server with half a gigabyte for items, and as many threads as it likes.
    pub(super) fn start_large(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().memory_limit(512 << 20).start()),
            Self::Memcached(_) => Server::Memcached(Memcached::with().args(["-m", "512"]).start()),
            Self::Tls(_) => with_tls(Memcached::with().args(["-m", "512"])),
        }
    }

    /// A server that counts how many items there are of each size.
    pub(super) fn start_counting_sizes(self) -> Server {
        match self {
            Self::Embedded => {
                let server = self.start();
                ask(&server, "stats sizes_enable");
                server
            }
            Self::Memcached(_) => Server::Memcached(Memcached::with().args(["-o", "track_sizes"]).start()),
            Self::Tls(_) => with_tls(Memcached::with().args(["-o", "track_sizes"])),
        }
    }

    /// This many servers, and their addresses.
    pub(super) fn servers(self, count: usize) -> (Vec<Server>, Vec<String>) {
        let servers: Vec<_> = (0..count).map(|_| self.start()).collect();
        let addresses = servers.iter().map(Server::address).collect();
        (servers, addresses)
    }

    /// The protocols that a server of this kind speaks, for clients with the option `protocol`.
    pub(super) fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Memcached(case) | Self::Tls(case)
                if Memcached::is_too_old_for(&format!("{case} in meta"), (1, 6, 10)) =>
            {
                &[Protocol::Classic]
            }
            _ => &[Protocol::Classic, Protocol::Meta],
        }
    }

    /// Runs a case over every kind of socket.
    pub(super) fn on_each_socket(self, case: impl Fn(&Client)) {
        let servers = [Some(self.start()), Some(self.start_on_unix_socket()), self.start_on_ipv6()];
        servers.into_iter().flatten().for_each(|server| case(&client(&[server.address()])));
    }
}

/// What a server is called that has this address.
pub(super) fn name(address: &str) -> &str {
    address.trim_start_matches("memcacheds://")
}

fn with_tls(setup: MemcachedSetup) -> Server {
    let (server, files) = serve(setup);
    Server::Tls(server, files)
}

impl Server {
    pub(super) fn address(&self) -> String {
        match self {
            Self::Embedded(server) => server.address(),
            Self::Memcached(server) | Self::Tls(server, _) => server.address(),
        }
    }

    pub(super) fn stop(&mut self) {
        match self {
            Self::Embedded(server) => server.stop(),
            Self::Memcached(server) | Self::Tls(server, _) => server.stop(),
        }
    }

    pub(super) fn restart(&mut self) {
        match self {
            Self::Embedded(server) => server.restart(),
            Self::Memcached(server) | Self::Tls(server, _) => server.restart(),
        }
    }

    /// Lets it stand still: connections can be made, and nothing is answered.
    pub(super) fn suspend(&self) {
        match self {
            Self::Embedded(server) => server.suspend(),
            Self::Memcached(server) | Self::Tls(server, _) => server.suspend(),
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        match self {
            Self::Embedded(server) => server.resume(),
            Self::Memcached(server) | Self::Tls(server, _) => server.resume(),
        }
    }

    /// The lines that it answers to a line, without a client, up to one that `is_last`.
    pub(super) fn lines(&self, line: &str, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut stream = self.connect();
        stream.write_all(format!("{line}\r\n").as_bytes()).expect("the server reads");
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines() {
            lines.push(line.expect("the server answers"));
            if lines.last().is_some_and(|line| is_last(line)) {
                break;
            }
        }
        lines
    }

    /// Whether it holds an item of this key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.lines(&format!("get {key}"), |line| line == "END").len() > 1
    }

    /// When an item expires, in seconds from now; `None` is never.
    ///
    /// memcached before 1.6.10 answers `mg` in a draft of its format, and before 1.5.19 with an error.
    #[track_caller]
    pub(super) fn seconds_left(&self, key: &str) -> Option<u64> {
        let answer = ask(self, &format!("mg {key} t"));
        if answer == "ERROR" {
            return self.seconds_left_of_dumped(key);
        }
        let (_, left) = answer.split_once(" t").unwrap_or_else(|| panic!("{answer}"));
        (left != "-1" && left != " -1").then(|| left.trim_start().parse().unwrap())
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

    fn connect(&self) -> Box<dyn Stream> {
        let address = match self {
            Self::Tls(server, _) => server.plain_address(),
            server => server.address(),
        };
        match address.strip_prefix("memcached+unix://") {
            None => {
                let stream = TcpStream::connect(address).expect("the server listens");
                stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
                Box::new(stream)
            }
            #[cfg(unix)]
            Some(path) => {
                let stream = UnixStream::connect(path).expect("the server listens");
                stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
                Box::new(stream)
            }
            #[cfg(not(unix))]
            Some(_) => panic!("there are no Unix sockets here"),
        }
    }
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// The first line that a server answers to a line.
pub(super) fn ask(server: &Server, line: &str) -> String {
    server.lines(line, |_| true).pop().expect("an answer")
}

/// Asserts that an item expires in this many hours.
#[track_caller]
pub(super) fn assert_hours_left(server: &Server, key: &str, hours: u32) {
    assert_seconds_left(server, key, (hours * HOUR).as_secs());
}

/// Asserts that an item expires in about this many seconds.
#[track_caller]
pub(super) fn assert_seconds_left(server: &Server, key: &str, expected: u64) {
    let left = server.seconds_left(key).expect("the item expires");
    // The server counts in seconds, and may have counted some since.
    assert!((expected - HOUR.as_secs() / 2..=expected + 2).contains(&left), "{expected} seconds: {left}");
}
