//! What happens in a server: `watch`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::pairs::{decoded, number, pairs, text};
use super::{StreamCommand, no_record};
use crate::error::Error;

/// Asks a server to report what happens in it: `watch`; needs memcached 1.4.26.
///
/// It goes on until it is dropped. A server may take a second until it says that it has begun, and what happens before that is not reported. A
/// server has 20 watchers at most (`WATCHER_TOO_MANY`), and one that was started with `-W` has none.
///
/// The source is `doc/protocol.txt` of memcached 1.6.45, "Watchers".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch(Vec<Watcher>);

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Watcher {
    /// Each fetched item, and each that was missing: `fetchers`. A `set` fetches, too.
    Fetchers,
    /// Each item that was stored, or was not: `mutations`.
    Mutations,
    /// Each item that was evicted: `evictions`.
    Evictions,
    /// Each deleted item: `deletions`; needs memcached 1.6.20.
    Deletions,
    /// Each connection that is opened or closed: `connevents`; needs memcached 1.6.11.
    ConnEvents,
    /// The crawler, moved pages and the like: `sysevents`; needs memcached 1.4.34.
    SysEvents,
    /// Each command, as text: `rawcmds`. No server reports them yet.
    RawCmds,
    /// The requests to a proxy: `proxyreqs`; needs memcached 1.6.16 with its proxy.
    ProxyReqs,
    /// Errors and events of a proxy: `proxyevents`; needs memcached 1.6.16 with its proxy.
    ProxyEvents,
    /// What a proxy's configuration logs: `proxyuser`; needs memcached 1.6.16 with its proxy.
    ProxyUser,
}

impl Watch {
    /// Reports all of these; without any, [`Watcher::Fetchers`].
    #[must_use]
    pub fn new(watchers: impl IntoIterator<Item = Watcher>) -> Self {
        Self(watchers.into_iter().collect())
    }
}

impl Watcher {
    fn word(self) -> &'static str {
        match self {
            Self::Fetchers => "fetchers",
            Self::Mutations => "mutations",
            Self::Evictions => "evictions",
            Self::Deletions => "deletions",
            Self::ConnEvents => "connevents",
            Self::SysEvents => "sysevents",
            Self::RawCmds => "rawcmds",
            Self::ProxyReqs => "proxyreqs",
            Self::ProxyEvents => "proxyevents",
            Self::ProxyUser => "proxyuser",
        }
    }
}

impl StreamCommand for Watch {
    type Record = WatchEvent;

    fn name(&self) -> &'static str {
        "watch"
    }

    fn line(&self) -> Result<String, Error> {
        let mut watchers: Vec<_> = self.0.iter().map(|watcher| watcher.word()).collect();
        watchers.sort_unstable();
        watchers.dedup();
        Ok(std::iter::once("watch").chain(watchers).collect::<Vec<_>>().join(" "))
    }

    fn read(&self, line: &[u8]) -> Result<Option<WatchEvent>, Error> {
        WatchEvent::read(line).map(Some).ok_or_else(|| no_record(line, "a line of a log"))
    }

    /// A server in which nothing happens says nothing.
    fn idle_timeout(&self) -> Option<Duration> {
        None
    }
}

/// What has happened in a server that is [watched](Watch).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchEvent {
    /// When, to the microsecond, by the clock of the server.
    pub time: Option<SystemTime>,
    /// Its number among all of the server: events come out of order, and this puts them back.
    pub gid: Option<u64>,
    /// What it was.
    pub kind: WatchKind,
    /// What else the server says of it.
    pub other: Vec<(String, String)>,
}

/// What has happened.
///
/// `class` is a slab class, and `connection` a file descriptor of the server, which it does not know for each event and may report as any number.
/// What a server leaves out is `None`; sizes come from memcached 1.6.11 on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchKind {
    /// An item was asked for.
    #[non_exhaustive]
    Fetched {
        /// Its key.
        key: Bytes,
        /// `found`, `not_found`, `flushed` or `expired`.
        status: String,
        /// Its slab class.
        class: Option<u32>,
        /// The connection.
        connection: Option<i64>,
        /// The length of its value.
        size: Option<i64>,
    },
    /// An item was to be stored.
    #[non_exhaustive]
    Stored {
        /// Its key.
        key: Bytes,
        /// `stored`, `not_stored`, `exists`, `not_found`, `too_large` or `no_memory`.
        status: String,
        /// `set`, `add`, `replace`, `append`, `prepend`, `cas`, or `null`.
        command: String,
        /// In how many seconds it expires; 0 is never.
        ttl: Option<i64>,
        /// Its slab class.
        class: Option<u32>,
        /// The connection.
        connection: Option<i64>,
        /// The length of its value.
        size: Option<i64>,
    },
    /// An item was evicted.
    #[non_exhaustive]
    Evicted {
        /// Its key.
        key: Bytes,
        /// Whether it was ever fetched.
        fetched: bool,
        /// In how many seconds it would have expired; -1 is never.
        ttl: Option<i64>,
        /// How many seconds ago it was used last.
        last_access: Option<i64>,
        /// Its slab class.
        class: Option<u32>,
        /// The length of its value.
        size: Option<i64>,
    },
    /// An item was deleted.
    #[non_exhaustive]
    Deleted {
        /// Its key.
        key: Bytes,
        /// `delete` or `md`.
        command: String,
        /// Its slab class.
        class: Option<u32>,
        /// The length of its value.
        size: Option<i64>,
    },
    /// A connection was opened.
    #[non_exhaustive]
    Connected {
        /// The address of the client, or `unix`.
        address: String,
        /// Its port.
        port: Option<u16>,
        /// `tcp`, `local` or `udp`.
        transport: String,
        /// The connection.
        connection: Option<i64>,
    },
    /// A connection was closed.
    #[non_exhaustive]
    Disconnected {
        /// The address of the client, or `unix`.
        address: String,
        /// Its port.
        port: Option<u16>,
        /// `tcp`, `local` or `udp`.
        transport: String,
        /// `normal`, `error`, `idle_timeout` or `shutdown`.
        reason: String,
        /// The connection.
        connection: Option<i64>,
    },
    /// This many events were not reported, since this watcher was too slow.
    Skipped(u64),
    /// An event of another type: its name. What is known of it is in [`WatchEvent::other`].
    Other(String),
    /// A line without a type.
    Text(String),
}

impl WatchEvent {
    /// Reads a line such as `ts=1795377509.32407 gid=258 type=item_get key=a%3Ab status=found clsid=1 cfd=18 size=3`.
    fn read(line: &[u8]) -> Option<Self> {
        if let Some(count) = line.strip_prefix(b"skipped=") {
            let kind = WatchKind::Skipped(number(count)?);
            return Some(Self { time: None, gid: None, kind, other: Vec::new() });
        }
        let (time, rest) = word(line.strip_prefix(b"ts=")?);
        let (gid, rest) = word(rest.strip_prefix(b"gid=")?);
        let (time, gid) = (moment(time)?, number(gid)?);
        let mut fields = Fields(pairs(rest));
        let kind = match fields.take(b"type") {
            Some(name) => fields.kind(name),
            None => {
                fields.0.clear();
                WatchKind::Text(text(rest))
            }
        };
        let other = fields.0.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        Some(Self { time: Some(time), gid: Some(gid), kind, other })
    }
}

/// The first word, and what follows it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', line) {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &[]),
    }
}

/// Seconds, and microseconds without zeros before them: `1795377509.32407` is 32,407 microseconds after the second.
fn moment(time: &[u8]) -> Option<SystemTime> {
    let dot = memchr::memchr(b'.', time)?;
    let microseconds = Duration::from_micros(number::<u32>(&time[dot + 1..])?.into());
    UNIX_EPOCH.checked_add(Duration::from_secs(number(&time[..dot])?).checked_add(microseconds)?)
}

/// The pairs of a line that are not read yet.
struct Fields<'l>(Vec<(&'l [u8], &'l [u8])>);

impl<'l> Fields<'l> {
    fn take(&mut self, name: &[u8]) -> Option<&'l [u8]> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }

    fn key(&mut self) -> Bytes {
        decoded(self.take(b"key").unwrap_or_default())
    }

    fn text(&mut self, name: &[u8]) -> String {
        text(self.take(name).unwrap_or_default())
    }

    fn number<T: std::str::FromStr>(&mut self, name: &[u8]) -> Option<T> {
        number(self.take(name)?)
    }

    fn kind(&mut self, name: &[u8]) -> WatchKind {
        match name {
            b"item_get" => WatchKind::Fetched {
                key: self.key(),
                status: self.text(b"status"),
                class: self.number(b"clsid"),
                connection: self.number(b"cfd"),
                size: self.number(b"size"),
            },
            b"item_store" => WatchKind::Stored {
                key: self.key(),
                status: self.text(b"status"),
                command: self.text(b"cmd"),
                ttl: self.number(b"ttl"),
                class: self.number(b"clsid"),
                connection: self.number(b"cfd"),
                size: self.number(b"size"),
            },
            b"eviction" => WatchKind::Evicted {
                key: self.key(),
                fetched: self.take(b"fetch") == Some(b"yes"),
                ttl: self.number(b"ttl"),
                last_access: self.number(b"la"),
                class: self.number(b"clsid"),
                size: self.number(b"size"),
            },
            b"deleted" => WatchKind::Deleted {
                key: self.key(),
                command: self.text(b"cmd"),
                class: self.number(b"clsid"),
                size: self.number(b"size"),
            },
            b"conn_new" => WatchKind::Connected {
                address: self.text(b"rip"),
                port: self.number(b"rport"),
                transport: self.text(b"transport"),
                connection: self.number(b"cfd"),
            },
            b"conn_close" => WatchKind::Disconnected {
                address: self.text(b"rip"),
                port: self.number(b"rport"),
                transport: self.text(b"transport"),
                reason: self.text(b"reason"),
                connection: self.number(b"cfd"),
            },
            other => WatchKind::Other(text(other)),
        }
    }
}
