//! Every order in which callers and a driver can take the lock of a [`SharedConnection`], tried one after the other.
//!
//! A lost wake-up and a lock taken twice are both reported by loom as a deadlock.
// How to run: RUSTFLAGS="--cfg loom" cargo test --release -p memcached2-loom
#![cfg(all(loom, test))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

mod stage;
mod threads;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::thread;
use memcached2_proto::shared::{NotSubmitted, SharedConnection};

use self::stage::{Clock, Never, Server};
use self::threads::{
    Nosy, beside, cancel, connect, connect_meta, connect_probing, drive, get, get_both, get_by, later, now, outcomes,
    served, soon, submit,
};

fn set(outcomes: &[&str]) -> BTreeSet<String> {
    outcomes.iter().copied().map(str::to_owned).collect()
}

#[test]
fn each_caller_gets_its_own_answer_and_misses_no_wake() {
    let seen = outcomes(|| {
        served(connect(), vec![Server::new()], Never, |shared| {
            let one = beside(shared, |shared| get(shared, "one", later()));
            let other = get(shared, "other", later());
            let one = one.join().unwrap();
            format!("{one}, {other}")
        })
    });
    assert_eq!(seen, set(&["value, value"]));
}

#[test]
fn a_caller_is_woken_by_its_latest_waker() {
    let seen = outcomes(|| {
        served(connect(), vec![Server::new()], Never, |shared| {
            let moved = AtomicBool::new(false);
            let outcome = get_by(shared, "one", later(), |waker| match moved.swap(true, Ordering::Relaxed) {
                true => waker.clone(),
                false => {
                    // It is polled again at once, by another task.
                    waker.wake_by_ref();
                    Waker::noop().clone()
                }
            });
            outcome.to_owned()
        })
    });
    assert_eq!(seen, set(&["value"]));
}

/// The clock is looked at between its two requests, or when the first one was answered.
#[test]
fn the_rest_of_a_batch_ends_by_its_deadline_though_the_server_says_nothing_more() {
    let seen = outcomes(|| {
        let clock = Clock::new(now().monotonic);
        let second = soon() - now().monotonic;
        served(connect(), vec![Server::silent_after(2)], clock.clone(), |shared| {
            let before = get(shared, "before", soon());
            let hand = clock.clone();
            let turner = thread::spawn(move || [soon(), soon() + second].into_iter().for_each(|at| hand.turn_to(at)));
            let both = get_both(shared, ["one", "other"], soon() + second);
            turner.join().unwrap();
            // The reply to the last one is not waited for any longer.
            clock.turn_to(soon() + 20 * second);
            format!("{before}, {both}")
        })
    });
    let possible = ["value, timeout, not sent", "value, timeout, timeout", "value, value, timeout"];
    assert_eq!(seen, set(&possible));
}

#[test]
fn a_cancelled_call_takes_no_other_callers_answer() {
    let seen = outcomes(|| {
        served(connect(), vec![Server::slow()], Never, |shared| {
            let gone = beside(shared, |shared| cancel(shared, "gone", Waker::noop().clone()));
            let other = get(shared, "other", later());
            gone.join().unwrap();
            other.to_owned()
        })
    });
    assert_eq!(seen, set(&["value"]));
}

#[test]
fn the_slot_of_a_cancelled_call_is_freed_once_after_its_reply_was_discarded() {
    let seen = outcomes(|| {
        served(connect(), vec![Server::slow()], Never, |shared| {
            cancel(shared, "gone", Waker::noop().clone());
            // Replies come in order: this one comes after that of the cancelled call.
            let next = get(shared, "next", later());
            let mut slots = [submit(shared, "x").unwrap(), submit(shared, "y").unwrap()];
            slots.iter().for_each(|slot| shared.cancel(*slot));
            slots.sort_unstable();
            format!("{next}, {slots:?}")
        })
    });
    assert_eq!(seen, set(&["value, [0, 1]"]));
}

/// The results of two callers match what the server has received, and nothing can be submitted any more.
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
    assert_eq!(seen, set(&possible));
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
    assert_eq!(seen, set(&possible));
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
    assert_eq!(seen, set(&["not sent, not sent", "not sent, value"]));
}

#[test]
fn an_answer_at_the_deadline_is_delivered_once_or_not_at_all() {
    let seen = outcomes(|| {
        let clock = Clock::new(now().monotonic);
        served(connect(), vec![Server::slow()], clock.clone(), |shared| {
            let hasty = beside(shared, |shared| get(shared, "hasty", soon()));
            clock.turn_to(soon());
            let patient = get(shared, "patient", later());
            let hasty = hasty.join().unwrap();
            format!("{hasty}, {patient}")
        })
    });
    let possible = ["value, value", "timeout, value", "timeout, lost", "timeout, not sent"];
    assert_eq!(seen, set(&possible));
}

#[test]
fn the_slot_of_a_timed_out_call_is_not_reused_before_its_reply_was_discarded() {
    let seen = outcomes(|| {
        let clock = Clock::new(now().monotonic);
        served(connect(), vec![Server::slow()], clock.clone(), |shared| {
            let turner = thread::spawn(move || clock.turn_to(soon()));
            let hasty = get(shared, "hasty", soon());
            let next = get(shared, "next", later());
            turner.join().unwrap();
            format!("{hasty}, {next}")
        })
    });
    let possible = ["timeout, not sent", "timeout, value", "value, value"];
    assert_eq!(seen, set(&possible));
}

#[test]
fn a_caller_waits_until_the_probe_is_answered() {
    let seen = outcomes(|| {
        served(connect_probing(), vec![Server::slow()], Never, |shared| {
            let one = get(shared, "one", later());
            one.to_owned()
        })
    });
    assert_eq!(seen, set(&["value"]));
}

#[test]
fn a_call_cancelled_before_the_probe_was_answered_delays_no_other_call() {
    let seen = outcomes(|| {
        served(connect_probing(), vec![Server::new()], Never, |shared| {
            let other = beside(shared, |shared| get(shared, "other", later()));
            cancel(shared, "gone", Waker::noop().clone());
            let other = other.join().unwrap();
            other.to_owned()
        })
    });
    assert_eq!(seen, set(&["value"]));
}

#[test]
fn a_server_that_closes_on_the_probe_fails_no_call() {
    let seen = outcomes(|| {
        served(connect_probing(), vec![Server::closing_after(0), Server::new()], Never, |shared| {
            let one = get(shared, "one", later());
            one.to_owned()
        })
    });
    assert_eq!(seen, set(&["value"]));
}

#[test]
fn a_deadline_may_pass_before_the_probe_is_answered() {
    let seen = outcomes(|| {
        let clock = Clock::new(now().monotonic);
        // That it is silent may be taken for an answer, and then it is connected to once more.
        served(connect_probing(), vec![Server::slow(), Server::slow()], clock.clone(), |shared| {
            let turner = thread::spawn(move || clock.turn_to(soon()));
            let hasty = get(shared, "hasty", soon());
            turner.join().unwrap();
            hasty.to_owned()
        })
    });
    assert_eq!(seen, set(&["timeout", "value"]));
}

/// The reply may come before the caller has given the lock back.
#[test]
fn the_reply_to_what_a_caller_has_written_finds_its_request() {
    let seen = outcomes(|| {
        let server = Server::new().direct();
        let outcome = served(connect_meta(), vec![server.clone()], Never, |shared| {
            ["before", "one", "other"].map(|key| get(shared, key, later())).join(", ")
        });
        format!("{outcome}, {} of them directly", server.written_directly())
    });
    let possible = [0, 1, 2].map(|direct| format!("value, value, value, {direct} of them directly"));
    assert_eq!(seen, possible.into());
}

#[test]
fn a_call_that_was_cancelled_after_it_had_written_takes_no_other_callers_answer() {
    let seen = outcomes(|| {
        let server = Server::slow().direct();
        let outcome = served(connect_meta(), vec![server.clone()], Never, |shared| {
            let before = get(shared, "before", later());
            cancel(shared, "gone", Waker::noop().clone());
            let other = get(shared, "other", later());
            format!("{before}, {other}")
        });
        format!("{outcome}, {} of them directly", server.written_directly())
    });
    let possible = [0, 1, 2].map(|direct| format!("value, value, {direct} of them directly"));
    assert_eq!(seen, possible.into());
}

#[test]
fn what_a_caller_has_written_counts_as_sent_when_the_driver_is_dropped() {
    let seen = outcomes(|| {
        let (mut driver, shared) = connect_meta();
        let server = Server::new().direct();
        let mut socket = server.clone();
        let driver = thread::spawn(move || {
            for _ in 0..3 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
            }
        });
        let one = get(&shared, "one", later());
        let other = get(&shared, "other", later());
        driver.join().unwrap();
        after_the_end(&shared, &server, [("one", one), ("other", other)])
    });
    let possible = ["not sent, not sent", "lost, not sent", "not sent, value", "lost, value", "value, value"];
    assert_eq!(seen, set(&possible));
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
        assert_eq!(seen, set(expected));
    }
}
