//! A thousand races of a `delete` with a computation: whether a value that is old stays in the cache.
//!
//! In each race two clients fetch the same key, which is missing, from a source that has a number. Meanwhile the number grows by
//! one and the key is deleted. When all is done, what is stored is the newest number or nothing. A seed decides how long each
//! one waits before it begins, and a computation before it returns. `STAMPEDE_SEED` sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memcached2_testkit::Rng;
use tokio::runtime;

use super::clients::{Client, Kind};

const RACES: u64 = 1_000;
/// No one waits longer than this: a few round trips.
const LONGEST_MICROS: usize = 600;

/// Runs the races with each client and prints the table.
pub(super) fn measure(server: &str) {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let seed = std::env::var("STAMPEDE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").subsec_nanos().into()
    });
    println!();
    println!("{RACES} races of delete and compute, STAMPEDE_SEED={seed}");
    println!("{:<15}{:>10}{:>10}{:>12}", "client", "newest", "nothing", "old stays");
    for kind in Kind::ALL {
        let [newest, nothing, old] = runtime.block_on(races(kind, server, &mut Rng::new(seed)));
        println!("{:<15}{newest:>10}{nothing:>10}{old:>12}", kind.name());
    }
}

/// After how many races there is the newest value, nothing, and an old one.
async fn races(kind: Kind, server: &str, rng: &mut Rng) -> [u64; 3] {
    let clients = [Client::new(kind, server).await, Client::new(kind, server).await];
    let source = Arc::new(AtomicU64::new(0));
    let mut ends = [0; 3];
    for race in 0..RACES {
        let key = format!("race:{}:{race}", kind.name());
        let mut micros = || Duration::from_micros(rng.below(LONGEST_MICROS) as u64);
        let fetch = |client: &Client| {
            let (client, source, key) = (client.clone(), source.clone(), key.clone());
            let (before, computation) = (micros(), micros());
            tokio::spawn(async move {
                pause(before).await;
                let compute = async move {
                    let number = source.load(Ordering::SeqCst);
                    pause(computation).await;
                    number.to_string()
                };
                client.fetch(&key, compute).await
            })
        };
        let fetches = clients.each_ref().map(fetch);
        let change = {
            let (client, source, key, before) = (clients[0].clone(), source.clone(), key.clone(), micros());
            tokio::spawn(async move {
                pause(before).await;
                source.fetch_add(1, Ordering::SeqCst);
                client.delete(&key).await;
            })
        };
        for fetch in fetches {
            fetch.await.expect("a task that does not panic");
        }
        change.await.expect("a task that does not panic");
        let newest = source.load(Ordering::SeqCst).to_string();
        let end = match clients[1].get(&key).await {
            Some(stored) if stored == newest => 0,
            None => 1,
            Some(_) => 2,
        };
        ends[end] += 1;
    }
    ends
}

/// Waits for less than a timer can.
async fn pause(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        tokio::task::yield_now().await;
    }
}
