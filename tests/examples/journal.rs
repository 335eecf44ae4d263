//! Whether old values come back after outages: random writes by a client with a journal while servers are stopped, killed and started again.
//!
//! ```text
//! cargo run --release -p memcached2-testkit --example journal [-- OPERATIONS [none]]
//! ```
//!
//! Four threads set, delete and get keys of their own on three servers, a million times in all unless said otherwise, without
//! failover. Meanwhile one server after the other stands still for a while, or is killed and started anew. At the end all servers are up, and each key is
//! read: a value that was stored before the last delete of its key that has returned, whatever it has returned, is an old one. `none` does the
//! same without a journal.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for developers")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::routing::Journal;
use memcached2_sync::{Client, Expiry, ReconnectPolicy};
use memcached2_testkit::{Memcached, Rng};

const CALLERS: usize = 4;
const KEYS: usize = 500;
const TIMEOUT: Duration = Duration::from_millis(50);

/// What a thread has done.
#[derive(Default)]
struct Done {
    /// The version of each key's last delete.
    deleted: HashMap<usize, u64>,
    failed: usize,
    /// Values that were read, and were older than a delete.
    old: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let operations = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(1_000_000_usize);
    let mut servers: Vec<_> = (0..3).map(|_| Memcached::start()).collect();
    let journal = Arc::new(Journal::new(10_000));
    let soon = ReconnectPolicy::After(Duration::from_millis(20));
    let mut builder = Client::builder().servers(servers.iter().map(Memcached::address)).failover(false);
    if !arguments.contains(&"none".to_owned()) {
        builder = builder.journal(Arc::clone(&journal));
    }
    let client = builder.timeout(TIMEOUT).connect_timeout(TIMEOUT).reconnect(soon).build().expect("right");
    let (begun, is_over, most) = (Instant::now(), AtomicBool::new(false), AtomicUsize::new(0));
    let mut outages = 0;
    let done: Vec<Done> = thread::scope(|scope| {
        let (client, journal, most) = (&client, &journal, &most);
        let caller = |number| scope.spawn(move || call(client, number, operations / CALLERS, journal, most));
        let callers: Vec<_> = (0..CALLERS).map(caller).collect();
        let is_over = &is_over;
        let outages = &mut outages;
        let servers = &mut servers;
        let breaker = scope.spawn(move || {
            let mut rng = Rng::new(99);
            while !is_over.load(Ordering::Relaxed) {
                let server = &mut servers[rng.below(3)];
                match rng.below(3) {
                    0 => server.restart(),
                    _ => {
                        server.suspend();
                        thread::sleep(Duration::from_millis(150));
                        server.resume();
                    }
                }
                *outages += 1;
                thread::sleep(Duration::from_millis(100));
            }
        });
        let done = callers.into_iter().map(|caller| caller.join().expect("no panic")).collect();
        is_over.store(true, Ordering::Relaxed);
        breaker.join().expect("no panic");
        done
    });
    let all_read = |client: &Client| (0..CALLERS * KEYS).all(|key| client.get(name(key / KEYS, key % KEYS)).is_ok());
    while !all_read(&client) {
        assert!(begun.elapsed() < Duration::from_secs(600), "the servers do not come back");
    }
    let mut old = 0;
    for (caller, done) in done.iter().enumerate() {
        for (key, deleted) in &done.deleted {
            let value = client.get(name(caller, *key)).expect("it is up");
            old += usize::from(value.is_some_and(|value| value.parse::<u64>().expect("a number") < *deleted));
        }
    }
    let (failed, old_before) =
        (done.iter().map(|done| done.failed).sum::<usize>(), done.iter().map(|done| done.old).sum::<usize>());
    println!("{operations} operations in {:.0?}, {outages} outages, {failed} operations failed", begun.elapsed());
    println!("old values: {old_before} read meanwhile, {old} left at the end");
    let most = most.into_inner();
    println!("keys in the journal: {most} at most, {} at the end, {} dropped", journal.len(), journal.dropped());
}

fn name(caller: usize, key: usize) -> String {
    format!("key:{caller}:{key}")
}

fn call(client: &Client, caller: usize, operations: usize, journal: &Journal, most: &AtomicUsize) -> Done {
    let (mut rng, mut done) = (Rng::new(caller as u64 + 1), Done::default());
    for version in 1..=operations as u64 {
        let key = rng.below(KEYS);
        let name = name(caller, key);
        let is_ok = match rng.below(4) {
            0 => client.set(&name, version, Expiry::Never).is_ok(),
            1 => {
                let deleted = client.delete(&name).is_ok();
                done.deleted.insert(key, version);
                deleted
            }
            _ => {
                let found = client.get(&name);
                let deleted = done.deleted.get(&key).copied().unwrap_or(0);
                if let Ok(Some(value)) = &found {
                    done.old += usize::from(value.parse::<u64>().expect("a number") < deleted);
                }
                found.is_ok()
            }
        };
        done.failed += usize::from(!is_ok);
        if version % 1000 == 0 {
            most.fetch_max(journal.len(), Ordering::Relaxed);
        }
    }
    done
}
