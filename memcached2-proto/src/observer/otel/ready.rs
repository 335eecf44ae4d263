//! What the operations of a command on a server have in common, made once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry::KeyValue;

use super::super::OperationEvent;
use super::attributes::{of_operation, span_name};
use super::pool::pool_of;
use crate::destination::Destination;
use crate::uri::{Address, Server};

/// The name and the attributes of operations that have not failed.
#[derive(Debug)]
pub(super) struct Ready {
    /// It keeps the address of its name from being used again, by which it is found.
    server: Option<Server>,
    peer: Option<Destination>,
    pub(super) span_name: String,
    pub(super) attributes: Vec<KeyValue>,
    /// Those of the metrics of connections, if there was a server to ask.
    pub(super) pool: Option<[KeyValue; 1]>,
}

/// What distinguishes an operation from others: where the name of its server and that of its command are in memory, which are compared
/// faster than the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ReadyKey {
    server: usize,
    command: usize,
    is_batch: bool,
    peer: Option<SocketAddr>,
}

/// What is ready, by server and command.
#[derive(Debug, Default)]
pub(super) struct ReadyMap(RwLock<BTreeMap<ReadyKey, Arc<Ready>>>);

/// With more it begins anew: servers that are gone, and clients that were dropped, have left some behind.
const READY_MAX: usize = 1024;

impl ReadyMap {
    /// What the operations that are like this one have in common.
    pub(super) fn get(&self, event: &OperationEvent<'_>) -> Arc<Ready> {
        let Some(server) = event.server else { return Arc::new(Ready::new(event)) };
        let key = ReadyKey {
            server: server.shared_name().as_ptr().addr(),
            command: event.command.map_or(0, |command| command.as_ptr().addr()),
            is_batch: event.batch.is_some(),
            peer: match event.peer {
                Some(Destination::Tcp(address)) => Some(*address),
                _ => None,
            },
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(ready) = known.filter(|ready| ready.is_of(server.address(), event.peer)) {
            return ready;
        }
        let ready = Arc::new(Ready::new(event));
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= READY_MAX {
            map.clear();
        }
        map.insert(key, Arc::clone(&ready));
        ready
    }
}

impl Ready {
    fn new(event: &OperationEvent<'_>) -> Self {
        Self {
            server: event.server.cloned(),
            peer: event.peer.cloned(),
            span_name: span_name(event),
            attributes: of_operation(event),
            pool: event.server.map(|server| [pool_of(server)]),
        }
    }

    /// Whether the server and what was connected to are these.
    fn is_of(&self, address: &Address, peer: Option<&Destination>) -> bool {
        self.server.as_ref().is_some_and(|server| server.address() == address) && self.peer.as_ref() == peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Moment;
    use crate::time::{Instant, Now};

    #[test]
    fn operations_keep_their_own_server_command_and_peer_when_there_are_more_than_are_kept() {
        let map = ReadyMap::default();
        let clock = || Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH);
        for number in 0..READY_MAX {
            let server = Server::from(Address::Tcp { host: format!("cache{number}"), port: 11211 });
            let peers = [
                None,
                Some(Destination::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)))),
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
                let (first, again) = (map.get(&event), map.get(&event));
                assert!(Arc::ptr_eq(&first, &again), "{event:?}");
                assert_eq!(first.attributes, of_operation(&event));
                assert_eq!((&first.span_name, &first.pool), (&span_name(&event), &Some([pool_of(&server)])));
            }
            assert!(map.0.read().unwrap().len() <= READY_MAX);
        }
    }
}
