//! Several keys in one call.

use std::time::Instant;

use memcached2_proto::command::meta::MetaGet;
use memcached2_proto::error::KeyProblem;
use memcached2_proto::operation::{Batch, RoutedBy};
use memcached2_proto::{Error, Expiry, Get, Key, Options, Protocol, Router, Selection, Store, Value};
use memcached2_testkit::assert_matches;
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, assert_hours_left};
use super::setting::{BRIEF, HOUR, PATIENT, client, text_client, trusting};
use crate::subject::Client;

super::cases! {
    served {
        results_come_in_the_order_of_the_keys,
        many_values_are_stored_on_their_servers,
        each_of_many_values_has_options_of_its_own,
        values_from_an_iterator_are_stored_in_chunks,
        keys_from_an_iterator_are_fetched_in_chunks,
        many_values_are_read_as_a_type,
        no_keys_are_no_results,
        a_batch_that_cannot_be_encoded_for_a_server_waits_for_nothing,
        a_refused_item_of_a_batch_fails_alone,
        more_keys_than_fit_a_line_are_fetched,
        many_versions_are_those_of_the_items,
        many_items_are_fetched_and_get_an_expiry since (1, 5, 3),
        items_can_be_kept_together_by_another_key,
        many_items_are_deleted_on_their_servers,
        an_item_is_deleted_on_every_server,
        the_selection_of_another_client_decides_where_items_are,
    }
    scripted {
        a_chunk_that_times_out_does_not_take_the_time_of_the_next,
        a_bad_key_in_a_batch_stops_it_before_anything_is_sent,
    }
}

/// Values as text, misses as they are.
fn texts(values: Vec<Option<Value>>) -> Vec<Option<String>> {
    values.into_iter().map(|value| value.map(|value| String::from_utf8(value.data().to_vec()).unwrap())).collect()
}

fn a_batch_that_cannot_be_encoded_for_a_server_waits_for_nothing(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let options = trusting().timeout(PATIENT).protocol(Protocol::Classic);
        let client = Client::with_options(&addresses, options).unwrap();
        client.set("a", "x", Expiry::Never).unwrap();
        let keys: Vec<_> = (0..20).map(|number| format!("key{number}")).collect();
        let requests = keys.iter().map(MetaGet::new).collect::<Result<Vec<_>, _>>().unwrap();
        let begun = Instant::now();
        for result in client.run(Batch::new(requests)).unwrap() {
            assert_matches!(result, Err(Error::NoMeta { .. }));
        }
        assert!(begun.elapsed() < PATIENT, "it waits until its deadline");
        assert_eq!(client.get("a").unwrap().unwrap(), "x");
    }
}

fn results_come_in_the_order_of_the_keys(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        for number in (0..40).step_by(2) {
            client.set(format!("key{number}"), format!("value{number}"), Expiry::Never).unwrap();
        }
        // Hits and misses in turn, the last ones first, then some twice and thrice.
        let numbers: Vec<u32> = (0..40).rev().chain([7, 8, 8, 9, 38, 8]).collect();
        let keys: Vec<_> = numbers.iter().map(|number| format!("key{number}")).collect();
        let expected: Vec<_> =
            numbers.iter().map(|number| (number % 2 == 0).then(|| format!("value{number}"))).collect();
        assert_eq!(texts(client.get_many(&keys).unwrap().into_result().unwrap()), expected, "{count} servers");
    }
}

fn many_values_are_stored_on_their_servers(on: Kind) {
    for count in [1, 3] {
        let (servers, addresses) = on.servers(count);
        let client = client(&addresses);
        let items: Vec<_> = (0..300).map(|number| (format!("key{number}"), format!("value{number}"))).collect();
        let stored = client.set_many(&items, Expiry::Never).unwrap();
        assert_eq!((stored.len(), stored.into_result().map(|all| all.len())), (300, Ok(300)));
        for (key, value) in &items {
            assert_eq!(client.get(key).unwrap().expect("a hit"), value.as_str());
        }
        for (key, _) in &items {
            assert_eq!(servers.iter().filter(|server| server.holds(key)).count(), 1, "{key}");
        }
    }
}

fn values_from_an_iterator_are_stored_in_chunks(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    let mut failed = Vec::new();
    // More than a chunk, with an item that is too large for the server, and a wrong key.
    let rows = (0..1500).map(|row| match row {
        700 => ("two words".to_owned(), "x".to_owned()),
        800 => (format!("key{row}"), "x".repeat(2 << 20)),
        _ => (format!("key{row}"), format!("value{row}")),
    });
    let stored = client.set_chunked(rows, HOUR, |key, error| failed.push((key, error))).unwrap();
    assert_eq!(stored, 1498);
    failed.sort_by(|one, other| one.0.cmp(&other.0));
    assert_matches!(&failed[..], [(large, Error::Refused { .. }), (wrong, Error::Key { .. })] if large == "key800" && wrong == "two words");
    for row in [0, 511, 512, 699, 701, 1499] {
        assert_eq!(client.get(format!("key{row}")).unwrap().expect("a hit"), format!("value{row}"));
    }
    let none = client.set_chunked(Vec::<(&str, &str)>::new(), HOUR, |_, error| panic!("{error}"));
    assert_eq!(none, Ok(0));
    client.close(PATIENT);
    let mut asked = 0;
    let endless = (0_u32..).inspect(|_| asked += 1).map(|row| (row.to_string(), row));
    assert_matches!(client.set_chunked(endless, HOUR, |_, _| {}), Err(Error::Closed { .. }));
    assert!(asked <= 512, "{asked} of a chunk");
}

fn keys_from_an_iterator_are_fetched_in_chunks(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    let rows = (0..1500).filter(|row| row % 3 > 0).map(|row| (format!("key{row}"), row));
    assert_eq!(client.set_chunked(rows, HOUR, |key, error| panic!("{key}: {error}")), Ok(1000));
    // More than two chunks, with wrong keys among them and at the end.
    let is_wrong = |row| row == 700 || row >= 1498;
    let name = |row| if is_wrong(row) { format!("wrong key {row}") } else { format!("key{row}") };
    let mut results = Vec::new();
    client.get_chunked((0..1500).map(name), |key, result| results.push((key, result))).unwrap();
    assert!(results.iter().map(|(key, _)| key.clone()).eq((0..1500).map(name)));
    for (row, (_, result)) in results.into_iter().enumerate() {
        match result {
            Ok(value) => {
                assert_eq!(value.map(|value| value.parse::<usize>().unwrap()), (row % 3 > 0).then_some(row), "{row}");
            }
            Err(error) => {
                assert!(is_wrong(row) && error.command() == Some("get_chunked"), "{row}: {error}");
                assert_matches!(error, Error::Key { .. });
            }
        }
    }
    client.get_chunked(["wrong key"], |_, result| assert_matches!(result, Err(Error::Key { .. }))).unwrap();
    client.get_chunked(Vec::<&str>::new(), |key, _| panic!("{key}")).unwrap();
    client.close(PATIENT);
    let mut asked = 0;
    let endless = (0_u32..).inspect(|_| asked += 1).map(|row| row.to_string());
    assert_matches!(client.get_chunked(endless, |key, _| panic!("{key}")), Err(Error::Closed { .. }));
    assert!(asked <= 512, "{asked} of a chunk");
}

fn many_values_are_read_as_a_type(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    client.set_many(&[("a", 1), ("b", 2)], HOUR).unwrap().all_stored().unwrap();
    client.run(Store::set("word", "seven").unwrap().flags(9)).unwrap();
    let keys = ["b", "nothing", "word", "a"];
    let mut results = client.get_many_as::<u64>(&keys).unwrap().into_iter().collect::<Vec<_>>();
    let error = results.remove(2).unwrap_err();
    assert_eq!(results, [Ok(Some(2)), Ok(None), Ok(Some(1))]);
    assert_eq!((error.command(), error.key()), (Some("get_many_as"), Some("word")));
    assert!(error.to_string().contains("5 bytes with flags 9 cannot be read as u64"), "{error}");
    let or_miss = client.miss_on_error().get_many_as::<Option<u64>>(&keys).unwrap().into_result();
    assert_eq!(or_miss, Ok(vec![Some(Some(2)), None, Some(None), Some(Some(1))]));
    let space = client.namespace("space").unwrap();
    space.set("a", 3, HOUR).unwrap();
    assert_eq!(space.get_many_as::<u64>(&["a", "b"]).unwrap().into_result(), Ok(vec![Some(3), None]));
    assert_matches!(client.get_many_as::<u64>(&["a", "two words"]), Err(Error::Key { .. }));
}

fn each_of_many_values_has_options_of_its_own(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    client.set("versioned", "old", Expiry::Never).unwrap();
    let cas = client.gets("versioned").unwrap().expect("a hit").cas.expect("a version");
    let stores = vec![
        Store::set("flagged", "x").unwrap().flags(7).expiry(HOUR),
        Store::set("plain", "x").unwrap(),
        Store::cas("versioned", "new", cas).unwrap(),
        Store::cas("versioned", "late", cas).unwrap(),
        Store::add("plain", "y").unwrap(),
        Store::set("last", "x").unwrap(),
    ];
    let told: Vec<_> = client.store_many(stores).unwrap().into_iter().collect();
    let exists = |error: &Error| matches!(error, Error::Exists { .. }) && error.key() == Some("versioned");
    let not_stored = |error: &Error| matches!(error, Error::NotStored { .. }) && error.key() == Some("plain");
    assert_matches!(&told[..], [Ok(()), Ok(()), Ok(()), Err(late), Err(there), Ok(())] if exists(late) && not_stored(there));
    // None of them has anything of the previous one.
    for (key, flags, value) in [("flagged", 7, "x"), ("plain", 0, "x"), ("versioned", 0, "new"), ("last", 0, "x")] {
        let found = client.get(key).unwrap().expect("a hit");
        assert_eq!((found.flags, found.data()), (flags, value.as_bytes()), "{key}");
        match key {
            "flagged" => assert_hours_left(&server, key, 1),
            _ => assert_eq!(server.seconds_left(key), None, "{key}"),
        }
    }
}

fn no_keys_are_no_results(on: Kind) {
    let (_servers, addresses) = on.servers(1);
    let client = client(&addresses);
    assert!(client.get_many(&[] as &[&str]).unwrap().is_empty());
    assert!(client.set_many(&[] as &[(&str, &str)], Expiry::Never).unwrap().is_empty());
    assert_eq!(client.get("key"), Ok(None));
}

fn a_bad_key_in_a_batch_stops_it_before_anything_is_sent() {
    let servers = [ScriptedServer::start([]), ScriptedServer::start([]), ScriptedServer::start([])];
    let client = text_client(&servers.each_ref(), PATIENT);
    let bad = |error: Error| match error {
        Error::Key { key, problem, .. } => (key.to_string(), problem),
        other => panic!("{other:?}"),
    };
    let problem = ("bad key".to_owned(), KeyProblem::Forbidden { byte: b' ', position: 3 });
    assert_eq!(bad(client.get_many(&["a", "b", "bad key", "", "c"]).unwrap_err()), problem);
    let items = [("a", "1"), ("bad key", "2"), ("c", "3")];
    assert_eq!(bad(client.set_many(&items, Expiry::Never).unwrap_err()), problem);
    drop(client);
    for server in servers {
        assert_eq!(server.connections(), 0);
        server.finish();
    }
}

fn a_chunk_that_times_out_does_not_take_the_time_of_the_next() {
    let last: String = (512..515).map(|row| format!("set key{row} 0 0 1\r\nx\r\n")).collect();
    let sessions = [Session::new().ignore(), Session::new().expect(last).send("STORED\r\n".repeat(3))];
    let server = ScriptedServer::start(sessions);
    let client = text_client(&[&server], BRIEF);
    let mut failed = 0;
    let rows = (0..515).map(|row| (format!("key{row}"), "x"));
    let stored = client.set_chunked(rows, Expiry::Never, |key, error| {
        assert_matches!(error, Error::Timeout { .. });
        assert_eq!(key, format!("key{failed}"));
        failed += 1;
    });
    assert_eq!((stored, failed), (Ok(3), 512));
    drop(client);
    server.finish();
}

fn a_refused_item_of_a_batch_fails_alone(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        let items: Vec<_> =
            (0..30).map(|at| (format!("key{at}"), vec![b'x'; if at == 11 { 2_000_000 } else { at }])).collect();
        let results: Vec<_> = client.set_many(&items, Expiry::Never).unwrap().into_iter().collect();
        for (at, result) in results.iter().enumerate() {
            match result {
                Err(Error::Refused { .. }) if at == 11 => {}
                Ok(()) if at != 11 => {}
                other => panic!("item {at}: {other:?}"),
            }
        }
        assert_eq!(client.get_many(&["key10", "key11", "key12"]).unwrap().into_result().unwrap()[1], None);
        assert_eq!(client.get("key12").unwrap().expect("a hit"), "xxxxxxxxxxxx");
    }
}

fn more_keys_than_fit_a_line_are_fetched(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        let items: Vec<_> = (0..1000).map(|at| (format!("{at:0>250}"), at.to_string())).collect();
        client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        let expected: Vec<_> = items.iter().map(|(_, value)| Some(value.clone())).collect();
        assert_eq!(texts(client.get_many(&keys).unwrap().into_result().unwrap()), expected);
    }
}

fn many_versions_are_those_of_the_items(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        for number in (0..40).step_by(2) {
            client.set(format!("key{number}"), format!("value{number}"), Expiry::Never).unwrap();
        }
        let keys: Vec<_> = (0..40).rev().map(|number| format!("key{number}")).collect();
        let many = client.gets_many(&keys).unwrap().into_result().unwrap();
        assert_eq!(many.iter().flatten().count(), 20, "{count} servers");
        for (key, value) in keys.iter().zip(many) {
            assert!(value.as_ref().is_none_or(|value| value.cas.is_some()));
            assert_eq!(client.gets(key), Ok(value));
        }
    }
}

fn many_items_are_fetched_and_get_an_expiry(on: Kind) {
    for count in [1, 3] {
        let (servers, addresses) = on.servers(count);
        let client = client(&addresses);
        // Too many for one line to each server.
        let keys: Vec<_> = (0..200).map(|number| format!("{number:0>20}")).collect();
        for (key, number) in keys.iter().zip(0..200).step_by(2) {
            client.set(key, number.to_string(), Expiry::Never).unwrap();
        }
        let expected: Vec<_> = (0..200).map(|number| (number % 2 == 0).then(|| number.to_string())).collect();
        let assert_left = |hours| {
            for key in keys.iter().step_by(2) {
                let holder = servers.iter().find(|server| server.holds(key)).expect("a server holds it");
                assert_hours_left(holder, key, hours);
            }
        };
        assert_eq!(texts(client.gat_many(&keys, HOUR).unwrap().into_result().unwrap()), expected, "{count} servers");
        assert_left(1);
        let values = client.gats_many(&keys, 2 * HOUR).unwrap().into_result().unwrap();
        assert!(values.iter().flatten().all(|value| value.cas.is_some()));
        assert_eq!(texts(values), expected, "{count} servers");
        assert_left(2);
    }
}

fn items_can_be_kept_together_by_another_key(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let keys: Vec<_> = (0..20).map(|at| format!("cart:42:{at}")).collect();
    for key in &keys {
        client.run(RoutedBy::new("user:42", Store::set(key, "value").unwrap()).unwrap()).unwrap();
        let hit = client.run(RoutedBy::new("user:42", Get::new(key).unwrap()).unwrap()).unwrap();
        assert_eq!(hit.expect("a hit"), "value");
    }
    let holders = servers.iter().filter(|server| keys.iter().all(|key| server.holds(key)));
    assert_eq!(holders.count(), 1);
}

fn the_selection_of_another_client_decides_where_items_are(on: Kind) {
    let (servers, addresses) = on.servers(3);
    for selection in [Selection::Ketama, Selection::Jump, Selection::Rendezvous] {
        let router = Router::with_options(&addresses, &Options::default().selection(selection.clone())).unwrap();
        let options = trusting().timeout(PATIENT).selection(selection);
        let client = Client::with_options(&addresses, options).expect("the addresses are right");
        client.flush_all().unwrap().into_result().unwrap();
        for key in (0..20).map(|at| format!("key{at}")) {
            client.set(&key, "value", Expiry::Never).unwrap();
            let place = router.route(Key::new(&key).unwrap()).unwrap().index();
            let holders: Vec<_> = servers.iter().map(|server| server.holds(&key)).collect();
            assert!(
                holders.iter().enumerate().all(|(at, holds)| *holds == (at == place)),
                "{key}: {holders:?}, not {place}"
            );
        }
    }
}

fn many_items_are_deleted_on_their_servers(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        let keys: Vec<_> = (0..60).map(|at| format!("key{at}")).collect();
        let items: Vec<_> = keys.iter().step_by(2).map(|key| (key, "value")).collect();
        client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
        let deleted = client.delete_many(&keys).unwrap().into_result().unwrap();
        assert!(
            deleted.iter().enumerate().all(|(at, deleted)| *deleted == (at % 2 == 0)),
            "{count} servers: {deleted:?}"
        );
        assert_eq!(client.get_many(&keys).unwrap().into_result(), Ok(vec![None; 60]));
        assert!(matches!(client.delete_many(&["a", "two words"]), Err(Error::Key { .. })));
        assert!(client.delete_many(&[] as &[&str]).unwrap().is_empty());
    }
}

fn an_item_is_deleted_on_every_server(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let everywhere = client(&addresses);
    for server in &servers[..2] {
        client(&[server.address()]).set("key", "value", Expiry::Never).unwrap();
    }
    assert_eq!(everywhere.delete_all("key").unwrap().into_result(), Ok(vec![true, true, false]));
    assert!(!servers.iter().any(|server| server.holds("key")));
}
