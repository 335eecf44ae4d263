//! One client on several Tokio runtimes, also when one of them has ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use memcached2_testkit::assert_matches;
use std::future::pending;
use std::pin::pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::topology::ServerSource;
use memcached2_proto::{Error, Expiry, Landed, Options};
use memcached2_testkit::Memcached;
use memcached2_tokio::Client;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const PATIENT: Duration = Duration::from_secs(30);

fn patient(server: &Memcached) -> Client {
    Client::with_options([server.address()], Options::default().timeout(PATIENT)).expect("the address is right")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn store_and_fetch(client: &Client, name: &str) {
    let calls = (0..50).map(|at| async move {
        let name = format!("{name}-{at}");
        client.set(&name, &name, Expiry::Never).await.unwrap();
        assert_eq!(client.get(&name).await.unwrap().expect("a hit"), name.as_str());
    });
    timeout(PATIENT, join_all(calls)).await.expect("it does not hang");
}

/// The server of the static client. A static is never dropped, so the server runs only while a test holds a [`Lease`].
struct House {
    server: Memcached,
    guests: usize,
}

static HOUSE: LazyLock<Mutex<House>> = LazyLock::new(|| {
    let mut server = Memcached::start();
    server.stop();
    Mutex::new(House { server, guests: 0 })
});

static CLIENT: LazyLock<Client> = LazyLock::new(|| patient(&house().server));

fn house() -> MutexGuard<'static, House> {
    HOUSE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Lease;

impl Lease {
    fn new() -> Self {
        let mut house = house();
        if house.guests == 0 {
            house.server.restart();
        }
        house.guests += 1;
        Self
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut house = house();
        house.guests -= 1;
        if house.guests == 0 {
            house.server.stop();
        }
    }
}

#[tokio::test]
async fn a_static_client_serves_the_runtime_of_one_test() {
    let _lease = Lease::new();
    store_and_fetch(&CLIENT, "one").await;
}

#[tokio::test]
async fn a_static_client_serves_the_runtime_of_another_test() {
    let _lease = Lease::new();
    store_and_fetch(&CLIENT, "another").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_client_serves_a_runtime_of_several_threads() {
    let _lease = Lease::new();
    let tasks = (0..4).map(|task| tokio::spawn(async move { store_and_fetch(&CLIENT, &format!("task{task}")).await }));
    join_all(tasks).await.into_iter().for_each(|task| task.expect("the task does not panic"));
}

#[test]
fn a_static_client_serves_many_runtimes_at_once_and_one_after_the_other() {
    let _lease = Lease::new();
    thread::scope(|scope| {
        for thread in 0..6 {
            scope.spawn(move || {
                for round in 0..5 {
                    let runtime = if (thread + round) % 2 == 0 { current_thread() } else { multi_thread() };
                    runtime.block_on(store_and_fetch(&CLIENT, &format!("thread{thread}-{round}")));
                }
            });
        }
    });
}

#[test]
fn a_client_whose_runtime_was_dropped_works_on_the_next_one() {
    let server = Memcached::start();
    let client = patient(&server);
    for make in [current_thread, multi_thread, current_thread] {
        make().block_on(store_and_fetch(&client, "key"));
    }
}

#[test]
fn a_call_whose_runtime_is_dropped_ends() {
    let server = Memcached::start();
    let client = patient(&server);
    let (first, second) = (current_thread(), current_thread());
    first.block_on(client.set("a", "x", Expiry::Never)).unwrap();
    let mut read = pin!(client.get("a"));
    let mut write = pin!(client.set("a", "y", Expiry::Never));
    first.block_on(async {
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(read.as_mut().poll(&mut nobody).is_pending());
        assert!(write.as_mut().poll(&mut nobody).is_pending());
    });
    drop(first);
    // A read may be retried on the runtime that it is polled on now; a write ends with its outcome.
    let (read, write) = second.block_on(async { timeout(PATIENT, futures::future::join(read, write)).await }).unwrap();
    assert_eq!(read.unwrap().expect("a hit").data().len(), 1);
    match write {
        Ok(()) => {}
        Err(error) => assert!(matches!(error.landed(), Landed::Unknown | Landed::NotSent), "{error}"),
    }
    second.block_on(store_and_fetch(&client, "key"));
}

#[test]
fn a_runtime_that_is_not_polled_holds_up_no_other_one() {
    let server = Memcached::start();
    let client = patient(&server);
    let (asleep, awake) = (current_thread(), current_thread());
    asleep.block_on(store_and_fetch(&client, "first"));
    let mut held = pin!(client.get("first-0"));
    asleep.block_on(async {
        assert!(held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    awake.block_on(store_and_fetch(&client, "second"));
    assert_eq!(asleep.block_on(held).unwrap().expect("a hit"), "first-0");
    asleep.block_on(store_and_fetch(&client, "third"));
}

#[test]
fn a_call_without_a_runtime_is_an_error() {
    let client = Client::new(["127.0.0.1:1"]).unwrap();
    let error = async_std::task::block_on(client.get("a")).unwrap_err();
    assert_matches!((&error, error.landed()), (Error::NoRuntime { .. }, Landed::NotSent));
    let mut source = ServerSource::srv("_memcached._tcp.cache.example").unwrap();
    let refreshed = async_std::task::block_on(client.refresh_servers(&mut source));
    assert_matches!(refreshed, Err(Error::NoRuntime { .. }));
    let mut refreshed = Vec::new();
    let source = ServerSource::dns("127.0.0.1:1").unwrap();
    async_std::task::block_on(client.follow_servers(source, PATIENT, |result| refreshed.push(result)));
    assert_matches!(&refreshed[..], [Err(Error::NoRuntime { .. })]);
    assert!(async_std::task::block_on(client.close(PATIENT)));
}

#[test]
fn a_client_that_is_closed_without_a_runtime_ends_its_connections_at_once() {
    let server = Memcached::start();
    let client = patient(&server);
    let runtime = current_thread();
    runtime.block_on(client.set("a", "x", Expiry::Never)).unwrap();
    assert!(!async_std::task::block_on(client.close(PATIENT)), "their runtime stands still");
    assert!(runtime.block_on(client.close(PATIENT)));
}

#[test]
fn a_caller_without_a_runtime_that_follows_another_one_computes_for_itself() {
    let server = Memcached::start();
    let client = patient(&server);
    let (runtime, policy) = (current_thread(), FetchPolicy::new(PATIENT));
    let mut leader = pin!(client.fetch("a", &policy, async || pending::<Result<&str, Error>>().await));
    runtime.block_on(async {
        assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    let computed = async_std::task::block_on(client.fetch("a", &policy, async || Ok::<_, Error>("x")));
    assert_eq!(computed.unwrap(), "x");
}
