//! What an outage costs with a gutter: three servers of memcached and three of the gutter, of which one is killed and one is stopped.
//!
//! ```text
//! cargo run --release -p memcached2-testkit --example outage
//! ```
//!
//! Eight threads get keys at random, within 250 milliseconds each, and store what they miss. For each tenth of a second from the outage on a line says how many calls
//! there were, what part of the gets were hits, how many calls failed, and how long the longest took. The last line says the longest
//! time to live on the gutter's servers, where items stay for 30 seconds and are stored for an hour.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for developers")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_sync::Client;
use memcached2_testkit::{Memcached, Rng};

const KEYS: usize = 3000;
const CALLERS: u64 = 8;
const TIMEOUT: Duration = Duration::from_millis(250);
const SHOWN: usize = 15;
const HOUR: Duration = Duration::from_secs(3600);

/// When a call began and ended; of a get whether it was a hit, of another call nothing.
type Call = (Instant, Instant, Option<bool>, bool);

fn main() {
    let mut servers: Vec<_> = (0..6).map(|_| Memcached::start()).collect();
    let addresses: Vec<_> = servers.iter().map(Memcached::address).collect();
    let (main, gutter) = addresses.split_at(3);
    let gutter_ttl = Duration::from_secs(30);
    let client = Client::builder().servers(main).gutter(gutter, gutter_ttl).timeout(TIMEOUT).build().expect("right");
    let items: Vec<_> = (0..KEYS).map(|number| (format!("key{number}"), "x")).collect();
    client.set_many(&items, HOUR).expect("right").all_stored().expect("all are up");
    let (calls, made) = channel();
    let is_over = AtomicBool::new(false);
    let mut begun = Instant::now();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (client, calls, is_over) = (&client, calls.clone(), &is_over);
            scope.spawn(move || call(client, caller, is_over, &calls));
        }
        drop(calls);
        thread::sleep(Duration::from_millis(300));
        servers[1].suspend();
        servers[0].stop();
        begun = Instant::now();
        thread::sleep(Duration::from_secs(2));
        is_over.store(true, Ordering::Relaxed);
    });
    let mut shown = [(0_u32, 0_u32, 0_u32, 0_u32, Duration::ZERO); SHOWN];
    for (from, until, is_hit, has_failed) in made {
        let Some(since) = until.checked_duration_since(begun) else { continue };
        let Some(slot) = shown.get_mut(usize::try_from(since.as_millis() / 100).unwrap_or(SHOWN)) else { continue };
        slot.0 += 1;
        slot.1 += u32::from(is_hit.is_some());
        slot.2 += u32::from(is_hit == Some(true));
        slot.3 += u32::from(has_failed);
        slot.4 = slot.4.max(until - from);
    }
    for (at, (calls, gets, hits, failed, longest)) in shown.into_iter().enumerate() {
        let rate = f64::from(hits) * 100.0 / f64::from(gets.max(1));
        println!("{:>5} ms: {calls:>6} calls, {rate:5.1} % hits, {failed} failed, longest {longest:.0?}", at * 100);
    }
    let ttl_of = |key: &String| client.metadata(key).ok().flatten().and_then(|item| item.ttl?.remaining());
    let is_moved = |key: &&String| {
        let key = memcached2_proto::Key::new(key).expect("right");
        client.router().route(key).is_ok_and(|server| server.index() < 2)
    };
    let ttls = items.iter().map(|(key, _)| key).filter(is_moved).filter_map(ttl_of);
    println!("the longest time to live on the gutter's servers: {:?}", ttls.max());
}

fn call(client: &Client, caller: u64, is_over: &AtomicBool, calls: &Sender<Call>) {
    let mut rng = Rng::new(caller + 1);
    while !is_over.load(Ordering::Relaxed) {
        let key = format!("key{}", rng.below(KEYS));
        let begun = Instant::now();
        let found = client.get(&key);
        let is_hit = matches!(found, Ok(Some(_)));
        let _ = calls.send((begun, Instant::now(), Some(is_hit), found.is_err()));
        if !is_hit {
            let begun = Instant::now();
            let stored = client.set(&key, "x", HOUR);
            let _ = calls.send((begun, Instant::now(), None, stored.is_err()));
        }
    }
}
