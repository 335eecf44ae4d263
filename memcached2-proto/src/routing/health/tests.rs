use std::sync::Arc;

use super::*;
use crate::routing::CustomReconnect;

const SECOND: Duration = Duration::from_secs(1);

fn gone() -> Error {
    Error::disconnected("gone")
}

fn health(policy: &ReconnectPolicy) -> Health {
    Health::new(policy, 1, 2)
}

#[test]
fn a_server_that_has_failed_is_left_alone_until_one_call_tries_it() {
    let (health, now) = (health(&ReconnectPolicy::After(30 * SECOND)), Instant::ZERO);
    assert!(health.all_up() && health.claim(0, now) == Some(None));
    health.failed(0, gone(), None, (now, now));
    assert!(!health.all_up() && !health.may_try(0, now));
    assert_eq!(health.claim(0, now + 29 * SECOND), None);
    assert!(health.may_try(1, now) && health.claim(1, now) == Some(None));
    let due = now + 30 * SECOND;
    let probe = health.claim(0, due).expect("its retry is due");
    assert!(probe.is_some() && !health.may_try(0, due) && health.claim(0, due).is_none());
    health.failed(0, gone(), probe, (due, due));
    assert!(!health.may_try(0, due + 29 * SECOND));
    assert!(health.claim(0, due + 30 * SECOND).is_some());
    health.succeeded(0);
    assert!(health.all_up() && health.claim(0, now) == Some(None));
}

#[test]
fn a_probe_without_a_result_is_given_to_another_call() {
    let (health, now) = (health(&ReconnectPolicy::After(SECOND)), Instant::ZERO);
    health.failed(0, gone(), None, (now, now));
    let due = now + SECOND;
    let first = health.claim(0, due).expect("due").expect("a probe");
    health.release(0, first);
    let second = health.claim(0, due).expect("released").expect("a probe");
    // What was given back, or is over, says nothing about the one under way.
    health.release(0, first);
    assert_eq!(health.claim(0, due), None);
    // One that is held for too long is no reason to wait.
    assert!(health.claim(0, due + PROBE_LIMIT).is_some_and(|probe| probe.is_some_and(|probe| probe != second)));
}

#[test]
fn probes_that_overlap_are_one_failure() {
    let backoff = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: 60 * SECOND };
    let (health, now) = (health(&backoff), Instant::ZERO);
    health.failed(0, gone(), None, (now, now));
    let probe = |after| health.claim(0, now + after * SECOND).expect("open").expect("a probe");
    let probes = [probe(1), probe(2), probe(3)];
    let fail = |probe, after| health.failed(0, gone(), Some(probe), (now + after * SECOND, now + after * SECOND));
    assert!(matches!(fail(probes[0], 6), Some(ServerEvent::Down { failures: 2, .. })));
    assert_eq!((fail(probes[1], 7), fail(probes[2], 7)), (None, None));
    assert!(matches!(fail(probe(8), 9), Some(ServerEvent::Down { failures: 3, .. })));
}

#[test]
fn an_observer_alone_changes_no_plan_while_all_servers_are_up() {
    let (health, now) = (health(&ReconnectPolicy::After(SECOND)), Instant::ZERO);
    for (attention, is_unobserved, is_plain) in
        [(Attention::None, true, true), (Attention::Answers, false, true), (Attention::Plans, false, false)]
    {
        let health = health.for_client(0, attention);
        let seen = || (health.all_up_unobserved(), health.plans_plainly(), health.all_up());
        assert_eq!(seen(), (is_unobserved, is_plain, true), "{attention:?}");
        health.failed(0, gone(), None, (now, now));
        assert_eq!(seen(), (false, false, false), "{attention:?}");
        health.succeeded(0);
        assert_eq!(seen(), (is_unobserved, is_plain, true), "{attention:?}");
    }
}

#[test]
fn calls_that_fail_together_are_one_failure() {
    let backoff = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: 60 * SECOND };
    let (health, now) = (health(&backoff), Instant::ZERO);
    let changes: Vec<_> = (0..64).filter_map(|_| health.failed(0, gone(), None, (now, now))).collect();
    assert!(matches!(changes[..], [ServerEvent::Down { failures: 1, wait }] if wait <= SECOND), "{changes:?}");
    assert!(health.may_try(0, now + SECOND));
    // An answer to one of them says that it is up.
    assert_eq!((health.succeeded(0), health.succeeded(0)), (Some(ServerEvent::Up), None));
    assert!(health.all_up());
}

#[test]
fn a_server_may_never_count_as_down() {
    let (health, now) = (health(&ReconnectPolicy::Immediately), Instant::ZERO);
    health.failed(0, gone(), None, (now, now));
    assert!(health.all_up_unobserved() && health.all_up() && health.claim(0, now) == Some(None));
    assert!(!health.for_client(0, Attention::Answers).all_up_unobserved());
}

#[test]
fn a_server_may_have_to_fail_several_times() {
    let (health, begun) = (Health::new(&ReconnectPolicy::After(SECOND), 3, 2), Instant::ZERO);
    let is_up = |now| health.may_try(0, now) && health.claim(0, now) == Some(None);
    let fail = |begun, now| health.failed(0, gone(), None, (begun, now));
    // What began before the last failure is the same one.
    let mut now = begun + SECOND;
    assert_eq!((fail(begun, now), fail(begun, now), fail(begun, now)), (None, None, None));
    assert!(is_up(now) && health.succeeded(0).is_none() && health.all_up());
    // An answer resets the count.
    for _ in 0..2 {
        assert_eq!(fail(now, now + SECOND), None);
        now += SECOND;
        assert!(is_up(now));
    }
    assert_eq!(fail(now, now), Some(ServerEvent::Down { failures: 1, wait: SECOND }));
    assert!(!is_up(now));
    let probe = health.claim(0, now + SECOND).expect("due");
    assert_eq!(health.failed(0, gone(), probe, (now, now)), Some(ServerEvent::Down { failures: 2, wait: SECOND }));
    assert_eq!(health.succeeded(0), Some(ServerEvent::Up));
    assert!(health.all_up());
}

#[test]
fn a_server_that_is_silent_without_a_caller_fails_once_each_time_that_it_may_be_tried() {
    let (health, now) = (health(&ReconnectPolicy::After(SECOND)), Instant::ZERO);
    let silent = |after| health.fell_silent(0, gone(), now + after * SECOND);
    assert_eq!(silent(0), Some(ServerEvent::Down { failures: 1, wait: SECOND }));
    // It was found out already, and is not tried yet.
    assert_eq!(silent(0), None);
    // A call has tried it, and is gone.
    assert!(health.claim(0, now + SECOND).is_some_and(|probe| probe.is_some()));
    assert_eq!(silent(1), Some(ServerEvent::Down { failures: 2, wait: SECOND }));
    assert!(!health.may_try(0, now + SECOND) && health.may_try(0, now + 2 * SECOND));
    assert_eq!(health.fell_silent(7, gone(), now), None, "there is no such server");
}

#[test]
fn clients_do_not_come_back_at_once() {
    let policy = ReconnectPolicy::Backoff { min_delay: SECOND, max_delay: SECOND };
    let due = |seed| {
        let (health, now) = (health(&policy).for_client(seed, Attention::None), Instant::ZERO);
        health.failed(1, gone(), None, (now, now));
        (500..=1000).find(|millis| health.may_try(1, now + Duration::from_millis(*millis))).expect("in time")
    };
    let mut times: Vec<_> = (0..100).map(due).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 50 && times[0] < 600 && times[times.len() - 1] > 900, "{times:?}");
}

/// It also counts the failures that it hears of.
#[derive(Debug, Default)]
struct Linear(AtomicUsize);

impl CustomReconnect for Linear {
    fn wait(&self, server: ServerId, failures: u32, _: u64) -> Duration {
        assert_eq!((server, self.0.fetch_add(1, Ordering::Relaxed) + 1), (ServerId(1), failures as usize));
        SECOND * failures
    }

    fn recovered(&self, server: ServerId) {
        assert_eq!((server, self.0.swap(0, Ordering::Relaxed)), (ServerId(1), 4));
    }
}

#[test]
fn a_custom_reconnect_policy_decides_the_wait() {
    let policy = Arc::new(Linear::default());
    let (health, mut now) = (health(&ReconnectPolicy::Custom(Arc::<Linear>::clone(&policy))), Instant::ZERO);
    for failures in 1..5 {
        let probe = health.claim(1, now).expect("due");
        health.failed(1, gone(), probe, (now, now));
        now += SECOND * failures;
        assert!(!health.may_try(1, now - SECOND / 2));
    }
    // It hears of each recovery once.
    health.succeeded(1);
    health.succeeded(1);
    assert_eq!(policy.0.load(Ordering::Relaxed), 0);
}
