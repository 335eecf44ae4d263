//! The socket: connecting, and the task that drives it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use memcached2_proto::Address;
use memcached2_proto::mux::{Alarm, Driver, Duplex};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until, timeout};

/// Connects, then serves the callers until the connection ends.
pub(crate) async fn drive(address: Address, connect_timeout: Duration, driver: Driver) {
    let alarm = Timer { sleep: Box::pin(sleep_until(Instant::now().into())), set: None };
    let connect = || async {
        let connected = timeout(connect_timeout, connect(&address, connect_timeout)).await;
        connected.unwrap_or_else(|elapsed| Err(elapsed.into()))
    };
    driver.run(connect, alarm).await;
}

/// A connected socket.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A name is looked up anew each time, and all its addresses are tried.
async fn connect(address: &Address, within: Duration) -> io::Result<Socket> {
    match address {
        Address::Tcp { host, port } => {
            let stream = connect_tcp(host, *port, within).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")),
    }
}

async fn connect_tcp(host: &str, port: u16, within: Duration) -> io::Result<TcpStream> {
    let started = Instant::now();
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves their share to those behind it.
        let share = u32::try_from(addresses.len() - at).unwrap_or(1);
        let left = within.saturating_sub(started.elapsed()) / share;
        match timeout(left, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

impl Duplex for Socket {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        let result = match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, &mut space),
            #[cfg(unix)]
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, &mut space),
        };
        result.map_ok(|()| space.filled().len())
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(socket), [one]) => Pin::new(socket).poll_write(cx, one),
            (Self::Tcp(socket), many) => Pin::new(socket).poll_write_vectored(cx, many),
            #[cfg(unix)]
            (Self::Unix(socket), [one]) => Pin::new(socket).poll_write(cx, one),
            #[cfg(unix)]
            (Self::Unix(socket), many) => Pin::new(socket).poll_write_vectored(cx, many),
        }
    }

    fn has_unread(&self) -> bool {
        let socket = match self {
            Self::Tcp(socket) => SockRef::from(socket),
            #[cfg(unix)]
            Self::Unix(socket) => SockRef::from(socket),
        };
        // It does not block.
        let looked = socket.peek(&mut [MaybeUninit::uninit()]);
        !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// One timer for all deadlines of a connection.
#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// What it is set to, and has been polled for by this task.
    set: Option<Instant>,
}

impl Alarm for Timer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[inline]
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        if self.set == Some(deadline) && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        if self.set != Some(deadline) {
            self.sleep.as_mut().reset(deadline.into());
            self.set = Some(deadline);
        }
        // A timer put off for the sake of fairness would not know whom to wake.
        pin!(unconstrained(self.sleep.as_mut())).poll(cx).map(|()| {
            self.set = None;
            Instant::now()
        })
    }
}
