//! The items: expiry, flushes, the order of use and eviction. The time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::counts::Counts;
use super::slabs::{CHUNK_MAX, SlabClasses, size};
use super::syntax::u64_of;
use super::watch::{Kind, Log, encoded};

/// The longest relative expiry.
const MONTH: i32 = 60 * 60 * 24 * 30;
/// Seconds from the epoch of a server to its start: a time of zero stays free for "never".
const LEAD: u64 = 62;

/// Seconds since the epoch of the server.
pub(super) type Moment = u32;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: Vec<u8>,
    pub(super) flags: u32,
    /// Zero for never.
    pub(super) exptime: Moment,
    /// The last use, or the storage.
    pub(super) time: Moment,
    pub(super) cas: u64,
    pub(super) fetched: bool,
    pub(super) stale: bool,
    pub(super) token_sent: bool,
    /// The key was given in base64.
    pub(super) binary: bool,
    /// Held by the answers that are not sent yet and point to the item.
    pub(super) pin: Arc<()>,
    pub(super) class: usize,
    tick: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas,
}

impl Mode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Cas => "cas",
        }
    }
}

/// An item to be stored.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) flags: u32,
    pub(super) exptime: Moment,
    /// Zero for none.
    pub(super) cas: u64,
    pub(super) binary: bool,
    /// A cas lower than the item's stores a stale item.
    pub(super) may_be_stale: bool,
    /// The cas that it gets; zero for the next one.
    pub(super) new_cas: u64,
    /// An item that is to be appended to is made if there is none, with this expiry.
    pub(super) vivify: Option<Moment>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored(u64),
    NotStored,
    Exists,
    NotFound,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delta {
    Done(Counted),
    NotFound,
    Mismatch,
    NonNumeric,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) value: u64,
    pub(super) cas: u64,
    pub(super) exptime: Moment,
    /// Otherwise there is a new item, which later words of the same request do not reach.
    pub(super) in_place: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    TooLarge,
    NoMemory,
}

#[derive(Debug)]
pub(super) struct Store {
    items: HashMap<Arc<[u8]>, Item>,
    /// The keys by their last use.
    order: BTreeMap<u64, Arc<[u8]>>,
    ticks: u64,
    cas: u64,
    oldest_live: Moment,
    oldest_cas: u64,
    /// The unix time of moment zero.
    epoch: u64,
    pub(super) bytes: usize,
    pub(super) memory_limit: usize,
    item_size_max: usize,
    pub(super) classes: SlabClasses,
    pub(super) counts: Counts,
    pub(super) log: Log,
}

impl Store {
    pub(super) fn new(memory_limit: usize, item_size_max: usize, unix_seconds: u64) -> Self {
        Self {
            items: HashMap::new(),
            order: BTreeMap::new(),
            ticks: 0,
            cas: 0,
            oldest_live: 0,
            oldest_cas: 0,
            epoch: unix_seconds.saturating_sub(LEAD),
            bytes: 0,
            memory_limit,
            item_size_max,
            classes: SlabClasses::default(),
            counts: Counts::default(),
            log: Log::default(),
        }
    }

    pub(super) fn moment(&self, unix_seconds: u64) -> Moment {
        // After 136 years time stands still: began it anew, items would be there again.
        unix_seconds.saturating_sub(self.epoch).try_into().unwrap_or(Moment::MAX)
    }

    pub(super) fn unix_seconds(&self, moment: Moment) -> u64 {
        self.epoch + u64::from(moment)
    }

    /// Returns the moment of an expiry time of a request.
    pub(super) fn expiry(&self, exptime: i32, now: Moment) -> Moment {
        match exptime {
            0 => 0,
            1..=MONTH => now.saturating_add(exptime as Moment),
            // Whatever is over by the start of the server is over at moment one.
            _ => u64::try_from(exptime)
                .ok()
                .and_then(|unix| unix.checked_sub(self.epoch))
                .map_or(1, |at| at.max(1) as Moment),
        }
    }

    /// Finds an item that is neither expired nor flushed; such ones disappear here.
    pub(super) fn find(&mut self, key: &[u8], now: Moment) -> Option<&mut Item> {
        let Some(item) = self.items.get(key) else {
            self.log_fetch(key, "not_found", None);
            return None;
        };
        let (flushed, expired) = (self.is_flushed(item, now), is_expired(item, now));
        let status = if flushed {
            "flushed"
        } else if expired {
            "expired"
        } else {
            "found"
        };
        let of_item = (status == "found").then_some((item.class, item.value.len()));
        self.log_fetch(key, status, of_item);
        if flushed {
            self.counts.get_flushed += 1;
        } else if expired {
            self.counts.get_expired += 1;
        } else {
            return self.items.get_mut(key);
        }
        self.unlink(key);
        None
    }

    fn log_fetch(&mut self, key: &[u8], status: &str, of_item: Option<(usize, usize)>) {
        let (class, size) = of_item.unwrap_or_default();
        self.log.add(Kind::Fetch, |connection| {
            format!("type=item_get key={} status={status} clsid={class} cfd={connection} size={size}", encoded(key))
        });
    }

    fn is_flushed(&self, item: &Item, now: Moment) -> bool {
        self.oldest_live != 0
            && self.oldest_live <= now
            && (item.time <= self.oldest_live || (self.oldest_cas != 0 && item.cas < self.oldest_cas))
    }

    /// Whether an item has expired or was flushed.
    pub(super) fn is_over(&self, item: &Item, now: Moment) -> bool {
        self.is_flushed(item, now) || is_expired(item, now)
    }

    /// Finds an item, even one that is over.
    pub(super) fn item(&mut self, key: &[u8]) -> Option<&mut Item> {
        self.items.get_mut(key)
    }

    /// Finds an item and marks it as used.
    pub(super) fn fetch(&mut self, key: &[u8], now: Moment) -> Option<&mut Item> {
        self.find(key, now)?;
        self.bump(key, now);
        self.items.get_mut(key)
    }

    /// Marks an item as used; its time of use moves from the second use on.
    pub(super) fn bump(&mut self, key: &[u8], now: Moment) {
        self.ticks += 1;
        let tick = self.ticks;
        if let Some(item) = self.items.get_mut(key) {
            if item.fetched {
                item.time = now;
            }
            item.fetched = true;
            if let Some(key) = self.order.remove(&std::mem::replace(&mut item.tick, tick)) {
                self.order.insert(tick, key);
            }
        }
    }

    /// Removes an item that a client deletes.
    pub(super) fn delete(&mut self, key: &[u8], command: &str) {
        let Some(item) = self.unlink(key) else { return };
        self.log.add(Kind::Deletion, |_| {
            format!("type=deleted key={} cmd={command} clsid={} size={}", encoded(key), item.class, item.value.len())
        });
    }

    pub(super) fn unlink(&mut self, key: &[u8]) -> Option<Item> {
        let item = self.items.remove(key)?;
        self.order.remove(&item.tick);
        self.bytes -= size(key, item.flags, item.value.len());
        Some(item)
    }

    /// Returns whether there is space for an item after evicting others.
    pub(super) fn fit(&self, key: &[u8], flags: u32, value: usize) -> Fit {
        match size(key, flags, value) {
            size if size > self.item_size_max => Fit::TooLarge,
            size if size > self.memory_limit => Fit::NoMemory,
            _ => Fit::Fits,
        }
    }

    pub(super) fn next_cas(&mut self) -> u64 {
        self.cas += 1;
        self.cas
    }

    /// Puts an item in the place of the one with its key, evicts what has no space besides it and returns its cas.
    pub(super) fn link(&mut self, incoming: Incoming, now: Moment) -> u64 {
        let Incoming { key, value, flags, exptime, binary, new_cas, .. } = incoming;
        self.unlink(&key);
        let size = size(&key, flags, value.len());
        while self.bytes + size > self.memory_limit {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = Arc::clone(oldest);
            if let Some(item) = self.unlink(&oldest) {
                let expired = is_expired(&item, now);
                self.counts.left(&item, expired);
                self.log.add(Kind::Eviction, |_| {
                    let fetched = if item.fetched { "yes" } else { "no" };
                    let ttl = if item.exptime == 0 { -1 } else { i64::from(item.exptime) - i64::from(now) };
                    let (key, la, size) = (encoded(&oldest), now.saturating_sub(item.time), item.value.len());
                    format!(
                        "type=eviction key={key} fetch={fetched} ttl={ttl} la={la} clsid={} size={size}",
                        item.class
                    )
                });
            }
        }
        self.bytes += size;
        self.ticks += 1;
        self.counts.total_items += 1;
        let cas = if new_cas == 0 { self.next_cas() } else { new_cas };
        let (tick, key) = (self.ticks, Arc::from(key));
        let class = self.classes.of(size);
        self.order.insert(tick, Arc::clone(&key));
        let (fetched, stale, token_sent, pin) = (false, false, false, Arc::default());
        let item = Item { value, flags, exptime, time: now, cas, fetched, stale, token_sent, binary, pin, class, tick };
        self.items.insert(key, item);
        cas
    }

    /// Stores an item as a mode wants it.
    pub(super) fn put(&mut self, mode: Mode, mut incoming: Incoming, now: Moment) -> Outcome {
        let Some(old) = self.find(&incoming.key, now) else {
            return match mode {
                Mode::Set | Mode::Add => Outcome::Stored(self.link(incoming, now)),
                Mode::Cas => {
                    self.counts.cas_misses += 1;
                    Outcome::NotFound
                }
                Mode::Append | Mode::Prepend if incoming.vivify.is_some() => {
                    incoming.exptime = incoming.vivify.unwrap_or_default();
                    Outcome::Stored(self.link(incoming, now))
                }
                Mode::Replace | Mode::Append | Mode::Prepend => Outcome::NotStored,
            };
        };
        let (class, matches) = (old.class, incoming.cas == old.cas);
        match mode {
            Mode::Set | Mode::Replace => Outcome::Stored(self.link(incoming, now)),
            Mode::Add => {
                old.time = now;
                Outcome::NotStored
            }
            Mode::Cas if matches => {
                self.counts.class(class).cas_hits += 1;
                Outcome::Stored(self.link(incoming, now))
            }
            Mode::Cas if incoming.may_be_stale && incoming.cas != 0 && incoming.cas < old.cas => {
                incoming.exptime = old.exptime;
                let (token_sent, key) = (old.token_sent, incoming.key.clone());
                self.counts.class(class).cas_hits += 1;
                let cas = self.link(incoming, now);
                if let Some(item) = self.items.get_mut(&key[..]) {
                    item.stale = true;
                    item.token_sent = token_sent;
                }
                Outcome::Stored(cas)
            }
            Mode::Cas => {
                self.counts.class(class).cas_badval += 1;
                Outcome::Exists
            }
            Mode::Append | Mode::Prepend if incoming.cas != 0 && !matches => Outcome::Exists,
            Mode::Append | Mode::Prepend => {
                let (front, back) =
                    if mode == Mode::Append { (&old.value, &incoming.value) } else { (&incoming.value, &old.value) };
                incoming.value = [&front[..], back].concat();
                (incoming.flags, incoming.exptime, incoming.binary) = (old.flags, old.exptime, false);
                if self.fit(&incoming.key, incoming.flags, incoming.value.len()) != Fit::Fits {
                    return Outcome::NotStored;
                }
                Outcome::Stored(self.link(incoming, now))
            }
        }
    }

    /// Counts up or down; `cas` is zero for any.
    pub(super) fn delta(&mut self, key: &[u8], up: bool, delta: u64, cas: u64, now: Moment) -> Delta {
        let Some(item) = self.find(key, now) else { return Delta::NotFound };
        if item.value.is_empty() || size(key, item.flags, item.value.len()) > CHUNK_MAX {
            return Delta::NonNumeric;
        }
        if cas != 0 && cas != item.cas {
            return Delta::Mismatch;
        }
        let Some(value) = u64_of(&item.value) else { return Delta::NonNumeric };
        let value = if up { value.wrapping_add(delta) } else { value.saturating_sub(delta) };
        let (exptime, class) = (item.exptime, item.class);
        let mut text = value.to_string().into_bytes();
        // An item that an answer still points to must not change.
        let in_place = text.len() <= item.value.len() && Arc::strong_count(&item.pin) == 1;
        let cas = if in_place {
            text.resize(item.value.len(), b' ');
            item.value = text;
            item.time = now;
            self.cas += 1;
            if let Some(item) = self.items.get_mut(key) {
                item.cas = self.cas;
            }
            self.cas
        } else {
            let flags = item.flags;
            self.link(Incoming { key: key.to_vec(), value: text, flags, exptime, ..Incoming::default() }, now)
        };
        let counts = self.counts.class(class);
        *(if up { &mut counts.incr_hits } else { &mut counts.decr_hits }) += 1;
        Delta::Done(Counted { value, cas, exptime, in_place })
    }

    /// Lets everything expire that is older than now or, with a delay, older than then.
    ///
    /// Of what was stored in this second memcached knows `by_cas` whether it is older; 1.6.25 and later remove all of it.
    pub(super) fn flush_all(&mut self, delay: i32, by_cas: bool, now: Moment) {
        let oldest = if delay > 0 { self.expiry(delay, now) } else { now };
        self.oldest_live = oldest.wrapping_sub(1);
        if self.oldest_live <= now && by_cas {
            self.oldest_cas = self.next_cas();
        }
        if !by_cas {
            let is_newer = |item: &Item| item.time >= self.oldest_live;
            let newer: Vec<_> =
                self.items.iter().filter(|(_, item)| is_newer(item)).map(|(key, _)| Arc::clone(key)).collect();
            for key in &newer {
                self.unlink(key);
            }
        }
    }

    pub(super) fn oldest_live(&self) -> Moment {
        self.oldest_live
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Removes the items of some classes, or of all, that have expired or were flushed.
    pub(super) fn crawl(&mut self, classes: &[usize], now: Moment) {
        let of_classes = |item: &Item| classes.is_empty() || classes.contains(&item.class);
        let is_over = |item: &Item| of_classes(item) && self.is_over(item, now);
        let over: Vec<_> =
            self.items.iter().filter(|(_, item)| is_over(item)).map(|(key, _)| Arc::clone(key)).collect();
        for key in &over {
            self.unlink(key);
        }
    }

    /// Returns the items with their keys, the last used one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Item)> {
        self.order.values().rev().filter_map(|key| Some((&**key, self.items.get(key)?)))
    }
}

fn is_expired(item: &Item, now: Moment) -> bool {
    item.exptime != 0 && item.exptime <= now
}

#[cfg(test)]
mod tests;
