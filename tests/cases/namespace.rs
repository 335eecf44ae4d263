//! Namespaces, which are cleared as a whole, and keys of any length.

use std::time::Duration;

use memcached2_proto::command::{Incr, NoReply};
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::namespace::LongKeys;
use memcached2_proto::{Error, Expiry, Get, Key, Landed, Store, Value};
use memcached2_testkit::assert_matches;
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::Kind;
use super::setting::{HOUR, PATIENT, client, failing_over, forgetful, text_client};
use crate::subject::{Client, Namespace};

super::cases! {
    served {
        a_namespace_finds_its_items_until_it_is_cleared,
        every_method_of_a_namespace_is_about_its_own_keys,
        an_evicted_generation_does_not_bring_old_items_back,
        a_generation_that_goes_back_does_not_bring_old_items_back,
        another_program_sees_a_clear_when_it_checks_the_generation,
        what_is_computed_while_a_namespace_is_cleared_is_not_found,
        a_namespace_works_in_both_protocols,
        a_namespace_fails_when_its_generation_is_not_known_and_its_server_is_down,
        a_long_key_is_hashed,
        a_hashed_key_is_checked,
        long_keys_are_refused_unless_they_are_hashed,
    }
    scripted {
        a_clear_is_one_request,
        after_a_clear_that_may_have_landed_the_generation_is_asked_for,
    }
}

/// The namespace of a client that asks for its generation once.
fn users(client: &Client) -> Namespace {
    client.namespace("users").unwrap().check_after(HOUR)
}

fn value(text: &str) -> Option<Value> {
    Some(Value::new(text.to_owned().into(), 0))
}

fn a_namespace_finds_its_items_until_it_is_cleared(on: Kind) {
    on.on_each_socket(|client| {
        let (users, pages) = (users(client), client.namespace("pages").unwrap());
        let clone = users.clone();
        client.set("a", "whole", Expiry::Never).unwrap();
        users.set("a", "user", Expiry::Never).unwrap();
        pages.set("a", "page", Expiry::Never).unwrap();
        assert_eq!(
            (users.get("a"), pages.get("a"), client.get("a")),
            (Ok(value("user")), Ok(value("page")), Ok(value("whole")))
        );
        let number = client.get("users:generation").unwrap().expect("a generation").parse::<u64>().unwrap();
        let key = users.key("a").unwrap();
        assert_eq!(key, format!("users:{number}:a").into_bytes());
        assert_eq!(client.get(&key), Ok(value("user")));
        assert_eq!(users.clear(), Ok(()));
        assert_eq!((users.get("a"), clone.get("a")), (Ok(None), Ok(None)));
        assert_eq!(
            (pages.get("a"), client.get("a"), client.get(&key)),
            (Ok(value("page")), Ok(value("whole")), Ok(value("user")))
        );
        assert_eq!(users.key("a").unwrap(), format!("users:{}:a", number + 1).into_bytes());
        users.set("a", "again", Expiry::Never).unwrap();
        assert_eq!(users.get("a"), Ok(value("again")));
        // Nobody has used it yet.
        assert_eq!(client.namespace("none").unwrap().clear(), Ok(()));
        assert_matches!(users.get(""), Err(Error::Key { .. }));
        assert_matches!(users.get("two words"), Err(Error::Key { .. }));
        assert_matches!(client.namespace("two words"), Err(Error::Key { .. }));
    });
}

fn every_method_of_a_namespace_is_about_its_own_keys(on: Kind) {
    on.on_each_socket(|client| {
        let users = users(client);
        for key in ["a", "b", "n"] {
            client.set(key, "other", Expiry::Never).unwrap();
        }
        assert_eq!(users.get_many(&["a", "b", "n"]).unwrap().into_result(), Ok(vec![None, None, None]));
        assert_eq!(users.set_many(&[("a", "1"), ("b", "2")], HOUR).unwrap().all_stored(), Ok(()));
        assert_eq!(users.get_many(&["b", "n", "a"]).unwrap().into_result(), Ok(vec![value("2"), None, value("1")]));
        let stores = vec![Store::append("a", "x").unwrap(), Store::set("n", "5").unwrap().flags(7).expiry(HOUR)];
        assert_eq!(users.store_many(stores).unwrap().all_stored(), Ok(()));
        assert_eq!((users.get("a"), users.get_as::<u64>("n")), (Ok(value("1x")), Ok(Some(5))));
        assert_eq!(
            (users.incr("n", 2), users.decr("n", 1), users.incr_or("m", 1, 9, HOUR)),
            (Ok(Some(7)), Ok(Some(6)), Ok(9))
        );
        assert_matches!(users.add("a", "y", HOUR), Err(Error::NotStored { .. }));
        assert_eq!((users.append("a", "z"), users.prepend("a", "w")), (Ok(()), Ok(())));
        let a = users.gets("a").unwrap().expect("a hit");
        assert_eq!(a, "w1xz");
        assert_eq!(users.cas("a", "v", HOUR, a.cas.unwrap()), Ok(()));
        assert_eq!((users.touch("a", HOUR), users.touch("none", HOUR)), (Ok(true), Ok(false)));
        assert_eq!((users.exists("a"), users.exists("none")), (Ok(true), Ok(false)));
        assert_eq!((users.delete("a"), users.delete("a")), (Ok(true), Ok(false)));
        assert_eq!(users.delete_many(&["b", "none"]).unwrap().into_result(), Ok(vec![true, false]));
        assert_eq!(users.delete_all("n").unwrap().into_result(), Ok(vec![true]));
        let computed = users.fetch("f", &FetchPolicy::new(HOUR), || Ok::<_, Error>("computed")).unwrap();
        assert_eq!((computed, users.get("f")), (value("computed").unwrap(), Ok(value("computed"))));
        // What has no method is run with the key by which the item is stored.
        let key = users.key("m").unwrap();
        client.run(NoReply(Incr::new(&key, 1).unwrap())).unwrap();
        assert_eq!(users.get("m"), Ok(value("10")));
        for key in ["a", "b", "n"] {
            assert_eq!(client.get(key), Ok(value("other")), "{key}");
        }
        assert_eq!(client.get("f"), Ok(None));
    });
}

fn an_evicted_generation_does_not_bring_old_items_back(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let users = client.namespace("users").unwrap().check_after(Duration::ZERO);
    let mut keys = Vec::new();
    for round in 0..20 {
        users.set("a", round, Expiry::Never).unwrap();
        keys.push(users.key("a").unwrap());
        // As if it was evicted.
        assert_eq!(client.delete("users:generation"), Ok(true));
        assert_eq!(users.get("a"), Ok(None), "{round}");
        // Others that have not known it begin with another one, too.
        let other = client.namespace("users").unwrap();
        assert_eq!(other.get("a"), Ok(None), "{round}");
    }
    keys.dedup();
    assert_eq!(keys.len(), 20);
}

fn a_generation_that_goes_back_does_not_bring_old_items_back(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let users = client.namespace("users").unwrap().check_after(Duration::ZERO);
    users.set("a", "old", Expiry::Never).unwrap();
    let old = client.get("users:generation").unwrap().expect("a generation");
    for by in 1..5 {
        users.clear().unwrap();
        // As if the list of servers had changed to an old one.
        client.set("users:generation", &old, Expiry::Never).unwrap();
        if by % 2 == 0 {
            users.clear().unwrap();
        }
        assert_eq!(users.get("a"), Ok(None), "{by}");
        users.set("a", "new", Expiry::Never).unwrap();
        assert_eq!(users.get("a"), Ok(value("new")));
    }
    client.set("users:generation", "no number", Expiry::Never).unwrap();
    let error = users.get("a").unwrap_err();
    assert!(matches!(error, Error::Value { .. }) && error.to_string().contains("users:generation"), "{error}");
    assert_matches!(users.clear(), Err(Error::NonNumeric { .. }));
}

fn another_program_sees_a_clear_when_it_checks_the_generation(on: Kind) {
    let server = on.start();
    let (one, two) = (client(&[server.address()]), client(&[server.address()]));
    let (one, late) = (users(&one), users(&two));
    let always = two.namespace("users").unwrap().check_after(Duration::ZERO);
    one.set("a", "x", Expiry::Never).unwrap();
    assert_eq!((late.get("a"), always.get("a")), (Ok(value("x")), Ok(value("x"))));
    one.clear().unwrap();
    assert_eq!((one.get("a"), always.get("a")), (Ok(None), Ok(None)));
    // It may find it for an hour; its own clear makes it ask.
    assert_eq!(late.get("a"), Ok(value("x")));
    late.clear().unwrap();
    assert_eq!(late.get("a"), Ok(None));
}

fn what_is_computed_while_a_namespace_is_cleared_is_not_found(on: Kind) {
    on.on_each_socket(|client| {
        let users = users(client);
        let old = || {
            // An asynchronous client computes within its runtime, which this thread cannot enter again.
            std::thread::scope(|scope| scope.spawn(|| users.clear().unwrap()).join().unwrap());
            Ok::<_, Error>("from before the clear")
        };
        assert_eq!(users.cache("a", HOUR, old).unwrap(), "from before the clear");
        assert_eq!(users.fetch("b", &FetchPolicy::new(HOUR), old).unwrap(), "from before the clear");
        assert_eq!((users.get("a"), users.get("b")), (Ok(None), Ok(None)));
    });
}

fn a_namespace_works_in_both_protocols(on: Kind) {
    for protocol in on.protocols() {
        let server = on.start();
        let client =
            Client::with_options([server.address()], forgetful(PATIENT).protocol(*protocol).prefix("p:")).unwrap();
        let users = client.namespace("users").unwrap().check_after(Duration::ZERO);
        users.clear().unwrap();
        users.set("a", "x", Expiry::Never).unwrap();
        assert_eq!(users.get("a"), Ok(value("x")));
        users.clear().unwrap();
        assert_eq!(users.get("a"), Ok(None));
        assert_eq!(client.delete("users:generation"), Ok(true));
        assert_eq!((users.get("a"), users.clear()), (Ok(None), Ok(())));
    }
}

fn a_namespace_fails_when_its_generation_is_not_known_and_its_server_is_down(on: Kind) {
    let (mut servers, addresses) = on.servers(2);
    let client = failing_over(&addresses);
    let server_of = |key: &[u8]| client.router().route(Key::new(key).unwrap()).unwrap().index();
    let users = users(&client);
    // An item on the other server.
    let home = server_of(b"users:generation");
    let key = (0..).map(|at| format!("key{at}")).find(|key| server_of(&users.key(key).unwrap()) != home).unwrap();
    users.set(&key, "x", Expiry::Never).unwrap();
    servers[home].stop();
    assert_eq!(users.get(&key), Ok(value("x")));
    // The other server takes the place of the first one for everything else.
    assert_eq!(client.get("users:generation"), Ok(None));
    let checking = users.clone().check_after(Duration::ZERO);
    for _ in 0..2 {
        let error = checking.get(&key).unwrap_err();
        assert!(error.counts_as_miss() && error.landed() == Landed::NotSent, "{error:?}");
        assert!(checking.set(&key, "y", Expiry::Never).is_err());
    }
    // Whether the clear has landed is unknown, so the number is not used any more.
    assert!(users.clear().is_err());
    assert!(users.get(&key).is_err());
}

fn a_clear_is_one_request() {
    let play = Session::new().expect("incr users:generation 1\r\n").send("8\r\n");
    let play = play.expect("get users:8:a\r\n").send("END\r\n");
    let play = play.expect("set users:8:a 0 0 1\r\nx\r\n").send("STORED\r\n");
    let play = play.expect("incr users:generation 1\r\n").send("9\r\n").expect("get users:9:a\r\n").send("END\r\n");
    let server = ScriptedServer::start([play]);
    let client = text_client(&[&server], PATIENT);
    let users = users(&client);
    users.clear().unwrap();
    assert_eq!((users.get("a"), users.set("a", "x", Expiry::Never)), (Ok(None), Ok(())));
    assert_eq!((users.clear(), users.get("a")), (Ok(()), Ok(None)));
    drop((client, users));
    server.finish();
}

fn after_a_clear_that_may_have_landed_the_generation_is_asked_for() {
    let number = |number: &str| format!("VALUE users:generation 0 {}\r\n{number}\r\nEND\r\n", number.len());
    let first = Session::new().expect("get users:generation\r\n").send(number("7"));
    let first = first.expect("get users:7:a\r\n").send("END\r\n").expect("incr users:generation 1\r\n").close();
    let second =
        Session::new().expect("get users:generation\r\n").send(number("8")).expect("get users:8:a\r\n").send("END\r\n");
    let server = ScriptedServer::start([first, second]);
    let client = text_client(&[&server], PATIENT);
    let users = users(&client);
    assert_eq!(users.get("a"), Ok(None));
    assert_eq!(users.clear().unwrap_err().landed(), Landed::Unknown);
    assert_eq!(users.get("a"), Ok(None));
    drop((client, users));
    server.finish();
}

fn a_long_key_is_hashed(on: Kind) {
    let server = on.start();
    let client = Client::with_options([server.address()], forgetful(PATIENT).prefix("p:")).unwrap();
    let (long, longer) = ("k".repeat(249), "k".repeat(100_000));
    for view in [client.long_keys(LongKeys::Hash), users(&client).long_keys(LongKeys::Hash)] {
        let keys = ["short", &long, &longer, "two words", "a\r\nflush_all\r\n", "\0"];
        let items: Vec<_> = keys.iter().enumerate().map(|(at, key)| (key, at)).collect();
        assert_eq!(view.set_many(&items, Expiry::Never).unwrap().all_stored(), Ok(()));
        let found = view.get_many(&keys).unwrap().into_result().unwrap();
        let found: Vec<_> = found.iter().map(|value| value.as_ref().unwrap().parse::<usize>().unwrap()).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        for (at, key) in keys.iter().enumerate() {
            assert_eq!((view.get_as(key), view.incr(key, 1)), (Ok(Some(at)), Ok(Some(at as u64 + 1))));
        }
        // The hash of another key is a key of its own.
        let mark = view.key(&longer).unwrap();
        let hash = &mark[mark.len() - 50..];
        assert!(hash.starts_with(b"sha256:") && mark.len() <= 248);
        assert_eq!(view.get(hash), Ok(None));
        assert_eq!((view.delete(&longer), view.get(&longer)), (Ok(true), Ok(None)));
        assert_matches!(view.get(""), Err(Error::Key { .. }));
    }
    assert_eq!(client.get_as("short"), Ok(Some(1)));
    assert_matches!(client.long_keys(LongKeys::Hash).clear(), Err(Error::Argument { .. }));
}

fn a_hashed_key_is_checked(on: Kind) {
    on.on_each_socket(|client| {
        let view = users(client).long_keys(LongKeys::HashAndCheck);
        // Keys for themselves, and too long in a namespace.
        let (one, two) = ("1".repeat(240), "2".repeat(240));
        view.set(&one, "x", HOUR).unwrap();
        let items = vec![Store::set(&two, "y").unwrap().flags(7), Store::set("short", "z").unwrap()];
        view.store_many(items).unwrap().all_stored().unwrap();
        assert_eq!((view.get(&one), view.get("short")), (Ok(value("x")), Ok(value("z"))));
        assert_eq!(view.gets(&two).unwrap().map(|value| (value.flags, value.into_bytes())), Some((7, "y".into())));
        // As if both had the same hash.
        let stored = client.get(view.key(&two).unwrap()).unwrap().unwrap();
        client.set(view.key(&one).unwrap(), &stored, HOUR).unwrap();
        assert_eq!((view.get(&one), view.get_as::<String>(&one)), (Ok(None), Ok(None)));
        let keys = [&one[..], "short", &two];
        let found = view.get_many(&keys).unwrap().into_result().unwrap();
        assert!(found[0].is_none() && found[1].is_some() && found[2].as_ref().is_some_and(|value| *value == "y"));
        let refused = [
            view.incr(&one, 1).map(drop),
            view.append(&one, "x"),
            view.prepend(&one, "x"),
            view.incr_or(&one, 1, 1, HOUR).map(drop),
            view.cache(&one, HOUR, || Ok::<_, Error>("x")).map(drop),
            view.store_many(vec![Store::append(&one, "x").unwrap()]).map(drop),
        ];
        refused.into_iter().for_each(|result| assert_matches!(result, Err(Error::Argument { .. })));
        assert_eq!((view.append("short", "z"), view.get("short")), (Ok(()), Ok(value("zz"))));
        assert_eq!((view.exists(&one), view.touch(&one, HOUR), view.delete(&one)), (Ok(true), Ok(true), Ok(true)));
    });
}

fn long_keys_are_refused_unless_they_are_hashed(on: Kind) {
    on.on_each_socket(|client| {
        let users = users(client);
        // The longest one: with the name, the digits and two colons.
        let length = users.key("a").unwrap().len() - 1;
        let (longest, long) = ("k".repeat(250 - length), "k".repeat(251 - length));
        assert_eq!((users.set(&longest, "x", HOUR), users.get(&longest)), (Ok(()), Ok(value("x"))));
        assert_matches!(users.get(&long), Err(Error::Key { .. }));
        assert_matches!(users.get_many(&[&longest, &long]), Err(Error::Key { .. }));
        assert_matches!(users.set_many(&[(&long, "x")], HOUR), Err(Error::Key { .. }));
        assert_matches!(client.long_keys(LongKeys::Refuse).get("k".repeat(251)), Err(Error::Key { .. }));
        assert!(Get::new(&users.key(&longest).unwrap()).is_ok());
    });
}
