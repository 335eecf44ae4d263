//! Many callers share a connection to a server that loses, spoils or reorders replies, and each recognises a reply that
//! is not its own: keys, values, flags and counters name their owner.
//!
//! `SHARING_CALLS=1000000` sets how many calls there are of each client, `SHARING_SEED` which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../certificates/mod.rs"]
mod certificates;
#[path = "stress/relay.rs"]
mod relay;
mod sharing {
    pub(crate) mod caller;
    mod changing;
    pub(crate) mod model;
    pub(crate) mod subject;
    pub(crate) mod tally;
}
mod twemproxy;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use memcached2_proto::{Options, Protocol, ReconnectPolicy};
use memcached2_testkit::{EmbeddedServer, Memcached, Saboteur};

use crate::certificates::{TRUSTED, serve};
use crate::relay::Relay;
use crate::sharing::subject::{Subject, share};
use crate::sharing::tally::Nature;
use crate::twemproxy::Twemproxy;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn calls() -> u64 {
    number("SHARING_CALLS").unwrap_or(5000)
}

fn seed() -> u64 {
    let nanos = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    number("SHARING_SEED").unwrap_or_else(|| nanos().into())
}

/// A client has much time to open a connection: a server that is busy, and does not answer in time which protocol it speaks, is spoken to in
/// the classic one, in which not every wrong reply can be noticed. Where the network swallows parts of a handshake, it has a second.
fn options(protocol: Option<Protocol>, nature: Nature) -> Options {
    let patient = Duration::from_secs(20);
    let connect = if nature.stalls { Duration::from_secs(1) } else { patient };
    let options = Options::default().timeout(patient).connect_timeout(connect).reconnect(ReconnectPolicy::Immediately);
    let options = options.pool_connections(2).shared_connections(1);
    let options = options.tls_built_in_root_certs(false).add_root_certificate(TRUSTED.certificate());
    match protocol {
        None => options,
        Some(protocol) => options.protocol(protocol),
    }
}

/// Shares a client of each transport, and expects no reply of another caller, and not too many failures.
fn shared(
    name: &str,
    (protocol, nature): (Option<Protocol>, Nature),
    seed: u64,
    address: &str,
    mut on_third: impl FnMut(u64),
) {
    // A call to a server that says nothing costs little time.
    let timeout = Duration::from_millis(if nature.lies { 60 } else { 300 });
    let options = options(protocol, nature);
    let blocking = memcached2_sync::Client::with_options([address], options.clone()).expect("a client");
    sharing(name, &blocking.with_timeout(timeout), (nature, seed), &mut on_third);
    let tokio = memcached2_tokio::Client::with_options([address], options.clone()).expect("a client");
    sharing(name, &tokio.with_timeout(timeout), (nature, seed), &mut on_third);
    let async_std = memcached2_async_std::Client::with_options([address], options).expect("a client");
    sharing(name, &async_std.with_timeout(timeout), (nature, seed), &mut on_third);
}

fn sharing<S: Subject>(server: &str, client: &S, (nature, seed): (Nature, u64), on_third: impl FnMut(u64)) {
    let name = format!("{} on {server}", std::any::type_name::<S>());
    eprintln!("{name}: SHARING_SEED={seed}");
    let tally = share(client, (nature, calls() / nature.shorter.max(1), seed), on_third);
    eprintln!("{name}: {tally}");
    assert_eq!(tally.wrong(), 0, "{name} with SHARING_SEED={seed}: {tally}");
    let failed = tally.failed();
    assert!(tally.succeeded() > tally.calls() / 4, "{name} with SHARING_SEED={seed}: {failed} failures: {tally}");
}

/// Both ways to speak to a server.
fn in_both_protocols(name: &str, nature: Nature, seed: u64, address: &str, mut on_third: impl FnMut(u64)) {
    for protocol in [None, Some(Protocol::Classic)] {
        let told = protocol.map_or_else(|| "its protocol".to_owned(), |protocol| format!("{protocol:?}"));
        shared(&format!("{name}, {told}"), (protocol, nature), seed, address, &mut on_third);
    }
}

/// What a server can do that does everything.
const ABLE: Nature =
    Nature { lies: false, stalls: false, touches: true, tells_version: true, restarts: false, large: 0, shorter: 1 };

#[test]
fn no_caller_gets_the_reply_of_another_from_a_memcached_out_of_memory() {
    let scarce = ["-o", "read_buf_mem_limit=1,resp_obj_mem_limit=1"];
    let binary = std::env::var_os("MEMCACHED").filter(|path| !path.is_empty()).unwrap_or_else(|| "memcached".into());
    let known = Command::new(binary).args(scarce).args(["-u", "root", "-V"]).stdin(Stdio::null()).output();
    let (setup, nature) = match known.is_ok_and(|output| output.status.success()) {
        true => (Memcached::with().args(scarce), Nature { large: 40, ..ABLE }),
        // Before 1.6, which sends each reply before it reads the next request.
        false => (Memcached::with(), Nature { large: 40, touches: false, ..ABLE }),
    };
    let server = setup.start();
    in_both_protocols("memcached", nature, seed(), &server.address(), |_| {});
}

#[test]
fn no_caller_gets_the_reply_of_another_when_an_error_line_replaces_several() {
    let seed = seed();
    let server = EmbeddedServer::with().out_of_response_memory(seed, 20).start();
    in_both_protocols("a server out of memory", ABLE, seed, &server.address(), |_| {});
}

/// In the classic protocol this cannot be noticed.
#[test]
fn no_caller_gets_the_reply_of_another_when_replies_are_lost_doubled_delayed_or_replaced() {
    let seed = seed();
    let server = EmbeddedServer::with().saboteur(Saboteur::new(seed, 60)).start();
    let nature = Nature { lies: true, ..ABLE };
    shared("a saboteur", (None, nature), seed, &server.address(), |_| {});
}

#[test]
fn no_caller_gets_the_reply_of_another_through_twemproxy_while_a_server_is_down() {
    if !Twemproxy::installed() {
        // Unlike `eprintln!`, this is shown for tests that pass, too.
        let _ = writeln!(std::io::stderr(), "there is no nutcracker: nothing is shared through twemproxy");
        return;
    }
    let mut servers: Vec<_> = (0..3).map(|_| Memcached::start()).collect();
    let proxy = Twemproxy::start(&servers);
    let nature = Nature { restarts: true, large: 100, ..Nature::default() };
    in_both_protocols("twemproxy", nature, seed(), &proxy.address(), |third| match third {
        1 => servers[1].stop(),
        _ => servers[1].restart(),
    });
}

/// The network below TLS delays, stops, swallows, cuts into bytes, and ends connections, with and without a reset.
#[test]
fn no_caller_gets_the_reply_of_another_by_tls_over_a_faulty_network() {
    if Memcached::has_no_tls_for("no_caller_gets_the_reply_of_another_by_tls_over_a_faulty_network") {
        return;
    }
    let (server, _files) = serve(Memcached::with());
    let seed = seed();
    let relay = Relay::start(server.address().trim_start_matches("memcacheds://"), seed, 100);
    relay.set_faulty(true);
    let nature = Nature { stalls: true, large: 100, shorter: 3, ..ABLE };
    let address = format!("memcacheds://{}", relay.address());
    shared("a memcached by TLS over a faulty network", (None, nature), seed, &address, |_| {});
    assert!(relay.faults() >= 5, "there were {} faults", relay.faults());
}
