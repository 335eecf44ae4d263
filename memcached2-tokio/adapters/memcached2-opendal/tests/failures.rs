//! Deadlines, dropped operations, times to live, and which error is what.
#![allow(clippy::unwrap_used, reason = "a panic is the failure of the test")]

mod common;

use std::error::Error as _;
use std::net::TcpListener;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Kind, Started, operator};
use memcached2_opendal::Memcached2;
use memcached2_testkit::Clock;
use memcached2_testkit::EmbeddedServer;
use memcached2_tokio::{Client, Error as ClientError};
use opendal::{Error, ErrorKind, Operator};
use tokio::task::yield_now;
use tokio::time::timeout;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than any of these takes.
const PATIENT: Duration = Duration::from_secs(60);

on_each_server! {
    no_read_of_10_000_is_wrong_after_dropped_ones
    an_operation_that_is_dropped_takes_nothing_from_another
    a_file_with_a_ttl_of_60_days_is_found
    a_ttl_of_zero_means_never
}

fn of_client(error: &Error) -> &ClientError {
    error.source().unwrap().downcast_ref().unwrap()
}

/// A read that is given up after it was polled so many times.
async fn drop_read(operator: &Operator, path: &str, polls: u32) {
    let mut read = pin!(operator.read(path));
    for _ in 0..polls {
        tokio::select! {
            biased;
            _ = &mut read => return,
            () = std::future::ready(()) => yield_now().await,
        }
    }
}

async fn no_read_of_10_000_is_wrong_after_dropped_ones(server: Started) {
    let operator = server.operator();
    for number in 0..100 {
        operator.write(&format!("file {number}"), format!("content {number}")).await.unwrap();
    }
    for round in 0..10_000_u32 {
        drop_read(&operator, &format!("file {}", round % 97), round % 7).await;
        let number = (round * 31 + 1) % 100;
        let read = operator.read(&format!("file {number}")).await.unwrap();
        assert_eq!(read.to_vec(), format!("content {number}").as_bytes());
    }
}

/// Each task drops some of its own operations, on one connection.
async fn an_operation_that_is_dropped_takes_nothing_from_another(server: Started) {
    let operator = server.operator();
    let tasks: Vec<_> = (0..50_u32)
        .map(|task| {
            let operator = operator.clone();
            tokio::spawn(async move {
                let path = format!("file {task}");
                for round in 0..40_u32 {
                    let content = format!("{task} {round}");
                    operator.write(&path, content.clone()).await.unwrap();
                    drop_read(&operator, &path, (task + round) % 5).await;
                    assert_eq!(operator.read(&path).await.unwrap().to_vec(), content.as_bytes());
                    assert_eq!(operator.stat(&path).await.unwrap().content_length(), content.len() as u64);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn a_file_with_a_ttl_of_60_days_is_found(server: Started) {
    let operator = Operator::new(Memcached2::default().endpoint(&server.address()).default_ttl(60 * DAY)).unwrap();
    operator.write("file", "content").await.unwrap();
    assert_eq!(operator.read("file").await.unwrap().to_vec(), b"content");
    operator.write_with("other", "content").if_not_exists(true).await.unwrap();
    assert!(operator.exists("other").await.unwrap());
    let client = Client::new([server.address()]).unwrap();
    for key in ["file", "other"] {
        let left = client.metadata(key).await.unwrap().unwrap().ttl.unwrap().remaining().unwrap();
        assert!(left > 59 * DAY && left <= 60 * DAY + Duration::from_secs(1), "{left:?}");
    }
}

async fn a_ttl_of_zero_means_never(server: Started) {
    let operator =
        Operator::new(Memcached2::default().endpoint(&server.address()).default_ttl(Duration::ZERO)).unwrap();
    operator.write("file", "content").await.unwrap();
    let item = Client::new([server.address()]).unwrap().metadata("file").await.unwrap().unwrap();
    assert_eq!(item.ttl.unwrap().remaining(), None);
}

#[tokio::test]
async fn a_file_with_a_ttl_of_60_days_expires_after_them() {
    let clock = Clock::manual(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let server = EmbeddedServer::with().clock(clock.clone()).start();
    let operator = Operator::new(Memcached2::default().endpoint(&server.address()).default_ttl(60 * DAY)).unwrap();
    operator.write("file", "content").await.unwrap();
    clock.advance(59 * DAY);
    assert!(operator.exists("file").await.unwrap());
    clock.advance(DAY + Duration::from_secs(60));
    assert!(!operator.exists("file").await.unwrap());
}

#[tokio::test]
async fn a_ttl_that_memcached_cannot_keep_is_an_invalid_configuration() {
    let server = EmbeddedServer::start();
    let operator =
        Operator::new(Memcached2::default().endpoint(&server.address()).default_ttl(20 * 365 * DAY)).unwrap();
    assert_eq!(operator.write("file", "content").await.unwrap_err().kind(), ErrorKind::ConfigInvalid);
}

/// It accepts connections and says nothing.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn a_silent_server_ends_every_operation_by_its_deadline() {
    let listener = silent();
    let operator = operator(&format!("{}?timeout=100ms", listener.local_addr().unwrap()));
    let read = timeout(PATIENT, operator.read("file")).await.unwrap().unwrap_err();
    let stat = timeout(PATIENT, operator.stat("file")).await.unwrap().unwrap_err();
    let write = timeout(PATIENT, operator.write("file", "content")).await.unwrap().unwrap_err();
    let delete = timeout(PATIENT, operator.delete("file")).await.unwrap().unwrap_err();
    for error in [read, stat, write, delete] {
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
    }
}

#[tokio::test]
async fn the_deadline_is_a_second_unless_it_was_set() {
    let listener = silent();
    let operator = operator(&listener.local_addr().unwrap().to_string());
    let read = timeout(PATIENT, operator.read("file")).await.unwrap().unwrap_err();
    assert!(of_client(&read).is_timeout(), "{read}");
    assert!(read.is_temporary(), "a read is safe to repeat: {read}");
}

#[tokio::test]
async fn only_what_is_safe_to_repeat_is_temporary() {
    let mut server = EmbeddedServer::start();
    let client =
        Client::builder().server(server.address()).timeout(Duration::from_millis(100)).failures(1000).build().unwrap();
    let operator = Operator::new(Memcached2::new(client)).unwrap();
    operator.write("file", "content").await.unwrap();
    server.suspend();
    let write = operator.write("file", "content").await.unwrap_err();
    assert!(!write.is_temporary(), "it may have been stored, and another one since: {write}");
    let read = operator.read("file").await.unwrap_err();
    assert!(read.is_temporary() && of_client(&read).is_timeout(), "{read}");
    server.resume();
    server.stop();
    let mut errors = Vec::new();
    while !errors.iter().any(Error::is_temporary) {
        errors.push(operator.write("file", "content").await.unwrap_err());
    }
    assert!(errors.len() < 5, "a write that was not sent is safe to repeat: {errors:?}");
    assert!(operator.delete_iter(["a", "b"]).await.unwrap_err().is_temporary());
}

#[tokio::test]
async fn a_client_that_does_not_wait_at_its_limit_is_rate_limited() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).in_flight_limit(1).wait_at_limit(false).build().unwrap();
    let operator = Operator::new(Memcached2::new(client)).unwrap();
    operator.write("file", "content").await.unwrap();
    server.suspend();
    let held = tokio::spawn({
        let operator = operator.clone();
        async move { operator.read("file").await }
    });
    let error = loop {
        // The first may not have been sent yet.
        yield_now().await;
        let mut read = pin!(operator.read("file"));
        let first = tokio::select! {
            biased;
            read = &mut read => Some(read.unwrap_err()),
            () = yield_now() => None,
        };
        if let Some(error) = first {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    assert!(error.is_temporary());
    server.resume();
    assert_eq!(held.await.unwrap().unwrap().to_vec(), b"content");
}

#[tokio::test]
async fn the_paths_of_a_server_that_is_down_go_to_another() {
    let (mut first, second) = (EmbeddedServer::start(), EmbeddedServer::start());
    let operator = operator(&format!("{},{}", first.address(), second.address()));
    let paths: Vec<String> = (0..20).map(|number| format!("file {number}")).collect();
    for path in &paths {
        operator.write(path, "content").await.unwrap();
    }
    first.stop();
    for path in &paths {
        // The first call or two may find out.
        timeout(PATIENT, async { while operator.write(path, "content").await.is_err() {} }).await.unwrap();
        assert_eq!(operator.read(path).await.unwrap().to_vec(), b"content");
    }
}

#[tokio::test]
async fn a_wrong_password_is_permission_denied() {
    let server = EmbeddedServer::with().credentials("web", "s3cret").start();
    let with = |password| {
        let builder = Memcached2::default().endpoint(&server.address()).username("web").password(password);
        assert!(!format!("{builder:?}").contains(password));
        Operator::new(builder).unwrap()
    };
    with("s3cret").write("file", "content").await.unwrap();
    assert_eq!(with("s3cret").read("file").await.unwrap().to_vec(), b"content");
    assert_eq!(with("wrong").read("file").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let without = operator(&server.address()).read("file").await.unwrap_err();
    assert_eq!(without.kind(), ErrorKind::PermissionDenied, "{without}");
}

#[tokio::test]
async fn what_one_replica_refuses_is_said_as_if_it_were_the_only_server() {
    let first = EmbeddedServer::start();
    let small = EmbeddedServer::with().item_size_max(64 * 1024).start();
    let locked = EmbeddedServer::with().credentials("web", "s3cret").start();
    for (second, kind, message) in [
        (&small, ErrorKind::Unexpected, "longer than the server takes"),
        (&locked, ErrorKind::PermissionDenied, "memcached has failed"),
    ] {
        for servers in [[&first, second], [second, &first]] {
            let client =
                Client::builder().server(servers[0].address()).replica([servers[1].address()]).build().unwrap();
            let operator = Operator::new(Memcached2::new(client)).unwrap();
            let error = operator.write("file", vec![0; 100 * 1024]).await.unwrap_err();
            assert!(matches!(of_client(&error), ClientError::Replicas { .. }), "{error}");
            assert_eq!((error.kind(), error.message().contains(message)), (kind, true), "{error}");
        }
    }
}
