use super::*;

#[test]
fn a_key_goes_to_one_of_the_servers() {
    let router = |servers: &[&str]| Router::new(servers.iter().map(|server| server.parse().unwrap()).collect());
    let key = Key::new("x").unwrap();
    assert_eq!(router(&[]).route(key), Err(Error::no_servers()));
    assert_eq!(router(&["a"]).route(key), Ok(ServerId(0)));
    assert_eq!(router(&["a", "b", "c"]).route(key), Ok(ServerId(3292 % 3)));
    let two = router(&["localhost", "localhost:11211"]);
    let of_first = |key: &&str| two.route(Key::new(*key).unwrap()) == Ok(ServerId(0));
    let (first, second): (Vec<_>, Vec<_>) = ["a", "b", "c", "d", "e", "f"].into_iter().partition(of_first);
    let mut parted = [first, second];
    parted.sort();
    assert_eq!(parted, [vec!["a", "c", "d", "f"], vec!["b", "e"]]);
}

#[test]
fn the_prefix_counts_for_the_next_server_as_it_does_for_the_first() {
    let prefix: Arc<[u8]> = b"prefix:"[..].into();
    let router = |prefix, route_by_prefix| {
        let options = RouterOptions { prefix, route_by_prefix, ..RouterOptions::default() };
        Router::with_options(["a", "b", "c"], options).unwrap()
    };
    let (plain, routed, written) =
        (router(None, true), router(Some(Arc::clone(&prefix)), true), router(Some(prefix), false));
    let mut differ = 0;
    for number in 0..50 {
        let (key, whole) = (format!("key{number}"), format!("prefix:key{number}"));
        let (key, whole) = (Key::new(&key).unwrap(), Key::new(&whole).unwrap());
        let first = plain.route(key).unwrap();
        differ += usize::from(plain.route(key) != plain.route(whole));
        assert_eq!((written.route(key), routed.route(key)), (Ok(first), plain.route(whole)));
        for down in 0..3 {
            let is_up = |place| place != down;
            assert_eq!(written.route_among(key, &is_up), plain.route_among(key, &is_up));
            assert_eq!(routed.route_among(key, &is_up), plain.route_among(whole, &is_up));
        }
    }
    assert!(differ > 10, "{differ}");
}

/// A rule that names the place after the last server.
#[derive(Debug)]
struct Beyond(usize);

impl Selector for Beyond {
    fn select(&self, _: &[u8], _: &dyn Fn(usize) -> bool) -> Option<usize> {
        Some(self.0)
    }
}

impl BuildSelector for Beyond {
    fn selector(&self, servers: &[Server]) -> Arc<dyn Selector> {
        Arc::new(Self(servers.len()))
    }
}

#[test]
fn a_rule_that_names_a_place_beyond_its_servers_gives_no_key_to_those_of_another_group() {
    let selection = Selection::Custom(Arc::new(Beyond(0)));
    let gutter = Some(Gutter::new(["d", "e"], std::time::Duration::from_secs(10)));
    let router = Router::with_options(["a", "b", "c"], RouterOptions { selection, gutter, ..RouterOptions::default() });
    let (router, key) = (router.unwrap(), Key::new("key").unwrap());
    assert_eq!(router.route(key), Err(Error::no_servers()));
    assert_eq!(router.route_among(key, &|_| true), Err(Error::no_servers()));
    assert_eq!(router.route_in_gutter(key, Instant::ZERO), None);
}

#[test]
fn the_first_server_has_no_key_while_it_is_down_and_no_rule_names_one_of_none() {
    let servers: Vec<Server> = ["a", "b"].iter().map(|server| server.parse().unwrap()).collect();
    let first = Selection::First.selector(&servers);
    assert_eq!((first.select(b"key", &|_| true), first.select(b"key", &|place| place != 0)), (Some(0), None));
    for name in Selection::NAMES.iter().filter(|name| !matches!(**name, "first" | "default")) {
        let selector = name.parse::<Selection>().unwrap().selector(&[]);
        assert_eq!(selector.select(b"key", &|_| true), None, "{name}");
    }
}

#[test]
#[cfg(feature = "ketama")]
fn the_consistent_rule_of_libmemcached_is_the_weighted_ketama_as_soon_as_a_server_weighs_something() {
    let select = |name: &str, texts: &[&str]| -> Vec<_> {
        let servers: Vec<Server> = texts.iter().map(|server| server.parse().unwrap()).collect();
        let selector = name.parse::<Selection>().unwrap().selector(&servers);
        (0..100).map(|number| selector.select(format!("key{number}").as_bytes(), &|_| true)).collect()
    };
    let (plain, weighted) = (["a", "b", "c"], ["a", "b?weight=3", "c"]);
    assert_ne!(select("libmemcached-consistent-md5", &plain), select("ketama", &plain));
    assert_eq!(select("libmemcached-consistent-md5", &weighted), select("ketama", &weighted));
}

#[test]
fn servers_of_a_client_with_a_journal_have_names_of_their_own() {
    let router = |servers: &[&str], has_journal: bool, gutter: &str| {
        let journal = has_journal.then(|| Arc::new(Journal::new(1)));
        let gutter = Some(Gutter::new([gutter], std::time::Duration::from_secs(1)));
        Router::with_options(servers, RouterOptions { journal, gutter, ..RouterOptions::default() })
    };
    for (servers, gutter) in
        [(["a?name=x", "b?name=x"], "c"), (["a?name=x", "b"], "c?name=x"), (["a?name=b:11211", "b"], "c")]
    {
        assert!(router(&servers, false, gutter).is_ok());
        let error = router(&servers, true, gutter).unwrap_err();
        assert!(matches!(error, Error::Uri { problem: UriProblem::NameTaken, .. }), "{error:?}");
    }
    assert!(router(&["a?name=x", "b?name=y"], true, "c").is_ok());
}
