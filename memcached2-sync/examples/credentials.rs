//! Gives a user and password to a server that asks for them, and changes the password while the client runs.
//!
//! ```text
//! cargo run -p memcached2-sync --example credentials
//! ```
//!
//! The servers are within this process. The guide `credentials` says what is sent, and when.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use memcached2_sync::{Client, Credentials, Error};
use memcached2_testkit::EmbeddedServer;

const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Error> {
    let server = EmbeddedServer::with().credentials("web", "p@ssword").credentials("web", "next").start();

    // In the URI, an `@` of the password is written `%40`.
    let client = Client::new([format!("memcached://web:p%40ssword@{}", server.address())])?;
    client.set("greeting", "hello", MINUTE)?;
    println!("{:?} is at {}", client.get_as::<String>("greeting")?, client.router().servers()[0]);

    // A provider is called for each new connection, and must not block: the present password is in memory.
    let present = Arc::new(RwLock::new(Credentials::new("web", "p@ssword")?));
    let provider = {
        let present = Arc::clone(&present);
        move || Ok(present.read().unwrap_or_else(PoisonError::into_inner).clone())
    };
    let builder = Client::builder().server(server.address()).max_age(MINUTE);
    let client = builder.credentials_provider(provider).build()?;
    println!("{:?}", client.get_as::<String>("greeting")?);
    *present.write().unwrap_or_else(PoisonError::into_inner) = Credentials::new("web", "next")?;

    // Wrong ones, none, and a server that would store them as a value: each error says what to do.
    let plain = EmbeddedServer::start();
    for server in
        [format!("web:wrong@{}", server.address()), server.address(), format!("web:wrong@{}", plain.address())]
    {
        if let Err(error) = Client::new([server])?.get("greeting") {
            println!("{error}");
        }
    }
    if let Err(error) = Credentials::new("web", "read from a file\n") {
        println!("{error}");
    }
    Ok(())
}
