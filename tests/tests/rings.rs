//! Routing: even shares, keys that stay when servers change, and failover to another server.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]
#![allow(clippy::cast_precision_loss, reason = "shares are told in percent")]

use memcached2_testkit::assert_matches;
use std::sync::Arc;

use memcached2_proto::error::UriProblem;
use memcached2_proto::routing::{Address, BuildSelector, KeyHasher, Selector, ServerId, UpperCrc, Zero};
use memcached2_proto::{Error, Key, Options, Router, Selection, Server};

const SERVERS: usize = 10;

fn servers(count: usize) -> Vec<Server> {
    (0..count).map(|at| format!("10.0.{}.{}", at / 250, at % 250 + 1).parse().unwrap()).collect()
}

fn rule(name: &str) -> Selection {
    name.parse().unwrap()
}

fn router(name: &str, count: usize) -> Router {
    Router::with_selection(servers(count), &rule(name))
}

/// The number of keys, the same in each run.
fn keys(count: u64) -> impl Iterator<Item = String> {
    // The golden ratio in 64 bits: the keys share no beginning.
    (1..=count).map(|number| format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn among(router: &Router, key: &str, is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
    router.route_among(Key::new(key).unwrap(), is_up).ok().map(ServerId::index)
}

/// Asserts that each of ten servers has a tenth of the keys, give or take this many percent of it.
fn assert_even(name: &str, most_off: f64) {
    const KEYS: u64 = 200_000;
    let router = router(name, SERVERS);
    let mut counts = [0_u32; SERVERS];
    for key in keys(KEYS) {
        counts[router.route(Key::new(&key).unwrap()).unwrap().index()] += 1;
    }
    let fair = KEYS as f64 / SERVERS as f64;
    let off = counts.map(|count| (f64::from(count) / fair - 1.0).abs() * 100.0).into_iter().fold(0.0, f64::max);
    assert!(off <= most_off, "{name}: a server is off by {off:.1} %, of {most_off} % that it may be: {counts:?}");
}

/// One test for each rule, so that they run side by side.
macro_rules! even {
    ($($test:ident: $name:literal within $off:literal),* $(,)?) => {
        mod many_keys_are_dealt_out_evenly {
            $(#[test] fn $test() { super::assert_even($name, $off); })*
        }
    };
}

even! {
    rehash: "rehash" within 2.0,
    python_memcached: "python-memcached" within 2.0,
    fractal: "fractal" within 2.0,
    consistent: "consistent" within 120.0,
    ketama: "ketama" within 20.0,
    libmemcached_consistent: "libmemcached-consistent" within 30.0,
    libmemcached_consistent_md5: "libmemcached-consistent-md5" within 30.0,
    libmemcached_modula: "libmemcached-modula" within 2.0,
    libmemcached_modula_crc: "libmemcached-modula-crc" within 2.0,
    spymemcached: "spymemcached" within 20.0,
    dalli: "dalli" within 20.0,
    rendezvous: "rendezvous" within 2.0,
    uhashring: "uhashring" within 20.0,
    jump: "jump" within 2.0,
    gomemcache: "gomemcache" within 2.0,
}

#[test]
fn weights_are_honoured() {
    const WEIGHTS: [u32; 4] = [1, 2, 3, 4];
    for (name, most_off) in
        [("ketama", 25.0), ("spymemcached", 25.0), ("dalli", 25.0), ("uhashring", 25.0), ("python-memcached", 3.0)]
    {
        let servers = WEIGHTS.iter().enumerate().map(|(at, weight)| format!("10.0.0.{at}?weight={weight}"));
        let router = Router::with_options(servers, &Options::default().selection(rule(name))).unwrap();
        let mut counts = [0_u32; 4];
        keys(100_000).for_each(|key| counts[among(&router, &key, &|_| true).unwrap()] += 1);
        for (count, weight) in counts.into_iter().zip(WEIGHTS) {
            let off = (f64::from(count) / (10_000.0 * f64::from(weight)) - 1.0).abs() * 100.0;
            assert!(off <= most_off, "{name}: off by {off:.1} %: {counts:?}");
        }
    }
}

#[test]
fn only_the_keys_of_a_server_that_is_down_move() {
    for &name in Selection::NAMES {
        let router = router(name, SERVERS);
        let mut moved_to = [0_u32; SERVERS];
        for key in keys(20_000) {
            let here = among(&router, &key, &|_| true).expect("all servers are up");
            let there = among(&router, &key, &|server| server != 3);
            match there {
                Some(there) if here == 3 => moved_to[there] += 1,
                None => assert_eq!(here, 3, "{name}: {key}"),
                Some(there) => assert_eq!(there, here, "{name}: {key}"),
            }
        }
        assert_eq!(moved_to[3], 0, "{name}");
        let gives_up =
            ["first", "libmemcached-modula", "libmemcached-modula-crc", "jump", "gomemcache"].contains(&name);
        let moved: u32 = moved_to.iter().sum();
        assert_eq!(moved == 0, gives_up, "{name}: {moved} keys move");
    }
}

#[test]
fn fractal_sharding_spreads_the_keys_of_servers_that_are_down_evenly() {
    // With any servers down, however many.
    for down in [&[0][..], &[9], &[2, 5], &[0, 1, 2, 3], &[1, 3, 5, 7, 9], &[0, 1, 2, 3, 4, 5, 6, 7]] {
        let router = router("fractal", SERVERS);
        let up = SERVERS - down.len();
        let (mut taken, mut lost) = ([0_u32; SERVERS], 0);
        for key in keys(100_000) {
            let here = among(&router, &key, &|_| true).unwrap();
            let there = among(&router, &key, &|server| !down.contains(&server)).expect("some servers are up");
            assert!(!down.contains(&there));
            if down.contains(&here) {
                taken[there] += 1;
                lost += 1;
            } else {
                assert_eq!(here, there, "a key of a server that is up moved");
            }
        }
        let fair = f64::from(lost) / up as f64;
        let even = |count: u32| (f64::from(count) / fair - 1.0).abs() < 0.08;
        assert!((0..SERVERS).filter(|server| !down.contains(server)).all(|server| even(taken[server])), "{taken:?}");
    }
}

#[test]
fn a_key_stays_where_it_went_when_another_server_goes_down_too() {
    for name in ["fractal", "ketama", "libmemcached-consistent", "rendezvous", "uhashring"] {
        let router = router(name, SERVERS);
        for key in keys(5_000) {
            let first = among(&router, &key, &|server| server != 3).unwrap();
            let second = among(&router, &key, &|server| server != 3 && server != 6).unwrap();
            assert!(first == second || first == 6, "{name}: {key}");
        }
    }
}

#[test]
fn a_server_that_leaves_a_ring_takes_only_its_keys_along() {
    for name in
        ["ketama", "libmemcached-consistent", "libmemcached-consistent-md5", "dalli", "rendezvous", "uhashring", "jump"]
    {
        let (before, after) = (router(name, SERVERS), router(name, SERVERS - 1));
        for key in keys(10_000) {
            let here = among(&before, &key, &|_| true).unwrap();
            assert!(here == SERVERS - 1 || among(&after, &key, &|_| true) == Some(here), "{name}: {key}");
        }
    }
}

#[test]
fn a_server_is_chosen_while_any_server_is_up() {
    for name in ["fractal", "consistent", "ketama", "libmemcached-consistent", "rendezvous", "uhashring"] {
        for count in [2, 3, 10, 100] {
            let router = router(name, count);
            for key in keys(200) {
                for only in [0, count / 2, count - 1] {
                    assert_eq!(among(&router, &key, &|server| server == only), Some(only), "{name} of {count}: {key}");
                }
                assert_eq!(among(&router, &key, &|_| false), None, "{name}: {key}");
            }
        }
    }
}

#[test]
fn any_number_of_servers_will_do() {
    for &name in Selection::NAMES {
        let key = Key::new("key").unwrap();
        assert_eq!(router(name, 0).route(key), Err(Error::no_servers()), "{name}");
        assert_eq!(router(name, 1).route(key).map(ServerId::index), Ok(0), "{name}");
        assert_eq!(among(&router(name, 1), "key", &|_| false), None, "{name}");
        let many = router(name, 1000);
        assert!(many.route(key).unwrap().index() < 1000, "{name}");
        assert_eq!(many.route(key), many.clone().route(key), "{name}");
    }
}

#[test]
fn servers_of_the_same_name_are_no_harm_and_a_server_is_given_once() {
    for &name in Selection::NAMES {
        let twins =
            Router::with_options(["a?name=x", "b?name=x", "c?name=x"], &Options::default().selection(rule(name)))
                .unwrap();
        assert!(keys(100).all(|key| among(&twins, &key, &|_| true).is_some()), "{name}");
        let twice = Router::with_options(["a", "b", "a:11211"], &Options::default().selection(rule(name))).unwrap_err();
        assert_matches!(&twice, Error::Uri { uri, problem: UriProblem::Repeated, .. } if &**uri == "a:11211");
    }
}

#[test]
fn a_server_with_a_name_keeps_its_keys_at_another_address() {
    let options = |name| Options::default().selection(rule(name));
    for name in ["ketama", "libmemcached-consistent", "dalli", "rendezvous", "uhashring", "spymemcached"] {
        let one =
            Router::with_options(["10.0.0.1?name=a", "10.0.0.2?name=b", "10.0.0.3?name=c"], &options(name)).unwrap();
        let other = Router::with_options(["10.9.9.9:1?name=a", "h?name=b", "[::1]?name=c"], &options(name)).unwrap();
        let bare = Router::with_options(["10.9.9.9:1", "h", "[::1]"], &options(name)).unwrap();
        let places = |router: &Router| keys(1000).map(|key| among(router, &key, &|_| true)).collect::<Vec<_>>();
        assert_eq!(places(&one), places(&other), "{name}");
        assert_ne!(places(&one), places(&bare), "{name}");
    }
}

#[test]
fn the_default_is_that_of_python_memcached2() {
    let upper = |key: &str| UpperCrc.hash(key.as_bytes()).max(1) as usize;
    for count in [1, 2, 3, 10] {
        let router = router("default", count);
        assert!(keys(1000).all(|key| among(&router, &key, &|_| true) == Some(upper(&key) % count)));
    }
    // With two servers a key is hashed followed by the number of the try.
    let two = router("default", 2);
    for key in keys(100) {
        let expected = (0..10).map(|number| upper(&format!("{key}{number}")) % 2).find(|place| *place == 1);
        let first = if upper(&key) % 2 == 1 { Some(1) } else { expected };
        assert_eq!(among(&two, &key, &|server| server == 1), first);
    }
}

/// Asserts that a key whose first servers are down goes where the keys in `tries` would go, one after the other.
fn assert_tried(name: &str, tries: impl Fn(&str) -> Vec<String>) {
    let router = router(name, SERVERS);
    let first = |key: &str| among(&router, key, &|_| true).unwrap();
    for key in keys(300) {
        let expected: Vec<_> = std::iter::once(key.clone()).chain(tries(&key)).map(|key| first(&key)).collect();
        // One more of them is down each time, until all are.
        for passed in 1..=expected.len() {
            let down = &expected[..passed];
            let next = expected.iter().copied().find(|server| !down.contains(server));
            assert_eq!(
                among(&router, &key, &|server| !down.contains(&server)),
                next,
                "{name}: {key}, {down:?} are down"
            );
        }
    }
}

#[test]
fn dalli_hashes_the_number_of_the_try_followed_by_the_key_when_a_server_is_down() {
    assert_tried("dalli", |key| (0..19).map(|number| format!("{number}{key}")).collect());
}

#[test]
fn python_memcached_hashes_the_hash_followed_by_the_number_of_the_try() {
    assert_tried("python-memcached", |key| {
        let mut hash = UpperCrc.hash(key.as_bytes());
        let next = |number| {
            let text = format!("{hash}{number}");
            hash = UpperCrc.hash(text.as_bytes());
            text
        };
        (0..9).map(next).collect()
    });
}

#[test]
fn python_memcached2_hashes_the_key_followed_by_the_number_of_the_try() {
    assert_tried("rehash", |key| (0..10).map(|number| format!("{key}{number}")).collect());
}

#[test]
fn retries_and_buckets_are_as_many_as_asked_for() {
    let never = Selection::Rehash { hasher: Arc::new(UpperCrc), retries: 0 };
    let router = Router::with_selection(servers(4), &never);
    assert!(keys(100).any(|key| among(&router, &key, &|server| server != 0).is_none()));
    // Three buckets have room for three of five servers.
    let few = Selection::Consistent { hasher: Arc::new(UpperCrc), total_buckets: Some(3) };
    let router = Router::with_selection(servers(5), &few);
    let mut places: Vec<_> = keys(10_000).filter_map(|key| among(&router, &key, &|_| true)).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places, [0, 1, 2]);
}

/// The length of the key.
#[derive(Debug)]
struct Length;

impl KeyHasher for Length {
    fn hash(&self, key: &[u8]) -> u32 {
        key.len() as u32
    }
}

/// Keys with a colon go to the last server, wherever that listens.
#[derive(Debug)]
struct Colon;

#[derive(Debug)]
struct ToLast(usize);

impl BuildSelector for Colon {
    fn selector(&self, servers: &[Server]) -> Arc<dyn Selector> {
        assert!(servers.iter().all(|server| matches!(server.address(), Address::Tcp { .. })));
        Arc::new(ToLast(servers.len() - 1))
    }
}

impl Selector for ToLast {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        let place = if key.contains(&b':') { self.0 } else { 0 };
        is_up(place).then_some(place)
    }
}

#[test]
fn a_hasher_and_a_selection_may_be_custom() {
    let by_length = Router::with_selection(servers(4), &Selection::Fractal { hasher: Arc::new(Length) });
    assert_eq!(among(&by_length, "sevenly", &|_| true), Some(7 % 4));
    let all_first = Router::with_selection(servers(4), &Selection::Rehash { hasher: Arc::new(Zero), retries: 3 });
    assert!(keys(100).all(|key| among(&all_first, &key, &|_| true) == Some(0)));
    let own = Router::with_selection(servers(4), &Selection::Custom(Arc::new(Colon)));
    assert_eq!(["a:b", "a"].map(|key| among(&own, key, &|_| true)), [Some(3), Some(0)]);
}
