//! What a call keeps of what a proxy has answered in the place of a server.

use super::*;

/// A client whose journal has `x`.
fn keeping_x() -> Router {
    let router = router(&Arc::new(Journal::new(10)), "");
    fail(Call::new(Delete::new("x").unwrap(), &router, now()), &unknown());
    router
}

/// Another key of the same server.
fn beside_x(router: &Router) -> String {
    let home = router.route(Key::new("x").unwrap()).unwrap();
    let mut keys = (0..).map(|number| format!("key{number}"));
    keys.find(|key| router.route(Key::new(key).unwrap()) == Ok(home)).unwrap()
}

fn at_millis(at: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(at)
}

#[test]
fn a_key_whose_delete_a_proxy_could_not_pass_on_stays_in_the_journal() {
    let journal = Arc::new(Journal::new(10));
    let router = router(&journal, "");
    fail(Call::new(Delete::new("x").unwrap(), &router, now()), &unknown());
    for (line, left) in [("SERVER_ERROR unavailable", 1), ("CLIENT_ERROR unauthenticated", 0)] {
        let mut read = Call::new(Get::new("x").unwrap(), &router, now());
        assert!(read.end_round(later));
        let mut replay = Call::new(read.replay(Duration::ZERO, Duration::MAX).unwrap(), &router, now());
        replay.answer(0, Reply::Refused(line.into()), true);
        while replay.end_round(later) {}
        replay.finish().unwrap();
        assert_eq!(journal.len(), left, "{line}");
        // The read fails, or goes on.
        while read.end_round(later) && !read.sub_requests()[0].is_open() {}
        assert_eq!(read.sub_requests()[0].is_open(), left == 0);
    }
}

#[test]
fn a_proxy_that_could_not_delete_what_was_kept_is_asked_again_after_a_second() {
    let router = keeping_x();
    let other = beside_x(&router);
    let millis = |at| Now::fixed(at_millis(at), std::time::UNIX_EPOCH);
    for (at, is_asked) in [(0, true), (0, false), (999, false), (1000, true), (1500, false), (2000, true)] {
        let mut read = Call::new(Get::new(&other).unwrap(), &router, millis(at));
        read.answer(0, Reply::Miss, true);
        assert_eq!(read.end_round(|| at_millis(at)), is_asked, "{at}");
        let Some(replay) = read.replay(Duration::ZERO, Duration::MAX) else { continue };
        let mut replay = Call::new(replay, &router, millis(at));
        replay.answer(0, Reply::Refused("SERVER_ERROR unavailable".into()), true);
        while replay.end_round(|| at_millis(at)) {}
        replay.finish().unwrap();
    }
    // The call that needs it has it deleted in any case.
    let mut read = Call::new(Get::new("x").unwrap(), &router, millis(2000));
    assert!(!read.sub_requests()[0].is_open() && read.end_round(later));
    assert!(read.replay(Duration::ZERO, Duration::MAX).is_some());
}

#[test]
fn keys_that_a_proxy_cannot_delete_keep_no_others_from_being_deleted() {
    // By clients with different prefixes, too.
    let journal = Arc::new(Journal::new(2000));
    let prefixes = ["1:", "2:"];
    let routers = prefixes.map(|prefix| {
        let options = Options::default().prefix(prefix).journal(Arc::clone(&journal));
        Router::with_options(["proxy"], &options).unwrap().for_client(0, now)
    });
    let name = routers[0].servers()[0].name();
    for prefix in prefixes {
        for number in 0..300 {
            let down = if number < 200 { "a-down" } else { "b-up" };
            journal.keep(name, format!("{prefix}{down}{number}").as_bytes());
        }
    }
    for second in 0..10 {
        let router = &routers[second % 2];
        let second = Instant::ZERO + Duration::from_secs(second as u64);
        let now = Now::fixed(second, std::time::UNIX_EPOCH);
        let mut read = Call::new(Get::new("x").unwrap(), router, now);
        read.answer(0, Reply::Miss, true);
        assert!(read.end_round(|| second));
        let mut replay = Call::new(read.replay(Duration::ZERO, Duration::MAX).unwrap(), router, now);
        for at in 0..replay.sub_requests().len() {
            let is_up = replay.command(at).only_key().unwrap().as_bytes().starts_with(b"b-up");
            let reply = if is_up { Reply::NotFound } else { Reply::Refused("SERVER_ERROR unavailable".into()) };
            replay.answer(at, reply, true);
        }
        while replay.end_round(|| second) {}
        replay.finish().unwrap();
    }
    assert_eq!(journal.len(), 400);
}

#[test]
fn a_proxy_is_left_alone_from_when_it_has_said_that_it_could_not_delete() {
    let router = keeping_x();
    let other = beside_x(&router);
    let read_at = |at| {
        let now = Now::fixed(at_millis(at), std::time::UNIX_EPOCH);
        let mut read = Call::new(Get::new(&other).unwrap(), &router, now);
        read.answer(0, Reply::Miss, true);
        read.end_round(|| at_millis(at)).then(|| read.replay(Duration::ZERO, Duration::MAX).unwrap())
    };
    // It waits for its own server for longer than a second.
    let mut replay = Call::new(read_at(0).unwrap(), &router, now());
    replay.answer(0, Reply::Refused("SERVER_ERROR timeout".into()), true);
    while replay.end_round(|| at_millis(1500)) {}
    replay.finish().unwrap();
    assert_eq!([1500, 2499, 2500].map(|at| read_at(at).is_some()), [false, false, true]);
}

#[test]
fn a_write_is_kept_if_a_proxy_has_answered_in_the_place_of_its_server() {
    for (line, is_kept) in [
        ("SERVER_ERROR Connection refused", true),
        ("SERVER_ERROR Host is down", true),
        ("SERVER_ERROR unavailable", true),
        ("SERVER_ERROR backend failure", true),
        // It was not carried out, and its caller knows.
        ("SERVER_ERROR out of memory", false),
        ("SERVER_ERROR object too large for cache", false),
        ("CLIENT_ERROR bad command line format", false),
        ("ERROR", false),
    ] {
        let journal = Arc::new(Journal::new(10));
        let one = router(&journal, "");
        let options = Options::default().journal(Arc::clone(&journal)).replica(["b"]);
        let replicas = Router::with_options(["a"], &options).unwrap().for_client(0, now);
        for router in [&one, &replicas] {
            let mut call = Call::new(Delete::new("x").unwrap(), router, now());
            let refusing = call.sub_requests()[0].server();
            for at in (1..call.sub_requests().len()).rev() {
                call.answer(at, Reply::Deleted, true);
            }
            call.answer(0, Reply::Refused(line.into()), true);
            while call.end_round(later) {}
            call.finish().unwrap_err();
            let name = router.server(refusing).unwrap().name();
            assert_eq!((journal.find(name, b"x").is_some(), journal.len()), (is_kept, is_kept.into()), "{line}");
            journal.forget(name);
        }
        let keys: Vec<_> = (0..8).map(|number| number.to_string()).collect();
        let mut call = Call::new(DeleteMany::new(&keys).unwrap().quiet(), &one, now());
        let refused = call.command(0).keys();
        call.answer(0, Reply::Refused(line.into()), false);
        call.answer(0, Reply::End, true);
        assert_eq!(journal.len(), if is_kept { refused } else { 0 }, "{line}");
    }
}
