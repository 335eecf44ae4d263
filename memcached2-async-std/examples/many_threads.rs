//! Threads that share one connection: whoever waits drives it, so no thread runs beside them.
//!
//! ```text
//! cargo run -p memcached2-async-std --example many_threads
//! ```
//!
//! A blocking client has a connection for each thread that is in a call. Here 64 threads have one, and their requests leave
//! together. It uses the servers that `MEMCACHED_URL` names, separated by commas, or else a server within this process. The guide
//! `sharing` says what that costs and gains.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use memcached2_async_std::{Client, Error};
use memcached2_testkit::EmbeddedServer;
use smol::Executor;

const THREADS: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);

/// A client for threads.
#[derive(Debug, Clone)]
struct SharedClient {
    client: Client,
    /// Has the tasks that drive the connections; a thread that waits for its call runs them.
    executor: Arc<Executor<'static>>,
}

impl SharedClient {
    fn new(servers: &str) -> Result<Self, Error> {
        let executor = Arc::new(Executor::new());
        let spawner = Arc::clone(&executor);
        let builder = Client::builder().servers(servers.split(',')).prefix("many_threads:");
        let client = builder.spawner(move |task| spawner.spawn(task).detach()).build()?;
        Ok(Self { client, executor })
    }

    /// Waits for a call of the client.
    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(call))
    }
}

fn main() -> Result<(), Error> {
    let embedded = EmbeddedServer::start();
    let servers = std::env::var("MEMCACHED_URL").unwrap_or_else(|_| embedded.address());
    let client = SharedClient::new(&servers)?;
    let count = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let client = client.clone();
                    move || work(&client, thread)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(0))).sum::<Result<usize, Error>>()
    })?;
    println!("{count} calls of {THREADS} threads");
    for server in client.client.server_status() {
        println!("connections to {}: {}", server.server, server.used_connections + server.idle_connections);
    }
    Ok(())
}

/// Stores values and reads them again; returns how many calls that were.
fn work(client: &SharedClient, thread: usize) -> Result<usize, Error> {
    for number in 0..100 {
        let (key, value) = (format!("{thread}:{number}"), format!("value {number} of thread {thread}"));
        client.wait(client.client.set(&key, &value, MINUTE))?;
        let found = client.wait(client.client.get(&key))?;
        assert!(found.is_some_and(|found| found == *value));
    }
    Ok(200)
}
