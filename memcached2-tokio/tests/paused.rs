//! Calls while a test has paused the clock of the runtime. (Here, since the feature of Tokio that can do so makes all clocks of a
//! build dearer.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is the failure of the test")]

use std::thread;
use std::time::Duration;

use memcached2_testkit::Memcached;
use memcached2_tokio::{Client, Expiry, Options};
use tokio::runtime::Builder;

const PATIENT: Duration = Duration::from_secs(30);

/// The clock leaps to the next deadline whenever nothing is ready, long before a server can answer.
#[tokio::test(start_paused = true)]
async fn calls_are_answered_while_the_clock_of_the_runtime_is_paused() {
    let server = Memcached::start();
    let client = Client::new([server.address()]).unwrap();
    client.set("a", "x", Expiry::Never).await.unwrap();
    // It takes its time, far less than a deadline.
    server.suspend();
    let slow = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        server.resume();
        server
    });
    assert_eq!(client.get("a").await.unwrap().expect("a hit"), "x");
    let server = slow.join().expect("no panic");
    let name =
        Client::with_options([server.address().replace("127.0.0.1", "localhost")], Options::default().timeout(PATIENT))
            .unwrap();
    assert_eq!(name.get("a").await.unwrap().expect("a hit"), "x");
    assert!(client.close(PATIENT).await);
}

/// What it does to a call there is nothing that speaks against the server elsewhere.
#[test]
fn a_server_that_stands_still_under_a_paused_clock_costs_a_deadline_and_is_not_down() {
    let server = Memcached::start();
    let client =
        Client::with_options([server.address()], Options::default().timeout(Duration::from_millis(300))).unwrap();
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    paused.block_on(client.set("a", "x", Expiry::Never)).unwrap();
    server.suspend();
    let running = Builder::new_current_thread().enable_all().build().unwrap();
    assert!(paused.block_on(client.get("a")).unwrap_err().is_timeout());
    server.resume();
    assert_eq!(running.block_on(client.get("a")).unwrap().expect("a hit"), "x");
}
