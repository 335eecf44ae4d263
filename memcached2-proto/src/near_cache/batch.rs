//! Many keys at once: those that are known, those to be fetched, and those to be confirmed.

use super::{Near, Question};
use crate::command::{GetIfChanged, IfChanged};
use crate::error::Error;
use crate::key::Key;
use crate::operation::{Batch, BatchResult, GetMany};
use crate::time::Instant;
use crate::value::Value;

/// The search for many keys.
#[doc(hidden)]
#[derive(Debug)]
pub struct Search<'k> {
    results: Vec<Result<Option<Value>, Error>>,
    absent: Asked<'k>,
    known: Asked<'k>,
}

/// Keys to be asked for, each with its place.
#[derive(Debug, Default)]
struct Asked<'k> {
    keys: Vec<&'k [u8]>,
    questions: Vec<(usize, Question)>,
}

impl<'k> Search<'k> {
    /// Looks for keys in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for the first wrong key.
    pub fn new<K: AsRef<[u8]>>(near: &Near, keys: &'k [K], now: Instant) -> Result<Self, Error> {
        let mut search =
            Self { results: Vec::with_capacity(keys.len()), absent: Asked::default(), known: Asked::default() };
        for key in keys {
            let key = Key::new(key)?.as_bytes();
            let found = near.find(key, now).map(Some).or_else(|question| {
                let asked = if question.cas().is_some() { &mut search.known } else { &mut search.absent };
                asked.push(key, search.results.len(), question);
                Ok(None)
            });
            search.results.push(found);
        }
        Ok(search)
    }

    /// What to fetch.
    ///
    /// # Errors
    ///
    /// None: the keys were checked.
    pub fn fetch(&self) -> Result<Option<GetMany<'_>>, Error> {
        match self.absent.keys.is_empty() {
            true => Ok(None),
            false => GetMany::new(&self.absent.keys).map(|get| Some(get.with_cas())),
        }
    }

    /// What to confirm.
    ///
    /// # Errors
    ///
    /// None: the keys and versions were checked.
    pub fn confirm(&self) -> Result<Option<Batch<GetIfChanged<'k>>>, Error> {
        let asked = self.known.keys.iter().zip(&self.known.questions);
        let get = |(key, (_, question)): (&&'k [u8], &(usize, Question))| {
            GetIfChanged::new(*key, question.cas().unwrap_or_default())
        };
        let gets = asked.map(get).collect::<Result<Vec<_>, _>>()?;
        Ok((!gets.is_empty()).then(|| Batch::new(gets)))
    }

    /// Takes what was fetched.
    pub fn fetched(&mut self, near: &Near, fetched: BatchResult<Option<Value>>, now: Instant) {
        let Asked { keys, questions } = std::mem::take(&mut self.absent);
        for ((key, (place, question)), answer) in keys.into_iter().zip(questions).zip(fetched) {
            self.results[place] = near.answered(key, &question, answer.map(IfChanged::from), now);
        }
    }

    /// Takes what was confirmed. What cannot be believed is to be fetched.
    pub fn confirmed(&mut self, near: &Near, confirmed: BatchResult<IfChanged>, now: Instant) {
        let Asked { keys, questions } = std::mem::take(&mut self.known);
        for ((key, (place, question)), answer) in keys.into_iter().zip(questions).zip(confirmed) {
            match near.believes(&question, &answer) {
                true => self.results[place] = near.answered(key, &question, answer, now),
                false => self.absent.push(key, place, near.question(key, now)),
            }
        }
    }

    /// The results, in the order of the keys.
    pub fn finish(self) -> BatchResult<Option<Value>> {
        BatchResult::from(self.results)
    }
}

impl<'k> Asked<'k> {
    fn push(&mut self, key: &'k [u8], place: usize, question: Question) {
        self.keys.push(key);
        self.questions.push((place, question));
    }
}
