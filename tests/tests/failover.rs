//! Retry and failover when servers are down, without sockets and in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, Fault};
use memcached2_proto::command::{FlushAll, Version};
use memcached2_proto::operation::{AllServers, GetMany, RoutedBy, SetMany};
use memcached2_proto::routing::ServerId;
use memcached2_proto::{
    BatchResult, Delete, Error, Expiry, Get, Instant, Key, Landed, Now, Operation, Options, ReconnectPolicy, Reply,
    Router, Selection,
};
use memcached2_testkit::assert_matches;

const SECOND: Duration = Duration::from_secs(1);
const SERVERS: [&str; 3] = ["a", "b", "c"];

fn router() -> Router {
    watched(ReconnectPolicy::After(30 * SECOND))
}

fn watched(reconnect: ReconnectPolicy) -> Router {
    Router::with_options(SERVERS, &Options::default().reconnect(reconnect)).unwrap()
}

fn at(moment: Instant) -> Now {
    Now::new(moment, SystemTime::now)
}

fn refused() -> Error {
    Error::connect(&ErrorKind::ConnectionRefused.into())
}

/// A key of the first server when all are up, and the server that has it when that one is down.
fn moving(router: &Router) -> (String, ServerId) {
    let key = (0..).map(|at| format!("key{at}")).find(|key| place(router, key) == 0).unwrap();
    let second = router.route_among(Key::new(&key).unwrap(), &|place| place != 0).unwrap();
    (key, second)
}

fn place(router: &Router, key: &str) -> usize {
    router.route(Key::new(key).unwrap()).unwrap().index()
}

/// Plays a round: each open part whose server is among `down` fails, all others are answered.
fn round<O: Operation>(call: &mut Call<'_, O>, now: Instant, down: &[usize], reply: &Reply) -> bool {
    for at in 0..call.sub_requests().len() {
        let sub_request = call.sub_requests()[at];
        match down.contains(&sub_request.server().index()) {
            _ if !sub_request.is_open() => {}
            true => call.fail(at, &refused(), Fault::Server),
            false => call.answer(at, reply.clone(), true),
        }
    }
    call.end_round(|| now)
}

/// Which servers a call would ask.
fn asked<O: Operation>(call: &Call<'_, O>) -> Vec<usize> {
    call.sub_requests().iter().filter(|next| next.is_open()).map(|next| next.server().index()).collect()
}

#[test]
fn what_was_not_sent_moves_to_the_next_server_within_the_call() {
    let (router, now) = (router(), Instant::ZERO);
    let (key, second) = moving(&router);
    let mut call = Call::new(Get::new(&key).unwrap(), &router, at(now));
    assert!(round(&mut call, now, &[0], &Reply::Miss));
    assert_eq!(asked(&call), [second.index()]);
    assert!(!round(&mut call, now, &[0], &Reply::Miss));
    assert_eq!(call.finish(), Ok(None));
    // The next call does not ask the first server at all, until its retry is due.
    for (later, expected) in [(Duration::ZERO, second.index()), (29 * SECOND, second.index()), (30 * SECOND, 0)] {
        assert_eq!(asked(&Call::new(Get::new(&key).unwrap(), &router, at(now + later))), [expected]);
    }
    let other = RoutedBy::new(&key, Delete::new("any").unwrap()).unwrap();
    let mut call = Call::new(other, &router, at(now + 30 * SECOND));
    assert!(round(&mut call, now + 30 * SECOND, &[0], &Reply::Deleted));
    assert_eq!(asked(&call), [second.index()]);
}

#[test]
fn what_may_have_landed_goes_nowhere_else() {
    let (router, now) = (router(), Instant::ZERO);
    let (key, second) = moving(&router);
    let mut call = Call::new(Delete::new(&key).unwrap(), &router, at(now));
    let lost = Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown);
    call.fail(0, &lost, Fault::of(&lost));
    assert!(!call.end_round(|| now));
    assert!(matches!(call.finish(), Err(Error::Disconnected { .. })));
    // The server is still known to be down.
    assert_eq!(asked(&Call::new(Get::new(&key).unwrap(), &router, at(now))), [second.index()]);
}

#[test]
fn what_speaks_against_no_server_leaves_it_up() {
    let (router, now) = (router(), Instant::ZERO);
    let (key, _) = moving(&router);
    for fault in [Fault::Nobody, Fault::Connection] {
        let mut call = Call::new(Delete::new(&key).unwrap(), &router, at(now));
        call.fail(0, &Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown), fault);
        assert!(!call.end_round(|| now));
        drop(call);
        assert_eq!(asked(&Call::new(Get::new(&key).unwrap(), &router, at(now))), [0], "{fault:?}");
    }
    // A proxy closes the connection on a command that it does not know.
    let mut call = Call::new(AllServers(FlushAll::now()), &router, at(now));
    let lost = Error::lost(&ErrorKind::UnexpectedEof.into(), Landed::Unknown);
    (0..3).for_each(|at| call.fail(at, &lost, Fault::of(&lost)));
    assert!(!call.end_round(|| now));
    drop(call);
    assert_eq!(asked(&Call::new(Get::new(&key).unwrap(), &router, at(now))), [0]);
}

#[test]
fn the_keys_of_a_batch_are_spread_over_the_servers_that_are_up() {
    let (router, now) = (router(), Instant::ZERO);
    let keys: Vec<_> = (0..60).map(|at| format!("key{at}")).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    let mut call = Call::new(GetMany::new(&keys).unwrap(), &router, at(now));
    assert_eq!(asked(&call), [0, 1, 2]);
    assert!(round(&mut call, now, &[0], &Reply::End));
    assert_eq!(asked(&call), [1, 2]);
    assert!(!round(&mut call, now, &[0], &Reply::End));
    let found: BatchResult<_> = call.finish().unwrap();
    assert_eq!(found.into_result().unwrap(), vec![None; 60]);

    let router = self::router();
    let mut call = Call::new(SetMany::new(&items, Expiry::Never).unwrap(), &router, at(now));
    let of_first = asked(&call).iter().filter(|server| **server == 0).count();
    assert!(round(&mut call, now, &[0], &Reply::Stored));
    let moved = asked(&call);
    assert!(moved.len() == of_first && moved.is_sorted() && moved[0] == 1 && moved[of_first - 1] == 2, "{moved:?}");
    assert!(!round(&mut call, now, &[0], &Reply::Stored));
    assert_eq!(call.finish().unwrap().all_stored(), Ok(()));
}

#[test]
fn a_question_to_every_server_is_put_to_no_other() {
    let (router, now) = (router(), Instant::ZERO);
    for expected in [vec![0, 1, 2], vec![1, 2]] {
        let mut call = Call::new(AllServers(Version), &router, at(now));
        assert_eq!(asked(&call), expected);
        assert!(!round(&mut call, now, &[0], &Reply::Version("1.6.18".into())));
        let told: Vec<_> = call.finish().unwrap().into_iter().map(|told| told.is_ok()).collect();
        assert_eq!(told, [false, true, true]);
    }
}

#[test]
fn the_first_failure_is_reported_when_no_server_is_left() {
    let (router, now) = (router(), Instant::ZERO);
    let (key, _) = moving(&router);
    let mut call = Call::new(Get::new(&key).unwrap(), &router, at(now));
    let rounds = (1..).take_while(|_| round(&mut call, now, &[0, 1, 2], &Reply::Miss)).count();
    assert!(rounds < 3, "{rounds} rounds for three servers");
    assert!(matches!(call.finish(), Err(Error::Connect { .. })));
    let down = Call::new(Get::new(&key).unwrap(), &router, at(now)).finish().unwrap_err();
    let server = router.server(router.route(Key::new(&key).unwrap()).unwrap()).unwrap();
    assert_matches!(&down, Error::AllDown { servers: 3, cause: Some(cause), .. } if cause.server() == Some(server.name()));
    assert_eq!((down.command(), down.key()), (Some("get"), Some(&*key)));

    let alone = Router::with_options(["a"], &Options::default()).unwrap();
    let mut call = Call::new(Get::new(&key).unwrap(), &alone, at(now));
    assert!(!round(&mut call, now, &[0], &Reply::Miss));
    assert!(matches!(call.finish(), Err(Error::Connect { .. })));
    let down = Call::new(Get::new(&key).unwrap(), &alone, at(now)).finish().unwrap_err();
    assert_matches!(&down, Error::Down { cause: Some(cause), .. } if matches!(**cause, Error::Connect { .. }));
    assert_eq!(down.server(), Some("a:11211"));
}

#[test]
fn where_servers_never_count_as_down_a_failure_is_one() {
    let (router, now) = (watched(ReconnectPolicy::Immediately), Instant::ZERO);
    let (key, _) = moving(&router);
    for _ in 0..2 {
        let mut call = Call::new(Get::new(&key).unwrap(), &router, at(now));
        assert_eq!(asked(&call), [0]);
        assert!(!round(&mut call, now, &[0], &Reply::Miss));
        assert!(matches!(call.finish(), Err(Error::Connect { .. })));
    }
}

#[test]
fn servers_that_may_be_asked_again_at_once_do_not_keep_a_call_for_ever() {
    let (router, now) = (watched(ReconnectPolicy::After(Duration::ZERO)), Instant::ZERO);
    let (key, _) = moving(&router);
    let mut call = Call::new(Get::new(&key).unwrap(), &router, at(now));
    let mut moment = now;
    let rounds = (1..)
        .take_while(|_| {
            moment += Duration::from_millis(1);
            round(&mut call, moment, &[0, 1, 2], &Reply::Miss)
        })
        .count();
    assert!((2..=10).contains(&rounds), "{rounds}");
}

#[test]
fn one_call_tries_a_server_and_gives_that_back_when_it_is_dropped() {
    let (router, now) = (router(), Instant::ZERO);
    let (key, second) = moving(&router);
    let get = || Get::new(&key).unwrap();
    round(&mut Call::new(get(), &router, at(now)), now, &[0], &Reply::Miss);
    let due = now + 30 * SECOND;
    let trial = Call::new(get(), &router, at(due));
    assert_eq!(asked(&trial), [0]);
    // No other call waits for its result, not even at the same moment.
    for _ in 0..3 {
        assert_eq!(asked(&Call::new(get(), &router, at(due))), [second.index()]);
    }
    drop(trial);
    let mut trial = Call::new(get(), &router, at(due));
    assert_eq!(asked(&trial), [0]);
    assert!(!round(&mut trial, due, &[], &Reply::Miss));
    for _ in 0..3 {
        assert_eq!(asked(&Call::new(get(), &router, at(due))), [0]);
    }
}

#[test]
fn all_requests_of_a_call_try_a_server_together() {
    let (router, now) = (router(), Instant::ZERO);
    let keys: Vec<_> = (0..60).map(|at| format!("key{at}")).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    let set = || SetMany::new(&items, Expiry::Never).unwrap();
    let before = asked(&Call::new(set(), &router, at(now)));
    let mut call = Call::new(set(), &router, at(now));
    assert!(round(&mut call, now, &[0], &Reply::Stored));
    let mut trial = Call::new(set(), &router, at(now + 30 * SECOND));
    assert_eq!(asked(&trial), before);
    // It fails again: its keys move on, and the time starts again.
    assert!(round(&mut trial, now + 31 * SECOND, &[0], &Reply::Stored));
    assert!(!asked(&Call::new(set(), &router, at(now + 60 * SECOND))).contains(&0));
    assert_eq!(asked(&Call::new(set(), &router, at(now + 61 * SECOND))), before);
}

#[test]
fn a_rule_that_names_no_other_server_leaves_the_failure_as_it_is() {
    let options = Options::default().selection(Selection::First).reconnect(ReconnectPolicy::After(SECOND));
    let (router, now) = (Router::with_options(SERVERS, &options).unwrap(), Instant::ZERO);
    let keys = ["k", "l"];
    let mut call = Call::new(GetMany::new(&keys).unwrap(), &router, at(now));
    assert!(!round(&mut call, now, &[0], &Reply::End));
    for result in call.finish().unwrap() {
        assert!(matches!(result, Err(Error::Connect { .. })), "{result:?}");
    }
}
