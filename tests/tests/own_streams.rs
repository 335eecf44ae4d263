//! Clients over streams of a program's own kind: pipes to servers within the process, without a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(unix)]
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufWriter};
use memcached2_proto::{Error, Expiry};
use memcached2_testkit::embedded::{Core, Session};
use memcached2_testkit::{Rng, assert_matches};

/// Servers that are found by their address. Their clock stands still.
#[derive(Clone, Default)]
struct Servers(Arc<Mutex<BTreeMap<String, Core>>>);

const UNIX_SECONDS: u64 = 1_800_000_000;

impl Servers {
    fn connect(&self, address: &str) -> Session {
        let mut cores = self.0.lock().unwrap();
        cores.entry(address.to_owned()).or_insert_with(|| Core::new(UNIX_SECONDS)).connect()
    }

    /// Serves some bytes, and returns the replies.
    fn serve(&self, address: &str, session: &mut Session, bytes: &[u8]) -> Vec<u8> {
        let mut cores = self.0.lock().unwrap();
        session.feed(cores.get_mut(address).unwrap(), bytes, UNIX_SECONDS);
        std::iter::from_fn(|| session.take_outgoing()).flatten().collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    #[cfg(unix)]
    async fn run(self, address: String, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut session, mut space) = (self.connect(&address), [0; 100]);
        while !session.is_closed() {
            let n = stream.read(&mut space).await?;
            if n == 0 {
                break;
            }
            stream.write_all(&self.serve(&address, &mut session, &space[..n])).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    async fn run_on_tokio(self, address: String, mut stream: tokio::io::DuplexStream) -> io::Result<()> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let (mut session, mut space) = (self.connect(&address), [0; 100]);
        while !session.is_closed() {
            let n = stream.read(&mut space).await?;
            if n == 0 {
                break;
            }
            stream.write_all(&self.serve(&address, &mut session, &space[..n])).await?;
        }
        Ok(())
    }
}

/// Items of many sizes, some larger than any pipe here.
fn items() -> Vec<(String, String)> {
    let mut rng = Rng::new(7);
    (0..100).map(|at| (format!("key:{at}"), "x".repeat(rng.below(20_000)))).collect()
}

const NAMES: [&str; 2] = ["cache1:11211", "cache2:11211"];

/// Stores and fetches the items, and closes the client.
macro_rules! use_client {
    ($client:expr, $servers:expr) => {{
        let (client, items) = ($client, items());
        client.set_many(&items, Expiry::Never).await.unwrap().all_stored().unwrap();
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        let found = client.get_many(&keys).await.unwrap().into_result().unwrap();
        for ((key, value), found) in items.iter().zip(found) {
            assert_eq!(found.unwrap().as_str().unwrap(), value, "{key}");
        }
        assert_eq!($servers.addresses(), NAMES, "names are left to the connector, and all servers are used");
        assert!(client.close(Duration::from_secs(60)).await);
    }};
}

#[tokio::test]
async fn a_client_for_tokio_runs_over_pipes_that_buffer() {
    let servers = Servers::default();
    let all = servers.clone();
    let client = memcached2_tokio::Client::over(move |server| {
        let (near, far) = tokio::io::duplex(64);
        tokio::spawn(all.clone().run_on_tokio(server.to_string(), far));
        async move { Ok(tokio::io::BufStream::new(near)) }
    });
    use_client!(client.servers(NAMES).timeout(Duration::from_secs(60)).build().unwrap(), servers);
}

#[cfg(unix)]
#[test]
fn a_client_for_any_executor_runs_over_pipes_that_buffer() {
    use std::os::unix::net::UnixStream;

    let servers = Servers::default();
    let all = servers.clone();
    let client = memcached2_async_std::Client::over(move |server| {
        let all = all.clone();
        async move {
            let (near, far) = smol::Async::<UnixStream>::pair()?;
            smol::spawn(all.run(server.to_string(), far)).detach();
            Ok(BufWriter::new(near))
        }
    });
    let client = client.spawner(|task| smol::spawn(task).detach());
    smol::block_on(async {
        use_client!(client.servers(NAMES).timeout(Duration::from_secs(60)).build().unwrap(), servers);
    });
}

#[tokio::test]
async fn an_error_of_a_connector_is_the_error_of_the_call() {
    let client = memcached2_tokio::Client::over(|server| async move {
        Err::<tokio::io::DuplexStream, _>(io::Error::other(format!("there is no tunnel to {server}")))
    });
    let error = client.server("cache1").build().unwrap().get("key").await.unwrap_err();
    assert_matches!(&error, Error::Connect { .. } if error.to_string().contains("there is no tunnel to cache1:11211"));
}

#[tokio::test]
async fn a_connector_that_hangs_ends_by_the_connect_timeout() {
    let client = memcached2_tokio::Client::over(|_| std::future::pending::<io::Result<tokio::io::DuplexStream>>());
    let client = client.server("cache1").timeout(Duration::from_secs(60)).connect_timeout(Duration::from_millis(20));
    let error = client.build().unwrap().get("key").await.unwrap_err();
    assert_matches!(error, Error::Connect { .. });
}
