//! Values that are computed once for all who miss together.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use memcached2_proto::command::meta::MetaDelete;
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::{Error, Expiry, Protocol};
use memcached2_testkit::{Gate, assert_matches};

use super::servers::{Kind, Server};
use super::setting::{BRIEF, HOUR, PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        one_caller_computes_for_all_who_miss,
        one_program_computes_and_the_others_wait,
        a_failed_computation_lets_the_next_caller_compute,
        what_was_deleted_or_stored_meanwhile_stays_so,
        no_old_value_stays_after_races_of_delete_and_compute,
        that_there_is_no_value_is_stored_on_request,
        a_stale_value_is_served_while_one_computes since (1, 6, 10),
        one_caller_computes_before_the_value_expires since (1, 6, 10),
        failed_computations_delete_no_old_value since (1, 6, 10),
        a_caller_that_has_waited_long_enough_computes_for_itself,
    }
    scripted {
        a_server_that_is_down_is_no_error,
    }
}

/// Two programs, for each protocol that the server speaks.
fn each(on: Kind, case: impl Fn(Protocol, &Server, &Client, &Client)) {
    for protocol in on.protocols() {
        let server = on.start();
        let client =
            || Client::with_options([server.address()], forgetful(PATIENT).protocol(*protocol)).expect("right");
        case(*protocol, &server, &client(), &client());
    }
}

fn policy() -> FetchPolicy {
    FetchPolicy::new(HOUR).lease(PATIENT).wait(PATIENT)
}

/// Does something within a computation: on a thread of its own, because an asynchronous client runs the computation.
fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join().expect("no panic"))
}

fn never() -> Result<&'static str, Error> {
    panic!("it was computed again")
}

fn one_caller_computes_for_all_who_miss(on: Kind) {
    each(on, |_, server, client, _| {
        let (computed, barrier) = (AtomicUsize::new(0), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let compute = || Ok::<_, Error>(computed.fetch_add(1, Ordering::Relaxed) as u64);
                    assert_eq!(client.fetch("page", &policy(), compute).unwrap(), "0");
                });
            }
        });
        assert_eq!(computed.into_inner(), 1);
        assert!(server.holds("page"));
        assert_eq!(client.get("page").unwrap().unwrap(), "0");
    });
}

fn one_program_computes_and_the_others_wait(on: Kind) {
    each(on, |_, _, first, second| {
        let (computing, computed) = (Gate::new("computing"), Gate::new("computed"));
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                first.fetch("page", &policy(), || {
                    computing.open();
                    computed.wait();
                    Ok::<_, Error>("x")
                })
            });
            computing.wait();
            let loser = scope.spawn(|| second.fetch("page", &policy(), never));
            // It may not have asked yet: then it finds the value.
            computed.open();
            assert_eq!(leader.join().unwrap().unwrap(), "x");
            assert_eq!(loser.join().unwrap().unwrap(), "x");
        });
    });
}

fn a_failed_computation_lets_the_next_caller_compute(on: Kind) {
    each(on, |protocol, server, first, second| {
        let short = policy().lease(Duration::from_secs(1));
        let failed = first.fetch("page", &short, || Err::<&str, _>(Error::value("no template")));
        assert_matches!(failed, Err(Error::Value { .. }));
        // Without meta the next one waits until the lease ends.
        assert!(protocol == Protocol::Classic || !server.holds("page"));
        assert_eq!(second.fetch("page", &short, || Ok::<_, Error>("x")).unwrap(), "x");
        assert_eq!(first.fetch("page", &short, never).unwrap(), "x");
    });
}

fn what_was_deleted_or_stored_meanwhile_stays_so(on: Kind) {
    each(on, |_, _, client, other| {
        let value = client.fetch("deleted", &policy(), || {
            apart(|| other.delete("deleted"))?;
            Ok::<_, Error>("of the time before")
        });
        assert_eq!(value.unwrap(), "of the time before");
        assert_eq!(client.get("deleted"), Ok(None));
        let value = client.fetch("stored", &policy(), || {
            apart(|| other.set("stored", "newer", Expiry::Never))?;
            Ok::<_, Error>("of the time before")
        });
        assert_eq!(value.unwrap(), "of the time before");
        assert_eq!(client.get("stored").unwrap().unwrap(), "newer");
    });
}

fn no_old_value_stays_after_races_of_delete_and_compute(on: Kind) {
    each(on, |_, _, first, second| {
        let source = AtomicU64::new(0);
        for _ in 0..30 {
            thread::scope(|scope| {
                for client in [first, second] {
                    let read = || Ok::<_, Error>(source.load(Ordering::SeqCst));
                    scope.spawn(move || client.fetch("count", &policy(), read).unwrap());
                }
                source.fetch_add(1, Ordering::SeqCst);
                first.delete("count").unwrap();
            });
            let stored = first.get("count").unwrap().map(|value| value.parse::<u64>().unwrap());
            let newest = source.load(Ordering::SeqCst);
            assert!(stored.is_none_or(|stored| stored == newest), "{stored:?} stays of {newest}");
        }
    });
}

fn that_there_is_no_value_is_stored_on_request(on: Kind) {
    each(on, |_, server, client, other| {
        let none = || Ok::<Option<&str>, Error>(None);
        assert_eq!(client.fetch_optional("unknown", &policy(), none), Ok(None));
        assert!(!server.holds("unknown") || client.gets("unknown").unwrap().is_some());
        let absent = policy().absent_for(HOUR);
        assert_eq!(client.fetch_optional("user:0", &absent, none), Ok(None));
        assert!(server.holds("user:0"));
        let again = || -> Result<Option<&str>, Error> { panic!("it was computed again") };
        assert_eq!(other.fetch_optional("user:0", &absent, again), Ok(None));
        // Who wants a value gets one.
        assert_eq!(other.fetch("user:0", &absent, || Ok::<_, Error>("x")).unwrap(), "x");
        let some = client.fetch_optional("user:1", &absent, || Ok::<_, Error>(Some("Anna")));
        assert_eq!(some.unwrap().unwrap(), "Anna");
        assert_eq!(other.fetch_optional("user:1", &absent, again).unwrap().unwrap(), "Anna");
    });
}

fn a_stale_value_is_served_while_one_computes(on: Kind) {
    let server = on.start();
    let client = || Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (first, second) = (client(), client());
    assert_eq!(first.fetch("page", &policy(), || Ok::<_, Error>("old")).unwrap(), "old");
    let invalidate = || MetaDelete::new("page").map(|delete| delete.invalidate().expiry(HOUR));
    assert!(first.run(invalidate().unwrap()).unwrap().is_done());
    let value = first.fetch("page", &policy(), || {
        assert_eq!(apart(|| second.fetch("page", &policy(), never)).unwrap(), "old");
        Ok::<_, Error>("new")
    });
    assert_eq!(value.unwrap(), "new");
    assert_eq!(second.fetch("page", &policy(), never).unwrap(), "new");
    // If the computation fails, the old value is better than none.
    assert!(first.run(invalidate().unwrap()).unwrap().is_done());
    assert_eq!(first.fetch("page", &policy(), || Err::<&str, _>(Error::value("no template"))).unwrap(), "new");
    assert!(first.run(invalidate().unwrap()).unwrap().is_done());
    let strict = policy().serve_stale(false);
    assert_matches!(
        first.fetch("page", &strict, || Err::<&str, _>(Error::value("no template"))),
        Err(Error::Value { .. })
    );
}

fn one_caller_computes_before_the_value_expires(on: Kind) {
    let server = on.start();
    let client = || Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (first, second) = (client(), client());
    let early = FetchPolicy::new(Duration::from_secs(60)).refresh_before(HOUR);
    assert_eq!(first.fetch("page", &early, || Ok::<_, Error>("old")).unwrap(), "old");
    let value = first.fetch("page", &early, || {
        assert_eq!(apart(|| second.fetch("page", &early, never)).unwrap(), "old");
        Ok::<_, Error>("new")
    });
    assert_eq!(value.unwrap(), "new");
}

fn failed_computations_delete_no_old_value(on: Kind) {
    let server = on.start();
    let client = Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let early = FetchPolicy::new(Duration::from_secs(60)).refresh_before(HOUR);
    let fail = || Err::<&str, _>(Error::value("no template"));
    for _ in 0..20 {
        client.set("page", "old", Duration::from_secs(60)).unwrap();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            let next = scope.spawn(|| {
                barrier.wait();
                client.fetch("page", &early, fail)
            });
            let first = client.fetch("page", &early, || {
                barrier.wait();
                // Most of the time the other one follows by now, and takes the place of this one.
                (0..100).for_each(|_| thread::yield_now());
                fail()
            });
            assert_eq!(first.unwrap(), "old");
            assert_eq!(next.join().unwrap().unwrap(), "old");
        });
        assert!(server.holds("page"));
    }
}

fn a_caller_that_has_waited_long_enough_computes_for_itself(on: Kind) {
    each(on, |_, _, first, second| {
        let impatient = policy().wait(Duration::ZERO);
        let value = first.fetch("page", &policy(), || {
            for other in [first, second] {
                let own = apart(|| other.fetch("page", &impatient, || Ok::<_, Error>("own")));
                assert_eq!(own.unwrap(), "own");
            }
            Ok::<_, Error>("shared")
        });
        assert_eq!(value.unwrap(), "shared");
        assert_eq!(second.fetch("page", &impatient, never).unwrap(), "shared");
    });
}

fn a_server_that_is_down_is_no_error() {
    let client = Client::with_options(["127.0.0.1:1"], forgetful(BRIEF)).expect("right");
    assert_eq!(client.fetch("page", &policy(), || Ok::<_, Error>("x")).unwrap(), "x");
    assert_matches!(client.fetch("", &policy(), never), Err(Error::Key { .. }));
}
