//! Several servers: where keys lie, what a failure costs, and how a server comes back.
//!
//! ```text
//! cargo run -p memcached2-sync --example cluster
//! ```
//!
//! It runs three servers within this process, and stops one of them. With `MEMCACHED_URL`, a list separated by commas,
//! it uses those servers and stops none.
#![expect(clippy::print_stdout, reason = "an example exchanges")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use memcached2_sync::{BatchResult, Client, Error, ReconnectPolicy};
use memcached2_testkit::EmbeddedServer;

const MINUTE: Duration = Duration::from_secs(60);

/// A server that is down is tried again after this time.
const RETRY: Duration = Duration::from_secs(2);

fn main() -> Result<(), Error> {
    let mut servers: Vec<_> = (0..3).map(|_| EmbeddedServer::start()).collect();
    let name = |(at, server): (usize, &EmbeddedServer)| format!("{}?name=cache{}", server.address(), at + 1);
    let given = std::env::var("MEMCACHED_URL").ok();
    let urls: Vec<String> = match &given {
        Some(urls) => urls.split(',').map(str::to_owned).collect(),
        None => servers.iter().enumerate().map(name).collect(),
    };
    let client = Client::builder().servers(urls).prefix("cluster:").reconnect(ReconnectPolicy::After(RETRY)).build()?;
    let cluster = Cluster { client, keys: (0..3000).map(|at| format!("user:{at}")).collect() };

    title(&format!("{} keys are stored, and lie where the hash of each says", cluster.keys.len()));
    cluster.store("first")?;
    cluster.show()?;
    if given.is_some() {
        println!("\nThese servers are yours, so none of them is stopped here.");
        return Ok(());
    }

    title("cache2 stops: its keys are misses, all others are found");
    servers[1].stop();
    cluster.fetch()?;

    title("What is stored now lies on the servers that are left, and nothing fails");
    cluster.store("second")?;
    cluster.fetch()?;
    cluster.show()?;

    title(&format!(
        "cache2 is back, and empty; {} s after it failed one call tries it, and all others follow",
        RETRY.as_secs()
    ));
    servers[1].restart();
    let begun = Instant::now();
    while cluster.client.version()?.iter().any(|told| told.is_err()) && begun.elapsed() < MINUTE {
        sleep(RETRY / 20);
    }
    cluster.fetch()?;
    cluster.store("third")?;
    cluster.fetch()?;
    cluster.show()?;
    println!(
        "\nWhat the others have stored for cache2 lies there still: were it to stop again, old values would come back."
    );
    println!("So a cache is given an expiry; and before the list of servers is changed, delete_all.");
    Ok(())
}

struct Cluster {
    client: Client,
    keys: Vec<String>,
}

impl Cluster {
    /// Stores all keys, and prints how many were stored.
    fn store(&self, value: &str) -> Result<(), Error> {
        let items: Vec<_> = self.keys.iter().map(|key| (key, value)).collect();
        tell("set_many", "stored", self.client.set_many(&items, MINUTE)?, |()| true);
        Ok(())
    }

    /// Fetches all keys, and prints how many were found.
    fn fetch(&self) -> Result<(), Error> {
        tell("get_many", "found", self.client.get_many(&self.keys)?, |found| found.is_some());
        Ok(())
    }

    /// Draws how many items each server holds.
    fn show(&self) -> Result<(), Error> {
        let router = self.client.router();
        let routes = router.servers().iter().map(|server| server.name().to_owned());
        for (name, report) in routes.zip(self.client.stats()?.skip_unreachable()?) {
            match report.and_then(|report| report.number("curr_items")) {
                Some(items) => {
                    let bar = "#".repeat(usize::try_from(items / 40).unwrap_or(0));
                    println!("  {name:<22} {items:>5} items {bar}");
                }
                None => println!("  {name:<22}  down"),
            }
        }
        Ok(())
    }
}

/// Prints how many results were hits, how many were not, and how many failed.
fn tell<T>(call: &str, word: &str, results: BatchResult<T>, is_so: impl Fn(&T) -> bool) {
    let (mut yes, mut no, mut failed) = (0, 0, None);
    let begun = results.len();
    for result in results {
        match result {
            Ok(output) if is_so(&output) => yes += 1,
            Ok(_) => no += 1,
            Err(error) => failed = Some(error),
        }
    }
    print!("  {call}: {yes} {word}");
    if no > 0 {
        print!(", {no} not");
    }
    if let Some(error) = failed {
        print!(", {} failed, such as by: {error}", begun - yes - no);
    }
    println!();
}

fn title(text: &str) {
    println!("\n{text}");
}
