//! The main job in one minute: store, fetch, change, count, and what happens when it cannot be done.
//!
//! ```text
//! cargo run -p memcached2-tokio --example quickstart
//! ```
//!
//! It talks to the servers that `MEMCACHED_URL` names, separated by commas; else to a server within this process, so
//! that nothing has to be installed.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use memcached2_testkit::EmbeddedServer;
use memcached2_tokio::proto::Store;
use memcached2_tokio::{Client, Error, Expiry, Value};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_embedded, servers) = servers();
    let client = Client::builder().servers(servers.split(',')).prefix("quickstart:").build()?;

    title("Servers");
    for (server, version) in servers.split(',').zip(client.version().await?) {
        println!("  {server} runs memcached {}", version?);
    }
    client.delete("nothing").await?;

    title("Store and fetch");
    client.set("greeting", "hello, world", MINUTE).await?;
    show("get greeting", &client.get("greeting").await?);
    client.run(Store::set("picture", b"\x89PNG")?.flags(7).expiry(MINUTE)).await?;
    show("get picture", &client.get("picture").await?);
    show("get nothing", &client.get("nothing").await?);

    title("Store on a condition");
    client.delete("visitor").await?;
    outcome("replace visitor", &client.replace("visitor", "Ada", MINUTE).await);
    outcome("add visitor", &client.add("visitor", "Ada", MINUTE).await);
    outcome("add visitor again", &client.add("visitor", "Grace", MINUTE).await);
    outcome("append to visitor", &client.append("visitor", " Lovelace").await);
    outcome("prepend to visitor", &client.prepend("visitor", "Countess ").await);
    outcome("append to nothing", &client.append("nothing", "?").await);
    show("get visitor", &client.get("visitor").await?);

    title("Change what nobody else has changed");
    if let Some(Value { cas: Some(cas), .. }) = client.gets("visitor").await? {
        outcome("cas visitor", &client.cas("visitor", "Ada again", MINUTE, cas).await);
        outcome("cas with the old version", &client.cas("visitor", "too late", MINUTE, cas).await);
    }

    title("Count");
    client.set("visits", 41, Expiry::Never).await?;
    line("incr visits by 1", &format!("{:?}", client.incr("visits", 1).await?));
    line("decr visits by 100", &format!("{:?}, for it stops at 0", client.decr("visits", 100).await?));
    line("get visits as a number", &format!("{:?}", client.get_as::<u64>("visits").await?));
    line("incr nothing", &format!("{:?}", client.incr("nothing", 1).await?));
    outcome("incr greeting", &client.incr("greeting", 1).await.map(|_| ()));

    title("Many at once");
    client.set_many(&[("a", "1"), ("b", "2"), ("c", "3")], MINUTE).await?.all_stored()?;
    line("delete b", &format!("{}", client.delete("b").await?));
    for (key, result) in ["a", "b", "c"].iter().zip(client.get_many(&["a", "b", "c"]).await?) {
        show(&format!("get_many: {key}"), &result?);
    }

    title("Keep longer");
    line("touch greeting", &format!("{}", client.touch("greeting", 10 * MINUTE).await?));
    line("touch nothing", &format!("{}", client.touch("nothing", MINUTE).await?));

    title("Mistakes are told before a byte is sent");
    outcome("get with a blank", &client.get("two words").await.map(|_| ()));

    title("What the servers say");
    for (server, stats) in servers.split(',').zip(client.stats().await?) {
        let stats = stats?;
        for name in ["curr_items", "get_hits", "get_misses", "bytes_read"] {
            line(&format!("{server} {name}"), &format!("{}", stats.number(name).unwrap_or_default()));
        }
    }
    client.close(MINUTE).await;
    Ok(())
}

/// The servers to talk to, and the one that was started for it.
fn servers() -> (Option<EmbeddedServer>, String) {
    match std::env::var("MEMCACHED_URL") {
        Ok(servers) => (None, servers),
        Err(_) => {
            let server = EmbeddedServer::start();
            let address = server.address();
            (Some(server), address)
        }
    }
}

fn title(text: &str) {
    println!("\n{text}");
}

fn line(what: &str, result: &str) {
    println!("  {what:.<34} {result}");
}

fn show(what: &str, value: &Option<Value>) {
    match value {
        Some(value) => line(what, &format!("\"{}\", flags {}", value.data.escape_ascii(), value.flags)),
        None => line(what, "a miss"),
    }
}

fn outcome(what: &str, result: &Result<(), Error>) {
    match result {
        Ok(()) => line(what, "done"),
        Err(error) => line(what, &format!("{error} ({:?})", error.landed())),
    }
}
