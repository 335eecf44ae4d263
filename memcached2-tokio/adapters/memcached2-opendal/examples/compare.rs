//! Measures this service beside the one that comes with OpenDAL, on the same memcached, in turn: how long reads and writes take, which
//! reads are wrong after dropped ones, what a silent server costs, and whether a time to live of 60 days is kept.
//!
//! ```text
//! cargo run --release --example compare
//! ```
//!
//! It needs memcached. The figures of the README come from it.

use std::error::Error;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use memcached2_opendal::Memcached2;
use memcached2_testkit::Memcached;
use opendal::Operator;
use opendal::services::Memcached as Reference;
use tokio::task::yield_now;
use tokio::time::timeout;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many operations are timed of each.
const TIMED: usize = 200;
/// How many reads follow a dropped one.
const AFTER_DROPS: u32 = 10_000;
/// No more of them than fit into this time.
const TIME_FOR_DROPS: Duration = Duration::from_secs(30);
/// How long an operation on a silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// One of the two, with what was measured.
struct Contestant {
    name: &'static str,
    make: fn(&str, Option<Duration>) -> opendal::Result<Operator>,
    reads: Vec<Duration>,
    writes: Vec<Duration>,
}

impl Contestant {
    fn new(name: &'static str, make: fn(&str, Option<Duration>) -> opendal::Result<Operator>) -> Self {
        Self { name, make, reads: Vec::new(), writes: Vec::new() }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    if !Memcached::installed() {
        return Err("memcached is not installed".into());
    }
    let server = Memcached::start();
    let endpoint = format!("tcp://{}", server.address());
    let mut both = [
        Contestant::new("memcached2-opendal", |endpoint, ttl| {
            let builder = Memcached2::default().endpoint(endpoint);
            Operator::new(ttl.into_iter().fold(builder, Memcached2::default_ttl))
        }),
        Contestant::new("services-memcached", |endpoint, ttl| {
            let builder = Reference::default().endpoint(endpoint);
            Operator::new(ttl.into_iter().fold(builder, Reference::default_ttl))
        }),
    ];
    time(&mut both, &endpoint).await?;
    println!("| | {} |", both.each_ref().map(|one| one.name).join(" | "));
    println!("|---|---|---|");
    row("a read of 1 KB, p50", &both, |one| format!("{:?}", median(&one.reads)));
    row("a write of 1 KB, p50", &both, |one| format!("{:?}", median(&one.writes)));
    let mut wrong = Vec::new();
    let mut silent = Vec::new();
    let mut kept = Vec::new();
    for one in &both {
        wrong.push(read_after_drops(one, &endpoint).await?);
        silent.push(ask_silent_server(one).await?);
        kept.push(keep_for_60_days(one, &endpoint).await);
    }
    println!("| reads after a dropped one | {} |", wrong.join(" | "));
    println!("| a read from a silent server | {} |", silent.join(" | "));
    println!("| an item with a ttl of 60 days | {} |", kept.join(" | "));
    Ok(())
}

fn row(what: &str, both: &[Contestant], cell: impl Fn(&Contestant) -> String) {
    println!("| {what} | {} |", both.iter().map(cell).collect::<Vec<_>>().join(" | "));
}

/// In turn, so that both meet the same machine.
async fn time(both: &mut [Contestant], endpoint: &str) -> Result<()> {
    let mut operators = Vec::new();
    for one in &*both {
        let operator = (one.make)(endpoint, None)?;
        // It connects.
        operator.write("before", "x").await?;
        operators.push(operator);
    }
    for number in 0..TIMED {
        for (one, operator) in both.iter_mut().zip(&operators) {
            let path = format!("{} {number}", one.name);
            let begun = Instant::now();
            operator.write(&path, vec![b'x'; 1000]).await?;
            one.writes.push(begun.elapsed());
            let begun = Instant::now();
            let read = operator.read(&path).await?;
            one.reads.push(begun.elapsed());
            if read.len() != 1000 {
                return Err(format!("{} has read {} bytes", one.name, read.len()).into());
            }
        }
    }
    Ok(())
}

/// Reads after reads that were dropped at any moment of the time that one takes.
async fn read_after_drops(one: &Contestant, endpoint: &str) -> Result<String> {
    let operator = (one.make)(endpoint, None)?;
    for path in ["first", "second"] {
        operator.write(path, path).await?;
    }
    let (begun, step) = (Instant::now(), median(&one.reads) / 10);
    let (mut reads, mut wrong, mut errors) = (0, 0, 0);
    while reads < AFTER_DROPS && begun.elapsed() < TIME_FOR_DROPS {
        tokio::select! {
            _ = operator.read("first") => {}
            () = spin(step * (reads % 13)) => {}
        }
        match timeout(PATIENCE, operator.read("second")).await {
            Ok(Ok(read)) if read.to_vec() == b"second" => {}
            Ok(Ok(_)) => wrong += 1,
            Ok(Err(_)) | Err(_) => errors += 1,
        }
        reads += 1;
    }
    Ok(format!("{wrong} of {reads} wrong, {errors} failed"))
}

/// A timer of Tokio has whole milliseconds.
async fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        yield_now().await;
    }
}

async fn ask_silent_server(one: &Contestant) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let operator = (one.make)(&format!("tcp://{}", listener.local_addr()?), None)?;
    let begun = Instant::now();
    Ok(match timeout(PATIENCE, operator.read("first")).await {
        Ok(_) => format!("an error after {:.2} s", begun.elapsed().as_secs_f64()),
        Err(_) => format!("waits, after {} s, too", PATIENCE.as_secs()),
    })
}

async fn keep_for_60_days(one: &Contestant, endpoint: &str) -> String {
    let ttl = Duration::from_secs(60 * 24 * 60 * 60);
    let operator = match (one.make)(endpoint, Some(ttl)) {
        Ok(operator) => operator,
        Err(error) => return format!("refused: {}", error.kind()),
    };
    let stored = operator.write("kept", "content").await;
    match (stored, operator.read("kept").await) {
        (Ok(_), Ok(_)) => "a hit".into(),
        (stored, read) => format!("stored {}, read {}", stored.is_ok(), read.is_ok()),
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
