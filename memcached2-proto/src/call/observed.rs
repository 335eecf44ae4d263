//! What is reported to an observer: each request, and what a call has asked of each server.

use std::sync::Arc;
use std::time::Duration;

use super::plan::State;
use super::{Call, Operation, Plan, Progress as _, SubRequest};
use crate::command::Command as _;
use crate::connection::Connection;
use crate::destination::Destination;
use crate::error::{Error, Landed};
use crate::observer::{
    Arrival, Attempt, Event, Failure, Moment, OperationEvent, RequestOutcome, StoredFailure, Tally, Watch,
};
use crate::reply::Reply;
use crate::routing::ServerId;
use crate::time::{Instant, Now};

/// The connection that a reply came over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Via<'v> {
    peer: Option<&'v Arc<Destination>>,
    /// When it came, if the connection knows that.
    arrival: Option<&'v Arrival>,
    is_pooled: bool,
}

/// What was asked of one server, and has ended before the call has.
#[derive(Debug)]
pub(super) struct EndedOperation {
    server: ServerId,
    /// `None` if there are several.
    command: Option<&'static str>,
    /// How many requests of a batch.
    count: usize,
    ended: Instant,
    failure: Option<StoredFailure>,
    peer: Option<Arc<Destination>>,
    wait: Option<Duration>,
}

impl<'v> Via<'v> {
    pub(super) fn pooled(connection: &'v Connection) -> Self {
        Self { peer: connection.peer(), arrival: None, is_pooled: true }
    }

    pub(super) fn shared(connection: &'v impl ObservedConnection) -> Self {
        Self { peer: connection.peer(), arrival: Some(connection.arrival()), is_pooled: false }
    }

    /// When the reply came, as far as that is known; else now.
    #[inline]
    fn moment(&self, clock: fn() -> Now) -> Instant {
        let now = || clock().monotonic;
        self.arrival.map_or_else(now, |arrival| arrival.last(now))
    }
}

/// A shared connection, as an observer sees it.
pub(crate) trait ObservedConnection {
    /// The address that it was made to, if it is known.
    fn peer(&self) -> Option<&Arc<Destination>>;

    /// When the last reply came.
    fn arrival(&self) -> &Arrival;
}

impl Plan<'_> {
    /// How long the connection to a server was waited for in this round.
    fn wait_for(&self, server: ServerId) -> Duration {
        let waits = self.rare.iter().flat_map(|rare| &rare.waits);
        waits.filter(|(known, _)| *known == server).map(|(_, wait)| *wait).sum()
    }

    /// The address that has not answered.
    fn silent_peer(&self, server: ServerId) -> Option<&Arc<Destination>> {
        let peers = &self.rare.as_ref()?.peers;
        peers.iter().find(|(known, _)| *known == server).map(|(_, peer)| peer)
    }

    /// When the call began, if this is not its first round.
    fn begun(&self) -> Option<Instant> {
        self.rare.as_ref().and_then(|rare| rare.begun)
    }
}

impl<O: Operation> Call<'_, O> {
    /// Reports the only request of a call with its only answer, of which nothing has to be kept: the frequent case. `false` if it is
    /// not that, and is not reported.
    #[inline]
    fn report_lone(&self, watch: &Watch, via: Via<'_>, reply: &Reply) -> bool {
        let [sub_request] = &self.plan.sub_requests[..] else { return false };
        // The refusals of a quiet batch come one by one.
        let has_more = watch.has_replicas() || self.plan.rare.is_some() || matches!(reply, Reply::Quiet(_));
        if has_more || self.progress.is_batch() {
            return false;
        }
        let command = self.progress.command(sub_request.index());
        let ended = via.moment(watch.clock);
        if let Some(observer) = watch.of_requests() {
            let mut tally = Tally::default();
            tally.add(reply);
            let outcome = tally.outcome(command.keys());
            observer.on_request(&self.request_event(sub_request, outcome, tally.received, via.peer, ended));
        }
        if let Some(observer) = watch.of_operations() {
            let failure = if let Reply::Refused(line) = reply { Some(Failure::Refused(line)) } else { None };
            let wait = (via.is_pooled && failure.is_none()).then_some(Duration::ZERO);
            let event = OperationEvent { failure, wait, ..self.operation_event(watch, sub_request, via.peer, ended) };
            observer.on_operation(&event);
        }
        true
    }

    /// Takes a reply if something looks at each request.
    #[inline(never)]
    pub(super) fn answer_observed(&mut self, watch: &Watch, via: Via<'_>, at: usize, reply: Reply, last: bool) {
        if last && self.report_lone(watch, via, &reply) {
            return self.take_answer(at, reply, true);
        }
        self.answer_among(watch, via, at, reply, last);
    }

    /// Takes a reply of a call that has several, or for which something is kept.
    #[cold]
    fn answer_among(&mut self, watch: &Watch, via: Via<'_>, at: usize, reply: Reply, last: bool) {
        if !last {
            self.observe_reply(watch, at, &reply);
            return self.take_answer(at, reply, false);
        }
        let sub_request = self.plan.sub_requests[at];
        let before = self.plan.rare.as_mut().and_then(|rare| rare.tallies.remove(&sub_request.index));
        let mut tally = before.unwrap_or_default();
        tally.add(&reply);
        let keys = self.progress.command(sub_request.index()).keys();
        let outcome = tally.outcome(keys);
        let ended = via.moment(watch.clock);
        if let Some(observer) = watch.of_requests() {
            observer.on_request(&self.request_event(&sub_request, outcome, tally.received, via.peer, ended));
        }
        let has_copies = self.plan.has_copies(sub_request.index);
        if !has_copies {
            self.note_found(sub_request.index, sub_request.server, &reply);
        }
        let is_missed = !has_copies && self.is_missed(&sub_request, &reply, tally.hits());
        if !is_missed {
            self.end_operation(&sub_request, outcome.failure(), Some(ended), via);
        }
        if has_copies {
            self.plan.sub_requests[at].state = State::Answered;
            if let Reply::Refused(line) = &reply {
                self.keep_refused(at, line);
            }
            return self.end_copy(&sub_request, Ok(reply));
        }
        if is_missed {
            self.plan.report_answer(sub_request.server);
            let rest = match reply {
                value @ Reply::Value(..) => {
                    self.progress.take_reply(sub_request.index(), value);
                    Reply::End
                }
                rest => rest,
            };
            return self.read_next(at, Ok(rest));
        }
        self.take_answer(at, reply, true);
    }

    /// Looks at a reply that is not the last one.
    pub(super) fn observe_reply(&mut self, watch: &Watch, at: usize, reply: &Reply) {
        if watch.counts_values() || !matches!(reply, Reply::Value(..)) {
            let SubRequest { index, server, .. } = self.plan.sub_requests[at];
            self.plan.rare().tallies.entry(index).or_default().add(reply);
            self.note_found(index, server, reply);
        }
    }

    /// What has come of a request.
    #[inline]
    fn request_event<'e>(
        &'e self,
        sub_request: &SubRequest,
        outcome: RequestOutcome<'e>,
        received: u64,
        peer: Option<&'e Arc<Destination>>,
        ended: Instant,
    ) -> Event<'e> {
        let is_unsent = matches!(outcome, RequestOutcome::Failed(error) if error.landed() == Landed::NotSent);
        Event {
            command: self.progress.command(sub_request.index()).name(),
            server: self.plan.router.server(sub_request.server),
            peer: peer.or_else(|| self.plan.silent_peer(sub_request.server)).map(|peer| &**peer),
            outcome,
            attempt: match sub_request {
                SubRequest { is_retry: true, .. } => Attempt::Retry,
                SubRequest { moves: 1.., .. } => Attempt::Failover,
                _ => Attempt::First,
            },
            sent: if is_unsent { 0 } else { sub_request.sent.into() },
            received,
            time: ended.saturating_duration_since(self.plan.now).max(SHORTEST),
            wait: self.plan.wait_for(sub_request.server),
        }
    }

    /// What was asked of a server by this request alone, if it has not failed.
    #[inline]
    fn operation_event<'e>(
        &'e self,
        watch: &Watch,
        sub_request: &SubRequest,
        peer: Option<&'e Arc<Destination>>,
        ended: Instant,
    ) -> OperationEvent<'e> {
        let moment = Moment { clock: watch.clock, begun: self.plan.begun().unwrap_or(self.plan.now) };
        OperationEvent {
            command: Some(self.progress.command(sub_request.index()).name()),
            server: self.plan.router.server(sub_request.server),
            peer: peer.map(|peer| &**peer),
            ..OperationEvent::new(moment, ended)
        }
    }

    /// Reports that there was no answer to a request.
    #[cold]
    pub(super) fn report_unanswered(&self, sub_request: &SubRequest, error: &Error) {
        let Some(watch) = self.plan.router.watch() else { return };
        let Some(observer) = watch.of_requests() else { return };
        let outcome = RequestOutcome::Failed(error);
        let now = (watch.clock)().monotonic;
        observer.on_request(&self.request_event(sub_request, outcome, 0, None, now));
    }

    /// Reports a call that is dropped: the requests under way, and what was asked of each server. Not while a panic unwinds, which may
    /// be the observer's own: a second one would end the program.
    #[cold]
    pub(super) fn report_cancelled(&mut self) {
        let Some(watch) = self.plan.router.watch().filter(|watch| watch.observer().is_some()) else { return };
        if std::thread::panicking() {
            return;
        }
        let now = (watch.clock)().monotonic;
        for at in 0..self.plan.sub_requests.len() {
            let sub_request = self.plan.sub_requests[at];
            match (sub_request.state, watch.of_requests()) {
                // What has come of it is reported.
                (State::Answered | State::Ended, _) => continue,
                (State::Open, Some(observer)) => {
                    observer.on_request(&self.request_event(&sub_request, RequestOutcome::Cancelled, 0, None, now));
                }
                // Its next attempt has not begun.
                (State::Open | State::Retry | State::Move | State::Held, _) => {}
            }
            self.end_operation(&sub_request, Some(Failure::Cancelled), Some(now), Via::default());
        }
        self.report_operations();
    }

    /// Notes the address of a connection that has failed, for the observer.
    #[cold]
    pub(super) fn note_peer(&mut self, server: ServerId, peer: Option<&Arc<Destination>>) {
        if let (Some(_), Some(peer)) = (self.plan.router.watch().and_then(Watch::observer), peer) {
            let peer = Arc::clone(peer);
            let peers = &mut self.plan.rare().peers;
            peers.retain(|(known, _)| *known != server);
            peers.push((server, peer));
        }
    }

    /// Takes note that a request has ended with an error, unless another replica has answered it.
    #[cold]
    pub(super) fn end_failed_operation(&mut self, sub_request: &SubRequest, error: &Error) {
        let unread = self.plan.rare.as_ref().and_then(|rare| rare.unread.get(&sub_request.index));
        let failure = if let Some(Ok(_)) = unread { None } else { Some(Failure::Failed(error)) };
        self.end_operation(sub_request, failure, None, Via::default());
    }

    /// Takes note that a request has ended, now if no other moment is given. If it is the only one, its operation is reported at once.
    pub(super) fn end_operation(
        &mut self,
        sub_request: &SubRequest,
        failure: Option<Failure<'_>>,
        ended: Option<Instant>,
        via: Via<'_>,
    ) {
        let server = sub_request.server;
        let Some(watch) = self.plan.router.watch() else { return };
        let Some(observer) = watch.of_operations() else { return };
        let ended = ended.unwrap_or_else(|| (watch.clock)().monotonic);
        let command = self.progress.command(sub_request.index());
        let is_batch = self.progress.is_batch();
        let begun = self.plan.begun();
        let wait = (via.is_pooled && begun.is_none() && failure.is_none()).then(|| self.plan.wait_for(server));
        let peer = via.peer.or_else(|| self.plan.silent_peer(server));
        let is_only = matches!(&self.plan.sub_requests[..], [only] if only.index == sub_request.index);
        if is_only && !is_batch {
            let event = OperationEvent { failure, wait, ..self.operation_event(watch, sub_request, peer, ended) };
            return observer.on_operation(&event);
        }
        let count = if is_batch { command.keys() } else { 0 };
        let ended = EndedOperation {
            server,
            command: Some(command.name()),
            count,
            ended,
            failure: failure.map(StoredFailure::from),
            peer: peer.cloned(),
            wait,
        };
        self.plan.rare().add_operation(ended);
    }

    /// Reports what was asked of each server, once the call has ended, as far as it was not reported yet.
    #[cold]
    pub(super) fn report_operations(&mut self) {
        let ended = self.plan.rare.as_mut().map_or_else(Vec::new, |rare| std::mem::take(&mut rare.operations));
        let Some(watch) = self.plan.router.watch() else { return };
        let Some(observer) = watch.of_operations() else { return };
        let is_empty_batch = self.plan.sub_requests.is_empty() && ended.is_empty() && self.progress.is_batch();
        if ended.is_empty() && !is_empty_batch {
            return;
        }
        let moment = Moment { clock: watch.clock, begun: self.plan.begun().unwrap_or(self.plan.now) };
        if is_empty_batch {
            let now = (watch.clock)().monotonic;
            observer.on_operation(&OperationEvent { batch: Some(0), ..OperationEvent::new(moment, now) });
        }
        for EndedOperation { server, command, count, ended, failure, peer, wait } in &ended {
            observer.on_operation(&OperationEvent {
                command: *command,
                server: self.plan.router.server(*server),
                peer: peer.as_deref(),
                batch: (*count >= 2).then_some(*count),
                failure: failure.as_ref().map(StoredFailure::as_failure),
                wait: *wait,
                ..OperationEvent::new(moment, *ended)
            });
        }
    }
}

impl super::plan::Rare<'_> {
    /// Adds a request that has ended to what was asked of its server.
    fn add_operation(&mut self, ended: EndedOperation) {
        // Those of a server come one after the other, as a rule.
        let Some(known) = self.operations.iter_mut().rev().find(|known| known.server == ended.server) else {
            return self.operations.push(ended);
        };
        if known.command != ended.command {
            known.command = None;
        }
        known.count += ended.count;
        known.ended = known.ended.max(ended.ended);
        known.wait = known.wait.and(ended.wait);
        known.peer = ended.peer.or_else(|| known.peer.take());
        if known.failure.is_none() {
            known.failure = ended.failure;
        }
    }
}

/// What happened between two looks at the clock took some time.
const SHORTEST: Duration = Duration::from_micros(1);
