//! Connecting, within a time.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn tcp(host: &str, port: u16, within: Duration) -> io::Result<TcpStream> {
    let started = Instant::now();
    let addresses = resolve(host, port, within)?;
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves their share to those behind it.
        let share = u32::try_from(addresses.len() - at).unwrap_or(1);
        let left = within.saturating_sub(started.elapsed()) / share;
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of a host.
pub(super) fn resolve(host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = host.to_owned();
    look_up(within, move || (host, port).to_socket_addrs().map(Iterator::collect))
}

/// The operating system looks a name up for as long as it likes, so that is done in a thread of its own, which ends when the
/// system has its answer, whoever still waits for it.
fn look_up<T: Send + 'static>(within: Duration, ask: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (tell, told) = channel();
    thread::Builder::new().name("memcached2-lookup".to_owned()).spawn(move || tell.send(ask()))?;
    match told.recv_timeout(within) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            Err(io::Error::new(ErrorKind::TimedOut, "the name was not looked up in time"))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the lookup of the name has panicked")),
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
    use super::*;

    #[test]
    fn a_lookup_that_takes_long_keeps_nobody() {
        let (answer, never) = channel::<()>();
        let looked_up = look_up(Duration::from_millis(10), move || {
            let _ = never.recv();
            Ok(())
        });
        assert_eq!(looked_up.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(answer);
        assert_eq!(look_up(Duration::from_secs(60), || Ok(7)).unwrap(), 7);
        let failed = look_up::<()>(Duration::from_secs(60), || Err(ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_address_needs_no_lookup_and_a_name_has_one() {
        let within = Duration::from_secs(60);
        for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            let expected = SocketAddr::new(ip.parse().unwrap(), 11211);
            assert_eq!(resolve(host, 11211, Duration::ZERO).unwrap(), [expected]);
        }
        assert!(resolve("localhost", 11211, within).unwrap().iter().all(|address| address.ip().is_loopback()));
    }
}
