//! Connecting, within a time.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use memcached2_proto::{ConnectAttempts, Lookup};

use super::now;
use crate::turn::Unpark;

pub(super) fn tcp(host: &str, port: u16, lookup: &Arc<Lookup>, within: Duration) -> io::Result<TcpStream> {
    let started = now();
    let addresses = resolve(host, port, lookup, within)?;
    let mut attempts = ConnectAttempts::new(addresses, started, within);
    loop {
        let (address, left) = attempts.next_address(now())?;
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) => attempts.failed(error),
        }
    }
}

/// The addresses of a host. The operating system looks a name up for as long as it likes, so that is done in a thread of its
/// own, for all who wait; it ends when the system has its answer, whoever still waits for it.
pub(super) fn resolve(host: &str, port: u16, lookup: &Arc<Lookup>, within: Duration) -> io::Result<Arc<[SocketAddr]>> {
    if let Some(address) = Lookup::literal(host, port) {
        return Ok(Arc::new([address]));
    }
    let host = host.to_owned();
    look_up(lookup, within, move || (host, port).to_socket_addrs().map(Iterator::collect))
}

fn look_up(
    lookup: &Arc<Lookup>,
    within: Duration,
    ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Arc<[SocketAddr]>> {
    let own = Arc::clone(lookup);
    let mut begin = Some(move || {
        let (own, failed) = (Arc::clone(&own), own);
        let tell = move || own.finish(ask());
        if let Err(error) = thread::Builder::new().name("memcached2-lookup".to_owned()).spawn(tell) {
            failed.finish(Err(error));
        }
    });
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut joined, begun) = (None, now());
    loop {
        let begin = || begin.take().into_iter().for_each(|begin| begin());
        if let Poll::Ready(found) = lookup.poll(&mut joined, &Context::from_waker(&waker), begin) {
            return found.map_err(|error| io::Error::new(error.kind(), error));
        }
        let left = within.saturating_sub(now() - begun);
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "the name was not looked up in time"));
        }
        thread::park_timeout(left);
    }
}

/// By a socket that does not block: connecting waits for as long as the server's backlog is full.
#[cfg(unix)]
pub(super) fn unix(path: &Path, within: Duration) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.connect_timeout(&socket2::SockAddr::unix(path)?, within)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_lookup_that_takes_long_keeps_nobody_and_holds_one_thread() {
        let (answer, never) = channel::<()>();
        let (lookup, begun) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let never = Arc::new(Mutex::new(never));
        let ask = |within| {
            let (begun, never) = (Arc::clone(&begun), Arc::clone(&never));
            look_up(&lookup, within, move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = never.lock().unwrap().recv();
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], 7))])
            })
        };
        for _ in 0..5 {
            assert_eq!(ask(Duration::from_millis(10)).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        thread::scope(|scope| {
            let late = scope.spawn(|| ask(Duration::from_secs(60)));
            drop(answer);
            assert_eq!(late.join().unwrap().unwrap()[0].port(), 7);
        });
        // The last one may have come when the first look-up had ended.
        assert!(begun.load(Ordering::SeqCst) <= 2);
        let failed = look_up(&Arc::default(), Duration::from_secs(60), || Err(ErrorKind::Other.into()));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_address_needs_no_lookup_and_a_name_has_one() {
        let within = Duration::from_secs(60);
        for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            let expected = SocketAddr::new(ip.parse().unwrap(), 11211);
            assert_eq!(*resolve(host, 11211, &Arc::default(), Duration::ZERO).unwrap(), [expected]);
        }
        let found = resolve("localhost", 11211, &Arc::default(), within).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
