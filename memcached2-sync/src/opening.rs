//! Opening a connection: the steps of an [`Opening`], done by sockets that block or by those that do not.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
#[cfg(unix)]
use std::task::Poll;
use std::task::Waker;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use memcached2_proto::opening::Destination;
use memcached2_proto::opening::{Endpoint, Opened, Opening, Step};
#[cfg(unix)]
use memcached2_proto::transport::Waiting;
use memcached2_proto::{Error, Now};

#[cfg(unix)]
use crate::stream::poll_resolve;
use crate::stream::{Deadline, Stream, now, resolve};

/// How long a read or write may take that the socket is ready for, as a rule.
pub(crate) const SOON: Duration = Duration::from_millis(10);

/// A connection that is opened while others are heard, as far as the system lets a thread wait for several sockets.
#[derive(Debug)]
pub(crate) struct Opener {
    endpoint: Arc<Endpoint>,
    opening: Opening,
    /// While its name is looked up.
    #[cfg(unix)]
    looking_up: Option<Waiting>,
    #[cfg(unix)]
    connecting: Option<socket2::Socket>,
    stream: Option<Stream>,
}

/// Opens a connection before the deadline, and waits for it.
pub(crate) fn open(endpoint: &Arc<Endpoint>, deadline: &mut Deadline) -> Result<(Stream, Opened), Error> {
    let mut opener = Opener::new(endpoint, deadline);
    while !opener.step()? {
        opener.exchange();
    }
    opener.finish()
}

impl Opener {
    fn new(endpoint: &Arc<Endpoint>, deadline: &mut Deadline) -> Self {
        deadline.spent();
        let now = Now::new(now(), SystemTime::now);
        Self {
            endpoint: Arc::clone(endpoint),
            opening: Opening::new(endpoint, now, deadline.end()),
            #[cfg(unix)]
            looking_up: None,
            #[cfg(unix)]
            connecting: None,
            stream: None,
        }
    }

    /// Looks names up and connects, until there are bytes to be exchanged; `true` when the connection is ready.
    fn step(&mut self) -> Result<bool, Error> {
        loop {
            match self.opening.step()? {
                Step::Resolve { host, port } => self.resolve(host, port),
                Step::Connect(destination) => {
                    self.stream = None;
                    let connected = Stream::connect(&destination, self.left(), self.endpoint.options());
                    self.connected(connected);
                }
                Step::Exchange => return Ok(false),
                Step::Ready => return Ok(true),
            }
        }
    }

    fn resolve(&mut self, host: String, port: u16) {
        let found = resolve(host, port, self.endpoint.lookup(), self.left());
        self.opening.resolved(found, now());
    }

    fn connected(&mut self, connected: std::io::Result<Stream>) {
        let connected = connected.map(|stream| self.stream = Some(stream));
        self.opening.connected(connected, now());
    }

    /// How long there is nothing to be done unless the socket gets ready: never zero, so that it can be the timeout of a socket.
    pub(crate) fn left(&self) -> Duration {
        let left = self.opening.deadline().map(|by| by.saturating_duration_since(now()));
        left.map_or(Duration::MAX, |left| left.max(Duration::from_micros(1)))
    }

    /// Writes and reads once, and waits for it.
    fn exchange(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut deadline = Deadline::until(self.opening.deadline());
        let exchanged = self.opening.write_with(|slices| stream.write_waiting(slices, &mut deadline));
        let read = exchanged.and_then(|_| stream.read_waiting(self.opening.read_buf(), &mut deadline));
        self.report(read);
    }

    fn report(&mut self, read: Result<usize, Error>) {
        let now = now();
        match read {
            Ok(n) => self.opening.advance_read(n, now),
            Err(Error::Timeout { .. }) => {
                self.opening.on_deadline(now);
            }
            Err(error) => self.opening.failed(error, now),
        }
        if let (Some(stream), Err(_)) = (&mut self.stream, self.opening.step()) {
            // It makes no difference whether the server gets to know why.
            let mut soon = Deadline::new(now, SOON);
            let _ = self.opening.write_with(|slices| stream.write_waiting(slices, &mut soon));
        }
    }

    /// The socket and the connection, which is ready.
    pub(crate) fn finish(self) -> Result<(Stream, Opened), Error> {
        match self.stream {
            Some(stream) => Ok((stream, self.opening.finish())),
            None => Err(Error::closed()),
        }
    }
}

#[cfg(unix)]
impl Opener {
    /// Begins to open a connection.
    pub(crate) fn begin(
        endpoint: &Arc<Endpoint>,
        deadline: &mut Deadline,
        waker: impl FnMut() -> Option<Waker>,
    ) -> Result<(Self, bool), Error> {
        let mut opener = Self::new(endpoint, deadline);
        opener.go_on((false, false), waker).map(|is_ready| (opener, is_ready))
    }

    /// Goes on as far as possible without waiting; `true` when the connection is ready. `waker` returns what is woken when a name was
    /// looked up. If there is no such thing, a look-up is waited for.
    pub(crate) fn go_on(
        &mut self,
        (to_read, to_write): (bool, bool),
        mut waker: impl FnMut() -> Option<Waker>,
    ) -> Result<bool, Error> {
        // What has come in time counts, even if this thread could not look before the deadline.
        if let Some(socket) = self.connecting.take_if(|_| to_read || to_write) {
            self.connected(Stream::end_connecting(socket, self.endpoint.options()));
        } else if to_read {
            self.read_at_once();
        } else if self.opening.on_deadline(now()) {
            (self.looking_up, self.connecting, self.stream) = (None, None, None);
        }
        loop {
            match self.opening.step()? {
                Step::Resolve { host, port } => match waker().map(|waker| self.poll_lookup(&host, port, &waker)) {
                    Some(Poll::Pending) => return Ok(false),
                    Some(Poll::Ready(())) => {}
                    None => self.resolve(host, port),
                },
                Step::Connect(_) if self.connecting.is_some() => return Ok(false),
                Step::Connect(Destination::Tcp(address)) => {
                    self.stream = None;
                    match Stream::begin_to_connect(address) {
                        Ok(socket) => self.connecting = Some(socket),
                        Err(error) => self.opening.connected(Err(error), now()),
                    }
                }
                // It takes no time, as a rule.
                Step::Connect(destination) => {
                    self.stream = None;
                    self.connected(Stream::connect(&destination, self.left(), self.endpoint.options()));
                }
                Step::Exchange => match self.write_at_once() {
                    Ok(()) => return Ok(false),
                    Err(error) => self.opening.failed(error, now()),
                },
                Step::Ready => return Ok(true),
            }
        }
    }

    fn poll_lookup(&mut self, host: &str, port: u16, waker: &Waker) -> Poll<()> {
        // One that was made before is of no use any more.
        self.stream = None;
        let lookup = self.endpoint.lookup();
        let waiting = self.looking_up.get_or_insert_with(|| lookup.wait());
        poll_resolve(host.to_owned(), port, (lookup, waiting), waker).map(|found| {
            self.looking_up = None;
            self.opening.resolved(found, now());
        })
    }

    fn read_at_once(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        // There is something to be read.
        let by = self.opening.deadline().map(|by| by.max(now() + SOON));
        let mut deadline = Deadline::until(by);
        let read = stream.read_waiting(self.opening.read_buf(), &mut deadline);
        self.report(read);
    }

    fn write_at_once(&mut self) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        self.opening.write_with(|slices| stream.write_at_once(slices)).map(drop)
    }

    /// The socket to wait for, and whether it is waited for until it can be written to; `None` while a name is looked up.
    pub(crate) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        match (&self.connecting, &self.stream) {
            (Some(socket), _) => Some((socket.as_fd(), true)),
            (None, Some(stream)) => Some((stream.as_fd(), self.opening.is_write_blocked())),
            (None, None) => None,
        }
    }
}

/// Without poll(2), connecting always waits.
#[cfg(not(unix))]
impl Opener {
    pub(crate) fn begin(
        endpoint: &Arc<Endpoint>,
        deadline: &mut Deadline,
        _: impl FnMut() -> Option<Waker>,
    ) -> Result<(Self, bool), Error> {
        let mut opener = Self::new(endpoint, deadline);
        while !opener.step()? {
            opener.exchange();
        }
        Ok((opener, true))
    }

    pub(crate) fn go_on(&mut self, _: (bool, bool), _: impl FnMut() -> Option<Waker>) -> Result<bool, Error> {
        Ok(true)
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::task::Context;

    use memcached2_proto::Options;
    use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session};
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// Waits until the socket is ready, and then until the step is late: as a call to several servers does whose thread is busy with
    /// the lookup of another one.
    fn wait_until_late(opener: &Opener, wants: PollFlags) {
        let (socket, _) = opener.socket().expect("a socket");
        let mut sockets = [PollFd::from_borrowed_fd(socket, wants)];
        poll(&mut sockets, None).expect("poll(2)");
        let by = opener.opening.deadline().expect("a deadline");
        while now() <= by {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_came_before_a_deadline_counts_even_if_it_is_seen_after_it() {
        let server = EmbeddedServer::start();
        let options = Options::default().connect_timeout(Duration::from_millis(1));
        let server = server.address().parse().expect("an address");
        let endpoint = Arc::new(Endpoint::new(0, &server, &options));
        let mut deadline = Deadline::new(now(), Duration::from_secs(20));
        let (mut opener, is_ready) = Opener::begin(&endpoint, &mut deadline, || None).expect("it is begun");
        assert!(!is_ready);
        wait_until_late(&opener, PollFlags::OUT);
        assert_eq!(opener.go_on((false, true), || None), Ok(false), "the connection was made in time");
        wait_until_late(&opener, PollFlags::IN);
        assert_eq!(opener.go_on((true, false), || None), Ok(true), "the answer came in time");
    }

    fn wait_for(opener: &Opener, wants: PollFlags) {
        let (socket, _) = opener.socket().expect("a socket");
        poll(&mut [PollFd::from_borrowed_fd(socket, wants)], None).expect("poll(2)");
    }

    #[test]
    fn no_socket_is_waited_for_while_a_name_is_looked_up_again() {
        let server = ScriptedServer::start([Session::new().expect_probe().close(), Session::new()]);
        let name = "memcached.invalid:1".parse().expect("an address");
        let endpoint = Arc::new(Endpoint::new(0, &name, &Options::default()));
        let waker = || Some(Waker::noop().clone());
        let begin_lookup = || {
            let begun = endpoint.lookup().wait().poll(&Context::from_waker(Waker::noop()), || {});
            assert!(begun.is_pending());
        };
        begin_lookup();
        let mut deadline = Deadline::new(now(), Duration::from_secs(20));
        let (mut opener, is_ready) = Opener::begin(&endpoint, &mut deadline, waker).expect("it is begun");
        assert!(!is_ready && opener.socket().is_none());
        endpoint.lookup().finish(Ok(vec![server.socket_addr()]));
        assert_eq!(opener.go_on((true, false), waker), Ok(false), "it connects");
        wait_for(&opener, PollFlags::OUT);
        assert_eq!(opener.go_on((false, true), waker), Ok(false), "the server is asked for its protocol");
        wait_for(&opener, PollFlags::IN);
        begin_lookup();
        assert_eq!(opener.go_on((true, false), waker), Ok(false), "the server has closed the connection");
        assert!(opener.socket().is_none());
        endpoint.lookup().finish(Ok(vec![server.socket_addr()]));
        assert_eq!(opener.go_on((true, false), waker), Ok(false), "it connects without a question");
        wait_for(&opener, PollFlags::OUT);
        assert_eq!(opener.go_on((false, true), waker), Ok(true));
        drop(opener);
        server.finish();
    }
}
