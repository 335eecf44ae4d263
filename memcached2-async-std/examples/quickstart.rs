//! Stores and fetches items, one by one and in a batch, and shows an error.
//!
//! ```text
//! cargo run -p memcached2-async-std --example quickstart
//! cargo run -p memcached2-async-std --example quickstart --no-default-features
//! ```
//!
//! The first command runs it on async-std, the second one on smol.
//!
//! It uses the servers that `MEMCACHED_URL` names, separated by commas, or else a server within this process. The guide
//! `choosing_a_client` lists the other calls.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Duration;

use memcached2_async_std::{Builder, Client, Error};
use memcached2_testkit::EmbeddedServer;

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(feature = "async-std")]
fn main() -> Result<(), Error> {
    async_std::task::block_on(run(Client::builder()))
}

#[cfg(not(feature = "async-std"))]
fn main() -> Result<(), Error> {
    smol::block_on(run(Client::builder().spawner(|task| smol::spawn(task).detach())))
}

async fn run(builder: Builder<Client>) -> Result<(), Error> {
    let embedded = EmbeddedServer::start();
    let servers = std::env::var("MEMCACHED_URL").unwrap_or_else(|_| embedded.address());
    let client = builder.servers(servers.split(',')).prefix("quickstart:").build()?;

    client.set("greeting", "hello", MINUTE).await?;
    match client.get("greeting").await? {
        Some(value) => println!("greeting: {} with flags {}", value.as_str()?, value.flags),
        None => println!("greeting: a miss"),
    }

    // A batch has a result for each item; `all` returns the values, or the first error.
    client.set_many(&[("a", "1"), ("b", "2")], MINUTE).await?.all_stored()?;
    let keys = ["a", "b", "c"];
    for (key, value) in keys.iter().zip(client.get_many(&keys).await?.into_result()?) {
        println!("{key}: {:?}", value.map(|value| value.parse::<u64>()).transpose()?);
    }

    // Each error says whether the request may have taken effect.
    if let Err(error) = client.incr("greeting", 1).await {
        println!("{error} ({:?})", error.landed());
    }
    client.close(MINUTE).await;
    Ok(())
}
