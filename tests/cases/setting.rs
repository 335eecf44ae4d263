//! What the cases have in common: clients, and how long they wait.

use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::{Error, Options, Protocol, ReconnectPolicy};
use memcached2_testkit::ScriptedServer;

use super::certificates::TRUSTED;
use crate::subject::Client;

/// Longer than anything takes: no case waits for it unless something is wrong.
pub(super) const PATIENT: Duration = Duration::from_secs(30);
/// The deadline in cases that wait for it; what does succeed must do so within it on a busy machine, too.
pub(super) const BRIEF: Duration = Duration::from_secs(1);

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Options with which the certificates of the servers with TLS are trusted.
pub(super) fn trusting() -> Options {
    Options::default().tls_built_in_root_certs(false).add_root_certificate(TRUSTED.certificate())
}

/// The options of most cases: a failure of one call leaves no trace for the next one.
pub(super) fn forgetful(timeout: Duration) -> Options {
    trusting().timeout(timeout).connect_timeout(timeout / 2).reconnect(ReconnectPolicy::Immediately)
}

/// The address of a server that is going to stand still: it alone is waited for so briefly.
pub(super) fn brief(address: &str) -> String {
    format!("{address}?timeout=2s&connect_timeout=1s")
}

pub(super) fn client<A: AsRef<str>>(servers: &[A]) -> Client {
    Client::with_options(servers, forgetful(PATIENT).connect_timeout(PATIENT)).expect("the addresses are right")
}

/// A client that asks other servers while one is down.
pub(super) fn failing_over<A: AsRef<str>>(servers: &[A]) -> Client {
    Client::with_options(servers, trusting().timeout(PATIENT).connect_timeout(PATIENT))
        .expect("the addresses are right")
}

/// A client that says the same bytes whatever the transport.
pub(super) fn text_client(servers: &[&ScriptedServer], timeout: Duration) -> Client {
    let options = forgetful(timeout).protocol(Protocol::Classic);
    Client::with_options(servers.iter().map(|server| server.address()), options).expect("the addresses are right")
}

/// Repeats something until it holds: a server may take a moment to come back, and a client to notice that a connection was closed.
pub(super) fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENT, "it does not come");
        // Nothing tells of it.
        thread::sleep(Duration::from_millis(2));
    }
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
