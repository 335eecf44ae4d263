//! Small gets beside large transfers: what sharing a client costs them.
//!
//! One task does small gets, one after the other, and measures each. Beside it other tasks keep a load up. Three turns of each
//! load follow one another, so that they meet the same machine: the small gets alone, over the client of the load
//! (`shared`), and over a client of their own (`own`). The last one is the floor: what the load costs by its use of the
//! processors and of the server. It is done on a Tokio runtime with two workers, and on one with a single thread, against a memcached
//! with two threads.
//!
//! | load | what runs all the time |
//! |---|---|
//! | `up-1`, `up-8` | that many tasks, each with sets of 1 MB, one after the other |
//! | `down-1`, `down-8` | the same with gets of 1 MB |
//! | `many` | a task with calls of `get_many` for 5,000 keys of 100 bytes |
//!
//! The columns: the latency of a get that half of them, and that 99 of 100, did not exceed, in microseconds; the ratios of
//! p99 to that alone; and how much the load has moved, in MB a second. All are medians of the rounds, the ratios of ratios
//! within a round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memcached2_tokio::{BatchResult, Bytes, Client, Expiry};
use tokio::runtime;
use tokio::task::JoinHandle;

use crate::contest::median;
use crate::figures::Latency;
use crate::items::{Items, options};

/// How long a turn takes, besides the time to come up to speed.
const TURN: Duration = Duration::from_millis(700);
/// How long small gets run before they are measured.
const WARM_UP: Duration = Duration::from_millis(150);
/// The size of a small value.
const SMALL: usize = 10;
/// The size of a large value.
const LARGE: usize = 1_000_000;
/// How many keys a large batch has.
const KEYS: usize = 5_000;

/// What else is going on.
#[derive(Debug, Clone, Copy)]
enum Load {
    Up(usize),
    Down(usize),
    Many,
}

impl Load {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Up(1), "up-1"),
        (Self::Up(8), "up-8"),
        (Self::Down(1), "down-1"),
        (Self::Down(8), "down-8"),
        (Self::Many, "many"),
    ];
}

/// What a round has shown of one load.
#[derive(Debug)]
struct Turns {
    alone: Latency,
    shared: (Latency, f64),
    own: (Latency, f64),
}

/// Measures every load this many times, on two kinds of runtime, and prints the tables.
pub(crate) fn measure(rounds: usize) {
    let server = memcached2_testkit::Memcached::with().args(["-I", "2m", "-m", "256"]).start();
    crate::items::fill(&[server.address()], SMALL);
    for (name, mut builder) in
        [("2 workers", runtime::Builder::new_multi_thread()), ("1 thread", runtime::Builder::new_current_thread())]
    {
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
        let round = |_| Load::ALL.map(|(load, _)| runtime.block_on(turns(load, &server.address())));
        let all: Vec<_> = (0..rounds).map(round).collect();
        println!(
            "{name:<10}{:>10}{:>10}{:>8}{:>11}{:>10}{:>8}{:>8}{:>8}{:>10}{:>8}",
            "p50 alone", "shared", "own", "p99 alone", "shared", "own", "ratio", "own", "MB/s", "own"
        );
        for (at, (_, name)) in Load::ALL.iter().enumerate() {
            let of = |figure: fn(&Turns) -> f64| median(all.iter().map(|round| figure(&round[at])).collect());
            print!("{name:<10}{:>10.0}", of(|turns| micros(turns.alone.p50)));
            print!("{:>10.0}{:>8.0}", of(|turns| micros(turns.shared.0.p50)), of(|turns| micros(turns.own.0.p50)));
            print!("{:>11.0}", of(|turns| micros(turns.alone.p99)));
            print!("{:>10.0}{:>8.0}", of(|turns| micros(turns.shared.0.p99)), of(|turns| micros(turns.own.0.p99)));
            let ratio = |beside: fn(&Turns) -> Latency| {
                let ratio = |round: &[Turns; 5]| micros(beside(&round[at]).p99) / micros(round[at].alone.p99);
                median(all.iter().map(ratio).collect())
            };
            print!("{:>8.1}{:>8.1}", ratio(|turns| turns.shared.0), ratio(|turns| turns.own.0));
            println!("{:>10.0}{:>8.0}", of(|turns| turns.shared.1), of(|turns| turns.own.1));
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Measures the small gets alone, over the client of the load, and over a client of their own.
async fn turns(load: Load, server: &str) -> Turns {
    let client = || Client::with_options([server], options()).expect("a server");
    let alone = small_gets(client()).await;
    let mut beside = Vec::new();
    for is_shared in [true, false] {
        let busy = client();
        let running = Running::start(load, &busy).await;
        let before = (Instant::now(), running.moved.load(Ordering::Relaxed));
        let latency = small_gets(if is_shared { busy.clone() } else { client() }).await;
        let bytes = running.moved.load(Ordering::Relaxed) - before.1;
        beside.push((latency, bytes as f64 / 1e6 / before.0.elapsed().as_secs_f64()));
        running.stop().await;
    }
    Turns { alone, shared: beside[0], own: beside[1] }
}

/// Does small gets one after the other, in a task.
async fn small_gets(client: Client) -> Latency {
    let items = Items::of(SMALL);
    let gets = async move {
        let (begun, mut latencies, mut at) = (Instant::now(), Vec::new(), 0);
        while begun.elapsed() < WARM_UP + TURN {
            let started = Instant::now();
            let value = client.get(items.key(at)).await.expect("an answer");
            if begun.elapsed() > WARM_UP {
                latencies.push(started.elapsed());
            }
            items.check(at, value);
            at += 1;
        }
        latencies
    };
    Latency::of(tokio::spawn(gets).await.expect("a task that does not panic")).expect("gets")
}

/// A load while it runs.
struct Running {
    ends: Arc<AtomicBool>,
    /// How many bytes of values it has moved.
    moved: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start(load: Load, client: &Client) -> Self {
        let (ends, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (count, keys) = match load {
            Load::Up(count) | Load::Down(count) => (count, (0..count).map(|at| format!("large:{at}")).collect()),
            Load::Many => (1, (0..KEYS).map(|at| format!("many:{at:06}")).collect::<Vec<_>>()),
        };
        let value = Bytes::from(vec![b'x'; if matches!(load, Load::Many) { 100 } else { LARGE }]);
        let items: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
        client.set_many(&items, Expiry::Never).await.and_then(BatchResult::into_result).expect("stored");
        let task = |at: usize| {
            let (client, keys, value, ends, moved) =
                (client.clone(), keys.clone(), value.clone(), ends.clone(), moved.clone());
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let bytes = match load {
                        Load::Up(_) => {
                            client.set(&keys[at], &value, Expiry::Never).await.expect("stored");
                            value.len()
                        }
                        Load::Down(_) => client.get(&keys[at]).await.expect("an answer").expect("a value").data().len(),
                        Load::Many => {
                            let values = client.get_many(&keys).await.and_then(BatchResult::into_result);
                            values.expect("answers").iter().flatten().map(|value| value.data().len()).sum()
                        }
                    };
                    moved.fetch_add(bytes as u64, Ordering::Relaxed);
                }
            })
        };
        Self { tasks: (0..count).map(task).collect(), ends, moved }
    }

    async fn stop(self) {
        self.ends.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a task that does not panic");
        }
    }
}
