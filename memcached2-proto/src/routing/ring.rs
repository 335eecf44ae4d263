//! From a key to one of the servers: points on a ring.

#[cfg(feature = "dalli")]
mod dalli;
#[cfg(feature = "ketama")]
mod ketama;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "dalli")]
pub(super) use self::dalli::Dalli;
#[cfg(feature = "ketama")]
pub(super) use self::ketama::Uhashring;
use super::hash::{KeyHasher, murmur3, numbered};
use super::select::Selector;
use crate::uri::Server;

/// Points on a circle of numbers; each belongs to a server.
#[derive(Debug)]
struct Points<N>(Vec<(N, u32)>);

impl<N: Ord + Copy> Points<N> {
    /// Of points at the same place the one of the server that comes last stays, as in a map that is filled in order.
    fn new(mut points: Vec<(N, u32)>) -> Self {
        points.sort_by_key(|(at, _)| *at);
        points.reverse();
        points.dedup_by_key(|(at, _)| *at);
        points.reverse();
        Self(points)
    }

    /// The servers from the point at `index` on, all around the ring; an index after the last is the first.
    fn from(&self, index: usize) -> impl Iterator<Item = usize> {
        let (before, behind) = self.0.split_at(index.min(self.0.len()));
        behind.iter().chain(before).map(|(_, server)| *server as usize)
    }

    /// The server of the first point at or after `hash` that is up.
    fn ceiling(&self, hash: N, is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        self.from(self.0.partition_point(|(at, _)| *at < hash)).find(|server| is_up(*server))
    }

    /// The server of the first point after `hash` that is up.
    #[cfg(feature = "ketama")]
    fn above(&self, hash: N, is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        self.from(self.0.partition_point(|(at, _)| *at <= hash)).find(|server| is_up(*server))
    }

    /// The server of the last point at `hash` or before it, up or not.
    #[cfg(feature = "dalli")]
    fn floor(&self, hash: N) -> Option<usize> {
        let index = self.0.partition_point(|(at, _)| *at <= hash);
        let point = index.checked_sub(1).and_then(|index| self.0.get(index)).or_else(|| self.0.last());
        point.map(|(_, server)| *server as usize)
    }
}

#[cfg(any(feature = "dalli", feature = "ketama"))]
fn places(servers: &[Server]) -> impl Iterator<Item = (u32, &Server)> {
    (0..).zip(servers)
}

#[cfg(any(feature = "dalli", feature = "ketama"))]
fn total_weight(servers: &[Server]) -> u64 {
    servers.iter().map(|server| u64::from(server.weight())).sum()
}

/// A ring of 32 bits, on which a key belongs to the first point at or after its hash.
#[derive(Debug)]
pub(super) struct Ring {
    points: Points<u32>,
    hasher: Arc<dyn KeyHasher>,
    /// Whether a key whose server is down is hashed again, as spymemcached does; else the next point is taken.
    rehashes: bool,
}

impl Ring {
    /// The number of points, which belong to the servers in turn and are placed by the hash of their numbers:
    /// python-memcached2, with the key on the next point.
    pub(super) fn buckets(servers: usize, total: usize, hasher: Arc<dyn KeyHasher>) -> Self {
        let points = (0..total as u64).map(|number| {
            let place = u32::try_from(number % servers.max(1) as u64).unwrap_or(u32::MAX);
            (numbered(b"", number, true, |text| hasher.hash(text)), place)
        });
        Self { points: Points::new(points.collect()), hasher, rehashes: false }
    }
}

impl Selector for Ring {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        /// How many times spymemcached looks for a server that is up.
        const TRIES: u64 = 7;
        let mut hash = self.hasher.hash(key);
        if !self.rehashes {
            return self.points.ceiling(hash, is_up);
        }
        (0..TRIES).find_map(|number| {
            let found = self.points.ceiling(hash, &|_| true)?;
            hash = hash.wrapping_add(numbered(key, number, false, |key| self.hasher.hash(key)));
            is_up(found).then_some(found)
        })
    }
}

/// pymemcache's rendezvous hashing: of all servers that are up the one whose name scores highest with the key.
#[derive(Debug)]
pub(super) struct Rendezvous(Vec<String>);

impl Rendezvous {
    pub(super) fn new(servers: &[Server]) -> Self {
        Self(servers.iter().map(|server| server.point_name(false)).collect())
    }
}

impl Selector for Rendezvous {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        let up = self.0.iter().enumerate().filter(|(place, _)| is_up(*place));
        // Of two that score the same the name that is greater wins.
        let best = up.max_by_key(|(_, name)| (murmur3([name.as_bytes(), b"-", key]), *name));
        best.map(|(place, _)| place)
    }
}

/// A rule that a user brings, made for a list of servers.
pub trait BuildSelector: fmt::Debug + Send + Sync {
    /// Makes the selector for `servers`.
    fn selector(&self, servers: &[Server]) -> Arc<dyn Selector>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_hash_is_a_point_belongs_to_that_point_or_the_next_one_as_its_client_does() {
        // Of two points at the same place the later one stays.
        let points = Points::new(vec![(20_u32, 1), (10, 0), (20, 2)]);
        let found = |hash| points.ceiling(hash, &|_| true);
        assert_eq!([0, 10, 11, 20, 21].map(found), [Some(0), Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!(points.ceiling(10, &|server| server != 0), Some(2));
        assert_eq!(points.ceiling(10, &|_| false), None);
        #[cfg(feature = "ketama")]
        assert_eq!([9, 10, 20].map(|hash| points.above(hash, &|_| true)), [Some(0), Some(2), Some(0)]);
        #[cfg(feature = "dalli")]
        assert_eq!([9, 10, 19, 20].map(|hash| points.floor(hash)), [Some(2), Some(0), Some(0), Some(2)]);
    }
}
