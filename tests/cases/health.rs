//! Servers that go down and come back.

use memcached2_testkit::assert_matches;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::{Error, Expiry, Key, Landed, Protocol, ReconnectPolicy, Router};
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, name};
use super::setting::{BRIEF, PATIENT, brief, trusting};
use crate::subject::Client;

super::cases! {
    served {
        the_keys_of_a_server_that_is_down_go_to_others_until_its_retry_is_due,
        a_large_batch_moves_from_a_server_that_cannot_be_connected_to,
        without_failover_the_keys_of_a_server_that_is_down_fail_and_go_nowhere,
        a_silent_server_costs_one_timeout,
        a_server_that_reads_nothing_fails_its_own_items_alone,
        an_error_names_the_server_that_is_down_where_every_server_is_asked,
        a_client_whose_only_server_is_down_fails_at_once,
        a_server_may_have_less_time_than_the_others,
    }
    scripted {
        a_server_that_is_slow_is_not_down,
        a_caller_with_little_time_does_not_prove_a_silent_server_down,
        a_server_that_is_silent_for_the_whole_time_to_connect_is_down,
        a_server_that_has_closed_an_old_connection_is_not_down,
        a_proxy_that_closes_after_errors_is_asked_for_one_key_at_a_time,
        a_proxy_that_closes_after_errors_is_not_down,
    }
}

/// Longer than the case takes.
const LONG: Duration = Duration::from_secs(600);

fn watching<A: AsRef<str>>(addresses: &[A], retry: Duration) -> Client {
    let options = trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::After(retry));
    Client::with_options(addresses, options).expect("the addresses are right")
}

/// Keys of the server in the middle, and keys of the others.
fn keys(addresses: &[String]) -> (Vec<String>, Vec<String>) {
    let router = Router::parse(addresses).unwrap();
    let is_middle = |key: &String| router.route(Key::new(key).unwrap()).unwrap().index() == 1;
    (0..60).map(|at| format!("key{at}")).partition(is_middle)
}

fn the_keys_of_a_server_that_is_down_go_to_others_until_its_retry_is_due(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    let (moving, staying) = keys(&addresses);
    watching(&addresses, LONG).set(&moving[0], "old", Expiry::Never).unwrap();
    servers[1].stop();
    let client = watching(&addresses, LONG);
    // Even the call that finds out is served: nothing was sent to the server that is down.
    assert_eq!(client.delete(&moving[0]), Ok(false));
    let items: Vec<_> = moving.iter().chain(&staying).map(|key| (key, "new")).collect();
    client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    // Each is where the selector says that it goes when this server is down, and nowhere else.
    let router = Router::parse(&addresses).unwrap();
    for key in moving.iter().chain(&staying) {
        let place = router.route_among(Key::new(key).unwrap(), &|place| place != 1).unwrap().index();
        assert_eq!([0, 2].map(|at| servers[at].holds(key)), [0, 2].map(|at| at == place), "{key}");
    }
    let moved = moving.iter().filter(|key| servers[0].holds(key)).count();
    assert!((1..moving.len()).contains(&moved), "{moved} of {} keys have moved to the first server", moving.len());
    // Another client finds it down, too, and asks it again when its retry is due.
    let client = watching(&addresses, BRIEF);
    let begun = Instant::now();
    assert!(client.get(&moving[0]).unwrap().is_some());
    servers[1].restart();
    while client.get(&moving[0]).unwrap().is_some() {
        assert!(begun.elapsed() < PATIENT, "the server is not asked again");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() >= BRIEF, "it was asked too early");
    client.set(&moving[0], "newest", Expiry::Never).unwrap();
    assert!(servers[1].holds(&moving[0]));
    assert!(client.get_many(&staying).unwrap().into_result().unwrap().iter().all(Option::is_some));
}

/// What is submitted when the connection has failed already moves on as what was submitted before.
fn a_large_batch_moves_from_a_server_that_cannot_be_connected_to(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    servers[1].stop();
    let client = watching(&addresses, LONG);
    let items: Vec<_> = (0..6000).map(|at| (format!("key{at}"), "x")).collect();
    assert_eq!(client.set_many(&items, Expiry::Never).unwrap().all_stored(), Ok(()));
}

fn without_failover_the_keys_of_a_server_that_is_down_fail_and_go_nowhere(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    let (moving, staying) = keys(&addresses);
    let options = trusting().timeout(PATIENT).reconnect(ReconnectPolicy::After(LONG)).failover(false);
    let client = Client::with_options(&addresses, options).expect("the addresses are right");
    servers[1].stop();
    let error = client.set(&moving[0], "x", Expiry::Never).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let is_down = |error: &Error| matches!(error, Error::Down { .. }) && error.server() == Some(name(&addresses[1]));
    let items: Vec<_> = moving.iter().chain(&staying).map(|key| (key, "x")).collect();
    for (result, (key, _)) in client.set_many(&items, Expiry::Never).unwrap().into_iter().zip(&items) {
        let is_right =
            result.as_ref().map_or_else(|error| moving.contains(key) && is_down(error), |()| staying.contains(key));
        assert!(is_right, "{key}: {result:?}");
    }
    for key in &moving {
        for error in [client.get(key).unwrap_err(), client.delete(key).unwrap_err()] {
            assert!(is_down(&error) && error.key() == Some(key), "{error:?}");
        }
        assert!(!servers[0].holds(key) && !servers[2].holds(key), "{key}");
    }
    assert!(staying.iter().all(|key| client.get(key).unwrap().is_some()));
}

fn a_silent_server_costs_one_timeout(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let (moving, _) = keys(&addresses);
    let client = watching(&[&addresses[0], &brief(&addresses[1]), &addresses[2]], LONG);
    client.set(&moving[0], "old", Expiry::Never).unwrap();
    servers[1].suspend();
    let error = client.set(&moving[0], "new", Expiry::Never).unwrap_err();
    assert_eq!((error.is_timeout(), error.landed()), (true, Landed::Unknown), "{error}");
    // To ask it once more would fail in the same way.
    for key in &moving {
        client.set(key, "new", Expiry::Never).unwrap();
        assert_eq!(client.get(key).unwrap().expect("a hit"), "new");
    }
}

fn a_server_that_reads_nothing_fails_its_own_items_alone(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let router = Router::parse(&addresses).unwrap();
    let options = trusting().timeout(Duration::from_secs(5)).connect_timeout(PATIENT);
    let client = Client::with_options(&addresses, options).expect("the addresses are right");
    let keys: Vec<_> = (0..200).map(|at| format!("key{at}")).collect();
    // More for each server than any socket buffers.
    let value = vec![b'x'; 200_000];
    let items: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
    for (place, server) in servers.iter().enumerate().step_by(2) {
        assert!(client.version().unwrap().into_result().is_ok());
        server.suspend();
        for (told, (key, _)) in client.set_many(&items, Expiry::Never).unwrap().into_iter().zip(&items) {
            let is_its = router.route(Key::new(key).unwrap()).unwrap().index() == place;
            assert_eq!(told.is_err(), is_its, "{key}: {told:?}");
        }
        server.resume();
    }
}

fn an_error_names_the_server_that_is_down_where_every_server_is_asked(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    let client = watching(&addresses, LONG);
    servers[1].stop();
    let asked: Vec<_> = client.version().unwrap().into_iter().collect();
    assert!(matches!(&asked[..], [Ok(_), Err(Error::Connect { .. }), Ok(_)]), "{asked:?}");
    for told in [client.version().unwrap().into_result().map(drop), client.stats().unwrap().into_result().map(drop)] {
        let error = told.unwrap_err();
        assert_matches!(&error, Error::Down { cause: Some(cause), .. } if matches!(**cause, Error::Connect { .. }));
        assert_eq!(error.server(), Some(name(&addresses[1])));
    }
    let up: Vec<_> =
        client.stats().unwrap().skip_unreachable().unwrap().into_iter().map(|report| report.is_some()).collect();
    assert_eq!(up, [true, false, true]);
    let places: Vec<_> = client.flush_all().unwrap().iter().map(|told| told.is_ok()).collect();
    assert_eq!(places, [true, false, true]);
}

fn a_client_whose_only_server_is_down_fails_at_once(on: Kind) {
    let mut server = on.start();
    let client = watching(&[server.address()], LONG);
    server.stop();
    assert!(matches!(client.get("a"), Err(Error::Connect { .. })));
    server.restart();
    // No server is asked, although one would answer.
    for error in [client.get("a").unwrap_err(), client.get_many(&["a", "b"]).unwrap().into_result().unwrap_err()] {
        assert_matches!((&error, error.landed()), (Error::Down { .. }, Landed::NotSent));
        assert_eq!(error.server(), Some(name(&server.address())));
    }
    let patient = watching(&[server.address()], LONG);
    assert_eq!(patient.get("a"), Ok(None));
}

fn a_server_may_have_less_time_than_the_others(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let (of_hasty, _) = keys(&addresses);
    let hasty = format!("{}?timeout=1s&connect_timeout=900ms&connections=1", addresses[1]);
    let client = super::setting::client(&[&addresses[0], &hasty, &addresses[2]]);
    let all: Vec<_> = (0..60).map(|at| format!("key{at}")).collect();
    assert!(client.get_many(&all).unwrap().into_result().is_ok());
    // The timeout of the others is longer than this case.
    servers[1].suspend();
    let begun = Instant::now();
    for (got, key) in client.get_many(&all).unwrap().into_iter().zip(&all) {
        assert_eq!(got.is_err_and(|error| error.is_timeout()), of_hasty.contains(key), "{key}");
    }
    assert!(client.get(&of_hasty[0]).unwrap_err().is_timeout());
    assert!(begun.elapsed() < PATIENT);
}

fn hit() -> Session {
    Session::new().expect("get a\r\n").send("VALUE a 0 3\r\none\r\nEND\r\n")
}

fn watching_text(server: &ScriptedServer, timeout: Duration) -> Client {
    let options = trusting().timeout(timeout).reconnect(ReconnectPolicy::After(LONG)).protocol(Protocol::Classic);
    Client::with_options([server.address()], options).expect("the address is right")
}

fn a_server_that_is_slow_is_not_down() {
    // It has started to answer.
    let slow = Session::new().expect("get a\r\n").send("VALUE a 0 3\r\no").ignore();
    let server = ScriptedServer::start([slow, hit()]);
    let client = watching_text(&server, BRIEF);
    assert!(client.get("a").unwrap_err().is_timeout());
    // The next call uses it. On a shared connection it waits for the end of the answer before it, and only then is the
    // server silent.
    let found = client.get("a").or_else(|error| {
        assert!(!matches!(error, Error::Down { .. }), "{error}");
        watching_text(&server, PATIENT).get("a")
    });
    assert_eq!(found.unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();
}

/// Clients with little time, of a server that takes connections and never says a word: by TLS, with a password, and with neither.
fn of_silent(silent: &TcpListener, connect_timeout: Duration) -> [Client; 3] {
    let address = silent.local_addr().expect("it is bound");
    let options = trusting().timeout(PATIENT).connect_timeout(connect_timeout).reconnect(ReconnectPolicy::After(LONG));
    ["memcacheds://", "memcached://web:s3cret@", "memcached://"].map(|scheme| {
        let client = Client::with_options([format!("{scheme}{address}")], options.clone());
        client.expect("the address is right").with_timeout(Duration::from_millis(5))
    })
}

fn a_caller_with_little_time_does_not_prove_a_silent_server_down() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    for client in of_silent(&silent, PATIENT) {
        for _ in 0..3 {
            let error = client.get("a").unwrap_err();
            assert_matches!(&error, Error::Timeout { landed: Landed::NotSent, .. });
        }
    }
}

/// Also if no caller has that much.
fn a_server_that_is_silent_for_the_whole_time_to_connect_is_down() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    for client in of_silent(&silent, Duration::from_millis(50)) {
        let begun = Instant::now();
        while !matches!(client.get("a"), Err(Error::Down { .. })) {
            assert!(begun.elapsed() < PATIENT, "it does not count as down");
        }
    }
}

fn a_server_that_has_closed_an_old_connection_is_not_down() {
    let server = ScriptedServer::start([hit().expect("delete a\r\n").close(), hit()]);
    let client = watching_text(&server, PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    let error = client.delete("a").unwrap_err();
    assert_eq!(error.landed(), Landed::Unknown, "{error}");
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();
}

/// The error line of twemproxy for a server behind it. After one to a `get` of several keys it closes the connection,
/// and other requests on it are lost.
const BEHIND: &str = "SERVER_ERROR Connection refused\r\n";

fn of_proxy(sessions: impl IntoIterator<Item = Session>) -> (ScriptedServer, Client) {
    let server =
        ScriptedServer::start([Session::new().expect("get a b\r\n").send(BEHIND).close()].into_iter().chain(sessions));
    let options = trusting().timeout(PATIENT).connect_timeout(PATIENT).protocol(Protocol::Classic);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    assert!(client.get_many(&["a", "b"]).unwrap().iter().all(|found| found.is_err()));
    (server, client)
}

fn a_proxy_that_closes_after_errors_is_asked_for_one_key_at_a_time() {
    let asked = Session::new().expect("get a\r\nget b\r\n").send(format!("VALUE a 0 1\r\nx\r\nEND\r\n{BEHIND}"));
    let (server, client) = of_proxy([asked.expect("get c\r\nget d\r\n").send("END\r\nEND\r\n")]);
    let found: Vec<_> = client.get_many(&["a", "b"]).unwrap().into_iter().collect();
    assert!(matches!(&found[..], [Ok(Some(value)), Err(Error::Refused { .. })] if *value == "x"), "{found:?}");
    assert_eq!(client.get_many(&["c", "d"]).unwrap().into_result(), Ok(vec![None, None]));
    assert_eq!(server.connections(), 2);
    drop(client);
    server.finish();
}

fn a_proxy_that_closes_after_errors_is_not_down() {
    let closed = |asked: &str| Session::new().expect(asked).close();
    let set = "set a 0 0 1\r\nx\r\n";
    let answered = Session::new().expect("get a\r\n").send("END\r\n");
    let (server, client) = of_proxy([closed("get a\r\n"), answered.expect(set).close(), closed(set), closed(set)]);
    assert_eq!(client.get("a"), Ok(None));
    for _ in 0..3 {
        let error = client.set("a", "x", Expiry::Never).unwrap_err();
        assert!(matches!(error, Error::Disconnected { landed: Landed::Unknown, .. }), "{error}");
    }
    drop(client);
    server.finish();
}
