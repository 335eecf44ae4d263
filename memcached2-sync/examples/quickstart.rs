//! The main job in one minute: store, fetch, count, fetch many.
//!
//! ```text
//! cargo run -p memcached2-sync --example quickstart
//! ```
//!
//! It talks to the servers that `MEMCACHED_URL` names, separated by commas, or starts a memcached of its own.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use memcached2_sync::proto::Store;
use memcached2_sync::{Client, Error, Expiry};
use memcached2_testkit::Memcached;

fn main() -> Result<(), Error> {
    let (_memcached, servers) = servers();
    let client = Client::new(servers.split(','))?;
    for (server, version) in servers.split(',').zip(client.version()?) {
        println!("{server} runs memcached {}", version?);
    }

    client.set("greeting", "hello, world", Duration::from_secs(60))?;
    match client.get("greeting")? {
        Some(value) => println!("get greeting    -> {:?}, flags {}", value.data, value.flags),
        None => println!("get greeting    -> a miss: it was evicted already"),
    }
    println!("get nothing     -> {:?}", client.get("nothing")?);

    client.run(Store::set("picture", &[0x89, b'P', b'N', b'G'])?.flags(7).expiry(Duration::from_secs(60)))?;
    println!("get picture     -> {:?}", client.get("picture")?);

    client.set("visits", "41", Expiry::Never)?;
    println!("incr visits 1   -> {:?}", client.incr("visits", 1)?);
    println!("incr nothing 1  -> {:?}", client.incr("nothing", 1)?);
    match client.incr("greeting", 1) {
        Err(error) => println!("incr greeting 1 -> {error} ({:?})", error.landed()),
        Ok(number) => println!("incr greeting 1 -> {number:?}"),
    }

    client.set_many(&[("a", "1"), ("b", "2"), ("c", "3")], Duration::from_secs(60))?.all()?;
    println!("delete b        -> {}", client.delete("b")?);
    for (key, result) in ["a", "b", "c"].iter().zip(client.get_many(&["a", "b", "c"])?) {
        println!("get_many: {key}     -> {:?}", result?.map(|value| value.data));
    }

    if let Err(error) = client.get("two words") {
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
