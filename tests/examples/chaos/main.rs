//! Whether a client keeps its promises while everything fails: real servers are killed, stopped, filled and started again, the network
//! delays, cuts, resets and swallows, and callers drop their calls.
//!
//! ```text
//! cargo run --release -p memcached2-testkit --example chaos -- [OPERATIONS] [seed=N] [short] [WORD ..]
//! ```
//!
//! A scene is a transport (`sync`, `tokio`, `async-std`), `plain` or `tls`, and servers: `one`, three with `failover`, three and one of
//! the `gutter`, two `replicas` of two, three without failover and with a `journal`. Words choose among them; without any all 30 are
//! played. `short` plays one for each transport, plain and by TLS. OPERATIONS are keys that were answered,
//! those of batches too; without a number there are 300,000.
//! `strict` counts old values as stale where none are promised not to be read, too, to see that they would be noticed.
//!
//! Each value names its key and a version, and has a checksum. The last columns count what must not happen, and the exit status is 1 if
//! any of them is not 0:
//!
//! * **wrong values**: a value of another key, or one that was never written
//! * **stale reads**: a value older than the last write that succeeded (`one`), or that was tried (`journal`); the others promise nothing
//! * **landed lies**: a write was found of which the client had said that it has had no effect
//! * **miscounted**: n calls of `incr` were answered and m may have landed, and the counter is not between n and n + m
//! * **late**: a call has returned more than 50 ms after its deadline of 200 ms; **excused** is one that was late because this process had no
//!   processor, as the system says, or a thread that only sleeps has seen at the same time
//! * **panics**, also in tasks; **stuck**: calls fail still when all servers are back, or the client cannot be closed
//! * **sockets**, **tasks** (of `sync`: threads) and bytes of **memory** that are left at the end of a scene
#![expect(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

mod caller;
#[path = "../../certificates/mod.rs"]
mod certificates;
mod faults;
mod ledger;
mod pulse;
#[path = "../../tests/stress/relay.rs"]
mod relay;
mod scene;
mod subject;
mod tally;

use std::alloc::System;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use memcached2_testkit::Memcached;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::scene::{PANICS, Scene, Topology, play};
use crate::subject::Subject;
use crate::tally::{Tally, Violation};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes are in use.
fn memory() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// A transport, and how a scene is played by it.
type Transport = (&'static str, fn(&Scene) -> Tally);

const TRANSPORTS: [Transport; 3] = [
    (memcached2_sync::Client::NAME, play::<memcached2_sync::Client>),
    (memcached2_tokio::Client::NAME, play::<memcached2_tokio::Client>),
    (memcached2_async_std::Client::NAME, play::<memcached2_async_std::Client>),
];

const CHANNELS: [(bool, &str); 2] = [(false, "plain"), (true, "tls")];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let operations = arguments.iter().find_map(|word| number(Some(word))).unwrap_or(300_000);
    let of_now =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos().into());
    let seed = arguments.iter().find_map(|word| number(word.strip_prefix("seed="))).unwrap_or_else(of_now);
    let is_short = arguments.iter().any(|word| word == "short");
    println!("chaos {operations} seed={seed}");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    pulse::start();
    let scenes = scenes(&arguments, is_short, seed);
    let mut warmed = Vec::new();
    let mut all_well = true;
    let begun = Instant::now();
    heading();
    for (number, ((name, play), is_tls, topology)) in (0..).zip(&scenes) {
        let (is_tls, topology) = (*is_tls, *topology);
        let operations = operations / scenes.len() as u64;
        let faults = if is_short { 2 } else { 6 };
        let (refuses, is_closed) = (number % 3 == 1, number % 2 == 0);
        let seed = seed.wrapping_add(number);
        let is_strict = arguments.iter().any(|word| word == "strict");
        let scene =
            Scene { topology, is_tls, is_strict, is_warm_up: false, refuses, is_closed, seed, operations, faults };
        if !warmed.contains(name) {
            // Libraries keep some memory and threads for the next time.
            warmed.push(*name);
            let is_tls = !Memcached::has_no_tls_for("warming up");
            play(&Scene { operations: 5000, faults: 1, is_tls, is_warm_up: true, ..scene });
        }
        let at = Instant::now();
        let tally = play(&scene);
        let servers = Topology::ALL.iter().find(|(kind, _)| *kind == topology).map_or("", |(_, name)| name);
        let channel = if is_tls { "tls" } else { "plain" };
        line(&format!("{name} {channel} {servers}"), &tally);
        let examples = tally.examples();
        if !examples.is_empty() {
            all_well = false;
            eprintln!(
                "{name} {channel} {servers} seed={seed}, after {:.1?}:\n  {}",
                at.elapsed(),
                examples.join("\n  ")
            );
        }
    }
    println!("\n{:.0?}", begun.elapsed());
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The scenes that the words choose.
fn scenes(words: &[String], is_short: bool, seed: u64) -> Vec<(Transport, bool, Topology)> {
    let chosen = |name: &str, names: &[&str]| {
        words.iter().any(|word| word == name) || !words.iter().any(|word| names.contains(&word.as_str()))
    };
    let transports = TRANSPORTS.map(|(name, _)| name);
    let channels = CHANNELS.map(|(_, name)| name);
    let topologies = Topology::ALL.map(|(_, name)| name);
    let mut scenes = Vec::new();
    for transport in TRANSPORTS.into_iter().filter(|(name, _)| chosen(name, &transports)) {
        for (is_tls, _) in CHANNELS.into_iter().filter(|(_, name)| chosen(name, &channels)) {
            if is_tls && Memcached::has_no_tls_for("chaos by TLS") {
                continue;
            }
            let mut all: Vec<_> = Topology::ALL.into_iter().filter(|(_, name)| chosen(name, &topologies)).collect();
            if is_short {
                let place = (seed as usize + scenes.len()) % all.len();
                all = vec![all[place]];
            }
            scenes.extend(all.into_iter().map(|(topology, _)| (transport, is_tls, topology)));
        }
    }
    scenes
}

fn heading() {
    let violations = Violation::ALL.map(|(_, name)| name).join(" | ");
    println!("| scene | operations | answered | values read | dropped | errors | faults | excused | {violations} |");
    println!("|{}", "---|".repeat(8 + Violation::ALL.len()));
}

fn line(scene: &str, tally: &Tally) {
    let list = |counts: BTreeMap<&str, u64>| {
        let counts: Vec<_> = counts.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        counts.join(", ")
    };
    let counts = [&tally.operations, &tally.answered, &tally.hits, &tally.dropped, &tally.excused];
    let [operations, answered, hits, dropped, excused] = counts.map(|count| count.load(Ordering::Relaxed));
    let (errors, faults) = (list(tally.errors()), list(tally.faults_by_kind()));
    let violations = Violation::ALL.map(|(kind, _)| tally.count_of(kind).to_string()).join(" | ");
    println!(
        "| {scene} | {operations} | {answered} | {hits} | {dropped} | {errors} | {faults} | {excused} | {violations} |"
    );
}
