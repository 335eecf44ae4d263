//! The store alone, on an embedded server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::Duration;
use std::{iter, thread};

use actix_web::rt::time::timeout;
use memcached2_actix_session::MemcachedSessionStore;
use memcached2_actix_session::actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore as _, UpdateError, generate_session_key,
};
use memcached2_actix_session::memcached2_tokio::{Client, Error, Expiry, Protocol};
use memcached2_testkit::EmbeddedServer;

const HOUR: time::Duration = time::Duration::HOUR;

fn store_on(server: &EmbeddedServer) -> (MemcachedSessionStore, Client) {
    let client = Client::new([server.address()]).unwrap();
    (MemcachedSessionStore::new(client.clone()), client)
}

fn state(name: &str) -> HashMap<String, String> {
    HashMap::from([("name".to_owned(), format!("{name:?}")), ("visits".to_owned(), "3".to_owned())])
}

/// How long the item of a session stays; `None` is for ever.
async fn remaining(store: &MemcachedSessionStore, client: &Client, session_key: &SessionKey) -> Option<Duration> {
    let (_, ttl) = client.get_with_ttl(store.key(session_key)).await.unwrap().unwrap();
    ttl.remaining()
}

fn is_about(remaining: Option<Duration>, ttl: time::Duration) -> bool {
    remaining.is_some_and(|left| left > ttl / 2 && left <= ttl + time::Duration::SECOND)
}

#[actix_web::test]
async fn a_session_is_saved_loaded_updated_and_deleted() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    assert_eq!(store.load(&generate_session_key()).await.unwrap(), None);

    let key = store.save(state("Ada"), &HOUR).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), Some(state("Ada")));

    let same = SessionKey::try_from(key.as_ref().to_owned()).unwrap();
    assert_eq!(store.update(same, state("Grace"), &HOUR).await.unwrap(), key);
    assert_eq!(store.load(&key).await.unwrap(), Some(state("Grace")));

    store.delete(&key).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
    store.delete(&key).await.unwrap();
}

#[actix_web::test]
async fn each_new_session_has_a_key_of_its_own() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    let (first, second) =
        (store.save(state("Ada"), &HOUR).await.unwrap(), store.save(state("Grace"), &HOUR).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(store.load(&first).await.unwrap(), Some(state("Ada")));
    assert_eq!(store.load(&second).await.unwrap(), Some(state("Grace")));
}

/// A store on a server that answers each `add` by the next of these lines.
fn store_that_is_answered(mut answers: impl Iterator<Item = &'static str> + Send + 'static) -> MemcachedSessionStore {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            assert!(line.starts_with("add session:"), "{line}");
            // A value of JSON is one line.
            let answer = lines.next().and_then(|_| answers.next()).unwrap();
            stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
        }
    });
    MemcachedSessionStore::new(Client::builder().server(address).protocol(Protocol::Classic).build().unwrap())
}

#[actix_web::test]
async fn a_key_that_is_taken_is_replaced() {
    let store = store_that_is_answered(["NOT_STORED", "NOT_STORED", "STORED"].into_iter());
    store.save(state("Ada"), &HOUR).await.unwrap();
}

#[actix_web::test]
async fn a_server_that_says_of_all_keys_that_they_are_taken_is_an_error() {
    let store = store_that_is_answered(iter::repeat("NOT_STORED"));
    let error = store.save(state("Ada"), &HOUR).await.unwrap_err();
    let SaveError::Other(error) = error else { panic!("{error:?}") };
    assert!(matches!(error.downcast_ref(), Some(Error::NotStored { .. })), "{error:?}");
}

#[actix_web::test]
async fn a_session_that_is_gone_is_updated_by_another_key() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    let gone = store.save(state("Ada"), &HOUR).await.unwrap();
    store.delete(&gone).await.unwrap();
    let key = SessionKey::try_from(gone.as_ref().to_owned()).unwrap();
    let new = store.update(key, state("Ada"), &HOUR).await.unwrap();
    assert_ne!(new, gone);
    assert_eq!(store.load(&gone).await.unwrap(), None);
    assert_eq!(store.load(&new).await.unwrap(), Some(state("Ada")));
}

#[actix_web::test]
async fn the_item_stays_as_long_as_the_session() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let key = store.save(state("Ada"), &HOUR).await.unwrap();
    assert!(is_about(remaining(&store, &client, &key).await, HOUR));
    store.update_ttl(&key, &(HOUR * 4)).await.unwrap();
    assert!(is_about(remaining(&store, &client, &key).await, HOUR * 4));
    let same = SessionKey::try_from(key.as_ref().to_owned()).unwrap();
    store.update(same, state("Grace"), &(HOUR * 16)).await.unwrap();
    assert!(is_about(remaining(&store, &client, &key).await, HOUR * 16));

    server.clock().advance(Duration::from_secs(16 * 3600 + 2));
    assert_eq!(store.load(&key).await.unwrap(), None);
    // It is gone, which is no failure.
    store.update_ttl(&key, &HOUR).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
}

#[actix_web::test]
async fn a_session_without_time_has_ended_and_one_with_too_much_never_ends() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    for ttl in [time::Duration::ZERO, -HOUR, time::Duration::MIN] {
        let key = store.save(state("Ada"), &ttl).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None, "{ttl}");
    }
    for ttl in [time::Duration::days(100 * 365), time::Duration::MAX] {
        let key = store.save(state("Ada"), &ttl).await.unwrap();
        assert_eq!(remaining(&store, &client, &key).await, None, "{ttl}");
        assert_eq!(store.load(&key).await.unwrap(), Some(state("Ada")), "{ttl}");
    }
}

#[actix_web::test]
async fn keys_begin_with_the_prefix_and_contain_no_session_key() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let session_key = store.save(state("Ada"), &HOUR).await.unwrap();
    let key = store.key(&session_key);
    assert!(key.starts_with("session:") && !key.contains(session_key.as_ref()), "{key}");
    assert!(client.get(key).await.unwrap().is_some());
    let other = store.clone().prefix("shop:");
    assert!(other.key(&session_key).starts_with("shop:"));
    assert_eq!(other.load(&session_key).await.unwrap(), None);
}

#[actix_web::test]
async fn a_session_key_of_any_bytes_and_length_is_looked_for() {
    let server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    for text in ["", "a b\r\nflush_all\r\n", &"x".repeat(4064)] {
        let key = SessionKey::try_from(text.to_owned()).unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None);
    }
}

#[actix_web::test]
async fn what_is_no_session_is_an_error_of_deserialization_that_does_not_show_it() {
    let server = EmbeddedServer::start();
    let (store, client) = store_on(&server);
    let key = generate_session_key();
    for stored in ["secret", r#""secret""#, r#"{"name":{"secret":1}}"#, r#"["secret"]"#, ""] {
        client.set(store.key(&key), stored, Expiry::Never).await.unwrap();
        let error = store.load(&key).await.unwrap_err();
        assert!(matches!(error, LoadError::Deserialization(_)), "{error:?}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret") && !text.contains(key.as_ref()), "{text}");
    }
}

/// All calls of the store, each of which fails by an error of the client.
async fn assert_all_fail(store: &MemcachedSessionStore) {
    let key = generate_session_key();
    let same = SessionKey::try_from(key.as_ref().to_owned()).unwrap();
    let errors = [
        match store.load(&key).await.unwrap_err() {
            LoadError::Other(error) => error,
            error => panic!("{error:?}"),
        },
        match store.save(state("Ada"), &HOUR).await.unwrap_err() {
            SaveError::Other(error) => error,
            error => panic!("{error:?}"),
        },
        match store.update(same, state("Ada"), &HOUR).await.unwrap_err() {
            UpdateError::Other(error) => error,
            error => panic!("{error:?}"),
        },
        store.update_ttl(&key, &HOUR).await.unwrap_err(),
        store.delete(&key).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.downcast_ref().is_some_and(Error::counts_as_miss), "{error:?}");
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains(key.as_ref()), "{text}");
    }
}

#[actix_web::test]
async fn a_lost_server_is_an_error() {
    let mut server = EmbeddedServer::start();
    let (store, _) = store_on(&server);
    store.save(state("Ada"), &HOUR).await.unwrap();
    server.stop();
    assert_all_fail(&store).await;
}

#[actix_web::test]
async fn a_silent_server_is_an_error_by_the_timeout_of_the_client() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).timeout(Duration::from_millis(50)).build().unwrap();
    let store = MemcachedSessionStore::new(client);
    server.suspend();
    timeout(Duration::from_secs(30), assert_all_fail(&store)).await.unwrap();
}

#[actix_web::test]
async fn a_session_that_is_too_large_is_an_error() {
    let server = EmbeddedServer::with().item_size_max(2000).start();
    let (store, _) = store_on(&server);
    let large = || state(&"x".repeat(2000));
    assert!(matches!(store.save(large(), &HOUR).await, Err(SaveError::Other(_))));
    let key = store.save(state("Ada"), &HOUR).await.unwrap();
    assert!(matches!(store.update(key, large(), &HOUR).await, Err(UpdateError::Other(_))));
}
