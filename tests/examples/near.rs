//! A meter for the near cache: one workload, one line of figures.
//!
//! ```text
//! cargo run --release -p memcached2-testkit --example near -- <workload> <n> <server>
//! ```
//!
//! It prints `<workload> <gets per second> <CPU microseconds per get>`, and of the server, by its `stats`, `<gets it was asked for>
//! <bytes read> <bytes written>`, each for one `get` of the program.
//!
//! | workload | a get |
//! |---|---|
//! | `hit` | of 100 bytes that are known and fresh |
//! | `confirm` | of 100 KB that are known, and whose time is over |
//! | `zipf` | of one of 100,000 keys, 100 bytes each, by a Zipf distribution with exponent 1; `BYTES` is how much the near cache holds (4 MiB unless set) |
//! | `plain` | as `zipf`, without a near cache |
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for developers")]

use std::time::{Duration, Instant};

use memcached2_proto::Expiry;
use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_sync::{Client, NearCache};
use memcached2_testkit::Rng;

const KEYS: usize = 100_000;
const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, count, server] = &arguments[..] else { usage() };
    let Ok(count) = count.parse::<usize>() else { usage() };
    let client = Client::new([server]).expect("a server").with_timeout(Duration::from_secs(30));
    let near = |bytes, age| client.near_cache(&NearCachePolicy::new(bytes, age));
    match workload.as_str() {
        "hit" | "confirm" => {
            let (size, age) = if workload == "hit" { (100, HOUR) } else { (100_000, Duration::ZERO) };
            client.set("near:key", vec![b'x'; size], Expiry::Never).expect("stored");
            let near = near(1 << 20, age);
            get(&near, "near:key");
            measure(workload, count, &client, |_| get(&near, "near:key"));
        }
        "zipf" | "plain" => {
            let keys = fill(&client);
            let bytes = std::env::var("BYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(4 << 20);
            let (near, mut zipf) = (near(bytes, HOUR), Zipf::new());
            let gets: Vec<_> = (0..count).map(|_| zipf.next()).collect();
            match workload.as_str() {
                "zipf" => measure(workload, count, &client, |at| get(&near, &keys[gets[at]])),
                _ => measure(workload, count, &client, |at| {
                    assert!(client.get(&keys[gets[at]]).expect("an answer").is_some());
                }),
            }
        }
        _ => usage(),
    }
}

fn usage() -> ! {
    println!("usage: near <hit|confirm|zipf|plain> <n> <server>");
    std::process::exit(2)
}

fn get(near: &NearCache, key: &str) {
    assert!(near.get(key).expect("an answer").is_some());
}

/// All keys, of the hottest one first, with their values.
fn fill(client: &Client) -> Vec<String> {
    let keys: Vec<_> = (0..KEYS).map(|at| format!("near:{at:06}")).collect();
    for keys in keys.chunks(1000) {
        let items: Vec<_> = keys.iter().map(|key| (key, [b'x'; 100])).collect();
        client.set_many(&items, Expiry::Never).and_then(|many| many.all_stored()).expect("stored");
    }
    keys
}

/// Key number n is asked for with a probability in proportion to 1 / n.
struct Zipf {
    sums: Vec<f64>,
    rng: Rng,
}

impl Zipf {
    fn new() -> Self {
        let sum = |sum: &mut f64, number: usize| {
            *sum += 1.0 / number as f64;
            Some(*sum)
        };
        Self { sums: (1..=KEYS).scan(0.0, sum).collect(), rng: Rng::new(1) }
    }

    fn next(&mut self) -> usize {
        const STEPS: usize = 1 << 40;
        let at = self.rng.below(STEPS) as f64 / STEPS as f64 * self.sums[KEYS - 1];
        self.sums.partition_point(|sum| *sum < at)
    }
}

fn measure(workload: &str, count: usize, client: &Client, get: impl Fn(usize)) {
    let (before, begun, used) = (usage_of(client), Instant::now(), cpu());
    (0..count).for_each(get);
    let (elapsed, used) = (begun.elapsed(), cpu().saturating_sub(used));
    let after = usage_of(client);
    let (rate, used) = (count as f64 / elapsed.as_secs_f64(), used.as_secs_f64() * 1e6 / count as f64);
    let [gets, read, written] = [0, 1, 2].map(|at| (after[at] - before[at]) / count as f64);
    println!("{workload} {rate:.0} {used:.3} {gets:.4} {read:.1} {written:.1}");
}

/// How many gets the server was asked for, and how many bytes it has read and written.
fn usage_of(client: &Client) -> [f64; 3] {
    let stats = client.stats().and_then(memcached2_sync::BatchResult::into_result).expect("memcached runs there");
    ["cmd_get", "bytes_read", "bytes_written"].map(|name| stats[0].float(name).unwrap_or_default())
}

#[cfg(unix)]
#[expect(clippy::cast_sign_loss, reason = "a clock that does not go back")]
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time of the processor is not measured there.
#[cfg(not(unix))]
fn cpu() -> Duration {
    Duration::ZERO
}
