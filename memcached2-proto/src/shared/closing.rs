//! The end of a client: which of its connections have not ended, and who waits until it is closed.

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
    /// Who waits until the client is closed, each with its number.
    pauses: Vec<(u64, Waker)>,
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

    /// Refuses connections from now on, and ends all pauses. Returns the connections that may not have ended.
    pub(super) fn close(&self) -> Vec<Arc<SharedConnection>> {
        let mut state = self.lock();
        state.is_closed = true;
        let connections = state.connections.iter().filter_map(Weak::upgrade).collect();
        let pauses = std::mem::take(&mut state.pauses);
        drop(state);
        pauses.into_iter().for_each(|(_, waker)| waker.wake());
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
        let before = match state.pauses.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, waker)) if waker.will_wake(cx.waker()) => None,
            Some((_, waker)) => Some(std::mem::replace(waker, cx.waker().clone())),
            None => {
                state.pauses.push((self.number, cx.waker().clone()));
                None
            }
        };
        // Not while the lock is held: dropping a waker can drop a task, and with it another pause.
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut state = self.closing.lock();
        let place = state.pauses.iter().position(|(number, _)| *number == self.number);
        let waker = place.map(|place| state.pauses.swap_remove(place));
        drop(state);
        drop(waker);
    }
}
