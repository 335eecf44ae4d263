//! Three programs miss one key together: how often its value is computed, and what the others wait.
//!
//! Each program has 200 tasks on a Tokio runtime with two workers and one client with its default options, whose connections are
//! open. All 600 tasks fetch the same key at once. To compute its value takes 50 ms. The clients take turns within a round.
//!
//! | client | what it is |
//! |---|---|
//! | `tokio` | `fetch` of `memcached2_tokio::Client` |
//! | `tokio-classic` | the same on a server that does not speak meta |
//! | `memcache-exp` | `fetch` of `memcache::exp::AsyncMemcache` |
//! | `get-then-set` | what a program does without `fetch`, with `memcached2_tokio::Client` |
//!
//! | scenario | what there is before |
//! |---|---|
//! | `cold` | nothing |
//! | `refresh` | a value that expires in 20 seconds, and is to be computed again in its last 30 |
//! | `stale` | a value that was marked as stale |
//! | `killed` | nothing; the program that computes first is killed meanwhile. The lease of memcached2 is 2 seconds, that of `memcache-exp` cannot be set and is 30 |
//!
//! The columns: how often the value was computed in a round, at least and at most; the latency of a call whose caller did
//! not compute, in milliseconds, p50 and p99 as medians of the rounds, and the longest of all; in how many rounds the new
//! value was stored at the end; how many calls returned a value that is neither the new one nor the one that was there. For `killed`
//! the last column says how long after that the last call of the others returned, at least and at most.
//!
//! The second table is that of `races.rs`.

mod clients;
mod herd;
mod races;
mod source;

use std::time::{Duration, Instant};

use memcached2_testkit::Memcached;

pub(crate) use self::clients::Kind;
use self::herd::Herd;
pub(crate) use self::source::program;
use crate::contest::median;
use crate::figures::Latency;

/// The first argument of a program that takes part.
pub(crate) const PROGRAM: &str = "stampede-program";
/// How many programs there are.
const PROGRAMS: usize = 3;
/// How many tasks each has.
const TASKS: usize = 200;
/// How long a computation takes.
const COMPUTATION: Duration = Duration::from_millis(50);
/// How long memcached2 keeps others from computing.
const LEASE: Duration = Duration::from_secs(2);
/// How long the new value may take to be stored after the last call has returned: one client computes in the background.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// What there is before the key is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Cold,
    Refresh,
    Stale,
    Killed,
}

impl Scenario {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Cold, "cold"), (Self::Refresh, "refresh"), (Self::Stale, "stale"), (Self::Killed, "killed")];

    /// Returns who can take part.
    fn clients(self) -> &'static [Kind] {
        match self {
            Self::Cold => &[Kind::Tokio, Kind::TokioClassic, Kind::MemcacheExp, Kind::GetThenSet],
            Self::Refresh | Self::Stale => &[Kind::Tokio, Kind::MemcacheExp],
            Self::Killed => &[Kind::Tokio, Kind::TokioClassic, Kind::MemcacheExp],
        }
    }
}

/// What a turn has shown.
#[derive(Debug)]
struct Turn {
    computations: usize,
    wrong: usize,
    is_stored: bool,
    latencies: Vec<Duration>,
    /// From the end of the first program that computed to the end of the last call.
    after_kill: Option<Duration>,
}

/// Measures every scenario this many times, runs the races, and prints the tables.
pub(crate) fn measure(rounds: usize) {
    let server = Memcached::start();
    let lines: Vec<_> = Scenario::ALL
        .into_iter()
        .flat_map(|(scenario, name)| scenario.clients().iter().map(move |kind| (scenario, name, *kind)))
        .collect();
    let mut turns: Vec<Vec<Turn>> = lines.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for ((scenario, name, kind), turns) in lines.iter().zip(&mut turns) {
            turns.push(turn(*scenario, *kind, &format!("{name}:{}:{round}", kind.name()), &server));
        }
    }
    println!(
        "{:<10}{:<15}{:>13}{:>9}{:>9}{:>9}{:>8}{:>7}  after the kill",
        "scenario", "client", "computations", "p50 ms", "p99 ms", "max ms", "stored", "wrong"
    );
    for ((_, name, kind), turns) in lines.iter().zip(&turns) {
        print_line(name, *kind, turns);
    }
    races::measure(&server.address());
}

fn print_line(scenario: &str, kind: Kind, turns: &[Turn]) {
    let computations = range(turns.iter().map(|turn| turn.computations.to_string()).collect());
    let latencies: Vec<_> = turns.iter().filter_map(|turn| Latency::of(turn.latencies.clone())).collect();
    let of = |figure: fn(&Latency) -> Duration| median(latencies.iter().map(|turn| millis(figure(turn))).collect());
    let longest = turns.iter().flat_map(|turn| &turn.latencies).max().copied().unwrap_or_default();
    let stored = turns.iter().filter(|turn| turn.is_stored).count();
    let wrong: usize = turns.iter().map(|turn| turn.wrong).sum();
    let after_kill = turns.iter().filter_map(|turn| turn.after_kill).map(|time| format!("{:.2}", time.as_secs_f64()));
    print!("{scenario:<10}{:<15}{computations:>13}", kind.name());
    print!("{:>9.2}{:>9.2}{:>9.2}", of(|turn| turn.p50), of(|turn| turn.p99), millis(longest));
    print!("{:>8}{wrong:>7}", format!("{stored}/{}", turns.len()));
    match range(after_kill.collect()).as_str() {
        "" => println!(),
        range => println!("  {range} s"),
    }
}

/// The least and the greatest.
fn range(mut texts: Vec<String>) -> String {
    texts.sort_by(|one, other| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    match (texts.first(), texts.last()) {
        (Some(first), Some(last)) if first != last => format!("{first}..{last}"),
        (first, _) => first.cloned().unwrap_or_default(),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Lets all programs fetch a key.
fn turn(scenario: Scenario, kind: Kind, key: &str, server: &Memcached) -> Turn {
    let mut herd = Herd::start(kind, &server.address());
    match scenario {
        Scenario::Refresh => herd.ask(0, &format!("store {key}"), "stored"),
        Scenario::Stale => {
            herd.ask(0, &format!("store {key}"), "stored");
            herd.ask(0, &format!("invalidate {key}"), "invalidated");
        }
        Scenario::Cold | Scenario::Killed => {}
    }
    let has_old = matches!(scenario, Scenario::Refresh | Scenario::Stale);
    herd.ask_all(&format!("prepare {key} {has_old}"), "ready");
    herd.tell_all("go");
    let killed = (scenario == Scenario::Killed).then(|| herd.kill_the_first_that_computes());
    let (latencies, wrong) = herd.results();
    let after_kill = killed.map(|at| at.elapsed());
    let is_stored = is_stored(key, &server.address());
    herd.ask_all("end", "ended");
    Turn { computations: herd.computations(), wrong, is_stored, latencies, after_kill }
}

/// Whether the new value is there. A classic `get` takes nobody's right to compute.
fn is_stored(key: &str, server: &str) -> bool {
    let options = crate::items::options().protocol(memcached2_sync::Protocol::Classic);
    let client = memcached2_sync::Client::with_options([server], options).expect("a server");
    let begun = Instant::now();
    loop {
        let value = client.get(key).expect("an answer");
        if value.is_some_and(|value| value == source::NEW) {
            return true;
        }
        if begun.elapsed() > STORED_WITHIN {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
