//! The socket: connecting, and the task that drives it.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, SystemTime};

use memcached2_proto::opening::{Destination, Endpoint};
use memcached2_proto::shared::{
    AsyncStream, AsyncTimer, Connector, DirectWriter, Driver, Runtime, StreamOpening, open_stream,
};
use memcached2_proto::transport::Lookup;
use memcached2_proto::{Error, Instant, Now};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};
use tokio::runtime::{Handle, Id};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Sleep, sleep_until};

/// The moment on the clock of the system.
#[inline]
pub(crate) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// Tokio, and what connects.
#[derive(Debug, Clone)]
pub(crate) struct Tokio(pub(crate) Arc<dyn Spawn>);

/// Starts the task that drives a connection, which is compiled for each kind of stream.
pub(crate) trait Spawn: Debug + Send + Sync {
    fn spawn(&self, driver: Driver);

    /// Opens a connection that belongs to one caller.
    fn open(&self, endpoint: Arc<Endpoint>, within: Duration) -> StreamOpening;
}

impl<C: Connector<Stream: Send + 'static> + Clone + Debug + 'static> Spawn for C {
    fn spawn(&self, driver: Driver) {
        let connector = self.clone();
        // A runtime without timers makes a task panic that sets one, not the caller.
        drop(tokio::spawn(async { driver.run(connector, Timer::new()).await }));
    }

    fn open(&self, endpoint: Arc<Endpoint>, within: Duration) -> StreamOpening {
        let connector = self.clone();
        Box::pin(async move {
            current_runtime()?;
            open_stream(connector, Timer::new(), endpoint, Now::new(now(), SystemTime::now), within).await
        })
    }
}

#[inline]
pub(crate) fn current_runtime() -> Result<Id, Error> {
    const PROBLEM: &str =
        "no Tokio runtime: call it within a runtime that was made with enable_all, or use the blocking client";
    Handle::try_current().map(|runtime| runtime.id()).map_err(|_| Error::no_runtime(PROBLEM))
}

/// Sockets of the operating system, and its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets;

/// A connected socket, in halves, since callers may write, too.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(tcp::OwnedReadHalf, Arc<Writer<tcp::OwnedWriteHalf>>),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf, Arc<Writer<unix::OwnedWriteHalf>>),
}

/// The half that writes.
#[derive(Debug)]
pub(crate) struct Writer<H>(H);

impl Connector for Sockets {
    type Stream = Socket;

    async fn resolve(&self, endpoint: &Arc<Endpoint>, host: String, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        resolve(endpoint.lookup(), host, port).await
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>, destination: Destination) -> io::Result<Socket> {
        match destination {
            Destination::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                if let Some(idle) = endpoint.options().keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
                }
                let (reader, writer) = stream.into_split();
                Ok(Socket::Tcp(reader, Arc::new(Writer(writer))))
            }
            #[cfg(unix)]
            Destination::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Ok(Socket::Unix(reader, Arc::new(Writer(writer))))
            }
            #[cfg(not(unix))]
            Destination::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")),
        }
    }
}

impl Runtime for Tokio {
    type Id = Id;
    type Timer = Timer;

    #[inline]
    fn id(&self) -> Result<Id, Error> {
        current_runtime()
    }

    #[inline]
    fn now(&self) -> Instant {
        now()
    }

    fn timer(&self) -> Result<Timer, Error> {
        current_runtime().map(|_| Timer::new())
    }

    fn spawn(&self, driver: Driver) {
        self.0.spawn(driver);
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

impl Socket {
    fn as_ref(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(_, writer) => writer.socket(),
            #[cfg(unix)]
            Self::Unix(_, writer) => writer.socket(),
        }
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

/// Both kinds of sockets write alike, but that the standard library raises no signal on one of them.
macro_rules! writer {
    ($half:ty, $raises_none:literal) => {
        impl Writer<$half> {
            fn socket(&self) -> SockRef<'_> {
                SockRef::from(self.0.as_ref())
            }

            #[inline]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                // 24 instructions less of a get.
                if $raises_none {
                    self.0.as_ref().try_write(bytes)
                } else {
                    self.try_write_vectored(&[IoSlice::new(bytes)])
                }
            }

            fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.as_ref().try_io(Interest::WRITABLE, || send(&self.socket(), slices))
            }

            #[inline]
            fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.0.as_ref().poll_write_ready(cx))?;
                    let written = match slices {
                        [one] => self.try_write(one),
                        many => self.try_write_vectored(many),
                    };
                    match written {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => return Poll::Ready(written),
                    }
                }
            }
        }

        impl DirectWriter for Writer<$half> {
            #[inline]
            fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
                // What has come unasked is read first, such as the end of the stream: then nothing was sent.
                if self.0.as_ref().try_io(Interest::READABLE, || Ok(())).is_ok() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.try_write(bytes)
            }
        }
    };
}

writer!(tcp::OwnedWriteHalf, true);
#[cfg(unix)]
writer!(unix::OwnedWriteHalf, false);

impl AsyncStream for Socket {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        let result = match self {
            Self::Tcp(reader, _) => Pin::new(reader).poll_read(cx, &mut space),
            #[cfg(unix)]
            Self::Unix(reader, _) => Pin::new(reader).poll_read(cx, &mut space),
        };
        result.map_ok(|()| space.filled().len())
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(_, writer) => writer.poll_write(cx, slices),
            #[cfg(unix)]
            Self::Unix(_, writer) => writer.poll_write(cx, slices),
        }
    }

    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send(&self.as_ref(), slices)
    }

    fn give_way(&mut self, cx: &mut Context<'_>) {
        give_way(cx);
    }

    fn has_unread(&self) -> bool {
        // It does not block.
        let looked = self.as_ref().peek(&mut [MaybeUninit::uninit()]);
        !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        match self {
            Self::Tcp(_, writer) => Some(Arc::clone(writer) as _),
            #[cfg(unix)]
            Self::Unix(_, writer) => Some(Arc::clone(writer) as _),
        }
    }
}

/// Has the task woken when the runtime has looked at its sockets. A plain wake does not do: a runtime whose tasks are always ready
/// runs 61 of them before it looks, and each of those may be this one.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// One timer for all deadlines of a connection.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// What it is set to, and the task that has polled it for that: a call may be polled by one task after the other.
    set: Option<(Instant, Waker)>,
}

impl AsyncTimer for Timer {
    fn now(&self) -> Instant {
        now()
    }

    #[inline]
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let task = self.set.as_ref().filter(|(set, _)| *set == deadline).map(|(_, task)| task);
        let wakes_this_task = task.is_some_and(|task| task.will_wake(cx.waker()));
        if wakes_this_task && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        if task.is_none() {
            let at = deadline.to_std().unwrap_or_else(std::time::Instant::now);
            self.sleep.as_mut().reset(at.into());
        }
        if !wakes_this_task {
            self.set = Some((deadline, cx.waker().clone()));
        }
        if self.poll_sleep(cx).is_pending() {
            return Poll::Pending;
        }
        self.set = None;
        let now = now();
        if now < deadline {
            self.look_again(cx, deadline - now);
            return Poll::Pending;
        }
        Poll::Ready(now)
    }
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(std::time::Instant::now().into())), set: None }
    }

    /// A timer that is put off by the cooperative budget would not wake this task.
    #[inline]
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(unconstrained(self.sleep.as_mut())).poll(cx)
    }

    /// The runtime's clock is ahead, since a test has paused it: then it leaps to the next deadline whenever nothing is ready,
    /// also while a server is busy answering. Looks again soon, so that sockets get their turn.
    #[cold]
    fn look_again(&mut self, cx: &mut Context<'_>, left: Duration) {
        const SOON: Duration = Duration::from_millis(1);
        self.sleep.as_mut().reset(tokio::time::Instant::now() + left.min(SOON));
        if self.poll_sleep(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A program may not ignore it, such as one in C, or a filter that is to end by it.
    #[cfg(unix)]
    #[tokio::test(flavor = "current_thread")]
    async fn a_caller_that_writes_to_a_broken_connection_raises_no_signal() {
        let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _server = listener.accept().unwrap();
        let (_reader, writer) = stream.into_split();
        let writer = Writer(writer);
        writer.socket().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(writer.write_now(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        // The runtime hears of signals when it looks at its sockets.
        for _ in 0..3 {
            yield_now().await;
        }
        assert!(poll_fn(|cx| Poll::Ready(signals.poll_recv(cx))).await.is_pending());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_caller_does_not_write_before_the_end_of_the_stream_is_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(listener.accept().unwrap());
        stream.readable().await.unwrap();
        let (_reader, writer) = stream.into_split();
        assert_eq!(Writer(writer).write_now(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// As a call that was polled once, and then moved to a task.
    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_wakes_the_task_that_polled_it_last() {
        let mut timer = Timer::new();
        let deadline = now() + Duration::from_millis(50);
        assert!(timer.poll_until(&mut Context::from_waker(Waker::noop()), deadline).is_pending());
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it was not woken"),
            come = poll_fn(|cx| timer.poll_until(cx, deadline)) => assert!(come >= deadline),
        }
    }
}
