//! Many threads and tasks on one client while servers are killed, restarted and frozen and networks delay, break and lose
//! data: no caller gets the value of another key, and afterwards sockets, waiting calls and memory are what they were before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

mod stress {
    pub(crate) mod chaos;
    pub(crate) mod relay;
    pub(crate) mod traffic;
}

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use memcached2_proto::{Options, ReconnectPolicy};
use memcached2_testkit::{Memcached, Rng};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::stress::chaos::{Chaos, PATIENT, weather};
use crate::stress::relay::Relay;
use crate::stress::traffic::{self, Traffic};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes are in use.
fn memory() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// How many files this process has open, sockets among them.
fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn options() -> Options {
    let (min_delay, max_delay) = (Duration::from_millis(20), Duration::from_millis(200));
    Options::default().timeout(Duration::from_millis(500)).reconnect(ReconnectPolicy::Backoff { min_delay, max_delay })
}

/// One piece in this many has a fault.
const ONE_IN: usize = 300;

/// What may remain: what libraries keep for the next time.
const SLACK: usize = 256 * 1024;

/// Runs the traffic and the chaos twice: what remains after the first time may stay, such as the memory of threads; the
/// second time must add nothing.
fn stress(round: impl Fn(&[String], &dyn Fn(&Traffic))) {
    let servers = std::cell::RefCell::new((0..3).map(|_| Memcached::start()).collect::<Vec<_>>());
    let addresses: Vec<_> = servers.borrow().iter().map(Memcached::address).collect();
    let mut left = Vec::new();
    for _ in 0..2 {
        round(&addresses, &|traffic| Chaos::new(&mut servers.borrow_mut(), traffic).run());
        let relays: Vec<_> =
            addresses.iter().zip(1..).map(|(address, seed)| Relay::start(address, seed * 1000, ONE_IN)).collect();
        let behind: Vec<_> = relays.iter().map(Relay::address).collect();
        round(&behind, &|traffic| weather(&relays, traffic));
        drop(relays);
        left.push((memory(), files()));
    }
    let [(memory, files), (memory_after, files_after)] = left[..] else { panic!("two rounds") };
    assert_eq!(files_after, files, "sockets are left open");
    assert!(memory_after <= memory + SLACK, "{memory} bytes became {memory_after}");
}

/// One test, since the memory is that of the whole process.
#[test]
fn no_get_returns_the_value_of_another_key_while_servers_stop_and_restart() {
    stress(threads);
    stress(tasks);
}

fn threads(addresses: &[String], happen: &dyn Fn(&Traffic)) {
    const THREADS: u64 = 32;
    let client = memcached2_sync::Client::with_options(addresses, options().pool_connections(8)).unwrap();
    let traffic = Traffic::default();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let (client, traffic) = (client.clone(), &traffic);
                scope.spawn(move || {
                    let mut rng = Rng::new(seed);
                    while traffic.goes_on() {
                        traffic::call!(client, traffic, rng, []);
                    }
                })
            })
            .collect();
        happen(&traffic);
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
    });
    // The servers are up again, and no call waits.
    (0..100).for_each(|at| assert_eq!(client.delete(format!("none{at}")), Ok(false)));
    assert!(client.close(PATIENT), "connections are in use by nobody");
}

/// A task that calls until the traffic ends, by a client and with a timeout of its runtime.
macro_rules! caller {
    ($client:expr, $traffic:expr, $seed:expr, $timeout:path) => {{
        let (client, traffic, mut rng) = ($client.clone(), Arc::clone($traffic), Rng::new($seed));
        async move {
            while traffic.goes_on() {
                // Some callers lose patience half-way.
                let patience = if rng.once_in(4) { rng.below(2000) as u64 } else { 60_000_000 };
                let call = async { traffic::call!(client, traffic, rng, [.await]) };
                let _ = $timeout(Duration::from_micros(patience), call).await;
            }
        }
    }};
}

/// The servers are up again, and no call waits.
macro_rules! assert_well {
    ($client:expr) => {
        async {
            for at in 0..100 {
                assert_eq!($client.delete(format!("none{at}")).await, Ok(false));
            }
            assert!($client.close(PATIENT).await, "somebody waits still");
        }
    };
}

/// One half of the tasks is on Tokio, the other one on async-std: both go through the same storm.
fn tasks(addresses: &[String], happen: &dyn Fn(&Traffic)) {
    const TASKS: u64 = 256;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let on_tokio = memcached2_tokio::Client::with_options(addresses, options()).unwrap();
    let on_async_std = memcached2_async_std::Client::with_options(addresses, options()).unwrap();
    let traffic = &Arc::new(Traffic::default());
    let spawn = |seed| runtime.spawn(caller!(on_tokio, traffic, seed, tokio::time::timeout));
    let tokios: Vec<_> = (1..=TASKS / 2).map(spawn).collect();
    let spawn = |seed| async_std::task::spawn(caller!(on_async_std, traffic, seed, async_std::future::timeout));
    let async_stds: Vec<_> = (TASKS / 2 + 1..=TASKS).map(spawn).collect();
    happen(traffic);
    runtime.block_on(async {
        join_all(tokios).await.into_iter().for_each(|caller| caller.expect("no panic"));
        assert_well!(on_tokio).await;
    });
    async_std::task::block_on(async {
        join_all(async_stds).await;
        assert_well!(on_async_std).await;
    });
}
