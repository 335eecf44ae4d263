//! The store alone, on an embedded server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::collections::HashMap;
use std::time::Duration;

use memcached2_testkit::EmbeddedServer;
use memcached2_tower_sessions::MemcachedStore;
use memcached2_tower_sessions::memcached2_tokio::{Client, Expiry};
use memcached2_tower_sessions::tower_sessions_core::session::{Id, Record};
use memcached2_tower_sessions::tower_sessions_core::session_store::{Error, Result};
use memcached2_tower_sessions::tower_sessions_core::{CachingSessionStore, SessionStore};
use serde_json::json;
use time::OffsetDateTime;

const HOUR: Duration = Duration::from_secs(3600);

fn store_on(server: &EmbeddedServer) -> (MemcachedStore, Client) {
    let client = Client::new([server.address()]).unwrap();
    (MemcachedStore::new(client.clone()), client)
}

fn record(expiry_date: OffsetDateTime) -> Record {
    let data = HashMap::from([("user".to_owned(), json!({"name": "Ada", "visits": [1, 2.5, null]}))]);
    Record { id: Id::default(), data, expiry_date }
}

fn in_an_hour() -> Record {
    record(OffsetDateTime::now_utc() + HOUR)
}

#[tokio::test]
async fn a_session_is_created_loaded_saved_and_deleted() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    let mut session = in_an_hour();
    assert_eq!(store.load(&session.id).await.unwrap(), None);

    let id = session.id;
    store.create(&mut session).await.unwrap();
    assert_eq!(session.id, id);
    assert_eq!(store.load(&id).await.unwrap().as_ref(), Some(&session));

    session.data.insert("theme".to_owned(), json!("dark"));
    store.save(&session).await.unwrap();
    assert_eq!(store.load(&id).await.unwrap().as_ref(), Some(&session));

    store.delete(&id).await.unwrap();
    assert_eq!(store.load(&id).await.unwrap(), None);
    store.delete(&id).await.unwrap();
}

#[tokio::test]
async fn an_id_that_is_taken_is_replaced_and_its_session_stays() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    let mut first = in_an_hour();
    store.create(&mut first).await.unwrap();
    let mut second = Record { data: HashMap::new(), ..first.clone() };
    store.create(&mut second).await.unwrap();
    assert_ne!(second.id, first.id);
    for session in [first, second] {
        assert_eq!(store.load(&session.id).await.unwrap(), Some(session));
    }
}

#[tokio::test]
async fn the_item_expires_when_the_session_does() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let mut session = in_an_hour();
    store.create(&mut session).await.unwrap();
    let (_, ttl) = client.get_with_ttl(store.key(&session.id)).await.unwrap().unwrap();
    assert!(ttl.remaining().is_some_and(|left| left > HOUR / 2 && left <= HOUR + Duration::from_secs(1)), "{ttl:?}");

    // A save sets it anew, as for a session that was used.
    session.expiry_date += HOUR;
    store.save(&session).await.unwrap();
    server.clock().advance(HOUR + Duration::from_secs(2));
    assert_eq!(store.load(&session.id).await.unwrap().as_ref(), Some(&session));
    server.clock().advance(HOUR);
    assert_eq!(store.load(&session.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_that_is_saved_with_a_date_in_the_past_is_gone() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let mut session = in_an_hour();
    store.create(&mut session).await.unwrap();
    session.expiry_date = OffsetDateTime::now_utc() - HOUR;
    store.save(&session).await.unwrap();
    assert_eq!(store.load(&session.id).await.unwrap(), None);
    assert_eq!(client.get(store.key(&session.id)).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_that_the_server_keeps_for_longer_than_its_date_is_not_loaded() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let id = Id::default();
    let nanoseconds = OffsetDateTime::now_utc().unix_timestamp_nanos();
    for (date, is_found) in [(nanoseconds - 1, false), (nanoseconds + 1_000_000_000_000, true)] {
        let stored = format!(r#"{{"data":{{}},"expiry_date":{date}}}"#);
        client.set(store.key(&id), stored, Expiry::Never).await.unwrap();
        assert_eq!(store.load(&id).await.unwrap().is_some(), is_found, "{date}");
    }
}

#[tokio::test]
async fn a_session_may_expire_after_the_last_date_of_memcached() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    for seconds in [i64::from(i32::MAX), i64::from(i32::MAX) + 1, 253_402_300_799] {
        let mut session = record(OffsetDateTime::from_unix_timestamp(seconds).unwrap() + Duration::from_nanos(7));
        store.create(&mut session).await.unwrap();
        assert_eq!(store.load(&session.id).await.unwrap().as_ref(), Some(&session));
        let (_, ttl) = client.get_with_ttl(store.key(&session.id)).await.unwrap().unwrap();
        assert_eq!(ttl.remaining(), None, "{seconds}");
    }
}

#[tokio::test]
async fn keys_begin_with_the_prefix_and_contain_no_id() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let mut session = in_an_hour();
    let id = session.id.to_string();
    store.create(&mut session).await.unwrap();
    let key = store.key(&session.id);
    assert!(key.starts_with("session:") && !key.contains(&id), "{key}");
    let stored = client.get(&key).await.unwrap().unwrap();
    assert!(!stored.as_str().unwrap().contains(&id));
    assert!(!stored.as_str().unwrap().contains(&session.id.0.to_string()));

    let other = store.clone().prefix("shop:");
    assert!(other.key(&session.id).starts_with("shop:"));
    assert_eq!(other.load(&session.id).await.unwrap(), None);
    assert_eq!(store.load(&session.id).await.unwrap(), Some(session));
}

#[tokio::test]
async fn what_is_no_session_is_an_error_of_decoding_that_does_not_show_it() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let id = Id::default();
    for stored in ["secret", r#""secret""#, r#"{"data":"secret","expiry_date":1}"#, r#"{"data":{"secret":1}}"#, ""] {
        client.set(store.key(&id), stored, HOUR).await.unwrap();
        let error = store.load(&id).await.unwrap_err();
        assert!(matches!(error, Error::Decode(_)), "{error:?}");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("secret") && !text.contains(&id.to_string()), "{text}");
        }
    }
}

/// All calls of the store, each of which has failed by an error of the backend.
async fn assert_all_fail(store: &MemcachedStore) {
    let mut session = in_an_hour();
    let id = session.id;
    let errors = [
        store.create(&mut session).await,
        store.save(&session).await,
        store.load(&id).await.map(drop),
        store.delete(&id).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
        for text in [error.to_string(), format!("{error:?} {store:?}")] {
            assert!(!text.contains(&id.to_string()) && !text.contains(&id.0.to_string()), "{text}");
        }
    }
}

#[tokio::test]
async fn a_lost_server_is_an_error_of_the_backend() {
    let mut server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    store.save(&in_an_hour()).await.unwrap();
    server.stop();
    assert_all_fail(&store).await;
}

#[tokio::test]
async fn a_silent_server_is_an_error_of_the_backend_by_the_timeout_of_the_client() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).timeout(Duration::from_millis(50)).build().unwrap();
    let store = MemcachedStore::new(client);
    server.suspend();
    tokio::time::timeout(Duration::from_secs(30), assert_all_fail(&store)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_too_large_is_an_error_of_the_backend() {
    let server = EmbeddedServer::with().item_size_max(2000).start();
    let (store, _) = store_on(&server);
    let mut session = in_an_hour();
    session.data.insert("page".to_owned(), json!("x".repeat(2000)));
    for stored in [store.create(&mut session).await, store.save(&session).await] {
        assert!(matches!(stored, Err(Error::Backend(_))), "{stored:?}");
    }
}

#[tokio::test]
async fn sessions_of_a_database_are_cached() {
    let (server, database) = (EmbeddedServer::start(), EmbeddedServer::start());
    let ((cache, _), (database, _)) = (store_on(&server), store_on(&database));
    let both = CachingSessionStore::new(cache.clone(), database.clone());
    let mut session = in_an_hour();
    both.create(&mut session).await.unwrap();
    cache.delete(&session.id).await.unwrap();
    assert_eq!(both.load(&session.id).await.unwrap().as_ref(), Some(&session));
    assert_eq!(cache.load(&session.id).await.unwrap(), Some(session));
}
