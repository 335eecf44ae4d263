//! Keys of servers that are down, on a second set of servers and for a limited time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{iter, thread};

use memcached2_proto::command::NoReply;
use memcached2_proto::command::meta::{MetaArithmetic, MetaGet, MetaSet, MetaSetMode};
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::operation::{Batch, SetMany};
use memcached2_proto::routing::ServerId;
use memcached2_proto::topology::ServerSource;
use memcached2_proto::{Error, Expiry, Key, Options, ReconnectPolicy, Router, Store};
use memcached2_testkit::{EmbeddedServer, assert_matches};

use super::servers::{Kind, Server};
use super::setting::{BRIEF, HOUR, PATIENT, brief, trusting};
use crate::subject::Client;

super::cases! {
    served {
        the_keys_of_a_server_that_is_down_go_to_the_gutter_until_it_is_back,
        whatever_stores_an_item_keeps_to_the_ttl_of_the_gutter since (1, 6, 10),
        a_killed_and_a_stopped_server_cost_one_deadline_and_then_no_hit,
        callers_of_a_stopped_server_pay_one_deadline_each,
        a_delete_during_an_outage_is_done_in_the_gutter_alone,
        what_asks_every_server_asks_those_of_the_gutter,
        another_list_of_servers_has_the_same_gutter,
        without_a_server_of_the_gutter_all_are_down,
    }
    scripted {
        a_source_of_servers_is_asked_without_the_gutter,
    }
}

/// Longer than a case takes.
const LONG: Duration = Duration::from_secs(600);
/// How long an item of the gutter stays.
const CAP: u64 = 40;

fn options(retry: Duration) -> Options {
    trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::After(retry))
}

/// A client of the first three servers, with the others as its gutter.
fn client(addresses: &[String], options: Options) -> Client {
    let (main, gutter) = addresses.split_at(3);
    Client::with_options(main, options.gutter(gutter, Duration::from_secs(CAP))).expect("the addresses are right")
}

/// The same, if the second server is going to stand still.
fn client_of_stopped(addresses: &[String], options: Options) -> Client {
    let mut addresses = addresses.to_vec();
    addresses[1] = brief(&addresses[1]);
    client(&addresses, options)
}

/// Keys whose server is at this place.
fn keys_of(addresses: &[String], place: usize) -> impl Iterator<Item = String> {
    let router = Router::parse(&addresses[..3]).unwrap();
    (0..).map(|at| format!("key{at}")).filter(move |key| router.route(Key::new(key).unwrap()).unwrap().index() == place)
}

/// Where a key is, of all servers that are up.
fn places(servers: &[Server], key: &str, is_up: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..servers.len()).filter(|place| is_up(*place) && servers[*place].holds(key)).collect()
}

fn the_keys_of_a_server_that_is_down_go_to_the_gutter_until_it_is_back(on: Kind) {
    let (mut servers, addresses) = on.servers(6);
    servers[1].stop();
    let gutter = Router::parse(&addresses[3..]).unwrap();
    let (moving, staying): (Vec<_>, Vec<_>) =
        (keys_of(&addresses, 1).take(20).collect(), keys_of(&addresses, 2).take(20).collect());
    // Whether failover is on or off has no effect.
    for failover in [true, false] {
        let client = client(&addresses, options(LONG).failover(failover));
        // Even the call that finds out is served.
        assert_eq!(client.delete(&moving[0]), Ok(!failover));
        let items: Vec<_> = moving.iter().chain(&staying).map(|key| (key, "new")).collect();
        client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
        for key in &moving {
            let place = gutter.route(Key::new(key).unwrap()).unwrap().index() + 3;
            assert_eq!(places(&servers, key, |place| place != 1), [place], "{key}");
            assert!(servers[place].seconds_left(key).is_some_and(|left| left <= CAP), "{key}");
        }
        for key in &staying {
            assert_eq!(places(&servers, key, |place| place != 1), [2], "{key}");
            assert_eq!(servers[2].seconds_left(key), None, "{key}");
        }
        let all: Vec<_> = items.iter().map(|(key, _)| key).collect();
        assert!(client.get_many(&all).unwrap().into_result().unwrap().iter().all(Option::is_some));
    }
    let client = client(&addresses, options(BRIEF));
    assert!(client.get(&moving[0]).unwrap().is_some());
    servers[1].restart();
    let begun = Instant::now();
    while client.get(&moving[0]).unwrap().is_some() {
        assert!(begun.elapsed() < PATIENT, "the server is not asked again");
        thread::sleep(Duration::from_millis(20));
    }
    client.set(&moving[0], "newest", Expiry::Never).unwrap();
    assert!(servers[1].holds(&moving[0]));
    assert_eq!(servers[1].seconds_left(&moving[0]), None);
}

/// Each stores or touches an item of a key whose server is down; there is an item unless its name begins with `no`.
type Write = fn(&Client, &str, Expiry);

const WRITES: &[(&str, Write)] = &[
    ("set", |client, key, expiry| client.set(key, "new", expiry).unwrap()),
    ("no item: add", |client, key, expiry| client.add(key, "new", expiry).unwrap()),
    ("replace", |client, key, expiry| client.replace(key, "new", expiry).unwrap()),
    ("cas", |client, key, expiry| {
        let cas = client.gets(key).unwrap().unwrap().cas.unwrap();
        client.cas(key, "new", expiry, cas).unwrap();
    }),
    ("append", |client, key, _| client.append(key, "new").unwrap()),
    ("set_many", |client, key, expiry| client.set_many(&[(key, "new")], expiry).unwrap().all_stored().unwrap()),
    ("store_many", |client, key, expiry| {
        let store = Store::set(key, "new").unwrap().expiry(expiry);
        client.store_many(vec![store]).unwrap().all_stored().unwrap();
    }),
    ("quiet batch", |client, key, expiry| {
        let items = [(key, "new")];
        client.run(SetMany::new(&items, expiry).unwrap().quiet()).unwrap().all_stored().unwrap();
    }),
    ("touch", |client, key, expiry| assert_eq!(client.touch(key, expiry), Ok(true))),
    ("gat", |client, key, expiry| assert!(client.gat(key, expiry).unwrap().is_some())),
    ("gats", |client, key, expiry| assert!(client.gats(key, expiry).unwrap().is_some())),
    ("gat_many", |client, key, expiry| {
        let found = client.gat_many(&[key, "other", key], expiry).unwrap().into_result().unwrap();
        assert!(found[0].is_some());
    }),
    ("no item: incr_or", |client, key, expiry| assert_eq!(client.incr_or(key, 1, 5, expiry), Ok(5))),
    ("no item: fetch", |client, key, expiry| {
        let fetched = client.fetch(key, &FetchPolicy::new(expiry), || Ok::<_, Error>("new"));
        assert_eq!(fetched.unwrap(), "new");
    }),
    ("no item: cache", |client, key, expiry| {
        assert_eq!(client.cache(key, expiry, || Ok::<_, Error>("new")).unwrap(), "new");
    }),
    ("batch of sets", |client, key, expiry| {
        let store = Store::set(key, "new").unwrap().expiry(expiry);
        client.run(Batch::new(vec![NoReply(store)])).unwrap().into_result().unwrap();
    }),
    ("ms", |client, key, expiry| {
        assert!(client.run(MetaSet::new(key, "new").unwrap().expiry(expiry)).unwrap().is_done());
    }),
    ("no item: ms that appends", |client, key, expiry| {
        let set = MetaSet::new(key, "new").unwrap().mode(MetaSetMode::Append);
        // Before memcached 1.6.20 that makes no item.
        if !client.run(set.vivify(expiry)).unwrap().is_done() {
            client.set(key, "new", expiry).unwrap();
        }
    }),
    ("mg that touches", |client, key, expiry| {
        assert!(client.run(MetaGet::new(key).unwrap().touch(expiry)).unwrap().is_some());
    }),
    ("no item: mg that makes one", |client, key, expiry| {
        assert!(client.run(MetaGet::new(key).unwrap().vivify(expiry)).unwrap().is_some_and(|item| item.win));
    }),
    ("no item: ma that makes one", |client, key, expiry| {
        assert!(client.run(MetaArithmetic::incr(key, 1).unwrap().vivify(expiry)).unwrap().is_done());
    }),
    // Without a word about how long it stays, which is for ever elsewhere.
    ("ms without an expiry", |client, key, _| {
        assert!(client.run(MetaSet::new(key, "new").unwrap()).unwrap().is_done());
    }),
    ("no item: store without an expiry", |client, key, _| client.run(Store::add(key, "new").unwrap()).unwrap()),
];

fn whatever_stores_an_item_keeps_to_the_ttl_of_the_gutter(on: Kind) {
    let (mut servers, addresses) = on.servers(4);
    let client = client(&addresses, options(LONG));
    servers[1].stop();
    let keys: Vec<_> = keys_of(&addresses, 1).take(WRITES.len()).collect();
    let in_an_hour = SystemTime::now() + HOUR;
    let expiries = [Expiry::Never, HOUR.into(), (HOUR * 24 * 31).into(), in_an_hour.into()];
    for ((write, run), key) in WRITES.iter().zip(&keys) {
        let left_after = |expiry| {
            client.delete(key).unwrap();
            if !write.starts_with("no") {
                client.set(key, "old", Expiry::Never).unwrap();
            }
            run(&client, key, expiry);
            servers[3].seconds_left(key)
        };
        for expiry in expiries {
            let left = left_after(expiry);
            assert!(left.is_some_and(|left| (CAP / 2..=CAP).contains(&left)), "{write} until {expiry:?}: {left:?}");
        }
        if write.contains("without") || *write == "append" {
            continue;
        }
        // What is shorter stays as it is.
        for expiry in [Duration::from_secs(CAP / 4).into(), (SystemTime::now() + Duration::from_secs(CAP / 4)).into()] {
            let left = left_after(expiry);
            assert!(left.is_some_and(|left| left <= CAP / 4), "{write} until {expiry:?}: {left:?}");
        }
    }
    client.set(&keys[0], "x", Duration::ZERO).unwrap();
    assert_eq!(client.get(&keys[0]), Ok(None));
    // Servers that are up keep to what was asked for.
    let key = keys_of(&addresses, 0).next().unwrap();
    for (expiry, left) in [(Expiry::Never, None), (HOUR.into(), Some(HOUR.as_secs()))] {
        client.set(&key, "x", expiry).unwrap();
        let found = servers[0].seconds_left(&key);
        assert!(found == left || found.is_some_and(|found| found > CAP), "{expiry:?}: {found:?}");
    }
    // On a server that is named, too.
    let gutter = client.on(&addresses[3]).unwrap();
    gutter.run(Store::set("named", "x").unwrap()).unwrap();
    assert!(servers[3].seconds_left("named").is_some_and(|left| left <= CAP));
    // Nor is an item of the gutter due to be computed again as soon as it is stored.
    client.set(&keys[1], "x", HOUR).unwrap();
    let due = MetaGet::new(&keys[1]).unwrap().value().recache(HOUR);
    assert!(client.run(due).unwrap().is_some_and(|item| !item.win));
}

fn a_killed_and_a_stopped_server_cost_one_deadline_and_then_no_hit(on: Kind) {
    let (mut servers, addresses) = on.servers(6);
    let client = client_of_stopped(&addresses, options(LONG));
    let keys: Vec<_> = (0..3).flat_map(|place| keys_of(&addresses, place).take(20)).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    client.set_many(&items, HOUR).unwrap().all_stored().unwrap();
    servers[0].stop();
    servers[1].suspend();
    // What is missed is filled.
    let mut failed = Vec::new();
    for key in &keys {
        let mut note = |error| failed.push((key, error));
        match client.get(key) {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error) => note(error),
        }
        client.set(key, "x", HOUR).unwrap_or_else(note);
    }
    // The call that found out that the server is silent, and no other: a killed one costs none.
    assert!(failed.len() <= 1 && failed.iter().all(|(_, error)| error.is_timeout()), "{failed:?}");
    for _ in 0..2 {
        let found: Vec<_> = keys.iter().map(|key| client.get(key).unwrap()).collect();
        assert!(found.iter().all(Option::is_some), "{found:?}");
        let found = client.get_many(&keys).unwrap().into_result().unwrap();
        assert!(found.iter().all(Option::is_some), "{found:?}");
    }
    for key in &keys[..40] {
        let of = places(&servers, key, |place| place > 1);
        assert!(matches!(of[..], [3..=5]) && servers[of[0]].seconds_left(key).unwrap() <= CAP, "{key}: {of:?}");
    }
}

/// Whichever of them finds out that the server is down.
fn callers_of_a_stopped_server_pay_one_deadline_each(on: Kind) {
    const CALLERS: usize = 8;
    let (servers, addresses) = on.servers(4);
    let client = client_of_stopped(&addresses, options(LONG));
    let keys: Vec<_> = keys_of(&addresses, 1).take(CALLERS).collect();
    let (connected, stopped, paid) = (Barrier::new(CALLERS + 1), Barrier::new(CALLERS + 1), AtomicUsize::new(0));
    thread::scope(|scope| {
        for key in &keys {
            let (client, connected, stopped, paid) = (&client, &connected, &stopped, &paid);
            scope.spawn(move || {
                let stored = client.set(key, "old", HOUR);
                // If that has failed, the others must not wait for this thread.
                connected.wait();
                stopped.wait();
                stored.unwrap();
                match client.get(key) {
                    Err(error) => {
                        assert!(error.is_timeout() || matches!(error, Error::Disconnected { .. }), "{error:?}");
                        paid.fetch_add(1, Ordering::SeqCst);
                    }
                    // On a busy machine another one may know it before this one asks.
                    found => assert_eq!(found, Ok(None)),
                }
                client.set(key, "new", HOUR).unwrap();
                assert_eq!(client.get(key).unwrap().unwrap(), "new");
            });
        }
        connected.wait();
        servers[1].suspend();
        stopped.wait();
    });
    assert!(paid.into_inner() > 0);
    assert!(keys.iter().all(|key| servers[3].holds(key)));
}

/// The promise of the guide: the server that comes back has its old items.
fn a_delete_during_an_outage_is_done_in_the_gutter_alone(on: Kind) {
    let (servers, addresses) = on.servers(6);
    let client = client_of_stopped(&addresses, options(BRIEF));
    let key = &keys_of(&addresses, 1).next().unwrap();
    client.set(key, "old", Expiry::Never).unwrap();
    servers[1].suspend();
    assert!(client.get(key).unwrap_err().is_timeout());
    client.set(key, "new", Expiry::Never).unwrap();
    assert_eq!(client.get(key).unwrap().unwrap(), "new");
    assert_eq!((client.delete(key), client.get(key)), (Ok(true), Ok(None)));
    servers[1].resume();
    let begun = Instant::now();
    let back = iter::from_fn(|| {
        assert!(begun.elapsed() < PATIENT, "the server is not asked again");
        thread::sleep(Duration::from_millis(20));
        Some(client.get(key).unwrap())
    });
    assert_eq!(back.flatten().next().unwrap(), "old");
}

fn what_asks_every_server_asks_those_of_the_gutter(on: Kind) {
    let (mut servers, addresses) = on.servers(5);
    let client = client(&addresses, options(LONG));
    let key = &keys_of(&addresses, 1).next().unwrap();
    assert!(client.warm().unwrap().into_result().is_ok());
    assert_eq!(client.stats().unwrap().into_result().unwrap().len(), 5);
    let router = client.router();
    let is_in_gutter: Vec<_> = router.ids().map(|id: ServerId| router.is_in_gutter(id)).collect();
    assert_eq!(is_in_gutter, [false, false, false, true, true]);
    servers[1].stop();
    assert_eq!(client.get(key), Ok(None));
    client.set(key, "x", Expiry::Never).unwrap();
    let up: Vec<_> = client.version().unwrap().iter().map(|told| told.is_ok()).collect();
    assert_eq!(up, [true, false, true, true, true]);
    let deleted = client.delete_all(key).unwrap().skip_unreachable().unwrap();
    assert_eq!((deleted.len(), deleted[1], deleted.iter().filter(|told| **told == Some(true)).count()), (5, None, 1));
    client.set(key, "x", Expiry::Never).unwrap();
    assert_eq!(client.flush_all().unwrap().iter().filter(|told| told.is_ok()).count(), 4);
    assert_eq!(client.get(key), Ok(None));
}

fn another_list_of_servers_has_the_same_gutter(on: Kind) {
    let (mut servers, addresses) = on.servers(4);
    let client = client(&addresses, options(LONG));
    let key = &keys_of(&addresses, 1).next().unwrap();
    servers[1].stop();
    client.set(key, "x", HOUR).unwrap();
    let change = client.set_servers(&addresses[1..3]).unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (0, 1));
    assert_eq!(client.router().servers().len(), 3);
    // The server that is down is still known to be.
    let all: Vec<_> = (0..40).map(|at| (format!("key{at}"), "x")).collect();
    client.set_many(&all, HOUR).unwrap().all_stored().unwrap();
    let of_gutter = all.iter().filter(|(key, _)| servers[3].holds(key)).count();
    assert!((1..40).contains(&of_gutter), "{of_gutter}");
    assert_matches!(client.set_servers(&addresses[2..]), Err(Error::Uri { .. }));
}

fn without_a_server_of_the_gutter_all_are_down(on: Kind) {
    let (mut servers, addresses) = on.servers(5);
    let client = client(&addresses, options(LONG));
    for down in [1, 3, 4] {
        servers[down].stop();
    }
    let key = &keys_of(&addresses, 1).next().unwrap();
    assert_matches!(client.get(key), Err(Error::Connect { .. } | Error::AllDown { .. }));
    for error in [client.set(key, "x", HOUR).unwrap_err(), client.get_many(&[key]).unwrap().into_result().unwrap_err()]
    {
        assert_matches!(&error, Error::AllDown { servers: 5, .. });
    }
    let other = &keys_of(&addresses, 0).next().unwrap();
    client.set(other, "x", HOUR).unwrap();
    servers[4].restart();
    // It is not tried yet, and no other server gets the key.
    assert_matches!(client.get(key), Err(Error::AllDown { .. }));
}

fn a_source_of_servers_is_asked_without_the_gutter() {
    let (main, gutter) = (EmbeddedServer::start(), EmbeddedServer::start());
    let options = options(LONG).gutter([gutter.address()], HOUR);
    let client = Client::with_options([main.address()], options).unwrap();
    let before = gutter.connections();
    assert_matches!(
        client.refresh_servers(&mut ServerSource::cluster(&main.address()).unwrap()),
        Err(Error::Refused { .. })
    );
    assert_eq!(gutter.connections(), before);
}
