//! What the cases have in common: clients, servers, and a way to ask a server without a client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use memcached2_proto::{Dialect, Error, Options};
use memcached2_testkit::{EmbeddedServer, Memcached, ScriptedServer};

use crate::subject::Client;

/// Longer than anything takes: no case waits for it unless something is wrong.
pub(super) const PATIENT: Duration = Duration::from_secs(30);
/// The deadline in cases that wait for it; what does succeed must do so within it on a busy machine, too.
pub(super) const BRIEF: Duration = Duration::from_secs(1);

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn client<A: AsRef<str>>(servers: &[A]) -> Client {
    Client::with_options(servers, Options::default().timeout(PATIENT)).expect("the addresses are right")
}

/// A client that says the same bytes whatever the transport.
pub(super) fn text_client(servers: &[&ScriptedServer], timeout: Duration) -> Client {
    let options = Options::default().timeout(timeout).dialect(Dialect::Text);
    Client::with_options(servers.iter().map(|server| server.address()), options).expect("the addresses are right")
}

/// Runs a case over every kind of socket, against memcached and against the embedded server.
pub(super) fn on_each_socket(case: impl Fn(&Client)) {
    for setup in [EmbeddedServer::with(), EmbeddedServer::with().unix_socket()] {
        let server = setup.start();
        case(&client(&[server.address()]));
    }
    for server in [Memcached::with(), Memcached::with().unix_socket()].map(|setup| setup.threads(1).start()) {
        case(&client(&[server.address()]));
    }
    // Not every machine has it.
    if UdpSocket::bind("[::1]:0").is_ok() {
        let server = Memcached::with().threads(1).ipv6().start();
        assert!(server.address().starts_with("[::1]:"));
        case(&client(&[server.address()]));
    }
}

/// So many servers, and their addresses.
pub(super) fn servers(count: usize) -> (Vec<Memcached>, Vec<String>) {
    let servers: Vec<_> = (0..count).map(|_| Memcached::with().threads(1).start()).collect();
    let addresses = servers.iter().map(Memcached::address).collect();
    (servers, addresses)
}

/// The first line that a server answers to a line.
pub(super) fn ask(server: &Memcached, line: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
    stream.write_all(format!("{line}\r\n").as_bytes()).expect("the server reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("the server answers");
    answer.trim_end().to_owned()
}

/// Asserts that an item expires in so many hours.
#[track_caller]
pub(super) fn assert_hours_left(server: &Memcached, key: &str, hours: u32) {
    let answer = ask(server, &format!("mg {key} t"));
    let left: u64 = answer.strip_prefix("HD t").unwrap().parse().unwrap();
    let expected = (hours * HOUR).as_secs();
    // The server counts in seconds, and may have counted some since.
    assert!((expected - HOUR.as_secs() / 2..=expected + 2).contains(&left), "{hours} hours: {answer}");
}

/// What an error is, apart from its words.
pub(super) fn kind(error: &Error) -> &'static str {
    match error {
        Error::Key { .. } => "key",
        Error::Refused { .. } => "refused",
        Error::Connect { .. } => "connect",
        Error::Disconnected { .. } => "disconnected",
        Error::Timeout { .. } => "timeout",
        Error::Protocol { .. } => "protocol",
        _ => "another",
    }
}
