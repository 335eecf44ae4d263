//! Rings whose points are placed by MD5.

use std::sync::Arc;

use super::{Points, Ring, places, total_weight};
use crate::routing::hash::{KetamaMd5, KeyHasher, md5, quarters};
use crate::routing::select::Selector;
use crate::uri::Server;

/// How many strings of four points each a server has in libmemcached's weighted ketama, in single precision as there
/// (`hosts.cc`, `update_continuum`).
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as there")]
fn ketama_strings(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    (share * 160.0 / 4.0 * servers as f32 + 0.000_000_000_1).floor() as u32
}

impl Ring {
    /// libmemcached's weighted ketama, which twemproxy shares: a point's name leaves out the port 11211.
    pub(in crate::routing) fn ketama(servers: &[Server], hasher: Arc<dyn KeyHasher>) -> Self {
        Self { points: ketama(servers, |server| server.point_name(true)), hasher, rehashes: false }
    }

    /// spymemcached's ketama: a point's name has the port.
    pub(in crate::routing) fn spymemcached(servers: &[Server]) -> Self {
        let points = ketama(servers, Server::java_name);
        Self { points, hasher: Arc::new(KetamaMd5), rehashes: true }
    }

    /// libmemcached's plain consistent distribution: a hundred points for each server, placed by the hash of the keys.
    /// As soon as a server weighs something the points are those of the weighted ketama, and the keys are hashed as before.
    pub(in crate::routing) fn libmemcached(servers: &[Server], hasher: Arc<dyn KeyHasher>) -> Self {
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

/// uhashring's ring of 128 bits.
#[derive(Debug)]
pub(in crate::routing) struct Uhashring(Points<u128>);

impl Uhashring {
    pub(in crate::routing) fn new(servers: &[Server]) -> Self {
        const POINTS: u32 = 160;
        let points = places(servers).flat_map(|(place, server)| {
            // The name that its user gives a server: meta-memcache-py puts an IPv6 address in brackets.
            let name = server.name();
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
