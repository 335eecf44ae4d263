//! Which request goes to which server, and what is next after a failure: `SubRequest::next_after_failure` is the rule of retry and failover.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::Fault;
use super::copies::{Copies, Replicated};
use super::fault::ServerFault;
use super::fill::FillCommand;
use super::observed::EndedOperation;
use super::probes::Probes;
use super::replay::Held;
use crate::command::Keyed;
use crate::destination::Destination;
use crate::error::{Error, Landed};
use crate::key::{Key, RoutingKey};
use crate::observer::Tally;
use crate::reply::Reply;
use crate::routing::{Router, ServerId};
use crate::time::Instant;

/// The requests of an operation, each with the server it goes to: what [`Operation::start`](crate::Operation::start) fills.
#[derive(Debug)]
pub struct Plan<'r> {
    pub(super) router: &'r Router,
    /// When the round began.
    pub(super) now: Instant,
    /// Sorted by server once they are planned.
    pub(super) sub_requests: SmallVec<[SubRequest; 1]>,
    /// Boxed, since a call is moved a few times, and most have none of it.
    pub(super) rare: Option<Box<Rare<'r>>>,
    /// How often the requests that are planned have moved to another server.
    pub(super) moves: u8,
}

/// What a call has while a server is down, after a failure, or for an observer.
#[derive(Debug, Default)]
pub(super) struct Rare<'r> {
    /// The requests that no server can be asked for.
    pub(super) unplanned: Vec<(u32, ServerId, Error)>,
    /// The servers that are down and that this call probes.
    pub(super) probes: Option<Probes<'r>>,
    /// The servers that have failed in this round.
    pub(super) faults: Vec<ServerFault>,
    /// For the observer: what has come of answers that are not complete, and how long connections were waited for.
    pub(super) tallies: BTreeMap<u32, Tally>,
    pub(super) waits: Vec<(ServerId, Duration)>,
    /// For the observer: which addresses did not answer, what has ended so far, and when the first round began, once that is over.
    pub(super) peers: Vec<(ServerId, Arc<Destination>)>,
    pub(super) operations: Vec<EndedOperation>,
    pub(super) begun: Option<Instant>,
    /// With replicas: the requests of which it is not known yet how many servers are asked, the copies of writes, and what has come
    /// of reads for which the next replica is asked.
    pub(super) replicated: Vec<Replicated>,
    pub(super) copies: BTreeMap<u32, Copies>,
    pub(super) unread: BTreeMap<u32, Result<Reply, Error>>,
    /// How many replicas, in the order in which they are read, the reads that are planned have asked before.
    pub(super) skipped: usize,
    /// In a migration: what is to be stored on the new servers.
    pub(super) found: Vec<FillCommand>,
    /// Whether the transport was asked to store them.
    pub(super) is_fill_offered: bool,
    /// Whether requests were planned for certain servers.
    pub(super) is_addressed: bool,
    /// How much of its time a large call keeps back.
    pub(super) time_to_merge: Duration,
    /// What waits for the journal.
    pub(super) held: Held,
    /// With a journal: the servers whose keys were planned for others, since they were down.
    pub(super) passed: SmallVec<[ServerId; 1]>,
}

/// A request to one server.
#[derive(Debug, Clone, Copy)]
pub struct SubRequest {
    pub(super) server: ServerId,
    /// Its number in the operation.
    pub(super) index: u32,
    /// How many bytes it has, once it is encoded.
    pub(super) sent: u32,
    pub(super) state: State,
    /// Whether it is sent a second time, since the first connection was dead.
    pub(super) is_retry: bool,
    /// Whether it was sent on a connection for large transfers, because of its key or of what the other one received.
    is_redirected: bool,
    /// How often it has moved to another server.
    pub(super) moves: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be sent in this round.
    Open,
    /// The server has answered; that is not reported to the router yet.
    Answered,
    /// It will be sent again on another connection.
    Retry,
    /// It will be sent to another server, if there is one.
    Move,
    /// It waits until its key was deleted.
    Held,
    Ended,
}

/// After this many moves a request fails.
const MOVES: u8 = 10;

impl SubRequest {
    #[inline]
    pub(super) fn new(server: ServerId, index: u32) -> Self {
        Self { server, index, sent: 0, state: State::Open, is_retry: false, is_redirected: false, moves: 0 }
    }

    /// The server to ask.
    #[must_use]
    #[inline]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// The number of the request, which its operation chose: that of the key, or of the item, among several.
    #[must_use]
    #[inline]
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Whether it is sent in this round, and has no answer yet.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it needs a fresh connection, since the one before was dead.
    #[must_use]
    #[inline]
    pub fn is_retry(&self) -> bool {
        self.is_retry
    }

    /// Whether a connection for large transfers was chosen for it, though it is small as far as it shows.
    pub(crate) fn is_redirected(&self) -> bool {
        self.is_redirected
    }

    /// Notes that one was chosen.
    pub(crate) fn redirect(&mut self) {
        self.is_redirected = true;
    }

    /// Notes how many bytes it has.
    #[inline]
    pub(crate) fn encoded(&mut self, length: u64) {
        self.sent = u32::try_from(length).unwrap_or(u32::MAX);
    }

    /// What is next after a failure: contract and rule of retry and failover.
    ///
    /// A connection that the server closed while it was idle is found dead only when it is used. What was not sent then, and
    /// what does no harm twice, is sent once more, on a fresh connection to the same server. What was not sent since its
    /// server is down moves to the server that the [selection](crate::Selection) names next.
    pub(super) fn next_after_failure(&self, landed: Landed, fault: Fault, repeatable: bool, router: &Router) -> State {
        match fault {
            Fault::Connection if !self.is_retry && (landed == Landed::NotSent || repeatable) => State::Retry,
            // Where servers never count as down, it would come back to the same one.
            Fault::Server if landed == Landed::NotSent && self.moves < MOVES && router.may_fail_over() => State::Move,
            _ => State::Ended,
        }
    }
}

impl<'r> Plan<'r> {
    #[inline]
    pub(super) fn new(router: &'r Router, now: Instant) -> Self {
        Self { router, now, sub_requests: SmallVec::new(), rare: None, moves: 0 }
    }

    /// The servers, and which of them has a key.
    #[must_use]
    #[inline]
    pub fn router(&self) -> &'r Router {
        self.router
    }

    /// When the round began.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Makes room for this many requests.
    pub fn reserve(&mut self, requests: usize) {
        if requests > 1 {
            self.sub_requests.reserve_exact(requests);
        }
    }

    /// Plans the request with this number for the server of `key`, among those that are up or may be probed. If there
    /// is none, the request ends with an error.
    #[inline]
    pub fn add<'k>(&mut self, index: usize, key: impl Into<RoutingKey<'k>>) {
        let key = key.into().unchecked();
        if !self.router.plans_plainly() {
            return self.add_among(index, key);
        }
        match self.router.route(key) {
            Ok(server) => self.push(server, index),
            Err(error) => self.refuse(index, error),
        }
    }

    /// Plans a request for each of these commands.
    pub(crate) fn add_all<C: Keyed>(&mut self, commands: &[C]) {
        self.reserve(commands.len());
        let is_plain = self.router.plans_plainly() && self.router.prefix_length() == 0;
        if let Some(server) = self.router.only_server().filter(|_| is_plain) {
            return self.sub_requests.extend((0..commands.len()).map(|index| SubRequest::new(server, short(index))));
        }
        for (index, command) in commands.iter().enumerate() {
            self.add(index, command.routing_key());
        }
    }

    /// The same while some server may be down, and with a journal or replicas.
    #[cold]
    fn add_among(&mut self, index: usize, key: Key<'_>) {
        if self.router.has_replicas() {
            return self.add_to_replicas(short(index), key);
        }
        match self.assign_among(key) {
            Ok(server) => self.push(server, index),
            Err(error) => self.refuse(index, error),
        }
    }

    /// Plans a request again whose server is down; `false` if no other server may have `key`.
    pub fn add_elsewhere<'k>(&mut self, index: usize, key: impl Into<RoutingKey<'k>>) -> bool {
        self.assign(key.into().unchecked()).map(|server| self.push(server, index)).is_ok()
    }

    /// Plans a request for a server that no other can stand in for; it ends at once while that one is down.
    pub fn add_to(&mut self, server: ServerId, index: usize) {
        if self.router.has_replicas() {
            self.rare().is_addressed = true;
        }
        if self.router.all_up() || self.claim(server) {
            return self.push(server, index);
        }
        let error = self.router.down(server);
        self.rare().unplanned.push((short(index), server, error));
    }

    /// The same for a request about this key, if there is one: it is deleted there before if the journal has it.
    pub(crate) fn add_to_for(&mut self, server: ServerId, index: usize, key: Option<Key<'_>>) {
        if !key.is_some_and(|key| self.may_wait(server, key)) {
            return self.add_to(server, index);
        }
        if self.router.has_replicas() {
            self.rare().is_addressed = true;
        }
        self.push(server, index);
    }

    /// Ends a request that no server can be asked for.
    #[cold]
    pub(crate) fn refuse(&mut self, index: usize, error: Error) {
        self.rare().unplanned.push((short(index), ServerId(u32::MAX), error));
    }

    #[inline]
    pub(crate) fn push(&mut self, server: ServerId, index: usize) {
        self.sub_requests.push(SubRequest { moves: self.moves, ..SubRequest::new(server, short(index)) });
    }

    /// The server of a key, among those that are up or may be probed.
    #[inline]
    pub(crate) fn assign(&mut self, key: Key<'_>) -> Result<ServerId, Error> {
        match self.router.plans_plainly() {
            true => self.router.route(key),
            false => self.assign_among(key),
        }
    }

    /// While some server may be down.
    #[cold]
    fn assign_among(&mut self, key: Key<'_>) -> Result<ServerId, Error> {
        /// Another call may be the one that tries a server: this many of them are passed over.
        const TRIES: usize = 4;
        let skipped = if self.router.has_replicas() { self.rare().skipped } else { 0 };
        if self.router.all_up() && !self.router.has_replicas() {
            let server = self.router.route(key)?;
            self.waits_for_journal(server, key);
            return Ok(server);
        }
        for _ in 0..TRIES {
            let is_mine = |place| self.probes_server(place);
            let server = self.router.route_open(key, (self.now, skipped), &is_mine)?;
            if self.waits_for_journal(server, key) || self.claim(server) {
                self.note_home(server, key);
                return Ok(server);
            }
        }
        Err(self.router.all_down(key))
    }

    /// Notes for the journal that a key goes to another server than its own.
    fn note_home(&mut self, server: ServerId, key: Key<'_>) {
        if let Some(home) = self.router.journal().and_then(|_| self.router.route_home(key).ok()) {
            self.note_passed(home, server);
        }
    }

    /// The same of a key whose server is known.
    pub(super) fn note_passed(&mut self, home: ServerId, server: ServerId) {
        if home != server && !self.rare().passed.contains(&home) {
            self.rare().passed.push(home);
        }
    }

    /// Whether a server may be asked now, as far as is known; if it is down, another call may be the one that tries it.
    pub(super) fn may_ask(&self, server: ServerId) -> bool {
        self.probes_server(server.index()) || self.router.may_try(server, self.now)
    }

    /// Whether a server may be asked: it is up, or this call is the one that tries it.
    pub(super) fn claim(&mut self, server: ServerId) -> bool {
        if self.probes_server(server.index()) {
            return true;
        }
        let router = self.router;
        let Some(probe) = router.claim(server, self.now) else { return false };
        if let Some(probe) = probe {
            self.rare().probes.get_or_insert_with(|| Probes::new(router)).push(server, probe);
        }
        true
    }

    /// Whether this call is the one that tries the server at a place.
    fn probes_server(&self, place: usize) -> bool {
        self.rare.as_ref().and_then(|rare| rare.probes.as_ref()).is_some_and(|probes| probes.holds(place))
    }

    #[cold]
    pub(super) fn rare(&mut self) -> &mut Rare<'r> {
        self.rare.get_or_insert_default()
    }

    /// Puts requests to the same server side by side.
    #[inline]
    pub(super) fn sort(&mut self) {
        let by_server = |sub_request: &SubRequest| sub_request.server;
        if !self.sub_requests.is_sorted_by_key(by_server) {
            self.sub_requests.sort_by_key(by_server);
        }
    }
}

/// An operation has at most 2^32 requests: more would not fit the memory.
pub(super) fn short(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
