//! The cache of functions that are async, on an embedded server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]
#![cfg(feature = "async")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cached::macros::concurrent_cached;
use cached::{
    ConcurrentCacheBase as _, ConcurrentCacheRefreshOnHit as _, ConcurrentCacheTtl as _, ConcurrentCachedAsync as _,
    SerializeCachedAsync as _, SetTtlError,
};
use memcached2_cached::memcached2_tokio::{Client, Landed, LongKeys, Namespace};
use memcached2_cached::{AsyncMemcachedCache, Error};
use memcached2_testkit::EmbeddedServer;
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);

type Cache = AsyncMemcachedCache<String, User>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    groups: BTreeMap<String, Option<u8>>,
}

fn user(name: &str) -> User {
    User { name: name.to_owned(), groups: BTreeMap::from([("staff".to_owned(), Some(7)), ("guests".to_owned(), None)]) }
}

/// A cache, and its items as the client sees them.
fn cache_on(server: &EmbeddedServer) -> (Cache, Namespace) {
    let client = Client::new([server.address()]).unwrap();
    let items = client.namespace("users").unwrap().long_keys(LongKeys::Hash);
    (AsyncMemcachedCache::new(&client, "users").unwrap(), items)
}

async fn remaining(items: &Namespace, key: &str) -> Option<Duration> {
    items.get_with_ttl(key).await.unwrap().unwrap().1.remaining()
}

fn is_about(remaining: Option<Duration>, ttl: Duration) -> bool {
    remaining.is_some_and(|left| left > ttl / 2 && left <= ttl)
}

#[tokio::test]
async fn a_value_is_set_got_and_removed_and_each_returns_what_was_there() {
    let server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    let ada = "ada".to_owned();
    assert_eq!(cache.async_cache_get(&ada).await, Ok(None));
    assert_eq!(cache.async_cache_contains(&ada).await, Ok(false));
    assert_eq!(cache.async_cache_remove(&ada).await, Ok(None));
    assert_eq!(cache.async_cache_remove_entry(&ada).await, Ok(None));
    assert_eq!(cache.async_cache_delete(&ada).await, Ok(false));

    assert_eq!(cache.async_cache_set(ada.clone(), user("Ada")).await, Ok(None));
    assert_eq!(cache.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
    assert_eq!(cache.async_cache_contains(&ada).await, Ok(true));
    assert_eq!(cache.async_cache_set(ada.clone(), user("Ada King")).await, Ok(Some(user("Ada"))));
    assert_eq!(cache.async_cache_remove(&ada).await, Ok(Some(user("Ada King"))));
    assert_eq!(cache.async_cache_get(&ada).await, Ok(None));

    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert_eq!(cache.async_cache_remove_entry(&ada).await, Ok(Some((ada.clone(), user("Ada")))));
    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert_eq!(cache.async_cache_delete(&ada).await, Ok(true));
    assert_eq!(cache.async_cache_contains(&ada).await, Ok(false));
    assert_eq!(cache.cache_size(), Ok(None));
}

#[tokio::test]
async fn a_value_is_computed_once() {
    let server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    let computed = AtomicUsize::new(0);
    for _ in 0..2 {
        let compute = || async {
            computed.fetch_add(1, SeqCst);
            user("Ada")
        };
        assert_eq!(cache.async_cache_get_or_set_with("ada".to_owned(), compute).await, Ok(user("Ada")));
    }
    assert_eq!(computed.load(SeqCst), 1);
    let failed = cache.async_cache_try_get_or_set_with("alan".to_owned(), || async { Err("failed") }).await;
    assert_eq!(failed, Ok(Err("failed")));
    assert_eq!(cache.async_cache_contains(&"alan".to_owned()).await, Ok(false));
}

#[tokio::test]
async fn keys_are_text_of_any_length_and_characters() {
    let server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    let long = "x".repeat(10_000);
    let keys = ["", "a", "two words", "a line\r\n", "S\u{e3}o Paulo", &long, &format!("{long}y")];
    for key in keys {
        cache.async_cache_set_ref(&key.to_owned(), &user(key)).await.unwrap();
    }
    for key in keys {
        assert_eq!(cache.async_cache_remove(&key.to_owned()).await, Ok(Some(user(key))));
    }
}

#[tokio::test]
async fn a_cache_is_cleared_alone_and_at_once() {
    let server = EmbeddedServer::start();
    let (users, _) = cache_on(&server);
    let client = Client::new([server.address()]).unwrap();
    let others = AsyncMemcachedCache::<u64, u64>::new(&client, "others").unwrap();
    others.async_cache_set_ref(&1, &2).await.unwrap();
    let ada = "ada".to_owned();
    for is_reset in [false, true] {
        users.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
        if is_reset {
            users.async_cache_reset().await.unwrap();
        } else {
            users.async_cache_clear().await.unwrap();
        }
        assert_eq!(users.async_cache_get(&ada).await, Ok(None));
    }
    assert_eq!(others.async_cache_get(&1).await, Ok(Some(2)));
}

#[tokio::test]
async fn another_program_sees_at_once_that_a_cache_was_cleared_if_it_asks_each_time() {
    let server = EmbeddedServer::start();
    let (here, there) = (cache_on(&server).0, cache_on(&server).0.check_after(Duration::ZERO));
    let ada = "ada".to_owned();
    here.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert_eq!(there.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
    here.async_cache_clear().await.unwrap();
    assert_eq!(there.async_cache_get(&ada).await, Ok(None));
}

#[tokio::test]
async fn an_item_stays_for_the_ttl_that_is_set() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    let ada = "ada".to_owned();
    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert_eq!((cache.ttl(), remaining(&items, "=ada").await), (None, None));

    let cache = cache.with_ttl(HOUR);
    _ = cache.async_cache_set(ada.clone(), user("Ada")).await.unwrap();
    assert!(is_about(remaining(&items, "=ada").await, HOUR));
    assert_eq!(cache.set_ttl(4 * HOUR), Some(HOUR));
    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert!(is_about(remaining(&items, "=ada").await, 4 * HOUR));
    server.clock().advance(4 * HOUR + Duration::from_secs(2));
    assert_eq!(cache.async_cache_get(&ada).await, Ok(None));

    assert!(matches!(cache.try_set_ttl(Duration::ZERO), Err(SetTtlError::ZeroTtl)));
    assert_eq!((cache.unset_ttl(), cache.ttl()), (Some(4 * HOUR), None));
    for never in [Duration::ZERO, Duration::MAX, 20 * 365 * 24 * HOUR] {
        cache.set_ttl(never);
        cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
        assert_eq!(remaining(&items, "=ada").await, None, "{never:?}");
    }
}

#[tokio::test]
async fn a_hit_makes_an_item_stay_longer_if_that_is_set() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    let cache = cache.with_ttl(HOUR).with_refresh_on_hit(true);
    let ada = "ada".to_owned();
    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    assert_eq!(cache.set_ttl(4 * HOUR), Some(HOUR));
    assert_eq!(cache.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
    assert!(is_about(remaining(&items, "=ada").await, 4 * HOUR));

    assert!(cache.refresh_on_hit() && cache.set_refresh_on_hit(false) && !cache.refresh_on_hit());
    cache.set_ttl(16 * HOUR);
    assert_eq!(cache.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
    assert!(is_about(remaining(&items, "=ada").await, 4 * HOUR));

    // Without a time it stays as it is.
    cache.set_refresh_on_hit(true);
    cache.unset_ttl();
    assert_eq!(cache.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
    assert!(is_about(remaining(&items, "=ada").await, 4 * HOUR));
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_a_miss_or_an_error() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    let (strict, _) = cache_on(&server);
    let strict = strict.with_strict_deserialization(true);
    let ada = "ada".to_owned();
    for stored in ["", "Ada", r#"{"name":"Ada"}"#, "7"] {
        items.set("=ada", stored, HOUR).await.unwrap();
        assert_eq!(cache.async_cache_get(&ada).await, Ok(None));
        assert!(matches!(strict.async_cache_get(&ada).await, Err(Error::Value { .. })));
        // It is there, and can be replaced and removed.
        assert_eq!(cache.async_cache_contains(&ada).await, Ok(true));
        assert_eq!(strict.async_cache_set(ada.clone(), user("Ada")).await, Ok(None));
        assert_eq!(strict.async_cache_get(&ada).await, Ok(Some(user("Ada"))));
        items.set("=ada", stored, HOUR).await.unwrap();
        assert!(strict.async_cache_remove(&ada).await.is_err());
        assert_eq!(items.exists("=ada").await, Ok(false));
    }
}

#[tokio::test]
async fn the_error_of_a_value_that_cannot_be_read_says_whether_its_item_has_changed() {
    let server = EmbeddedServer::start();
    let (cache, items) = cache_on(&server);
    let cache = cache.with_ttl(HOUR).with_strict_deserialization(true);
    let ada = "ada".to_owned();
    items.set("=ada", "7", 4 * HOUR).await.unwrap();
    assert_eq!(cache.async_cache_get(&ada).await.unwrap_err().landed(), Landed::NotSent);
    assert!(is_about(remaining(&items, "=ada").await, 4 * HOUR));

    cache.set_refresh_on_hit(true);
    assert_eq!(cache.async_cache_get(&ada).await.unwrap_err().landed(), Landed::Unknown);
    assert!(is_about(remaining(&items, "=ada").await, HOUR));

    assert_eq!(cache.async_cache_remove(&ada).await.unwrap_err().landed(), Landed::Unknown);
    items.set("=ada", "7", HOUR).await.unwrap();
    assert_eq!(cache.async_cache_remove_entry(&ada).await.unwrap_err().landed(), Landed::Unknown);
    assert_eq!(items.exists("=ada").await, Ok(false));
}

#[tokio::test]
async fn a_value_that_cannot_be_written_is_an_error() {
    let server = EmbeddedServer::start();
    let client = Client::new([server.address()]).unwrap();
    let cache = AsyncMemcachedCache::<u64, BTreeMap<Option<u8>, u8>>::new(&client, "maps").unwrap();
    let map = BTreeMap::from([(Some(1), 2), (None, 3)]);
    for stored in [cache.async_cache_set_ref(&1, &map).await, cache.async_cache_set(1, map).await.map(drop)] {
        assert!(matches!(stored, Err(Error::Value { .. })), "{stored:?}");
    }
}

#[tokio::test]
async fn a_hit_is_one_request_and_so_is_what_the_attribute_does_after_a_miss() {
    let server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    let cache = cache.check_after(HOUR).with_ttl(HOUR);
    let ada = "ada".to_owned();
    assert_eq!(cache.async_cache_get(&ada).await, Ok(None)); // It has asked for the generation.
    server.clear_asked();
    cache.async_cache_set_ref(&ada, &user("Ada")).await.unwrap();
    _ = cache.async_cache_get(&ada).await.unwrap();
    cache.set_refresh_on_hit(true);
    _ = cache.async_cache_get(&ada).await.unwrap();
    cache.async_cache_delete(&ada).await.unwrap();
    let asked: Vec<_> = server.asked().iter().map(|request| request.command().to_owned()).collect();
    assert_eq!(asked, ["set", "get", "gat", "delete"]);
}

async fn assert_all_fail(cache: &Cache) {
    let ada = "ada".to_owned();
    let errors = [
        cache.async_cache_get(&ada).await.map(drop),
        cache.async_cache_set(ada.clone(), user("Ada")).await.map(drop),
        cache.async_cache_set_ref(&ada, &user("Ada")).await,
        cache.async_cache_remove(&ada).await.map(drop),
        cache.async_cache_remove_entry(&ada).await.map(drop),
        cache.async_cache_delete(&ada).await.map(drop),
        cache.async_cache_contains(&ada).await.map(drop),
        cache.async_cache_clear().await,
        cache.async_cache_reset().await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert!(error.counts_as_miss(), "{error:?}");
    }
}

#[tokio::test]
async fn a_lost_server_is_an_error() {
    let mut server = EmbeddedServer::start();
    let (cache, _) = cache_on(&server);
    cache.async_cache_set_ref(&"ada".to_owned(), &user("Ada")).await.unwrap();
    server.stop();
    assert_all_fail(&cache).await;
}

#[tokio::test]
async fn a_silent_server_is_an_error_by_the_timeout_of_the_client() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).timeout(Duration::from_millis(50)).build().unwrap();
    let cache = AsyncMemcachedCache::new(&client, "users").unwrap();
    server.suspend();
    tokio::time::timeout(Duration::from_secs(30), assert_all_fail(&cache)).await.unwrap();
}

static SERVER: LazyLock<EmbeddedServer> = LazyLock::new(EmbeddedServer::start);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// A value that cannot be cloned: it is stored as a reference.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Length(usize);

#[concurrent_cached(
    ty = "AsyncMemcachedCache<String, Length>",
    create = r#"{ AsyncMemcachedCache::new(&Client::new([SERVER.address()]).unwrap(), "length").unwrap().with_ttl(HOUR) }"#,
    key = "String",
    convert = r#"{ text.to_owned() }"#,
    map_error = "|error| error"
)]
async fn length(text: &str) -> Result<Length, Error> {
    CALLS.fetch_add(1, SeqCst);
    Ok(Length(text.len()))
}

#[tokio::test]
async fn a_function_is_memoized_for_all_programs() {
    for text in ["one", "three", "", "one", "three", ""] {
        assert_eq!(length(text).await, Ok(Length(text.len())));
    }
    assert_eq!(CALLS.load(SeqCst), 3);

    let client = Client::new([SERVER.address()]).unwrap();
    let other = AsyncMemcachedCache::<String, Length>::new(&client, "length").unwrap();
    assert_eq!(other.async_cache_get(&"three".to_owned()).await, Ok(Some(Length(5))));
    LENGTH.get().unwrap().async_cache_clear().await.unwrap();
    assert_eq!(length("one").await, Ok(Length(3)));
    assert_eq!(CALLS.load(SeqCst), 4);
}
