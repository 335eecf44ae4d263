//! A caller: random calls, and what their answers must be.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use memcached2_proto::command::{Incr, NoReply};
use memcached2_proto::operation::{GetMany, SetMany};
use memcached2_proto::{BatchResult, Delete, Error, Get, Operation, Store, Value};
use memcached2_testkit::Rng;

use crate::ledger::{Fate, Ledger, value};
use crate::pulse;
use crate::subject::{Cut, Subject};
use crate::tally::{Tally, Violation};

/// How many keys a caller writes.
pub(crate) const OWN: usize = 20;

/// What all callers of a scene have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    /// Whether there are counters, `add` and `cas`: replicas have none.
    pub(crate) has_conditions: bool,
}

pub(crate) struct Caller<'s, S> {
    client: S,
    shared: &'s Shared,
    number: usize,
    rng: Rng,
    counter: Counter,
}

/// A counter of one caller. It has another key each time that it is made, so that what lands late counts nowhere.
#[derive(Debug, Default)]
struct Counter {
    generation: u64,
    exists: bool,
    /// How many calls have counted.
    sure: u64,
    /// How many others may have counted, or may yet.
    unsure: u64,
}

impl Counter {
    fn renew(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }
}

impl<'s, S: Subject> Caller<'s, S> {
    pub(crate) fn new(client: S, shared: &'s Shared, number: usize, seed: u64) -> Self {
        let rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        Self { client, shared, number, rng, counter: Counter::default() }
    }

    async fn ask<O: Operation>(&mut self, name: &str, operation: O) -> Option<Result<O::Output, Error>> {
        let cut = match self.rng.below(16) {
            0 if S::DROPS => Cut::Polls(1 + self.rng.below(6)),
            1 if S::DROPS => Cut::After(Duration::from_micros(self.rng.below(2000) as u64)),
            _ => Cut::Never,
        };
        let (waited, begun) = (pulse::waited(), Instant::now());
        let outcome = self.client.ask(operation, cut).await;
        if outcome.is_some() {
            self.shared.tally.returned(begun, waited, name);
        }
        outcome
    }

    async fn ask_many<T, O>(&mut self, name: &str, operation: O, count: usize) -> Vec<Option<Result<T, Error>>>
    where
        O: Operation<Output = BatchResult<T>>,
    {
        match self.ask(name, operation).await {
            Some(Ok(many)) => many.into_iter().map(Some).collect(),
            Some(Err(error)) => (0..count).map(|_| Some(Err(error.clone()))).collect(),
            None => (0..count).map(|_| None).collect(),
        }
    }

    /// Reads an outcome. A program that has met an error does something else for a moment.
    async fn outcome<T>(&self, outcome: Option<Result<T, Error>>) -> Result<T, Fate> {
        let outcome = self.shared.tally.outcome(outcome);
        if matches!(outcome, Err(Fate::Failed { .. })) {
            S::pause(Duration::from_millis(1)).await;
        }
        outcome
    }

    pub(crate) fn shared(&self) -> &'s Shared {
        self.shared
    }

    fn own(&mut self) -> usize {
        self.number * OWN + self.rng.below(OWN)
    }

    fn any(&mut self) -> usize {
        if self.rng.once_in(2) { self.own() } else { self.rng.below(self.shared.ledger.keys()) }
    }

    pub(crate) async fn call(&mut self) {
        let most = if self.shared.has_conditions { 22 } else { 17 };
        match self.rng.below(most) {
            0..=5 => {
                let at = self.any();
                self.get(at).await;
            }
            6..=9 => self.store().await,
            10 => self.delete().await,
            11..=13 => {
                let count = 1 + self.rng.below(20);
                let ats: Vec<_> = (0..count).map(|_| self.any()).collect();
                self.get_many(&ats).await;
            }
            14 | 15 => self.set_many().await,
            16 => self.noreply().await,
            17 => self.add().await,
            18 => self.cas().await,
            19 | 20 => self.count().await,
            _ => self.read_counter().await,
        }
    }

    /// Reads all that it writes; returns whether all was answered.
    pub(crate) async fn read_all(&mut self) -> bool {
        let mut is_answered = true;
        for at in self.number * OWN..(self.number + 1) * OWN {
            is_answered &= self.get(at).await;
        }
        if self.shared.has_conditions {
            self.read_counter().await;
        }
        is_answered
    }

    /// Returns whether the server has answered.
    async fn get(&mut self, at: usize) -> bool {
        let floor = self.shared.ledger.begin_read(at);
        let found = self.ask("get", Get::new(self.shared.ledger.key(at)).expect("a key")).await;
        match self.outcome(found).await {
            Ok(found) => {
                self.found(at, floor, found.as_ref());
                true
            }
            Err(fate) => fate == Fate::Dropped,
        }
    }

    fn found(&self, at: usize, floor: u64, found: Option<&Value>) {
        if let Some(value) = found {
            self.shared.tally.hits.fetch_add(1, Ordering::Relaxed);
            self.shared.ledger.read(at, floor, value.data(), &self.shared.tally);
        }
    }

    async fn get_many(&mut self, ats: &[usize]) {
        let keys: Vec<_> = ats.iter().map(|at| self.shared.ledger.key(*at)).collect();
        let floors: Vec<_> = ats.iter().map(|at| self.shared.ledger.begin_read(*at)).collect();
        let results = self.ask_many("get_many", GetMany::new(&keys).expect("keys"), ats.len()).await;
        for ((at, floor), found) in ats.iter().zip(floors).zip(results) {
            if let Ok(found) = self.outcome(found).await {
                self.found(*at, floor, found.as_ref());
            }
        }
    }

    /// A new version of a key, and its value.
    fn new_value(&mut self, at: usize) -> (u64, String) {
        let version = self.shared.ledger.begin_write(at);
        (version, value(self.shared.ledger.key(at), version, &mut self.rng))
    }

    async fn stored(&self, at: usize, version: u64, outcome: Option<Result<(), Error>>) {
        let fate = self.outcome(outcome).await.map_or_else(|fate| fate, |()| Fate::Done);
        self.shared.ledger.stored(at, version, fate, &self.shared.tally);
    }

    async fn store(&mut self) {
        let at = self.own();
        let (version, value) = self.new_value(at);
        let store = Store::set(self.shared.ledger.key(at), &value).expect("a key");
        let outcome = self.ask("set", store).await;
        self.stored(at, version, outcome).await;
    }

    async fn add(&mut self) {
        let at = self.own();
        let (version, value) = self.new_value(at);
        let store = Store::add(self.shared.ledger.key(at), &value).expect("a key");
        let outcome = self.ask("add", store).await;
        self.stored(at, version, outcome).await;
    }

    async fn cas(&mut self) {
        let at = self.own();
        let floor = self.shared.ledger.begin_read(at);
        let get = Get::new(self.shared.ledger.key(at)).expect("a key").with_cas();
        let found = self.ask("gets", get).await;
        let Ok(Some(found)) = self.outcome(found).await else { return };
        self.found(at, floor, Some(&found));
        let Some(cas) = found.cas else {
            return self.shared.tally.violation(Violation::Wrong, || "gets has no cas".into());
        };
        let (version, value) = self.new_value(at);
        let store = Store::cas(self.shared.ledger.key(at), &value, cas).expect("a key");
        let outcome = self.ask("cas", store).await;
        self.stored(at, version, outcome).await;
    }

    async fn set_many(&mut self) {
        let count = 1 + self.rng.below(OWN);
        let values: Vec<_> = (self.number * OWN..).take(count).map(|at| (at, self.new_value(at))).collect();
        let ledger = &self.shared.ledger;
        let stores = values.iter().map(|(at, (_, value))| Store::set(ledger.key(*at), value).expect("a key")).collect();
        let outcomes = self.ask_many("set_many", SetMany::from_stores(stores), count).await;
        for ((at, (version, _)), outcome) in values.into_iter().zip(outcomes) {
            self.stored(at, version, outcome).await;
        }
    }

    async fn delete(&mut self) {
        let at = self.own();
        let version = self.shared.ledger.begin_write(at);
        let outcome = self.ask("delete", Delete::new(self.shared.ledger.key(at)).expect("a key")).await;
        let fate = self.outcome(outcome).await.map_or_else(|fate| fate, |_| Fate::Done);
        self.shared.ledger.deleted(at, version, fate);
    }

    async fn noreply(&mut self) {
        let at = self.own();
        if self.rng.once_in(2) {
            let version = self.shared.ledger.begin_write(at);
            let delete = NoReply(Delete::new(self.shared.ledger.key(at)).expect("a key"));
            let outcome = self.ask("delete noreply", delete).await;
            let fate = self.outcome(outcome).await.map_or_else(|fate| fate, |()| Fate::Done);
            return self.shared.ledger.deleted(at, version, fate);
        }
        let (version, value) = self.new_value(at);
        let store = NoReply(Store::set(self.shared.ledger.key(at), &value).expect("a key"));
        let outcome = self.ask("set noreply", store).await;
        self.stored(at, version, outcome).await;
    }

    fn counter_key(&self) -> String {
        format!("count:{}:{}", self.number, self.counter.generation)
    }

    async fn count(&mut self) {
        let key = self.counter_key();
        if !self.counter.exists {
            let outcome = self.ask("add", Store::add(&key, "0").expect("a key")).await;
            match self.outcome(outcome).await {
                Ok(()) => self.counter.exists = true,
                Err(_) => self.counter.renew(),
            }
            return;
        }
        let outcome = self.ask("incr", Incr::new(&key, 1).expect("a key")).await;
        match self.outcome(outcome).await {
            Ok(Some(number)) => {
                self.counter.sure += 1;
                self.check_count(&key, number);
            }
            Ok(None) => self.counter.renew(),
            Err(Fate::Dropped | Fate::Failed { landed: memcached2_proto::Landed::Unknown, .. }) => {
                self.counter.unsure += 1;
            }
            Err(_) => {}
        }
    }

    async fn read_counter(&mut self) {
        let key = self.counter_key();
        let outcome = self.ask("get", Get::new(&key).expect("a key")).await;
        match self.outcome(outcome).await {
            Ok(Some(value)) if self.counter.exists => {
                match value.as_str().ok().and_then(|text| text.trim().parse().ok()) {
                    Some(number) => self.check_count(&key, number),
                    None => self.shared.tally.violation(Violation::Wrong, || format!("{key} is no number")),
                }
            }
            Ok(Some(value)) => {
                self.shared.tally.violation(Violation::Wrong, || format!("{key} was not made, and is {value:?}"));
            }
            Ok(None) if self.counter.exists => self.counter.renew(),
            Ok(None) | Err(_) => {}
        }
    }

    fn check_count(&self, key: &str, number: u64) {
        let Counter { sure, unsure, .. } = self.counter;
        if !(sure..=sure + unsure).contains(&number) {
            let what = || format!("{key} is {number}: {sure} have counted, and {unsure} may have");
            self.shared.tally.violation(Violation::Count, what);
        }
    }
}
