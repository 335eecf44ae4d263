//! The cache of functions that are not async, on an embedded server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]
#![cfg(feature = "sync")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cached::macros::concurrent_cached;
use cached::{ConcurrentCacheTtl as _, ConcurrentCached, SerializeCached as _};
use memcached2_cached::memcached2_sync::{Client, Namespace};
use memcached2_cached::{Error, MemcachedCache};
use memcached2_testkit::EmbeddedServer;

const HOUR: Duration = Duration::from_secs(3600);

/// A cache, and its items as the client sees them.
fn cache_on(server: &EmbeddedServer) -> (MemcachedCache<u64, String>, Namespace) {
    let client = Client::new([server.address()]).unwrap();
    (MemcachedCache::new(&client, "names").unwrap(), client.namespace("names").unwrap())
}

#[test]
fn a_value_is_set_got_and_removed_and_each_returns_what_was_there() {
    let server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    let some = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(cache.cache_get(&1), Ok(None));
    assert_eq!(cache.cache_contains(&1), Ok(false));
    assert_eq!(cache.cache_remove(&1), Ok(None));
    assert_eq!(cache.cache_delete(&1), Ok(false));

    assert_eq!(cache.cache_set(1, "Ada".to_owned()), Ok(None));
    assert_eq!(cache.cache_get(&1), some("Ada"));
    assert_eq!(cache.cache_contains(&1), Ok(true));
    assert_eq!(cache.cache_set(1, "Grace".to_owned()), some("Ada"));
    assert_eq!(cache.cache_remove(&1), some("Grace"));
    cache.cache_set_ref(&1, &"Alan".to_owned()).unwrap();
    assert_eq!(cache.cache_remove_entry(&1), Ok(Some((1, "Alan".to_owned()))));
    cache.cache_set_ref(&1, &"Alan".to_owned()).unwrap();
    assert_eq!(cache.cache_delete(&1), Ok(true));
    assert_eq!(cache.cache_get_or_set_with(1, || "Ada".to_owned()), Ok("Ada".to_owned()));

    let cache: &dyn ConcurrentCached<u64, String, Error = Error> = &cache;
    cache.cache_clear().unwrap();
    assert_eq!(cache.cache_get(&1), Ok(None));
    _ = cache.cache_set(1, "Ada".to_owned()).unwrap();
    cache.cache_reset().unwrap();
    assert_eq!(cache.cache_get(&1), Ok(None));
}

#[test]
fn an_item_stays_for_its_ttl_and_a_hit_makes_it_stay_longer_if_that_is_set() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    let cache = cache.with_ttl(HOUR).with_refresh_on_hit(true);
    let remaining = || items.get_with_ttl("=1").unwrap().unwrap().1.remaining().unwrap();
    cache.cache_set_ref(&1, &"Ada".to_owned()).unwrap();
    assert!(remaining() > HOUR / 2 && remaining() <= HOUR);
    assert_eq!(cache.set_ttl(4 * HOUR), Some(HOUR));
    _ = cache.cache_get(&1).unwrap();
    assert!(remaining() > 2 * HOUR && remaining() <= 4 * HOUR);
    server.clock().advance(5 * HOUR);
    assert_eq!(cache.cache_get(&1), Ok(None));
}

#[test]
fn a_value_that_cannot_be_read_is_a_miss_or_an_error() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    items.set("=1", "Ada", HOUR).unwrap();
    assert_eq!(cache.cache_get(&1), Ok(None));
    let cache = cache.with_strict_deserialization(true);
    assert!(matches!(cache.cache_get(&1), Err(Error::Value { .. })));
}

#[test]
fn a_lost_or_silent_server_is_an_error_by_the_timeout_of_the_client() {
    let mut server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).timeout(Duration::from_millis(50)).build().unwrap();
    let cache = MemcachedCache::<u64, String>::new(&client, "names").unwrap();
    server.suspend();
    for _ in 0..2 {
        let errors = [
            cache.cache_get(&1).map(drop),
            cache.cache_set(1, "Ada".to_owned()).map(drop),
            cache.cache_remove(&1).map(drop),
            cache.cache_contains(&1).map(drop),
            cache.cache_clear(),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert!(error.counts_as_miss(), "{error:?}");
        }
        server.stop();
    }
}

static SERVER: LazyLock<EmbeddedServer> = LazyLock::new(EmbeddedServer::start);
static CALLS: AtomicUsize = AtomicUsize::new(0);

#[concurrent_cached(
    ty = "MemcachedCache<u64, u64>",
    create = r#"{ MemcachedCache::new(&Client::new([SERVER.address()]).unwrap(), "double").unwrap() }"#,
    map_error = "|error| error"
)]
fn double(number: u64) -> Result<u64, Error> {
    CALLS.fetch_add(1, SeqCst);
    Ok(number * 2)
}

#[test]
fn a_function_is_memoized() {
    for number in [1, 2, 1, 2] {
        assert_eq!(double(number), Ok(number * 2));
    }
    assert_eq!(CALLS.load(SeqCst), 2);
}
