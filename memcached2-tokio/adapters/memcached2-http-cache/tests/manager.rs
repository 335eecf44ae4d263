//! The manager alone, on an embedded server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_cache::{CacheManager, HttpResponse, HttpVersion};
use http_cache_semantics::CachePolicy;
use memcached2_http_cache::MemcachedManager;
use memcached2_http_cache::memcached2_tokio::{Client, Error, LongKeys};
use memcached2_testkit::EmbeddedServer;

const URL: &str = "https://example.com/page";
const HOUR: Duration = Duration::from_secs(3600);

fn manager_on(server: &EmbeddedServer) -> (MemcachedManager, Client) {
    let client = Client::new([server.address()]).unwrap();
    (MemcachedManager::new(&client).unwrap(), client)
}

fn response(body: &[u8]) -> (HttpResponse, CachePolicy) {
    let request = Request::get(URL).body(()).unwrap();
    let mut headers = HeaderMap::new();
    headers.append("cache-control", HeaderValue::from_static("public, max-age=60"));
    headers.append("vary", HeaderValue::from_static("accept"));
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    let mut answer = Response::new(());
    answer.headers_mut().clone_from(&headers);
    let response = HttpResponse {
        body: body.to_vec(),
        headers: (&headers).into(),
        status: 200,
        url: URL.parse().unwrap(),
        version: HttpVersion::H2,
        metadata: Some(vec![0, 255]),
    };
    (response, CachePolicy::new(&request, &answer))
}

async fn put(manager: &MemcachedManager, key: &str, body: &[u8]) {
    let (response, policy) = response(body);
    let stored = manager.put(key.to_owned(), response, policy).await.unwrap();
    assert_eq!(stored.body, body);
}

async fn body(manager: &MemcachedManager, key: &str) -> Option<Vec<u8>> {
    manager.get(key).await.unwrap().map(|(response, _)| response.body)
}

#[tokio::test]
async fn a_response_is_put_got_and_deleted() {
    let server = EmbeddedServer::start();
    let (manager, _) = manager_on(&server);
    assert_eq!(body(&manager, URL).await, None);

    let (written, policy) = response(b"\0\xff<html>");
    manager.put(URL.to_owned(), written.clone(), policy.clone()).await.unwrap();
    let (read, read_policy) = manager.get(URL).await.unwrap().unwrap();
    assert_eq!((&read.body, read.status, &read.url, read.version), (&written.body, 200, &written.url, HttpVersion::H2));
    assert_eq!(read.metadata, written.metadata);
    assert_eq!(read.parts().unwrap().headers.get_all("set-cookie").iter().count(), 2);
    let now = SystemTime::now();
    assert_eq!((read_policy.is_stale(now), read_policy.is_stale(now + 2 * HOUR)), (false, true));
    assert_eq!(read_policy.time_to_live(now).as_secs(), policy.time_to_live(now).as_secs());

    put(&manager, URL, b"newer").await;
    assert_eq!(body(&manager, URL).await.unwrap(), b"newer");
    manager.delete(URL).await.unwrap();
    assert_eq!(body(&manager, URL).await, None);
    manager.delete(URL).await.unwrap();
}

#[tokio::test]
async fn keys_are_of_any_length_and_characters() {
    let server = EmbeddedServer::start();
    let (manager, _) = manager_on(&server);
    let keys = [
        "GET:https://example.com/".to_owned(),
        format!("GET:https://example.com/?q={}", "x".repeat(10_000)),
        format!("GET:https://example.com/?q={}y", "x".repeat(10_000)),
        "GET:two words\r\nand a line".to_owned(),
        "GET:https://bücher.example/".to_owned(),
    ];
    for key in &keys {
        put(&manager, key, key.as_bytes()).await;
    }
    for key in &keys {
        assert_eq!(body(&manager, key).await.unwrap(), key.as_bytes());
    }
    for key in &keys {
        manager.delete(key).await.unwrap();
        assert_eq!(body(&manager, key).await, None);
    }
}

#[tokio::test]
async fn a_response_stays_for_its_time_or_until_it_is_evicted() {
    let server = EmbeddedServer::start();
    let (manager, client) = manager_on(&server);
    let items = client.namespace("http-cache:1").unwrap();
    put(&manager, URL, b"kept").await;
    let (_, ttl) = items.get_with_ttl(URL).await.unwrap().unwrap();
    assert_eq!(ttl.remaining(), None);

    let manager = manager.keep_for(HOUR);
    put(&manager, URL, b"kept for an hour").await;
    let (_, ttl) = items.get_with_ttl(URL).await.unwrap().unwrap();
    assert!(ttl.remaining().is_some_and(|left| left > HOUR / 2 && left <= HOUR), "{ttl:?}");
    // It is not fresh any more, and can be revalidated.
    server.clock().advance(HOUR / 2);
    assert!(body(&manager, URL).await.is_some());
    server.clock().advance(HOUR);
    assert_eq!(body(&manager, URL).await, None);
}

#[tokio::test]
async fn all_responses_are_cleared_and_nothing_else() {
    let server = EmbeddedServer::start();
    let (manager, client) = manager_on(&server);
    client.set("other", "stays", HOUR).await.unwrap();
    for key in ["a", "b"] {
        put(&manager, key, b"x").await;
    }
    manager.clone().clear().await.unwrap();
    for key in ["a", "b"] {
        assert_eq!(body(&manager, key).await, None);
    }
    assert!(client.exists("other").await.unwrap());
}

#[tokio::test]
async fn what_is_no_response_is_a_miss() {
    let server = EmbeddedServer::start();
    let (manager, client) = manager_on(&server);
    let items = client.namespace("http-cache:1").unwrap().long_keys(LongKeys::Hash);
    for stored in [&b""[..], b"<html>", &[0xff; 100], &[0; 100]] {
        items.set(URL, stored, HOUR).await.unwrap();
        assert_eq!(body(&manager, URL).await, None, "{stored:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_too_large_is_not_cached_and_replaces_the_one_before() {
    for limit in [usize::MAX, 3000] {
        let server = EmbeddedServer::with().item_size_max(5000).start();
        let client = Client::builder().server(server.address());
        let client = if limit < 5000 { client.sent_value_limit(limit) } else { client }.build().unwrap();
        let manager = MemcachedManager::new(&client).unwrap();
        put(&manager, URL, b"small").await;
        put(&manager, URL, &[b'x'; 6000]).await;
        assert_eq!(body(&manager, URL).await, None, "{limit}");
    }
}

#[tokio::test]
async fn a_response_that_one_of_two_replicas_does_not_take_is_not_cached() {
    let servers = [5000, 20_000].map(|size| EmbeddedServer::with().item_size_max(size).start());
    let [first, second] = servers.each_ref().map(EmbeddedServer::address);
    let client = Client::builder().server(&first).replica([&second]).build().unwrap();
    let manager = MemcachedManager::new(&client).unwrap();
    put(&manager, URL, b"small").await;
    put(&manager, URL, &[b'x'; 6000]).await;
    assert_eq!(body(&manager, URL).await, None);
}

#[tokio::test]
async fn a_response_stays_for_ever_if_its_time_ends_after_the_last_date_of_memcached() {
    let server = EmbeddedServer::start();
    let (manager, client) = manager_on(&server);
    let items = client.namespace("http-cache:1").unwrap().long_keys(LongKeys::Hash);
    for time in [20 * 365 * 24 * HOUR, Duration::MAX] {
        let manager = manager.clone().keep_for(time);
        put(&manager, URL, b"x").await;
        let (_, ttl) = items.get_with_ttl(URL).await.unwrap().unwrap();
        assert_eq!(ttl.remaining(), None, "{time:?}");
    }
}

async fn assert_all_fail(manager: &MemcachedManager) {
    let (response, policy) = response(b"x");
    let errors = [
        manager.get(URL).await.map(drop),
        manager.put(URL.to_owned(), response, policy).await.map(drop),
        manager.delete(URL).await,
        manager.clear().await.map_err(Into::into),
    ];
    for error in errors.map(Result::unwrap_err) {
        assert!(error.downcast_ref().is_some_and(Error::counts_as_miss), "{error:?}");
    }
}

#[tokio::test]
async fn a_lost_server_is_an_error_or_a_miss() {
    let mut server = EmbeddedServer::start();
    let (manager, _) = manager_on(&server);
    put(&manager, URL, b"x").await;
    server.stop();
    assert_all_fail(&manager).await;

    let manager = manager.miss_on_error();
    assert_eq!(body(&manager, URL).await, None);
    put(&manager, URL, b"x").await;
    manager.delete(URL).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_an_error_by_the_timeout_of_the_client() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).timeout(Duration::from_millis(50)).build().unwrap();
    let manager = MemcachedManager::new(&client).unwrap();
    server.suspend();
    tokio::time::timeout(Duration::from_secs(30), assert_all_fail(&manager)).await.unwrap();
}

#[tokio::test]
async fn the_prefix_of_a_client_may_have_166_bytes() {
    let server = EmbeddedServer::start();
    for (length, is_right) in [(166, true), (167, false)] {
        let client = Client::builder().server(server.address()).prefix("p".repeat(length)).build().unwrap();
        assert_eq!(MemcachedManager::new(&client).is_ok(), is_right, "{length}");
    }
}
