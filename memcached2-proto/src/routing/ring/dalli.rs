//! A ring whose points are placed by SHA-1.

use super::{Points, places, total_weight};
use crate::routing::hash::{Crc, KeyHasher as _, numbered, sha1};
use crate::routing::select::Selector;
use crate::uri::Server;

/// dalli's ring: SHA-1 places the points, and the server of a key has the last point at its CRC-32 or before it.
#[derive(Debug)]
pub(in crate::routing) struct Dalli(Points<u32>);

impl Dalli {
    pub(in crate::routing) fn new(servers: &[Server]) -> Self {
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
