//! The socket: connecting, and the task that drives it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use async_std::net::TcpStream;
#[cfg(unix)]
use async_std::os::unix::net::UnixStream;
use async_std::task::sleep;
use futures_io::{AsyncRead, AsyncWrite};
use memcached2_proto::opening::{Destination, Endpoint};
use memcached2_proto::shared::{AsyncStream, AsyncTimer, Connector, Driver, Runtime};
use memcached2_proto::transport::Lookup;
use memcached2_proto::{Error, Instant};
use socket2::{SockRef, TcpKeepalive};

/// The moment on the clock of the system.
#[inline]
pub(crate) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// Sockets of the operating system, and its names.
#[derive(Debug)]
pub(crate) struct System;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connector for System {
    type Stream = Socket;

    async fn resolve(&self, endpoint: &Arc<Endpoint>, host: String, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        endpoint.lookup().addresses(|| begin_lookup(endpoint.lookup(), host, port)).await
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>, destination: Destination) -> io::Result<Socket> {
        match destination {
            Destination::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                if let Some(idle) = endpoint.options().keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
                }
                Ok(Socket::Tcp(stream))
            }
            #[cfg(unix)]
            Destination::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Destination::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")),
        }
    }
}

/// There is one runtime in a process.
impl Runtime for System {
    type Id = ();
    type Timer = Timer;

    #[inline]
    fn id(&self) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn now(&self) -> Instant {
        now()
    }

    fn timer(&self) -> Timer {
        Timer::default()
    }

    fn spawn(&self, driver: Driver) {
        drop(async_std::task::spawn(driver.run(Self, self.timer())));
    }
}

/// Looks a name up in a separate thread, which no runtime waits for, because a lookup has no time limit.
fn begin_lookup(lookup: &Arc<Lookup>, host: String, port: u16) {
    let own = Arc::clone(lookup);
    let ask = move || own.finish((host, port).to_socket_addrs().map(Iterator::collect));
    if let Err(error) = thread::Builder::new().name("memcached2-lookup".to_owned()).spawn(ask) {
        lookup.finish(Err(error));
    }
}

impl Socket {
    fn as_ref(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket),
            #[cfg(unix)]
            Self::Unix(socket) => SockRef::from(socket),
        }
    }
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, space),
            #[cfg(unix)]
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, space),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            #[cfg(unix)]
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        }
    }

    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.as_ref().send_vectored(slices)
    }

    fn has_unread(&self) -> bool {
        // It does not block.
        let looked = self.as_ref().peek(&mut [MaybeUninit::uninit()]);
        !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// One timer for all deadlines of a connection.
#[derive(Default)]
pub(crate) struct Timer {
    set: Option<(Instant, Sleep)>,
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl AsyncTimer for Timer {
    fn now(&self) -> Instant {
        now()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        if self.set.as_ref().is_none_or(|(set, _)| *set != deadline) {
            let left = deadline.saturating_duration_since(now());
            self.set = Some((deadline, Box::pin(sleep(left))));
        }
        match self.set.as_mut().map(|(_, timer)| timer.as_mut().poll(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) | None => {
                self.set = None;
                Poll::Ready(now())
            }
        }
    }
}
