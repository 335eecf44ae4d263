//! What calls came to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memcached2_proto::{Error, Landed};

/// What may be expected of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nature {
    /// An error line says nothing of what was done.
    pub(crate) lies: bool,
    /// Its connections can stand still for ever, also while they are opened.
    pub(crate) stalls: bool,
    /// It knows `touch` and `gat`.
    pub(crate) touches: bool,
    /// It answers `version`.
    pub(crate) tells_version: bool,
    /// It starts again with what it numbers.
    pub(crate) restarts: bool,
    /// One call in this many fetches hundreds of values; 0 means no call.
    pub(crate) large: usize,
    /// The number of calls is divided by this; 0 means 1.
    pub(crate) shorter: u64,
}

/// The outcome of a request, as its caller may see it.
#[derive(Debug)]
pub(crate) enum Fate<T> {
    Answered(T),
    /// A condition was not met.
    Unmet(Error),
    /// It has failed, and changed nothing.
    Unchanged,
    /// It was carried out, or will be, or not.
    Unknown,
}

/// What all callers of a client have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    calls: AtomicU64,
    /// How many of them were answered whole.
    succeeded: AtomicU64,
    /// How many of them had an error for at least one key.
    failed: AtomicU64,
    cancelled: AtomicU64,
    wrong: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// How many keys have failed with each error.
    errors: BTreeMap<String, u64>,
    /// The first wrong replies.
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many calls have come to an end.
    pub(crate) fn ended(&self) -> u64 {
        self.succeeded() + self.failed() + self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call, unless there were `most`; its number from 1 on.
    pub(crate) fn begin(&self, most: u64) -> Option<u64> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call > most {
            self.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(call)
    }

    /// Counts a call by its outcome: whether all of it was answered, or `None` if it was cancelled.
    pub(crate) fn count(&self, answered: Option<bool>) {
        let counter = match answered {
            Some(true) => &self.succeeded,
            Some(false) => &self.failed,
            None => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads the outcome of a request; `None` is that of a call that was cancelled.
    pub(crate) fn fate<T>(&self, outcome: Option<Result<T, Error>>, nature: Nature) -> Fate<T> {
        let error = match outcome {
            None => return Fate::Unknown,
            Some(Ok(answer)) => return Fate::Answered(answer),
            Some(Err(error)) => error,
        };
        match &error {
            Error::NotStored { .. } | Error::Exists { .. } | Error::NotFound { .. } | Error::NonNumeric { .. } => {
                return Fate::Unmet(error);
            }
            _ => {}
        }
        let name: String = match &error {
            Error::Refused { line, .. } => line.to_string(),
            other => format!("{other:?}").chars().take_while(char::is_ascii_alphanumeric).collect(),
        };
        *self.notes().errors.entry(name).or_default() += 1;
        match error.landed() {
            Landed::NotSent => Fate::Unchanged,
            Landed::Refused if !nature.lies => Fate::Unchanged,
            Landed::Refused | Landed::Unknown => Fate::Unknown,
        }
    }

    /// Notes a reply that belongs to another caller or another time.
    pub(crate) fn judge(&self, verdict: Result<(), String>) {
        const KEPT: usize = 10;
        const SHOWN: usize = 300;
        if let Err(wrong) = verdict {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            let mut notes = self.notes();
            if notes.wrong.len() < KEPT {
                notes.wrong.push(wrong.chars().take(SHOWN).collect());
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        let notes = self.notes();
        let (calls, succeeded, failed, wrong) = (self.calls(), self.succeeded(), self.failed(), self.wrong());
        write!(
            f,
            "{calls} calls: {succeeded} answered, {failed} failed, {cancelled} cancelled; {wrong} wrong replies"
        )?;
        write!(f, "; errors: {:?}", notes.errors)?;
        notes.wrong.iter().try_for_each(|wrong| write!(f, "\n  {wrong}"))
    }
}
