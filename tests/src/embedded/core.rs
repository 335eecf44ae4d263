mod admin;
mod authentication;
mod counts;
mod dispatch;
mod dump;
mod flags;
mod meta;
mod requests;
mod saboteur;
mod session;
mod settings;
mod slabs;
mod stats;
mod store;
mod syntax;
mod text;
mod watch;

use std::collections::BTreeMap;

pub use self::requests::Request;
pub(super) use self::requests::RequestLog;
pub use self::saboteur::Saboteur;
pub use self::session::Session;
use self::store::Store;
use self::watch::Kind;
use super::faults::Faults;
use crate::Rng;

/// The file descriptors before it are those of the server itself.
const FIRST_DESCRIPTOR: u64 = 20;

/// Holds what all connections of a server share: its items, settings and statistics.
///
/// It does no I/O and reads no clock: a [`Session`] brings it bytes and the time. See [the module](crate::embedded) for an example.
#[derive(Debug)]
pub struct Core {
    config: Config,
    store: Store,
    verbosity: u32,
    /// The settings that were changed since the start.
    changed: BTreeMap<&'static str, String>,
    open_connections: u64,
    /// `stats detail` is on.
    detail: bool,
    /// A `shutdown` has come.
    is_shut_down: bool,
    /// The first cas whose item `stats sizes` counts.
    sizes_since: Option<u64>,
    faults: Faults,
    /// How often faults were set.
    faults_set: u64,
    pub(super) requests: RequestLog,
}

impl Core {
    /// Returns an empty server that starts at this unix time, in seconds.
    ///
    /// [`EmbeddedSetup::core`](crate::EmbeddedSetup::core) returns one with other limits, or with faults.
    #[must_use]
    pub fn new(unix_seconds: u64) -> Self {
        Self::with(Config::default(), unix_seconds)
    }

    pub(super) fn with(config: Config, unix_seconds: u64) -> Self {
        let store = Store::new(config.memory_limit, config.item_size_max, unix_seconds);
        Self {
            config,
            store,
            verbosity: 0,
            changed: BTreeMap::new(),
            open_connections: 0,
            detail: false,
            is_shut_down: false,
            sizes_since: None,
            faults: Faults::none(),
            faults_set: 0,
            requests: RequestLog::default(),
        }
    }

    /// Takes over the faults of the server whose place it takes, and what that was asked.
    pub(super) fn after(mut self, other: &mut Self) -> Self {
        self.requests = std::mem::take(&mut other.requests);
        (self.faults, self.faults_set) = (std::mem::take(&mut other.faults), other.faults_set);
        self
    }

    /// Returns a new connection to this server, which counts as open until it is closed.
    pub fn connect(&mut self) -> Session {
        self.open_connections += 1;
        self.store.counts.total_connections += 1;
        let number = self.store.counts.total_connections + FIRST_DESCRIPTOR;
        self.store
            .log
            .add(Kind::Connection, |_| format!("type=conn_new rip=127.0.0.1 rport=0 transport=tcp cfd={number}"));
        Session::new(number)
    }

    /// The version that the server reports, which decides a few forms of answers.
    fn version(&self) -> (u32, u32, u32) {
        let mut numbers =
            self.config.version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// Whether a client has ended the server.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.is_shut_down
    }

    /// Whether a connection watches what happens; then look for it by [`Session::take_events`] after each [`Session::feed`].
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.store.log.is_watched()
    }

    /// Sets what goes wrong from now on, in the place of all faults that were set before.
    ///
    /// [`Faults::refuse`] and [`Faults::max_connections`] are of sockets: a core does not look at them.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.faults_set += 1;
    }

    /// What goes wrong.
    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often faults were set, which is another number whenever there may be others.
    pub(super) fn faults_set(&self) -> u64 {
        self.faults_set
    }

    /// Returns what was asked since the start or [`Core::clear_asked`], as
    /// [`EmbeddedServer::asked`](crate::EmbeddedServer::asked) does.
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    /// Forgets what was asked so far.
    pub fn clear_asked(&mut self) {
        self.requests.clear();
    }

    /// Whether the server claims to be this version, or a later one.
    fn is_since(&self, version: (u32, u32, u32)) -> bool {
        self.version() >= version
    }

    /// Whether there is no memory for the reply to a `get`.
    fn lacks_memory(&mut self) -> bool {
        self.config.shortage.as_mut().is_some_and(|(rng, one_in)| rng.once_in(*one_in))
    }
}

/// What a server is started with. Its process and its address are for statistics only.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) item_size_max: usize,
    pub(super) memory_limit: usize,
    pub(super) version: String,
    /// One `get` in this many finds no memory for its reply.
    pub(super) shortage: Option<(Rng, usize)>,
    pub(super) saboteur: Option<Saboteur>,
    /// It was started with `-A`.
    pub(super) allows_shutdown: bool,
    /// Each user and password, with a blank between them; a client has to give one of them first, if there are any.
    pub(super) credentials: Vec<Vec<u8>>,
    /// It is connected to by TLS, which its sockets do.
    pub(super) has_tls: bool,
    pub(super) pid: u32,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) socket: Option<String>,
}

const MIB: usize = 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            item_size_max: MIB,
            memory_limit: 64 * MIB,
            version: "1.6.18".to_owned(),
            shortage: None,
            saboteur: None,
            allows_shutdown: false,
            credentials: Vec::new(),
            has_tls: false,
            pid: 1,
            host: "127.0.0.1".to_owned(),
            port: 11211,
            socket: None,
        }
    }
}

#[cfg(test)]
mod tests;
