//! The client on an executor that the program names, with and without the feature `async-std`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use memcached2_async_std::{Client, Error, Expiry, Landed};
use memcached2_testkit::{EmbeddedServer, assert_matches};

#[test]
fn a_client_runs_on_the_executor_of_its_spawner() {
    let server = EmbeddedServer::start();
    let client = Client::builder().server(server.address()).spawner(|task| smol::spawn(task).detach()).build().unwrap();
    smol::block_on(async {
        client.set("key", "value", Expiry::Never).await.unwrap();
        assert_eq!(client.get_as::<String>("key").await.unwrap().as_deref(), Some("value"));
    });
}

#[test]
fn a_call_fails_at_once_if_the_spawner_drops_its_task() {
    let client = Client::builder().server("127.0.0.1:1").spawner(drop).build().unwrap();
    let error = smol::block_on(client.get("key")).unwrap_err();
    assert_matches!((&error, error.landed()), (Error::Disconnected { .. }, Landed::NotSent));
}

#[cfg(not(feature = "async-std"))]
#[test]
fn without_an_executor_building_a_client_fails_and_says_what_to_do() {
    let error = Client::new(["127.0.0.1:1"]).unwrap_err();
    assert_matches!(&error, Error::NoRuntime { .. } if error.to_string().contains("spawner"));
}
