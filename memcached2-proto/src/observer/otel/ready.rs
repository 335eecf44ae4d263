//! What the operations of a command on a server have in common, made once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use opentelemetry::KeyValue;

use super::super::OperationEvent;
use super::attributes::{of_operation, span_name};
use super::pool::{PoolSeries, pool_of};
use super::series::Series;
use crate::destination::Destination;

/// The name, the attributes and the series of operations that have not failed.
#[derive(Debug)]
pub(super) struct Ready {
    key: ReadyKey,
    peer: Option<Destination>,
    /// Kept so that its address, by which it is found, is not used again.
    _server_name: Option<Arc<str>>,
    pub(super) span_name: String,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) duration: Series,
    /// The metrics of connections, if there was a server to ask.
    pub(super) pool: Option<PoolSeries>,
}

/// What distinguishes an operation from others, but for its peer: where the name of its server and that of its command are in memory,
/// which are compared faster than the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ReadyKey {
    server: usize,
    /// With its length, since it may be the beginning of another name.
    command: (usize, usize),
    is_batch: bool,
}

/// What is ready, by server and command.
#[derive(Debug)]
pub(super) struct ReadyMap {
    /// The first ones that came, each at one of a few places that its key decides. They stay, so they are found without a lock.
    first: Box<[OnceLock<Arc<Ready>>; PLACES]>,
    /// Those that found no place, by their keys and the addresses of their peers.
    others: RwLock<Others>,
}

type Others = BTreeMap<(ReadyKey, Option<SocketAddr>), Arc<Ready>>;

/// How many places there are for the first ones.
const PLACES: usize = 1 << PLACES_BITS;
const PLACES_BITS: u32 = 10;
/// How many of them one can have: as many peers as a name has addresses, and more.
const TRIES: usize = 16;
/// With more others it begins anew: servers that are gone, and clients that were dropped, have left some behind.
const OTHERS_MAX: usize = 1024;

impl Default for ReadyMap {
    fn default() -> Self {
        Self { first: Box::new([const { OnceLock::new() }; PLACES]), others: RwLock::default() }
    }
}

impl ReadyMap {
    /// What the operations that are like this one have in common, if it is at one of its places.
    #[inline]
    pub(super) fn get(&self, event: &OperationEvent<'_>) -> Option<&Arc<Ready>> {
        let key = ReadyKey::of(event);
        let place = key.place();
        for at in 0..TRIES {
            let ready = self.first[(place + at) % PLACES].get()?;
            if ready.is_of(&key, event.peer) {
                return Some(ready);
            }
        }
        None
    }

    /// The same if it is not: it gets a place if there is one.
    #[cold]
    #[inline(never)]
    pub(super) fn get_other(&self, event: &OperationEvent<'_>) -> Arc<Ready> {
        let key = ReadyKey::of(event);
        let address = match event.peer {
            Some(Destination::Tcp(address)) => Some(*address),
            _ => None,
        };
        let known = self.others.read().unwrap_or_else(PoisonError::into_inner).get(&(key, address)).cloned();
        if let Some(ready) = known.filter(|ready| ready.is_of(&key, event.peer)) {
            return ready;
        }
        let ready = Arc::new(Ready::new(event, key));
        // Without a server there was nothing to ask: that is rare, and has a name of its own.
        let places = if event.server.is_some() { TRIES } else { 0 };
        for at in 0..places {
            if self.first[(key.place() + at) % PLACES].set(Arc::clone(&ready)).is_ok() {
                return ready;
            }
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= OTHERS_MAX {
            others.clear();
        }
        others.insert((key, address), Arc::clone(&ready));
        ready
    }
}

impl ReadyKey {
    #[inline]
    fn of(event: &OperationEvent<'_>) -> Self {
        Self {
            server: event.server.map_or(0, |server| server.shared_name().as_ptr().addr()),
            command: event.command.map_or((0, 0), |command| (command.as_ptr().addr(), command.len())),
            is_batch: event.batch.is_some(),
        }
    }

    /// The first place that it can have.
    #[inline]
    fn place(&self) -> usize {
        let mixed = self.server ^ self.command.0.rotate_left(usize::BITS / 2) ^ usize::from(self.is_batch);
        // The upper bits of the product depend on all of them.
        mixed.wrapping_mul(MULTIPLIER) >> (usize::BITS - PLACES_BITS)
    }
}

/// That of Fibonacci hashing: the words of a processor divided by the golden ratio.
#[expect(clippy::cast_possible_truncation, reason = "a narrower processor has a narrower one")]
const MULTIPLIER: usize = (0x9e37_79b9_7f4a_7c15_u64 >> (u64::BITS - usize::BITS)) as usize | 1;

impl Ready {
    fn new(event: &OperationEvent<'_>, key: ReadyKey) -> Self {
        Self {
            key,
            peer: event.peer.cloned(),
            _server_name: event.server.map(|server| Arc::clone(server.shared_name())),
            span_name: span_name(event),
            attributes: of_operation(event),
            duration: Series::default(),
            pool: event.server.map(|server| PoolSeries::new(pool_of(server))),
        }
    }

    /// Whether it is for these.
    #[inline]
    fn is_of(&self, key: &ReadyKey, peer: Option<&Destination>) -> bool {
        self.key == *key && self.peer.as_ref() == peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Moment;
    use crate::time::{Instant, Now};
    use crate::uri::{Address, Server};

    #[test]
    fn operations_keep_their_own_server_command_and_peer_when_there_are_more_than_are_kept() {
        let map = ReadyMap::default();
        let clock = || Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH);
        let ready_for = |event: &OperationEvent<'_>| map.get(event).cloned().unwrap_or_else(|| map.get_other(event));
        for number in 0..PLACES {
            let server = Server::from(Address::Tcp { host: format!("cache{number}"), port: 11211 });
            let peers = [
                None,
                Some(Destination::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)))),
                Some(Destination::Tcp(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1)))),
                Some(Destination::Unix("/a".into())),
            ];
            for (peer, batch, command) in
                peers.iter().flat_map(|peer| [(peer, None, "get"), (peer, Some(2), "get"), (peer, None, "set")])
            {
                let moment = Moment { clock, begun: Instant::ZERO };
                let event = OperationEvent {
                    command: Some(command),
                    server: Some(&server),
                    peer: peer.as_ref(),
                    batch,
                    ..OperationEvent::new(moment, Instant::ZERO)
                };
                let (first, again) = (ready_for(&event), ready_for(&event));
                assert!(Arc::ptr_eq(&first, &again), "{event:?}");
                assert_eq!((&first.attributes, &first.span_name), (&of_operation(&event), &span_name(&event)));
                assert_eq!(first.pool.as_ref().map(|pool| &pool.attributes), Some(&[pool_of(&server)]));
            }
            assert!(map.others.read().unwrap().len() <= OTHERS_MAX);
        }
    }

    #[test]
    fn a_command_is_not_taken_for_one_whose_name_begins_at_the_same_place() {
        let (map, server) = (ReadyMap::default(), Server::from(Address::Tcp { host: "cache1".into(), port: 11211 }));
        let moment = Moment { clock: || Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH), begun: Instant::ZERO };
        for command in [&"gets"[..3], "gets", &"gets"[..3]] {
            let event = OperationEvent {
                command: Some(command),
                server: Some(&server),
                ..OperationEvent::new(moment, Instant::ZERO)
            };
            let ready = map.get(&event).cloned().unwrap_or_else(|| map.get_other(&event));
            assert_eq!(ready.attributes, of_operation(&event));
        }
    }
}
