//! A client raises no SIGPIPE where a server takes nothing any more: a program may not ignore it, such as one in C, or a filter that is to
//! end by it. Rust's runtime ignores it, but for a library in such a program.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_signal::{Signal, Signals};
use bytes::Bytes;
use futures::StreamExt as _;
use memcached2_proto::{Error, Expiry, Options, Protocol, ReconnectPolicy};
use rustix::process::{getpid, kill_process};
use socket2::SockRef;

const HOUR: Duration = Duration::from_secs(3600);

/// A value that is written with several slices.
fn large() -> Bytes {
    Bytes::from("x".repeat(50_000))
}

fn options() -> Options {
    let options = Options::default().timeout(Duration::from_secs(20)).reconnect(ReconnectPolicy::Immediately);
    options.protocol(Protocol::Classic).pool_trusted(HOUR)
}

/// A server that answers one `get` on each of two connections, and has closed it for reading by then. There is no third one.
fn deaf(name: &str) -> (String, JoinHandle<[UnixStream; 2]>) {
    let path = std::env::temp_dir().join(format!("memcached2-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let uri = format!("memcached+unix://{}", path.display());
    let server = thread::spawn(move || {
        let streams = [(); 2].map(|()| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 100]).unwrap();
            stream.shutdown(Shutdown::Read).unwrap();
            stream.write_all(b"END\r\n").unwrap();
            stream
        });
        std::fs::remove_file(&path).unwrap();
        streams
    });
    (uri, server)
}

/// A server that reads the beginning of a request, ends what it says, and resets the connection.
fn resetting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Less than is sent fits what is on its way.
    SockRef::from(&listener).set_recv_buffer_size(32 * 1024).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    address
}

fn assert_lost<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    // What was not sent is sent again, on another connection, if there is one.
    assert!(matches!(error, Error::Disconnected { .. } | Error::Connect { .. }), "{error:?}");
}

async fn raised_none(act: impl AsyncFnOnce()) {
    let mut signals = Signals::new([Signal::Pipe, Signal::Usr1]).unwrap();
    act().await;
    // One that was raised before comes before this one.
    kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
    assert_eq!(signals.next().await.unwrap().unwrap(), Signal::Usr1);
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// What a client does without a signal; asynchronous ones with `.await`.
macro_rules! assert_no_signal {
    ($name:literal, $client:ty, [$($await:tt)*]) => {
        block_on(raised_none(async || {
            let (uri, server) = deaf($name);
            let client = || <$client>::with_options([&uri], options()).unwrap();
            let clients = [client(), client()];
            assert_eq!([clients[0].get("a")$($await)*, clients[1].get("a")$($await)*], [Ok(None), Ok(None)]);
            assert_lost(clients[0].delete("a")$($await)*);
            assert_lost(clients[1].set("a", large(), Expiry::Never)$($await)*);
            drop(server.join().unwrap());
        }));
    };
}

#[test]
fn no_write_raises_a_signal() {
    assert_no_signal!("sync", memcached2_sync::Client, []);
    assert_no_signal!("tokio", memcached2_tokio::Client, [.await]);
    assert_no_signal!("async_std", memcached2_async_std::Client, [.await]);
    block_on(raised_none(async || {
        let client = memcached2_sync::Client::with_options([resetting()], options()).unwrap();
        assert_lost(client.set("a", Bytes::from(vec![b'x'; 15_000_000]), Expiry::Never));
    }));
}
