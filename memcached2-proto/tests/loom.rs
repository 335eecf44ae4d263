//! Every order in which callers and a driver can come to the lock of a [`SharedConnection`], tried one after the other.
//!
//! A lost wake-up and a lock taken twice are both reported by loom as a deadlock.
// How to run: RUSTFLAGS="--cfg loom" cargo test --release -p memcached2-proto --test loom
#![cfg(loom)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "loom/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant, UNIX_EPOCH};

use loom::future::block_on;
use loom::thread::{self, JoinHandle};
use memcached2_proto::shared::{AsyncTimer, Driver, Next, NotSubmitted, SharedConnection, exchange};
use memcached2_proto::{
    Call, Command, Error, Get, Key, Keyed, Landed, Now, Options, Protocol, Reply, ReplyKind, RequestBuffer, Router,
    Value,
};

use self::stage::{Clock, Never, Server};

/// Tries a model in every order, with up to `LOOM_MAX_PREEMPTIONS` switches that no thread asked for, and returns all
/// that came of it.
fn outcomes(model: impl Fn() -> String + Send + Sync + 'static) -> BTreeSet<String> {
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
struct Nosy {
    waker: Waker,
    shared: Arc<SharedConnection>,
    /// Whether one of them has asked: each would wake the driver, which drops the next.
    asked: Arc<AtomicBool>,
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

fn now() -> Now {
    #[expect(clippy::disallowed_methods, reason = "any moment does")]
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    Now::fixed(*START, UNIX_EPOCH)
}

fn soon() -> Instant {
    now().monotonic + Duration::from_secs(1)
}

fn later() -> Instant {
    now().monotonic + Duration::from_secs(3600)
}

fn connect() -> (Driver, Arc<SharedConnection>) {
    Driver::new(&Options::default().protocol(Protocol::Classic), &Arc::default(), now())
}

/// A connection whose server is asked for its protocol first.
fn connect_probing() -> (Driver, Arc<SharedConnection>) {
    Driver::new(&Options::default(), &Arc::default(), now())
}

/// Starts the driver's thread.
fn drive(driver: Driver, server: Server, alarm: impl AsyncTimer + 'static) -> JoinHandle<()> {
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
fn begun(deadline: Instant) -> Now {
    Now::new(deadline - Options::default().timeout, std::time::SystemTime::now)
}

/// A `get` that does not count as a mere read, so that its caller is told whether it was sent.
struct Told<'k>(Get<'k>);

impl Keyed for Told<'_> {
    fn key(&self) -> Key<'_> {
        self.0.key()
    }
}

impl Command for Told<'_> {
    type Response = Option<Value>;

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        self.0.encode(protocol, now, out)
    }

    fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
        self.0.answer(reply)
    }
}

/// A whole call, and how it ended.
fn get(shared: &Arc<SharedConnection>, key: &str, deadline: Instant) -> &'static str {
    get_by(shared, key, deadline, Waker::clone)
}

fn get_by(
    shared: &Arc<SharedConnection>,
    key: &str,
    deadline: Instant,
    waker: impl Fn(&Waker) -> Waker,
) -> &'static str {
    let router = Router::parse(["server"]).unwrap();
    let mut call = Call::new(Told(Get::new(key).unwrap()), &router, now());
    loop {
        // A call that is sent again finds no other connection here.
        let mut round = exchange(&mut call, begun(deadline), None, |_, _| Ok(Arc::clone(shared)));
        block_on(poll_fn(|cx| Pin::new(&mut round).poll(&mut Context::from_waker(&waker(cx.waker())))));
        drop(round);
        if !call.end_round(|| now().monotonic) {
            break;
        }
    }
    match call.finish() {
        Ok(Some(value)) if value == key => "value",
        Err(error) if error.is_timeout() => "timeout",
        Err(Error::Disconnected { landed: Landed::NotSent, .. } | Error::Closed { .. }) => "not sent",
        Err(Error::Disconnected { landed: Landed::Unknown, .. }) => "lost",
        other => panic!("{other:?} is no answer to {key}"),
    }
}

/// A call that is cancelled after it has asked.
fn cancel(shared: &Arc<SharedConnection>, key: &str, waker: Waker) {
    let router = Router::parse(["server"]).unwrap();
    let mut call = Call::new(Told(Get::new(key).unwrap()), &router, now());
    let mut conversation = exchange(&mut call, begun(later()), None, |_, _| Ok(Arc::clone(shared)));
    let _ = Pin::new(&mut conversation).poll(&mut Context::from_waker(&waker));
    // What the shared connection keeps of it is then the last.
    drop(waker);
    drop(conversation);
}

/// Runs `caller` beside this thread.
fn beside<T: 'static>(
    shared: &Arc<SharedConnection>,
    caller: impl FnOnce(&Arc<SharedConnection>) -> T + 'static,
) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || caller(&shared))
}

fn submit(shared: &SharedConnection, key: &str) -> Result<u32, NotSubmitted> {
    shared.submit(&Get::new(key).unwrap(), now(), later())
}

#[test]
fn each_caller_gets_his_own_answer_and_sleeps_through_no_wake() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let driver = drive(driver, Server::new(), Never);
        let one = beside(&shared, |shared| get(shared, "one", later()));
        let other = get(&shared, "other", later());
        let one = one.join().unwrap();
        shared.close();
        driver.join().unwrap();
        format!("{one}, {other}")
    });
    assert_eq!(seen, BTreeSet::from(["value, value".to_owned()]));
}

#[test]
fn a_caller_is_woken_by_the_waker_he_left_last() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let driver = drive(driver, Server::new(), Never);
        let moved = AtomicBool::new(false);
        let outcome = get_by(&shared, "one", later(), |waker| match moved.swap(true, Ordering::Relaxed) {
            true => waker.clone(),
            false => {
                // He is polled again at once, by another task.
                waker.wake_by_ref();
                Waker::noop().clone()
            }
        });
        shared.close();
        driver.join().unwrap();
        outcome.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["value".to_owned()]));
}

#[test]
fn a_caller_who_leaves_takes_nobodys_answer() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let driver = drive(driver, Server::slow(), Never);
        let gone = beside(&shared, |shared| cancel(shared, "gone", Waker::noop().clone()));
        let other = get(&shared, "other", later());
        gone.join().unwrap();
        shared.close();
        driver.join().unwrap();
        other.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["value".to_owned()]));
}

#[test]
fn the_slot_of_a_caller_who_has_left_is_free_once_when_his_answer_has_passed_by() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let driver = drive(driver, Server::slow(), Never);
        cancel(&shared, "gone", Waker::noop().clone());
        // Replies come in order: this one comes behind that to the caller who has gone.
        let next = get(&shared, "next", later());
        let mut slots = [submit(&shared, "x").unwrap(), submit(&shared, "y").unwrap()];
        slots.iter().for_each(|slot| shared.cancel(*slot));
        shared.close();
        driver.join().unwrap();
        slots.sort_unstable();
        format!("{next}, {slots:?}")
    });
    assert_eq!(seen, BTreeSet::from(["value, [0, 1]".to_owned()]));
}

/// What two callers were told fits what the server has heard, and nobody can submit any more.
fn after_the_end(shared: &Arc<SharedConnection>, server: &Server, callers: [(&str, &str); 2]) -> String {
    for (key, outcome) in callers {
        assert_eq!(server.was_asked(key), outcome != "not sent", "{key} ended as {outcome}");
    }
    assert!(matches!(submit(shared, "late"), Err(NotSubmitted::Ended(_))));
    let mut outcomes = callers.map(|(_, outcome)| outcome);
    outcomes.sort_unstable();
    outcomes.join(", ")
}

#[test]
fn everybody_gets_an_answer_when_the_driver_is_dropped() {
    let seen = outcomes(|| {
        let (mut driver, shared) = connect();
        let server = Server::new();
        let mut socket = server.clone();
        let driver = thread::spawn(move || {
            for _ in 0..2 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
            }
        });
        let one = beside(&shared, |shared| get(shared, "one", later()));
        let other = get(&shared, "other", later());
        let one = one.join().unwrap();
        driver.join().unwrap();
        after_the_end(&shared, &server, [("one", one), ("other", other)])
    });
    let possible =
        ["lost, lost", "lost, not sent", "lost, value", "not sent, not sent", "not sent, value", "value, value"];
    assert_eq!(seen, BTreeSet::from(possible.map(str::to_owned)));
}

#[test]
fn everybody_gets_an_answer_when_the_stream_ends() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let server = Server::closing_after(1);
        let driver = drive(driver, server.clone(), Never);
        let one = beside(&shared, |shared| get(shared, "one", later()));
        let other = get(&shared, "other", later());
        let one = one.join().unwrap();
        driver.join().unwrap();
        after_the_end(&shared, &server, [("one", one), ("other", other)])
    });
    let possible = ["lost, value", "not sent, value"];
    assert_eq!(seen, BTreeSet::from(possible.map(str::to_owned)));
}

#[test]
fn a_client_that_closes_waits_for_those_who_have_asked() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let server = Server::new();
        let driver = drive(driver, server.clone(), Never);
        let one = beside(&shared, |shared| get(shared, "one", later()));
        shared.close();
        let other = get(&shared, "other", later());
        let one = one.join().unwrap();
        driver.join().unwrap();
        after_the_end(&shared, &server, [("one", one), ("other", other)])
    });
    assert_eq!(seen, BTreeSet::from(["not sent, not sent", "not sent, value"].map(str::to_owned)));
}

#[test]
fn an_answer_that_comes_at_the_deadline_is_given_once_or_to_nobody() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let clock = Clock::new(now().monotonic);
        let driver = drive(driver, Server::slow(), clock.clone());
        let hasty = beside(&shared, |shared| get(shared, "hasty", soon()));
        clock.turn_to(soon());
        let patient = get(&shared, "patient", later());
        let hasty = hasty.join().unwrap();
        shared.close();
        driver.join().unwrap();
        format!("{hasty}, {patient}")
    });
    let possible = ["value, value", "timeout, value", "timeout, lost", "timeout, not sent"];
    assert_eq!(seen, BTreeSet::from(possible.map(str::to_owned)));
}

#[test]
fn the_slot_of_a_caller_who_was_told_of_his_deadline_is_not_free_before_the_answer_has_passed_by() {
    let seen = outcomes(|| {
        let (driver, shared) = connect();
        let clock = Clock::new(now().monotonic);
        let driver = drive(driver, Server::slow(), clock.clone());
        let turner = thread::spawn(move || clock.turn_to(soon()));
        let hasty = get(&shared, "hasty", soon());
        let next = get(&shared, "next", later());
        turner.join().unwrap();
        shared.close();
        driver.join().unwrap();
        format!("{hasty}, {next}")
    });
    let possible = ["timeout, not sent", "timeout, value", "value, value"];
    assert_eq!(seen, BTreeSet::from(possible.map(str::to_owned)));
}

#[test]
fn a_caller_waits_until_the_protocol_is_known() {
    let seen = outcomes(|| {
        let (driver, shared) = connect_probing();
        let driver = drive(driver, Server::slow(), Never);
        let one = get(&shared, "one", later());
        shared.close();
        driver.join().unwrap();
        one.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["value".to_owned()]));
}

#[test]
fn a_caller_who_is_cancelled_before_the_protocol_is_known_keeps_nobody() {
    let seen = outcomes(|| {
        let (driver, shared) = connect_probing();
        let driver = drive(driver, Server::new(), Never);
        let other = beside(&shared, |shared| get(shared, "other", later()));
        cancel(&shared, "gone", Waker::noop().clone());
        let other = other.join().unwrap();
        shared.close();
        driver.join().unwrap();
        other.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["value".to_owned()]));
}

#[test]
fn a_server_that_closes_on_the_question_for_its_protocol_costs_nobody_anything() {
    let seen = outcomes(|| {
        let (driver, shared) = connect_probing();
        let driver = drive_over(driver, vec![Server::closing_after(0), Server::new()], Never);
        let one = get(&shared, "one", later());
        shared.close();
        driver.join().unwrap();
        one.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["value".to_owned()]));
}

#[test]
fn a_deadline_may_pass_before_the_protocol_is_known() {
    let seen = outcomes(|| {
        let (driver, shared) = connect_probing();
        let clock = Clock::new(now().monotonic);
        // That it is silent may be taken for an answer, and then it is connected to once more.
        let driver = drive_over(driver, vec![Server::slow(), Server::slow()], clock.clone());
        let turner = thread::spawn(move || clock.turn_to(soon()));
        let hasty = get(&shared, "hasty", soon());
        turner.join().unwrap();
        shared.close();
        driver.join().unwrap();
        hasty.to_owned()
    });
    assert_eq!(seen, BTreeSet::from(["timeout", "value"].map(str::to_owned)));
}

#[test]
fn a_waker_that_comes_back_to_the_mux_finds_it_unlocked() {
    for (closes, expected) in [(false, &["timeout", "value"][..]), (true, &["not sent"])] {
        let seen = outcomes(move || {
            let (mut driver, shared) = connect();
            let clock = Clock::new(now().monotonic);
            let asked = Arc::new(AtomicBool::new(false));
            let nosy = move |waker: &Waker, shared: &Arc<SharedConnection>| {
                let (waker, shared, asked) = (waker.clone(), Arc::clone(shared), Arc::clone(&asked));
                Waker::from(Arc::new(Nosy { waker, shared, asked }))
            };
            cancel(&shared, "gone", nosy(Waker::noop(), &shared));
            let caller = beside(&shared, {
                let nosy = nosy.clone();
                move |shared| get_by(shared, "one", soon(), |waker| nosy(waker, shared))
            });
            let driver = beside(&shared, {
                let mut server = if closes { Server::closing_after(0) } else { Server::slow() };
                let mut alarm = clock.clone();
                move |shared| {
                    block_on(poll_fn(|cx| {
                        driver.poll(&mut Context::from_waker(&nosy(cx.waker(), shared)), &mut server, &mut alarm)
                    }));
                }
            });
            clock.turn_to(soon());
            let outcome = caller.join().unwrap();
            shared.close();
            driver.join().unwrap();
            outcome.to_owned()
        });
        assert_eq!(seen, expected.iter().copied().map(str::to_owned).collect());
    }
}
