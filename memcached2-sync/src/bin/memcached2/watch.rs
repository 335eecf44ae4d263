//! `watch`: what happens in servers.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::UNIX_EPOCH;

use clap::{Args, ValueEnum};
use memcached2_sync::{Bytes, Client, Error, WatchEvent, WatchKind, Watcher};
use serde_json::{Value as Json, json};

use crate::fleet::Fleet;
use crate::output::{Failure, Outcome, Output, bytes_field, complain, shown};

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// What is reported
    #[arg(value_enum, default_values_t = [Stream::Fetchers, Stream::Mutations, Stream::Evictions])]
    streams: Vec<Stream>,
    /// Ends after this number of events
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stream {
    /// Keys that are fetched, found or not
    Fetchers,
    /// Keys that are stored, or are not
    Mutations,
    /// Items that are evicted
    Evictions,
    /// Items that are deleted: since memcached 1.6.20
    Deletions,
    /// Connections: since memcached 1.6.11
    Connevents,
    /// The crawler, moved pages and the like: since memcached 1.4.34
    Sysevents,
    /// Requests to memcached's proxy
    Proxyreqs,
    /// Errors of memcached's proxy
    Proxyevents,
    /// What the configuration of memcached's proxy logs
    Proxyuser,
}

impl From<Stream> for Watcher {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Fetchers => Self::Fetchers,
            Stream::Mutations => Self::Mutations,
            Stream::Evictions => Self::Evictions,
            Stream::Deletions => Self::Deletions,
            Stream::Connevents => Self::ConnEvents,
            Stream::Sysevents => Self::SysEvents,
            Stream::Proxyreqs => Self::ProxyReqs,
            Stream::Proxyevents => Self::ProxyEvents,
            Stream::Proxyuser => Self::ProxyUser,
        }
    }
}

/// How many events wait to be printed; then the servers skip some, and say how many.
const QUEUE: usize = 1024;

/// What the servers report, each by its place among them, until all have ended.
pub(crate) type Events = Receiver<(usize, Result<WatchEvent, Error>)>;

/// Watches all servers. Returns their names, and their events.
pub(crate) fn watch(client: &Client, watchers: impl IntoIterator<Item = Watcher>) -> (Vec<String>, Events) {
    let (sender, events) = sync_channel(QUEUE);
    let names: Vec<_> = client.router().servers().iter().map(|server| server.name().to_owned()).collect();
    for (at, (mut records, name)) in client.watch(watchers).into_iter().zip(&names).enumerate() {
        let (sender, name) = (sender.clone(), name.clone());
        // It ends with the program, or when nobody receives.
        std::thread::spawn(move || {
            if let Err(error) = records.open() {
                return drop(sender.send((at, Err(error))));
            }
            complain(&format!("watching {name}"));
            for event in records {
                if sender.send((at, event)).is_err() {
                    return;
                }
            }
        });
    }
    (names, events)
}

impl Watch {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        let (names, events) = watch(&client, self.streams.iter().map(|stream| Watcher::from(*stream)));
        let prefix = fleet.options.prefix.as_deref().unwrap_or_default();
        let (mut outcome, mut left) = (Outcome::Done, self.count.unwrap_or(u64::MAX));
        while left > 0 {
            let next = match events.try_recv() {
                Err(TryRecvError::Empty) => {
                    out.flush()?;
                    events.recv().ok()
                }
                next => next.ok(),
            };
            match next {
                // All servers have ended.
                None => return Ok(outcome),
                Some((_, Err(error))) => {
                    complain(&error.to_string());
                    outcome = Outcome::Missing;
                }
                Some((at, Ok(event))) => left -= u64::from(print(&names[at], &event, prefix, out)?),
            }
        }
        Ok(outcome)
    }
}

/// Prints an event; `false` if it is of a key without the prefix.
fn print(server: &str, event: &WatchEvent, prefix: &[u8], out: &mut Output) -> Result<bool, Failure> {
    let (name, key, mut fields) = parts(&event.kind);
    let key = match key.map(|key| key.strip_prefix(prefix)) {
        Some(None) => return Ok(false),
        key => key.flatten(),
    };
    fields.extend(event.other.iter().map(|(name, value)| (name.as_str(), json!(value))));
    fields.retain(|(_, value)| !value.is_null());
    let time = event.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    if out.is_json {
        let time = time.map_or(Json::Null, |time| json!(time.as_micros() as f64 / 1e6));
        let head = [("time".to_owned(), time), ("server".into(), json!(server)), ("event".into(), json!(name))];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        out.json(head.into_iter().chain(key.map(|key| bytes_field("key", key))).chain(fields))?;
        return Ok(true);
    }
    let time = time.map_or_else(|| "-".into(), |time| format!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    let key = key.map_or_else(|| "-".into(), shown);
    let fields = fields.iter().map(|(name, value)| match value {
        Json::String(text) => format!("\t{}={}", shown(name.as_bytes()), shown(text.as_bytes())),
        value => format!("\t{}={value}", shown(name.as_bytes())),
    });
    let name = shown(name.as_bytes());
    out.line(&format!("{time}\t{server}\t{name}\t{key}{}", fields.collect::<String>()))?;
    Ok(true)
}

/// The name of an event, its key, and what else is known.
fn parts(kind: &WatchKind) -> (&str, Option<&Bytes>, Vec<(&str, Json)>) {
    match kind {
        WatchKind::Fetched { key, status, class, size, .. } => {
            ("fetched", Some(key), vec![("status", json!(status)), ("class", json!(class)), ("size", json!(size))])
        }
        WatchKind::Stored { key, status, command, ttl, class, size, .. } => (
            "stored",
            Some(key),
            vec![
                ("status", json!(status)),
                ("command", json!(command)),
                ("ttl", json!(ttl)),
                ("class", json!(class)),
                ("size", json!(size)),
            ],
        ),
        WatchKind::Evicted { key, fetched, ttl, last_access, class, size, .. } => (
            "evicted",
            Some(key),
            vec![
                ("fetched", json!(fetched)),
                ("ttl", json!(ttl)),
                ("last_access", json!(last_access)),
                ("class", json!(class)),
                ("size", json!(size)),
            ],
        ),
        WatchKind::Deleted { key, command, class, size, .. } => {
            ("deleted", Some(key), vec![("command", json!(command)), ("class", json!(class)), ("size", json!(size))])
        }
        WatchKind::Connected { address, port, transport, .. } => (
            "connected",
            None,
            vec![("address", json!(address)), ("port", json!(port)), ("transport", json!(transport))],
        ),
        WatchKind::Disconnected { address, port, transport, reason, .. } => (
            "disconnected",
            None,
            vec![
                ("address", json!(address)),
                ("port", json!(port)),
                ("transport", json!(transport)),
                ("reason", json!(reason)),
            ],
        ),
        WatchKind::Skipped(count) => ("skipped", None, vec![("count", json!(count))]),
        WatchKind::Other(name) => (name, None, Vec::new()),
        WatchKind::Text(text) => ("text", None, vec![("text", json!(text))]),
        _ => ("unknown", None, Vec::new()),
    }
}
