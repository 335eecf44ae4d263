//! How much memory callers can make a client use, whatever their server does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../certificates/mod.rs"]
mod certificates;
mod drop_points;

use std::alloc::System;
use std::future::Future;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use memcached2_proto::opening::Endpoint;
use memcached2_proto::shared::{AsyncStream, AsyncTimer, Driver};
use memcached2_proto::{Error, Expiry, Instant, Now, Options, Protocol, Store};
use memcached2_testkit::Memcached;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;
static VALUE: [u8; 100_000] = [b'x'; 100_000];

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// How many bytes more were in use at one moment of `work` than before, as far as many looks have shown.
fn most_used(work: impl FnOnce()) -> usize {
    let (before, most, ended) = (in_use(), AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(in_use(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        work();
        ended.store(true, Ordering::Relaxed);
    });
    most.into_inner().saturating_sub(before)
}

/// What both clients do, on a runtime of theirs.
trait Subject: Clone + Sized {
    fn made(server: &Memcached, options: Options) -> Self;
    fn store(&self) -> impl Future<Output = Result<(), Error>>;
    fn block_on<T>(future: impl Future<Output = T>) -> T;
}

macro_rules! subject {
    ($client:ty, $block_on:expr) => {
        impl Subject for $client {
            fn made(server: &Memcached, options: Options) -> Self {
                Self::with_options([server.address()], options).expect("the address is right")
            }

            async fn store(&self) -> Result<(), Error> {
                self.set("key", &VALUE, Expiry::Never).await
            }

            fn block_on<T>(future: impl Future<Output = T>) -> T {
                $block_on(future)
            }
        }
    };
}

subject!(memcached2_tokio::Client, |future| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
});
subject!(memcached2_async_std::Client, async_std::task::block_on);

/// A socket that takes a megabyte, and nothing more.
#[derive(Debug)]
struct Full(usize);

impl AsyncStream for Full {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let n = self.0.min(slices.iter().map(|slice| slice.len()).sum());
        self.0 -= n;
        if n > 0 { Poll::Ready(Ok(n)) } else { Poll::Pending }
    }

    fn has_unread(&self) -> bool {
        false
    }
}

/// A clock on which no deadline comes.
#[derive(Debug)]
struct Never;

impl AsyncTimer for Never {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<Instant> {
        Poll::Pending
    }
}

/// Many cancelled calls leave nothing in memory while the server is silent: each would be 100 kB.
fn given_up() {
    let options = Options::default().protocol(Protocol::Meta).unsent_limit(1 << 40);
    let now = Now::new(Instant::ZERO, SystemTime::now);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("a server"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now);
    let (mut socket, mut cx) = (Full(MIB), Context::from_waker(Waker::noop()));
    let store = Store::set("key", &VALUE).expect("a key");
    let (before, mut most) = (in_use(), 0);
    for _ in 0..100 {
        let submit = || shared.submit(&store, now, now.later(Duration::from_secs(60))).expect("an open connection");
        let slots: Vec<_> = (0..50).map(|_| submit()).collect();
        assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
        slots.into_iter().for_each(|slot| shared.cancel(slot));
        assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
        most = most.max(in_use().saturating_sub(before));
    }
    assert!(most < 20 * MIB, "{} MiB were in use", most / MIB);
}

/// Callers who all want to store 100 kB wait for room, and end by their deadline.
fn at_once<S: Subject>() {
    let server = Memcached::start();
    let client = S::made(&server, Options::default().timeout(Duration::from_secs(1)));
    let most = most_used(|| {
        S::block_on(async {
            client.store().await.unwrap();
            server.suspend();
            for told in join_all((0..10_000).map(|_| client.store())).await {
                told.expect_err("the server stands still");
            }
            server.resume();
        });
    });
    assert!(most < 100 * MIB, "{} MiB were in use", most / MIB);
}

/// Of a batch only a part is encoded at a time.
fn batch() {
    let server = Memcached::with().args(["-m", "64"]).start();
    let options = Options::default().timeout(Duration::from_secs(60));
    let client = memcached2_sync::Client::with_options([server.address()], options).expect("the address is right");
    let items = vec![("key", &VALUE[..4000]); 50_000];
    let most = most_used(|| client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap());
    assert!(most < 80 * MIB, "{} MiB were in use", most / MIB);
}

/// Calls that are dropped at any point leave nothing in memory; the first time, libraries keep some for the next time.
fn dropped<S: drop_points::subject::Subject>() {
    let left = [(); 2].map(|()| {
        drop_points::everywhere::<S>(Some("stalling"));
        in_use()
    });
    assert!(left[1] <= left[0] + 16 * 1024, "{left:?} bytes are in use after each time");
}

/// One after the other: they count the bytes of the whole process.
#[test]
fn memory_stays_within_bounds_whatever_callers_and_servers_do() {
    dropped::<memcached2_tokio::Client>();
    dropped::<memcached2_async_std::Client>();
    batch();
    given_up();
    at_once::<memcached2_tokio::Client>();
    at_once::<memcached2_async_std::Client>();
}
