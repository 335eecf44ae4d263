//! From one group of servers to another, in stages that are switched while the client is used.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use memcached2_proto::command::Delete;
use memcached2_proto::command::meta::{MetaDelete, MetaGet};
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::routing::MigrationStage::{self, New, Old, ReadBoth, ReadNew, WriteBoth};
use memcached2_proto::{Error, Expiry, Options, Protocol, ReconnectPolicy, Store};
use memcached2_testkit::{Rng, assert_matches};

use super::servers::{CLOCK_LAG, Kind, Server};
use super::setting::{HOUR, PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        each_stage_reads_and_writes_its_servers,
        no_value_is_lost_or_old_while_two_clients_migrate_one_after_the_other,
        what_depends_on_the_copy_is_carried_out_before_and_after since (1, 6, 10),
        what_is_found_on_the_old_servers_is_stored_on_the_new_ones since (1, 6, 10),
        a_lease_of_the_old_servers_is_no_value_of_the_new_ones since (1, 6, 10),
        what_only_the_old_servers_have_is_touched_there since (1, 6, 10),
        stages_are_switched_while_calls_are_under_way,
        another_list_of_servers_leaves_the_stage_as_it_is,
        the_old_servers_are_read_while_the_new_ones_are_down,
    }
    scripted {}
}

const STAGES: [MigrationStage; 5] = [Old, WriteBoth, ReadBoth, ReadNew, New];

fn options() -> Options {
    let retry = ReconnectPolicy::After(PATIENT * 20);
    trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(retry)
}

/// A client that migrates from the first two servers to the others.
fn client(addresses: &[String], stage: MigrationStage) -> Client {
    let (old, new) = addresses.split_at(2);
    Client::with_options(old, options().migrate_to(new, stage)).expect("the addresses are right")
}

/// Whether old and new servers hold a key.
fn holders(servers: &[Server], key: &str) -> [bool; 2] {
    let (old, new) = servers.split_at(2);
    [old, new].map(|servers| servers.iter().any(|server| server.holds(key)))
}

fn each_stage_reads_and_writes_its_servers(on: Kind) {
    let (servers, addresses) = on.servers(5);
    let client = client(&addresses, Old);
    for (stage, written, found) in [
        (Old, [true, false], ["old", "old", ""]),
        (WriteBoth, [true, true], ["old", "old", ""]),
        (ReadBoth, [true, true], ["new", "old", "new"]),
        (ReadNew, [true, true], ["new", "", "new"]),
        (New, [false, true], ["new", "", "new"]),
    ] {
        client.set_stage(stage).unwrap();
        assert_eq!(client.router().stage(), Some(stage));
        client.flush_all().unwrap().into_result().unwrap();
        client.set("a", "x", HOUR).unwrap();
        assert_eq!(holders(&servers, "a"), written, "{stage:?}");
        client.set_many(&[("b", "x"), ("c", "x")], HOUR).unwrap().all_stored().unwrap();
        assert_eq!(["b", "c"].map(|key| holders(&servers, key)), [written; 2], "{stage:?}");
        assert_eq!((client.touch("b", HOUR), client.delete("b")), (Ok(true), Ok(true)));
        assert_eq!(holders(&servers, "b"), [false, false]);
        assert_eq!(client.get("c").unwrap().unwrap(), "x");
        // One in both, one in the old servers, and one in the new ones.
        for (place, address) in addresses.iter().enumerate() {
            let one = client.on(address).unwrap();
            let (is_new, value) = if place < 2 { (false, "old") } else { (true, "new") };
            for (key, is_there) in [("both", true), ("only old", !is_new), ("only new", is_new)] {
                let key = key.replace(' ', "-");
                match is_there {
                    true => one.run(Store::set(&key, value).unwrap()).unwrap(),
                    false => drop(one.run(Delete::new(&key).unwrap())),
                }
            }
        }
        let keys = ["both", "only-old", "only-new"];
        let text =
            |value: Option<memcached2_proto::Value>| value.map_or_else(String::new, |value| value.parse().unwrap());
        assert_eq!(keys.map(|key| text(client.get(key).unwrap())), found, "{stage:?}");
        let many = client.get_many(&keys).unwrap().into_result().unwrap();
        assert_eq!(many.into_iter().map(text).collect::<Vec<_>>(), found, "{stage:?}");
        let are_there = keys.map(|key| client.exists(key).unwrap());
        assert_eq!(are_there, found.map(|found| !found.is_empty()), "{stage:?}");
    }
}

/// Two programs are never more than one stage apart, and the new servers are emptied once both write to them.
fn no_value_is_lost_or_old_while_two_clients_migrate_one_after_the_other(on: Kind) {
    let (_servers, addresses) = on.servers(4);
    let clients = [client(&addresses, Old), client(&addresses, Old)];
    let (mut rng, mut stored) = (Rng::new(1), BTreeMap::new());
    let mut work = |is_complete: bool| {
        for number in 0..60 {
            let client = &clients[rng.below(2)];
            let key = format!("key{}", rng.below(30));
            if rng.once_in(4) {
                client.delete(&key).unwrap();
                stored.remove(&key);
            } else if rng.once_in(2) {
                let value = format!("{}:{number}", client.router().stage().unwrap() as u8);
                client.set(&key, &value, HOUR).unwrap();
                stored.insert(key, value);
            }
            for client in &clients {
                let key = format!("key{}", rng.below(30));
                let found = client.get(&key).unwrap().map(|value| value.parse::<String>().unwrap());
                let is_right = found.as_ref() == stored.get(&key) || (found.is_none() && !is_complete);
                assert!(is_right, "{key}: {found:?}, and it is {:?}", stored.get(&key));
            }
        }
    };
    work(true);
    for stage in &STAGES[1..] {
        // What was never stored since is not in the new servers.
        let is_complete = *stage <= ReadBoth;
        clients[0].set_stage(*stage).unwrap();
        work(is_complete);
        clients[1].set_stage(*stage).unwrap();
        work(is_complete);
        if *stage == WriteBoth {
            for new in &addresses[2..] {
                clients[0].on(new).unwrap().flush_all().unwrap();
            }
        }
        work(is_complete);
    }
}

fn what_depends_on_the_copy_is_carried_out_before_and_after(on: Kind) {
    let (servers, addresses) = on.servers(4);
    let client = client(&addresses, Old);
    for stage in STAGES {
        client.set_stage(stage).unwrap();
        client.flush_all().unwrap().into_result().unwrap();
        let added = client.add("a", "1", Expiry::Never);
        let counted = client.incr_or("n", 1, 5, Expiry::Never);
        let touched = client.gat_many(&["a"], HOUR).unwrap().into_result();
        if matches!(stage, Old | New) {
            assert_eq!((added, counted, client.incr("a", 1)), (Ok(()), Ok(5), Ok(Some(2))));
            assert!(touched.unwrap()[0].is_some());
            assert_eq!(holders(&servers, "a"), [stage == Old, stage == New]);
        } else {
            assert_matches!(added, Err(Error::Argument { .. }));
            assert_matches!(counted, Err(Error::Argument { .. }));
            assert_matches!(touched, Err(Error::Argument { .. }));
            assert_eq!(holders(&servers, "a"), [false, false]);
        }
    }
    let plain = Client::with_options(&addresses, options()).unwrap();
    assert_matches!(plain.set_stage(Old), Err(Error::Argument { .. }));
    assert!(client.close(PATIENT));
    assert_matches!(client.set_stage(Old), Err(Error::Closed { .. }));
}

fn what_is_found_on_the_old_servers_is_stored_on_the_new_ones(on: Kind) {
    for protocol in [None, Some(Protocol::Meta), Some(Protocol::Classic)] {
        let (servers, addresses) = on.servers(4);
        let stored = client(&addresses, Old);
        let expiries = [Expiry::Never, HOUR.into(), Duration::from_secs(100).into(), (HOUR * 24 * 40).into()];
        let key = |at: usize| format!("key{at}");
        for at in 0..20 {
            let (key, value) = (key(at), format!("value {at}"));
            let store = Store::set(&key, &value).unwrap().flags(7).expiry(expiries[at % 4]);
            stored.run(store).unwrap();
        }
        let options = match protocol {
            None => options(),
            Some(protocol) => options().protocol(protocol),
        };
        let (old, new) = addresses.split_at(2);
        let client = Client::with_options(old, options.migrate_to(new, ReadBoth)).expect("the addresses are right");
        let keys: Vec<_> = (0..25).map(key).collect();
        for key in &keys[..10] {
            assert!(client.get(key).unwrap().is_some());
            assert_eq!(client.get(format!("no-{key}")), Ok(None));
        }
        let found = client.get_many(&keys).unwrap().into_result().unwrap();
        assert!(found[..20].iter().all(Option::is_some) && found[20..].iter().all(Option::is_none));
        for (at, key) in keys.iter().enumerate() {
            // A server that is not asked in meta does not say how long an item stays.
            let is_filled = at < 20 && protocol != Some(Protocol::Classic);
            assert_eq!(holders(&servers, key), [at < 20, is_filled], "{key} in {protocol:?}");
            let Some(new) = servers[2..].iter().find(|server| server.holds(key)) else { continue };
            let old = servers[..2].iter().find(|server| server.holds(key)).unwrap();
            match (old.seconds_left(key), new.seconds_left(key)) {
                (None, None) => assert_eq!(expiries[at % 4], Expiry::Never),
                (Some(old), Some(new)) => assert!(old.abs_diff(new) <= CLOCK_LAG, "{key}: {old} and {new}"),
                other => panic!("{key}: {other:?}"),
            }
        }
        if protocol == Some(Protocol::Classic) {
            continue;
        }
        client.set_stage(ReadNew).unwrap();
        for (at, value) in client.get_many(&keys[..20]).unwrap().into_result().unwrap().into_iter().enumerate() {
            let value = value.expect("it was filled");
            assert_eq!((value.as_str().unwrap(), value.flags), (&*format!("value {at}"), 7));
        }
    }
}

fn a_lease_of_the_old_servers_is_no_value_of_the_new_ones(on: Kind) {
    let (servers, addresses) = on.servers(4);
    let stored = client(&addresses, Old);
    // The program that computes it has ended before.
    stored.run(MetaGet::new("leased").unwrap().value().vivify(HOUR)).unwrap();
    stored.set("stale", "x", HOUR).unwrap();
    stored.run(MetaDelete::new("stale").unwrap().invalidate()).unwrap();
    let client = client(&addresses, ReadBoth);
    let keys = ["leased", "stale"];
    for key in keys {
        client.get(key).unwrap();
    }
    client.get_many(&keys).unwrap().into_result().unwrap();
    assert_eq!(keys.map(|key| holders(&servers, key)), [[true, false]; 2]);
    client.set_stage(New).unwrap();
    for key in keys {
        let fetched = client.fetch(key, &FetchPolicy::new(HOUR), || Ok::<_, Error>("computed"));
        assert_eq!(fetched.unwrap(), "computed");
    }
}

fn what_only_the_old_servers_have_is_touched_there(on: Kind) {
    let (servers, addresses) = on.servers(4);
    let stored = client(&addresses, Old);
    let keys = ["gat", "gats", "touch", "delete"];
    stored.set_many(&keys.map(|key| (key, key)), HOUR).unwrap().all_stored().unwrap();
    let client = client(&addresses, ReadBoth);
    assert_eq!(client.gat("gat", HOUR * 2).unwrap().unwrap(), "gat");
    assert_eq!(client.gats("gats", HOUR * 2).unwrap().unwrap(), "gats");
    assert_eq!((client.touch("touch", HOUR * 2), client.delete("delete")), (Ok(true), Ok(true)));
    // A value that was found is stored on the new servers, too.
    let held = [[true, true], [true, true], [true, false], [false, false]];
    assert_eq!(keys.map(|key| holders(&servers, key)), held);
    for server in &servers {
        for key in ["gat", "gats", "touch"].into_iter().filter(|key| server.holds(key)) {
            assert!(server.seconds_left(key).is_some_and(|left| left > HOUR.as_secs()), "{key}");
        }
    }
    assert_eq!((client.gat("none", HOUR), client.touch("none", HOUR)), (Ok(None), Ok(false)));
    // On the new servers alone.
    assert_eq!(stored.delete("gat"), Ok(true));
    assert_eq!(client.gat("gat", HOUR).unwrap().unwrap(), "gat");
}

fn stages_are_switched_while_calls_are_under_way(on: Kind) {
    let (_servers, addresses) = on.servers(4);
    let client = client(&addresses, Old);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = |thread: usize| {
            for calls in 0.. {
                if calls > 0 && is_over.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("key{thread}:{}", calls % 20);
                client.set(&key, &key, HOUR).unwrap();
                assert!(client.get(&key).unwrap().is_none_or(|value| value == key));
                assert!(client.get_many(&[key.as_str(), "none"]).unwrap().into_result().is_ok());
                client.delete(&key).unwrap();
            }
        };
        let workers: Vec<_> = (0..3).map(|thread| scope.spawn(move || work(thread))).collect();
        for round in 0..40 {
            client.set_stage(STAGES[round % 5]).unwrap();
            client.set("between", "x", HOUR).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

fn another_list_of_servers_leaves_the_stage_as_it_is(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses, Old);
    client.set_stage(WriteBoth).unwrap();
    client.set_servers(&addresses[..1]).unwrap();
    assert_eq!((client.router().stage(), client.router().servers().len()), (Some(WriteBoth), 2));
    client.set("a", "x", HOUR).unwrap();
    assert_eq!([0, 1, 2].map(|place| servers[place].holds("a")), [true, false, true]);
}

fn the_old_servers_are_read_while_the_new_ones_are_down(on: Kind) {
    let (mut servers, addresses) = on.servers(3);
    let client = client(&addresses, ReadBoth);
    client.set("a", "x", HOUR).unwrap();
    servers[2].stop();
    assert_eq!(client.get("a").unwrap().unwrap(), "x");
    let error = client.set("a", "y", HOUR).unwrap_err();
    assert_matches!(&error, Error::Replicas { .. });
    assert_eq!(client.get("a").unwrap().unwrap(), "y");
    client.set_stage(ReadNew).unwrap();
    assert_matches!(client.get("a"), Err(Error::AllDown { .. }));
}
