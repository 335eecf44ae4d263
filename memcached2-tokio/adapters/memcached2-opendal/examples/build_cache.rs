//! A cache of what a compiler has made, for several machines: the first build compiles, the second finds everything, and the third
//! compiles again, since the cache was cleared.
//!
//! ```text
//! cargo run -p memcached2-opendal --example build_cache
//! ```
//!
//! It uses the servers that `MEMCACHED_URL` names, separated by commas, or else a server within this process.

use std::error::Error;
use std::time::Duration;

use memcached2_opendal::Memcached2;
use memcached2_testkit::EmbeddedServer;
use memcached2_tokio::Client;
use opendal::{ErrorKind, Operator};

const SOURCES: [&str; 3] = ["main.c", "größe.c", "a rather long name.c"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let embedded = EmbeddedServer::start();
    let servers = std::env::var("MEMCACHED_URL").unwrap_or_else(|_| embedded.address());
    // Objects can be large. All other options are those of the client, too.
    let client = Client::builder().servers(servers.split(',')).timeout(Duration::from_secs(5)).build()?;
    let builds = client.namespace("builds")?;
    let storage = Operator::new(Memcached2::in_namespace(builds.clone()).root("/release").default_ttl(90 * DAY))?;

    builds.clear().await?;
    println!("the first build: {} hits", build(&storage).await?);
    println!("the second build: {} hits", build(&storage).await?);
    builds.clear().await?;
    println!("after clearing the cache: {} hits", build(&storage).await?);
    Ok(())
}

/// It knows nothing of memcached.
async fn build(storage: &Operator) -> opendal::Result<usize> {
    let mut hits = 0;
    for source in SOURCES {
        let path = format!("{source}/object");
        match storage.read(&path).await {
            Ok(_) => hits += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                storage.write(&path, format!("the object file of {source}")).await?;
            }
            // A cache that fails costs a compilation, and is no reason to stop.
            Err(error) => eprintln!("not cached: {error}"),
        }
    }
    Ok(hits)
}
