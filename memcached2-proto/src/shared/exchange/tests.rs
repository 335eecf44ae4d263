use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::task::Waker;

use super::super::driver::tests::{Never, Pieces, now};
use super::*;
use crate::command::{Get, Protocol};
use crate::observer::{Event, Observer};
use crate::opening::Endpoint;
use crate::operation::Batch;
use crate::options::Options;
use crate::routing::Router;
use crate::shared::Driver;

/// Asks for something on the connection of each call that it hears of, as another thread may do at that moment, and panics.
#[derive(Debug, Default)]
struct Panics {
    shared: Mutex<Option<Arc<SharedConnection>>>,
    slot: Mutex<Option<u32>>,
}

impl Observer for Panics {
    fn on_request(&self, _: &Event<'_>) {
        let Some(shared) = self.shared.lock().unwrap().take() else { return };
        let get = Get::new("other").unwrap();
        *self.slot.lock().unwrap() = shared.submit(&get, now(), Instant::ZERO + Duration::from_secs(1)).ok();
        panic!("in an observer");
    }
}

/// Runs an operation whose observer panics, and then the driver until the other request must have been answered.
fn the_other_is_answered<O: Operation>(operation: O, replies: &'static [u8]) -> bool {
    let observer = Arc::new(Panics::default());
    let options = Options::default().protocol(Protocol::Classic).observer(Arc::<Panics>::clone(&observer));
    let router = Router::with_options(["127.0.0.1"], &options).unwrap().for_client(0, now);
    let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().unwrap(), &options));
    let (mut driver, shared) = Driver::new(&endpoint, now());
    let (mut socket, mut cx) = (Pieces::default(), Context::from_waker(Waker::noop()));
    let mut call = Call::new(operation, &router, now());
    let mut exchange = Box::pin(exchange(&mut call, now(), None, |_, _, _| Ok(Arc::clone(&shared))));
    assert!(exchange.as_mut().poll(&mut cx).is_pending() && driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    socket.unread.push_back(replies);
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    *observer.shared.lock().unwrap() = Some(Arc::clone(&shared));
    assert!(catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(&mut cx))).is_err(), "it panics");
    drop(exchange);
    let slot = observer.slot.lock().unwrap().expect("it was called");
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    socket.unread.push_back(b"END\r\n");
    assert!(driver.poll(&mut cx, &mut socket, &mut Never).is_pending());
    shared.poll(slot, &cx).is_ready()
}

#[test]
fn a_call_that_panics_when_it_was_answered_does_not_cancel_the_one_that_has_its_slot_since() {
    assert!(the_other_is_answered(Get::new("a").unwrap(), b"END\r\n"), "of one request");
    let two = Batch::new(vec![Get::new("a").unwrap(), Get::new("b").unwrap()]);
    assert!(the_other_is_answered(two, b"END\r\nEND\r\n"), "of two requests");
}
