//! The socket: connecting, reading and writing.

use std::fmt::Debug;
use std::io::{self, IoSlice, Read};
use std::mem::{self, MaybeUninit};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use async_io::Async;
use memcached2_proto::opening::{Destination, Endpoint};
use memcached2_proto::shared::{AsyncStream, Connector, DirectWriter};
use memcached2_proto::transport::Lookup;
use socket2::{SockRef, TcpKeepalive};

/// Sockets of the operating system, and its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    kind: Kind,
    /// Whether the last read has drained it: then the next one waits for the reactor at once.
    is_drained: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(Arc<Shared<TcpStream>>),
    #[cfg(unix)]
    Unix(Arc<Shared<UnixStream>>),
}

/// What callers write to, too.
#[derive(Debug)]
struct Shared<S>(Async<S>);

impl Connector for Sockets {
    type Stream = Socket;

    async fn resolve(&self, endpoint: &Arc<Endpoint>, host: String, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        resolve(endpoint.lookup(), host, port).await
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>, destination: Destination) -> io::Result<Socket> {
        match destination {
            Destination::Tcp(address) => {
                let stream = Async::<TcpStream>::connect(address).await?;
                stream.get_ref().set_nodelay(true)?;
                if let Some(idle) = endpoint.options().keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
                }
                Ok(Kind::Tcp(Arc::new(Shared(stream))).into())
            }
            #[cfg(unix)]
            Destination::Unix(path) => {
                let stream = Async::<UnixStream>::connect(path).await?;
                Ok(Kind::Unix(Arc::new(Shared(stream))).into())
            }
            #[cfg(not(unix))]
            Destination::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")),
        }
    }
}

/// The addresses of a name.
pub(crate) async fn resolve(lookup: &Arc<Lookup>, host: String, port: u16) -> io::Result<Arc<[SocketAddr]>> {
    look_up(lookup, move || (host, port).to_socket_addrs().map(Iterator::collect)).await
}

/// Looks a name up in a separate thread, which no runtime waits for, because a lookup has no time limit.
pub(crate) async fn look_up<T: Send + Sync + 'static>(
    lookup: &Arc<Lookup<T>>,
    ask: impl FnOnce() -> io::Result<Vec<T>> + Send + 'static,
) -> io::Result<Arc<[T]>> {
    let in_thread = |task| thread::Builder::new().name("memcached2-lookup".to_owned()).spawn(task).map(drop);
    lookup.addresses(|| lookup.begin(ask, in_thread)).await
}

impl From<Kind> for Socket {
    fn from(kind: Kind) -> Self {
        Self { kind, is_drained: false }
    }
}

impl Socket {
    fn as_ref(&self) -> SockRef<'_> {
        match &self.kind {
            Kind::Tcp(socket) => SockRef::from(&socket.0),
            #[cfg(unix)]
            Kind::Unix(socket) => SockRef::from(&socket.0),
        }
    }
}

/// Reads what there is. A read that does not fill `space` has drained the socket, which saves a read that would find nothing.
///
/// A later poll reads again, whatever the reactor says: what it reports in the turn in which it was asked, it does not count.
#[inline]
fn poll_read<S>(
    socket: &Async<S>,
    is_drained: &mut bool,
    cx: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>>
where
    for<'s> &'s S: Read,
{
    loop {
        if !mem::take(is_drained) {
            match socket.get_ref().read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) => {
                    *is_drained = n < space.len();
                    return Poll::Ready(Ok(n));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(socket.poll_readable(cx))?;
    }
}

/// Writes without SIGPIPE, which ends a program that does not ignore it, such as one in C. The standard library raises it where it writes
/// several slices, and in older versions on Unix sockets.
#[inline]
fn send(socket: &SockRef<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    #[cfg(all(unix, not(target_vendor = "apple")))]
    const FLAGS: i32 = libc::MSG_NOSIGNAL;
    // Apple has an option instead, which was set when the socket was made.
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    const FLAGS: i32 = 0;
    match slices {
        [one] => socket.send_with_flags(one, FLAGS),
        many => socket.send_vectored_with_flags(many, FLAGS),
    }
}

#[inline]
fn poll_write<S>(socket: &Async<S>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>
where
    for<'s> SockRef<'s>: From<&'s Async<S>>,
{
    loop {
        match send(&SockRef::from(socket), slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
        ready!(socket.poll_writable(cx))?;
    }
}

impl AsyncStream for Socket {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match &self.kind {
            Kind::Tcp(socket) => poll_read(&socket.0, &mut self.is_drained, cx, space),
            #[cfg(unix)]
            Kind::Unix(socket) => poll_read(&socket.0, &mut self.is_drained, cx, space),
        }
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &self.kind {
            Kind::Tcp(socket) => poll_write(&socket.0, cx, slices),
            #[cfg(unix)]
            Kind::Unix(socket) => poll_write(&socket.0, cx, slices),
        }
    }

    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send(&self.as_ref(), slices)
    }

    fn has_unread(&self) -> bool {
        has_unread(&self.as_ref())
    }

    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        match &self.kind {
            Kind::Tcp(socket) => Some(Arc::clone(socket) as _),
            #[cfg(unix)]
            Kind::Unix(socket) => Some(Arc::clone(socket) as _),
        }
    }
}

/// It does not block.
fn has_unread(socket: &SockRef<'_>) -> bool {
    let looked = socket.peek(&mut [MaybeUninit::uninit()]);
    !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl<S: Debug + Send + Sync> DirectWriter for Shared<S>
where
    for<'s> SockRef<'s>: From<&'s Async<S>>,
{
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        // What has come unasked is read first, such as the end of the stream: then nothing was sent.
        if has_unread(&SockRef::from(&self.0)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // It does not block.
        send(&SockRef::from(&self.0), &[IoSlice::new(bytes)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_does_not_write_before_the_end_of_the_stream_is_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let socket = Shared(Async::new(stream).unwrap());
        assert_eq!(socket.write_now(b"x").unwrap(), 1);
        drop(server);
        async_io::block_on(socket.0.readable()).unwrap();
        assert_eq!(socket.write_now(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
