//! A large upload to a server that takes its time, and the other callers on the connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::join;
use memcached2_proto::{Bytes, Expiry, Landed, Options, Protocol, ReconnectPolicy};

use super::PATIENT;
use crate::subject::{block_on, client_of};

/// A server for one connection that reads some ten megabytes a second until it may hurry, answers a `set`, and then a `get`.
fn slow(may_hurry: &Arc<AtomicBool>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket2::SockRef::from(&listener).set_recv_buffer_size(32 * 1024).expect("a size");
    let address = listener.local_addr().expect("an address");
    let may_hurry = Arc::clone(may_hurry);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut lines = BufReader::with_capacity(128, stream.try_clone().expect("a socket"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        let length: usize = line.trim().rsplit(' ').next().and_then(|length| length.parse().ok()).expect("a length");
        let mut left = length + 2 - lines.buffer().len();
        drop(lines);
        let mut bytes = vec![0; 64 * 1024];
        while left > 0 {
            let most = left.min(bytes.len());
            let n = stream.read(&mut bytes[..most]).expect("bytes");
            assert!(n > 0, "the upload was given up");
            left -= n;
            if !may_hurry.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(6));
            }
        }
        stream.write_all(b"STORED\r\n").expect("the client reads");
        let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
        line.clear();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "get a\r\n", "what was given up before was sent");
        stream.write_all(b"END\r\n").expect("the client reads");
    });
    (address, server)
}

#[test]
fn callers_after_a_long_upload_time_out_alone() {
    block_on(|| async {
        let others_are_done = Arc::new(AtomicBool::new(false));
        let (address, server) = slow(&others_are_done);
        let options =
            Options::default().timeout(PATIENT).protocol(Protocol::Classic).reconnect(ReconnectPolicy::After(PATIENT));
        let options = options.connect_timeout(PATIENT);
        let client = client_of([address.to_string()], options).expect("the address is right");
        // It takes many times as long as the others wait.
        let value = Bytes::from(vec![b'x'; 40 << 20]);
        let hasty = client.with_timeout(Duration::from_millis(150));
        let upload = client.set("large", &value, Expiry::Never);
        let others = async {
            for _ in 0..4 {
                let error = hasty.get("a").await.unwrap_err();
                assert_eq!((error.is_timeout(), error.landed()), (true, Landed::NotSent), "{error}");
            }
            others_are_done.store(true, Ordering::Relaxed);
        };
        let (stored, ()) = join(upload, others).await;
        stored.expect("the server takes all of it");
        assert_eq!(client.get("a").await, Ok(None));
        server.join().expect("no panic");
    });
}
