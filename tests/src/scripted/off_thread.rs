use std::future::{self, Future};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

/// Runs a blocking wait on another thread, so that the polling thread can drive the client under test.
///
/// A panic of `wait` would leave the future pending for ever; a wait returns
/// its failure instead.
pub(super) fn off_thread<T, F>(wait: F) -> impl Future<Output = T> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let slot = Arc::new(Mutex::new((None::<T>, None::<Waker>)));
    let filled = Arc::clone(&slot);
    thread::spawn(move || {
        let result = wait();
        let waker = {
            let mut slot = filled.lock().unwrap_or_else(PoisonError::into_inner);
            slot.0 = Some(result);
            slot.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    future::poll_fn(move |context| {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = slot.0.take() {
            return Poll::Ready(result);
        }
        slot.1 = Some(context.waker().clone());
        Poll::Pending
    })
}
