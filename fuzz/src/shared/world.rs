//! Runtime, clock, network and servers of the calls: all moved by the script.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use memcached2_proto::opening::{Destination, Endpoint};
use memcached2_proto::shared::{AsyncStream, AsyncTimer, Connector, DirectWriter, Driver, Runtime};
use memcached2_proto::{Error, Instant};
use memcached2_testkit::embedded::{Core, Session};

/// When the servers start, in Unix time.
pub(super) const START: u64 = 1_800_000_000;

/// All that is outside of the client.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

struct State {
    now: Instant,
    /// How often the tasks were run.
    runs: u32,
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    server: Core,
    wires: Vec<Wire>,
    refuses: bool,
    is_honest: bool,
}

/// The network between a socket and its server.
struct Wire {
    session: Session,
    /// What the server has said and the client has not got.
    said: VecDeque<u8>,
    /// How much of that the client may read.
    released: usize,
    is_closed: bool,
    is_full: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let server = Core::new(START);
        let (tasks, wires) = (Vec::new(), Vec::new());
        let now = Instant::ZERO;
        Self(Arc::new(Mutex::new(State { now, runs: 0, tasks, server, wires, refuses: false, is_honest: true })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no poll panics")
    }

    pub(super) fn now(&self) -> Instant {
        self.state().now
    }

    /// How many tasks have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.state().tasks.len()
    }

    /// Whether servers have said nothing but replies.
    pub(super) fn is_honest(&self) -> bool {
        self.state().is_honest
    }

    /// Polls each task once.
    pub(super) fn run_tasks(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = std::mem::take(&mut self.state().tasks);
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        let mut state = self.state();
        state.tasks.append(&mut tasks);
        state.runs += 1;
    }

    /// How often the tasks were run.
    pub(super) fn runs(&self) -> u32 {
        self.state().runs
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut state = self.state();
        state.now += time;
    }

    fn on_wire(&self, argument: u8, act: impl FnOnce(&mut Wire)) {
        let mut state = self.state();
        let count = state.wires.len();
        if count > 0 {
            act(&mut state.wires[usize::from(argument) % count]);
        }
    }

    /// Lets the client read more of what a server has said: all, or some bytes.
    pub(super) fn release(&self, argument: u8) {
        let n = if argument & 0x80 == 0 { usize::MAX } else { usize::from(argument >> 3 & 15) };
        self.on_wire(argument, |wire| wire.released = wire.released.saturating_add(n));
    }

    pub(super) fn close(&self, argument: u8) {
        self.on_wire(argument, |wire| wire.is_closed = true);
    }

    /// A server says something of its own.
    pub(super) fn inject(&self, argument: u8, bytes: Vec<u8>) {
        self.state().is_honest = false;
        self.on_wire(argument, |wire| wire.said.extend(bytes));
    }

    /// A socket takes nothing more, or takes bytes again; or servers refuse connections, or accept them again.
    pub(super) fn toggle(&self, argument: u8) {
        match argument & 3 {
            0 => self.state().refuses ^= true,
            _ => self.on_wire(argument >> 2, |wire| wire.is_full ^= true),
        }
    }
}

impl Runtime for World {
    type Id = ();
    type Timer = Self;

    fn id(&self) -> Result<(), Error> {
        Ok(())
    }

    fn now(&self) -> Instant {
        self.state().now
    }

    fn timer(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn spawn(&self, driver: Driver) {
        let task = driver.run(self.clone(), self.clone());
        self.state().tasks.push(Box::pin(task));
    }
}

impl AsyncTimer for World {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn poll_until(&mut self, _: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let now = self.state().now;
        if now < deadline { Poll::Pending } else { Poll::Ready(now) }
    }
}

impl Connector for World {
    type Stream = Socket;

    async fn resolve(&self, _: &Arc<Endpoint>, _: String, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        Ok(Arc::from([SocketAddr::from(([127, 0, 0, 1], port))]))
    }

    async fn connect(&self, _: &Arc<Endpoint>, _: Destination) -> io::Result<Socket> {
        let mut state = self.state();
        if state.refuses || state.wires.len() >= 256 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let session = state.server.connect();
        state.wires.push(Wire { session, said: VecDeque::new(), released: 0, is_closed: false, is_full: false });
        Ok(Socket { world: self.clone(), wire: state.wires.len() - 1 })
    }
}

#[derive(Clone)]
pub(super) struct Socket {
    world: World,
    wire: usize,
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.world.state();
        let wire = &mut state.wires[self.wire];
        let n = wire.said.len().min(space.len()).min(wire.released);
        for (byte, said) in space.iter_mut().zip(wire.said.drain(..n)) {
            *byte = said;
        }
        if wire.released < usize::MAX {
            wire.released -= n;
        }
        match n {
            0 if wire.is_closed => Poll::Ready(Ok(0)),
            0 => Poll::Pending,
            n => Poll::Ready(Ok(n)),
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        match self.write_now(&bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn has_unread(&self) -> bool {
        let state = self.world.state();
        let wire = &state.wires[self.wire];
        wire.released > 0 && !wire.said.is_empty()
    }
    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        Some(Arc::new(self.clone()))
    }
}

impl DirectWriter for Socket {
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.world.state();
        let State { wires, server, .. } = &mut *state;
        let wire = &mut wires[self.wire];
        if wire.is_closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if wire.is_full {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.session.feed(server, bytes, START);
        wire.said.extend(std::iter::from_fn(|| wire.session.take_outgoing()).flatten());
        Ok(bytes.len())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("wire", &self.wire).finish_non_exhaustive()
    }
}
