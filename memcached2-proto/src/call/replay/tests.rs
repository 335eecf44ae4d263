//! What a call keeps in the journal, and what waits for it.

mod model;
mod proxies;

use std::time::Duration;

use super::*;
use crate::Options;
use crate::command::{Get, Store};
use crate::operation::{DeleteMany, EachReplica, GetMany, OnServer, RoutedBy};
use crate::routing::{MigrationStage, ReconnectPolicy};
use crate::time::Instant;

const SERVERS: [&str; 3] = ["a", "b", "c"];

fn now() -> Now {
    Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH)
}

fn later() -> Instant {
    Instant::ZERO + Duration::from_secs(1)
}

fn router(journal: &Arc<Journal>, prefix: &str) -> Router {
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(60)));
    let options = options.prefix(prefix).journal(Arc::clone(journal));
    Router::with_options(SERVERS, &options).unwrap().for_client(0, now)
}

/// Ends all requests of a call with this failure, and the call.
fn fail(mut call: Call<'_, impl Operation>, error: &Error) {
    for at in 0..call.sub_requests().len() {
        call.fail(at, error, Fault::Nobody);
    }
    while call.end_round(later) {}
    let _ = call.finish();
}

fn unknown() -> Error {
    Error::timeout(Landed::Unknown)
}

#[test]
fn clients_with_different_prefixes_share_a_journal() {
    let journal = Arc::new(Journal::new(10));
    let [first, second, whole] = ["1:", "2:", ""].map(|prefix| router(&journal, prefix));
    let home = first.route(Key::new("x").unwrap()).unwrap();
    fail(Call::new(Delete::new("x").unwrap(), &first, now()), &unknown());
    assert_eq!(journal.len(), 1);
    // The key of another prefix is none of its own.
    let call = Call::new(Get::new("x").unwrap(), &second, now());
    assert!(call.sub_requests()[0].is_open());
    let name = second.server(home).unwrap().name();
    assert!(Journal::claim(&journal, name, b"2:", 10, Instant::ZERO).is_none());
    assert_eq!(Journal::claim(&journal, name, b"1:", 10, Instant::ZERO).unwrap().1.len(), 1);
    // A client without a prefix has it by its whole name.
    assert!(journal.find(name, &whole.whole(Key::new("1:x").unwrap())).is_some());
    let mut call = Call::new(Get::new("x").unwrap(), &first, now());
    assert!(!call.sub_requests()[0].is_open() && call.end_round(later));
    let replay = Call::new(call.replay(Duration::ZERO, Duration::MAX).unwrap(), &first, now());
    assert_eq!(replay.command(0).only_key(), Some(Key::new("x").unwrap()));
}

#[test]
fn a_key_that_another_one_routes_is_deleted_before_it_is_read() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let home = router.route(Key::new("user").unwrap()).unwrap();
    let key = (0..).map(|number| format!("cart{number}"));
    let key = key.into_iter().find(|key| router.route(Key::new(key).unwrap()) != Ok(home)).unwrap();
    let routed = RoutedBy::new("user", Delete::new(&key).unwrap()).unwrap();
    fail(Call::new(routed, &router, now()), &unknown());
    // On its server, and on no other.
    assert!(journal.find(router.server(home).unwrap().name(), key.as_bytes()).is_some() && journal.len() == 1);
    let read = Call::new(RoutedBy::new("user", Get::new(&key).unwrap()).unwrap(), &router, now());
    assert!(!read.sub_requests().iter().any(SubRequest::is_open));
}

#[test]
fn all_keys_of_a_quiet_batch_that_failed_are_kept() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    fail(
        Call::new(DeleteMany::new(&["1", "2", "3", "4", "5", "6", "7", "8"]).unwrap().quiet(), &router, now()),
        &unknown(),
    );
    assert_eq!(journal.len(), 8);
}

#[test]
fn a_write_that_went_elsewhere_is_kept_though_its_server_is_back_meanwhile() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let home = router.route(Key::new("x").unwrap()).unwrap();
    router.report_failure(home, &unknown(), None, (Instant::ZERO, Instant::ZERO));
    let mut call = Call::new(Delete::new("x").unwrap(), &router, now());
    assert_ne!(call.sub_requests()[0].server(), home);
    // Another call finds it up.
    router.report_answer(home);
    call.answer(0, Reply::NotFound, true);
    call.end_round(later);
    assert!(journal.find(router.server(home).unwrap().name(), b"x").is_some());
}

#[test]
fn what_a_dropped_batch_has_done_elsewhere_or_could_not_send_is_kept() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let home = |key: &String| router.route(Key::new(key).unwrap()).unwrap();
    let key = |is_wanted: &dyn Fn(&String) -> bool| (0..).map(|at| format!("key{at}")).find(is_wanted).unwrap();
    let moved = key(&|_| true);
    router.report_failure(home(&moved), &unknown(), None, (Instant::ZERO, Instant::ZERO));
    let [refused, answered] = [0, 1].map(|server| {
        let others: Vec<_> = router.ids().filter(|id| *id != home(&moved)).collect();
        key(&|key| home(key) == others[server])
    });
    let keys = [&moved, &refused, &answered];
    let mut call = Call::new(DeleteMany::new(&keys).unwrap(), &router, now());
    let at = |call: &Call<'_, DeleteMany<'_>>, index| {
        call.sub_requests().iter().position(|next| next.index() == index).unwrap()
    };
    for index in [0, 2] {
        call.answer(at(&call, index), Reply::Deleted, true);
    }
    let error = Error::connect(&std::io::ErrorKind::ConnectionRefused.into());
    call.fail(at(&call, 1), &error, Fault::Server);
    // Another answer is still waited for.
    call.keep_dropped();
    let is_kept = |key: &String| journal.find(router.server(home(key)).unwrap().name(), key.as_bytes()).is_some();
    assert_eq!(keys.map(is_kept), [true, true, false]);
}

#[test]
fn a_server_that_leaves_the_list_keeps_its_keys() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    fail(Call::new(Delete::new("x").unwrap(), &router, now()), &unknown());
    let mut read = Call::new(Get::new("x").unwrap(), &router, now());
    assert!(read.end_round(later));
    let replay = read.replay(Duration::ZERO, Duration::MAX).unwrap();
    let others = Router::with_options(["d"], &Options::default().journal(Arc::clone(&journal))).unwrap();
    let others = others.for_client(0, now);
    let mut replay = Call::new(replay, &others, now());
    assert!(replay.sub_requests().is_empty() && !replay.end_round(later));
    assert_eq!(journal.len(), 1);
}

#[test]
fn a_lock_that_could_not_be_taken_or_released_is_not_deleted_later() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let on_server = || OnServer::new(&router.servers()[0], Delete::new("lock").unwrap());
    fail(Call::new(on_server().without_journal(), &router, now()), &unknown());
    assert!(journal.is_empty());
    fail(Call::new(on_server(), &router, now()), &unknown());
    assert_eq!(journal.len(), 1);
}

#[test]
fn a_write_is_kept_if_it_may_have_left_an_old_value_and_not_otherwise() {
    for (error, kept) in [
        (unknown(), 1),
        (Error::disconnected("gone").with_landed(Landed::Unknown), 1),
        (Error::connect(&std::io::ErrorKind::ConnectionRefused.into()), 1),
        // The server has seen it, and has said no; or it is the request that is wrong.
        (Error::refused(&Arc::from("CLIENT_ERROR"), Landed::Refused), 0),
        (Error::argument("wrong"), 0),
    ] {
        let journal = Arc::new(Journal::new(10));
        let router = router(&journal, "");
        fail(Call::new(Delete::new("x").unwrap(), &router, now()), &error);
        assert_eq!(journal.len(), kept, "{error:?}");
    }
}

#[test]
fn a_write_that_has_failed_elsewhere_is_kept_for_both_servers() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let mut call = Call::new(Delete::new("x").unwrap(), &router, now());
    let home = call.sub_requests()[0].server();
    call.fail(0, &Error::connect(&std::io::ErrorKind::ConnectionRefused.into()), Fault::Server);
    assert!(call.end_round(later) && journal.is_empty());
    let at = call.sub_requests().iter().position(SubRequest::is_open).unwrap();
    let other = call.sub_requests()[at].server();
    call.fail(at, &unknown(), Fault::Nobody);
    assert!(home != other && !call.end_round(later) && call.finish().is_err());
    for server in [home, other] {
        assert!(journal.find(router.server(server).unwrap().name(), b"x").is_some(), "{server:?}");
    }
    assert_eq!(journal.len(), 2);
}

#[test]
fn a_request_is_sent_again_in_the_round_after_which_the_keys_of_another_server_are_deleted() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let names = (0..).map(|number| format!("key{number}"));
    let at = |key: &String| router.route(Key::new(key).unwrap()).unwrap();
    let first = at(&"key0".to_owned());
    let mut of_first = names.clone().filter(|key| at(key) == first);
    let [kept, read] = [(); 2].map(|()| of_first.next().unwrap());
    let other = names.into_iter().find(|key| at(key) != first).unwrap();
    fail(Call::new(Delete::new(&kept).unwrap(), &router, now()), &unknown());

    let keys = [&read, &other];
    let mut call = Call::new(GetMany::new(&keys).unwrap(), &router, now());
    let places = [first, at(&other)].map(|server| {
        let is_there = |sub_request: &SubRequest| sub_request.server() == server;
        call.sub_requests().iter().position(is_there).unwrap()
    });
    call.answer(places[0], Reply::Miss, true);
    call.fail(places[1], &Error::disconnected("idle for long"), Fault::Connection);
    assert!(call.end_round(later));
    assert!(call.replay(Duration::ZERO, Duration::MAX).is_some());
    assert!(call.sub_requests()[places[1]].is_open() && call.sub_requests()[places[1]].is_retry());
}

/// A client in this stage of a migration, one of whose two servers is in use.
fn migrating(journal: &Arc<Journal>, stage: MigrationStage, gutter: &[&str]) -> Router {
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(60)));
    let options = options.migrate_to(["new"], stage).journal(Arc::clone(journal));
    let options = match gutter {
        [] => options,
        gutter => options.gutter(gutter.iter().copied(), Duration::from_secs(10)),
    };
    Router::with_options(["old"], &options).unwrap().for_client(0, now)
}

fn refused() -> Error {
    Error::connect(&std::io::ErrorKind::ConnectionRefused.into())
}

/// Ends each request of a call, on this server with a failure, and the call.
fn end(mut call: Call<'_, impl Operation>, down: ServerId, answer: &Reply) {
    loop {
        for at in 0..call.sub_requests().len() {
            match call.sub_requests()[at] {
                next if !next.is_open() => {}
                next if next.server() == down => call.fail(at, &refused(), Fault::Server),
                _ => call.answer(at, answer.clone(), true),
            }
        }
        if !call.end_round(later) {
            break;
        }
    }
    let _ = call.finish();
}

#[test]
fn a_write_whose_server_is_down_is_kept_at_both_ends_of_a_migration_too() {
    for (stage, home) in [(MigrationStage::Old, "old"), (MigrationStage::New, "new")] {
        for gutter in [&[][..], &["spare"]] {
            for is_known in [false, true] {
                for is_quiet in [false, true] {
                    let journal = Arc::new(Journal::new(10));
                    let router = migrating(&journal, stage, gutter);
                    let server = router.find(home).unwrap();
                    if is_known {
                        router.report_failure(server, &unknown(), None, (Instant::ZERO, Instant::ZERO));
                    }
                    match is_quiet {
                        false => end(Call::new(Delete::new("x").unwrap(), &router, now()), server, &Reply::NotFound),
                        true => {
                            let keys = ["x"];
                            let batch = DeleteMany::new(&keys).unwrap().quiet();
                            end(Call::new(batch, &router, now()), server, &Reply::Refused("ERROR".into()));
                        }
                    }
                    let name = router.server(server).unwrap().name();
                    let found = journal.find(name, b"x");
                    assert!(found.is_some(), "{stage:?}, gutter {gutter:?}, known {is_known}, quiet {is_quiet}");
                }
            }
        }
    }
}

#[test]
fn a_write_to_replicas_waits_until_its_key_was_deleted_which_would_undo_it_later() {
    let journal = Arc::new(Journal::new(10));
    let options = Options::default().replica(["b"]).journal(Arc::clone(&journal));
    let router = Router::with_options(["a"], &options).unwrap().for_client(0, now);
    let [first, second] = [0, 1].map(|place| router.servers()[place].name().to_owned());
    journal.keep(&second, b"x");
    let mut call = Call::new(Store::set("x", "new").unwrap(), &router, now());
    let is_open = |call: &Call<'_, _>, name: &str| {
        let of = |next: &&SubRequest| router.server(next.server()).unwrap().name() == name;
        call.sub_requests().iter().find(of).unwrap().is_open()
    };
    assert!(is_open(&call, &first) && !is_open(&call, &second));
    call.answer(0, Reply::Stored, true);
    assert!(call.end_round(later));
    let mut replay = Call::new(call.replay(Duration::ZERO, Duration::MAX).unwrap(), &router, now());
    replay.answer(0, Reply::Deleted, true);
    while replay.end_round(later) {}
    replay.finish().unwrap();
    assert!(call.end_round(later) && is_open(&call, &second) && journal.is_empty());
    call.answer(1, Reply::Stored, true);
    assert!(!call.end_round(later));
    call.finish().unwrap();
}

/// Deletes what a call wants to be deleted, which this server does and no other.
fn replay(call: &mut Call<'_, impl Operation>, router: &Router, up: ServerId) -> bool {
    let Some(replay) = call.replay(Duration::ZERO, Duration::MAX) else { return false };
    end_on(Call::new(replay, router, now()), up, &Reply::Deleted);
    true
}

/// Ends each request of a call, on all servers but this one with a failure, and the call.
fn end_on(mut call: Call<'_, impl Operation>, up: ServerId, answer: &Reply) {
    loop {
        for at in 0..call.sub_requests().len() {
            match call.sub_requests()[at] {
                next if !next.is_open() => {}
                next if next.server() != up => call.fail(at, &refused(), Fault::Server),
                _ => call.answer(at, answer.clone(), true),
            }
        }
        if !call.end_round(later) {
            break;
        }
    }
    let _ = call.finish();
}

#[test]
fn a_read_that_moves_to_another_server_lets_that_one_delete_its_key_too() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let key = Key::new("x").unwrap();
    let home = router.route(key).unwrap();
    let next = router.route_among(key, &|place| place != home.index()).unwrap();
    for server in [home, next] {
        journal.keep(router.server(server).unwrap().name(), b"x");
    }
    let mut call = Call::new(Get::new("x").unwrap(), &router, now());
    // The first one has died since.
    assert!(call.end_round(later) && replay(&mut call, &router, next));
    assert!(call.end_round(later) && !call.sub_requests().iter().any(SubRequest::is_open));
    assert!(replay(&mut call, &router, next));
    assert!(call.end_round(later) && journal.len() == 1);
    let at = call.sub_requests().iter().position(SubRequest::is_open).unwrap();
    assert_eq!(call.sub_requests()[at].server(), next);
    call.answer(at, Reply::Miss, true);
    while call.end_round(later) {}
    assert_eq!(call.finish(), Ok(None));
}

#[test]
fn the_keys_of_a_server_that_requests_move_to_are_deleted_with_those_that_others_wait_for() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    let names = (0..100).map(|number| format!("key{number}"));
    let at = |key: &String| router.route(Key::new(key).unwrap()).unwrap();
    let first = at(&"key0".to_owned());
    let (waiting, moving) = ("key0".to_owned(), names.into_iter().find(|key| at(key) != first).unwrap());
    let down = at(&moving);
    let next = router.route_among(Key::new(&moving).unwrap(), &|place| place != down.index()).unwrap();
    journal.keep(router.server(first).unwrap().name(), waiting.as_bytes());
    journal.keep(router.server(next).unwrap().name(), moving.as_bytes());
    let keys = [&waiting, &moving];
    let mut call = Call::new(GetMany::new(&keys).unwrap(), &router, now());
    let open = call.sub_requests().iter().position(SubRequest::is_open).unwrap();
    call.fail(open, &refused(), Fault::Server);
    assert!(call.end_round(later));
    let replay = Call::new(call.replay(Duration::ZERO, Duration::MAX).unwrap(), &router, now());
    assert_eq!(replay.sub_requests().len(), 2);
    end(replay, down, &Reply::Deleted);
    assert!(journal.is_empty() && call.end_round(later) && call.replay(Duration::ZERO, Duration::MAX).is_none());
    for at in 0..call.sub_requests().len() {
        if call.sub_requests()[at].is_open() {
            call.answer(at, Reply::Miss, true);
        }
    }
    while call.end_round(later) {}
    assert_eq!(call.finish().unwrap().into_result(), Ok(vec![None, None]));
}

#[test]
fn a_key_is_deleted_before_a_certain_server_is_asked_for_it_too() {
    let options = |journal| Options::default().replica(["b"]).journal(journal);
    for is_locked in [false, true] {
        let journal = Arc::new(Journal::new(10));
        let router = Router::with_options(["a"], &options(Arc::clone(&journal))).unwrap().for_client(0, now);
        journal.keep(router.servers()[1].name(), b"x");
        let get = || Get::new("x").unwrap();
        let on_server = OnServer::new(&router.servers()[1], get());
        let on_server = if is_locked { on_server.without_journal() } else { on_server };
        let call = Call::new(on_server, &router, now());
        // A lock is nothing that is kept.
        assert_eq!(call.sub_requests()[0].is_open(), is_locked);
        let call = Call::new(EachReplica::new(get()), &router, now());
        let open: Vec<_> = call.sub_requests().iter().map(SubRequest::is_open).collect();
        assert_eq!(open, [true, false]);
    }
}
