//! The number of a namespace's present generation: for how long it is believed, and how it never goes back.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::Instant;

/// What is known of the number.
#[derive(Debug, Default)]
pub(super) struct Generation(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The highest number that any server has returned; 0 before that.
    number: u64,
    /// When that was asked for, unless it has to be asked for again.
    asked: Option<Instant>,
    /// When a caller has begun to ask for it again early.
    renewing: Option<Instant>,
    /// How often what was known was forgotten: an answer that was asked for before is not believed any longer.
    forgotten: u64,
}

impl Known {
    fn question(&self, now: Instant) -> Question {
        Question { begun: now, known: self.number, forgotten: self.forgotten }
    }
}

/// A caller that asks the server for the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    begun: Instant,
    /// The highest number known by then.
    known: u64,
    /// How often what was known had been forgotten.
    forgotten: u64,
}

/// A caller that raises the number. Others may ask for it meanwhile, before it has risen: if it is not known whether it has, what they
/// have heard is forgotten, too.
#[derive(Debug)]
#[must_use]
pub struct Clearing<'g> {
    generation: &'g Generation,
    question: Question,
}

impl Clearing<'_> {
    /// What it has asked.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The number has risen, and is known.
    pub fn end(self) {
        let _ = std::mem::ManuallyDrop::new(self);
    }
}

impl Drop for Clearing<'_> {
    fn drop(&mut self) {
        let mut known = self.generation.lock();
        (known.asked, known.forgotten) = (None, known.forgotten + 1);
    }
}

impl Generation {
    /// The number, if it was asked for within this time; else the caller has to ask. One caller asks in the second half of the
    /// time already, so that no other one has to wait.
    pub(super) fn begin(&self, now: Instant, check_after: Duration) -> Result<u64, Question> {
        let mut known = self.lock();
        let age = known.asked.map(|asked| now.saturating_duration_since(asked));
        if age.is_some_and(|age| age < check_after) {
            let is_early = age < Some(check_after / 2);
            let is_asked = known.renewing.is_some_and(|begun| now.saturating_duration_since(begun) < check_after / 4);
            if is_early || is_asked {
                return Ok(known.number);
            }
        }
        known.renewing = Some(now);
        Err(known.question(now))
    }

    /// The number, if it was asked for within this time.
    pub(super) fn known(&self, now: Instant, check_after: Duration) -> Option<u64> {
        let known = self.lock();
        let asked = known.asked?;
        (now.saturating_duration_since(asked) < check_after).then_some(known.number)
    }

    /// Takes the number that a server has returned, and returns the one to use. `Err` if it went back: by how much it has to rise.
    /// It has to be a new one then, since other programs may have gone on from the number that this one knows. The highest number there
    /// is has no next one, and counts as one that went back: memcached counts on from 0.
    pub(super) fn answered(&self, question: &Question, number: u64, now: SystemTime) -> Result<u64, u64> {
        if number < question.known || number == u64::MAX {
            return Err(self.first(now).wrapping_sub(number));
        }
        let mut known = self.lock();
        let asked = (question.forgotten == known.forgotten).then_some(question.begun);
        if number > known.number || (number == known.number && known.asked < asked) {
            (known.number, known.asked) = (number, asked);
        }
        // A higher one may have come meanwhile.
        Ok(known.number)
    }

    /// Makes the next caller ask, and again once what is returned is dropped, unless it has ended.
    pub(super) fn forget(&self, now: Instant) -> Clearing<'_> {
        let mut known = self.lock();
        known.asked = None;
        Clearing { generation: self, question: known.question(now) }
    }

    /// The number of a first generation: higher than those before, whose items may still be there although their number was evicted.
    /// It is made of the seconds since 1970 and a random part, for programs whose clocks differ.
    pub(super) fn first(&self, now: SystemTime) -> u64 {
        /// Generations of one second are this many apart on average, and `clear` adds 1.
        const RANDOM_BITS: u32 = 29;
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let random = RandomState::new().hash_one(()) >> (u64::BITS - RANDOM_BITS);
        ((seconds << RANDOM_BITS) | random).max(self.lock().number.saturating_add(1))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
