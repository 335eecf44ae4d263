//! Measures memcached2 side by side with other memcached clients, in one run against one server.
//!
//! ```text
//! cargo run --release --manifest-path tests/peers/Cargo.toml [-- ROUNDS]
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- one <workload> <client> <n> <host:port>
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- fair [ROUNDS]
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- stampede [ROUNDS]
//! ```
//!
//! The first form starts a memcached with one worker thread and measures every client under every workload, `ROUNDS`
//! times (5 unless said otherwise). The clients take turns within a round, so that a change in the load of the machine
//! meets all of them, and the median of the rounds is printed. It needs `memcached` in the `PATH` or in `$MEMCACHED`.
//!
//! The second form does `n` operations of one workload with one client against a given server, so that `strace` or
//! `callgrind` can be held to it. What it does besides is the same for every `n`: the difference of two runs, divided
//! by the difference of their `n`, is the cost of an operation.
//!
//! The third form measures how small gets of `memcached2-tokio` fare while other tasks move large values over the same client:
//! see `fair.rs`.
//!
//! The fourth form lets three programs miss the same key at once and counts who computes its value: see `stampede.rs`.
//!
//! | workload | an operation | clients |
//! |---|---|---|
//! | `conc64` | a get of 100 bytes, by 64 tasks on one current-thread Tokio runtime | `tokio`, `tokio-2`, `tokio-4`, `async-memcached` |
//! | `serial` | a get of 10 bytes, one after the other | `sync`, `tokio`, `memcache`, `memcache-exp`, `async-memcached` |
//! | `mget100` | one call for 100 keys of 100 bytes each | `sync`, `tokio`, `memcache`, `memcache-exp`, `async-memcached` |
//!
//! | client | what it is | in `conc64` |
//! |---|---|---|
//! | `sync` | `memcached2_sync::Client` | |
//! | `tokio` | `memcached2_tokio::Client` with default options | one client, shared by the tasks |
//! | `tokio-2`, `tokio-4` | the same with that many `shared_connections` | one client, shared by the tasks |
//! | `memcache` | `memcache::Client` with `protocol=ascii`; its `gets` fetches CAS values as well | |
//! | `memcache-exp` | `memcache::exp::Memcache` | |
//! | `async-memcached` | `async_memcached::Client`, text protocol | one client with a socket of its own per task |
//!
//! All cycle over the same 100 keys and check what comes back: the bytes of every single get, and of a call for many
//! the count, the lengths and a sum over the values. A wrong or a missing value ends the program.
//!
//! The columns: operations per second, median, lowest and highest of the rounds; the ratio to the reference, median of
//! the rounds (`memcache` for blocking clients, `async-memcached` for those of Tokio); in `conc64` also the latency of
//! a get that half of them, and that 99 of 100, did not exceed.

mod asynchronous;
mod blocking;
mod contest;
mod fair;
mod items;
mod job;
mod stampede;

use self::contest::Contest;
use self::job::{Client, Job, Workload};

/// How many rounds there are unless the command line says otherwise.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => contest(ROUNDS),
        ["fair"] => fair::measure(ROUNDS),
        ["fair", rounds] => fair::measure(number(rounds)),
        ["stampede"] => stampede::measure(ROUNDS),
        ["stampede", rounds] => stampede::measure(number(rounds)),
        [stampede::PROGRAM, client, server] => stampede::program(client, server),
        [rounds] => contest(number(rounds)),
        ["one", workload, client, count, server] => one(workload, client, count, server),
        _ => usage(),
    }
}

/// Reads how many rounds there are.
fn number(text: &str) -> usize {
    text.parse().ok().filter(|rounds| *rounds > 0).unwrap_or_else(|| usage())
}

/// Measures all clients and prints the table.
fn contest(rounds: usize) {
    let server = memcached2_testkit::Memcached::with().threads(1).start();
    items::fill(&server.address());
    let mut contest = Contest::default();
    for _ in 0..rounds {
        contest.round(&server.address());
    }
    print!("{contest}");
}

/// Measures one client under one workload and prints its rate.
fn one(workload: &str, client: &str, count: &str, server: &str) {
    let (Some(workload), Some(client)) = (Workload::parse(workload), Client::parse(client)) else { usage() };
    let Ok(count) = count.parse() else { usage() };
    if !workload.clients().contains(&client) {
        usage();
    }
    items::fill(server);
    let figures = Job { workload, client, count, server }.measure();
    println!("{} {} {:.0}", workload.name(), client.name(), figures.rate);
}

/// Says how to run the program and ends it.
fn usage() -> ! {
    eprintln!("usage: memcached2-peers [ROUNDS]");
    eprintln!("       memcached2-peers fair [ROUNDS]");
    eprintln!("       memcached2-peers stampede [ROUNDS]");
    eprintln!("       memcached2-peers one <workload> <client> <n> <host:port>");
    for workload in Workload::ALL {
        let clients: Vec<&str> = workload.clients().iter().map(|client| client.name()).collect();
        eprintln!("workload {}, clients: {}", workload.name(), clients.join(" "));
    }
    std::process::exit(2)
}
