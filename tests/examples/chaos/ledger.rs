//! What was written under each key, and what may be read of it.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memcached2_proto::Landed;
use memcached2_testkit::Rng;

use crate::tally::{Tally, Violation};

/// How many of the last versions that were read are known.
const SEEN: usize = 32;

/// What a scene promises about old values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing: they may be read in an outage, or after it.
    No,
    /// Nothing is read that is older than the last write that has succeeded.
    Done,
    /// Nothing is read that is older than the last write, even if that has failed by the fault of a server: there is a journal.
    Tried,
}

/// How a write has ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// Its condition was not met.
    Unmet,
    Failed {
        landed: Landed,
        /// The server, or the way to it, is at fault.
        by_server: bool,
    },
    Dropped,
}

/// The keys of all callers. Each is written by one of them, and read by all.
#[derive(Debug)]
pub(crate) struct Ledger {
    freshness: Freshness,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    key: String,
    /// The last version that was given out.
    issued: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last write that counts.
    floor: u64,
    /// Writes that may land yet, and once each.
    unknown: HashSet<u64>,
    /// One of those that has landed late, and the last write that it has come after.
    late: (u64, u64),
    /// Writes that cannot have landed.
    unlanded: HashSet<u64>,
    seen: VecDeque<u64>,
}

impl Ledger {
    pub(crate) fn new(freshness: Freshness, keys: usize) -> Self {
        let record = |at| Record { key: format!("key:{at}"), issued: AtomicU64::new(0), state: Mutex::default() };
        Self { freshness, records: (0..keys).map(record).collect() }
    }

    pub(crate) fn keys(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn key(&self, at: usize) -> &str {
        &self.records[at].key
    }

    fn state(&self, at: usize) -> MutexGuard<'_, State> {
        self.records[at].state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version for the next write, which its caller begins now.
    pub(crate) fn begin_write(&self, at: usize) -> u64 {
        self.records[at].issued.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// What a read that begins now must not be older than.
    pub(crate) fn begin_read(&self, at: usize) -> u64 {
        match self.freshness {
            Freshness::No => 0,
            Freshness::Done | Freshness::Tried => self.state(at).floor,
        }
    }

    pub(crate) fn stored(&self, at: usize, version: u64, fate: Fate, tally: &Tally) {
        let mut state = self.state(at);
        state.raise(version, fate, self.freshness);
        match fate {
            Fate::Done => {}
            Fate::Dropped | Fate::Failed { landed: Landed::Unknown, .. } => {
                // Another caller may have read it already, and then it has landed.
                if !state.seen.contains(&version) {
                    state.unknown.insert(version);
                }
            }
            Fate::Unmet | Fate::Failed { .. } => {
                state.unlanded.insert(version);
                if state.seen.contains(&version) {
                    tally.violation(Violation::Lie, || format!("{} has version {version}: {fate:?}", self.key(at)));
                }
            }
        }
    }

    pub(crate) fn deleted(&self, at: usize, version: u64, fate: Fate) {
        self.state(at).raise(version, fate, self.freshness);
    }

    /// Checks what was read by a read that began when `floor` was the last write.
    pub(crate) fn read(&self, at: usize, floor: u64, value: &[u8], tally: &Tally) {
        let key = self.key(at);
        let Some((_, version)) = parse(value).filter(|(of, _)| *of == key) else {
            let shown: String = String::from_utf8_lossy(value).chars().take(100).collect();
            return tally.violation(Violation::Wrong, || format!("{key} is {shown:?}, {} bytes", value.len()));
        };
        let issued = self.records[at].issued.load(Ordering::SeqCst);
        if version == 0 || version > issued {
            tally.violation(Violation::Wrong, || format!("{key} has version {version}, of {issued}"));
        }
        let mut state = self.state(at);
        if state.unlanded.contains(&version) {
            tally.violation(Violation::Lie, || format!("{key} has version {version}, which has not landed"));
        }
        if state.unknown.remove(&version) && version < state.floor {
            state.late = (version, state.floor);
        }
        let is_late = state.late.0 == version && floor <= state.late.1;
        if version < floor && !is_late {
            tally.violation(Violation::Stale, || format!("{key} has version {version}, and had {floor} before"));
        }
        if state.seen.back() != Some(&version) {
            if state.seen.len() == SEEN {
                state.seen.pop_front();
            }
            state.seen.push_back(version);
        }
    }
}

impl State {
    fn raise(&mut self, version: u64, fate: Fate, freshness: Freshness) {
        let counts = match fate {
            Fate::Done => true,
            Fate::Failed { landed: Landed::Refused, .. } => false,
            Fate::Failed { by_server, .. } => by_server && freshness == Freshness::Tried,
            Fate::Unmet | Fate::Dropped => false,
        };
        if counts {
            self.floor = self.floor.max(version);
        }
    }
}

/// The value of a key: it names the key and the version, and has a checksum of all.
pub(crate) fn value(key: &str, version: u64, rng: &mut Rng) -> String {
    let longest = match rng.below(500) {
        0 => 100_000,
        1..=20 => 5000,
        _ => 150,
    };
    let payload = "abcdefghijklm".repeat(longest / 13);
    let payload = &payload[..rng.below(payload.len())];
    format!("{key} {version} {:016x} {payload}", checksum(key, version, payload))
}

fn parse(value: &[u8]) -> Option<(&str, u64)> {
    let mut words = std::str::from_utf8(value).ok()?.splitn(4, ' ');
    let (key, version) = (words.next()?, words.next()?.parse().ok()?);
    let (sum, payload) = (words.next()?, words.next()?);
    (sum == format!("{:016x}", checksum(key, version, payload))).then_some((key, version))
}

fn checksum(key: &str, version: u64, payload: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, version, payload).hash(&mut hasher);
    hasher.finish()
}
