use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Socket, Type};

use super::clock::Clock;
use super::core::{Core, Session};
use super::place::{Place, listen};
use super::setup::EmbeddedSetup;

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
    shared: Arc<Shared>,
    acceptor: Option<Acceptor>,
}

/// The thread that accepts, and its socket.
#[derive(Debug)]
struct Acceptor(JoinHandle<()>, Option<Socket>);

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
        let state =
            State { core, streams: HashMap::new(), listener: None, accepted: 0, stopping: false, suspended: false };
        let shared = Arc::new(Shared(Mutex::new(state), Condvar::new()));
        let mut server = Self { setup, place, shared, acceptor: None };
        server.run(listener);
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
        self.shared.1.notify_all();
    }

    /// Closes all connections and stops listening; it does nothing to a stopped server.
    pub fn stop(&mut self) {
        let Some(Acceptor(thread, listener)) = self.acceptor.take() else { return };
        let mut state = self.shared.lock();
        (state.stopping, state.listener) = (true, None);
        drop(state);
        self.resume();
        // On some systems this wakes the acceptor, on the others only a guest does.
        if let Some(listener) = listener {
            let _ = listener.shutdown(Shutdown::Both);
        }
        if let Ok(socket) = Socket::new(self.place.domain(), Type::STREAM, None) {
            let _ = self.place.address().and_then(|address| socket.connect_timeout(&address, Duration::from_secs(10)));
        }
        if thread.join().is_err() && !thread::panicking() {
            panic!("the acceptor of {} has panicked", self.address());
        }
    }

    /// The path of a Unix socket stays after the server has stopped, as it does after a process was killed.
    fn remove_socket(&self) {
        if let Place::Unix(path) = &self.place {
            let _ = fs::remove_file(path);
        }
    }

    /// Stops the server, if it runs, and starts an empty one at the same address.
    ///
    /// # Panics
    ///
    /// If another process has taken the address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.remove_socket();
        let listener = self.place.address().and_then(|address| listen(self.place.domain(), &address));
        match listener {
            Ok(listener) => {
                let mut state = self.shared.lock();
                state.core = self.setup.clone().core(self.setup.clock.unix_seconds());
                state.stopping = false;
                drop(state);
                self.run(listener);
            }
            Err(error) => panic!("the server does not start again on {}: {error}", self.address()),
        }
    }

    fn run(&mut self, listener: Socket) {
        let (shared, setup) = (Arc::clone(&self.shared), self.setup.clone());
        let handle = listener.try_clone().ok();
        shared.lock().listener = listener.try_clone().ok();
        self.acceptor = Some(Acceptor(thread::spawn(move || accept(&listener, &shared, &setup)), handle));
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        self.stop();
        self.remove_socket();
    }
}

/// Serves all connections until the server stops, then closes them.
fn accept(listener: &Socket, shared: &Arc<Shared>, setup: &EmbeddedSetup) {
    let mut guests: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let accepted = listener.accept();
        let mut state = shared.lock();
        if state.stopping {
            break;
        }
        let Ok((stream, _)) = accepted else {
            drop(state);
            // Too few descriptors, perhaps: others may give some back.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let Ok(handle) = stream.try_clone() else { continue };
        state.accepted += 1;
        let mut session = state.core.connect();
        shared.after_change(&mut state);
        let id = state.accepted;
        state.streams.insert(id, handle);
        drop(state);
        guests.retain(|guest| !guest.is_finished());
        let (shared, setup) = (Arc::clone(shared), setup.clone());
        guests.push(thread::spawn(move || {
            let _ = serve(&stream, &mut session, &shared, &setup);
            let mut state = shared.lock();
            state.streams.remove(&id);
            session.close(&mut state.core);
            shared.after_change(&mut state);
        }));
    }
    for stream in shared.lock().streams.values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for guest in guests {
        let _ = guest.join();
    }
}

/// Serves a connection, by TLS if the setup says so.
fn serve(stream: &Socket, session: &mut Session, shared: &Shared, setup: &EmbeddedSetup) -> io::Result<()> {
    let _ = stream.set_tcp_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(config) = &setup.tls {
        // While it stands still, no handshake is answered.
        drop(shared.awake());
        let tls = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(tls, stream);
        let served = carry(&mut stream, session, shared, &setup.clock);
        stream.conn.send_close_notify();
        let _ = stream.flush();
        return served;
    }
    carry(stream, session, shared, &setup.clock)
}

/// Carries bytes between a connection and its session until one side ends it.
fn carry(mut stream: impl Read + Write, session: &mut Session, shared: &Shared, clock: &Clock) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while !session.is_closed() {
        let count = match stream.read(&mut buffer[..session.room()]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            break;
        }
        let Some(mut state) = shared.awake() else { break };
        session.feed(&mut state.core, &buffer[..count], clock.unix_seconds());
        shared.after_change(&mut state);
        drop(state);
        while let Some(bytes) = session.take_outgoing() {
            stream.write_all(&bytes)?;
        }
        stream.flush()?;
        if session.is_watching() {
            return report(stream, session, shared);
        }
    }
    Ok(())
}

/// Writes events to a connection that watches, until the server stops or the connection is closed.
fn report(mut stream: impl Write, session: &Session, shared: &Shared) -> io::Result<()> {
    while let Some(mut state) = shared.awake() {
        match session.take_events(&mut state.core) {
            Some(bytes) => {
                drop(state);
                stream.write_all(&bytes)?;
                stream.flush()?;
            }
            None => drop(shared.1.wait(state)),
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Shared(Mutex<State>, Condvar);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who watch, and ends the server if a client has.
    fn after_change(&self, state: &mut State) {
        if state.core.is_watched() {
            self.1.notify_all();
        }
        if state.core.is_shut_down() && !state.stopping {
            state.stopping = true;
            self.1.notify_all();
            for stream in state.streams.values().chain(&state.listener) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// The state as soon as the server does not stand still; `None` when it stops.
    fn awake(&self) -> Option<MutexGuard<'_, State>> {
        let waited = self.1.wait_while(self.lock(), |state| state.suspended);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.stopping).then_some(state)
    }
}

#[derive(Debug)]
struct State {
    core: Core,
    /// The open connections, to be shut down.
    streams: HashMap<usize, Socket>,
    /// The socket that accepts, which a client can end.
    listener: Option<Socket>,
    accepted: usize,
    stopping: bool,
    suspended: bool,
}

#[cfg(test)]
mod tests;
