use std::fmt::Debug;

use super::clock::Clock;
use super::core::{Config, Core, Saboteur};
use super::place::Home;
use super::server::EmbeddedServer;
use crate::Rng;

/// Holds what an [`EmbeddedServer`] is started with.
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbeddedSetup {
    pub(super) home: Home,
    pub(super) clock: Clock,
    pub(super) config: Config,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<std::sync::Arc<rustls::ServerConfig>>,
}

impl Default for EmbeddedSetup {
    fn default() -> Self {
        Self {
            home: Home::Ipv4,
            clock: Clock::system(),
            config: Config::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
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

    /// Is connected to by TLS, as memcached is with `-Z`: the certificate and its key are in `config`, and clients connect to
    /// `memcacheds://` and the address.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ServerConfig>) -> Self {
        (self.tls, self.config.has_tls) = (Some(config), true);
        self
    }

    /// Sets how many bytes an item may take; it is one MiB otherwise.
    ///
    /// Like memcached, it counts 59 bytes besides the key and the value, and four more with flags.
    pub fn item_size_max(mut self, bytes: usize) -> Self {
        self.config.item_size_max = bytes;
        self
    }

    /// Sets how many bytes all items may take, counted as for one of them; it is 64 MiB otherwise.
    ///
    /// An item that is larger than this fails with `out of memory`.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.config.memory_limit = bytes;
        self
    }

    /// Lets clients end the server by `shutdown`, as memcached does with `-A`.
    pub fn allow_shutdown(mut self) -> Self {
        self.config.allows_shutdown = true;
        self
    }

    /// Sets the version that the server reports, 1.6.18 otherwise. It decides which flags of the meta commands the server
    /// knows, the lines of dumps, whether it has `mgdump` and `watch deletions`, what a flush removes, whether the replies to several `get`
    /// are sent together, what it answers to a client without a password and to `slabs automove`, `lru` and `shutdown`, and where a
    /// password ends. So right requests are answered as by that version, from 1.6.18 to 1.6.45; lines that no client should send, and
    /// statistics, are as in 1.6.18.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.config.version);
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
        self.config.shortage = Some((Rng::new(seed), one_in.max(1) as usize));
        self
    }

    /// Serves only clients that have given this user and password, or those of another call, as memcached does with
    /// `-Y`.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.config.credentials.push(format!("{user} {password}").into());
        self
    }

    /// Lets a saboteur spoil the replies.
    pub fn saboteur(mut self, saboteur: Saboteur) -> Self {
        self.config.saboteur = Some(saboteur);
        self
    }

    /// Returns the core of such a server, without sockets; it starts at this unix time, in seconds.
    ///
    /// The address and the clock of the setup are left out.
    #[must_use]
    pub fn core(self, unix_seconds: u64) -> Core {
        Core::with(self.config, unix_seconds)
    }

    /// Starts the server; clients can connect from now on.
    ///
    /// # Panics
    ///
    /// When the host has no free port.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> EmbeddedServer {
        EmbeddedServer::listen(self)
    }

    /// Starts the server, and returns it with a client of it: see [`EmbeddedServer::with_client`].
    ///
    /// # Panics
    ///
    /// If there is no client, or the host has no free port.
    #[track_caller]
    pub fn with_client<C, E: Debug>(self, connect: impl FnOnce(String) -> Result<C, E>) -> (EmbeddedServer, C) {
        let server = self.start();
        match connect(server.address()) {
            Ok(client) => (server, client),
            Err(error) => panic!("there is no client of {}: {error:?}", server.address()),
        }
    }
}
