//! What the threads of a server share.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{SockAddr, Socket};

use super::core::Core;

#[derive(Debug)]
pub(super) struct Shared(Mutex<State>, Condvar);

impl Shared {
    pub(super) fn new(core: Core) -> Self {
        let state = State {
            core,
            streams: HashMap::new(),
            listener: None,
            new_listener: None,
            is_accepting: false,
            last_guest: None,
            accepted: 0,
            stopping: false,
            suspended: false,
        };
        Self(Mutex::new(state), Condvar::new())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all threads that wait for the state to change.
    pub(super) fn notify(&self) {
        self.1.notify_all();
    }

    /// Waits for the next change of the state.
    pub(super) fn wait(&self, state: MutexGuard<'_, State>) {
        drop(self.1.wait(state));
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.1.wait_while(self.lock(), condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the socket to accept connections from, as soon as there is one; `None` when the server stops.
    pub(super) fn listener(&self) -> Option<Arc<Socket>> {
        let mut state = self.wait_while(|state| !state.stopping && state.new_listener.is_none());
        state.new_listener.take().filter(|_| !state.stopping)
    }

    /// Says that the acceptor has given its socket back.
    pub(super) fn has_closed_listener(&self) {
        let mut state = self.lock();
        (state.is_accepting, state.last_guest) = (false, None);
        drop(state);
        self.notify();
    }

    /// Waits until the acceptor has given its socket back.
    pub(super) fn wait_for_closed_listener(&self) {
        drop(self.wait_while(|state| state.is_accepting));
    }

    /// Waits for this long, or until other faults are set; `None` if the server stops meanwhile.
    pub(super) fn wait_out<'a>(&self, state: MutexGuard<'a, State>, delay: Duration) -> Option<MutexGuard<'a, State>> {
        if delay.is_zero() {
            return Some(state);
        }
        let faults_set = state.core.faults_set();
        let waits = |state: &mut State| !state.stopping && state.core.faults_set() == faults_set;
        let (state, _) = self.1.wait_timeout_while(state, delay, waits).unwrap_or_else(PoisonError::into_inner);
        (!state.stopping).then_some(state)
    }

    /// Wakes those who watch, and ends the server if a client has.
    pub(super) fn after_change(&self, state: &mut State) {
        if state.core.is_watched() {
            self.1.notify_all();
        }
        if state.core.is_shut_down() && !state.stopping {
            state.stopping = true;
            self.1.notify_all();
            for stream in state.streams.values().chain(state.listener.as_deref()) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// The state as soon as the server does not stand still; `None` when it stops.
    pub(super) fn awake(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.wait_while(|state| state.suspended);
        (!state.stopping).then_some(state)
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Core,
    /// The open connections, to be shut down.
    pub(super) streams: HashMap<usize, Socket>,
    /// The socket that accepts, which a client can end; none while connections are refused.
    pub(super) listener: Option<Arc<Socket>>,
    /// The same, until the acceptor takes it.
    new_listener: Option<Arc<Socket>>,
    /// The acceptor has it, or will take it.
    is_accepting: bool,
    /// Who connects to end the acceptor.
    pub(super) last_guest: Option<SockAddr>,
    pub(super) accepted: usize,
    pub(super) stopping: bool,
    pub(super) suspended: bool,
}

impl State {
    /// Gives the acceptor a socket.
    pub(super) fn listen(&mut self, listener: Socket) {
        let listener = Arc::new(listener);
        (self.listener, self.new_listener, self.is_accepting) = (Some(Arc::clone(&listener)), Some(listener), true);
    }

    /// Whether this is who connects to end the acceptor.
    pub(super) fn is_last_guest(&self, peer: &SockAddr) -> bool {
        self.last_guest.as_ref().is_some_and(|guest| match guest.as_socket() {
            Some(address) => peer.as_socket() == Some(address),
            None => guest == peer,
        })
    }
}
