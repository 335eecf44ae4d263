//! What calls came to, and what must not have happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memcached2_proto::{Error, Landed};

use crate::ledger::Fate;
use crate::pulse;

/// The deadline of each call.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(200);
/// How much later it may return.
const GRACE: Duration = Duration::from_millis(50);

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A value of another key, or one that was never written.
    Wrong,
    /// A value older than it may be.
    Stale,
    /// A write that was said to have had no effect has landed.
    Lie,
    /// A counter has counted too much, or too little.
    Count,
    /// A call has returned after its deadline.
    Late,
    Panic,
    /// Calls still fail when all servers are up again, or the client cannot be closed.
    Stuck,
    Sockets,
    Tasks,
    Memory,
}

impl Violation {
    pub(crate) const ALL: [(Self, &'static str); 10] = [
        (Self::Wrong, "wrong values"),
        (Self::Stale, "stale reads"),
        (Self::Lie, "landed lies"),
        (Self::Count, "miscounted"),
        (Self::Late, "late"),
        (Self::Panic, "panics"),
        (Self::Stuck, "stuck"),
        (Self::Sockets, "sockets"),
        (Self::Tasks, "tasks"),
        (Self::Memory, "memory"),
    ];
}

/// What all callers of a scene have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Keys that were asked for or changed, also in batches.
    pub(crate) operations: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Calls that returned late while this process had no processor.
    pub(crate) excused: AtomicU64,
    pub(crate) faults: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    errors: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    violations: BTreeMap<Violation, u64>,
    examples: Vec<String>,
}

impl Tally {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn violation(&self, violation: Violation, what: impl FnOnce() -> String) {
        self.violations(violation, 1, what);
    }

    pub(crate) fn violations(&self, violation: Violation, count: u64, what: impl FnOnce() -> String) {
        const SHOWN: usize = 10;
        if count == 0 {
            return;
        }
        let mut notes = self.notes();
        *notes.violations.entry(violation).or_default() += count;
        if notes.examples.len() < SHOWN {
            notes.examples.push(format!("{violation:?}: {}", what()));
        }
    }

    pub(crate) fn fault(&self, kind: &'static str, count: u64) {
        *self.notes().faults.entry(kind).or_default() += count;
    }

    pub(crate) fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.notes().errors.clone()
    }

    pub(crate) fn faults_by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.notes().faults.clone()
    }

    pub(crate) fn count_of(&self, violation: Violation) -> u64 {
        self.notes().violations.get(&violation).copied().unwrap_or(0)
    }

    pub(crate) fn examples(&self) -> Vec<String> {
        self.notes().examples.clone()
    }

    /// A call that began then, when its thread had waited so long for a processor, has returned now.
    pub(crate) fn returned(&self, begun: Instant, waited: Duration, name: &str) {
        let took = begun.elapsed();
        let Some(over) = took.checked_sub(TIMEOUT + GRACE) else { return };
        let starved = pulse::starved(begun, begun + took).max(pulse::waited().saturating_sub(waited));
        if starved >= over {
            self.excused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.violation(Violation::Late, || {
                format!("{name} took {took:.0?}, {starved:.0?} of it without a processor")
            });
        }
    }

    /// Reads the outcome of one key.
    pub(crate) fn outcome<T>(&self, outcome: Option<Result<T, Error>>) -> Result<T, Fate> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let error = match outcome {
            None => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return Err(Fate::Dropped);
            }
            Some(Ok(answer)) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return Ok(answer);
            }
            Some(Err(error)) => error,
        };
        if matches!(error, Error::NotStored { .. } | Error::Exists { .. } | Error::NotFound { .. }) {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return Err(Fate::Unmet);
        }
        let (kind, by_server) = kind(&error);
        *self.notes().errors.entry(kind).or_default() += 1;
        Err(Fate::Failed { landed: error.landed(), by_server })
    }
}

/// The kind of an error, and whether the server or the way to it is at fault.
fn kind(error: &Error) -> (&'static str, bool) {
    match error {
        Error::Timeout { .. } => ("timeout", true),
        Error::Disconnected { .. } => ("disconnected", true),
        Error::Connect { .. } => ("connect", true),
        Error::Tls { .. } => ("TLS", true),
        Error::Down { .. } => ("down", true),
        Error::AllDown { .. } => ("all down", true),
        Error::Replicas { .. } => ("replicas", true),
        Error::Refused { landed: Landed::Unknown, .. } => ("refused, unknown", true),
        Error::Refused { .. } => ("refused", false),
        Error::Protocol { .. } => ("protocol", true),
        Error::Overloaded { .. } => ("overloaded", false),
        Error::NonNumeric { .. } => ("no number", false),
        Error::NoMemory { .. } => ("no memory", false),
        _ => ("other", false),
    }
}
