//! The threads of a model: callers, and the driver of their connection.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

use loom::future::block_on;
use loom::thread::{self, JoinHandle};
use memcached2_proto::call::Call;
use memcached2_proto::command::{Command, Keyed, RequestBuffer};
use memcached2_proto::opening::Endpoint;
use memcached2_proto::operation::Batch;
use memcached2_proto::reply::ReplyKind;
use memcached2_proto::shared::{AsyncTimer, Driver, Next, NotSubmitted, SharedConnection, exchange};
use memcached2_proto::{Error, Get, Instant, Key, Landed, Now, Operation, Options, Protocol, Reply, Router, Value};

use super::stage::Server;

/// Tries a model in every order, with up to `LOOM_MAX_PREEMPTIONS` switches that no thread asked for, and returns all
/// that came of it.
pub(crate) fn outcomes(model: impl Fn() -> String + Send + Sync + 'static) -> BTreeSet<String> {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let orders = Arc::new(AtomicUsize::new(0));
    let (insert, count) = (Arc::clone(&seen), Arc::clone(&orders));
    builder.check(move || {
        let outcome = model();
        insert.lock().unwrap().insert(outcome);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    eprintln!("{} orders: {seen:?}", orders.load(Ordering::Relaxed));
    seen
}

/// A waker that comes back to the shared connection whenever it is woken or dropped, as a task does whose drop cancels a request.
#[derive(Debug)]
pub(crate) struct Nosy {
    pub(crate) waker: Waker,
    pub(crate) shared: Arc<SharedConnection>,
    /// Whether one of them has asked: each would wake the driver, which drops the next.
    pub(crate) asked: Arc<AtomicBool>,
}

impl Nosy {
    fn come_back(&self) {
        if self.shared.has_ended() || self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Ok(slot) = self.shared.submit(&Get::new("nosy").unwrap(), now(), later()) {
            self.shared.cancel(slot);
        }
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.come_back();
        self.waker.wake_by_ref();
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.come_back();
    }
}

pub(crate) fn now() -> Now {
    Now::fixed(Instant::ZERO + Duration::from_secs(60), UNIX_EPOCH)
}

pub(crate) fn soon() -> Instant {
    now().monotonic + Duration::from_secs(1)
}

pub(crate) fn later() -> Instant {
    now().monotonic + Duration::from_secs(3600)
}

fn endpoint(options: &Options) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(0, &"127.0.0.1".parse().unwrap(), options))
}

pub(crate) fn connect() -> (Driver, Arc<SharedConnection>) {
    Driver::new(&endpoint(&Options::default().protocol(Protocol::Classic)), now())
}

/// A connection on which callers may write.
pub(crate) fn connect_meta() -> (Driver, Arc<SharedConnection>) {
    Driver::new(&endpoint(&Options::default().protocol(Protocol::Meta)), now())
}

/// A connection whose server is asked for its protocol first.
pub(crate) fn connect_probing() -> (Driver, Arc<SharedConnection>) {
    Driver::new(&endpoint(&Options::default()), now())
}

/// Lets callers use a connection that is driven beside them, and closes it. Returns what came of them.
pub(crate) fn served(
    (driver, shared): (Driver, Arc<SharedConnection>),
    servers: Vec<Server>,
    alarm: impl AsyncTimer + 'static,
    callers: impl FnOnce(&Arc<SharedConnection>) -> String,
) -> String {
    let driver = drive_over(driver, servers, alarm);
    let outcome = callers(&shared);
    shared.close();
    driver.join().unwrap();
    outcome
}

/// Starts the driver's thread.
pub(crate) fn drive(driver: Driver, server: Server, alarm: impl AsyncTimer + 'static) -> JoinHandle<()> {
    drive_over(driver, vec![server], alarm)
}

/// Starts the driver's thread; each connection is to the next server.
fn drive_over(mut driver: Driver, servers: Vec<Server>, mut alarm: impl AsyncTimer + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        for mut server in servers {
            if block_on(poll_fn(|cx| driver.poll(cx, &mut server, &mut alarm))) == Next::Over {
                return;
            }
        }
    })
}

/// When a call began that ends by `deadline`.
pub(crate) fn begun(deadline: Instant) -> Now {
    Now::new(deadline - Options::default().timeout, std::time::SystemTime::now)
}

/// A `get` that does not count as a read, so that its error says whether it was sent.
pub(crate) struct TrackedGet<'k>(Get<'k>);

impl Keyed for TrackedGet<'_> {
    fn key(&self) -> Key<'_> {
        self.0.key()
    }
}

impl Command for TrackedGet<'_> {
    type Response = Option<Value>;

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        self.0.encode(protocol, now, out)
    }

    fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
        self.0.answer(reply)
    }
}

/// A whole call, and how it ended.
pub(crate) fn get(shared: &Arc<SharedConnection>, key: &str, deadline: Instant) -> &'static str {
    get_by(shared, key, deadline, Waker::clone)
}

pub(crate) fn get_by(
    shared: &Arc<SharedConnection>,
    key: &str,
    deadline: Instant,
    waker: impl Fn(&Waker) -> Waker,
) -> &'static str {
    word(run(shared, tracked(key), deadline, waker), key)
}

/// A call of two requests, and how each of them ended.
pub(crate) fn get_both(shared: &Arc<SharedConnection>, keys: [&str; 2], deadline: Instant) -> String {
    let results = run(shared, Batch::new(keys.map(tracked).into()), deadline, Waker::clone).unwrap();
    results.into_iter().zip(keys).map(|(result, key)| word(result, key)).collect::<Vec<_>>().join(", ")
}

fn tracked(key: &str) -> TrackedGet<'_> {
    TrackedGet(Get::new(key).unwrap())
}

fn run<O: Operation>(
    shared: &Arc<SharedConnection>,
    operation: O,
    deadline: Instant,
    waker: impl Fn(&Waker) -> Waker,
) -> Result<O::Output, Error> {
    let router = Router::parse(["server"]).unwrap();
    let mut call = Call::new(operation, &router, now());
    loop {
        // A call that is sent again finds no other connection here.
        let mut round = exchange(&mut call, begun(deadline), None, |_, _, _| Ok(Arc::clone(shared)));
        block_on(poll_fn(|cx| Pin::new(&mut round).poll(&mut Context::from_waker(&waker(cx.waker())))));
        drop(round);
        if !call.end_round(|| now().monotonic) {
            return call.finish();
        }
    }
}

fn word(result: Result<Option<Value>, Error>, key: &str) -> &'static str {
    match result {
        Ok(Some(value)) if value == key => "value",
        Err(error) if error.is_timeout() => "timeout",
        Err(Error::Disconnected { landed: Landed::NotSent, .. } | Error::Closed { .. }) => "not sent",
        Err(Error::Disconnected { landed: Landed::Unknown, .. }) => "lost",
        other => panic!("{other:?} is no answer to {key}"),
    }
}

/// A call that is cancelled after it has asked.
pub(crate) fn cancel(shared: &Arc<SharedConnection>, key: &str, waker: Waker) {
    let router = Router::parse(["server"]).unwrap();
    let mut call = Call::new(tracked(key), &router, now());
    let mut conversation = exchange(&mut call, begun(later()), None, |_, _, _| Ok(Arc::clone(shared)));
    let _ = Pin::new(&mut conversation).poll(&mut Context::from_waker(&waker));
    // What the shared connection keeps of it is then the last.
    drop(waker);
    drop(conversation);
}

/// Runs `caller` beside this thread.
pub(crate) fn beside<T: 'static>(
    shared: &Arc<SharedConnection>,
    caller: impl FnOnce(&Arc<SharedConnection>) -> T + 'static,
) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || caller(&shared))
}

pub(crate) fn submit(shared: &SharedConnection, key: &str) -> Result<u32, NotSubmitted> {
    shared.submit(&Get::new(key).unwrap(), now(), later())
}
