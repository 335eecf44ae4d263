//! A cache within the program, before the servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_proto::observer::Event;
use memcached2_proto::{Error, Expiry, Observer, Store, Value};
use memcached2_testkit::assert_matches;

use super::servers::Kind;
use super::setting::{HOUR, PATIENT, client, forgetful};
use crate::subject::{Client, NearCache};

super::cases! {
    served {
        a_near_cache_returns_what_it_knows_without_a_request,
        every_write_through_a_near_cache_is_seen_by_its_next_get,
        a_near_cache_asks_again_when_the_time_is_over,
        a_near_cache_does_not_take_a_version_after_a_restart_for_the_same,
        many_keys_are_asked_for_where_they_are_not_known,
        a_value_in_a_near_cache_is_confirmed_without_being_fetched since (1, 6, 40),
    }
    scripted {}
}

/// Keeps values for an hour.
fn hour(client: &Client) -> NearCache {
    client.near_cache(&NearCachePolicy::new(1 << 20, HOUR))
}

/// Asks the server for each value again.
fn asking(client: &Client) -> NearCache {
    client.near_cache(&NearCachePolicy::new(1 << 20, Duration::ZERO))
}

fn value(text: &str) -> Option<Value> {
    Some(Value::new(text.to_owned().into(), 0))
}

/// The commands of all requests.
#[derive(Debug, Default)]
struct Commands(Mutex<Vec<&'static str>>);

impl Observer for Commands {
    fn on_request(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.command);
    }
}

impl Commands {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn observed(addresses: &[String]) -> (Client, Arc<Commands>) {
    let commands = Arc::new(Commands::default());
    let observer: Arc<dyn Observer> = Arc::<Commands>::clone(&commands);
    (Client::with_options(addresses, forgetful(PATIENT).observer(observer)).unwrap(), commands)
}

fn a_near_cache_returns_what_it_knows_without_a_request(on: Kind) {
    let mut server = on.start();
    let client = client(&[server.address()]);
    let near = hour(&client);
    assert_eq!(near.get("a"), Ok(None));
    client.set("a", "x", Expiry::Never).unwrap();
    client.set("n", 5, Expiry::Never).unwrap();
    assert_eq!((near.get("a"), near.get_as::<u64>("n")), (Ok(value("x")), Ok(Some(5))));
    server.stop();
    let clone = near.clone();
    for _ in 0..1000 {
        assert_eq!((near.get("a"), clone.get_as::<u64>("n")), (Ok(value("x")), Ok(Some(5))));
    }
    assert_eq!(near.get_many(&["n", "a"]).unwrap().into_result(), Ok(vec![value("5"), value("x")]));
    assert_eq!(near.get_many_as::<u64>(&["n"]).unwrap().into_result(), Ok(vec![Some(5)]));
    assert_matches!(near.get("two words"), Err(Error::Key { .. }));
    assert!(near.get("b").is_err() && near.gets("a").is_err() && client.get("a").is_err());
    // Whether a write has landed is unknown, so what was known before is not used.
    assert!(near.set("a", "y", Expiry::Never).is_err() && near.get("a").is_err());
    near.forget_all();
    assert!(near.get("n").is_err());
}

fn every_write_through_a_near_cache_is_seen_by_its_next_get(on: Kind) {
    on.on_each_socket(|client| {
        let near = hour(client);
        let see = |expected: Option<&str>| {
            for _ in 0..2 {
                assert_eq!(near.get("a"), Ok(expected.and_then(value)));
            }
        };
        near.set("a", "1", HOUR).unwrap();
        see(Some("1"));
        assert_eq!((near.append("a", "2"), near.prepend("a", "3")), (Ok(()), Ok(())));
        see(Some("312"));
        assert_eq!(
            (near.incr("a", 1), near.get("a"), near.decr("a", 3)),
            (Ok(Some(313)), Ok(value("313")), Ok(Some(310)))
        );
        see(Some("310"));
        assert_eq!(near.incr_or("a", 1, 7, HOUR), Ok(311));
        see(Some("311"));
        near.replace("a", "4", HOUR).unwrap();
        see(Some("4"));
        let cas = near.gets("a").unwrap().unwrap().cas.unwrap();
        near.cas("a", "5", HOUR, cas).unwrap();
        see(Some("5"));
        near.set_many(&[("b", "x"), ("a", "6")], HOUR).unwrap().all_stored().unwrap();
        see(Some("6"));
        near.store_many(vec![Store::set("a", "7").unwrap()]).unwrap().all_stored().unwrap();
        see(Some("7"));
        assert_eq!(near.delete("a"), Ok(true));
        see(None);
        near.add("a", "8", HOUR).unwrap();
        see(Some("8"));
        assert_eq!(near.delete_many(&["b", "a"]).unwrap().into_result(), Ok(vec![true, true]));
        see(None);
        assert_eq!(near.cache("a", HOUR, || Ok::<_, Error>("9")).unwrap(), "9");
        see(Some("9"));
        assert_eq!(near.delete_all("a").unwrap().into_result(), Ok(vec![true]));
        see(None);
        // An expiry that has passed is a delete, too.
        near.set("a", "10", HOUR).unwrap();
        see(Some("10"));
        assert_eq!(near.touch("a", Duration::ZERO), Ok(true));
        see(None);
    });
}

fn a_near_cache_asks_again_when_the_time_is_over(on: Kind) {
    let server = on.start();
    let (other, (client, commands)) = (client(&[server.address()]), observed(&[server.address()]));
    let near = asking(&client);
    other.set("a", "x", Expiry::Never).unwrap();
    assert_eq!((near.get("a"), near.get("a"), near.get("a")), (Ok(value("x")), Ok(value("x")), Ok(value("x"))));
    assert_eq!(commands.take().pop(), Some("get_if_changed"));
    other.set("a", "y", Expiry::Never).unwrap();
    assert_eq!((near.get("a"), near.get("a")), (Ok(value("y")), Ok(value("y"))));
    assert_eq!(other.delete("a"), Ok(true));
    assert_eq!((near.get("a"), near.get_many(&["a"]).unwrap().into_result()), (Ok(None), Ok(vec![None])));
    assert_eq!(commands.take().pop(), Some("gets"));
}

fn a_near_cache_does_not_take_a_version_after_a_restart_for_the_same(on: Kind) {
    let mut server = on.start();
    let client = client(&[server.address()]);
    let near = asking(&client);
    let store = |text: &str| {
        client.set("a", text, Expiry::Never).unwrap();
        client.gets("a").unwrap().unwrap().cas
    };
    let cas = store("old");
    assert_eq!(near.get("a"), Ok(value("old")));
    server.restart();
    // The first call may find a dead connection.
    let _ = client.get("a");
    assert_eq!(store("new"), cas, "the first item has the first version");
    assert_eq!(near.get("a"), Ok(value("new")));
    server.restart();
    let _ = client.get("a");
    assert_eq!(store("newest"), cas);
    assert_eq!(near.get_many(&["a"]).unwrap().into_result(), Ok(vec![value("newest")]));
}

fn many_keys_are_asked_for_where_they_are_not_known(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let (other, (client, commands)) = (client(&addresses), observed(&addresses));
    let keys: Vec<_> = (0..20).map(|at| format!("key{at}")).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, key)).collect();
    other.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    let expected: Vec<_> = keys.iter().map(|key| value(key)).collect();
    let near = hour(&client);
    assert_eq!(near.get_many(&keys[..10]).unwrap().into_result(), Ok(expected[..10].to_vec()));
    commands.take();
    assert_eq!(near.get_many(&keys[..10]).unwrap().into_result(), Ok(expected[..10].to_vec()));
    assert_eq!(commands.take(), Vec::<&str>::new());
    // Those that are known, those that are not, one twice, and one that is missing.
    let mixed = [&keys[15], &keys[3], &keys[16], &keys[3], &keys[15], &"none".to_owned()];
    let found = near.get_many(&mixed).unwrap().into_result().unwrap();
    assert_eq!(found, [value("key15"), value("key3"), value("key16"), value("key3"), value("key15"), None]);
    assert_matches!(near.get_many(&["key1", "two words"]), Err(Error::Key { .. }));
    let near = asking(&client);
    for _ in 0..3 {
        assert_eq!(near.get_many(&keys).unwrap().into_result(), Ok(expected.clone()));
    }
    other.set("key7", "changed", Expiry::Never).unwrap();
    assert_eq!(other.delete("key8"), Ok(true));
    let found = near.get_many(&keys).unwrap().into_result().unwrap();
    assert_eq!((&found[6], &found[7], &found[8], &found[9]), (&expected[6], &value("changed"), &None, &expected[9]));
}

fn a_value_in_a_near_cache_is_confirmed_without_being_fetched(on: Kind) {
    let server = on.start_newest();
    let client = client(&[server.address()]);
    let near = asking(&client);
    client.set("page", vec![b'x'; 100_000], Expiry::Never).unwrap();
    let moved = || {
        let stats = client.stats().unwrap().into_result().unwrap();
        stats[0].number("bytes_read").unwrap() + stats[0].number("bytes_written").unwrap()
    };
    assert_eq!(near.get("page").unwrap().unwrap().data().len(), 100_000);
    assert_eq!(near.get("page").unwrap().unwrap().data().len(), 100_000);
    let (one, two) = (moved(), moved());
    for _ in 0..10 {
        // The same servers change nothing, nor does a list that is refused.
        assert!(client.set_servers([server.address()]).unwrap().is_empty());
        assert_matches!(client.set_servers(["no such server:port"]), Err(Error::Uri { .. }));
        assert_eq!(near.get("page").unwrap().unwrap().data().len(), 100_000);
    }
    let confirmed = moved() - two - (two - one);
    assert!(confirmed < 10 * 100, "{confirmed} bytes for ten values");
}
