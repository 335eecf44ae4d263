//! The end of a client: which of its connections have not ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
        // Not while the lock is held: to drop the last one drops wakers, and with them tasks of any kind.
        drop(state);
        drop(known);
        Ok(())
    }

    /// Refuses connections from now on. Returns the connections that may not have ended.
    pub(super) fn close(&self) -> Vec<Arc<SharedConnection>> {
        let mut state = self.lock();
        state.is_closed = true;
        state.connections.iter().filter_map(Weak::upgrade).collect()
    }

    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
