//! From a key to one of the servers: points on a ring.

use std::fmt;
use std::sync::Arc;

use super::hash::{Crc, KetamaMd5, KeyHasher, md5, murmur3, numbered, quarters, sha1};
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
    fn above(&self, hash: N, is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        self.from(self.0.partition_point(|(at, _)| *at <= hash)).find(|server| is_up(*server))
    }

    /// The server of the last point at `hash` or before it, up or not.
    fn floor(&self, hash: N) -> Option<usize> {
        let index = self.0.partition_point(|(at, _)| *at <= hash);
        let point = index.checked_sub(1).and_then(|index| self.0.get(index)).or_else(|| self.0.last());
        point.map(|(_, server)| *server as usize)
    }
}

fn places(servers: &[Server]) -> impl Iterator<Item = (u32, &Server)> {
    (0..).zip(servers)
}

fn total_weight(servers: &[Server]) -> u64 {
    servers.iter().map(|server| u64::from(server.weight())).sum()
}

/// How many strings of four points each a server has in libmemcached's weighted ketama, in single precision as there
/// (`hosts.cc`, `update_continuum`).
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as there")]
fn ketama_strings(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    (share * 160.0 / 4.0 * servers as f32 + 0.000_000_000_1).floor() as u32
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
    /// libmemcached's weighted ketama, which twemproxy shares: a point's name leaves out the port 11211.
    pub(super) fn ketama(servers: &[Server], hasher: Arc<dyn KeyHasher>) -> Self {
        Self { points: ketama(servers, |server| server.point_name(true)), hasher, rehashes: false }
    }

    /// spymemcached's ketama: a point's name has the port.
    pub(super) fn spymemcached(servers: &[Server]) -> Self {
        let points = ketama(servers, |server| server.point_name(false));
        Self { points, hasher: Arc::new(KetamaMd5), rehashes: true }
    }

    /// libmemcached's plain consistent distribution: a hundred points for each server, placed by the hash of the keys.
    /// As soon as a server weighs something the points are those of the weighted ketama, and the keys are hashed as before.
    pub(super) fn libmemcached(servers: &[Server], hasher: Arc<dyn KeyHasher>) -> Self {
        const POINTS: u32 = 100;
        if servers.iter().any(|server| server.weight() > 1) {
            return Self::ketama(servers, hasher);
        }
        let points = places(servers).flat_map(|(place, server)| {
            let (name, hasher) = (server.point_name(true), &hasher);
            (0..POINTS).map(move |number| (hasher.hash(format!("{name}-{number}").as_bytes()), place))
        });
        Self { points: Points::new(points.collect()), hasher, rehashes: false }
    }

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

fn ketama(servers: &[Server], name: impl Fn(&Server) -> String) -> Points<u32> {
    let mut points = Vec::with_capacity(servers.len() * 160);
    let total = total_weight(servers);
    for (place, server) in places(servers) {
        let name = name(server);
        for number in 0..ketama_strings(server.weight(), total, servers.len()) {
            points.extend(quarters(format!("{name}-{number}").as_bytes()).map(|at| (at, place)));
        }
    }
    Points::new(points)
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

/// dalli's ring: SHA-1 places the points, and the server of a key has the last point at its CRC-32 or before it.
#[derive(Debug)]
pub(super) struct Dalli(Points<u32>);

impl Dalli {
    pub(super) fn new(servers: &[Server]) -> Self {
        const POINTS: u64 = 160;
        let total = total_weight(servers).max(1);
        let points = places(servers).flat_map(|(place, server)| {
            let name = server.point_name(false);
            let count = POINTS * servers.len() as u64 * u64::from(server.weight()) / total;
            (0..count).map(move |number| (sha1(format!("{name}:{number}").as_bytes()), place))
        });
        Self(Points::new(points.collect()))
    }
}

impl Selector for Dalli {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        /// How many times dalli looks for a server that is up.
        const TRIES: u64 = 20;
        let mut hash = Crc.hash(key);
        (0..TRIES).find_map(|number| {
            let found = self.0.floor(hash)?;
            hash = numbered(key, number, false, |key| Crc.hash(key));
            is_up(found).then_some(found)
        })
    }
}

/// uhashring's ring of 128 bits.
#[derive(Debug)]
pub(super) struct Uhashring(Points<u128>);

impl Uhashring {
    pub(super) fn new(servers: &[Server]) -> Self {
        const POINTS: u32 = 160;
        let points = places(servers).flat_map(|(place, server)| {
            let name = server.point_name(false);
            let count = POINTS.saturating_mul(server.weight());
            (0..count).map(move |number| (md5(format!("{name}-{number}").as_bytes()), place))
        });
        Self(Points::new(points.collect()))
    }
}

impl Selector for Uhashring {
    fn select(&self, key: &[u8], is_up: &dyn Fn(usize) -> bool) -> Option<usize> {
        self.0.above(md5(key), is_up)
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
