//! Values that are computed once for all who miss together.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use memcached2_proto::command::meta::MetaDelete;
use memcached2_proto::error::CasProblem;
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::{Error, Expiry, Protocol};
use memcached2_testkit::{Clock, EmbeddedServer, Gate, Memcached, assert_matches};

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
        a_lease_that_is_marked_as_stale_is_no_old_value since (1, 6, 10),
        one_caller_computes_before_the_value_expires since (1, 6, 10),
        failed_computations_delete_no_old_value since (1, 6, 10),
        after_a_failed_computation_of_a_stale_value_the_next_caller_computes since (1, 6, 10),
        a_caller_that_has_waited_long_enough_computes_for_itself,
    }
    scripted {
        a_lease_lasts_its_time_and_at_most_a_second_more,
        callers_that_have_waited_long_enough_compute_together,
        a_server_that_is_down_is_no_error,
        a_server_without_versions_keeps_no_lease,
        beside_a_server_without_versions_the_others_keep_no_lease,
    }
}

/// Two programs, for each protocol that the server speaks.
pub(super) fn each(on: Kind, case: impl Fn(Protocol, &Server, &Client, &Client)) {
    for protocol in on.protocols() {
        let server = on.start();
        let client =
            || Client::with_options([server.address()], forgetful(PATIENT).protocol(*protocol)).expect("right");
        case(*protocol, &server, &client(), &client());
    }
}

pub(super) fn policy() -> FetchPolicy {
    FetchPolicy::new(HOUR).lease(PATIENT).wait(PATIENT)
}

/// Does something within a computation: on a thread of its own, because an asynchronous client runs the computation.
fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join().expect("no panic"))
}

fn a_server_without_versions_keeps_no_lease() {
    for (protocol, is_deleted) in [(Protocol::Meta, true), (Protocol::Classic, false)] {
        if protocol == Protocol::Meta && Memcached::is_too_old_for("a server without versions in meta", (1, 6, 10)) {
            continue;
        }
        let server = Memcached::with().threads(1).args(["-C"]).start();
        let client = Client::with_options([server.address()], forgetful(PATIENT).protocol(protocol)).unwrap();
        let error = client.fetch("page", &policy(), never).unwrap_err();
        assert_matches!(error, Error::Cas { problem: CasProblem::Disabled, .. });
        assert!(error.to_string().starts_with("fetch \"page\": "), "{error}");
        assert_eq!(client.get("page").unwrap().is_none(), is_deleted);
        let many = client.fetch_many(&["one", "two"], &policy(), |_| never().map(|value| vec![Some(value); 2]));
        assert_matches!(many, Err(Error::Cas { problem: CasProblem::Disabled, .. }));
        assert_eq!(["one", "two"].map(|key| client.get(key).unwrap().is_none()), [is_deleted; 2]);
        // What is there is returned.
        client.set("page", "x", Expiry::Never).unwrap();
        assert_eq!(client.fetch("page", &policy(), never).unwrap(), "x");
    }
}

fn beside_a_server_without_versions_the_others_keep_no_lease() {
    if Memcached::is_too_old_for("a server without versions in meta", (1, 6, 10)) {
        return;
    }
    let (with, without) = (EmbeddedServer::start(), Memcached::with().threads(1).args(["-C"]).start());
    let client = Client::with_options([with.address(), without.address()], forgetful(PATIENT)).unwrap();
    let keys: Vec<_> = (0..20).map(|at| format!("key{at}")).collect();
    let many = client.fetch_many(&keys, &policy(), |_| never().map(|value| vec![Some(value); 20]));
    assert_matches!(many, Err(Error::Cas { problem: CasProblem::Disabled, .. }));
    assert_eq!(keys.iter().filter(|key| client.get(key).unwrap().is_some()).collect::<Vec<_>>(), Vec::<&String>::new());
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
        for other in [&first, &second] {
            assert_eq!(apart(|| other.fetch("page", &policy(), never)).unwrap(), "old");
        }
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

fn a_lease_that_is_marked_as_stale_is_no_old_value(on: Kind) {
    let server = on.start();
    let client = || Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (first, second, third) = (client(), client(), client());
    let value = first.fetch("page", &policy(), || {
        // The source has changed, although nothing is stored yet.
        let invalidate = MetaDelete::new("page").unwrap().invalidate().expiry(HOUR);
        assert!(apart(|| first.run(invalidate)).unwrap().is_done());
        let newer = apart(|| {
            second.fetch("page", &policy(), || {
                let hasty = policy().wait(Duration::ZERO);
                assert_eq!(apart(|| third.fetch("page", &hasty, || Ok::<_, Error>("by itself"))).unwrap(), "by itself");
                Ok::<_, Error>("new")
            })
        });
        assert_eq!(newer.unwrap(), "new");
        Ok::<_, Error>("of the time before")
    });
    assert_eq!(value.unwrap(), "of the time before");
    assert_eq!(third.fetch("page", &policy(), never).unwrap(), "new");
    // A computation that fails has no old value, either.
    assert_eq!(first.delete("page"), Ok(true));
    let fail = || Err::<&str, _>(Error::value("no template"));
    let failed = first.fetch("page", &policy(), || {
        let invalidate = MetaDelete::new("page").unwrap().invalidate();
        assert!(apart(|| first.run(invalidate)).unwrap().is_done());
        assert_matches!(apart(|| second.fetch("page", &policy(), fail)), Err(Error::Value { .. }));
        fail()
    });
    assert_matches!(failed, Err(Error::Value { .. }));
}

fn one_caller_computes_before_the_value_expires(on: Kind) {
    let server = on.start();
    let client = || Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (first, second) = (client(), client());
    let early = FetchPolicy::new(Duration::from_secs(60)).refresh_before(HOUR);
    assert_eq!(first.fetch("page", &early, || Ok::<_, Error>("old")).unwrap(), "old");
    let value = first.fetch("page", &early, || {
        // The callers of the same client need not wait, either.
        for other in [&first, &second] {
            assert_eq!(apart(|| other.fetch("page", &early, never)).unwrap(), "old");
        }
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

fn after_a_failed_computation_of_a_stale_value_the_next_caller_computes(on: Kind) {
    let server = on.start();
    let client = || Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (first, second) = (client(), client());
    first.set("page", "old", HOUR).unwrap();
    assert!(first.run(MetaDelete::new("page").unwrap().invalidate()).unwrap().is_done());
    let fail = || Err::<&str, _>(Error::value("no template"));
    assert_eq!(first.fetch("page", &policy(), fail).unwrap(), "old");
    assert_matches!(second.fetch("page", &policy().serve_stale(false), fail), Err(Error::Value { .. }));
    assert_eq!(second.fetch("page", &policy(), || Ok::<_, Error>("new")).unwrap(), "new");
    assert_eq!(first.fetch("page", &policy(), never).unwrap(), "new");
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

fn a_lease_lasts_its_time_and_at_most_a_second_more() {
    for protocol in [Protocol::Classic, Protocol::Meta] {
        // The server counts the seconds that begin: a lease may start at the end of one, or at its beginning.
        for (begins_at, passed, stored) in [(999, 999, "first"), (0, 2_000, "second")] {
            let clock = Clock::manual(1_800_000_000);
            clock.advance(Duration::from_millis(begins_at));
            let server = EmbeddedServer::with().clock(clock.clone()).start();
            let client =
                || Client::with_options([server.address()], forgetful(PATIENT).protocol(protocol)).expect("right");
            let (first, second) = (client(), client());
            let lease = policy().lease(Duration::from_secs(1)).wait(Duration::ZERO);
            let value = first.fetch("page", &lease, || {
                clock.advance(Duration::from_millis(passed));
                assert_eq!(apart(|| second.fetch("page", &lease, || Ok::<_, Error>("second"))).unwrap(), "second");
                Ok::<_, Error>("first")
            });
            assert_eq!(value.unwrap(), "first");
            assert_eq!(second.get("page").unwrap().unwrap(), stored);
        }
    }
}

fn callers_that_have_waited_long_enough_compute_together() {
    const CALLERS: usize = 8;
    let server = EmbeddedServer::start();
    let client = Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let (computing, computed) = (Gate::new("computing"), Gate::new("computed"));
    let (wait, computations, begin) = (Duration::from_secs(1), AtomicUsize::new(0), Barrier::new(CALLERS));
    let compute = || {
        computations.fetch_add(1, Ordering::Relaxed);
        // Others have waited long enough, too, before it is done.
        thread::sleep(wait / 2);
        Ok::<_, Error>("own")
    };
    let one = &|| {
        begin.wait();
        client.fetch("page", &policy().wait(wait), compute).unwrap()
    };
    let many = &|| {
        begin.wait();
        let all = |keys: Vec<&&str>| compute().map(|value| vec![Some(value); keys.len()]);
        client.fetch_many(&["page"], &policy().wait(wait), all).unwrap().remove(0).unwrap()
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            client.fetch("page", &policy(), || {
                computing.open();
                computed.wait();
                Ok::<_, Error>("slow")
            })
        });
        computing.wait();
        let late: Vec<_> =
            (0..CALLERS).map(|caller| scope.spawn(move || if caller < CALLERS / 2 { one() } else { many() })).collect();
        for caller in late {
            assert_eq!(caller.join().unwrap(), "own");
        }
        computed.open();
        assert_eq!(slow.join().unwrap().unwrap(), "slow");
    });
    assert!(computations.into_inner() < CALLERS / 2, "each of them has computed");
}

fn a_server_that_is_down_is_no_error() {
    let client = Client::with_options(["127.0.0.1:1"], forgetful(BRIEF)).expect("right");
    assert_eq!(client.fetch("page", &policy(), || Ok::<_, Error>("x")).unwrap(), "x");
    assert_matches!(client.fetch("", &policy(), never), Err(Error::Key { .. }));
}
