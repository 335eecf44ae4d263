//! A small cache within the program, before the servers: the rules of `client.near_cache(..)`, without I/O.
//!
//! For users: a [`NearCachePolicy`] says how much it holds, and for how long.

mod batch;
mod entry;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::OptionsBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};

pub use self::batch::Search;
use self::entry::{Entry, Weight};
use self::writes::Writes;
pub use self::writes::Writing;
use crate::command::IfChanged;
use crate::error::Error;
use crate::incidents::Incidents;
use crate::routing::Router;
use crate::time::Instant;
use crate::value::Value;

/// How much a cache within the program holds, and for how long it uses a value before it asks the server again.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::near_cache::NearCachePolicy;
///
/// // 64 MiB, and nothing that is older than half a second.
/// let policy = NearCachePolicy::new(64 << 20, Duration::from_millis(500));
/// // let near = client.near_cache(&policy);
/// // let page = near.get("page:front").await?;
/// ```
#[derive(Debug, Clone)]
pub struct NearCachePolicy {
    bytes: usize,
    max_age: Duration,
}

impl NearCachePolicy {
    /// Holds about this many bytes of keys and values, and uses a value for `max_age` after it was asked for.
    #[must_use]
    pub fn new(bytes: usize, max_age: Duration) -> Self {
        Self { bytes, max_age }
    }
}

/// What the clones of a near cache share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Near {
    entries: Cache<Box<[u8]>, Arc<Entry>, Weight>,
    writes: Writes,
    /// What happens to the client; `None` if the versions of an item differ from server to server.
    incidents: Option<Incidents>,
    max_age: Duration,
}

/// A caller that asks the server for a value.
#[doc(hidden)]
#[derive(Debug)]
pub struct Question {
    begun: Instant,
    /// How often keys like this were written by then.
    written: u64,
    /// How many incidents there had been; `None` if no version is to be asked about, or something happened just then.
    incidents: Option<u64>,
    /// The value that was known.
    known: Option<Arc<Entry>>,
}

/// A part of the cache is locked apart from the others, and holds values up to its size.
const PART: usize = 4 << 20;
const PARTS: usize = 64;
/// About how large an item is: for the memory that knows which keys were asked for lately.
const ITEM: usize = 1024;

#[doc(hidden)]
impl Near {
    /// An empty cache of a client with these servers.
    #[must_use]
    pub fn new(policy: &NearCachePolicy, router: &Router) -> Self {
        let &NearCachePolicy { bytes, max_age } = policy;
        let mut options = OptionsBuilder::new();
        options.shards((bytes / PART).clamp(1, PARTS));
        options.estimated_items_capacity((bytes / ITEM).max(1)).weight_capacity(bytes as u64);
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, Weight, Default::default(), DefaultLifecycle::default()),
            // Both capacities are set.
            Err(_) => Cache::with_weighter(1, bytes as u64, Weight),
        };
        let incidents = (!router.has_replicas()).then(|| router.incidents().clone());
        Self { entries, writes: Writes::default(), incidents, max_age }
    }

    /// The value of a key, if it is known, fresh, and was not written since; else the caller has to ask. One caller asks in the last
    /// quarter of its time already, so that no other one has to wait.
    ///
    /// # Errors
    ///
    /// What to ask.
    #[inline]
    pub fn find(&self, key: &[u8], now: Instant) -> Result<Value, Question> {
        // The time before the number of writes: what an answer says of both is then true of the moment when it was asked for.
        let written = self.writes.count(key);
        let known = self.entries.get(key);
        if let Some(entry) = &known {
            if entry.is_fresh(now, written, self.max_age) && !entry.is_due(now, self.max_age) {
                return Ok(entry.value());
            }
        }
        Err(Question { begun: now, written, incidents: self.incidents(), known })
    }

    /// A question for the value itself, whatever is known.
    #[must_use]
    pub fn question(&self, key: &[u8], now: Instant) -> Question {
        Question { begun: now, written: self.writes.count(key), incidents: self.incidents(), known: None }
    }

    fn incidents(&self) -> Option<u64> {
        self.incidents.as_ref().and_then(Incidents::count)
    }

    /// Whether an answer can be believed: the version of a server that was restarted may be that of another value.
    #[must_use]
    pub fn believes(&self, question: &Question, answer: &Result<IfChanged, Error>) -> bool {
        !matches!(answer, Ok(IfChanged::Same)) || self.incidents() == question.incidents
    }

    /// Takes an answer, and returns it.
    ///
    /// # Errors
    ///
    /// The error, unless the value that was known is still fresh at `now`.
    pub fn answered(
        &self,
        key: &[u8],
        question: &Question,
        answer: Result<IfChanged, Error>,
        now: Instant,
    ) -> Result<Option<Value>, Error> {
        let Question { begun, written, known, .. } = question;
        match (answer, known) {
            (Ok(IfChanged::Same), Some(entry)) => {
                entry.confirm(*begun, *written);
                Ok(Some(entry.value()))
            }
            (Ok(IfChanged::Changed(value)), _) => Ok(Some(self.fill(key, question, value))),
            (Ok(IfChanged::Missing), _) => {
                self.entries.remove(key);
                Ok(None)
            }
            (Ok(IfChanged::Same), None) => Err(Error::protocol("a version was confirmed that was not asked about")),
            (Err(error), known) => {
                let written = self.writes.count(key);
                let known = known.as_ref().filter(|entry| entry.is_fresh(now, written, self.max_age));
                known.map(|entry| Some(entry.value())).ok_or(error)
            }
        }
    }

    /// Keeps a value, unless the key was written while it was asked for, or a later answer is there already.
    fn fill(&self, key: &[u8], question: &Question, value: Value) -> Value {
        let entry = Entry::new(value, question);
        let is_overtaken = || self.entries.peek(key).is_some_and(|other| other.is_later_than(&entry));
        if self.writes.count(key) != question.written || is_overtaken() {
            return entry.value();
        }
        let value = entry.value();
        self.entries.insert(key.into(), Arc::new(entry));
        value
    }

    /// Begins to write a key: what was known of it is not used any more, and what is asked for before the end is not kept.
    #[must_use]
    pub fn write(&self, key: &[u8]) -> Writing<'_> {
        self.writes.begin([key])
    }

    /// Begins to write keys.
    #[must_use]
    pub fn write_all<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Writing<'_> {
        self.writes.begin(keys)
    }

    /// Forgets all values, and keeps no answer that is under way.
    pub fn clear(&self) {
        self.writes.count_all();
        self.entries.clear();
    }
}

#[doc(hidden)]
impl Question {
    /// When it was asked first.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The version of the value that is known, if it can be asked about.
    #[must_use]
    pub fn cas(&self) -> Option<u64> {
        let incidents = self.incidents?;
        self.known.as_ref().filter(|entry| entry.incidents() == Some(incidents))?.cas()
    }
}

#[cfg(test)]
mod tests;
