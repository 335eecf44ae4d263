//! Servers that are down or stand still.

use memcached2_testkit::assert_matches;
use std::io::ErrorKind;
use std::time::Instant;

use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_proto::rate_limit::RateLimit;
use memcached2_proto::{Error, Expiry, Key, Landed, Options, Protocol, Router};
use memcached2_testkit::{EmbeddedServer, Gate, ScriptedServer, Session};

use super::servers::{Kind, name};
use super::setting::{BRIEF, HOUR, PATIENT, brief, client, forgetful, kind, text_client};
use crate::subject::Client;

super::cases! {
    served {
        a_server_that_is_down_cannot_be_connected_to,
        a_client_is_made_while_its_servers_are_down,
        each_address_of_a_name_is_tried,
        the_values_of_other_servers_survive_a_failure,
    }
    scripted {
        a_stalled_server_costs_one_timeout,
        a_deadline_counts_from_the_call_and_not_from_the_last_byte,
        a_set_without_an_answer_may_have_landed,
        a_client_without_servers_returns_an_error,
        a_call_may_have_more_or_less_time_than_others,
        an_error_before_anything_is_sent_names_the_method_of_the_call,
    }
}

fn a_server_that_is_down_cannot_be_connected_to(on: Kind) {
    for mut server in [on.start(), on.start_on_unix_socket()] {
        server.stop();
        let client = client(&[server.address()]);
        let errors = [
            client.get("a").unwrap_err(),
            client.set("a", "x", Expiry::Never).unwrap_err(),
            client.get_many(&["a"]).unwrap().into_result().unwrap_err(),
            client.version().unwrap().into_result().unwrap_err(),
        ];
        for error in errors {
            let Error::Connect { cause, .. } = &error else { panic!("{error:?}") };
            assert_eq!((cause.kind(), error.landed()), (ErrorKind::ConnectionRefused, Landed::NotSent), "{error}");
            assert!(!error.is_timeout());
            let name = error.server().expect("a server");
            assert!(server.address().ends_with(name), "{name}");
        }
    }
}

fn a_client_is_made_while_its_servers_are_down(on: Kind) {
    let mut server = on.start();
    server.stop();
    let client = client(&[server.address()]);
    assert!(client.get("a").is_err());
    server.restart();
    client.set("a", "x", Expiry::Never).unwrap();
    assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
}

fn each_address_of_a_name_is_tried(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    // The servers listen on 127.0.0.1 alone; `localhost` may be ::1, too, and that first.
    let names: Vec<_> = addresses.iter().map(|address| address.replace("127.0.0.1", "localhost")).collect();
    assert_eq!(client(&names[..1]).get("a"), Ok(None));
    let client = client(&names);
    let items: Vec<_> = (0..60).map(|at| (format!("key{at}"), at)).collect();
    client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    assert_eq!(client.version().unwrap().into_result().unwrap().len(), 3);
}

fn a_stalled_server_costs_one_timeout() {
    let served = Session::new().expect("get b\r\n").send("END\r\n");
    // A connection that has served before is no reason to ask a stalled server again.
    for (begin, calls_before) in [(Session::new(), 0), (served, 1)] {
        let server = ScriptedServer::start([begin.expect("get a\r\n").stall(), healthy()]);
        let client = text_client(&[&server], BRIEF);
        for _ in 0..calls_before {
            assert_eq!(client.get("b"), Ok(None));
        }
        let started = Instant::now();
        let error = client.get("a").unwrap_err();
        assert!(started.elapsed() >= BRIEF);
        assert_matches!(error, Error::Timeout { landed: Landed::NotSent, .. } if error.server() == Some(&*server.address().to_string()));
        assert!(error.is_timeout());
        assert_eq!(server.connections(), 1);
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        assert_eq!(server.connections(), 2);
        drop(client);
        server.finish();
    }
}

fn healthy() -> Session {
    Session::new().expect("get a\r\n").send("VALUE a 0 3\r\none\r\nEND\r\n")
}

fn a_deadline_counts_from_the_call_and_not_from_the_last_byte() {
    // Bytes come all the time, one by one, and would for minutes: no read of the socket ever waits for long.
    let dripping =
        Session::new().expect("get a\r\n").send("VALUE a 0 100000000\r\n").send_repeated("x", 100_000_000).ignore();
    let server = ScriptedServer::start([dripping, healthy()]);
    // Another connection, for what follows such a reply, would need a session more, if there is time for it.
    let options = forgetful(BRIEF).protocol(Protocol::Classic).bulk_connections(0);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    let started = Instant::now();
    let error = client.get("a").unwrap_err();
    assert!(started.elapsed() >= BRIEF);
    assert_matches!(error, Error::Timeout { landed: Landed::NotSent, .. } if error.server() == Some(&*server.address()));
    // A shared connection may go on reading the reply to a timed-out request, but not for long.
    let recovered = (0..5).any(|_| client.get("a").is_ok_and(|hit| hit.expect("a hit") == "one"));
    assert!(recovered);
    drop(client);
    server.finish();
}

fn a_set_without_an_answer_may_have_landed() {
    let server = ScriptedServer::start([Session::new().expect("set a 0 0 1\r\nx\r\n").stall(), healthy()]);
    let client = text_client(&[&server], BRIEF);
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_matches!(error, Error::Timeout { landed: Landed::Unknown, .. } if error.server() == Some(&*server.address()));
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    assert_eq!(server.connections(), 2);
    drop(client);
    server.finish();
}

fn the_values_of_other_servers_survive_a_failure(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    let router = Router::parse(&addresses).unwrap();
    // The one in the middle is gone, or stands still, so that it can be connected to and never answers.
    for stands_still in [false, true] {
        let client = client(&[&addresses[0], &brief(&addresses[1]), &addresses[2]]);
        let items: Vec<_> = (0..60).map(|at| (format!("key{at}"), at.to_string())).collect();
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
        match stands_still {
            true => servers[1].suspend(),
            false => servers[1].stop(),
        }
        let dead = |key: &str| router.route(Key::new(key).unwrap()).unwrap().index() == 1;
        assert!(keys.iter().any(|key| dead(key)) && keys.iter().any(|key| !dead(key)));
        let right = |key: &str, error: &Error| {
            assert!(dead(key), "{key}: {error}");
            assert_eq!(error.server(), Some(name(&addresses[1])));
            assert_eq!(error.is_timeout(), stands_still, "{error}");
        };
        for (result, (key, value)) in client.get_many(&keys).unwrap().into_iter().zip(&items) {
            match result {
                Ok(hit) => assert!(!dead(key) && hit.expect("a hit") == value.as_str(), "{key}"),
                Err(error) => right(key, &error),
            }
        }
        for (result, (key, _)) in client.set_many(&items, Expiry::Never).unwrap().into_iter().zip(&items) {
            match result {
                Ok(()) => assert!(!dead(key), "{key}"),
                Err(error) => right(key, &error),
            }
        }
        let versions: Vec<_> = client.version().unwrap().into_iter().map(|result| result.is_ok()).collect();
        assert_eq!(versions, [true, false, true]);
        servers[1].restart();
    }
}

fn a_client_without_servers_returns_an_error() {
    let client = client(&[] as &[&str]);
    for error in [
        client.get("a").unwrap_err(),
        client.set("a", "x", Expiry::Never).unwrap_err(),
        client.version().map(|_| ()).unwrap_err(),
        client.get_many(&["a"]).unwrap().into_result().unwrap_err(),
        client.set_many(&[("a", "x")], Expiry::Never).unwrap().into_result().unwrap_err(),
    ] {
        assert_matches!((&error, error.landed()), (Error::NoServers { .. }, Landed::NotSent));
    }
    assert!(matches!(Client::with_options(["no such server:port"], Options::default()), Err(Error::Uri { .. })));
}

fn a_call_may_have_more_or_less_time_than_others() {
    let late = Gate::new("the others have given up");
    let session = Session::new().expect("get a\r\n").wait(&late).send("END\r\n");
    let server = ScriptedServer::start([session, Session::new().expect("get b\r\n").expect_close()]);
    let client = text_client(&[&server], BRIEF);
    let patient = client.with_timeout(PATIENT);
    let opener = std::thread::spawn(move || {
        std::thread::sleep(2 * BRIEF);
        late.open();
    });
    assert_eq!(patient.get("a"), Ok(None), "it had less time");
    opener.join().unwrap();
    drop((patient, client));
    let client = text_client(&[&server], PATIENT).with_timeout(BRIEF);
    assert_eq!(kind(&client.get("b").unwrap_err()), "timeout");
    drop(client);
    server.finish();
}

fn an_error_before_anything_is_sent_names_the_method_of_the_call() {
    let server = EmbeddedServer::start();
    let client = client(&[server.address()]);
    let (policy, limit) = (FetchPolicy::new(HOUR), RateLimit::new(1, HOUR));
    let (near, space) = (client.near_cache(&NearCachePolicy::new(1 << 20, HOUR)), client.namespace("space").unwrap());
    let compute = || -> Result<&str, Error> { panic!("it was computed") };
    let long = "k".repeat(Key::MAX);
    for (method, error) in [
        ("try_lock", client.try_lock("", HOUR).err()),
        ("limit_rate", client.limit_rate("", &limit).err()),
        ("limit_rate", client.limit_rate(&long, &limit).err()),
        ("limit_rate", client.limit_rate(&long, &limit.clone().sliding()).err()),
        ("fetch", client.fetch("", &policy, compute).err()),
        ("fetch", client.fetch_optional("", &policy, || compute().map(Some)).err()),
        ("fetch_many", client.fetch_many(&[""], &policy, |_| compute().map(|value| vec![Some(value)])).err()),
        ("namespace", client.namespace("two words").err()),
        ("key", space.key("").err()),
        ("cache", space.cache("", HOUR, compute).err()),
        ("get_many", near.get_many(&[""]).err()),
        ("on", client.on("elsewhere").err()),
    ] {
        let error = error.unwrap_or_else(|| panic!("{method} is no error"));
        assert_eq!((error.command(), error.landed()), (Some(method), Landed::NotSent), "{error}");
    }
    let none = Client::with_options([] as [&str; 0], Options::default()).unwrap();
    for (method, error) in [
        ("flush_all", none.flush_all().err()),
        ("stats", none.stats().err()),
        ("delete", none.delete_all("a").err()),
        ("add", none.try_lock("a", HOUR).err()),
    ] {
        let error = error.unwrap_or_else(|| panic!("{method} is no error"));
        assert!(matches!(error, Error::NoServers { .. }), "{error:?}");
        assert_eq!(error.command(), Some(method), "{error}");
    }
}
