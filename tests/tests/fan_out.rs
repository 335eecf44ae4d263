//! Calls of the blocking client to several servers at once: what one that is full, late or refuses costs the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::time::Duration;

use memcached2_proto::{Error, Expiry, Key, Options, Store};
use memcached2_testkit::{EmbeddedServer, Faults, Gate, ScriptedServer, Session};

use memcached2_sync::Client;

/// The first of some numbers with this many digits that is a key of that server.
fn key_on(client: &Client, server: usize, digits: usize) -> String {
    let (router, key) = (client.router(), |number: u32| format!("{number:0digits$}"));
    (0..).map(key).find(|key| router.route(Key::new(key).unwrap()).unwrap().index() == server).unwrap()
}

/// It is encoded only when the replies to those before it have made room.
#[test]
fn a_server_whose_last_request_cannot_be_encoded_is_not_waited_for() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    let client = Client::new(servers.iter().map(EmbeddedServer::address)).unwrap();
    let keys = [key_on(&client, 0, 1), key_on(&client, 0, 2), key_on(&client, 1, 1)];
    let values = ["x".repeat(300 * 1024), "x".into(), "x".into()];
    let stores = keys.iter().zip(&values).map(|(key, value)| Store::set(key, value).unwrap());
    let mut stores: Vec<_> = stores.collect();
    let century = Duration::from_secs(100 * 365 * 86_400);
    stores[1] = stores[1].clone().expiry(Expiry::After(century));
    let results: Vec<_> = client.store_many(stores).unwrap().into_iter().collect();
    assert!(matches!(&results[..], [Ok(()), Err(Error::Expiry { .. }), Ok(())]), "{results:?}");
    // None was closed because of its deadline.
    assert!(client.server_status().iter().all(|server| server.idle_connections == 1), "{:?}", client.server_status());
}

#[test]
fn a_connection_to_a_full_server_is_waited_for_while_others_are_asked() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    let client = Client::with_options(
        servers.iter().map(EmbeddedServer::address),
        Options::default().timeout(Duration::from_secs(20)),
    )
    .unwrap();
    let keys = [key_on(&client, 0, 1), key_on(&client, 1, 1)];
    client.set(&keys[0], "x", Expiry::Never).unwrap();
    servers[0].set_faults(Faults::none().max_connections(1).delay(Duration::from_millis(300)));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| client.get(&keys[0]));
        while client.server_status()[0].used_connections == 0 {
            std::thread::yield_now();
        }
        for value in client.get_many(&keys).unwrap() {
            assert!(value.is_ok(), "{value:?}");
        }
        assert!(other.join().unwrap().is_ok());
    });
}

/// Its reply comes only after that.
#[test]
fn a_connection_to_a_full_server_is_taken_before_the_others_have_answered() {
    for is_full in [false, true] {
        let router = Client::new(["one", "two"]).unwrap();
        let keys = [key_on(&router, 0, 1), key_on(&router, 1, 1)];
        let gates = ["asked", "answer", "asked another", "asked again"].map(Gate::new);
        let [asked, answer, asked_another, again] = &gates;
        let get = keys.each_ref().map(|key| format!("get {key}\r\n"));
        let used = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
        let used = used.expect(&get[0]).open(asked).wait(answer).send("END\r\n");
        let used = used.expect(&get[0]).open(again).send("END\r\n");
        // The server takes no other connection, or the client makes none.
        let silent = Session::new().expect_probe().ignore();
        let full = ScriptedServer::start(if is_full { vec![used, silent] } else { vec![used] });
        let other = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
        let other = other.expect(&get[1]).open(asked_another).wait(again).send("END\r\n");
        let other = ScriptedServer::start([other]);
        let options = Options::default().timeout(Duration::from_secs(20)).connect_timeout(Duration::from_millis(50));
        let options = if is_full { options } else { options.pool_connections(1) };
        let client = Client::with_options([full.address(), other.address()], options).unwrap();
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get(&keys[0]));
            asked.wait();
            let many = scope.spawn(|| client.get_many(&keys));
            asked_another.wait();
            answer.open();
            assert_eq!(many.join().unwrap().unwrap().into_result(), Ok(vec![None, None]));
            assert_eq!(caller.join().unwrap(), Ok(None));
        });
        drop(client);
        full.finish();
        other.finish();
    }
}

/// As memcached before 1.6.7 does that is full: it lets whoever connects wait.
#[test]
fn a_connection_to_a_server_that_says_nothing_on_a_new_one_is_waited_for() {
    let other = EmbeddedServer::start();
    let router = Client::new(["one", "two"]).unwrap();
    let keys = [key_on(&router, 0, 1), key_on(&router, 1, 1)];
    let (asked, connected, answer) = (Gate::new("asked"), Gate::new("connected"), Gate::new("answer"));
    let first = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
    let first = first.expect(format!("get {}\r\n", keys[0])).open(&asked).wait(&answer).send("END\r\n");
    let first = first.expect(format!("get {}\r\n", keys[0])).send("END\r\n");
    let silent = Session::new().expect_probe().open(&connected).ignore();
    let full = ScriptedServer::start([first, silent]);
    let options = Options::default().timeout(Duration::from_secs(20)).connect_timeout(Duration::from_millis(50));
    let client = Client::with_options([full.address(), other.address()], options).unwrap();
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| client.get(&keys[0]));
        asked.wait();
        let many = scope.spawn(|| client.get_many(&keys));
        connected.wait();
        // The one that is being opened is not in use.
        assert_eq!(client.server_status()[0].used_connections, 1);
        answer.open();
        assert_eq!(many.join().unwrap().unwrap().into_result(), Ok(vec![None, None]));
        assert_eq!(caller.join().unwrap(), Ok(None));
    });
    drop(client);
    full.finish();
}

/// Both let whoever connects wait, and one of them is busy for long.
#[test]
fn of_several_full_servers_the_first_that_gives_a_connection_is_asked_first() {
    for busy in [0, 1] {
        let router = Client::new(["one", "two"]).unwrap();
        let keys = [key_on(&router, 0, 1), key_on(&router, 1, 1)];
        let asked = ["asked the first", "asked the second"].map(Gate::new);
        let connected = ["connected to the first", "connected to the second"].map(Gate::new);
        let answer = ["answer of the first", "answer of the second"].map(Gate::new);
        let again = Gate::new("asked again");
        let full = [0, 1].map(|place| {
            let get = format!("get {}\r\n", keys[place]);
            let used = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
            let used = used.expect(&get).open(&asked[place]).wait(&answer[place]).send("END\r\n").expect(&get);
            let used = if place == busy { used } else { used.open(&again) };
            let silent = Session::new().expect_probe().open(&connected[place]).ignore();
            ScriptedServer::start([used.send("END\r\n"), silent])
        });
        let options = Options::default().timeout(Duration::from_secs(20)).connect_timeout(Duration::from_millis(50));
        let client = Client::with_options(full.iter().map(ScriptedServer::address), options).unwrap();
        std::thread::scope(|scope| {
            let get = |key: &String| client.get(key);
            let callers = keys.each_ref().map(|key| scope.spawn(move || get(key)));
            asked.iter().for_each(Gate::wait);
            let many = scope.spawn(|| client.get_many(&keys));
            connected.iter().for_each(Gate::wait);
            answer[1 - busy].open();
            again.wait();
            answer[busy].open();
            assert_eq!(many.join().unwrap().unwrap().into_result(), Ok(vec![None, None]));
            assert!(callers.into_iter().all(|caller| caller.join().unwrap() == Ok(None)));
        });
        drop(client);
        full.into_iter().for_each(ScriptedServer::finish);
    }
}

/// The thread waits meanwhile for a connection to another one.
#[test]
fn what_a_server_answers_before_the_deadline_counts_even_if_it_is_read_after_it() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    let options = Options::default().timeout(Duration::from_secs(20)).pool_connections(1);
    let client = Client::with_options(servers.iter().map(EmbeddedServer::address), options).unwrap();
    let keys = [key_on(&client, 0, 1), key_on(&client, 1, 1)];
    keys.iter().for_each(|key| client.set(key, "x", Expiry::Never).unwrap());
    servers[1].set_faults(Faults::none().delay(Duration::MAX));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| client.get(&keys[1]));
        while client.server_status()[1].used_connections == 0 {
            std::thread::yield_now();
        }
        let found = client.with_timeout(Duration::from_millis(500)).get_many(&keys).unwrap();
        let found: Vec<_> = found.into_iter().collect();
        assert!(matches!(&found[..], [Ok(Some(_)), Err(Error::Timeout { .. })]), "{found:?}");
        servers[1].set_faults(Faults::none());
        assert!(other.join().unwrap().is_ok());
    });
}
