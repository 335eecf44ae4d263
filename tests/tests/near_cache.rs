//! Near caches of several clients under many mixed operations: no value is older than what its own client has written, and
//! none is older than the near cache allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "near_cache/deadline.rs"]
mod deadline;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_proto::observer::Event;
use memcached2_proto::{Expiry, Observer, Options, Value};
use memcached2_sync::{Client, NearCache};
use memcached2_testkit::{EmbeddedServer, Rng};

const CLIENTS: usize = 3;
/// Threads that share a near cache.
const THREADS: usize = 2;
/// Each belongs to one of the clients, which alone writes it.
const KEYS: usize = 60;
const MAX_AGE: Duration = Duration::from_millis(20);

/// A million take 80 s on two cores: `OPERATIONS=1000000`.
fn operations() -> usize {
    std::env::var("OPERATIONS").map_or(100_000, |number| number.parse().expect("OPERATIONS is a number"))
}

/// A write of a key; the first one has the number 1.
#[derive(Debug, Clone, Copy, Default)]
struct Write {
    number: u64,
    is_delete: bool,
}

/// What is known of the writes of a key.
#[derive(Debug, Default)]
struct Writes {
    /// Held during a write: its number.
    last: Mutex<u64>,
    /// What has ended lately, and when.
    ended: Mutex<VecDeque<(Instant, Write)>>,
    /// The last delete that has begun.
    deleted: AtomicU64,
}

impl Writes {
    fn write(&self, is_delete: bool, act: impl FnOnce(u64)) {
        /// So many are remembered: a get that needs older ones checks less.
        const REMEMBERED: usize = 500;
        let mut last = self.last.lock().unwrap();
        *last += 1;
        if is_delete {
            self.deleted.store(*last, Ordering::SeqCst);
        }
        act(*last);
        let mut ended = self.ended.lock().unwrap();
        ended.push_back((Instant::now(), Write { number: *last, is_delete }));
        if ended.len() > REMEMBERED {
            ended.pop_front();
        }
    }

    /// The last write that had ended by then.
    fn ended_by(&self, moment: Instant) -> Write {
        let ended = self.ended.lock().unwrap();
        ended.iter().rev().find(|(at, _)| *at <= moment).map(|(_, write)| *write).unwrap_or_default()
    }

    /// Checks that a value is that of this write, or of a later one.
    #[track_caller]
    fn assert_not_older(&self, value: Option<&Value>, than: Write, what: &str) {
        match value {
            Some(value) => {
                let number: u64 = value.parse().unwrap();
                let is_older = number < than.number || (number == than.number && than.is_delete);
                assert!(!is_older, "{number} came after {than:?}, which {what}");
            }
            None => {
                let deleted = self.deleted.load(Ordering::SeqCst);
                assert!(than.number <= deleted, "nothing came after {than:?}, which {what}; {deleted} was a delete");
            }
        }
    }
}

/// How many requests there were.
#[derive(Debug, Default)]
struct Requests(AtomicU64);

impl Observer for Requests {
    fn on_request(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one thread does with the near cache of a client.
fn work(near: &NearCache, client: usize, keys: &[Writes], mut rng: Rng) {
    for _ in 0..operations() / CLIENTS / THREADS {
        // Some keys are asked for more often than others.
        let at = rng.below(KEYS).min(rng.below(KEYS));
        let (key, writes) = (format!("key{at}"), &keys[at]);
        let is_own = at % CLIENTS == client;
        if is_own && rng.once_in(10) {
            match rng.below(4) {
                0 => writes.write(true, |_| _ = near.delete(&key).unwrap()),
                1 => writes.write(false, |number| {
                    near.set_many(&[(&key, number)], Expiry::Never).unwrap().all_stored().unwrap();
                }),
                _ => writes.write(false, |number| near.set(&key, number, Expiry::Never).unwrap()),
            }
            continue;
        }
        let begun = Instant::now();
        let (own, known) = (writes.ended_by(begun), writes.ended_by(begun - MAX_AGE));
        let value = match rng.once_in(10) {
            true => near.get_many(&[&key]).unwrap().into_result().unwrap().pop().unwrap(),
            false => near.get(&key).unwrap(),
        };
        writes.assert_not_older(value.as_ref(), known, "is older than the near cache allows");
        if is_own {
            writes.assert_not_older(value.as_ref(), own, "is of the same client");
        }
    }
}

fn mixed(version: &str) {
    let server = EmbeddedServer::with().version(version).start();
    let requests = Arc::new(Requests::default());
    let keys: Vec<_> = (0..KEYS).map(|_| Writes::default()).collect();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let observer: Arc<dyn Observer> = Arc::<Requests>::clone(&requests);
            let options = Options::default().timeout(Duration::from_secs(30)).observer(observer);
            let of_client = Client::with_options([server.address()], options).unwrap();
            let near = of_client.near_cache(&NearCachePolicy::new(1 << 20, MAX_AGE));
            for thread in 0..THREADS {
                let (near, keys, rng) = (near.clone(), &keys, Rng::new((client * THREADS + thread) as u64 + 1));
                scope.spawn(move || work(&near, client, keys, rng));
            }
        }
    });
    let requests = requests.0.load(Ordering::Relaxed);
    println!("{} operations on memcached {version} took {requests} requests", operations());
    assert!(requests < operations() as u64, "nothing was returned without a request");
}

#[test]
fn nothing_is_older_than_an_own_write_or_the_bound_on_a_server_that_confirms_versions() {
    mixed("1.6.45");
}

#[test]
fn nothing_is_older_than_an_own_write_or_the_bound_on_an_older_server() {
    mixed("1.6.18");
}
