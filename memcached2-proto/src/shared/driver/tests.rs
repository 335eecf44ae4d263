//! How much a driver does before others have their turn.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use super::wire::Wire;
use super::{AsyncStream, AsyncTimer, Driver, PIECE};
use crate::call::{Fault, SlotResult};
use crate::command::{Get, Protocol, Store};
use crate::connection::Connection;
use crate::error::Error;
use crate::limits::Limits;
use crate::opening::Endpoint;
use crate::options::Options;
use crate::time::{Instant, Now};

/// A socket that takes whatever is written, and always has more to be read after that.
#[derive(Default)]
struct Endless {
    head: &'static [u8],
    /// How many bytes were moved, by how many calls, and how often it gave way.
    moved: usize,
    calls: usize,
    gave_way: usize,
}

impl Endless {
    fn moved(&mut self, bytes: usize) -> Poll<io::Result<usize>> {
        self.moved += bytes;
        self.calls += 1;
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncStream for Endless {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.calls == 0 {
            return Poll::Pending;
        }
        let head = std::mem::take(&mut self.head);
        let n = if head.is_empty() { space.len() } else { head.len() };
        space[..n].fill(b'x');
        space[..head.len()].copy_from_slice(head);
        self.moved(n)
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.moved(slices.iter().map(|slice| slice.len()).sum())
    }

    fn give_way(&mut self, _: &mut Context<'_>) {
        self.gave_way += 1;
    }
}

/// A socket whose replies come in pieces, and that knows only after the last one that nothing more comes: as one with TLS does.
#[derive(Default)]
pub(in super::super) struct Pieces {
    pub(in super::super) unread: VecDeque<&'static [u8]>,
    is_drained: bool,
    written: Vec<u8>,
}

impl AsyncStream for Pieces {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let piece = self.unread.pop_front();
        self.is_drained = piece.is_none();
        let Some(piece) = piece else { return Poll::Pending };
        space[..piece.len()].copy_from_slice(piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let before = self.written.len();
        slices.iter().for_each(|slice| self.written.extend_from_slice(slice));
        Poll::Ready(Ok(self.written.len() - before))
    }

    fn has_unread(&self) -> bool {
        !self.is_drained
    }
}

pub(in super::super) struct Never;

impl AsyncTimer for Never {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<Instant> {
        Poll::Pending
    }
}

pub(in super::super) fn now() -> Now {
    Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)
}

#[test]
fn an_upload_gives_way_to_other_tasks_though_the_socket_takes_all_of_it() {
    let mut connection = Connection::new(Limits::default());
    let value = vec![b'x'; 10 * PIECE];
    connection.submit(&Store::set("key", &value).expect("a value"), now(), 0).expect("a request");
    let (mut socket, mut cx) = (Endless::default(), Context::from_waker(Waker::noop()));
    let (mut all, mut turns) = (0, 0);
    while !connection.is_flushed() {
        turns += 1;
        assert_eq!(Wire::write(&mut socket, &mut cx, &mut connection).ok(), Some(connection.is_flushed()));
        assert!(!connection.is_write_blocked(), "the socket took all that it was given");
        let Endless { moved, calls, gave_way, .. } = std::mem::take(&mut socket);
        assert!(moved <= 4 * PIECE && calls * PIECE >= moved, "{moved} bytes in {calls} calls");
        assert_eq!(gave_way, usize::from(!connection.is_flushed()));
        all += moved;
    }
    assert!(turns >= 3 && all > 10 * PIECE, "{all} bytes in {turns} turns");
}

#[test]
fn a_download_gives_way_to_other_tasks_though_more_can_be_read() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let deadline = Instant::ZERO + Duration::from_secs(1);
    let slot = shared.submit(&Get::new("key").expect("a key"), now(), deadline).expect("it is open");
    let mut socket = Endless { head: b"VALUE key 0 100000000\r\n", ..Endless::default() };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    for turn in 1..20 {
        assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
        let Endless { moved, calls, gave_way, .. } = socket;
        assert!(moved <= turn * 5 * PIECE && calls * PIECE >= moved, "{moved} bytes in {calls} calls");
        assert_eq!(gave_way, turn);
    }
    assert!(shared.receives_large.load(std::sync::atomic::Ordering::Relaxed));
    shared.cancel(slot);
}

#[test]
fn a_reply_that_comes_in_many_pieces_is_not_taken_for_bytes_without_a_request() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let reply: &[u8] = b"VALUE a 0 4\r\nwxyz\r\nEND\r\n";
    // However many pieces are read in one turn.
    for pieces in 1..=reply.len() {
        let (mut driver, shared) = Driver::new(&endpoint, now());
        let deadline = Instant::ZERO + Duration::from_secs(1);
        let mut cx = Context::from_waker(Waker::noop());
        let mut socket = Pieces::default();
        shared.submit(&Get::new("a").expect("a key"), now(), deadline).expect("it is open");
        assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
        assert_eq!(socket.written, b"get a\r\n");
        shared.submit(&Get::new("b").expect("a key"), now(), deadline).expect("it is open");
        socket.unread = reply.chunks(reply.len().div_ceil(pieces)).collect();
        for _ in 0..=reply.len() {
            assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending(), "closed after {pieces} pieces");
        }
        assert!(socket.written.ends_with(b"get b\r\n"), "{pieces} pieces");
    }
}

/// Many callers wait for room and give up, and then those before them get their answers: no slot is in use any more.
#[test]
fn callers_that_gave_up_waiting_for_room_are_passed_over_though_their_slots_are_gone() {
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let options = Options { limits, ..Options::default().protocol(Protocol::Classic) };
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let (mut socket, mut cx) = (Pieces::default(), Context::from_waker(Waker::noop()));
    let get = Get::new("a").expect("a key");
    let submit = || shared.submit(&get, now(), Instant::ZERO + Duration::from_secs(1)).expect("it is open");
    let slots = [submit(), submit()];
    assert!(slots.iter().all(|slot| shared.poll(*slot, &cx).is_pending()));
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    let waiting: Vec<_> = (0..10_000).map(|_| submit()).collect();
    waiting.into_iter().for_each(|slot| shared.cancel(slot));
    socket.unread.push_back(b"END\r\nEND\r\n");
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    assert!(slots.into_iter().all(|slot| shared.poll(slot, &cx).is_ready()));
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    let slot = submit();
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    socket.unread.push_back(b"END\r\n");
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    assert!(shared.poll(slot, &cx).is_ready());
}

/// Its caller gives up between the two moments in which the driver looks at what callers have left.
#[test]
fn a_request_that_is_cancelled_before_the_driver_has_taken_it_over_is_not_sent() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let (mut socket, mut cx) = (Pieces::default(), Context::from_waker(Waker::noop()));
    let get = Get::new("a").expect("a key");
    let submit = || shared.submit(&get, now(), Instant::ZERO + Duration::from_secs(1)).expect("it is open");
    let first = submit();
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    shared.cancel(submit());
    driver.attend();
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    assert_eq!(socket.written, b"get a\r\n");
    socket.unread.push_back(b"END\r\n");
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    assert!(shared.poll(first, &cx).is_ready());
    assert!(shared.lock().slots.is_empty());
}

/// A clock whose hand moves on by a second whenever it is looked at.
#[derive(Default)]
struct Ticking(Cell<Duration>);

impl AsyncTimer for Ticking {
    fn now(&self) -> Instant {
        self.0.set(self.0.get() + Duration::from_secs(1));
        Instant::ZERO + self.0.get()
    }

    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<Instant> {
        Poll::Pending
    }
}

#[test]
fn the_clock_is_read_once_for_all_replies_of_a_read_and_only_once_an_observer_has_asked_when_one_came() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let deadline = Instant::ZERO + Duration::from_secs(1000);
    let (mut cx, mut socket, mut clock) = (Context::from_waker(Waker::noop()), Pieces::default(), Ticking::default());
    let second = |number| Instant::ZERO + Duration::from_secs(number);
    let mut answer_two = |clock: &mut Ticking| {
        let get = Get::new("a").expect("a key");
        let slots = [0, 1].map(|_| shared.submit(&get, now(), deadline).expect("it is open"));
        while socket.written.is_empty() {
            assert!(driver.poll(&mut cx, &mut socket, clock).is_pending());
        }
        let before = clock.0.get();
        socket.written.clear();
        socket.unread.push_back(b"END\r\nEND\r\n");
        assert!(driver.poll(&mut cx, &mut socket, clock).is_pending());
        assert!(slots.iter().all(|slot| shared.poll(*slot, &Context::from_waker(Waker::noop())).is_ready()));
        (clock.0.get() - before).as_secs()
    };
    assert_eq!(answer_two(&mut clock), 0);
    assert_eq!(shared.arrival.last(|| second(100)), second(100));
    clock.0.set(Duration::from_secs(200));
    assert_eq!(answer_two(&mut clock), 1);
    assert_eq!(shared.arrival.last(|| second(300)), second(201));
}

/// A clock that stands still at a moment.
struct At(Instant);

impl AsyncTimer for At {
    fn now(&self) -> Instant {
        self.0
    }

    fn poll_until(&mut self, _: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        if deadline <= self.0 { Poll::Ready(self.0) } else { Poll::Pending }
    }
}

/// On another thread the driver looks at all deadlines between the first request of a batch and the others.
#[test]
fn the_other_requests_of_a_batch_time_out_though_the_first_was_answered_before_they_were_encoded() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let (mut socket, mut cx) = (Pieces::default(), Context::from_waker(Waker::noop()));
    let (get, second) = (Get::new("a").expect("a key"), |number| Instant::ZERO + Duration::from_secs(number));
    // The deadline of the first one stays until it has passed.
    for (deadline, present) in [(1, 0), (3, 2)] {
        let slot = shared.submit(&get, now(), second(deadline)).expect("it is open");
        let mut clock = At(second(present));
        assert!(driver.poll(&mut cx, &mut socket, &mut At(Instant::ZERO)).is_pending());
        socket.unread.push_back(b"END\r\n");
        assert!(driver.poll(&mut cx, &mut socket, &mut clock).is_pending());
        assert!(shared.poll(slot, &cx).is_ready());
    }
    let mut run = shared.begin_run(now(), second(3));
    let (slot, _) = run.queue(&get, now()).expect("there is room");
    drop(run);
    assert!(driver.poll(&mut cx, &mut socket, &mut At(second(2))).is_pending());
    assert!(shared.poll(slot, &cx).is_pending());
    assert!(driver.poll(&mut cx, &mut socket, &mut At(second(3))).is_ready(), "the server is silent");
    assert!(shared.poll(slot, &cx).is_ready());
}

#[test]
fn a_connection_that_is_not_opened_in_time_says_nothing_against_a_server_that_answers_on_another_one() {
    let options = Options::default().protocol(Protocol::Classic);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
    let second = |number| Instant::ZERO + Duration::from_secs(number);
    let fault = |kind: io::ErrorKind| {
        let (mut driver, shared) = Driver::new(&endpoint, now());
        let slot = shared.submit(&Get::new("a").expect("a key"), now(), second(9)).expect("it is open");
        driver.end_opening(&Error::connect(&kind.into()), second(5));
        match shared.poll(slot, &Context::from_waker(Waker::noop())) {
            Poll::Ready(SlotResult { end: Err(failure), .. }) => failure.fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault(io::ErrorKind::TimedOut), Fault::Server);
    endpoint.answered(second(1));
    assert_eq!(fault(io::ErrorKind::TimedOut), Fault::Nobody);
    assert_eq!(fault(io::ErrorKind::ConnectionRefused), Fault::Server);
}

/// The waker of a runtime with a fault.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("no task can be woken");
    }
}

#[test]
fn a_request_is_cancelled_whose_caller_has_no_slot_because_the_driver_could_not_be_woken() {
    for protocol in [Some(Protocol::Classic), None] {
        let options = Options { protocol, ..Options::default() };
        let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().expect("an address"), &options));
        let (mut driver, shared) = Driver::new(&endpoint, now());
        let mut socket = Pieces::default();
        let panics = Waker::from(Arc::new(Panics));
        assert!(driver.poll(&mut Context::from_waker(&panics), &mut socket, &mut Never).is_pending());
        let submit = || shared.submit(&Get::new("a").expect("a key"), now(), Instant::ZERO + Duration::from_secs(1));
        assert!(catch_unwind(AssertUnwindSafe(submit)).is_err(), "it wakes the driver");
        assert!(driver.poll(&mut Context::from_waker(Waker::noop()), &mut socket, &mut Never).is_pending());
        assert_eq!(shared.lock().slots.counts(), (0, 0));
    }
}
