//! From a key to one of the servers: rules that count servers.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "jump")]
use super::hash::xxh3;
use super::hash::{KeyHasher, numbered};

/// Chooses the server of a key.
///
/// A rule is made for a list of servers, and knows them by their places in it. It is asked for every key of every call,
/// so it should neither allocate nor take longer than the logarithm of the number of servers.
pub trait Selector: fmt::Debug + Send + Sync {
    /// The place of the server of `key`, among those for which `is_up` is true.
    ///
    /// `None` if no server is up, or the rule names no further one: the key has no server for now.
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize>;
}

/// A server if it is up.
fn if_up(place: usize, is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
    is_up(place).then_some(place)
}

/// The place of a number among `count` servers; 0 if there are none.
fn place(hash: u32, servers: usize) -> usize {
    hash as usize % servers.max(1)
}

/// The first server.
#[derive(Debug)]
pub(super) struct First;

impl Selector for First {
    fn select(&self, _: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        if_up(0, is_up)
    }
}

/// What a rule does when the server of a key is down.
#[derive(Debug, Clone, Copy)]
pub(super) enum Otherwise {
    /// The key has no server.
    GiveUp,
    /// The number of tries, in which the key is hashed followed by the number of the try: python-memcached2.
    Rehash(u32),
    /// The number of tries, in which the decimal hash is hashed followed by the number of the try: python-memcached.
    HashTheHash(u32),
}

/// The hash modulo the number of servers, each counted as often as it weighs.
#[derive(Debug)]
pub(super) struct Modulo {
    pub(super) hasher: Arc<dyn KeyHasher>,
    /// The servers, each as often as it weighs.
    pub(super) slots: Vec<u32>,
    pub(super) otherwise: Otherwise,
}

impl Modulo {
    fn at(&self, hash: u32) -> Option<usize> {
        self.slots.get(place(hash, self.slots.len())).map(|server| *server as usize)
    }
}

impl Selector for Modulo {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        let mut hash = self.hasher.hash(key);
        let first = self.at(hash)?;
        if is_up(first) {
            return Some(first);
        }
        match self.otherwise {
            Otherwise::GiveUp => None,
            Otherwise::Rehash(tries) => (0..tries).find_map(|number| {
                let hash = numbered(key, number.into(), true, |key| self.hasher.hash(key));
                self.at(hash).filter(|server| is_up(*server))
            }),
            Otherwise::HashTheHash(tries) => (1..tries).find_map(|number| {
                let mut digits = itoa::Buffer::new();
                let text = digits.format(hash);
                hash = numbered(text.as_bytes(), u64::from(number) - 1, true, |text| self.hasher.hash(text));
                self.at(hash).filter(|server| is_up(*server))
            }),
        }
    }
}

/// The hash modulo the number of servers; when that one is down, the same among the others, and so on.
#[derive(Debug)]
pub(super) struct Fractal {
    pub(super) hasher: Arc<dyn KeyHasher>,
    pub(super) servers: usize,
}

/// How many servers that are down are skipped evenly; after that the next one in the list is taken.
const DEPTH: usize = 32;

impl Selector for Fractal {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        // The servers tried that are down, in order.
        let mut tried = [0; DEPTH];
        let mut last = 0;
        for depth in 0..DEPTH.min(self.servers) {
            let hash = match depth {
                0 => self.hasher.hash(key),
                // Another hash at each depth: the remainder of a division is related to the remainder of the next one.
                _ => numbered(key, depth as u64, true, |key| self.hasher.hash(key)),
            };
            let mut server = place(hash, self.servers - depth);
            for passed in &tried[..depth] {
                server += usize::from(server >= *passed);
            }
            if is_up(server) {
                return Some(server);
            }
            tried[depth] = server;
            tried[..=depth].sort_unstable();
            last = server;
        }
        (1..self.servers).map(|step| (last + step) % self.servers).find(|server| is_up(*server))
    }
}

/// Jump consistent hash (Lamping and Veach, 2014) over XXH3, as in the proxy of memcached.
#[cfg(feature = "jump")]
#[derive(Debug)]
pub(super) struct Jump {
    pub(super) servers: usize,
}

#[cfg(feature = "jump")]
impl Selector for Jump {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        if_up(jump(xxh3(key), self.servers)?, is_up)
    }
}

#[cfg(feature = "jump")]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as the algorithm is defined")]
fn jump(mut key: u64, servers: usize) -> Option<usize> {
    let servers = i64::try_from(servers).ok()?;
    let (mut server, mut next) = (-1_i64, 0_i64);
    while next < servers {
        server = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((server + 1) as f64 * ((1_i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    usize::try_from(server).ok()
}
