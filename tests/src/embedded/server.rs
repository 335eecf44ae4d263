use std::fs;
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Socket, Type};

use super::accept::accept;
use super::clock::Clock;
use super::faults::Faults;
use super::place::{Place, listen};
use super::setup::EmbeddedSetup;
use super::shared::Shared;

/// Plays a memcached 1.6.18 within the process of the test, gone when it is dropped.
///
/// It answers the classic and the meta commands byte for byte as memcached does. What differs:
///
/// * Eviction is least recently used over all items, by their bytes: there are no slab pages and no segments. Slab
///   classes exist in statistics only. Memcached takes at least a page per class and starts to evict later.
/// * Expired and flushed items stay counted in `curr_items` until they are asked for: no thread looks for them.
/// * A counter from 2^63 on always counts. To memcached it is no number if there is a minus sign somewhere after it in
///   memory.
/// * The time since the last access (`l` and `la`) starts again with every fetch but the first.
/// * No slab class has a page to spare, so `slabs reassign` moves none. `lru`, `slabs automove` and most settings of `lru_crawler` and
///   `extstore` are only kept.
/// * `watch` reports fetched, stored, evicted and deleted items and connections, and nothing else.
/// * `stats conns` is empty, and the binary protocol is hung up on.
#[derive(Debug)]
pub struct EmbeddedServer {
    setup: EmbeddedSetup,
    place: Place,
    pub(super) shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    /// Held while faults are set, one caller after the other.
    switching: Mutex<()>,
}

impl EmbeddedServer {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When 127.0.0.1 has no free port.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with().start()
    }

    /// Returns a setup to be changed before the start.
    pub fn with() -> EmbeddedSetup {
        EmbeddedSetup::default()
    }

    #[track_caller]
    pub(super) fn listen(mut setup: EmbeddedSetup) -> Self {
        let (listener, place) = match setup.home.listen() {
            Ok(listening) => listening,
            Err(error) => panic!("the embedded server cannot listen: {error}"),
        };
        place.describe(&mut setup.config);
        let core = setup.clone().core(setup.clock.unix_seconds());
        let shared = Arc::new(Shared::new(core));
        let mut server = Self { setup, place, shared, acceptor: None, switching: Mutex::default() };
        server.run(Some(listener));
        server
    }

    /// Returns the address, which stays the same over a restart:
    /// `127.0.0.1:PORT`, `[::1]:PORT` or `memcached+unix:///PATH`, and `memcacheds://127.0.0.1:PORT` by TLS.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
            #[cfg(feature = "tls")]
            Place::Tcp { address, .. } if self.setup.tls.is_some() => format!("memcacheds://{address}"),
            Place::Tcp { address, .. } => address.to_string(),
            Place::Unix(path) => format!("memcached+unix://{}", path.display()),
        }
    }

    /// Returns the clock by which items expire; it goes on over a restart.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.setup.clock
    }

    /// Counts the connections accepted so far, over restarts too.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Stands still, as a process does at SIGSTOP: connections stay open and new ones can be made, but nothing is
    /// answered until [`EmbeddedServer::resume`], or a restart.
    pub fn suspend(&self) {
        self.shared.lock().suspended = true;
    }

    /// Goes on, and answers what came meanwhile.
    pub fn resume(&self) {
        self.shared.lock().suspended = false;
        self.shared.notify();
    }

    /// Sets what goes wrong from now on, in the place of all faults that were set before: see [`Faults`].
    ///
    /// It holds as soon as this returns, and over a restart. Answers that are delayed are sent at once.
    ///
    /// # Panics
    ///
    /// If connections are no longer refused and another process has taken the address.
    #[track_caller]
    pub fn set_faults(&self, faults: Faults) {
        let _one_by_one = self.switching.lock().unwrap_or_else(PoisonError::into_inner);
        let refuses = faults.refuses;
        let mut state = self.shared.lock();
        state.core.set_faults(faults);
        let is_running = self.acceptor.is_some() && !state.stopping;
        let listener = if refuses { state.listener.take() } else { None };
        let is_deaf = state.listener.is_none();
        drop(state);
        self.shared.notify();
        if is_running && refuses {
            if let Some(listener) = listener {
                // Who has connected before is still accepted, unless the acceptor can be woken only so.
                if self.wake_acceptor().is_err() {
                    let _ = listener.shutdown(Shutdown::Both);
                }
            }
            self.shared.wait_for_closed_listener();
        } else if is_running && is_deaf {
            let listener = self.listen_again();
            self.shared.lock().listen(listener);
            self.shared.notify();
        }
    }

    /// Closes all connections and stops listening; it does nothing to a stopped server.
    pub fn stop(&mut self) {
        let Some(thread) = self.acceptor.take() else { return };
        let mut state = self.shared.lock();
        state.stopping = true;
        let listener = state.listener.take();
        drop(state);
        self.resume();
        // On some systems this wakes the acceptor, on the others only a guest does.
        if let Some(listener) = listener {
            let _ = listener.shutdown(Shutdown::Both);
            let _ = self.wake_acceptor();
        }
        if thread.join().is_err() && !thread::panicking() {
            panic!("the acceptor of {} has panicked", self.address());
        }
    }

    /// Connects to the acceptor, which knows the address and ends.
    fn wake_acceptor(&self) -> io::Result<()> {
        let socket = Socket::new(self.place.domain(), Type::STREAM, None)?;
        let path = self.place.bind_guest(&socket)?;
        self.shared.lock().last_guest = Some(socket.local_addr()?);
        let connected = socket.connect_timeout(&self.place.address()?, Duration::from_secs(10));
        path.map(fs::remove_file);
        connected
    }

    /// The path of a Unix socket stays after the server has stopped, as it does after a process was killed.
    fn remove_socket(&self) {
        if let Place::Unix(path) = &self.place {
            let _ = fs::remove_file(path);
        }
    }

    /// Stops the server, if it runs, and starts an empty one at the same address. Its faults stay, and so does what was
    /// asked.
    ///
    /// # Panics
    ///
    /// If another process has taken the address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        let refuses = self.shared.lock().core.faults().refuses;
        let listener = (!refuses).then(|| self.listen_again());
        let mut state = self.shared.lock();
        let core = self.setup.clone().core(self.setup.clock.unix_seconds());
        state.core = core.after(&mut state.core);
        state.stopping = false;
        drop(state);
        self.run(listener);
    }

    #[track_caller]
    fn listen_again(&self) -> Socket {
        self.remove_socket();
        match self.place.address().and_then(|address| listen(self.place.domain(), &address)) {
            Ok(listener) => listener,
            Err(error) => panic!("the server does not listen again on {}: {error}", self.address()),
        }
    }

    fn run(&mut self, listener: Option<Socket>) {
        let (shared, setup) = (Arc::clone(&self.shared), self.setup.clone());
        if let Some(listener) = listener {
            shared.lock().listen(listener);
        }
        self.acceptor = Some(thread::spawn(move || accept(&shared, &setup)));
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        self.stop();
        self.remove_socket();
    }
}

#[cfg(test)]
mod tests;
