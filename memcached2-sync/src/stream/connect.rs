//! Connecting, within a time.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use memcached2_proto::opening::Destination;
use memcached2_proto::transport::{Lookup, Waiting};

use super::{Socket, now};
use crate::waiter::Unpark;

/// Connects a socket that blocks.
pub(super) fn connect(destination: &Destination, within: Duration) -> io::Result<Socket> {
    match destination {
        Destination::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, within)?;
            stream.set_nodelay(true).map(|()| Socket::Tcp(stream))
        }
        // By a socket that does not block: connecting waits for as long as the server's backlog is full.
        #[cfg(unix)]
        Destination::Unix(path) => {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
            socket.connect_timeout(&socket2::SockAddr::unix(path)?, within)?;
            Ok(Socket::Unix(socket.into()))
        }
        #[cfg(not(unix))]
        Destination::Unix(_) => Err(io::Error::new(ErrorKind::Unsupported, "no Unix sockets on this system")),
    }
}

/// Begins to connect a socket to an address, without waiting for it.
#[cfg(unix)]
pub(super) fn begin_to_connect(address: SocketAddr) -> io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Type};
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let under_way = rustix::io::Errno::INPROGRESS.raw_os_error();
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(under_way) && error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(socket),
    }
}

/// Ends connecting a socket that has become ready.
#[cfg(unix)]
pub(super) fn end_connecting(socket: socket2::Socket) -> io::Result<Socket> {
    match socket.take_error()? {
        Some(error) => Err(error),
        None => {
            socket.set_nonblocking(false)?;
            socket.set_tcp_nodelay(true)?;
            Ok(Socket::Tcp(socket.into()))
        }
    }
}

/// The addresses of a host. A lookup has no time limit, so a separate thread does it for all waiting callers. The
/// thread ends when the operating system has answered.
pub(crate) fn resolve(
    host: String,
    port: u16,
    lookup: &Arc<Lookup>,
    within: Duration,
) -> io::Result<Arc<[SocketAddr]>> {
    look_up(lookup, within, move || (host, port).to_socket_addrs().map(Iterator::collect))
}

fn look_up(
    lookup: &Arc<Lookup>,
    within: Duration,
    ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static,
) -> io::Result<Arc<[SocketAddr]>> {
    let (mut waiting, waker, begun) = (lookup.wait(), Unpark::this_thread(), now());
    loop {
        if let Poll::Ready(found) = poll_look_up((lookup, &mut waiting), ask.clone(), &waker) {
            return found;
        }
        let left = within.saturating_sub(now() - begun);
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "the name was not looked up in time"));
        }
        thread::park_timeout(left);
    }
}

/// The same without waiting: the waker is woken when they are there.
#[cfg(unix)]
pub(crate) fn poll_resolve(
    host: String,
    port: u16,
    looking_up: (&Arc<Lookup>, &mut Waiting),
    waker: &Waker,
) -> Poll<io::Result<Arc<[SocketAddr]>>> {
    poll_look_up(looking_up, move || (host, port).to_socket_addrs().map(Iterator::collect), waker)
}

fn poll_look_up(
    (lookup, waiting): (&Arc<Lookup>, &mut Waiting),
    ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    waker: &Waker,
) -> Poll<io::Result<Arc<[SocketAddr]>>> {
    let in_thread = |task| thread::Builder::new().name("memcached2-lookup".to_owned()).spawn(task).map(drop);
    let found = waiting.poll(&Context::from_waker(waker), || lookup.begin(ask, in_thread));
    found.map_err(|error| io::Error::new(error.kind(), error))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_slow_lookup_delays_no_other_call_and_holds_one_thread() {
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
    fn a_name_is_looked_up() {
        let found = resolve("localhost".into(), 11211, &Arc::default(), Duration::from_secs(60)).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
