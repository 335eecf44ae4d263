//! The servers that cases run against: each case on both kinds.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use memcached2_testkit::{EmbeddedServer, Memcached};

use super::setting::{HOUR, PATIENT, client};
use crate::subject::Client;

/// Which kind of server a case runs against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Embedded,
    Memcached,
}

/// A server of either kind.
#[derive(Debug)]
pub(super) enum Server {
    Embedded(EmbeddedServer),
    Memcached(Memcached),
}

impl Kind {
    /// A server on 127.0.0.1.
    pub(super) fn start(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::start()),
            Self::Memcached => Server::Memcached(Memcached::with().threads(1).start()),
        }
    }

    /// A server on a Unix socket.
    pub(super) fn start_on_unix_socket(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().unix_socket().start()),
            Self::Memcached => Server::Memcached(Memcached::with().threads(1).unix_socket().start()),
        }
    }

    /// A server on IPv6, which not every machine has.
    fn start_on_ipv6(self) -> Option<Server> {
        UdpSocket::bind("[::1]:0").ok()?;
        let server = match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().ipv6().start()),
            Self::Memcached => Server::Memcached(Memcached::with().threads(1).ipv6().start()),
        };
        assert!(server.address().starts_with("[::1]:"));
        Some(server)
    }

    /// A server with half a gigabyte for items, and as many threads as it likes.
    pub(super) fn start_large(self) -> Server {
        match self {
            Self::Embedded => Server::Embedded(EmbeddedServer::with().memory_limit(512 << 20).start()),
            Self::Memcached => Server::Memcached(Memcached::with().args(["-m", "512"]).start()),
        }
    }

    /// So many servers, and their addresses.
    pub(super) fn servers(self, count: usize) -> (Vec<Server>, Vec<String>) {
        let servers: Vec<_> = (0..count).map(|_| self.start()).collect();
        let addresses = servers.iter().map(Server::address).collect();
        (servers, addresses)
    }

    /// Runs a case over every kind of socket.
    pub(super) fn on_each_socket(self, case: impl Fn(&Client)) {
        let servers = [Some(self.start()), Some(self.start_on_unix_socket()), self.start_on_ipv6()];
        servers.into_iter().flatten().for_each(|server| case(&client(&[server.address()])));
    }
}

impl Server {
    pub(super) fn address(&self) -> String {
        match self {
            Self::Embedded(server) => server.address(),
            Self::Memcached(server) => server.address(),
        }
    }

    pub(super) fn stop(&mut self) {
        match self {
            Self::Embedded(server) => server.stop(),
            Self::Memcached(server) => server.stop(),
        }
    }

    pub(super) fn restart(&mut self) {
        match self {
            Self::Embedded(server) => server.restart(),
            Self::Memcached(server) => server.restart(),
        }
    }

    /// Lets it stand still: connections can be made, and nothing is answered.
    pub(super) fn suspend(&self) {
        match self {
            Self::Embedded(server) => server.suspend(),
            Self::Memcached(server) => server.suspend(),
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        match self {
            Self::Embedded(server) => server.resume(),
            Self::Memcached(server) => server.resume(),
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

    fn connect(&self) -> Box<dyn Stream> {
        let address = self.address();
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

/// Asserts that an item expires in so many hours.
#[track_caller]
pub(super) fn assert_hours_left(server: &Server, key: &str, hours: u32) {
    let answer = ask(server, &format!("mg {key} t"));
    let left: u64 = answer.strip_prefix("HD t").unwrap().parse().unwrap();
    let expected = (hours * HOUR).as_secs();
    // The server counts in seconds, and may have counted some since.
    assert!((expected - HOUR.as_secs() / 2..=expected + 2).contains(&left), "{hours} hours: {answer}");
}
