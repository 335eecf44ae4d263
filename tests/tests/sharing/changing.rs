//! The changes of a caller to its own items, and its check of each reply.

use memcached2_proto::command::{Decr, Incr, NoReply, Touch};
use memcached2_proto::operation::{DeleteMany, SetMany};
use memcached2_proto::{Delete, Error, Get, Store};

use super::caller::{Asked, Caller, SOON};
use super::model::Change;
use super::subject::Subject;
use super::tally::{Fate, Tally};

impl Caller {
    /// `set`, `add`, `replace`, `append`, `prepend`.
    pub(super) async fn store<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let (value, piece) = (self.value(), self.piece());
        let item = &self.texts[at];
        let key = item.key.clone();
        let most = if item.length() > 10_000 { 4 } else { 6 };
        let (verb, store, change) = match self.rng.below(most) {
            0 | 1 => ("set", Store::set(&key, &value), Change::Put(value.clone())),
            2 => ("add", Store::add(&key, &value), Change::Put(value.clone())),
            3 => ("replace", Store::replace(&key, &value), Change::Put(value.clone())),
            4 => ("append", Store::append(&key, &piece), Change::Append(piece.clone())),
            _ => ("prepend", Store::prepend(&key, &piece), Change::Prepend(piece.clone())),
        };
        let mut store = store.expect("a good key").flags(self.flags());
        if self.rng.once_in(4) {
            store = store.expiry(SOON);
        }
        let fate = self.ask(to, store).await;
        self.was_stored(to.1, (at, verb), change, fate);
    }

    fn was_stored(&mut self, tally: &Tally, (at, verb): (usize, &str), change: Change, fate: Fate<()>) {
        let item = &mut self.texts[at];
        let verdict = match (fate, verb) {
            (Fate::Answered(()), "set" | "add") => {
                item.was_made(&change);
                Ok(())
            }
            (Fate::Answered(()), _) => item.was_changed(&change, verb),
            (Fate::Unmet(Error::NotStored { .. }), "add") => item.is_there("it cannot be added"),
            (Fate::Unmet(Error::NotStored { .. }), "replace" | "append" | "prepend") => item.found(None),
            (Fate::Unmet(error), _) => Err(format!("{verb} of {}: {error:?}", item.key)),
            (Fate::Unchanged, _) => Ok(()),
            (Fate::Unknown, _) => {
                item.may_yet_be_made(change);
                Ok(())
            }
        };
        tally.judge(verdict);
    }

    /// `cas`, of the newest version or an older one.
    pub(super) async fn compare<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let (item, value) = (&mut self.texts[at], format!("<{}:{}>", self.owner, self.sequence + 1));
        self.sequence += 1;
        let key = item.key.clone();
        let Some(version) = item.version(&mut self.rng) else {
            let fate = self.ask(to, Get::new(&key).expect("a good key").with_cas()).await;
            return self.was_fetched(to.1, Asked::Text(at), fate);
        };
        let store = Store::cas(&key, &value, version.cas).expect("a good key").flags(self.flags());
        let fate = self.ask(to, store).await;
        let (item, change) = (&mut self.texts[at], Change::Put(value.clone()));
        to.1.judge(match fate {
            Fate::Answered(()) => item.was_replaced(&change, version, self.nature.restarts),
            Fate::Unmet(Error::Exists { .. }) => item.is_newer(version),
            Fate::Unmet(Error::NotFound { .. }) => item.found(None),
            Fate::Unmet(error) => Err(format!("cas of {key}: {error:?}")),
            Fate::Unchanged => Ok(()),
            Fate::Unknown => {
                item.may_yet_be_made(change);
                Ok(())
            }
        });
    }

    pub(super) async fn store_many<S: Subject>(&mut self, to: (&S, &Tally)) {
        let items: Vec<_> = (0..self.texts.len()).map(|at| (self.texts[at].key.clone(), self.value())).collect();
        let flags = self.flags();
        let stores = items.iter().map(|(key, value)| Store::set(key, value).expect("a good key").flags(flags));
        let fates = self.ask_many(to, SetMany::from_stores(stores.collect()), items.len()).await;
        for (at, fate) in fates.into_iter().enumerate() {
            self.was_stored(to.1, (at, "set"), Change::Put(items[at].1.clone()), fate);
        }
    }

    pub(super) async fn delete<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let key = self.texts[at].key.clone();
        let fate = self.ask(to, Delete::new(&key).expect("a good key")).await;
        self.was_deleted(to.1, at, fate);
    }

    pub(super) async fn delete_many<S: Subject>(&mut self, to: (&S, &Tally)) {
        let keys: Vec<_> = self.texts.iter().map(|item| item.key.clone()).collect();
        let fates = self.ask_many(to, DeleteMany::new(&keys).expect("good keys"), keys.len()).await;
        for (at, fate) in fates.into_iter().enumerate() {
            self.was_deleted(to.1, at, fate);
        }
    }

    fn was_deleted(&mut self, tally: &Tally, at: usize, fate: Fate<bool>) {
        let item = &mut self.texts[at];
        tally.judge(match fate {
            Fate::Answered(true) => item.was_changed(&Change::Delete, "it was deleted"),
            Fate::Answered(false) => item.found(None),
            Fate::Unmet(error) => Err(format!("delete of {}: {error:?}", item.key)),
            Fate::Unchanged => Ok(()),
            Fate::Unknown => {
                item.may_yet_be_made(Change::Delete);
                Ok(())
            }
        });
    }

    pub(super) async fn touch<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let key = self.texts[at].key.clone();
        let fate = self.ask(to, Touch::new(&key, SOON).expect("a good key")).await;
        let item = &mut self.texts[at];
        to.1.judge(match fate {
            Fate::Answered(true) => item.is_there("it was touched"),
            Fate::Answered(false) => item.found(None),
            Fate::Unmet(error) => Err(format!("touch of {key}: {error:?}")),
            Fate::Unchanged | Fate::Unknown => Ok(()),
        });
    }

    pub(super) async fn set_counter<S: Subject>(&mut self, to: (&S, &Tally)) {
        let (key, number) = (self.counter.key.clone(), self.number());
        let fate = self.ask(to, Store::set(&key, &number).expect("a good key").flags(self.flags())).await;
        let change = Change::Put(number);
        match fate {
            Fate::Answered(()) => self.counter.was_made(&change),
            Fate::Unmet(error) => to.1.judge(Err(format!("set of {key}: {error:?}"))),
            Fate::Unchanged => {}
            Fate::Unknown => self.counter.may_yet_be_made(change),
        }
    }

    /// `incr`, `decr`.
    pub(super) async fn count<S: Subject>(&mut self, to: (&S, &Tally)) {
        let key = self.counter.key.clone();
        let by = 1 + self.rng.below(1000) as u64;
        let (change, fate) = match self.rng.below(3) {
            0 => (Change::Decr(by), self.ask(to, Decr::new(&key, by).expect("a good key")).await),
            _ => (Change::Incr(by), self.ask(to, Incr::new(&key, by).expect("a good key")).await),
        };
        let counter = &mut self.counter;
        match fate {
            Fate::Answered(Some(number)) => to.1.judge(counter.was_counted(&change, number)),
            Fate::Answered(None) => {
                to.1.judge(counter.found(None));
                self.set_counter(to).await;
            }
            Fate::Unmet(error) => to.1.judge(Err(format!("incr of {key}: {error:?}"))),
            Fate::Unchanged => {}
            Fate::Unknown => counter.may_yet_be_made(change),
        }
    }

    /// A text is no number.
    pub(super) async fn count_text<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let key = self.texts[at].key.clone();
        let fate = self.ask(to, Incr::new(&key, 1).expect("a good key")).await;
        let item = &mut self.texts[at];
        to.1.judge(match fate {
            Fate::Answered(Some(number)) => Err(format!("the text {key} was counted to {number}")),
            Fate::Answered(None) => item.found(None),
            Fate::Unmet(Error::NonNumeric { .. }) => item.is_there("it is no number"),
            Fate::Unmet(error) => Err(format!("incr of {key}: {error:?}")),
            Fate::Unchanged | Fate::Unknown => Ok(()),
        });
    }

    /// Changes with an unknown outcome.
    pub(super) async fn noreply<S: Subject>(&mut self, to: (&S, &Tally), at: usize) {
        let value = self.value();
        let (text, counter) = (self.texts[at].key.clone(), self.counter.key.clone());
        let flags = self.flags();
        let (fate, item, change) = match self.rng.below(4) {
            0 => {
                let fate = self.ask(to, NoReply(Delete::new(&text).expect("a good key"))).await;
                (fate, &mut self.texts[at], Change::Delete)
            }
            1 => {
                let fate = self.ask(to, NoReply(Incr::new(&counter, 7).expect("a good key"))).await;
                (fate, &mut self.counter, Change::Incr(7))
            }
            2 => {
                let store = Store::append(&text, &value).expect("a good key").flags(flags);
                (self.ask(to, NoReply(store)).await, &mut self.texts[at], Change::Append(value.clone()))
            }
            _ => {
                let store = Store::set(&text, &value).expect("a good key").flags(flags);
                (self.ask(to, NoReply(store)).await, &mut self.texts[at], Change::Put(value.clone()))
            }
        };
        match fate {
            Fate::Answered(()) => item.may_be_made(&change),
            Fate::Unmet(error) => to.1.judge(Err(format!("unasked outcome: {error:?}"))),
            Fate::Unchanged => {}
            Fate::Unknown => item.may_yet_be_made(change),
        }
    }
}
