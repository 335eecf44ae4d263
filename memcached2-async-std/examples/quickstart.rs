//! The main job in one minute: store, fetch, count, fetch many.
//!
//! ```text
//! cargo run -p memcached2-async-std --example quickstart
//! ```
//!
//! It talks to the servers that `MEMCACHED_URL` names, separated by commas, or starts a memcached of its own.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use memcached2_async_std::proto::Store;
use memcached2_async_std::{Client, Error, Expiry};
use memcached2_testkit::Memcached;

fn main() -> Result<(), Error> {
    async_std::task::block_on(run())
}

async fn run() -> Result<(), Error> {
    let (_memcached, servers) = servers();
    let client = Client::new(servers.split(','))?;
    for (server, version) in servers.split(',').zip(client.version().await?) {
        println!("{server} runs memcached {}", version?);
    }

    client.set("greeting", "hello, world", Duration::from_secs(60)).await?;
    match client.get("greeting").await? {
        Some(value) => println!("get greeting    -> {:?}, flags {}", value.data, value.flags),
        None => println!("get greeting    -> a miss: it was evicted already"),
    }
    println!("get nothing     -> {:?}", client.get("nothing").await?);

    client.run(Store::set("picture", &[0x89, b'P', b'N', b'G'])?.flags(7).expiry(Duration::from_secs(60))).await?;
    println!("get picture     -> {:?}", client.get("picture").await?);

    client.set("visits", "41", Expiry::Never).await?;
    println!("incr visits 1   -> {:?}", client.incr("visits", 1).await?);
    println!("incr nothing 1  -> {:?}", client.incr("nothing", 1).await?);
    match client.incr("greeting", 1).await {
        Err(error) => println!("incr greeting 1 -> {error} ({:?})", error.landed()),
        Ok(number) => println!("incr greeting 1 -> {number:?}"),
    }

    client.set_many(&[("a", "1"), ("b", "2"), ("c", "3")], Duration::from_secs(60)).await?.all()?;
    println!("delete b        -> {}", client.delete("b").await?);
    for (key, result) in ["a", "b", "c"].iter().zip(client.get_many(&["a", "b", "c"]).await?) {
        println!("get_many: {key}     -> {:?}", result?.map(|value| value.data));
    }

    if let Err(error) = client.get("two words").await {
        println!("get 'two words' -> {error}");
    }
    Ok(())
}

/// The servers to talk to, and the one started for it.
fn servers() -> (Option<Memcached>, String) {
    match std::env::var("MEMCACHED_URL") {
        Ok(servers) => (None, servers),
        Err(_) => {
            let memcached = Memcached::start();
            let address = memcached.address();
            (Some(memcached), address)
        }
    }
}
