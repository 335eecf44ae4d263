//! A twemproxy with three servers, one of which is killed: clients lose only the keys of that one.
//!
//! twemproxy does not speak meta, answers an error line for a server that is down, and closes the connection after one
//! to a `get` of several keys. Other requests on that connection are lost: the client retries reads, and the outcome of
//! writes is unknown. Once the client has seen such a line, nothing is lost any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

mod proxy {
    pub(crate) mod load;
    pub(crate) mod subject;
}
mod twemproxy;

use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use memcached2_proto::{Expiry, Options};
use memcached2_testkit::Memcached;

use crate::proxy::load::{Fate, Place, Places, Tally, crowd, get, get_many, incr, set};
use crate::proxy::subject::Subject;
use crate::twemproxy::Twemproxy;

/// Longer than anything takes.
const PATIENT: Duration = Duration::from_secs(60);
/// How many keys there are of each kind.
const KEYS: usize = 60;
/// Which of the servers is killed.
const VICTIM: usize = 1;
/// How many calls a crowd makes.
const CALLS: usize = 3000;
/// How many keys may be lost in all while the server is killed: those of a few connections, on which each of 64 callers
/// has one call.
const LOST: usize = 4 * 64;

/// The default options, with timeouts that do not depend on how busy the machine is.
fn options() -> Options {
    Options::default().timeout(PATIENT).connect_timeout(PATIENT)
}

/// Stores all items through the proxy, and finds out which of them lie on the server that is to be killed.
fn fill(proxy: &Twemproxy, servers: &[Memcached]) -> Places {
    let client = |address: String| memcached2_sync::Client::with_options([address], options()).unwrap();
    let (through, victim) = (client(proxy.address()), client(servers[VICTIM].address()));
    let places = |name: &str, value: Option<&str>| -> Vec<Place> {
        // Keys that differ at the end alone lie side by side: twemproxy cuts `fnv1a_64` to 32 bits.
        let keys = (0..KEYS).map(|at| format!("{at}:one-{name}"));
        keys.map(|key| {
            through.set(&key, value.unwrap_or(&key), Expiry::Never).unwrap();
            Place { doomed: victim.get(&key).unwrap().is_some(), key }
        })
        .collect()
    };
    let (words, counters) = (places("word", None), places("counter", Some("1")));
    for places in [&words, &counters] {
        let doomed = places.iter().filter(|place| place.doomed).count();
        assert!((1..KEYS).contains(&doomed), "{doomed} of {KEYS} keys lie on one of three servers");
    }
    Places { words, counters }
}

/// Whether an earlier call has found it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    /// The server is killed meanwhile.
    No,
}

fn check(what: &str, tally: &Tally, known: Known) {
    assert_eq!(tally.count(|_, _, fate| matches!(fate, Fate::Wrong(_))), 0, "{what}: {tally}");
    // Their server is up, and the proxy answers for it, except to a `get` of several keys.
    let behind = tally.count(|verb, doomed, fate| !doomed && *fate == Fate::Behind && verb != "get_many");
    assert_eq!(behind, 0, "{what}: {tally}");
    let lost = tally.count(|_, _, fate| matches!(fate, Fate::Lost(_)));
    match known {
        Known::No => assert!(lost <= LOST, "{what}: {lost} lost: {tally}"),
        Known::Yes => {
            assert_eq!(lost, 0, "{what}: {tally}");
            assert_eq!(tally.count(|_, doomed, fate| doomed != (*fate == Fate::Behind)), 0, "{what}: {tally}");
        }
    }
}

/// Every key once with each call, one call at a time.
fn one_by_one<S: Subject>(client: &S, places: &Places) -> Tally {
    let tally = Tally::default();
    S::block_on(async {
        for (word, counter) in places.words.iter().zip(&places.counters) {
            get(client, word, &tally).await;
            set(client, word, &tally).await;
            incr(client, counter, &tally).await;
        }
        for many in places.words.chunks(7) {
            get_many(client, &many.iter().collect::<Vec<_>>(), &tally).await;
        }
    });
    tally
}

fn only_the_keys_of_a_server_that_is_down_are_lost<S: Subject>() {
    if !Twemproxy::installed() {
        // Unlike `eprintln!`, this is shown for tests that pass, too.
        let _ = writeln!(std::io::stderr(), "there is no nutcracker: nothing is asked through twemproxy");
        return;
    }
    let mut servers: Vec<_> = (0..3).map(|_| Memcached::start()).collect();
    let proxy = Twemproxy::start(&servers);
    let places = fill(&proxy, &servers);
    let client = S::to(&proxy.address(), options());

    for tally in [one_by_one(&client, &places), crowd(&client, &places, CALLS, |_| {})] {
        assert_eq!(tally.count(|_, _, fate| *fate != Fate::Done), 0, "all servers are there: {tally}");
    }

    let victim = Mutex::new(&mut servers[VICTIM]);
    let tally = crowd(&client, &places, CALLS, |call| {
        if call == CALLS / 3 {
            victim.lock().unwrap().stop();
        }
    });
    eprintln!("{} while a server is killed:{tally}", std::any::type_name::<S>());
    check("while a server is killed", &tally, Known::No);
    let noticed = tally.count(|_, doomed, fate| doomed && *fate == Fate::Behind);
    assert!(noticed > 0, "nobody has noticed: {tally}");

    check("many at a time", &crowd(&client, &places, CALLS, |_| {}), Known::Yes);
    check("one by one", &one_by_one(&client, &places), Known::Yes);

    // A client that comes now asks the proxy for its protocol once, and keeps its connection whatever becomes of others.
    let newcomer = S::to(&proxy.address(), options());
    let living: Vec<_> = places.words.iter().filter(|place| !place.doomed).cycle().take(100).collect();
    let before = proxy.connections();
    let tally = Tally::default();
    for client in [&newcomer, &client] {
        S::block_on(async {
            for place in &living {
                get(client, place, &tally).await;
            }
        });
    }
    check("newcomer", &tally, Known::Yes);
    let made = proxy.connections() - before;
    // One to be asked for the protocol and one to ask on; two to servers that the proxy may have lost.
    assert!(made <= 4, "{made} connections for 200 calls");
    // It remembers for several keys what it learnt from one.
    let doomed = places.words.iter().find(|place| place.doomed).unwrap();
    S::block_on(get(&newcomer, doomed, &tally));
    check("newcomer, one by one", &one_by_one(&newcomer, &places), Known::Yes);
}

#[test]
fn the_blocking_client_loses_only_the_keys_of_a_server_that_is_down() {
    only_the_keys_of_a_server_that_is_down_are_lost::<memcached2_sync::Client>();
}

#[test]
fn the_client_for_tokio_loses_only_the_keys_of_a_server_that_is_down() {
    only_the_keys_of_a_server_that_is_down_are_lost::<memcached2_tokio::Client>();
}

#[test]
fn the_client_for_async_std_loses_only_the_keys_of_a_server_that_is_down() {
    only_the_keys_of_a_server_that_is_down_are_lost::<memcached2_async_std::Client>();
}
