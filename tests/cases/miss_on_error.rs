//! `MissOnError`, a client for which failures of the cache are misses, and `Mapping` on top of it.

use memcached2_proto::operation::RoutedBy;
use memcached2_proto::{Error, Expiry, Get, Landed, OrMiss, Store};
use memcached2_testkit::assert_matches;
use memcached2_testkit::{ScriptedServer, Session};

use super::closing::Closing;
use super::servers::Kind;
use super::setting::{PATIENT, client, text_client};
use crate::subject::{Mapping, MissOnError};

super::cases! {
    served {
        miss_on_error_finds_what_was_stored,
        miss_on_error_finds_nothing_while_the_cache_is_down,
        a_mapping_holds_what_was_inserted,
        a_mapping_counts_what_the_servers_that_are_up_hold,
    }
    scripted {
        miss_on_error_finds_nothing_on_a_server_that_closes_at_once,
        a_set_that_fails_is_no_error_with_miss_on_error,
        a_get_that_fails_is_a_miss_with_miss_on_error,
        a_delete_that_fails_is_false_with_miss_on_error,
        a_batch_has_a_result_for_each_item,
        a_mapping_of_a_server_that_misbehaves_is_empty,
        a_mapping_counts_at_most_as_many_items_as_a_number_can_say,
    }
}

fn miss_on_error(server: &ScriptedServer) -> MissOnError {
    text_client(&[server], PATIENT).miss_on_error()
}

/// What a server may do to a request: close when it has come, or answer so. That it closes at once is [`Closing`].
fn misbehaviours(request: &str, replies: &[&str]) -> Vec<Session> {
    let answering = replies.iter().map(|reply| Session::new().expect(request).send(*reply).ignore());
    [Session::new().expect(request).close()].into_iter().chain(answering).collect()
}

const SET: &str = "set foo 0 0 3\r\nbar\r\n";

fn miss_on_error_finds_what_was_stored(on: Kind) {
    let server = on.start();
    let cache = MissOnError::new(client(&[server.address()]));
    assert_eq!(cache.get("foo"), Ok(None));
    cache.set("foo", "hello", Expiry::Never).unwrap();
    assert_eq!(cache.get("foo").unwrap().expect("a hit"), "hello");
    assert_eq!((cache.delete("foo"), cache.delete("bar")), (Ok(true), Ok(false)));
    assert_eq!(cache.get("foo"), Ok(None));
    assert_eq!(cache.client().get("foo"), Ok(None));
    // A condition that was not met stays an error, and so does what is wrong with the call.
    assert_matches!(cache.run(Store::replace("foo", "x").unwrap()), Err(Error::NotStored { .. }));
    assert_matches!(cache.client().replace("foo", "x", Expiry::Never).or_miss(), Err(Error::NotStored { .. }));
    assert_matches!(cache.get("two words"), Err(Error::Key { .. }));
    assert_matches!(cache.set("two words", "x", Expiry::Never), Err(Error::Key { .. }));
    assert_matches!(cache.get_many(&["a", "two words"]), Err(Error::Key { .. }));
    let items = [("a", "x"), ("two words", "x")];
    assert_matches!(cache.client().set_many(&items, Expiry::Never).or_miss(), Err(Error::Key { .. }));
    assert_eq!(cache.get("a"), Ok(None), "nothing was stored");
    cache.set("a", "x", Expiry::Never).unwrap();
    assert_matches!(cache.get_as::<u64>("a"), Err(Error::Value { .. }));
}

fn miss_on_error_finds_nothing_while_the_cache_is_down(on: Kind) {
    let mut server = on.start();
    let cache = MissOnError::new(client(&[server.address()]));
    server.stop();
    for _ in 0..2 {
        let client = cache.client();
        assert_eq!((cache.get("a"), cache.gets("a")), (Ok(None), Ok(None)));
        assert_eq!((cache.gat("a", Expiry::Never), cache.gats("a", Expiry::Never)), (Ok(None), Ok(None)));
        assert_eq!((client.get("a").or_miss(), client.incr("a", 1).or_miss()), (Ok(None), Ok(None)));
        assert_eq!(client.touch("a", Expiry::Never).or_miss(), Ok(false));
        assert_eq!(client.set_many(&[("a", "x")], Expiry::Never).or_miss().unwrap().all_stored(), Ok(()));
        let routed = RoutedBy::new("user:42", Get::new("a").unwrap()).unwrap();
        assert_eq!(cache.run(routed), Ok(None));
        assert_eq!(cache.get_as::<u64>("a"), Ok(None));
        assert_eq!(cache.set("a", "x", Expiry::Never), Ok(()));
        assert_eq!(cache.get_many(&["a", "b"]).unwrap().into_result(), Ok(vec![None, None]));
        assert_eq!(cache.delete_many(&["a", "b"]).unwrap().into_result(), Ok(vec![false, false]));
        assert_eq!(cache.cache("a", Expiry::Never, || Ok::<_, Error>("computed")).unwrap(), "computed");
        for error in [
            client.get("a").unwrap_err(),
            client.add("a", "x", Expiry::Never).unwrap_err(),
            client.set_many(&[("a", "x")], Expiry::Never).unwrap().into_result().unwrap_err(),
        ] {
            assert_eq!(error.landed(), Landed::NotSent, "{error}");
        }
    }
}

fn miss_on_error_finds_nothing_on_a_server_that_closes_at_once() {
    let (_closing, client) = Closing::start();
    let (cache, mapping) = (client.miss_on_error(), Mapping::new(client));
    for _ in 0..2 {
        assert_eq!(cache.set("foo", "bar", Expiry::Never), Ok(()));
        assert_eq!((cache.get("foo"), cache.delete("foo")), (Ok(None), Ok(false)));
        assert_eq!((mapping.insert("foo", "bar"), mapping.get("foo")), (Ok(()), Ok(None)));
        assert_eq!((mapping.contains_key("foo"), mapping.remove("foo"), mapping.len()), (Ok(false), Ok(false), Ok(0)));
    }
}

fn a_set_that_fails_is_no_error_with_miss_on_error() {
    let replies = ["NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n", "NOT FOUND\r\n", "SERVER_ERROR out of memory\r\n"];
    for session in misbehaviours(SET, &replies) {
        let server = ScriptedServer::start([session]);
        assert_eq!(miss_on_error(&server).set("foo", "bar", Expiry::Never), Ok(()));
        server.finish();
    }
    // The server did not understand the request: that is an error of the program.
    let server = ScriptedServer::start([Session::new().expect(SET).send("CLIENT_ERROR bad data chunk\r\n").ignore()]);
    let told = miss_on_error(&server).set("foo", "bar", Expiry::Never);
    assert!(matches!(told, Err(Error::Refused { .. })), "{told:?}");
    server.finish();
}

fn a_get_that_fails_is_a_miss_with_miss_on_error() {
    for session in misbehaviours("get foo\r\n", &["END\r\n", "SERVER_ERROR out of memory\r\n", "nonsense\r\n"]) {
        let server = ScriptedServer::start([session]);
        assert_eq!(miss_on_error(&server).get("foo"), Ok(None));
        server.finish();
    }
}

fn a_delete_that_fails_is_false_with_miss_on_error() {
    for session in misbehaviours("delete foo\r\n", &["NOT_FOUND\r\n", "SERVER_ERROR out of memory\r\n"]) {
        let server = ScriptedServer::start([session]);
        assert_eq!(miss_on_error(&server).delete("foo"), Ok(false));
        server.finish();
    }
}

/// `key0` to `key9`, each with as many exclamation marks, and their requests.
fn ten() -> (Vec<(String, String)>, String) {
    let items: Vec<_> = (0..10).map(|at| (format!("key{at}"), "!".repeat(at))).collect();
    let request = items.iter().map(|(key, value)| format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())).collect();
    (items, request)
}

/// What is known of each of the ten: stored, refused, or whether it may have landed.
fn told(results: impl IntoIterator<Item = Result<(), Error>>) -> String {
    let letter = |result| match result {
        Ok(()) => 's',
        Err(Error::Refused { .. }) => 'r',
        Err(error) if error.landed() == Landed::NotSent => 'n',
        Err(_) => 'u',
    };
    results.into_iter().map(letter).collect()
}

fn a_batch_has_a_result_for_each_item() {
    let (items, request) = ten();
    let nine = "STORED\r\n".repeat(9);
    let five = format!("{}CLIENT_ERROR Failed\r\n", "STORED\r\n".repeat(5));
    for (session, expected) in [
        (Session::new().expect(&request).close(), "uuuuuuuuuu"),
        (Session::new().expect(&request).send(&nine).close(), "sssssssssu"),
        (Session::new().expect(&request).send(format!("{nine}STORED\r\n")), "ssssssssss"),
        // Who knows whether the server has taken the data of what it refused for requests.
        (Session::new().expect(&request).send(&five).ignore(), "sssssruuuu"),
    ] {
        let server = ScriptedServer::start([session]);
        let client = text_client(&[&server], PATIENT);
        let stored = client.set_many(&items, Expiry::Never).unwrap();
        assert_eq!(told(stored.clone()), expected);
        let failed = expected != "ssssssssss";
        match stored.all_stored() {
            Err(Error::MultiStorage { results, .. }) if failed => assert_eq!(told(results.iter().cloned()), expected),
            all => assert!(all.is_ok() && !failed, "{all:?}"),
        }
        drop(client);
        server.finish();
    }
    // It is unknown what a server that closes at once has read.
    let (_closing, client) = Closing::start();
    assert!(!told(client.set_many(&items, Expiry::Never).unwrap()).contains(['s', 'r']));
}

fn a_mapping_holds_what_was_inserted(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let mapping = Mapping::new(client(&addresses));
    assert_eq!((mapping.get("foo"), mapping.contains_key("foo")), (Ok(None), Ok(false)));
    assert_eq!((mapping.len(), mapping.is_empty()), (Ok(0), Ok(true)));
    mapping.insert("foo", "hello").unwrap();
    assert_eq!(mapping.get("foo").unwrap().expect("a hit"), "hello");
    assert_eq!((mapping.contains_key("foo"), mapping.contains_key("qux")), (Ok(true), Ok(false)));
    (0..9).for_each(|at| mapping.insert(format!("key{at}"), at).unwrap());
    assert_eq!((mapping.len(), mapping.is_empty()), (Ok(10), Ok(false)));
    assert_eq!((mapping.remove("foo"), mapping.remove("bar")), (Ok(true), Ok(false)));
    assert_eq!((mapping.contains_key("foo"), mapping.len()), (Ok(false), Ok(9)));
    assert!(matches!(mapping.insert("two words", "x"), Err(Error::Key { .. })));
    assert!(matches!(mapping.get(""), Err(Error::Key { .. })));
    mapping.client().flush_all().unwrap().into_result().unwrap();
    assert_eq!(mapping.get("key1"), Ok(None));
}

fn a_mapping_counts_what_the_servers_that_are_up_hold(on: Kind) {
    let (mut servers, addresses) = on.servers(2);
    let mapping = Mapping::new(client(&addresses));
    (0..20).for_each(|at| mapping.insert(format!("key{at}"), at).unwrap());
    servers[0].stop();
    let left = mapping.len().unwrap();
    assert!((1..20).contains(&left), "{left} of 20");
    servers[1].stop();
    assert_eq!((mapping.len(), mapping.contains_key("key1"), mapping.insert("a", "x")), (Ok(0), Ok(false), Ok(())));
}

fn a_mapping_counts_at_most_as_many_items_as_a_number_can_say() {
    let session = || Session::new().expect("stats\r\n").send(format!("STAT curr_items {}\r\nEND\r\n", u64::MAX));
    let servers = [(); 2].map(|()| ScriptedServer::start([session()]));
    let mapping = Mapping::new(text_client(&[&servers[0], &servers[1]], PATIENT));
    assert_eq!(mapping.len(), Ok(u64::MAX));
    drop(mapping);
    servers.into_iter().for_each(ScriptedServer::finish);
}

fn a_mapping_of_a_server_that_misbehaves_is_empty() {
    let mapping = |server: &ScriptedServer| Mapping::new(text_client(&[server], PATIENT));
    let replies = ["NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n", "NOT FOUND\r\n"];
    for session in misbehaviours(SET, &replies) {
        let server = ScriptedServer::start([session]);
        assert_eq!(mapping(&server).insert("foo", "bar"), Ok(()));
        server.finish();
    }
    for session in misbehaviours("get foo\r\n", &["END\r\n"]) {
        let server = ScriptedServer::start([session]);
        assert_eq!(mapping(&server).get("foo"), Ok(None));
        server.finish();
    }
    for session in misbehaviours("delete foo\r\n", &["NOT_FOUND\r\n"]) {
        let server = ScriptedServer::start([session]);
        assert_eq!(mapping(&server).remove("foo"), Ok(false));
        server.finish();
    }
    for session in misbehaviours("stats\r\n", &["END\r\n", "STAT pid 1\r\nEND\r\n"]) {
        let server = ScriptedServer::start([session]);
        assert_eq!(mapping(&server).len(), Ok(0));
        server.finish();
    }
}
