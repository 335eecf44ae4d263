//! Rate limits, and locks that end by themselves.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use memcached2_proto::error::CasProblem;
use memcached2_proto::rate_limit::RateLimit;
use memcached2_proto::routing::Journal;
use memcached2_proto::{Error, Expiry, Key, Landed, Options, Protocol, ReconnectPolicy};
use memcached2_testkit::{EmbeddedServer, Memcached, assert_matches};

use super::servers::Kind;
use super::setting::{BRIEF, HOUR, PATIENT, client, failing_over, forgetful, trusting, until};
use crate::subject::Client;

super::cases! {
    served {
        a_rate_limit_counts_for_all_clients_together,
        a_sliding_rate_limit_counts_the_window_before,
        a_rate_limit_allows_or_refuses_while_the_cache_is_down,
        a_lock_has_one_holder_until_it_is_released,
        a_lock_that_was_lost_is_neither_extended_nor_released,
        a_lock_that_was_lost_in_a_restart_is_left_to_the_next_holder,
        a_lock_is_waited_for,
        a_lock_fails_while_its_server_is_down,
        a_journal_deletes_no_lock_of_another_holder,
        rate_limits_and_locks_work_in_both_protocols,
        rate_limits_locks_and_namespaces_have_one_server_if_there_are_replicas,
    }
    scripted {
        a_lock_whose_answer_was_lost_is_held,
        a_lock_is_extended_and_released_after_an_extension_whose_answer_was_lost,
        a_lock_is_surely_held_no_longer_than_an_extension_whose_answer_was_lost,
        a_server_without_versions_has_no_locks_and_keeps_no_item_of_one,
    }
}

/// A window so long that no test sees its end, but one in a year.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The number of a window, so many windows before this one.
fn window(before: u64) -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / YEAR.as_secs() - before
}

fn a_rate_limit_counts_for_all_clients_together(on: Kind) {
    let server = on.start();
    let clients = [client(&[server.address()]), client(&[server.address()])];
    let limit = RateLimit::new(4, YEAR);
    for (at, remaining) in [(0, 3), (1, 2), (1, 1), (0, 0)] {
        let rate = clients[at].limit_rate("a", &limit).unwrap();
        assert_eq!((rate.is_allowed, rate.is_counted, rate.remaining), (true, true, remaining));
        assert!(rate.retry_after.is_zero() && rate.reset <= YEAR);
    }
    for client in &clients {
        let rate = client.limit_rate("a", &limit).unwrap();
        assert_eq!((rate.is_allowed, rate.remaining, rate.retry_after), (false, 0, rate.reset));
    }
    assert!(clients[0].limit_rate("b", &limit).unwrap().is_allowed);
    let costly = limit.clone().cost(3);
    assert_eq!([(); 2].map(|()| clients[0].limit_rate("c", &costly).unwrap().is_allowed), [true, false]);
    assert_eq!(clients[0].get_as(format!("a:{}", window(0))), Ok(Some(6)));
    assert_matches!(clients[0].limit_rate("two words", &limit), Err(Error::Key { .. }));
    clients[0].set(format!("text:{}", window(0)), "text", Expiry::Never).unwrap();
    assert_matches!(clients[0].limit_rate("text", &limit), Err(Error::NonNumeric { .. }));
}

fn a_sliding_rate_limit_counts_the_window_before(on: Kind) {
    on.on_each_socket(|client| {
        let limit = RateLimit::new(2, YEAR).sliding();
        let decide = |key| {
            let rate = client.limit_rate(key, &limit).unwrap();
            (rate.is_allowed, rate.is_counted)
        };
        assert_eq!([(); 4].map(|()| decide("a")), [(true, true), (true, true), (false, false), (false, false)]);
        assert_eq!(client.get_as(format!("a:{}", window(0))), Ok(Some(2)));
        // So much that the smallest part of it counts.
        client.set(format!("b:{}", window(1)), u64::from(u32::MAX), Expiry::Never).unwrap();
        assert_eq!(decide("b"), (false, false));
        // What happened before that does not count.
        client.set(format!("c:{}", window(2)), u64::from(u32::MAX), Expiry::Never).unwrap();
        assert_eq!(decide("c"), (true, true));
    });
}

fn a_rate_limit_allows_or_refuses_while_the_cache_is_down(on: Kind) {
    let mut server = on.start();
    let client = client(&[server.address()]);
    server.stop();
    let limit = RateLimit::new(1, YEAR);
    for limit in [limit.clone(), limit.sliding()] {
        for allowed in [true, false] {
            let rate = client.limit_rate("a", &limit.clone().allow_if_down(allowed)).unwrap();
            assert_eq!((rate.is_allowed, rate.is_counted, rate.remaining), (allowed, false, u64::from(allowed)));
        }
    }
}

fn a_lock_has_one_holder_until_it_is_released(on: Kind) {
    let server = on.start();
    let (one, two) = (client(&[server.address()]), client(&[server.address()]));
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let mut lock = one.try_lock("lock", HOUR).unwrap().expect("it is free");
        assert!(two.try_lock("lock", HOUR).unwrap().is_none() && one.try_lock("lock", HOUR).unwrap().is_none());
        assert!(two.lock("lock", HOUR, Duration::ZERO).unwrap().is_none());
        assert!(lock.time_left() < HOUR && !lock.time_left().is_zero());
        tokens.push(lock.fencing_token());
        assert_eq!(lock.extend(2 * HOUR), Ok(true));
        assert!(lock.time_left() > HOUR);
        tokens.push(lock.fencing_token());
        assert!(two.try_lock("lock", HOUR).unwrap().is_none());
        assert_eq!(lock.key(), b"lock");
        assert_eq!(lock.release(), Ok(true));
        let lock = two.try_lock("lock", HOUR).unwrap().expect("it was released");
        tokens.push(lock.fencing_token());
        assert_eq!(lock.release(), Ok(true));
    }
    assert!(tokens.is_sorted_by(|before, after| before < after), "{tokens:?}");
    assert_matches!(one.try_lock("two words", HOUR), Err(Error::Key { .. }));
}

fn a_lock_that_was_lost_is_neither_extended_nor_released(on: Kind) {
    on.on_each_socket(|client| {
        let take = || client.try_lock("lock", HOUR).unwrap().expect("it is free");
        for another_has_it in [false, true] {
            let (mut one, two) = (take(), take_again(client, another_has_it));
            assert_eq!((one.extend(HOUR), one.time_left()), (Ok(false), Duration::ZERO));
            assert_eq!(one.release(), Ok(false));
            if let Some(two) = two {
                assert!(client.try_lock("lock", HOUR).unwrap().is_none());
                assert_eq!(two.release(), Ok(true));
            }
        }
    });
}

/// Whose item has the version of the one that was lost, since the server counts from 1 again.
fn a_lock_that_was_lost_in_a_restart_is_left_to_the_next_holder(on: Kind) {
    for extends in [true, false] {
        let mut server = on.start();
        let one = client(&[server.address()]);
        let mut lock = one.try_lock("lock", HOUR).unwrap().expect("it is free");
        server.restart();
        let two = client(&[server.address()]);
        let next = two.try_lock("lock", HOUR).unwrap().expect("it is free");
        assert_eq!(lock.fencing_token(), next.fencing_token());
        // The connection before was closed.
        until(|| one.get("a").is_ok());
        if extends {
            assert_eq!((lock.extend(HOUR), lock.time_left()), (Ok(false), Duration::ZERO));
        }
        assert_eq!(lock.release(), Ok(false));
        assert!(two.try_lock("lock", HOUR).unwrap().is_none());
        assert_eq!(next.release(), Ok(true));
    }
}

/// Evicts the item of a lock, and takes it again if that is wanted.
fn take_again(client: &Client, wanted: bool) -> Option<crate::subject::Lock> {
    assert_eq!(client.delete("lock"), Ok(true));
    wanted.then(|| client.try_lock("lock", HOUR).unwrap().expect("it is free"))
}

fn a_lock_is_waited_for(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let lock = client.try_lock("lock", HOUR).unwrap().expect("it is free");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.lock("lock", HOUR, PATIENT).unwrap().expect("it was released"));
        assert_eq!(lock.release(), Ok(true));
        assert_eq!(waiting.join().unwrap().release(), Ok(true));
    });
    // One that nobody has is not waited for.
    assert!(client.lock("lock", HOUR, Duration::ZERO).unwrap().is_some());
}

fn a_lock_fails_while_its_server_is_down(on: Kind) {
    let (mut servers, addresses) = on.servers(2);
    let client = failing_over(&addresses);
    let lock = client.try_lock("lock", HOUR).unwrap().expect("it is free");
    let home = client.router().route(Key::new("lock").unwrap()).unwrap().index();
    servers[home].stop();
    // The first one may have been written to the connection that is dead.
    assert!(client.try_lock("lock", HOUR).is_err());
    assert_eq!(client.try_lock("lock", HOUR).unwrap_err().landed(), Landed::NotSent);
    assert!(lock.release().is_err());
    // The other server takes the place of the first one for everything else.
    assert_eq!(client.get("lock"), Ok(None));
}

fn rate_limits_and_locks_work_in_both_protocols(on: Kind) {
    for protocol in on.protocols() {
        let server = on.start();
        let options = forgetful(PATIENT).protocol(*protocol).prefix("p:");
        let client = Client::with_options([server.address()], options).unwrap();
        let limit = RateLimit::new(1, YEAR);
        assert_eq!([(); 2].map(|()| client.limit_rate("a", &limit).unwrap().is_allowed), [true, false]);
        for _ in 0..2 {
            let mut lock = client.try_lock("lock", HOUR).unwrap().expect("it is free");
            assert!(client.try_lock("lock", HOUR).unwrap().is_none());
            assert_eq!((lock.extend(HOUR), lock.release()), (Ok(true), Ok(true)));
        }
        let lock = client.try_lock("lock", HOUR).unwrap().expect("it was released");
        assert_eq!((client.delete("lock"), lock.release()), (Ok(true), Ok(false)));
    }
}

fn rate_limits_locks_and_namespaces_have_one_server_if_there_are_replicas(on: Kind) {
    let (servers, addresses) = on.servers(2);
    let of_zone = |zone| {
        let options = forgetful(PATIENT).replica(&addresses[1..]).nearest(zone);
        Client::with_options(&addresses[..1], options).unwrap()
    };
    let (one, two) = (of_zone(0), of_zone(1));
    for limit in [RateLimit::new(2, YEAR), RateLimit::new(2, YEAR).cost(2).sliding()] {
        let key = format!("limit{}", limit.window(b"", SystemTime::now()).cost());
        let allowed = [&one, &two, &one, &two].map(|client| client.limit_rate(&key, &limit).unwrap().is_allowed);
        assert_eq!(allowed.iter().filter(|allowed| **allowed).count() as u64, if key == "limit1" { 2 } else { 1 });
    }
    let lock = one.try_lock("lock", HOUR).unwrap().expect("it is free");
    assert!(two.try_lock("lock", HOUR).unwrap().is_none());
    assert_eq!((servers[0].holds("lock"), servers[1].holds("lock"), lock.release()), (true, false, Ok(true)));
    let (users, far) = (one.namespace("users").unwrap(), two.namespace("users").unwrap().check_after(Duration::ZERO));
    users.set("a", "x", HOUR).unwrap();
    assert!(users.exists("a").unwrap() && far.exists("a").unwrap());
    users.clear().unwrap();
    assert!(!users.exists("a").unwrap() && !far.exists("a").unwrap());
}

/// Passes on what clients of an embedded server say, but discards the first answer to a request that begins so, and closes the
/// connection.
fn losing(server: &EmbeddedServer, request: &'static str) -> String {
    let (listener, upstream) = (TcpListener::bind("127.0.0.1:0").unwrap(), server.address());
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut has_lost = false;
        for client in listener.incoming() {
            let (mut client, mut server, mut bytes) =
                (client.unwrap(), TcpStream::connect(&upstream).unwrap(), [0; 4096]);
            // One request after the other, each in one piece.
            while let Ok(asked @ 1..) = client.read(&mut bytes) {
                let is_lost = !has_lost && bytes.starts_with(request.as_bytes());
                server.write_all(&bytes[..asked]).unwrap();
                let answered = server.read(&mut bytes).unwrap();
                has_lost |= is_lost;
                if is_lost || client.write_all(&bytes[..answered]).is_err() {
                    break;
                }
            }
        }
    });
    address
}

fn client_of(address: String) -> Client {
    let options: Options = forgetful(PATIENT).protocol(Protocol::Classic);
    Client::with_options([address], options).unwrap()
}

fn a_lock_whose_answer_was_lost_is_held() {
    let server = EmbeddedServer::start();
    let client = client_of(losing(&server, "add lock"));
    let lock = client.try_lock("lock", HOUR).unwrap().expect("it was stored");
    assert!(client.try_lock("lock", HOUR).unwrap().is_none());
    assert_eq!(lock.release(), Ok(true));
    assert_eq!(client.get("lock"), Ok(None));
}

fn a_lock_is_extended_and_released_after_an_extension_whose_answer_was_lost() {
    for extends in [true, false] {
        let server = EmbeddedServer::start();
        let client = client_of(losing(&server, "cas lock"));
        let mut lock = client.try_lock("lock", HOUR).unwrap().expect("it is free");
        let token = lock.fencing_token();
        assert_eq!(lock.extend(HOUR).unwrap_err().landed(), Landed::Unknown);
        if extends {
            assert_eq!(lock.extend(HOUR), Ok(true));
            assert!(lock.fencing_token() > token);
        }
        assert_eq!(lock.release(), Ok(true));
        assert_eq!(client.get("lock"), Ok(None));
    }
}

fn a_lock_is_surely_held_no_longer_than_an_extension_whose_answer_was_lost() {
    let server = EmbeddedServer::start();
    let client = client_of(losing(&server, "cas lock"));
    let mut lock = client.try_lock("lock", HOUR).unwrap().expect("it is free");
    // The server keeps it for a minute from now on, and no longer for the hour.
    let minute = Duration::from_secs(60);
    assert_eq!(lock.extend(minute).unwrap_err().landed(), Landed::Unknown);
    assert!(lock.time_left() < minute && !lock.time_left().is_zero(), "{:?}", lock.time_left());
    assert_eq!(lock.extend(HOUR), Ok(true));
    assert!(lock.time_left() > minute);
}

fn a_server_without_versions_has_no_locks_and_keeps_no_item_of_one() {
    for (protocol, is_deleted) in [(Protocol::Meta, true), (Protocol::Classic, false)] {
        if protocol == Protocol::Meta && Memcached::is_too_old_for("a server without versions in meta", (1, 6, 10)) {
            continue;
        }
        let server = Memcached::with().threads(1).args(["-C"]).start();
        let client = Client::with_options([server.address()], trusting().protocol(protocol)).unwrap();
        let error = client.try_lock("lock", HOUR).unwrap_err();
        assert_matches!(error, Error::Cas { problem: CasProblem::Disabled, .. });
        assert!(error.to_string().starts_with("try_lock \"lock\": "), "{error}");
        assert_eq!(client.get("lock").unwrap().is_none(), is_deleted);
    }
}

/// The client whose `release` has failed deletes no lock of another one later.
fn a_journal_deletes_no_lock_of_another_holder(on: Kind) {
    let server = on.start();
    let journal = Arc::new(Journal::new(10));
    let soon = ReconnectPolicy::After(Duration::from_nanos(1));
    let options = trusting().timeout(2 * BRIEF).connect_timeout(BRIEF).reconnect(soon).journal(Arc::clone(&journal));
    let (one, two) = (Client::with_options([server.address()], options).unwrap(), client(&[server.address()]));
    let lock = one.try_lock("lock", HOUR).unwrap().expect("it is free");
    server.suspend();
    lock.release().unwrap_err();
    server.resume();
    // Whether or not the `release` has landed.
    two.delete("lock").unwrap();
    let mut lock = two.lock("lock", HOUR, PATIENT).unwrap().expect("it is free");
    assert!(journal.is_empty());
    until(|| one.get("a").is_ok());
    assert_eq!(lock.extend(HOUR), Ok(true));
}
