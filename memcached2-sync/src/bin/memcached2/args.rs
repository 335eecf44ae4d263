//! The options that all commands share.

use std::time::Duration;

use clap::{Args, Parser};
use memcached2_sync::{Credentials, Error, Options, Protocol, ReconnectPolicy, Selection};

use crate::Command;
use crate::fleet::Fleet;
use crate::output::Failure;

/// How long connecting may take, unless the user sets a timeout.
const CONNECT: Duration = Duration::from_secs(1);

const AFTER_HELP: &str = "\
Servers: host, host:port, memcached://user:password@host, memcached+unix:///path; memcacheds:// with TLS. After a `?`
come options: weight=2, name=cache1, timeout=250ms. MEMCACHED_USER and MEMCACHED_PASSWORD are for servers whose address has no
password. No message shows a password.

Exit code: 0 done; 1 a key is missing, or a command about whole servers has found one that is down; 2 wrong usage, or another
error, which may be that of one key among many.";

/// memcached from the command line: look at servers, and at what they store
#[derive(Debug, Parser)]
#[command(name = "memcached2", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Shared {
    /// The servers, in the order that all clients have, separated by commas or each with an option of its own
    // What the environment says is not shown: it may have passwords.
    #[arg(short, long, global = true, value_delimiter = ',', env = "MEMCACHED_SERVERS", hide_env_values = true)]
    servers: Vec<String>,
    /// Asks only this one of the servers, whatever the key
    #[arg(long, global = true, value_name = "SERVER")]
    on: Option<String>,
    /// Prints JSON, a line for each result
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long a request may take, such as 250ms or 2s; 1 second unless given, and 10 seconds for many items with their values
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// The rule by which keys belong to servers; `ring --help` lists them
    #[arg(long, global = true, value_name = "RULE", value_parser = selection)]
    selection: Option<Selection>,
    /// What stands before every key on the servers, and is not printed
    #[arg(long, global = true)]
    prefix: Option<String>,
    /// Sends only classic commands, also to servers that speak meta
    #[arg(long, global = true)]
    classic: bool,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: Tls,
}

/// For servers that are written `memcacheds://`.
#[cfg(feature = "tls")]
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct Tls {
    /// Trusts the authorities of this file too, in PEM
    #[arg(long, global = true, value_name = "FILE")]
    tls_ca: Option<std::path::PathBuf>,
    /// Shows this certificate to servers: a file in PEM, of the certificate and its key
    #[arg(long, global = true, value_name = "FILE")]
    tls_identity: Option<std::path::PathBuf>,
    /// The name that the certificates of the servers must have, in place of their host
    #[arg(long, global = true, value_name = "NAME")]
    tls_name: Option<String>,
}

#[cfg(feature = "tls")]
impl Tls {
    fn apply(&self, mut options: Options) -> Result<Options, Failure> {
        use memcached2_sync::proto::tls::{Certificate, Identity};

        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| Failure::because(format!("cannot read {}: {error}", path.display())))
        };
        if let Some(path) = &self.tls_ca {
            options = options.add_root_certificate(Certificate::from_pem(read(path)?)?);
        }
        if let Some(path) = &self.tls_identity {
            options = options.identity(Identity::from_pem(read(path)?)?);
        }
        Ok(match &self.tls_name {
            Some(name) => options.tls_server_name(name),
            None => options,
        })
    }
}

impl Shared {
    /// The servers, with a timeout that the user may have set.
    pub(crate) fn fleet(&self, timeout: Duration) -> Result<Fleet, Failure> {
        let mut options = Options::default()
            .timeout(self.timeout.unwrap_or(timeout))
            .connect_timeout(self.timeout.unwrap_or(CONNECT))
            // The server that has a key answers, or nobody: else a value of another server, or none, would be its answer.
            .failover(false)
            .reconnect(ReconnectPolicy::Immediately);
        if self.classic {
            options = options.protocol(Protocol::Classic);
        }
        if let Some(selection) = &self.selection {
            options = options.selection(selection.clone());
        }
        if let Some(prefix) = &self.prefix {
            options = options.prefix(prefix);
        }
        if let Some(credentials) = credentials()? {
            options = options.credentials(credentials);
        }
        #[cfg(feature = "tls")]
        {
            options = self.tls.apply(options)?;
        }
        let fleet = Fleet::new(self.servers.clone(), options);
        if fleet.is_empty() {
            let what =
                "name the servers: --servers cache1:11211,cache2:11211, or the environment variable MEMCACHED_SERVERS";
            return Err(Failure::because(what));
        }
        match &self.on {
            Some(server) => fleet.only(server),
            None => Ok(fleet),
        }
    }
}

/// User and password. They are no options: other users of a machine see those of its processes.
fn credentials() -> Result<Option<Credentials>, Failure> {
    let [user, password] = ["MEMCACHED_USER", "MEMCACHED_PASSWORD"].map(std::env::var_os);
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            Ok(Some(Credentials::new(user.as_encoded_bytes(), password.as_encoded_bytes())?))
        }
        _ => Err(Failure::because("set both MEMCACHED_USER and MEMCACHED_PASSWORD, or neither")),
    }
}

pub(crate) fn selection(text: &str) -> Result<Selection, String> {
    text.parse().map_err(|error: memcached2_sync::proto::routing::UnknownSelection| error.to_string())
}

/// A time: a whole number of `ms`, `s`, `m`, `h` or `d`, and of seconds without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || "write a whole number and its unit, such as 250ms, 30s, 5m, 2h or 7d".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// A time to live: a time, or `never`.
pub(crate) fn ttl(text: &str) -> Result<Ttl, String> {
    match text {
        "never" => Ok(Ttl(None)),
        _ => duration(text).map(|time| Ttl(Some(time))),
    }
}

/// How long an item is to stay; `None` is until it is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(pub(crate) Option<Duration>);

impl From<Ttl> for memcached2_sync::Expiry {
    fn from(ttl: Ttl) -> Self {
        ttl.0.map_or(Self::Never, Self::After)
    }
}

/// A client that cannot be made is a mistake of the user.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::because(error.to_string())
    }
}
