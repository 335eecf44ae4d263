mod password_file;
mod port;
mod process;
mod version;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use self::password_file::PasswordFile;
pub use self::port::ReservedPort;
use self::process::Process;
pub use self::version::MemcachedVersion;

/// How often a start is tried: the port found free may be taken meanwhile.
const ATTEMPTS: u32 = 5;

/// Runs a memcached process, which is killed on drop.
///
/// The binary is `$MEMCACHED` or the `memcached` of the `PATH`.
#[derive(Debug)]
pub struct Memcached {
    setup: MemcachedSetup,
    place: Place,
    process: Option<Process>,
}

impl Memcached {
    /// Starts a memcached on a free port of 127.0.0.1 and waits until it answers.
    ///
    /// # Panics
    ///
    /// When memcached is not installed or does not start.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with().start()
    }

    /// Returns a setup to be changed before the start.
    pub fn with() -> MemcachedSetup {
        MemcachedSetup { args: Vec::new(), threads: 2, home: Home::Ipv4, tls: None, password_file: None }
    }

    /// Returns whether memcached is installed.
    #[must_use]
    pub fn installed() -> bool {
        Command::new(binary()).arg("-V").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    }

    /// Returns the address, which stays the same over a restart:
    /// `127.0.0.1:PORT`, `[::1]:PORT`, `memcacheds://127.0.0.1:PORT` or `memcached+unix:///PATH`.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp { port, plain: Some(_) } => format!("memcacheds://{}", port.address()),
            Place::Tcp { port, plain: None } => port.address().to_string(),
            Place::Unix(path) => format!("memcached+unix://{}", path.display()),
        }
    }

    /// Returns the address of the port without TLS of a server that has one with TLS.
    #[must_use]
    pub fn plain_address(&self) -> String {
        match &self.place {
            Place::Tcp { plain: Some(plain), .. } => plain.address().to_string(),
            Place::Tcp { plain: None, .. } | Place::Unix(_) => self.address(),
        }
    }

    /// Returns the id of the process, which changes with a restart.
    ///
    /// # Panics
    ///
    /// When the server is stopped.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Freezes the process: the kernel still accepts connections and bytes for it, but there is no answer.
    ///
    /// # Panics
    ///
    /// When the server is stopped or does not freeze, and on systems without signals.
    #[track_caller]
    pub fn suspend(&self) {
        self.process().freeze();
    }

    /// Lets a suspended process go on.
    ///
    /// # Panics
    ///
    /// When the server is stopped.
    #[track_caller]
    pub fn resume(&self) {
        self.process().thaw();
    }

    /// Kills the process, starts a new and empty one at the same address and
    /// waits until it answers.
    ///
    /// It starts a stopped server too.
    ///
    /// # Panics
    ///
    /// When memcached does not start again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        let mut complaints = Vec::new();
        for attempt in 1..=ATTEMPTS {
            match self.setup.launch(&self.place) {
                Ok(process) => {
                    self.process = Some(process);
                    return;
                }
                Err(complaint) => complaints.push(complaint),
            }
            // Another process may hold the port for a moment, and there is no event when it is free.
            thread::sleep(Duration::from_millis(50) * attempt);
        }
        panic!("memcached does not start again on {}:\n{}", self.address(), complaints.join("\n"));
    }

    /// Kills the process, if it runs, and waits until it is gone.
    pub fn stop(&mut self) {
        self.process = None;
    }

    #[track_caller]
    fn process(&self) -> &Process {
        match &self.process {
            Some(process) => process,
            None => panic!("the memcached of {} is stopped", self.address()),
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.stop();
        if let Place::Unix(path) = &self.place {
            // A killed memcached leaves its socket file, a failed one has none.
            let _ = fs::remove_file(path);
        }
    }
}

/// Holds what a [`Memcached`] is started with.
#[derive(Debug, Clone)]
#[must_use]
pub struct MemcachedSetup {
    args: Vec<OsString>,
    threads: usize,
    home: Home,
    /// The files of its certificate and key.
    tls: Option<(PathBuf, PathBuf)>,
    password_file: Option<Arc<PasswordFile>>,
}

#[derive(Debug, Clone, Copy)]
enum Home {
    Ipv4,
    Ipv6,
    Unix,
}

impl MemcachedSetup {
    /// Adds arguments after those of the testkit, so that they overrule them.
    ///
    /// A server that speaks no text protocol (`-B binary`) never counts as
    /// started.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the number of worker threads; there are two otherwise.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Serves only clients that have given this user and password (`-Y`), which are written to a file in the directory for
    /// temporary files; it is removed with the server.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[track_caller]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.password_file = Some(Arc::new(PasswordFile::new(user, password)));
        self
    }

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

    /// Asks for TLS on its port, with the certificate and the key in these files, which are in PEM. Another port has no TLS:
    /// [`Memcached::plain_address`].
    pub fn tls(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some((chain.into(), key.into()));
        self
    }

    /// Starts the process and waits until it answers.
    ///
    /// # Panics
    ///
    /// When memcached is not installed or does not start.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Memcached {
        let mut complaints = Vec::new();
        for _ in 0..ATTEMPTS {
            let place = self.home.place(self.tls.is_some());
            match self.launch(&place) {
                Ok(process) => {
                    return Memcached { setup: self, place, process: Some(process) };
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        panic!("memcached does not start:\n{}", complaints.join("\n"));
    }

    #[track_caller]
    fn launch(&self, place: &Place) -> Result<Process, String> {
        let mut command = Command::new(binary());
        command.args(["-U", "0", "-m", "256", "-t", &self.threads.to_string()]);
        match place {
            Place::Tcp { port, plain } => {
                let address = port.address();
                match plain.as_ref().zip(self.tls.as_ref()) {
                    None => command.args(["-l", &address.ip().to_string(), "-p", &address.port().to_string()]),
                    Some((plain, (chain, key))) => command.args([
                        "-Z",
                        "-l",
                        &format!("{address},notls:{}", plain.address()),
                        "-o",
                        &format!("ssl_chain_cert={},ssl_key={}", chain.display(), key.display()),
                    ]),
                };
            }
            Place::Unix(path) => {
                command.arg("-s").arg(path);
            }
        }
        // memcached refuses to run as root without this option.
        #[cfg(unix)]
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "root"]);
        }
        if let Some(file) = &self.password_file {
            command.arg("-Y").arg(file.path());
        }
        command.args(&self.args);
        let mut process = Process::spawn(&mut command);
        match process.answers_at(place) {
            Ok(()) => Ok(process),
            Err(why) => Err(format!("{command:?}: {why}\n{}", process.last_words())),
        }
    }
}

/// Where a memcached listens.
#[derive(Debug)]
enum Place {
    Tcp {
        port: ReservedPort,
        /// Where a server with TLS listens without it.
        plain: Option<ReservedPort>,
    },
    Unix(PathBuf),
}

impl Home {
    #[track_caller]
    fn place(self, with_tls: bool) -> Place {
        static SOCKETS: AtomicU32 = AtomicU32::new(0);

        let tcp = |ip: IpAddr| {
            let reserve = || ReservedPort::on(ip);
            Place::Tcp { port: reserve(), plain: with_tls.then(reserve) }
        };
        match self {
            Self::Ipv4 => tcp(Ipv4Addr::LOCALHOST.into()),
            Self::Ipv6 => tcp(Ipv6Addr::LOCALHOST.into()),
            Self::Unix => {
                let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
                let name = format!("memcached2-{}-{number}.sock", std::process::id());
                Place::Unix(env::temp_dir().join(name))
            }
        }
    }
}

fn binary() -> OsString {
    env::var_os("MEMCACHED").filter(|path| !path.is_empty()).unwrap_or_else(|| "memcached".into())
}

#[cfg(test)]
mod tests;
