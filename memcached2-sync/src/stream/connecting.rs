//! Connecting without waiting for it, so that several servers can be connected to at the same time.

use std::sync::Arc;

#[cfg(unix)]
use memcached2_proto::ConnectAttempts;
use memcached2_proto::{Address, Error, Lookup, Options};

use super::{Deadline, Stream};

#[cfg(unix)]
pub(crate) use self::unix::Connecting;

/// Where there is no poll(2) nobody connects without waiting.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum Connecting {}

#[cfg(not(unix))]
impl Connecting {
    pub(crate) fn begin(_: &Address, _: &Arc<Lookup>, _: &Options, _: &mut Deadline) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(crate) fn left(&self) -> std::time::Duration {
        match *self {}
    }

    pub(crate) fn go_on(&mut self, _: bool) -> Result<bool, Error> {
        match *self {}
    }

    pub(crate) fn finish(self, _: &Options) -> Result<Stream, Error> {
        match self {}
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{self, ErrorKind};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::time::Duration;

    use memcached2_proto::Instant;
    use socket2::{Domain, Protocol, Type};

    use super::super::connect::resolve;
    use super::super::{Socket, now};
    use super::{Address, Arc, ConnectAttempts, Deadline, Error, Lookup, Options, Stream};

    /// A socket that is being connected.
    #[derive(Debug)]
    pub(crate) struct Connecting {
        socket: socket2::Socket,
        attempts: ConnectAttempts,
        /// When the time of the address under way is over.
        until: Instant,
    }

    impl Connecting {
        /// Begins to connect to a TCP address; a name is looked up first. `None` for a Unix socket, which takes no time.
        pub(crate) fn begin(
            address: &Address,
            lookup: &Arc<Lookup>,
            options: &Options,
            deadline: &mut Deadline,
        ) -> Result<Option<Self>, Error> {
            let Address::Tcp { host, port } = address else { return Ok(None) };
            let within = deadline.left()?.min(options.connect_timeout);
            let started = now();
            let begun = resolve(host, *port, lookup, within)
                .and_then(|addresses| Self::first(ConnectAttempts::new(addresses, started, within)));
            begun.map(Some).map_err(|error| Error::connect(&error))
        }

        fn first(mut attempts: ConnectAttempts) -> io::Result<Self> {
            let (socket, until) = attempt(&mut attempts)?;
            Ok(Self { socket, attempts, until })
        }

        /// How long there is nothing to be done unless the socket gets ready.
        pub(crate) fn left(&self) -> Duration {
            self.until.saturating_duration_since(now())
        }

        /// Goes on, with the next address if this one cannot be connected to; `true` when it is connected.
        pub(crate) fn go_on(&mut self, ready: bool) -> Result<bool, Error> {
            let failed = match ready {
                true => match self.socket.take_error() {
                    Ok(None) => return Ok(true),
                    Ok(Some(error)) | Err(error) => error,
                },
                false if self.left().is_zero() => ErrorKind::TimedOut.into(),
                false => return Ok(false),
            };
            self.attempts.failed(failed);
            (self.socket, self.until) = attempt(&mut self.attempts).map_err(|error| Error::connect(&error))?;
            Ok(false)
        }

        /// The stream, once it is connected.
        pub(crate) fn finish(self, options: &Options) -> Result<Stream, Error> {
            let socket = self.socket;
            let plain = socket.set_nonblocking(false).and_then(|()| socket.set_tcp_nodelay(true));
            let stream = plain.and_then(|()| Stream::of(Socket::Tcp(socket.into()), options));
            stream.map_err(|error| Error::connect(&error))
        }
    }

    /// Begins to connect to the next address, and says until when that may take.
    fn attempt(attempts: &mut ConnectAttempts) -> io::Result<(socket2::Socket, Instant)> {
        loop {
            let started = now();
            let (address, left) = attempts.next_address(started)?;
            let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
            let begun = socket.and_then(|socket| {
                socket.set_nonblocking(true)?;
                match socket.connect(&address.into()) {
                    Err(error) if !is_under_way(&error) => Err(error),
                    _ => Ok(socket),
                }
            });
            match begun {
                Ok(socket) => return Ok((socket, started + left)),
                Err(error) => attempts.failed(error),
            }
        }
    }

    fn is_under_way(error: &io::Error) -> bool {
        let under_way = rustix::io::Errno::INPROGRESS.raw_os_error();
        error.raw_os_error() == Some(under_way) || error.kind() == ErrorKind::WouldBlock
    }

    impl AsFd for Connecting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }

    #[cfg(test)]
    mod tests {
        use std::net::{SocketAddr, TcpListener};

        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        use super::*;

        fn connect(addresses: Vec<SocketAddr>, within: Duration) -> Result<Stream, Error> {
            let attempts = ConnectAttempts::new(addresses.into(), now(), within);
            let mut connecting = Connecting::first(attempts).map_err(|error| Error::connect(&error))?;
            loop {
                let mut sockets = [PollFd::new(&connecting, PollFlags::OUT)];
                let ready = poll(&mut sockets, Timespec::try_from(connecting.left()).ok().as_ref()).unwrap() > 0;
                if connecting.go_on(ready)? {
                    return connecting.finish(&Options::default());
                }
            }
        }

        #[test]
        fn addresses_are_tried_until_one_answers() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let there = listener.local_addr().unwrap();
            // Nobody listens on the port of a socket that is bound and nothing else.
            let silent = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            let refusing = silent.local_addr().unwrap().as_socket().unwrap();
            let within = Duration::from_secs(60);
            assert!(connect(vec![refusing, refusing, there], within).unwrap().is_quiet());
            assert!(listener.accept().is_ok());
            for (addresses, within, kind) in [
                (vec![refusing, refusing], within, ErrorKind::ConnectionRefused),
                (vec![], within, ErrorKind::NotFound),
                (vec![there], Duration::ZERO, ErrorKind::TimedOut),
            ] {
                let error = connect(addresses, within).unwrap_err();
                assert!(matches!(&error, Error::Connect { cause, .. } if cause.kind() == kind), "{error:?}");
            }
        }
    }
}
