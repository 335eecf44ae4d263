//! Keys whose values may be old on a server, until they are deleted there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ReconnectPolicy;
use crate::time::Instant;

/// The deletes and stores that have failed, or went to another server because theirs was down: their keys are deleted on their server as
/// soon as it answers.
///
/// Without it, a server that comes back serves what it had before: a value that was deleted or stored anew meanwhile. A journal is given to
/// a client by [`Options::journal`](crate::Options::journal), and can be shared by several, if a name stands for the same server in all of
/// them: what one client has kept for a name, each deletes on its server of that name. See the guide [failover](crate::guide::failover).
///
/// ```
/// use std::sync::Arc;
/// use memcached2_proto::Options;
/// use memcached2_proto::routing::Journal;
///
/// let journal = Arc::new(Journal::new(100_000));
/// let options = Options::default().journal(Arc::clone(&journal));
/// // Later, in the metrics of the program: how many keys wait for their server, and how many there was no room for.
/// assert_eq!((journal.len(), journal.dropped()), (0, 0));
/// ```
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<Kept>,
    capacity: usize,
    store: Option<Arc<dyn JournalStore>>,
}

/// Where a program keeps a journal beyond its own end: it is told what comes and goes, and gives it back by [`Journal::keep`] when it
/// starts again.
///
/// It is called while the journal is locked, so that what it hears is in order: it must be quick, and not ask the journal for anything.
pub trait JournalStore: Debug + Send + Sync {
    /// A key was kept for a server.
    fn kept(&self, server: &str, key: &[u8]);

    /// A key was deleted on its server, or [dropped](Journal::forget) with its server.
    fn replayed(&self, server: &str, key: &[u8]);
}

#[derive(Debug, Default)]
struct Kept {
    /// By the names of the servers.
    servers: HashMap<Arc<str>, OfServer>,
    /// The servers for which a call deletes what was kept.
    claimed: HashSet<Arc<str>>,
    length: usize,
    next: u64,
    dropped: u64,
}

/// What is kept for a server.
#[derive(Debug, Default)]
struct OfServer {
    /// Each key with a number, so that what was kept again meanwhile stays. Sorted, so that a client finds those with its prefix.
    keys: BTreeMap<Arc<[u8]>, u64>,
    rest: Rest,
    /// The last key that was claimed of those with a prefix, if there were more: the next claim goes on after it, since those before
    /// may be of a server that is down behind a proxy.
    last: HashMap<Box<[u8]>, Arc<[u8]>>,
}

/// Whether a server is left alone by calls that do not need what they would delete there.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    None,
    /// From when a call says what time it is.
    Soon,
    Until(Instant),
}

impl Rest {
    /// It begins now, unless it has.
    fn begin(&mut self, now: Instant) {
        if let Self::Soon = self {
            *self = Self::Until(now + REST);
        }
    }
}

impl OfServer {
    /// Some of the keys with a prefix: those that come after the ones before.
    fn next(&mut self, prefix: &[u8], limit: usize) -> Vec<(Arc<[u8]>, u64)> {
        let last = self.last.remove(prefix);
        let start = last.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
        let after = self.keys.range::<[u8], _>((start, Bound::Unbounded));
        let after = after.take_while(|(key, _)| key.starts_with(prefix));
        let before =
            last.as_deref().map(|last| self.keys.range::<[u8], _>((Bound::Included(prefix), Bound::Included(last))));
        let keys = after.chain(before.into_iter().flatten()).take(limit);
        let keys: Vec<_> = keys.map(|(key, number)| (Arc::clone(key), *number)).collect();
        if let Some((last, _)) = keys.last().filter(|_| keys.len() == limit) {
            self.last.insert(prefix.into(), Arc::clone(last));
        }
        keys
    }
}

/// For how long a proxy is left alone whose server is down.
const REST: Duration = ReconnectPolicy::MIN_DELAY;

/// A key that is deleted on its server.
#[derive(Debug, Clone)]
pub(crate) struct KeptKey {
    pub(crate) server: Arc<str>,
    pub(crate) key: Arc<[u8]>,
    number: u64,
}

/// A call is the one that deletes what was kept for a server, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    journal: Arc<Journal>,
    server: Arc<str>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.journal.lock().claimed.remove(&self.server);
    }
}

impl Journal {
    /// A journal of this many keys at most. For each of them it takes about 100 bytes and the key.
    ///
    /// When it is full, further keys are [dropped](Journal::dropped): what their server has stays until it expires.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity, store: None }
    }

    /// The same journal, which tells `store` what it keeps.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn JournalStore>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Keeps a key for a server, by the name of the server: what a call does that has failed, and a program that gives back what it has
    /// stored. The key is as the server has it, with the [prefix](crate::Options::prefix) of the client. Returns whether there was room.
    pub fn keep(&self, server: &str, key: &[u8]) -> bool {
        let mut kept = self.lock();
        kept.next += 1;
        let number = kept.next;
        let is_known = kept.servers.get(server).is_some_and(|known| known.keys.contains_key(key));
        if !is_known && kept.length >= self.capacity {
            kept.dropped += 1;
            return false;
        }
        if !kept.servers.contains_key(server) {
            kept.servers.insert(server.into(), OfServer::default());
        }
        if let Some(known) = kept.servers.get_mut(server) {
            known.keys.insert(key.into(), number);
        }
        kept.length += usize::from(!is_known);
        if let (Some(store), false) = (&self.store, is_known) {
            store.kept(server, key);
        }
        true
    }

    /// Drops the keys of a server that has left the list for good, by its name. Until then they are kept: it may come back with what it
    /// has. Returns how many there were.
    pub fn forget(&self, server: &str) -> usize {
        let mut kept = self.lock();
        let OfServer { keys, .. } = kept.servers.remove(server).unwrap_or_default();
        kept.length -= keys.len();
        if let Some(store) = &self.store {
            keys.keys().for_each(|key| store.replayed(server, key));
        }
        keys.len()
    }

    /// How many keys wait for their server.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().length
    }

    /// Whether no key waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys there was no room for, since it was made.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// What is kept for a server of a key, if it is.
    pub(crate) fn find(&self, server: &str, key: &[u8]) -> Option<KeptKey> {
        let kept = self.lock();
        let (server, known) = kept.servers.get_key_value(server)?;
        let (key, number) = known.keys.get_key_value(key)?;
        Some(KeptKey { server: Arc::clone(server), key: Arc::clone(key), number: *number })
    }

    /// Some of what is kept for a server of keys with a prefix, unless another call deletes that already, or could not a short time ago.
    pub(crate) fn claim(
        journal: &Arc<Self>,
        server: &str,
        prefix: &[u8],
        limit: usize,
        now: Instant,
    ) -> Option<(Claim, Vec<KeptKey>)> {
        let mut guard = journal.lock();
        let kept = &mut *guard;
        let server = Arc::clone(kept.servers.get_key_value(server)?.0);
        let known = kept.servers.get_mut(&server)?;
        known.rest.begin(now);
        let rests = matches!(known.rest, Rest::Until(end) if now < end);
        if rests || kept.claimed.contains(&server) {
            return None;
        }
        let keys = known.next(prefix, limit);
        if keys.is_empty() {
            return None;
        }
        kept.claimed.insert(Arc::clone(&server));
        drop(guard);
        let key = |(key, number)| KeptKey { server: Arc::clone(&server), key, number };
        let keys = keys.into_iter().map(key).collect();
        Some((Claim { journal: Arc::clone(journal), server }, keys))
    }

    /// A key was deleted on its server.
    pub(crate) fn remove(&self, done: &KeptKey) {
        let mut kept = self.lock();
        let Some(OfServer { keys, .. }) = kept.servers.get_mut(&done.server) else { return };
        if keys.get(&done.key) != Some(&done.number) {
            return;
        }
        keys.remove(&done.key);
        if keys.is_empty() {
            kept.servers.remove(&done.server);
        }
        kept.length -= 1;
        if let Some(store) = &self.store {
            store.replayed(&done.server, &done.key);
        }
    }

    /// A server has answered, and cannot delete a key: it is a proxy, whose server is down.
    pub(crate) fn rest(&self, key: &KeptKey) {
        if let Some(known) = self.lock().servers.get_mut(&key.server) {
            known.rest = Rest::Soon;
        }
    }

    /// What has answered so by now is left alone for a second.
    pub(crate) fn begin_rest(&self, now: Instant) {
        self.lock().servers.values_mut().for_each(|known| known.rest.begin(now));
    }

    /// A panic while the lock was held cannot have left it half changed in a way that loses a key.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<String>>);

    impl JournalStore for Log {
        fn kept(&self, server: &str, key: &[u8]) {
            self.0.lock().unwrap().push(format!("+{server} {}", key.escape_ascii()));
        }

        fn replayed(&self, server: &str, key: &[u8]) {
            self.0.lock().unwrap().push(format!("-{server} {}", key.escape_ascii()));
        }
    }

    #[test]
    fn a_key_that_was_kept_again_meanwhile_stays() {
        let journal = Journal::new(10);
        journal.keep("a", b"x");
        let first = journal.find("a", b"x").unwrap();
        journal.keep("a", b"x");
        journal.remove(&first);
        assert_eq!(journal.len(), 1);
        journal.rest(&first);
        journal.remove(&journal.find("a", b"x").unwrap());
        assert!(journal.is_empty() && journal.find("a", b"x").is_none());
        assert!(journal.lock().servers.is_empty(), "servers for which nothing is kept are forgotten");
    }

    #[test]
    fn a_full_journal_counts_what_it_drops_and_its_store_is_told_the_rest() {
        let log = Arc::new(Log::default());
        let journal = Journal::new(2).with_store(Arc::<Log>::clone(&log));
        assert_eq!(
            [("a", "x"), ("b", "x"), ("a", "y"), ("b", "x")].map(|(at, key)| journal.keep(at, key.as_bytes())),
            [true, true, false, true]
        );
        assert_eq!((journal.len(), journal.dropped()), (2, 1));
        let journal = Arc::new(journal);
        let (claim, kept) = Journal::claim(&journal, "b", b"", 10, Instant::ZERO).unwrap();
        assert_eq!(kept.len(), 1);
        assert!(Journal::claim(&journal, "b", b"", 10, Instant::ZERO).is_none());
        drop(claim);
        assert!(Journal::claim(&journal, "b", b"", 10, Instant::ZERO).is_some());
        journal.remove(&kept[0]);
        journal.remove(&kept[0]);
        assert!(journal.keep("a", b"y"));
        assert_eq!((journal.forget("a"), journal.forget("b"), journal.len()), (2, 0, 0));
        assert_eq!(*log.0.lock().unwrap(), ["+a x", "+b x", "-b x", "+a y", "-a x", "-a y"]);
    }
}
