//! Answers that go on: dumps, watchers, and the end of a server.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use memcached2_proto::command::Classes;
use memcached2_proto::stream::{DumpedItem, Metadump, Shutdown, WatchEvent, WatchKind, Watcher};
use memcached2_proto::{Credentials, Error, Expiry, Get, Landed, Options, Protocol, Store};
use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session, assert_matches};

use super::servers::{Kind, name};
use super::setting::{HOUR, PATIENT, client, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        a_dump_has_every_item_of_every_server since (1, 5, 4),
        a_dump_of_one_server_can_be_of_some_classes since (1, 6, 9),
        a_dump_that_is_dropped_ends since (1, 5, 4),
        a_dump_goes_on_after_a_server_that_is_down since (1, 5, 4),
        a_dump_needs_the_credentials_of_its_server since (1, 5, 15),
        a_watch_reports_fetched_and_stored_items since (1, 6, 11),
        a_watch_reports_connections since (1, 6, 11) not_over [Unix],
        a_watch_in_which_nothing_happens_ends_by_its_idle_timeout,
        a_server_that_allows_no_shutdown_refuses_it,
        a_shutdown_ends_every_server since (1, 6, 9),
    }
    scripted {
        keys_are_dumped_by_mgdump_with_those_in_base64,
        a_watch_reports_evictions_and_deletions,
        an_error_in_the_middle_of_a_dump_comes_after_its_items,
        a_dump_that_is_opened_twice_loses_no_item,
        a_server_that_is_busy_refuses_a_dump,
        a_dump_that_stops_ends_by_its_idle_timeout,
        a_dump_that_an_old_server_does_not_end_is_refused,
        a_closed_client_asks_for_nothing,
        a_dump_asks_no_further_server_once_its_client_is_closed,
    }
}

/// Tries again while a server is busy: it also looks for expired items by itself.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(Error::Refused { line, .. }) if line.starts_with("BUSY") && begun.elapsed() < PATIENT => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// The first item of a dump.
fn first(client: &Client) -> Result<DumpedItem, Error> {
    patiently(|| client.metadump().next().expect("an item"))
}

/// The items of all servers, by their keys, in the order of the servers.
fn dumped(client: &Client) -> Vec<BTreeMap<String, DumpedItem>> {
    let all = patiently(|| {
        let mut found = vec![BTreeMap::new(); client.router().servers().len()];
        let mut dump = client.metadump();
        while let Some(item) = dump.next() {
            let item = item?;
            let place = client.router().place_of(dump.server().expect("a server")).expect("one of the client");
            let of_server = &mut found[place.index()];
            of_server.insert(String::from_utf8(item.key.to_vec()).expect("text"), item);
        }
        Ok(found)
    });
    all.expect("no error")
}

fn a_dump_has_every_item_of_every_server(on: Kind) {
    let (servers, addresses) = on.servers(2);
    let client = client(&addresses);
    assert!(dumped(&client).iter().all(BTreeMap::is_empty));
    let mut keys: BTreeSet<_> = (0..300).map(|at| format!("key%20:{at}")).collect();
    keys.extend(["END", "OK", "EN", "a=b", "k\u{e4}se", "ERROR"].map(String::from));
    for key in &keys {
        client.set(key, "value", HOUR).unwrap();
    }
    client.set("for_ever", "value", Expiry::Never).unwrap();
    client.get("OK").unwrap();
    let found = dumped(&client);
    for (server, found) in servers.iter().zip(&found) {
        assert!(!found.is_empty() && found.keys().all(|key| server.holds(key)));
    }
    let mut found: BTreeMap<_, _> = found.into_iter().flatten().collect();
    let eternal = found.remove("for_ever").unwrap();
    assert_eq!((eternal.exptime, eternal.fetched), (None, false));
    assert!(found["OK"].fetched && found.keys().eq(&keys));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for item in found.values() {
        assert!(item.exptime.unwrap().abs_diff(now + HOUR.as_secs()) < 600, "{item:?}");
        assert!(item.last_access.abs_diff(now) < 600 && item.class.is_some() && item.size.unwrap() > 50, "{item:?}");
    }
    on.on_each_socket(|client| {
        client.set("only", "value", Expiry::Never).unwrap();
        assert_eq!(first(client).unwrap().key, "only");
    });
}

fn a_dump_of_one_server_can_be_of_some_classes(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    for at in 0..50 {
        client.set(format!("key{at}"), "value", Expiry::Never).unwrap();
    }
    let second = client.on(name(&addresses[1])).unwrap();
    let items: Vec<_> = patiently(|| second.metadump().collect::<Result<_, _>>()).unwrap();
    assert!(!items.is_empty() && items.len() < 50);
    let class = items[0].class.unwrap();
    let of = |classes: Vec<u32>| {
        let command = Metadump::classes(Classes::These(classes));
        patiently(|| second.records(command.clone()).collect::<Result<Vec<_>, _>>())
    };
    assert_eq!(of(vec![class]).unwrap().len(), items.len());
    assert_eq!(of(vec![class + 1]).unwrap().len(), 0);
    let error = of(vec![99]).unwrap_err();
    assert!(matches!(&error, Error::Refused { landed: Landed::Refused, .. }), "{error}");
    assert_eq!((error.command(), error.server()), (Some("lru_crawler metadump"), Some(name(&addresses[1]))));
    assert_matches!(of(Vec::new()), Err(Error::Argument { .. }));
    let by_hash = patiently(|| second.records(Metadump::hash()).collect::<Result<Vec<_>, _>>());
    assert_eq!(by_hash.unwrap().len(), items.len());
}

fn a_dump_that_is_dropped_ends(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let items: Vec<_> = (0..8_000).map(|at| (format!("{at:0>200}"), "value")).collect();
    client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    let mut dump = patiently(|| {
        let mut dump = client.metadump();
        dump.open().map(|()| dump)
    })
    .unwrap();
    for _ in 0..10 {
        dump.next().unwrap().unwrap();
    }
    drop(dump);
    assert!(client.get(&items[0].0).unwrap().is_some());
    // The server may need a moment to notice.
    first(&client).unwrap();
}

fn a_dump_goes_on_after_a_server_that_is_down(on: Kind) {
    let server = on.start();
    let client = client(&["127.0.0.1:1".to_owned(), server.address()]);
    client.on(&server.address()).unwrap().run(Store::set("a", "x").unwrap()).unwrap();
    patiently(|| {
        let mut dump = client.metadump();
        let error = dump.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && error.server() == Some("127.0.0.1:1"), "{error}");
        assert_eq!(dump.next().unwrap()?.key, "a");
        assert!(dump.next().is_none() && dump.next().is_none());
        Ok(())
    })
    .unwrap();
}

fn a_dump_needs_the_credentials_of_its_server(on: Kind) {
    for server in on.start_with_credentials("web", "s3cret") {
        let of = |password| {
            let credentials = Credentials::new("web", password).unwrap();
            Client::with_options([server.address()], forgetful(PATIENT).credentials(credentials)).unwrap()
        };
        let client = of("s3cret");
        client.set("a", "x", Expiry::Never).unwrap();
        assert_eq!(first(&client).unwrap().key, "a");
        assert_matches!(of("wrong").metadump().next(), Some(Err(Error::CredentialsRefused { .. })));
    }
}

/// Reads events until one is of this kind.
fn wait_for(
    mut events: impl Iterator<Item = Result<WatchEvent, Error>>,
    is_it: impl Fn(&WatchKind) -> bool,
) -> WatchEvent {
    events.find(|event| event.as_ref().map_or(true, |event| is_it(&event.kind))).expect("an event").expect("no error")
}

fn a_watch_reports_fetched_and_stored_items(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    for (at, mut events) in client.watch([Watcher::Fetchers, Watcher::Mutations]).into_iter().enumerate() {
        events.open().unwrap();
        assert_eq!(events.server().map(|server| server.name()), Some(name(&addresses[at])));
        let server = client.on(name(&addresses[at])).unwrap();
        server.run(Store::set("a:b%c", "value").unwrap()).unwrap();
        server.run(Get::new("a:b%c").unwrap()).unwrap().unwrap();
        let key = "a:b%c";
        let stored = wait_for(&mut events, |kind| matches!(kind, WatchKind::Stored { .. }));
        assert!(
            matches!(&stored.kind, WatchKind::Stored { key: found, status, command, size: Some(5), .. }
                if found == key && status == "stored" && command == "set"),
            "{stored:?}"
        );
        let fetched =
            wait_for(&mut events, |kind| matches!(kind, WatchKind::Fetched { status, .. } if status == "found"));
        assert!(matches!(&fetched.kind, WatchKind::Fetched { key: found, .. } if found == key), "{fetched:?}");
        let age = SystemTime::now().duration_since(stored.time.unwrap()).unwrap_or_default();
        assert!(age < Duration::from_secs(600) && fetched.gid.unwrap() > 0);
    }
}

fn a_watch_reports_connections(on: Kind) {
    let server = on.start();
    let watching = client(&[server.address()]);
    let mut events = watching.on(&server.address()).unwrap().watch([Watcher::ConnEvents]);
    events.open().unwrap();
    let other = client(&[server.address()]);
    other.get("a").unwrap();
    let connected = wait_for(&mut events, |kind| matches!(kind, WatchKind::Connected { .. }));
    let is_tcp = |kind: &WatchKind| matches!(kind, WatchKind::Connected { address, transport, .. } if address == "127.0.0.1" && transport == "tcp");
    assert!(is_tcp(&connected.kind), "{connected:?}");
    drop(other);
    let closed = wait_for(&mut events, |kind| matches!(kind, WatchKind::Disconnected { .. }));
    assert!(matches!(&closed.kind, WatchKind::Disconnected { reason, .. } if reason == "normal"), "{closed:?}");
}

fn a_watch_in_which_nothing_happens_ends_by_its_idle_timeout(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let mut events = client.on(&server.address()).unwrap().watch([Watcher::Evictions]).idle_timeout(None);
    events.open().unwrap();
    let mut events = events.idle_timeout(Some(Duration::from_millis(20)));
    assert_matches!(events.next(), Some(Err(Error::Timeout { landed: Landed::NotSent, .. })));
    assert!(events.next().is_none());
    // The server is not down for that.
    assert_eq!(client.get("a").unwrap(), None);
}

fn a_server_that_allows_no_shutdown_refuses_it(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    for how in [Shutdown::Now, Shutdown::Graceful] {
        let error = client.shutdown_servers(how).unwrap().into_result().unwrap_err();
        assert!(matches!(error, Error::Refused { landed: Landed::Refused, .. }), "{error}");
    }
    assert_eq!(client.get("a").unwrap(), None);
}

fn a_shutdown_ends_every_server(on: Kind) {
    let servers: Vec<_> = (0..3).map(|_| on.start_allowing_shutdown()).collect();
    let client = client(&servers.iter().map(super::servers::Server::address).collect::<Vec<_>>());
    client.on(&servers[2].address()).unwrap().shutdown(Shutdown::Now).unwrap();
    let results = client.shutdown_servers(Shutdown::Graceful).unwrap();
    let begun = Instant::now();
    for (at, result) in results.iter().enumerate() {
        // The last one may still be ending.
        assert!(at == 2 || result.is_ok(), "{result:?}");
    }
    while client.warm().unwrap().iter().any(|result| result.is_ok()) {
        assert!(begun.elapsed() < PATIENT, "a server is there");
        thread::sleep(Duration::from_millis(10));
    }
    let error = client.on(&servers[0].address()).unwrap().shutdown(Shutdown::Now).unwrap_err();
    assert_eq!(error.landed(), Landed::NotSent, "{error}");
}

fn keys_are_dumped_by_mgdump_with_those_in_base64() {
    let server = EmbeddedServer::with().version("1.6.45").start();
    let client = client(&[server.address()]);
    client.set("plain", "x", Expiry::Never).unwrap();
    client.set("EN", "x", Expiry::Never).unwrap();
    let mut keys: Vec<_> = client.mgdump().map(|key| key.unwrap().key).collect();
    keys.sort();
    assert_eq!(keys, ["EN", "plain"]);
    let items: Vec<_> = client.metadump().collect::<Result<_, _>>().unwrap();
    assert!(items.iter().all(|item| item.flags == Some(0)) && items.len() == 2, "{items:?}");
    let old = EmbeddedServer::start();
    let old_client = super::setting::client(&[old.address()]);
    assert_matches!(old_client.mgdump().next(), Some(Err(Error::Refused { .. })));
}

fn a_watch_reports_evictions_and_deletions() {
    let server = EmbeddedServer::with().version("1.6.45").memory_limit(8 << 20).start();
    let client = client(&[server.address()]);
    let mut events = client.watch([Watcher::Evictions, Watcher::Deletions]).remove(0);
    events.open().unwrap();
    client.set("gone", "x", Expiry::Never).unwrap();
    assert!(client.delete("gone").unwrap());
    let deleted = wait_for(&mut events, |_| true);
    assert!(matches!(&deleted.kind, WatchKind::Deleted { key, size: Some(1), .. } if key == "gone"), "{deleted:?}");
    for at in 0..20 {
        client.set(format!("large{at}"), vec![b'x'; 900_000], Expiry::Never).unwrap();
    }
    let evicted = wait_for(&mut events, |_| true);
    assert!(
        matches!(&evicted.kind, WatchKind::Evicted { key, fetched: false, ttl: Some(-1), .. } if key == "large0"),
        "{evicted:?}"
    );
}

/// A client of a server that plays a script after the command of a dump.
fn scripted(play: impl FnOnce(Session) -> Session) -> (ScriptedServer, Client) {
    let server = ScriptedServer::start([play(Session::new().expect("lru_crawler metadump all\r\n"))]);
    let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic);
    let client = Client::with_options([server.address()], options).unwrap();
    (server, client)
}

fn an_error_in_the_middle_of_a_dump_comes_after_its_items() {
    let (server, client) = scripted(|session| {
        session.send("key=a exp=-1 la=1 cas=2 fetch=no cls=1 size=65\nERROR locked try again later\r\n").expect_close()
    });
    let mut dump = client.metadump();
    dump.open().unwrap();
    assert_eq!(dump.next().unwrap().unwrap().key, "a");
    assert_matches!(dump.next(), Some(Err(Error::Refused { .. })));
    assert!(dump.next().is_none());
    server.finish();
}

fn a_dump_that_is_opened_twice_loses_no_item() {
    let (server, client) = scripted(|session| {
        let item = |key: &str| format!("key={key} exp=-1 la=1 cas=2 fetch=no cls=1 size=65\n");
        session.send(format!("{}{}END\r\n", item("a"), item("b"))).expect_close()
    });
    let mut dump = client.metadump();
    dump.open().unwrap();
    dump.open().unwrap();
    assert_eq!(dump.map(|item| item.unwrap().key).collect::<Vec<_>>(), ["a", "b"]);
    server.finish();
}

fn a_server_that_is_busy_refuses_a_dump() {
    let busy = "BUSY currently processing crawler request\r\n";
    let (server, client) = scripted(|session| session.send(busy).expect_close());
    assert_matches!(client.metadump().open(), Err(Error::Refused { landed: Landed::Refused, .. }));
    server.finish();
}

fn a_dump_that_stops_ends_by_its_idle_timeout() {
    let (server, client) =
        scripted(|session| session.send("key=a exp=-1 la=1 cas=2 fetch=no cls=1 size=65\nkey=b").expect_close());
    let mut dump = client.metadump().idle_timeout(Some(Duration::from_millis(50)));
    assert_eq!(dump.next().unwrap().unwrap().key, "a");
    assert_matches!(dump.next(), Some(Err(Error::Timeout { landed: Landed::NotSent, .. })));
    server.finish();
}

fn a_dump_that_an_old_server_does_not_end_is_refused() {
    // As memcached 1.4.39 says it; nothing follows.
    let (server, client) = scripted(|session| session.send("key=a exp=-1 la=1 cas=2 fetch=no\n").expect_close());
    let mut dump = client.metadump().idle_timeout(Some(PATIENT));
    let error = dump.next().unwrap().unwrap_err();
    assert_matches!(error, Error::Protocol { .. });
    assert!(error.to_string().contains("1.5.4"), "{error}");
    assert!(dump.next().is_none());
    server.finish();
}

fn a_closed_client_asks_for_nothing() {
    let server = EmbeddedServer::start();
    let client = client(&[server.address()]);
    assert!(client.close(PATIENT));
    assert_matches!(client.metadump().next(), Some(Err(Error::Closed { .. })));
    assert_eq!(server.connections(), 0);
}

fn a_dump_asks_no_further_server_once_its_client_is_closed() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    let client = client(&[servers[0].address(), servers[1].address()]);
    for server in &servers {
        client.on(&server.address()).unwrap().run(Store::set("a", "x").unwrap()).unwrap();
    }
    let (mut begun, mut not_begun) = (client.metadump(), client.metadump());
    assert_eq!(begun.next().unwrap().unwrap().key, "a");
    assert!(client.close(PATIENT));
    assert_matches!((begun.next(), begun.next()), (Some(Err(Error::Closed { .. })), None));
    assert_matches!(not_begun.next(), Some(Err(Error::Closed { .. })));
}
