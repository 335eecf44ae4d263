//! The journal of writes that have failed or went to another server: no value comes back that was deleted or replaced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use memcached2_proto::routing::{Journal, WriteTo};
use memcached2_proto::{Expiry, Key, Landed, Options, ReconnectPolicy, Value};
use memcached2_testkit::Rng;

use super::servers::{Kind, Server};
use super::setting::{self, BRIEF, PATIENT, trusting, until};
use crate::subject::Client;

super::cases! {
    served {
        a_write_that_failed_is_deleted_when_the_server_is_back,
        a_key_is_not_read_before_it_was_deleted,
        a_delete_that_went_to_another_server_is_done_when_its_server_is_back,
        what_has_failed_is_deleted_for_other_clients_too,
        a_write_that_a_replica_has_missed_is_deleted_there,
        no_value_is_older_than_its_last_delete_after_failures,
    }
    scripted {}
}

/// A server that has failed is tried again at once, so that no case has to wait.
fn options(journal: &Arc<Journal>) -> Options {
    let soon = ReconnectPolicy::After(Duration::from_nanos(1));
    trusting().timeout(2 * BRIEF).connect_timeout(BRIEF).reconnect(soon).journal(Arc::clone(journal))
}

fn with_journal(servers: &[String], change: impl FnOnce(Options) -> Options) -> (Client, Arc<Journal>) {
    let journal = Arc::new(Journal::new(1000));
    let client = Client::with_options(servers, change(options(&journal))).expect("right");
    (client, journal)
}

fn a_write_that_failed_is_deleted_when_the_server_is_back(on: Kind) {
    let server = on.start();
    let (client, journal) = with_journal(&[server.address()], |options| options);
    for key in ["deleted", "stored", "kept", "touched"] {
        client.set(key, "old", Expiry::Never).unwrap();
    }
    server.suspend();
    assert_ne!(client.delete("deleted").unwrap_err().landed(), Landed::Refused);
    client.set("stored", "new", Expiry::Never).unwrap_err();
    client.touch("touched", Expiry::Never).unwrap_err();
    client.get("kept").unwrap_err();
    server.resume();
    assert_eq!(journal.len(), 2);
    until(|| client.get("kept").is_ok());
    assert_eq!(client.get("deleted"), Ok(None));
    // The store may have landed before it was deleted, and after that the key has no value.
    assert_eq!(client.get("stored"), Ok(None));
    assert_eq!(client.get("touched").unwrap().unwrap(), "old");
    assert_eq!(client.get("kept").unwrap().unwrap(), "old");
    assert!(journal.is_empty());
}

fn a_key_is_not_read_before_it_was_deleted(on: Kind) {
    let server = on.start();
    let (client, journal) = with_journal(&[server.address()], |options| options.timeout(PATIENT));
    for key in ["a", "b", "c"] {
        client.set(key, "old", Expiry::Never).unwrap();
        journal.keep(name(&client), key.as_bytes());
    }
    assert_eq!(client.get("a"), Ok(None));
    journal.keep(name(&client), b"a");
    client.add("a", "new", Expiry::Never).unwrap();
    assert_eq!(client.get("a").unwrap().unwrap(), "new");
    client.set("b", "old", Expiry::Never).unwrap();
    journal.keep(name(&client), b"b");
    let values = client.get_many(&["a", "b", "d"]).unwrap().into_result().unwrap();
    assert!(values[0].is_some() && values[1].is_none() && values[2].is_none());
    // What no one asks for is deleted by a call that the server has answered.
    assert!(!server.holds("c") && journal.is_empty());
}

fn name(client: &Client) -> &'static str {
    client.router().servers()[0].name().to_owned().leak()
}

fn a_delete_that_went_to_another_server_is_done_when_its_server_is_back(on: Kind) {
    let (servers, addresses) = on.servers(3);
    // While it is down, its keys go to another one.
    let later = ReconnectPolicy::After(BRIEF);
    let (client, journal) = with_journal(&addresses, |options| options.reconnect(later));
    client.set("a", "old", Expiry::Never).unwrap();
    let home = &servers[client.router().route(Key::new("a").unwrap()).unwrap().index()];
    assert!(home.holds("a"));
    home.suspend();
    // The first one waits for it in vain.
    let _ = client.delete("a");
    assert_eq!(client.delete("a"), Ok(false));
    assert_eq!(journal.len(), 1);
    home.resume();
    until(|| client.get("a").is_ok() && journal.is_empty());
    assert!(!home.holds("a"));
}

fn what_has_failed_is_deleted_for_other_clients_too(on: Kind) {
    let server = on.start();
    let journal = Arc::new(Journal::new(10));
    let client = || Client::with_options([server.address()], options(&journal)).expect("right");
    let (first, second) = (client(), client());
    first.set("a", "old", Expiry::Never).unwrap();
    server.suspend();
    first.delete("a").unwrap_err();
    server.resume();
    until(|| second.get("b").is_ok());
    assert_eq!(second.get("a"), Ok(None));
    assert!(!server.holds("a") && journal.is_empty());
}

fn a_write_that_a_replica_has_missed_is_deleted_there(on: Kind) {
    let (servers, addresses) = on.servers(2);
    let later = ReconnectPolicy::After(BRIEF);
    let change = |options: Options| options.reconnect(later).replica([addresses[1].clone()]).write_to(WriteTo::One);
    let (client, journal) = with_journal(&addresses[..1], change);
    client.set("a", "old", Expiry::Never).unwrap();
    client.set("b", "old", Expiry::Never).unwrap();
    assert!(servers.iter().all(|server| server.holds("a")));
    servers[0].suspend();
    // The first one waits for it in vain, the second one knows that it is down.
    client.set("a", "new", Expiry::Never).unwrap();
    client.set("b", "new", Expiry::Never).unwrap();
    assert_eq!((journal.len(), client.get("b").unwrap().unwrap().as_str().unwrap()), (2, "new"));
    servers[0].resume();
    until(|| {
        let values = ["a", "b"].map(|key| client.get(key));
        let is_old = |value: &Result<Option<Value>, _>| matches!(value, Ok(Some(value)) if *value == "old");
        assert!(!values.iter().any(is_old), "{values:?}");
        journal.is_empty()
    });
    assert!(servers[1].holds("a") && servers[1].holds("b"));
}

/// Writes at random while servers stand still and go on, by a client whose keys go nowhere else.
fn no_value_is_older_than_its_last_delete_after_failures(on: Kind) {
    const KEYS: u64 = 20;
    let (servers, addresses) = on.servers(2);
    let (client, journal) = with_journal(&addresses, |options| options.failover(false).timeout(BRIEF / 4));
    // A server carries out what has come on a connection that is closed, at a time that nobody can know, until it notices.
    let others = setting::client(&addresses);
    let connections = || -> Option<Vec<_>> {
        let stats = others.stats().ok()?.into_result().ok()?;
        stats.iter().map(|stats| stats.number("curr_connections")).collect()
    };
    until(|| client.stats().is_ok_and(|stats| stats.into_result().is_ok()));
    let open = connections().expect("both answer");
    let has_noticed = || connections().is_some_and(|now| now.iter().zip(&open).all(|(now, open)| now <= open));
    let mut rng = Rng::new(7);
    // The number of the last write of each key whose outcome is known to be a delete.
    let mut deleted: HashMap<u64, u64> = HashMap::new();
    for version in 1..=200 {
        if version % 50 == 0 {
            servers[(version / 50 % 2) as usize].suspend();
        }
        let key = rng.below(KEYS as usize) as u64;
        let name = format!("key{key}");
        if rng.below(2) == 0 {
            // Whatever comes of it: it is as good as done.
            let _ = client.delete(&name);
            deleted.insert(key, version);
        } else {
            let _ = client.set(&name, version, Expiry::Never);
        }
        if version % 50 == 5 {
            servers.iter().for_each(Server::resume);
            until(has_noticed);
        }
    }
    servers.iter().for_each(Server::resume);
    until(has_noticed);
    let all = || (0..KEYS).all(|key| client.get(format!("key{key}")).is_ok());
    until(|| all() && journal.is_empty());
    for (key, at) in deleted {
        let version = client.get(format!("key{key}")).unwrap().map(|value| value.parse::<u64>().unwrap());
        assert!(version.is_none_or(|version| version > at), "{version:?} was stored before the delete at {at}");
    }
}
