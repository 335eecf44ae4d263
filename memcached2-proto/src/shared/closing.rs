//! The end of a client: which of its connections have not ended, and who waits until it is closed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::SharedConnection;
use crate::error::Error;

/// All connections of a client, also those that take no more calls: the server has left the list, or another connection has taken their
/// place.
#[derive(Debug, Default)]
pub(super) struct Closing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    connections: Vec<Weak<SharedConnection>>,
    /// Who waits until the client is closed, each under its number: thousands, if as many keys are fetched that another program has the
    /// lease of.
    pauses: BTreeMap<u64, Waker>,
    next: u64,
}

/// One who waits until the client is closed, until this is dropped.
#[derive(Debug)]
pub(super) struct Pause<'c> {
    closing: &'c Closing,
    number: u64,
}

impl Closing {
    /// Notes a connection that was just made.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after [`Closing::close`].
    pub(super) fn add(&self, shared: &Arc<SharedConnection>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Error::closed());
        }
        let known: Vec<_> = state.connections.iter().filter_map(Weak::upgrade).collect();
        let open = known.iter().filter(|known| !known.is_over()).chain([shared]);
        state.connections = open.map(Arc::downgrade).collect();
        // Not while the lock is held: to drop the last one drops wakers, and with them tasks that may pause here.
        drop(state);
        drop(known);
        Ok(())
    }

    /// Refuses connections from now on, and ends all pauses. Lets each connection end with a `quit` when the calls under way have ended,
    /// and returns those that may not have ended.
    pub(super) fn close(&self) -> Vec<Arc<SharedConnection>> {
        let mut state = self.lock();
        state.is_closed = true;
        let connections: Vec<_> = state.connections.iter().filter_map(Weak::upgrade).collect();
        let pauses = std::mem::take(&mut state.pauses);
        drop(state);
        // Each of them, also after a waker that has panicked, as that of a task may do whose executor is gone.
        let quits = connections.iter().map(|shared| catch_unwind(AssertUnwindSafe(|| shared.quit())));
        let wakes = pauses.into_values().map(|waker| catch_unwind(AssertUnwindSafe(|| waker.wake())));
        let panics: Vec<_> = quits.chain(wakes).filter_map(Result::err).collect();
        if let Some(panic) = panics.into_iter().next() {
            resume_unwind(panic);
        }
        connections
    }

    /// One who waits until the client is closed.
    pub(super) fn pause(&self) -> Pause<'_> {
        let mut state = self.lock();
        state.next += 1;
        Pause { closing: self, number: state.next }
    }

    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause<'_> {
    /// Waits until the client is closed.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.closing.lock();
        if state.is_closed {
            return Poll::Ready(());
        }
        let before = match state.pauses.get(&self.number) {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.pauses.insert(self.number, cx.waker().clone()),
        };
        // Not while the lock is held: dropping a waker can drop a task, and with it another pause.
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let waker = self.closing.lock().pauses.remove(&self.number);
        // Not while the lock is held, as above.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::SystemTime;

    use super::*;
    use crate::opening::Endpoint;
    use crate::options::Options;
    use crate::shared::Driver;
    use crate::shared::phase::Phase;
    use crate::time::{Instant, Now};

    #[test]
    fn who_pauses_is_woken_when_the_client_is_closed_and_leaves_no_waker() {
        struct Task;
        impl std::task::Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let (closing, tasks) = (Closing::default(), [(); 3].map(|()| Arc::new(Task)));
        let pauses = [(); 3].map(|()| closing.pause());
        let poll = |pauses: &[Pause<'_>; 3], at: usize, task: usize| {
            pauses[at].poll(&Context::from_waker(&Waker::from(Arc::clone(&tasks[task]))))
        };
        // The second one moves to the third task.
        for (at, task) in [(0, 0), (1, 1), (2, 2), (0, 0), (1, 2)] {
            assert!(poll(&pauses, at, task).is_pending());
        }
        let held = || tasks.each_ref().map(|task| Arc::strong_count(task) - 1);
        assert_eq!(held(), [1, 0, 2]);
        let [first, second, third] = pauses;
        drop(first);
        assert_eq!(held(), [0, 0, 2]);
        closing.close();
        assert_eq!(held(), [0, 0, 0]);
        assert!(second.poll(&Context::from_waker(Waker::noop())).is_ready());
        drop(third);
    }

    /// As that of a task whose executor is gone may do.
    #[test]
    fn a_waker_that_panics_keeps_no_other_connection_and_no_pause_from_ending() {
        struct Panics;
        impl std::task::Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("its executor is gone");
            }
        }
        #[derive(Default)]
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().unwrap(), &Options::default()));
        let now = Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
        let (closing, woken) = (Closing::default(), [(); 2].map(|()| Arc::new(Woken::default())));
        let wakers = [Waker::from(Arc::new(Panics)), Waker::from(Arc::clone(&woken[0]))];
        let drivers = wakers.map(|waker| {
            let (driver, _) = Driver::new(&endpoint, now);
            closing.add(driver.shared()).unwrap();
            driver.shared().lock().driver = Some(waker);
            driver
        });
        let pauses = [(); 2].map(|()| closing.pause());
        let wakers = [Waker::from(Arc::new(Panics)), Waker::from(Arc::clone(&woken[1]))];
        for (pause, waker) in pauses.iter().zip(&wakers) {
            assert!(pause.poll(&Context::from_waker(waker)).is_pending());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| closing.close())).is_err(), "it panics");
        assert!(drivers.iter().all(|driver| driver.shared().lock().phase == Phase::Quitting));
        assert!(woken.iter().all(|woken| woken.0.load(Ordering::Relaxed)));
    }
}
