//! A caller with its own items, and its check of each reply.

use std::time::Duration;

use memcached2_proto::command::{Gets, Version};
use memcached2_proto::operation::{AllServers, GetMany, SetMany};
use memcached2_proto::{BatchResult, Expiry, Get, Operation, Value};
use memcached2_testkit::Rng;

use super::model::Item;
use super::subject::Subject;
use super::tally::{Fate, Nature, Tally};

/// The number of items that never change, for large replies.
const FIXED: usize = 1000;
/// An expiry that does not come during the test.
pub(super) const SOON: Duration = Duration::from_secs(1000);

fn fixed(at: usize) -> String {
    format!("fixed{at}")
}

/// Stores the items that never change.
pub(crate) async fn prepare<S: Subject>(client: &S) {
    let items: Vec<_> = (0..FIXED).map(|at| (fixed(at), fixed(at))).collect();
    for chunk in items.chunks(100) {
        // A server may answer wrongly already.
        let stores = SetMany::new(chunk, Expiry::Never).expect("good keys");
        let _ = client.ask(stores, false).await;
    }
}

/// An item among those that are fetched together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Text(usize),
    Counter,
    Fixed(usize),
}

/// The owner of some texts and of a counter. All values that it stores name it and the number of the call.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) owner: u64,
    pub(super) sequence: u64,
    pub(super) rng: Rng,
    pub(super) nature: Nature,
    pub(super) texts: [Item; 3],
    pub(super) counter: Item,
}

impl Caller {
    pub(crate) fn new(owner: u64, seed: u64, nature: Nature) -> Self {
        let rng = Rng::new(seed.wrapping_mul(1000) + owner);
        let mut keys = (0..).map(|at| Item::new(format!("owner{owner}:{at}")));
        let mut item = || keys.next().expect("there is no end to them");
        Self { owner, sequence: 10, rng, nature, texts: [item(), item(), item()], counter: item() }
    }

    /// A text that is stored only once.
    pub(super) fn piece(&mut self) -> String {
        self.sequence += 1;
        format!("<{}:{}>", self.owner, self.sequence)
    }

    /// A value that is stored only once, of any length.
    pub(super) fn value(&mut self) -> String {
        let longest = if self.rng.once_in(20) { 5000 } else { 100 };
        format!("{}{}", self.piece(), "x".repeat(self.rng.below(longest)))
    }

    /// A number that only this caller can have counted to; all have the same length.
    pub(super) fn number(&mut self) -> String {
        (self.owner * 1_000_000_000 + 500_000_000 + self.rng.below(1_000_000) as u64).to_string()
    }

    fn cancels(&mut self) -> bool {
        self.rng.once_in(50)
    }

    /// Takes new keys for items that may be anything by now.
    fn renew(&mut self) {
        for item in self.texts.iter_mut().chain([&mut self.counter]).filter(|item| item.is_spent()) {
            self.sequence += 1;
            *item = Item::new(format!("owner{}:{}", self.owner, self.sequence));
        }
    }

    pub(super) async fn ask<S: Subject, O: Operation>(&mut self, to: (&S, &Tally), operation: O) -> Fate<O::Output> {
        let cancelled = self.cancels();
        let outcome = to.0.ask(operation, cancelled).await;
        let is_answered = outcome.is_some();
        let fate = to.1.fate(outcome, self.nature);
        to.1.count(is_answered.then_some(matches!(fate, Fate::Answered(_) | Fate::Unmet(_))));
        fate
    }

    /// Asks for a batch; a fate for each of its items.
    pub(super) async fn ask_many<S: Subject, T, O>(
        &mut self,
        to: (&S, &Tally),
        operation: O,
        count: usize,
    ) -> Vec<Fate<T>>
    where
        O: Operation<Output = BatchResult<T>>,
    {
        let cancelled = self.cancels();
        let results: Vec<_> = match to.0.ask(operation, cancelled).await {
            Some(Ok(many)) => many.into_iter().collect(),
            Some(Err(error)) => (0..count).map(|_| Err(error.clone())).collect(),
            None => {
                to.1.count(None);
                return (0..count).map(|_| Fate::Unknown).collect();
            }
        };
        if results.len() != count {
            to.1.judge(Err(format!("{} results for {count} keys", results.len())));
        }
        let fates: Vec<_> = results.into_iter().map(|result| to.1.fate(Some(result), self.nature)).collect();
        to.1.count(Some(fates.iter().all(|fate| matches!(fate, Fate::Answered(_) | Fate::Unmet(_)))));
        fates
    }

    /// Any call.
    pub(crate) async fn call<S: Subject>(&mut self, client: &S, tally: &Tally) {
        let to = (client, tally);
        self.renew();
        let at = self.rng.below(self.texts.len());
        let touches = self.nature.touches;
        if self.nature.large > 0 && self.rng.once_in(self.nature.large) {
            let count = 300 + self.rng.below(FIXED - 300);
            return self.fetch_many(to, count).await;
        }
        match self.rng.below(32) {
            0..=5 => self.fetch(to, at).await,
            6..=8 => {
                let count = self.rng.below(10);
                self.fetch_many(to, count).await;
            }
            9..=16 => self.store(to, at).await,
            17 | 18 => self.compare(to, at).await,
            19 => self.store_many(to).await,
            20 => self.delete(to, at).await,
            21 => self.delete_many(to).await,
            22 if touches => self.touch(to, at).await,
            23..=28 => self.count(to).await,
            29 => self.count_text(to, at).await,
            30 => self.set_counter(to).await,
            31 if self.nature.tells_version && at == 0 => self.version(to).await,
            _ => self.noreply(to, at).await,
        }
    }

    /// `get`, `gets`, `gat`, `gats`.
    async fn fetch<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let key = self.texts[at].key.clone();
        let get = Get::new(&key).expect("a good key");
        let with: Gets<'_> = match self.rng.below(6) {
            0 if self.nature.touches => get.touch(SOON),
            1 if self.nature.touches => get.touch(SOON).with_cas(),
            2 | 3 => get.with_cas(),
            _ => {
                let fate = self.ask(to, get).await;
                return self.was_fetched(to.1, Asked::Text(at), fate);
            }
        };
        let fate = self.ask(to, with).await;
        self.was_fetched(to.1, Asked::Text(at), fate);
    }

    /// The same for many keys: those of the caller, and others.
    async fn fetch_many<S: Subject>(&mut self, to: (&S, &Tally), others: usize) {
        let own = (0..self.texts.len()).map(Asked::Text).chain([Asked::Counter]);
        let first = self.rng.below(FIXED);
        let others = (first..first + others).map(|at| Asked::Fixed(at % FIXED));
        let mut asked: Vec<_> = own.chain(others).collect();
        let places = asked.len();
        asked.rotate_left(self.rng.below(places));
        let key = |asked: &Asked| match *asked {
            Asked::Text(at) => self.texts[at].key.clone(),
            Asked::Counter => self.counter.key.clone(),
            Asked::Fixed(at) => fixed(at),
        };
        let keys: Vec<_> = asked.iter().map(key).collect();
        let get = GetMany::new(&keys).expect("good keys");
        let get = match self.rng.below(6) {
            0 if self.nature.touches => get.touch(SOON),
            1 if self.nature.touches => get.touch(SOON).with_cas(),
            2 | 3 => get.with_cas(),
            _ => get,
        };
        let fates = self.ask_many(to, get, keys.len()).await;
        for (asked, fate) in asked.into_iter().zip(fates) {
            self.was_fetched(to.1, asked, fate);
        }
    }

    pub(super) fn was_fetched(&mut self, tally: &Tally, asked: Asked, fate: Fate<Option<Value>>) {
        let found = match fate {
            Fate::Answered(found) => found,
            Fate::Unmet(error) => return tally.judge(Err(format!("a get has no condition: {error:?}"))),
            Fate::Unchanged | Fate::Unknown => return,
        };
        let text = found.as_ref().map(|value| String::from_utf8_lossy(value.data()).into_owned());
        let item = match asked {
            Asked::Text(at) => &mut self.texts[at],
            Asked::Counter => &mut self.counter,
            Asked::Fixed(at) => {
                let wrong = found.filter(|value| *value != fixed(at) || value.flags != 0);
                return tally.judge(wrong.map_or(Ok(()), |value| Err(format!("{} is {value:?}", fixed(at)))));
            }
        };
        tally.judge(item.found(text.as_deref()));
        if let Some(value) = found {
            if value.flags != self.owner {
                tally.judge(Err(format!("{} has the flags {}, not {}", item.key, value.flags, self.owner)));
            }
            if let Some(cas) = value.cas {
                item.fetched(cas);
            }
        }
    }

    async fn version<S: Subject>(&mut self, to: (&S, &Tally)) {
        for fate in self.ask_many(to, AllServers(Version), 1).await {
            if let Fate::Answered(version) = fate {
                let is_one = version.numbers().is_some();
                to.1.judge(if is_one { Ok(()) } else { Err(format!("{version} is no version")) });
            }
        }
    }

    /// What is stored beside each value.
    pub(super) fn flags(&self) -> u32 {
        u32::try_from(self.owner).expect("few callers")
    }
}
