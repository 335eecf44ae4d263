//! What connections are watched by, and what they are sent: `watch`.

use super::dispatch::Answer;

/// How many bytes wait for a watcher at most; what is more is skipped.
const WAITING: usize = 256 * 1024;

/// What a watcher wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fetch = 1,
    Mutation = 2,
    Eviction = 4,
    Deletion = 8,
    Connection = 16,
    /// Nothing here makes such events.
    Never = 32,
}

/// The events of a server, for those who watch it.
#[derive(Debug, Default)]
pub(super) struct Log {
    watchers: Vec<Watching>,
    gid: u64,
    watched: u64,
    /// The unix time of the request that is served, and its connection.
    pub(super) now: u64,
    pub(super) connection: u64,
}

#[derive(Debug)]
struct Watching {
    id: u64,
    kinds: u8,
    waiting: Vec<u8>,
    skipped: u64,
}

impl Log {
    /// Notes an event, if anybody watches for its kind.
    pub(super) fn add(&mut self, kind: Kind, text: impl FnOnce(u64) -> String) {
        if !self.watchers.iter().any(|watching| watching.kinds & kind as u8 != 0) {
            return;
        }
        self.gid += 1;
        // The microseconds are not padded with zeros.
        let line = format!("ts={}.{} gid={} {}\n", self.now, self.gid % 1_000_000, self.gid, text(self.connection));
        for watching in self.watchers.iter_mut().filter(|watching| watching.kinds & kind as u8 != 0) {
            if watching.waiting.len() + line.len() > WAITING {
                watching.skipped += 1;
                continue;
            }
            if watching.skipped > 0 {
                watching.waiting.extend(format!("skipped={}\n", std::mem::take(&mut watching.skipped)).into_bytes());
            }
            watching.waiting.extend_from_slice(line.as_bytes());
        }
    }

    /// Adds a watcher, and returns its number.
    pub(super) fn watch(&mut self, kinds: u8) -> u64 {
        self.watched += 1;
        let (waiting, skipped) = (b"OK\r\n".to_vec(), 0);
        self.watchers.push(Watching { id: self.watched, kinds, waiting, skipped });
        self.watched
    }

    pub(super) fn unwatch(&mut self, id: u64) {
        self.watchers.retain(|watching| watching.id != id);
    }

    pub(super) fn is_watched(&self) -> bool {
        !self.watchers.is_empty()
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Vec<u8>> {
        let watching = self.watchers.iter_mut().find(|watching| watching.id == id)?;
        (!watching.waiting.is_empty()).then(|| std::mem::take(&mut watching.waiting))
    }
}

/// What the words of a `watch` ask for.
pub(super) fn kinds(words: &[&[u8]], knows_deletions: bool) -> Result<u8, Answer> {
    let kind = |word: &&[u8]| match *word {
        b"fetchers" => Ok(Kind::Fetch as u8),
        b"mutations" => Ok(Kind::Mutation as u8),
        b"evictions" => Ok(Kind::Eviction as u8),
        b"connevents" => Ok(Kind::Connection as u8),
        b"deletions" if knows_deletions => Ok(Kind::Deletion as u8),
        b"rawcmds" | b"sysevents" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => Ok(Kind::Never as u8),
        _ => Err(Answer::line("ERROR")),
    };
    match words {
        [] => Ok(Kind::Fetch as u8),
        words => words.iter().map(kind).try_fold(0, |kinds, kind| Ok(kinds | kind?)),
    }
}

/// A key as memcached encodes it in logs and dumps.
pub(super) fn encoded(key: &[u8]) -> String {
    let mut text = String::new();
    for &byte in key {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
