use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::super::driver::tests::{Never, now};
use super::*;
use crate::command::{Command, Get, Protocol, Store};
use crate::error::{Error, Landed};
use crate::opening::Endpoint;
use crate::options::Options;
use crate::shared::{AsyncStream, Driver, Queueing, SharedConnection};

/// A socket whose server is the test.
#[derive(Debug, Clone, Default)]
struct Socket(Arc<Mutex<Wire>>);

#[derive(Debug, Default)]
struct Wire {
    unread: VecDeque<u8>,
    /// What the driver has written, and what callers have.
    written: Vec<u8>,
    directly: Vec<u8>,
    /// How many bytes callers can write, if the socket is full behind them; else it has failed.
    room: Option<usize>,
}

impl Socket {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().expect("no panic")
    }

    /// What was written since the last time: by the driver, and by callers.
    fn written(&self) -> (String, String) {
        let mut wire = self.wire();
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(std::mem::take(&mut wire.written)), text(std::mem::take(&mut wire.directly)))
    }
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        let n = wire.unread.len().min(space.len());
        wire.unread.drain(..n).zip(space).for_each(|(byte, place)| *place = byte);
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| self.wire().written.extend_from_slice(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        Some(Arc::new(self.clone()))
    }
}

impl DirectWriter for Socket {
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        let n = bytes.len().min(wire.room.ok_or(io::ErrorKind::BrokenPipe)?);
        wire.directly.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
}

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that is driven by hand.
struct Stage {
    driver: Driver,
    shared: Arc<SharedConnection>,
    socket: Socket,
    wakes: Arc<Wakes>,
}

impl Stage {
    /// A connection with one reply behind it, so that the driver has a timer.
    fn new(protocol: Protocol) -> Self {
        Self::with(&Options::default().protocol(protocol))
    }

    fn with(options: &Options) -> Self {
        let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), options));
        let (driver, shared) = Driver::new(&endpoint, now());
        let socket = Socket::default();
        socket.wire().room = Some(usize::MAX);
        let mut stage = Self { driver, shared, socket, wakes: Arc::default() };
        let slot = stage.submit("before");
        stage.poll();
        let reply = if options.protocol == Some(Protocol::Meta) { "VA 1 f0 O0000\r\nx\r\n" } else { "END\r\n" };
        stage.answer(reply);
        assert!(stage.result(slot).is_some());
        assert_eq!(stage.socket.written().1, "");
        stage
    }

    fn poll(&mut self) {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let polled = self.driver.poll(&mut Context::from_waker(&waker), &mut self.socket, &mut Never);
        assert!(polled.is_pending(), "{polled:?}");
    }

    /// The server says this, and the driver is woken.
    fn answer(&mut self, reply: &str) {
        self.socket.wire().unread.extend(reply.bytes());
        self.poll();
    }

    fn submit(&self, key: &str) -> u32 {
        self.queue(&Get::new(key).expect("a key"), 1000)
    }

    /// A request that its caller makes alone, with a deadline in milliseconds.
    fn queue(&self, command: &impl Command, deadline: u64) -> u32 {
        let deadline = Instant::ZERO + Duration::from_millis(deadline);
        let queueing = Queueing { is_only: true, ..Queueing::default() };
        self.shared.queue(command, now(), deadline, queueing).expect("it is open").0
    }

    /// How often the driver was woken meanwhile.
    fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }

    /// How the call of a slot ended, if it has.
    fn result(&self, slot: u32) -> Option<Result<(), Landed>> {
        match self.shared.poll(slot, &Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(outcome) => Some(outcome.end.map_err(|failure| failure.error.landed())),
        }
    }
}

const HIT: &str = "VA 1 f0 O0001\r\nx\r\n";
const NEXT_HIT: &str = "VA 1 f0 O0002\r\nx\r\n";

#[test]
fn a_lone_caller_writes_and_the_driver_sleeps_until_the_reply_comes() {
    let mut stage = Stage::new(Protocol::Meta);
    stage.wakes();
    for (hit, line) in [(HIT, "mg a f v O0001\r\n"), (NEXT_HIT, "mg a f v O0002\r\n")] {
        let slot = stage.submit("a");
        assert_eq!((stage.wakes(), stage.socket.written()), (0, (String::new(), line.to_owned())));
        stage.answer(hit);
        assert_eq!(stage.result(slot), Some(Ok(())));
        assert_eq!(stage.socket.written(), Default::default());
    }
}

#[test]
fn what_the_socket_does_not_take_from_a_caller_is_written_by_the_driver() {
    for room in [None, Some(0), Some(1), Some(15)] {
        let mut stage = Stage::new(Protocol::Meta);
        stage.socket.wire().room = room;
        stage.wakes();
        let slot = stage.submit("a");
        assert_eq!(stage.wakes(), 1, "{room:?}");
        stage.poll();
        let (by_driver, by_caller) = stage.socket.written();
        assert_eq!((by_caller.len(), by_caller + &by_driver), (room.unwrap_or(0), "mg a f v O0001\r\n".to_owned()));
        stage.answer(HIT);
        assert_eq!(stage.result(slot), Some(Ok(())));
    }
}

#[test]
fn those_who_come_while_a_reply_is_awaited_leave_the_writing_to_the_driver() {
    let mut stage = Stage::new(Protocol::Meta);
    let first = stage.submit("a");
    stage.wakes();
    let second = stage.submit("b");
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, "mg a f v O0001\r\n"));
    stage.poll();
    assert_eq!(stage.socket.written(), ("mg b f v O0002\r\n".to_owned(), String::new()));
    let third = stage.submit("c");
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
    let slots = [first, second, third];
    assert_eq!(slots.map(|slot| stage.result(slot)), [None; 3]);
    // All are woken at once: they will most likely ask again together.
    stage.poll();
    stage.answer(&[HIT, NEXT_HIT, "VA 1 f0 O0003\r\nx\r\n"].concat());
    assert_eq!(slots.map(|slot| stage.result(slot)), [Some(Ok(())); 3]);
    stage.poll();
    stage.wakes();
    stage.submit("d");
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
}

#[test]
fn a_caller_does_not_write_where_a_late_reply_could_be_taken_for_its_own() {
    let stage = Stage::new(Protocol::Classic);
    stage.wakes();
    stage.submit("a");
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
}

#[test]
fn a_driver_without_a_timer_that_is_soon_enough_is_woken() {
    let stage = Stage::new(Protocol::Meta);
    stage.wakes();
    stage.queue(&Get::new("a").expect("a key"), 999);
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
}

#[test]
fn what_was_answered_before_counts_for_no_limit_while_a_reply_is_awaited() {
    let mut options = Options::default().protocol(Protocol::Meta).wait_at_limit(false);
    options.limits.in_flight = 2;
    let mut stage = Stage::with(&options);
    stage.wakes();
    let first = stage.submit("a");
    if stage.wakes() > 0 {
        stage.poll();
    }
    // Nothing but that is in flight.
    let second = stage.submit("b");
    stage.poll();
    stage.answer(&[HIT, NEXT_HIT].concat());
    assert_eq!([first, second].map(|slot| stage.result(slot)), [Some(Ok(())); 2]);
}

#[test]
fn a_long_request_is_left_to_the_driver() {
    let stage = Stage::new(Protocol::Meta);
    stage.wakes();
    stage.queue(&Store::set("a", &[b'x'; MOST]).expect("a value"), 1000);
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
}

#[test]
fn the_first_request_of_a_batch_is_left_to_the_driver_so_that_all_leave_in_one_packet() {
    let stage = Stage::new(Protocol::Meta);
    stage.wakes();
    stage.shared.submit(&Get::new("a").expect("a key"), now(), Instant::ZERO + Duration::from_secs(1)).expect("open");
    assert_eq!((stage.wakes(), stage.socket.written().1.as_str()), (1, ""));
}

#[test]
fn the_reply_to_a_cancelled_request_that_its_caller_has_written_is_discarded() {
    let mut stage = Stage::new(Protocol::Meta);
    stage.shared.cancel(stage.submit("a"));
    stage.poll();
    let next = stage.submit("b");
    stage.answer(HIT);
    assert_eq!(stage.result(next), None);
    stage.answer(NEXT_HIT);
    assert_eq!(stage.result(next), Some(Ok(())));
    assert!(stage.shared.lock().slots.is_empty());
}

#[test]
fn what_a_caller_has_written_may_have_landed_when_the_connection_ends() {
    for (room, landed) in [(Some(usize::MAX), Landed::Unknown), (Some(15), Landed::NotSent), (None, Landed::NotSent)] {
        let mut stage = Stage::new(Protocol::Meta);
        stage.socket.wire().room = room;
        let slot = stage.submit("a");
        stage.driver.end(&Error::disconnected("a test"));
        assert_eq!(stage.result(slot), Some(Err(landed)), "{room:?}");
        // Nobody keeps the socket open.
        assert_eq!(Arc::strong_count(&stage.socket.0), 1);
    }
}
