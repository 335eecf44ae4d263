//! The socket: connecting, reading and writing, all before one deadline.

mod connect;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
#[cfg(unix)]
use std::net::SocketAddr;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::time::Duration;

use memcached2_proto::opening::Destination;
use memcached2_proto::transport::time_to_wait;
use memcached2_proto::{Error, Instant, Landed, Options};
#[cfg(unix)]
use rustix::io::Errno;
#[cfg(unix)]
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use socket2::{SockRef, TcpKeepalive};

#[cfg(unix)]
pub(crate) use self::connect::poll_resolve;
pub(crate) use self::connect::resolve;

/// The moment on the clock of the system.
#[cfg(not(target_os = "linux"))]
#[inline]
pub(crate) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// The moment on the clock of the system, the one of [`std::time::Instant`], as a number: 55 instructions less of a get.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn now() -> Instant {
    use rustix::time::{ClockId, clock_gettime};
    /// What the number is when that clock is at zero.
    static ZERO: OnceLock<u64> = OnceLock::new();
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = time.tv_sec.unsigned_abs().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.unsigned_abs());
    let zero = *ZERO.get_or_init(|| Instant::from(std::time::Instant::now()).as_nanos().wrapping_sub(nanos));
    Instant::from_nanos(zero.wrapping_add(nanos))
}

/// How long a call may still take.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    started: Instant,
    timeout: Duration,
    /// How much of that is kept back to merge the call in.
    to_merge: Duration,
    /// Whether the caller has set it, so that servers do not.
    is_fixed: bool,
    /// Whether anything so far can have taken time. Until then the socket's own timeouts, set to the whole of it once,
    /// are right, and neither the clock nor the socket has to be asked.
    spent: bool,
    /// How many microseconds a connection was waited for.
    waited: u32,
}

/// The timeout of a socket may be this much longer than what is left: setting it is a system call.
const SLACK: Duration = Duration::from_millis(20);

/// A write of up to this many bytes never waits on a connection whose every request was answered: it fits what any
/// kernel buffers.
const SMALL: usize = 4 * 1024;

impl Deadline {
    pub(crate) fn new(started: Instant, timeout: Duration) -> Self {
        Self { started, timeout, to_merge: Duration::ZERO, is_fixed: false, spent: false, waited: 0 }
    }

    /// The time of a call: what its servers give it, unless the caller does.
    #[inline]
    pub(crate) fn of_call(started: Instant, timeout: Option<Duration>, to_merge: Duration) -> Self {
        // The timeout of the sockets is another one, then.
        let is_fixed = timeout.is_some();
        let spent = is_fixed || !to_merge.is_zero();
        Self { is_fixed, spent, to_merge, ..Self::new(started, timeout.unwrap_or_default()) }
    }

    /// The time until that moment, if there is one.
    pub(crate) fn until(moment: Option<Instant>) -> Self {
        let now = now();
        let left = moment.map_or(Duration::MAX, |moment| moment.saturating_duration_since(now));
        Self { spent: true, ..Self::new(now, left) }
    }

    /// When it is over.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.started.checked_add(time_to_wait(self.timeout, self.to_merge))
    }

    /// Sets how long the whole of it may take: some servers are given more time than others.
    #[inline]
    pub(crate) fn within(&mut self, timeout: Duration) {
        if !self.is_fixed {
            self.timeout = timeout;
        }
    }

    /// The same for a part that may take no longer than `most`.
    pub(crate) fn at_most(&mut self, most: Duration) -> Self {
        self.spent = true;
        let left = time_to_wait(self.timeout, self.to_merge).saturating_sub(now() - self.started);
        Self { spent: true, ..Self::new(now(), left.min(most)) }
    }

    /// Says that time has gone by.
    pub(crate) fn spent(&mut self) {
        self.spent = true;
    }

    /// Notes that a connection was waited for.
    pub(crate) fn waited_since(&mut self, begun: Instant) {
        let waited = u32::try_from((now() - begun).as_micros()).unwrap_or(u32::MAX);
        self.waited = self.waited.saturating_add(waited);
    }

    /// How long the connection was waited for that there is now, if it was.
    #[inline]
    pub(crate) fn take_waited(&mut self) -> Option<Duration> {
        // The wait has taken time.
        if self.spent { self.reset_waited() } else { None }
    }

    #[cold]
    fn reset_waited(&mut self) -> Option<Duration> {
        let waited = std::mem::take(&mut self.waited);
        (waited > 0).then(|| Duration::from_micros(waited.into()))
    }

    /// How much is left, which is never zero.
    pub(crate) fn left(&mut self) -> Result<Duration, Error> {
        self.spent = true;
        match time_to_wait(self.timeout, self.to_merge).saturating_sub(now() - self.started) {
            // The connection knows what was sent before.
            Duration::ZERO => Err(Error::timeout(Landed::NotSent)),
            left => Ok(left),
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    /// The timeout of a call that has not waited yet.
    whole: Duration,
    /// The timeouts the socket has, where they are others.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Connects.
    pub(crate) fn connect(destination: &Destination, within: Duration, options: &Options) -> io::Result<Self> {
        connect::connect(destination, within).and_then(|socket| Self::of(socket, options))
    }

    /// Begins to connect to an address, without waiting for it.
    #[cfg(unix)]
    pub(crate) fn begin_to_connect(address: SocketAddr) -> io::Result<socket2::Socket> {
        connect::begin_to_connect(address)
    }

    /// Takes a socket that has become ready, if it was connected.
    #[cfg(unix)]
    pub(crate) fn end_connecting(socket: socket2::Socket, options: &Options) -> io::Result<Self> {
        connect::end_connecting(socket).and_then(|socket| Self::of(socket, options))
    }

    /// A stream of a socket that is connected.
    fn of(socket: Socket, options: &Options) -> io::Result<Self> {
        let whole = options.timeout;
        socket.set_read_timeout(whole)?;
        socket.set_write_timeout(whole)?;
        if let (Socket::Tcp(stream), Some(idle)) = (&socket, options.keepalive) {
            SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
        }
        Ok(Self { socket, whole, read_timeout: None, write_timeout: None })
    }

    // In place: 37 instructions less of a blocking get.
    #[inline(always)]
    pub(crate) fn read(&mut self, space: &mut [u8], deadline: &mut Deadline) -> Result<usize, Error> {
        loop {
            if deadline.spent || self.read_timeout.is_some() {
                adjust(&mut self.read_timeout, self.whole, deadline, |timeout| self.socket.set_read_timeout(timeout))?;
            }
            deadline.spent = true;
            let result = match &mut self.socket {
                Socket::Tcp(socket) => socket.read(space),
                #[cfg(unix)]
                Socket::Unix(socket) => socket.read(space),
            };
            match result {
                Ok(n) => return Ok(n),
                Err(error) => explain(&error)?,
            }
        }
    }

    #[inline]
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>], deadline: &mut Deadline) -> Result<usize, Error> {
        loop {
            if deadline.spent || self.write_timeout.is_some() {
                adjust(&mut self.write_timeout, self.whole, deadline, |timeout| {
                    self.socket.set_write_timeout(timeout)
                })?;
            }
            let result = match (&mut self.socket, slices) {
                // It raises none, and takes 15 instructions less of a get.
                (Socket::Tcp(socket), [one]) => socket.write(one),
                #[cfg(unix)]
                (_, slices) => self.send(slices, SendFlags::empty()).map_err(io::Error::from),
                #[cfg(not(unix))]
                (Socket::Tcp(socket), many) => socket.write_vectored(many),
            };
            match result {
                Ok(0) => return Err(Error::lost(&ErrorKind::WriteZero.into(), Landed::Unknown)),
                Ok(n) => {
                    deadline.spent |= n > SMALL;
                    return Ok(n);
                }
                Err(error) => explain(&error)?,
            }
        }
    }

    /// The same, where it is not worth the space to have it in place.
    #[cold]
    pub(crate) fn write_waiting(&mut self, slices: &[IoSlice<'_>], deadline: &mut Deadline) -> Result<usize, Error> {
        self.write(slices, deadline)
    }

    /// Reads, where it is not worth the space to have it in place.
    #[cold]
    pub(crate) fn read_waiting(&mut self, space: &mut [u8], deadline: &mut Deadline) -> Result<usize, Error> {
        self.read(space, deadline)
    }

    /// Writes as much as the socket takes without waiting; 0 if it takes nothing.
    #[cfg(unix)]
    pub(crate) fn write_at_once(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        loop {
            match self.send(slices, SendFlags::DONTWAIT) {
                Ok(n) => return Ok(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::lost(&error.into(), Landed::Unknown)),
            }
        }
    }

    /// Writes without SIGPIPE, which ends a program that does not ignore it, such as one in C. The standard library raises it where it
    /// writes several slices, and in older versions on Unix sockets.
    #[cfg(unix)]
    #[inline(never)]
    fn send(&self, slices: &[IoSlice<'_>], flags: SendFlags) -> Result<usize, Errno> {
        // There the option was set when the socket was made.
        #[cfg(not(target_vendor = "apple"))]
        let flags = flags | SendFlags::NOSIGNAL;
        match slices {
            [one] => send(self, one, flags),
            many => sendmsg(self, many, &mut SendAncillaryBuffer::default(), flags),
        }
    }

    /// Whether the server has neither closed the connection nor sent anything: one system call.
    #[cfg(unix)]
    pub(crate) fn is_quiet(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let looked = recv(self, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(looked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Whether the server has neither closed the connection nor sent anything.
    #[cfg(not(unix))]
    pub(crate) fn is_quiet(&self) -> bool {
        let socket = self.socket.as_ref();
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let looked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut byte));
        let silent = matches!(looked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        silent && socket.set_nonblocking(false).is_ok()
    }
}

#[cfg(unix)]
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
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

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.as_ref().set_read_timeout(Some(whole_units(timeout)))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.as_ref().set_write_timeout(Some(whole_units(timeout)))
    }
}

/// A timeout in whole units of the system, rounded up: to it, less than one is zero, and zero is no timeout at all.
#[cold]
fn whole_units(timeout: Duration) -> Duration {
    /// In nanoseconds.
    const UNIT: u32 = if cfg!(windows) { 1_000_000 } else { 1_000 };
    let missing = (UNIT - timeout.subsec_nanos() % UNIT) % UNIT;
    timeout.saturating_add(Duration::from_nanos(missing.into())).max(Duration::from_nanos(UNIT.into()))
}

/// Gives a socket the timeout for its next system call: never less than is left, and hardly more.
#[cold]
fn adjust(
    now: &mut Option<Duration>,
    whole: Duration,
    deadline: &mut Deadline,
    set: impl FnOnce(Duration) -> io::Result<()>,
) -> Result<(), Error> {
    let wanted = if deadline.spent { deadline.left()? } else { whole };
    let has = now.unwrap_or(whole);
    if has < wanted || has - wanted > SLACK {
        set(wanted).map_err(|error| Error::lost(&error, Landed::Unknown))?;
        *now = (wanted != whole).then_some(wanted);
    }
    Ok(())
}

/// What a failed system call means: nothing, if it was only interrupted.
#[cold]
fn explain(error: &io::Error) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Error::timeout(Landed::Unknown)),
        _ => Err(Error::lost(error, Landed::Unknown)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memcached2_proto::opening::Destination;
    use memcached2_proto::{Instant, Options};
    use memcached2_testkit::EmbeddedServer;

    use super::Stream;

    /// A system that counts in larger parts of a second takes a shorter time for none, which is no timeout.
    #[test]
    fn a_timeout_that_is_shorter_than_the_system_counts_is_not_taken_for_none() {
        let server = EmbeddedServer::start();
        let destination = Destination::Tcp(server.address().parse().unwrap());
        let nanosecond = Duration::from_nanos(1);
        let options = Options::default().timeout(nanosecond);
        let stream = Stream::connect(&destination, Duration::from_secs(20), &options).unwrap();
        let timeouts = || {
            let socket = stream.socket.as_ref();
            [socket.read_timeout().unwrap(), socket.write_timeout().unwrap()]
        };
        assert!(timeouts().iter().all(|timeout| timeout.is_some()), "{:?}", timeouts());
        let stream = Stream::connect(&destination, Duration::from_secs(20), &Options::default()).unwrap();
        for left in [nanosecond, Duration::from_micros(999), Duration::from_nanos(1_500_000)] {
            stream.socket.set_read_timeout(left).unwrap();
            stream.socket.set_write_timeout(left).unwrap();
            let socket = stream.socket.as_ref();
            for timeout in [socket.read_timeout().unwrap(), socket.write_timeout().unwrap()] {
                assert!(timeout >= Some(left), "{timeout:?} instead of {left:?}");
            }
        }
    }

    /// Deadlines of callers are moments of the standard library.
    #[test]
    fn the_clock_is_the_one_of_the_standard_library() {
        for _ in 0..1000 {
            let before = Instant::from(std::time::Instant::now());
            let here = super::now();
            assert!(before <= here, "{before:?} {here:?}");
            assert!(here - before < Duration::from_secs(10), "{before:?} {here:?}");
        }
    }
}
