mod clock;
mod counts;
mod engine;
mod flags;
mod meta;
mod place;
mod saboteur;
mod settings;
mod stats;
mod store;
mod syntax;
mod text;
mod wire;

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Socket, Type};

pub use self::clock::Clock;
use self::engine::Engine;
use self::place::{Home, Place, listen};
pub use self::saboteur::Saboteur;
use self::store::Store;
use self::wire::Connection;
use crate::Rng;

const MIB: usize = 1024 * 1024;

/// Plays a memcached 1.6.18 within the process of the test, gone when it is dropped.
///
/// It answers the classic and the meta commands byte for byte as memcached does. What differs:
///
/// * Eviction is least recently used over all items, by their bytes: there are no slab pages and no segments. Slab
///   classes exist in statistics only. Memcached takes at least a page per class and starts to evict later.
/// * Expired and flushed items stay counted in `curr_items` until they are asked for: no thread looks for them.
/// * A counter from 2^63 on always counts. To memcached it is no number when there is a minus sign somewhere behind it
///   in memory.
/// * The time since the last access (`l` and `la`) starts anew with every fetch but the first.
/// * `lru`, `lru_crawler`, `slabs`, `extstore`, `cache_memlimit`, `refresh_certs` and `watch` are answered `ERROR`,
///   `stats conns` is empty, and the binary protocol is hung up on.
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
        EmbeddedSetup {
            home: Home::Ipv4,
            item_size_max: MIB,
            memory_limit: 64 * MIB,
            version: "1.6.18".to_owned(),
            clock: Clock::system(),
            shortage: None,
            saboteur: None,
        }
    }

    /// Returns the address, which stays the same over a restart:
    /// `127.0.0.1:PORT`, `[::1]:PORT` or `memcached+unix:///PATH`.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
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

    /// Closes all connections and listens no more; it does nothing to a stopped server.
    pub fn stop(&mut self) {
        let Some(Acceptor(thread, listener)) = self.acceptor.take() else { return };
        self.shared.lock().stopping = true;
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

    /// The path of a Unix socket stays behind a server that has stopped, as it does behind a process that was killed.
    fn remove_socket(&self) {
        if let Place::Unix(path) = &self.place {
            let _ = fs::remove_file(path);
        }
    }

    /// Stops the server, if it runs, and starts an empty one at the same address.
    ///
    /// # Panics
    ///
    /// When somebody else has taken the address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.remove_socket();
        let listener = self.place.address().and_then(|address| listen(self.place.domain(), &address));
        match listener {
            Ok(listener) => self.run(listener),
            Err(error) => panic!("the server does not start again on {}: {error}", self.address()),
        }
    }

    fn run(&mut self, listener: Socket) {
        {
            let mut state = self.shared.lock();
            state.engine = self.setup.engine(&self.place);
            state.stopping = false;
        }
        let (shared, clock) = (Arc::clone(&self.shared), self.setup.clock.clone());
        let handle = listener.try_clone().ok();
        self.acceptor = Some(Acceptor(thread::spawn(move || accept(&listener, &shared, &clock)), handle));
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        self.stop();
        self.remove_socket();
    }
}

/// Holds what an [`EmbeddedServer`] is started with.
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbeddedSetup {
    home: Home,
    item_size_max: usize,
    memory_limit: usize,
    version: String,
    clock: Clock,
    /// The seed, and one `get` of how many.
    shortage: Option<(u64, u32)>,
    saboteur: Option<Saboteur>,
}

impl EmbeddedSetup {
    /// Listens on `::1` instead.
    pub fn ipv6(mut self) -> Self {
        self.home = Home::Ipv6;
        self
    }

    /// Listens on a unix socket in the directory for temporary files instead.
    pub fn unix_socket(mut self) -> Self {
        self.home = Home::Unix;
        self
    }

    /// Sets how many bytes an item may take; it is one MiB otherwise.
    ///
    /// Like memcached, it counts 59 bytes besides the key and the value, and four more with flags.
    pub fn item_size_max(mut self, bytes: usize) -> Self {
        self.item_size_max = bytes;
        self
    }

    /// Sets how many bytes all items may take, counted as for one of them; it is 64 MiB otherwise.
    ///
    /// An item that is larger than this fails with `out of memory`.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the version the server claims to be; it behaves as 1.6.18 all the same.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Sets the clock, which is that of the machine otherwise.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lets one classic `get` of `one_in`, chosen by `seed`, find no memory for its reply. As memcached does
    /// (`process_get_command` of 1.6.18), the server then throws away all replies of the connection that it has not sent
    /// yet, those to earlier requests too, and says one error line.
    pub fn out_of_response_memory(mut self, seed: u64, one_in: u32) -> Self {
        self.shortage = Some((seed, one_in));
        self
    }

    /// Lets a saboteur spoil the replies.
    pub fn saboteur(mut self, saboteur: Saboteur) -> Self {
        self.saboteur = Some(saboteur);
        self
    }

    /// Starts the server; clients can connect from now on.
    ///
    /// # Panics
    ///
    /// When the host has no free port.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> EmbeddedServer {
        let (listener, place) = match self.home.listen() {
            Ok(listening) => listening,
            Err(error) => panic!("the embedded server cannot listen: {error}"),
        };
        let engine = self.engine(&place);
        let state = State { engine, streams: HashMap::new(), accepted: 0, stopping: false, suspended: false };
        let shared = Arc::new(Shared(Mutex::new(state), Condvar::new()));
        let mut server = EmbeddedServer { setup: self, place, shared, acceptor: None };
        server.run(listener);
        server
    }

    fn engine(&self, place: &Place) -> Engine {
        let (host, port, socket) = match place {
            Place::Tcp { address, .. } => (address.ip().to_string(), address.port(), None),
            Place::Unix(path) => (String::new(), 0, Some(path.display().to_string())),
        };
        Engine {
            store: Store::new(self.memory_limit, self.item_size_max, self.clock.unix_seconds()),
            version: self.version.clone(),
            host,
            port,
            socket,
            verbosity: 0,
            open_connections: 0,
            detail: false,
            sizes_since: None,
            shortage: self.shortage.map(|(seed, one_in)| (Rng::new(seed), one_in.max(1) as usize)),
            saboteur: self.saboteur.clone(),
        }
    }
}

/// Serves whoever comes until the server stops, then sees all of them off.
fn accept(listener: &Socket, shared: &Arc<Shared>, clock: &Clock) {
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
        state.engine.open_connections += 1;
        state.engine.store.counts.total_connections += 1;
        let id = state.accepted;
        state.streams.insert(id, handle);
        drop(state);
        guests.retain(|guest| !guest.is_finished());
        let (shared, clock) = (Arc::clone(shared), clock.clone());
        guests.push(thread::spawn(move || {
            serve(&stream, &shared, &clock);
            let mut state = shared.lock();
            state.streams.remove(&id);
            state.engine.open_connections -= 1;
        }));
    }
    for stream in shared.lock().streams.values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for guest in guests {
        let _ = guest.join();
    }
}

/// Serves a connection until one side ends it.
fn serve(mut stream: &Socket, shared: &Shared, clock: &Clock) {
    let _ = stream.set_tcp_nodelay(true);
    let mut connection = Connection::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let room = connection.room();
        let count = match stream.read(&mut buffer[..room]) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let outcome = {
            let Some(mut state) = shared.awake() else { return };
            let engine = &mut state.engine;
            let now = engine.store.moment(clock.unix_seconds());
            connection.read(&buffer[..count], engine, now)
        };
        for batch in outcome.batches {
            if stream.write_all(&batch).is_err() {
                return;
            }
        }
        if outcome.close {
            return;
        }
    }
}

#[derive(Debug)]
struct Shared(Mutex<State>, Condvar);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    engine: Engine,
    /// The open connections, to be shut down.
    streams: HashMap<usize, Socket>,
    accepted: usize,
    stopping: bool,
    suspended: bool,
}

#[cfg(test)]
mod tests;
