//! The main job in one minute: store, fetch, change, count, and what happens when it cannot be done.
//!
//! ```text
//! cargo run -p memcached2-sync --example quickstart
//! ```
//!
//! It talks to the servers that `MEMCACHED_URL` names, separated by commas; else to a server within this process, so
//! that nothing has to be installed.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use memcached2_sync::proto::Store;
use memcached2_sync::{Client, Error, Expiry, Value};
use memcached2_testkit::EmbeddedServer;

const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Error> {
    let (_embedded, servers) = servers();
    let client = Client::builder().servers(servers.split(',')).prefix("quickstart:").build()?;

    title("Servers");
    for (server, version) in servers.split(',').zip(client.version()?) {
        println!("  {server} runs memcached {}", version?);
    }
    client.delete("nothing")?;

    title("Store and fetch");
    client.set("greeting", "hello, world", MINUTE)?;
    show("get greeting", &client.get("greeting")?);
    client.run(Store::set("picture", b"\x89PNG")?.flags(7).expiry(MINUTE))?;
    show("get picture", &client.get("picture")?);
    show("get nothing", &client.get("nothing")?);

    title("Store on a condition");
    client.delete("visitor")?;
    outcome("replace visitor", &client.replace("visitor", "Ada", MINUTE));
    outcome("add visitor", &client.add("visitor", "Ada", MINUTE));
    outcome("add visitor again", &client.add("visitor", "Grace", MINUTE));
    outcome("append to visitor", &client.append("visitor", " Lovelace"));
    outcome("prepend to visitor", &client.prepend("visitor", "Countess "));
    outcome("append to nothing", &client.append("nothing", "?"));
    show("get visitor", &client.get("visitor")?);

    title("Change what nobody else has changed");
    if let Some(Value { cas: Some(cas), .. }) = client.gets("visitor")? {
        outcome("cas visitor", &client.cas("visitor", "Ada again", MINUTE, cas));
        outcome("cas with the old version", &client.cas("visitor", "too late", MINUTE, cas));
    }

    title("Count");
    client.set("visits", 41, Expiry::Never)?;
    line("incr visits by 1", &format!("{:?}", client.incr("visits", 1)?));
    line("decr visits by 100", &format!("{:?}, for it stops at 0", client.decr("visits", 100)?));
    line("get visits as a number", &format!("{:?}", client.get_as::<u64>("visits")?));
    line("incr nothing", &format!("{:?}", client.incr("nothing", 1)?));
    outcome("incr greeting", &client.incr("greeting", 1).map(|_| ()));

    title("Many at once");
    client.set_many(&[("a", "1"), ("b", "2"), ("c", "3")], MINUTE)?.all_stored()?;
    line("delete b", &format!("{}", client.delete("b")?));
    for (key, result) in ["a", "b", "c"].iter().zip(client.get_many(&["a", "b", "c"])?) {
        show(&format!("get_many: {key}"), &result?);
    }

    title("Keep longer");
    line("touch greeting", &format!("{}", client.touch("greeting", 10 * MINUTE)?));
    line("touch nothing", &format!("{}", client.touch("nothing", MINUTE)?));

    title("Mistakes are told before a byte is sent");
    outcome("get with a blank", &client.get("two words").map(|_| ()));

    title("What the servers say");
    for (server, stats) in servers.split(',').zip(client.stats()?) {
        let stats = stats?;
        for name in ["curr_items", "get_hits", "get_misses", "bytes_read"] {
            line(&format!("{server} {name}"), &format!("{}", stats.number(name).unwrap_or_default()));
        }
    }
    client.close(MINUTE);
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
