//! Connects by TLS, and shows what a server is asked for.
//!
//! ```text
//! MEMCACHED_URL=memcacheds://cache1:11211 CA=ca.pem cargo run -p memcached2-tokio --features tls --example tls
//! ```
//!
//! Without `CA` the authorities of the system are trusted. `IDENTITY` names a file with the certificate and the key of the client,
//! if the server wants one.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Duration;

use memcached2_tokio::Client;
use memcached2_tokio::proto::tls::{Certificate, Identity};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(servers) = std::env::var("MEMCACHED_URL") else {
        println!("set MEMCACHED_URL to memcacheds://host:port");
        return Ok(());
    };
    let mut builder = Client::builder().servers(servers.split(','));
    if let Ok(path) = std::env::var("CA") {
        builder =
            builder.tls_built_in_root_certs(false).add_root_certificate(Certificate::from_pem(std::fs::read(path)?)?);
    }
    if let Ok(path) = std::env::var("IDENTITY") {
        builder = builder.identity(Identity::from_pem(std::fs::read(path)?)?);
    }
    let client = builder.build()?;

    // An error says what to do: which authority is not trusted, or which name the certificate has.
    client.set("greeting", "hello", MINUTE).await?;
    println!("{:?}", client.get_as::<String>("greeting").await?);
    // Ends the TLS session, too (`close_notify`).
    client.close(MINUTE).await;
    Ok(())
}
