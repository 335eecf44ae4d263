//! Several groups of servers, each of which has all keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::command::meta::{MetaArithmetic, MetaDelete, MetaGet, MetaSet, MetaSetMode};
use memcached2_proto::command::{DeleteCas, NoReply};
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::operation::{Batch, DeleteMany, EachReplica, RoutedBy, SetMany};
use memcached2_proto::routing::WriteTo;
use memcached2_proto::{Error, Expiry, Get, Key, Landed, Options, ReconnectPolicy, Router, Store};
use memcached2_testkit::assert_matches;

use super::servers::{Kind, Server, name};
use super::setting::{BRIEF, HOUR, PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        a_write_goes_to_each_replica_and_a_read_to_the_nearest since (1, 6, 10),
        no_read_fails_while_one_of_three_replicas_is_lost,
        a_write_needs_as_many_replicas_as_it_says,
        a_replica_that_is_back_is_written_and_read_again,
        a_silent_replica_costs_one_deadline,
        the_far_zone_is_connected_to_only_when_the_near_one_has_failed,
        what_one_replica_does_not_have_is_asked_of_the_next,
        what_depends_on_the_copy_is_refused since (1, 6, 10),
        a_key_without_a_replica_goes_to_the_gutter,
        what_asks_every_server_asks_those_of_each_replica,
    }
    scripted {}
}

/// Longer than a case takes.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) fn options(retry: Duration) -> Options {
    trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::After(retry))
}

/// A client of replicas of two servers each.
fn client(addresses: &[String], options: Options) -> Client {
    let mut replicas = addresses.chunks(2);
    let first = replicas.next().expect("there is one");
    let options = replicas.fold(options, |options, replica| options.replica(replica));
    Client::with_options(first, options).expect("the addresses are right")
}

/// The place of the server of a key in each replica of two.
fn places(addresses: &[String], key: &str) -> Vec<usize> {
    let place = |servers: &[String]| Router::parse(servers).unwrap().route(Key::new(key).unwrap()).unwrap().index();
    addresses.chunks(2).enumerate().map(|(replica, servers)| replica * 2 + place(servers)).collect()
}

/// Keys of which the first server of the first replica has some.
fn keys() -> Vec<String> {
    (0..20).map(|at| format!("key{at}")).collect()
}

fn holders(servers: &[Server], key: &str) -> Vec<usize> {
    (0..servers.len()).filter(|place| servers[*place].holds(key)).collect()
}

fn a_write_goes_to_each_replica_and_a_read_to_the_nearest(on: Kind) {
    let (servers, addresses) = on.servers(6);
    let clients: Vec<_> = (0..3).map(|nearest| client(&addresses, options(LONG).nearest(nearest))).collect();
    let keys = keys();
    for (client, key) in clients.iter().cycle().zip(&keys) {
        client.set(key, "x", HOUR).unwrap();
        assert_eq!(holders(&servers, key), places(&addresses, key));
        assert_eq!((client.touch(key, HOUR * 2), client.delete(key)), (Ok(true), Ok(true)));
        assert!(holders(&servers, key).is_empty());
        client.run(NoReply(Store::set(key, "x").unwrap())).unwrap();
        assert_eq!(client.delete(key), Ok(true));
        assert!(client.run(MetaSet::new(key, "x").unwrap().flags(7)).unwrap().is_done());
        assert_eq!(holders(&servers, key), places(&addresses, key));
        assert!(client.run(MetaGet::new(key).unwrap().touch(HOUR)).unwrap().is_some());
        let left = places(&addresses, key).into_iter().map(|place| servers[place].seconds_left(key));
        assert!(left.into_iter().all(|left| left.is_some()));
        assert!(client.run(MetaDelete::new(key).unwrap()).unwrap().is_done());
        assert!(holders(&servers, key).is_empty());
    }
    let items: Vec<_> = keys.iter().map(|key| (key, "same")).collect();
    clients[0].set_many(&items, HOUR).unwrap().all_stored().unwrap();
    assert!(keys.iter().all(|key| holders(&servers, key) == places(&addresses, key)));
    for key in &keys {
        assert!(clients[2].gat(key, HOUR * 2).unwrap().is_some());
        let left = places(&addresses, key).into_iter().map(|place| servers[place].seconds_left(key).unwrap());
        assert!(left.into_iter().all(|left| left > HOUR.as_secs() + 60), "{key}");
        for (replica, place) in places(&addresses, key).into_iter().enumerate() {
            let one = clients[0].on(&addresses[place]).unwrap();
            one.run(Store::set(key, &replica).unwrap()).unwrap();
        }
        let each = clients[0].run(EachReplica::new(Get::new(key).unwrap())).unwrap().into_result().unwrap();
        assert_eq!(each.into_iter().map(|value| value.unwrap().parse()).collect::<Vec<_>>(), [Ok(0), Ok(1), Ok(2)]);
    }
    for (nearest, client) in clients.iter().enumerate() {
        let text = nearest.to_string();
        for key in &keys {
            assert_eq!(client.get(key).unwrap().unwrap(), *text);
            assert_eq!(client.gets(key).unwrap().unwrap(), *text);
        }
        let found = client.get_many(&keys).unwrap().into_result().unwrap();
        assert!(found.into_iter().all(|value| value.unwrap() == *text));
        // The server is that of another key in each replica.
        let routed = RoutedBy::new(&keys[0], Store::set("routed", "x").unwrap()).unwrap();
        client.run(routed).unwrap();
        assert_eq!(holders(&servers, "routed"), places(&addresses, &keys[0]));
    }
    let deleted = clients[1].delete_many(&keys).unwrap().into_result().unwrap();
    assert!(deleted.into_iter().all(|deleted| deleted));
    assert!(keys.iter().all(|key| holders(&servers, key).is_empty()));
}

fn no_read_fails_while_one_of_three_replicas_is_lost(on: Kind) {
    let (mut servers, addresses) = on.servers(6);
    let options = options(BRIEF / 10).read_next_on_miss(true);
    let clients: Vec<_> = (0..3).map(|nearest| client(&addresses, options.clone().nearest(nearest))).collect();
    let keys = keys();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    clients[0].set_many(&items, HOUR).unwrap().all_stored().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (keys, is_over) = (&keys, &is_over);
        // Says so when it has read all keys once.
        let read = move |client: &Client, passed: &Sender<()>| {
            while !is_over.load(Ordering::Relaxed) {
                for key in keys {
                    assert_eq!(client.get(key).unwrap().unwrap(), "x");
                    assert!(client.exists(key).unwrap());
                    let found = client.get_many(keys).unwrap().into_result().unwrap();
                    assert!(found.iter().all(Option::is_some), "{found:?}");
                }
                let _ = passed.send(());
            }
        };
        let passes: Vec<_> = clients
            .iter()
            .map(|client| {
                let (passed, passes) = mpsc::channel();
                scope.spawn(move || read(client, &passed));
                passes
            })
            .collect();
        let all_have_read = || {
            for passes in &passes {
                while passes.try_recv().is_ok() {}
                // The first may have begun before. A reader that has failed says no more.
                let _ = passes.recv().and_then(|()| passes.recv());
            }
        };
        all_have_read();
        [0, 1].into_iter().for_each(|place| servers[place].stop());
        all_have_read();
        // It comes back without an item.
        [0, 1].into_iter().for_each(|place| servers[place].restart());
        all_have_read();
        is_over.store(true, Ordering::Relaxed);
    });
}

fn a_write_needs_as_many_replicas_as_it_says(on: Kind) {
    let (mut servers, addresses) = on.servers(6);
    let of = |write_to| client(&addresses, options(LONG).write_to(write_to));
    let clients = [of(WriteTo::One), of(WriteTo::Quorum), client(&addresses, options(LONG))];
    let key = &keys()[0];
    let at = places(&addresses, key);
    for (lost, enough) in [(0, [true, true, true]), (1, [true, true, false]), (2, [true, false, false])] {
        if lost > 0 {
            servers[at[lost]].stop();
        }
        for (client, enough) in clients.iter().zip(enough) {
            // The first call finds out, and the second one knows.
            for known in [false, true] {
                client.get(key).unwrap();
                let told = client.set(key, "x", HOUR);
                let each = client.run(EachReplica::new(Store::set(key, "x").unwrap())).unwrap();
                let each: Vec<_> = each.iter().map(|result| result.is_ok()).collect();
                let is_up: Vec<_> = (0..3).map(|replica| replica == 0 || replica > lost).collect();
                assert_eq!(each, is_up);
                assert_eq!(told.is_ok(), enough, "{lost} lost, known: {known}: {told:?}");
                let Err(error) = told else { continue };
                assert_eq!((error.command(), error.key()), (Some("set"), Some(&**key)));
                assert!(error.counts_as_miss() && error.landed() == Landed::Unknown, "{error}");
                let Error::Replicas { results, .. } = &error else { panic!("{error:?}") };
                assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), is_up);
                let failed = results.iter().filter_map(|result| result.as_ref().err());
                for (error, replica) in failed.zip(1..) {
                    assert_eq!(error.server(), Some(name(&addresses[at[replica]])));
                    assert!(error.landed() != Landed::Refused, "{error}");
                }
            }
            assert!(servers[at[0]].holds(key));
            assert_eq!(client.delete(key).is_ok(), enough);
            assert!(!servers[at[0]].holds(key));
        }
    }
    // None of them: then it is the failure of one.
    servers[at[0]].stop();
    for client in &clients {
        let _ = client.get(key);
        let error = client.set(key, "x", HOUR).unwrap_err();
        assert_matches!(&error, Error::AllDown { servers: 6, .. });
        assert_matches!(client.get(key), Err(Error::AllDown { .. }));
        let items = [(key, "x")];
        assert_matches!(client.set_many(&items, HOUR).unwrap().into_result(), Err(Error::AllDown { .. }));
    }
}

fn a_replica_that_is_back_is_written_and_read_again(on: Kind) {
    let (mut servers, addresses) = on.servers(4);
    let client = client(&addresses, options(BRIEF / 10).write_to(WriteTo::One));
    let key = &keys()[0];
    let at = places(&addresses, key);
    servers[at[0]].stop();
    client.set(key, "far", HOUR).unwrap();
    assert_eq!(client.get(key).unwrap().unwrap(), "far");
    servers[at[0]].restart();
    let begun = Instant::now();
    while !servers[at[0]].holds(key) {
        assert!(begun.elapsed() < PATIENT, "it is not asked again");
        client.set(key, "new", HOUR).unwrap();
    }
    client.set(key, "new", HOUR).unwrap();
    servers[at[1]].stop();
    assert_eq!(client.get(key).unwrap().unwrap(), "new");
}

fn a_silent_replica_costs_one_deadline(on: Kind) {
    let (servers, addresses) = on.servers(4);
    let options = options(LONG).timeout(2 * BRIEF).connect_timeout(BRIEF).write_to(WriteTo::One);
    let client = client(&addresses, options);
    let key = &keys()[0];
    let at = places(&addresses, key);
    client.set(key, "old", HOUR).unwrap();
    servers[at[0]].suspend();
    // Another one has carried it out.
    client.set(key, "new", HOUR).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get(key).unwrap().unwrap(), "new");
        client.set(key, "new", HOUR).unwrap();
    }
    servers[at[1]].suspend();
    let error = client.get(key).unwrap_err();
    assert!(error.is_timeout() && error.landed() == Landed::NotSent, "{error}");
}

/// How many connections a server has ever had.
fn connections(server: &Server) -> u64 {
    let lines = server.lines("stats", |line| line == "END");
    let line = lines.iter().find_map(|line| line.strip_prefix("STAT total_connections ")).expect("it is counted");
    line.trim().parse().unwrap()
}

fn the_far_zone_is_connected_to_only_when_the_near_one_has_failed(on: Kind) {
    let (mut servers, addresses) = on.servers(4);
    let keys = keys();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    client(&addresses, options(LONG)).set_many(&items, HOUR).unwrap().all_stored().unwrap();
    // The same list of replicas for all clients; this one is near the second one.
    let client = client(&addresses, options(LONG).nearest(1));
    let before = [0, 1].map(|far| connections(&servers[far]));
    for key in &keys {
        assert_eq!(client.get(key).unwrap().unwrap(), "x");
        assert!(client.exists(key).unwrap());
        assert_eq!(client.get(format!("no {key}").replace(' ', "")), Ok(None));
    }
    assert!(client.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_some));
    // But for the one that asks.
    assert_eq!([0, 1].map(|far| connections(&servers[far])), before.map(|before| before + 1));
    servers[2].stop();
    let of_lost = |key: &&String| places(&addresses, key)[1] == 2;
    for key in keys.iter().filter(of_lost) {
        assert_eq!(client.get(key).unwrap().unwrap(), "x");
    }
    assert!(client.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_some));
    let after: u64 = [0, 1].map(|far| connections(&servers[far])).into_iter().sum();
    assert!(after > before.iter().sum::<u64>() + 4, "the far zone was not asked");
}

fn what_one_replica_does_not_have_is_asked_of_the_next(on: Kind) {
    let (mut servers, addresses) = on.servers(6);
    let patient = client(&addresses, options(LONG).read_next_on_miss(true));
    let hasty = client(&addresses, options(LONG));
    let keys = keys();
    let items: Vec<_> = keys.iter().map(|key| (key, key)).collect();
    patient.set_many(&items, HOUR).unwrap().all_stored().unwrap();
    // Each key is missing in the first replica, every second one in the second, too, and every fourth one in all of them.
    let replica_of = |at: usize| match at % 4 {
        0 => None,
        2 => Some(2),
        _ => Some(1),
    };
    for (at, key) in keys.iter().enumerate() {
        for place in &places(&addresses, key)[..replica_of(at).unwrap_or(3)] {
            let one = patient.on(&addresses[*place]).unwrap();
            assert!(one.run(memcached2_proto::Delete::new(key).unwrap()).unwrap());
        }
    }
    let check = |is_up: &dyn Fn(usize) -> bool| {
        let expected: Vec<_> = (0..keys.len()).map(|at| replica_of(at).is_some_and(is_up)).collect();
        for (key, expected) in keys.iter().zip(&expected) {
            let found = patient.get(key).unwrap();
            assert_eq!((found.is_some(), patient.exists(key).unwrap()), (*expected, *expected), "{key}");
            assert!(found.is_none_or(|value| value == **key));
        }
        let found = patient.get_many(&keys).unwrap().into_result().unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
        assert!(keys.iter().zip(found).all(|(key, value)| value.is_none_or(|value| value == **key)));
    };
    check(&|_| true);
    assert!(hasty.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_none));
    // What cannot be asked is missing, too: a replica has answered.
    servers[4].stop();
    servers[5].stop();
    check(&|replica| replica != 2);
    servers[0].stop();
    servers[1].stop();
    check(&|replica| replica != 2);
}

/// Whether nothing came of it but a mistake of the caller.
type Refused = fn(&Client, &str) -> Result<(), Error>;

const REFUSED: &[(&str, Refused)] = &[
    ("add", |client, key| client.add(key, "x", HOUR)),
    ("replace", |client, key| client.replace(key, "x", HOUR)),
    ("append", |client, key| client.append(key, "x")),
    ("prepend", |client, key| client.prepend(key, "x")),
    ("cas", |client, key| client.cas(key, "x", HOUR, 1)),
    ("incr", |client, key| client.incr(key, 1).map(drop)),
    ("decr", |client, key| client.decr(key, 1).map(drop)),
    ("incr_or", |client, key| client.incr_or(key, 1, 1, HOUR).map(drop)),
    ("delete_cas", |client, key| client.run(DeleteCas::new(key, 1)?).map(drop)),
    ("fetch", |client, key| client.fetch(key, &FetchPolicy::new(HOUR), || Ok::<_, Error>("x")).map(drop)),
    ("gat_many", |client, key| client.gat_many(&[key, "other"], HOUR)?.into_result().map(drop)),
    ("store_many", |client, key| client.store_many(vec![Store::add(key, "x")?])?.into_result().map(drop)),
    ("batch", |client, key| client.run(Batch::new(vec![Store::add(key, "x")?]))?.into_result().map(drop)),
    ("quiet set", |client, key| client.run(SetMany::new(&[(key, "x")], HOUR.into())?.quiet())?.into_result().map(drop)),
    ("quiet delete", |client, key| client.run(DeleteMany::new(&[key])?.quiet())?.into_result().map(drop)),
    ("routed", |client, key| client.run(RoutedBy::new("other", Store::add(key, "x")?)?)),
    ("no reply", |client, key| client.run(NoReply(Store::add(key, "x")?))),
    ("ms", |client, key| client.run(MetaSet::new(key, "x")?.mode(MetaSetMode::Add)).map(drop)),
    ("mg", |client, key| client.run(MetaGet::new(key)?.vivify(HOUR)).map(drop)),
    ("md", |client, key| client.run(MetaDelete::new(key)?.invalidate()).map(drop)),
    ("ma", |client, key| client.run(MetaArithmetic::incr(key, 1)?.vivify(HOUR)).map(drop)),
];

fn what_depends_on_the_copy_is_refused(on: Kind) {
    let (servers, addresses) = on.servers(4);
    let client = client(&addresses, options(LONG).write_to(WriteTo::One));
    let key = &keys()[0];
    client.set(key, "7", Expiry::Never).unwrap();
    for (what, run) in REFUSED {
        for key in [key, "new"] {
            let error = run(&client, key).expect_err(what);
            assert_matches!((&error, error.landed()), (Error::Argument { .. }, Landed::NotSent));
        }
    }
    assert!(holders(&servers, "new").is_empty());
    assert_eq!(client.get(key).unwrap().unwrap(), "7");
    // One server carries it out.
    let one = client.on(&addresses[places(&addresses, key)[1]]).unwrap();
    assert_eq!(one.run(memcached2_proto::command::Incr::new(key, 1).unwrap()), Ok(Some(8)));
    let each = client.run(EachReplica::new(Get::new(key).unwrap())).unwrap().into_result().unwrap();
    assert_eq!(each.into_iter().map(|value| value.unwrap().parse()).collect::<Vec<_>>(), [Ok(7), Ok(8)]);
    assert_eq!(client.cache("cached", HOUR, || Ok::<_, Error>("x")).unwrap(), "x");
    assert_eq!(holders(&servers, "cached"), places(&addresses, "cached"));
}

fn a_key_without_a_replica_goes_to_the_gutter(on: Kind) {
    let (mut servers, addresses) = on.servers(5);
    let options = options(LONG).gutter(&addresses[4..], Duration::from_secs(30));
    let client = client(&addresses[..4], options);
    let (lost, kept): (Vec<_>, Vec<_>) = keys().into_iter().partition(|key| places(&addresses, key)[..2] == [0, 2]);
    assert!(!lost.is_empty() && !kept.is_empty());
    for place in [0, 2] {
        servers[place].stop();
    }
    assert!(client.get_many(&lost).unwrap().into_result().unwrap().iter().all(Option::is_none));
    for key in &lost {
        client.set(key, "x", Expiry::Never).unwrap();
        assert_eq!(client.get(key).unwrap().unwrap(), "x");
        assert!(servers[4].seconds_left(key).is_some_and(|left| left <= 30));
    }
    let of_two = kept.iter().find(|key| places(&addresses, key)[..2] == [1, 3]).expect("there is one");
    client.set(of_two, "x", Expiry::Never).unwrap();
    assert!(!servers[4].holds(of_two));
    assert_eq!(client.delete_many(&lost).unwrap().into_result(), Ok(vec![true; lost.len()]));
}

fn what_asks_every_server_asks_those_of_each_replica(on: Kind) {
    let (_servers, addresses) = on.servers(4);
    let client = client(&addresses, options(LONG));
    assert!(client.warm().unwrap().into_result().is_ok());
    assert_eq!(client.stats().unwrap().into_result().unwrap().len(), 4);
    let router = client.router();
    let replicas: Vec<_> = router.ids().map(|id| router.replica_of(id)).collect();
    assert_eq!(replicas, [Some(0), Some(0), Some(1), Some(1)]);
    client.set("a", "x", HOUR).unwrap();
    assert_eq!(client.delete_all("a").unwrap().into_iter().filter(|told| *told == Ok(true)).count(), 2);
    // Another list replaces the first replica.
    client.set("a", "x", HOUR).unwrap();
    assert_eq!(client.set_servers(&addresses[1..2]).unwrap().removed.len(), 1);
    assert_eq!(client.router().servers().len(), 3);
    client.set("a", "x", HOUR).unwrap();
    let each = client.run(EachReplica::new(Get::new("a").unwrap())).unwrap().into_result().unwrap();
    assert_eq!(each.iter().filter(|value| value.is_some()).count(), 2);
    assert_eq!(client.flush_all().unwrap().into_result().map(|all| all.len()), Ok(3));
    assert_eq!(client.get("a"), Ok(None));
}
