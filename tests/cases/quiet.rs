//! Batches of which what succeeds is not answered.

use memcached2_proto::command::meta::{MetaArithmetic, MetaDelete, MetaGet, MetaSet, MetaSetMode, MetaStatus};
use memcached2_proto::operation::{Batch, DeleteMany, SetMany};
use memcached2_proto::{Error, Expiry, Landed, Protocol};
use memcached2_testkit::{ScriptedServer, Session, assert_matches};

use super::servers::Kind;
use super::setting::{PATIENT, client, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        a_quiet_batch_has_the_results_of_any_batch since (1, 6, 10),
        a_value_that_is_too_large_leaves_its_neighbours_open since (1, 6, 10),
        many_quiet_stores_of_any_size_arrive since (1, 6, 10),
        a_quiet_batch_takes_nothing_from_other_calls since (1, 6, 10),
    }
    scripted {
        a_quiet_batch_is_told_of_a_connection_that_is_lost,
        a_quiet_batch_of_reads_is_asked_again_on_a_fresh_connection,
        a_server_without_meta_gets_no_quiet_batch,
    }
}

fn a_quiet_batch_has_the_results_of_any_batch(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        // More than go in one request.
        let items: Vec<_> = (0..1000).map(|number| (format!("key{number}"), format!("value{number}"))).collect();
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        let stored = client.run(SetMany::new(&items[..900], Expiry::Never).unwrap().quiet()).unwrap();
        assert_eq!(stored.into_result().map(|all| all.len()), Ok(900));
        let adds =
            || items[800..].iter().map(|(key, value)| MetaSet::new(key, value).map(|set| set.mode(MetaSetMode::Add)));
        let added = client.run(Batch::new(adds().collect::<Result<_, _>>().unwrap()).quiet()).unwrap();
        for (outcome, number) in added.into_iter().zip(800..) {
            let expected = if number < 900 { MetaStatus::NotStored } else { MetaStatus::Done };
            assert_eq!(outcome.unwrap().status, expected, "{number}");
        }
        // Every third is deleted, and fetched for nothing.
        let third: Vec<_> = keys.iter().step_by(3).collect();
        let deleted = || client.run(DeleteMany::new(&third).unwrap().quiet()).unwrap().into_result().unwrap();
        assert_eq!((deleted(), deleted()), (vec![true; third.len()], vec![false; third.len()]));
        let gets = keys.iter().map(|key| MetaGet::new(key).map(|get| get.value().return_key()));
        let found = client.run(Batch::new(gets.collect::<Result<_, _>>().unwrap()).quiet()).unwrap();
        for (item, (number, (key, value))) in found.into_iter().zip(items.iter().enumerate()) {
            let item = item.unwrap().map(|item| (item.key.unwrap(), item.value.unwrap().into_bytes()));
            let expected = (number % 3 != 0).then(|| (key.clone().into(), value.clone().into()));
            assert_eq!(item, expected, "{key}");
        }
        let counts = ["n", "none", "n", "text", "n"].map(|key| MetaArithmetic::incr(key, 1).unwrap());
        client.set("n", 5, Expiry::Never).unwrap();
        let counted = client.run(Batch::new(counts[..3].to_vec()).quiet()).unwrap();
        let statuses: Vec<_> = counted.into_iter().map(|outcome| outcome.unwrap().status).collect();
        assert_eq!(statuses, [MetaStatus::Done, MetaStatus::NotFound, MetaStatus::Done]);
        assert_eq!(client.get_as::<u64>("n"), Ok(Some(7)));
        assert!(client.run(SetMany::new::<&str, &str>(&[], Expiry::Never).unwrap().quiet()).unwrap().is_empty());
    }
}

fn a_value_that_is_too_large_leaves_its_neighbours_open(on: Kind) {
    on.on_each_socket(|client| {
        let large = "x".repeat(2 << 20);
        let items = [("a", "1"), ("b", &large), ("c", "3")];
        let stored = client.run(SetMany::new(&items, Expiry::Never).unwrap().quiet()).unwrap();
        // Those are more than go in one request, so the third is in the next one.
        let results: Vec<_> = stored.into_iter().collect();
        for result in &results[..2] {
            assert_matches!(result, Err(Error::Refused { landed: Landed::Unknown, .. }));
        }
        assert_eq!(results[2], Ok(()));
        assert_eq!((client.get_as("a"), client.get("b")), (Ok(Some("1".to_owned())), Ok(None)));
        // All that is in its request.
        let stored = client.run(SetMany::new(&items[1..2], Expiry::Never).unwrap().quiet()).unwrap();
        let error = stored.into_result().unwrap_err();
        assert_matches!(error, Error::Refused { landed: Landed::Refused, .. });
        assert_eq!((error.command(), error.key()), (Some("set"), Some("b")));
    });
}

fn many_quiet_stores_of_any_size_arrive(on: Kind) {
    let server = on.start_large();
    let client = client(&[server.address()]);
    let sizes: Vec<_> = (0..30).map(|at| 100 + at * 39_900 / 29).collect();
    let items: Vec<_> = (0..1_000).map(|at| (format!("key{at}"), vec![b'x'; sizes[at * 7 % 30]])).collect();
    client.run(SetMany::new(&items, Expiry::Never).unwrap().quiet()).unwrap().all_stored().unwrap();
    let gets = items.iter().map(|(key, _)| MetaGet::new(key).map(MetaGet::size));
    let found = client.run(Batch::new(gets.collect::<Result<_, _>>().unwrap()).quiet()).unwrap();
    for (item, (key, value)) in found.into_iter().zip(&items) {
        assert_eq!(item.unwrap().and_then(|item| item.size), Some(value.len() as u64), "{key}");
    }
}

fn a_quiet_batch_takes_nothing_from_other_calls(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let keys: Vec<_> = (0..200).map(|at| format!("key{at}")).collect();
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (client, keys) = (&client, &keys);
            scope.spawn(move || {
                for round in 0..8 {
                    let items: Vec<_> = keys.iter().map(|key| (format!("{caller}:{key}"), round)).collect();
                    client.run(SetMany::new(&items, Expiry::Never).unwrap().quiet()).unwrap().all_stored().unwrap();
                    let names: Vec<_> = items.iter().map(|(key, _)| key).collect();
                    let found = client.get_many(&names).unwrap().into_result().unwrap();
                    assert!(found.into_iter().all(|value| value.unwrap() == round.to_string().as_str()));
                    let gone = client.run(DeleteMany::new(&names).unwrap().quiet()).unwrap().into_result();
                    assert_eq!(gone, Ok(vec![true; names.len()]));
                }
            });
        }
    });
}

/// A client of a server that is spoken to in meta from the beginning.
fn meta_client(server: &ScriptedServer) -> Client {
    let options = forgetful(PATIENT).protocol(Protocol::Meta);
    Client::with_options([server.address()], options).expect("the address is right")
}

/// A session that reads a quiet batch of these requests, the first on its connection.
fn asked(requests: [&str; 2]) -> Session {
    let [first, second] = requests;
    let end = "mn\r\nmd AA== b C18446744073709551615 O0000\r\n";
    Session::new().expect(format!("{first} q O000000\r\n{second} q O000001\r\n{end}"))
}

fn a_quiet_batch_is_told_of_a_connection_that_is_lost() {
    // The end never comes: what was not answered may have landed.
    for (says, first_is_known) in [("", false), ("NF O000000\r\n", true), ("NF O000000\r\nMN\r\nNF O00", true)] {
        let server = ScriptedServer::start([asked(["md a", "md b"]).send(says).close()]);
        let client = meta_client(&server);
        let deleted = client.run(DeleteMany::new(&["a", "b"]).unwrap().quiet()).unwrap();
        let results: Vec<_> = deleted.into_iter().collect();
        assert_eq!(results[0] == Ok(false), first_is_known, "{results:?}");
        for lost in &results[usize::from(first_is_known)..] {
            assert_matches!(lost, Err(Error::Disconnected { landed: Landed::Unknown, .. }));
        }
    }
}

fn a_quiet_batch_of_reads_is_asked_again_on_a_fresh_connection() {
    let old = Session::new().expect("mg a f v O0000\r\n").send("EN O0000\r\n").close();
    let fresh = asked(["mg a v", "mg b v"]).send("VA 1 O000001\r\nx\r\nMN\r\nEX O0000\r\n");
    let server = ScriptedServer::start([old, fresh]);
    let client = meta_client(&server);
    assert_eq!(client.get("a"), Ok(None));
    let gets = ["a", "b"].map(|key| MetaGet::new(key).unwrap().value());
    let found = client.run(Batch::new(gets.into()).quiet()).unwrap().into_result().unwrap();
    assert_eq!(found[0], None);
    assert!(found[1].as_ref().and_then(|item| item.value.as_ref()).is_some_and(|value| value == "x"));
}

fn a_server_without_meta_gets_no_quiet_batch() {
    let server = ScriptedServer::start([Session::new().expect_probe().send("ERROR\r\nERROR\r\n")]);
    let client = client(&[server.address()]);
    let deletes = ["a", "b"].map(|key| MetaDelete::new(key).unwrap());
    let results = client.run(Batch::new(deletes.into()).quiet()).unwrap();
    for result in results {
        assert_matches!(result, Err(Error::NoMeta { .. }));
    }
}
