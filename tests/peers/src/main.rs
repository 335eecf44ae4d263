//! Measures memcached2 side by side with other memcached clients, in one run against one server.
//!
//! ```text
//! cargo run --release --manifest-path tests/peers/Cargo.toml --features heavy [-- [ROUNDS] [--only NAME,...] [--svg FILE]]
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- one <workload> <client> <n> <host:port>...
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- fair [ROUNDS]
//! cargo run --release --manifest-path tests/peers/Cargo.toml -- stampede [ROUNDS]
//! cargo run --release --manifest-path tests/peers/Cargo.toml --bin growth [-- --svg FILE]
//! ```
//!
//! The first form starts memcached with one worker thread and measures every client under every workload, `ROUNDS`
//! times (5 unless said otherwise). The clients take turns of a third of a second within a round, so that a change in the load of the
//! machine meets all of them, and the median of the rounds is printed. It needs `memcached` in the `PATH` or in `$MEMCACHED`.
//! `--only` names workloads and clients, and leaves out the others. `--svg` writes a plot of the rates.
//!
//! The second form does `n` operations of one workload with one client against given servers, so that `strace` or
//! `callgrind` can be held to it. What it does besides is the same for every `n`: the difference of two runs, divided
//! by the difference of their `n`, is the cost of an operation.
//!
//! The third form measures how small gets of `memcached2-tokio` fare while other tasks move large values over the same client:
//! see `fair.rs`.
//!
//! The fourth form lets three programs miss the same key at once and counts who computes its value: see `stampede.rs`.
//!
//! The fifth form shows what the clients of memcached2 cost for one key, byte, server, connection or task more: see
//! `bin/growth.rs`.
//!
//! | workload | an operation |
//! |---|---|
//! | `get10`, `get1k`, `get100k`, `get1m` | a get of 10 bytes, 1 KiB, 100 KiB or 1 MB, one after the other |
//! | `set1k` | a set of 1 KiB, one after the other |
//! | `mget100`, `mset100` | one call for 100 keys of 100 bytes each |
//! | `conc64`, `conc512` | a get of 100 bytes, by 64 or 512 tasks on one thread |
//! | `eight` | the same by 64 tasks over 8 servers |
//!
//! | client | what it is | with many tasks |
//! |---|---|---|
//! | `bare` | sockets without a client: texts made before, a known number of bytes read | requests under way: `bare.rs` |
//! | `sync` | `memcached2_sync::Client` | |
//! | `memcache` | `memcache::Client` with `protocol=ascii`; its `gets` fetches CAS values as well | |
//! | `memcache-exp` | `memcache::exp::Memcache` | |
//! | `pylibmc` | libmemcached, called by Python: `peers.py` | |
//! | `pymemcache` | a client in Python: `peers.py` | |
//! | `tokio` | `memcached2_tokio::Client` with default options | one client, shared by the tasks |
//! | `tokio-2`, `tokio-4` | the same with that many `shared_connections` | one client, shared by the tasks |
//! | `smol` | `memcached2_async_std::Client` on smol | one client, shared by the tasks |
//! | `memcache-exp-tokio` | `memcache::exp::AsyncMemcache` | one client, with an idle connection for each task |
//! | `async-memcached` | `async_memcached::Client`, text protocol | a client with a socket of its own for each task |
//! | `memcache-async` | `memcache_async::ascii::Protocol` on a socket of Tokio; its `set` waits for no answer and is left out | a client with a socket of its own for each task |
//! | `deadpool` | `deadpool_memcached::Pool`, of clients of async-memcached 0.7; feature `deadpool` | one pool, with a connection for each task |
//! | `bb8` | `bb8_memcached`, of connections of memcache-async 0.8 | one pool, with a connection for each task |
//! | `mcmc-rs` | `mcmc_rs::Connection` on Tokio, `ClientCrc32` for many servers; feature `mcmc` | a client with a socket of its own for each task |
//! | `opendal` | `opendal::services::Memcached`; feature `opendal` | one operator, with a connection for each task |
//! | `ringline` | `ringline_memcache::Client`, `io_uring`; feature `ringline` | requests under way on one connection: `ring.rs` |
//!
//! The clients for Python take part if `$PYTHON`, `python3` unless set, can import them. A client that has no call for a workload
//! is left out there.
//!
//! All cycle over the same keys, 100 or, of large values, 10, and check what comes back: the bytes of every single get, of
//! large values the length and both ends, and of a call for many the count, the lengths and a sum over the values. A wrong or a
//! missing value ends the program.
//!
//! The columns: operations per second, median, lowest and highest of the rounds; the ratio to the fastest client of others
//! that blocks too, or that does not, median of the rounds; the latency of an operation that half of them, 99 of 100, and 999 of
//! 1,000 did not exceed; the microseconds of a processor that an operation takes of the client and of the servers; and how much of a core the
//! servers use. A server with one worker can use one core: near 100 % it is the server that is the limit.

mod asynchronous;
mod bare;
mod blocking;
mod client;
mod contest;
mod fair;
mod figures;
mod items;
mod job;
mod plot;
mod python;
#[cfg(feature = "ringline")]
mod ring;
mod stampede;

use self::client::Client;
use self::contest::Contest;
use self::job::{Job, Workload};

/// How many rounds there are unless the command line says otherwise.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fair"] => fair::measure(ROUNDS),
        ["fair", rounds] => fair::measure(number(rounds)),
        ["stampede"] => stampede::measure(ROUNDS),
        ["stampede", rounds] => stampede::measure(number(rounds)),
        [stampede::PROGRAM, client, server] => stampede::program(client, server),
        ["one", workload, client, count, ref servers @ ..] => one(workload, client, number(count), servers),
        _ => contest(&arguments),
    }
}

/// Reads how many rounds or operations there are.
fn number(text: &str) -> usize {
    text.parse().ok().filter(|number| *number > 0).unwrap_or_else(|| usage())
}

/// Measures all clients, prints the table, and writes the plot.
fn contest(mut arguments: &[&str]) {
    let (mut rounds, mut only, mut file) = (ROUNDS, Vec::new(), None);
    loop {
        arguments = match arguments {
            [] => break,
            ["--svg", name, rest @ ..] => {
                file = Some(*name);
                rest
            }
            ["--only", names, rest @ ..] => {
                only = names.split(',').collect();
                rest
            }
            [text, rest @ ..] => {
                rounds = number(text);
                rest
            }
        };
    }
    if !only.iter().all(|name| Workload::parse(name).is_some() || Client::parse(name).is_some()) {
        usage();
    }
    let mut contest = Contest::new(&only);
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        contest.round();
    }
    print!("{contest}");
    if let Some(file) = file {
        std::fs::write(file, contest.svg()).expect("a file that can be written");
    }
}

/// Measures one client under one workload and prints its rate.
fn one(workload: &str, client: &str, count: usize, servers: &[&str]) {
    let (Some(workload), Some(client)) = (Workload::parse(workload), Client::parse(client)) else { usage() };
    if !client.does(workload) || servers.len() != workload.servers {
        usage();
    }
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    items::fill(&servers, workload.size);
    let figures = Job { workload, client, count, servers }.measure();
    println!("{} {} {:.0}", workload.name, client.name(), figures.rate);
}

/// Says how to run the program and ends it.
fn usage() -> ! {
    eprintln!("usage: memcached2-peers [ROUNDS] [--only NAME,...] [--svg FILE]");
    eprintln!("       memcached2-peers fair [ROUNDS]");
    eprintln!("       memcached2-peers stampede [ROUNDS]");
    eprintln!("       memcached2-peers one <workload> <client> <n> <host:port>...");
    for workload in &Workload::ALL {
        let clients: Vec<&str> = workload.clients().map(Client::name).collect();
        eprintln!("workload {}, servers: {}, clients: {}", workload.name, workload.servers, clients.join(" "));
    }
    std::process::exit(2)
}
