//! One operation under way: policy without I/O, in rounds.
//!
//! For authors of a transport, which drives a [`Call`], and of their own [`Operation`]s.

mod batch;
mod copies;
mod fault;
mod fill;
mod observed;
mod operation;
mod plan;
mod probes;
mod replay;
mod round;
mod slot_result;

use std::fmt;
use std::time::Duration;

pub use self::batch::ServerBatch;
pub use self::fault::Fault;
use self::fault::ServerFault;
pub use self::fill::{Fill, FillCommand, Filling};
pub(crate) use self::observed::ObservedConnection;
use self::observed::Via;
pub use self::operation::{Operation, Progress};
use self::plan::State;
pub use self::plan::{Plan, SubRequest};
pub use self::replay::{DeleteKept, Replay, Replaying};
pub(crate) use self::slot_result::{Failure, SlotResult};
use crate::command::Command;
use crate::error::{Error, Landed};
use crate::few::Few;
use crate::observer::Watch;
use crate::reply::Reply;
use crate::routing::{Router, ServerId};
use crate::time::{Instant, Now};
use crate::uri::Server;

/// An operation under way.
///
/// A transport drives it in rounds. It sends each [batch](Call::batch) of requests to its server, gives the replies or the
/// failure back, and calls [`Call::end_round`], which decides whether something is sent again, and where. Then
/// [`Call::finish`] returns the output. On shared connections [`exchange`](crate::shared::exchange) does a whole round.
///
/// A call that is dropped half-way reports nothing about the servers it has asked. If it was to find out whether a server is up
/// again, the next call does.
pub struct Call<'r, O: Operation> {
    progress: O::Progress,
    plan: Plan<'r>,
    /// Whether a request has failed in this round.
    has_failed: bool,
}

impl<O: Operation> fmt::Debug for Call<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("sub_requests", &self.plan.sub_requests).finish_non_exhaustive()
    }
}

impl<'r, O: Operation> Call<'r, O> {
    /// Plans the operation: which request goes to which server.
    #[inline]
    pub fn new(operation: O, router: &'r Router, now: Now) -> Self {
        let mut plan = Plan::new(router, now.monotonic);
        let progress = operation.start(&mut plan);
        let mut call = Self { progress, plan, has_failed: false };
        if call.plan.rare.is_some() {
            call.plan_rare();
            call.hold_back();
        }
        call.plan.sort();
        call
    }

    /// Decides which replicas are asked, and ends the requests that no server can be asked for.
    #[cold]
    fn plan_rare(&mut self) {
        if self.plan.router.has_replicas() {
            self.plan_replicas();
        }
        for (index, server, error) in std::mem::take(&mut self.plan.rare().unplanned) {
            let sub_request = SubRequest::new(server, index);
            self.report_unanswered(&sub_request, &error);
            self.end_with(&sub_request, error);
        }
    }

    /// Reserves time in which the results of a large call are merged, so that the call as a whole ends by its deadline: twice the time
    /// that planning took, since merging a failed request takes about that. Call it once, before the first round; `now` is called
    /// only for a large call.
    #[inline]
    pub fn keep_time_to_merge(&mut self, now: impl FnOnce() -> Instant) {
        if self.plan.sub_requests.len() >= LARGE {
            let planning = now().saturating_duration_since(self.plan.now);
            self.plan.rare().time_to_merge = planning * 2;
        }
    }

    /// How much of its time a large call keeps back to be merged in.
    #[must_use]
    #[inline]
    pub fn time_to_merge(&self) -> Duration {
        self.plan.rare.as_ref().map_or(Duration::ZERO, |rare| rare.time_to_merge)
    }

    /// When this round began.
    #[must_use]
    #[inline]
    pub fn begun(&self) -> Instant {
        self.plan.now
    }

    /// All requests, sorted by server; the [open](SubRequest::is_open) ones are sent in this round.
    #[must_use]
    #[inline]
    pub fn sub_requests(&self) -> &[SubRequest] {
        &self.plan.sub_requests
    }

    /// The command of the request at a place among [`Call::sub_requests`].
    #[must_use]
    #[inline]
    pub fn command(&self, at: usize) -> &<O::Progress as Progress>::Command {
        self.progress.command(self.plan.sub_requests[at].index as usize)
    }

    /// Takes a reply of the server to the request at a place; the `last` one ends it.
    #[inline]
    pub fn answer(&mut self, at: usize, reply: Reply, last: bool) {
        self.answer_via(Via::default, at, reply, last);
    }

    /// The same of a reply that came over a connection, which is only looked at for an observer.
    // In place: 23 instructions less of a get, 18 of each key of a `set_many`.
    #[inline(always)]
    fn answer_via<'v>(&mut self, via: impl FnOnce() -> Via<'v>, at: usize, reply: Reply, last: bool) {
        if let Some(watch) = self.plan.router.watch() {
            return self.answer_observed(watch, via(), at, reply, last);
        }
        self.take_answer(at, reply, last);
    }

    // In place, as the body of `answer_via`, whose gain it is.
    #[inline(always)]
    fn take_answer(&mut self, at: usize, reply: Reply, last: bool) {
        let sub_request = &mut self.plan.sub_requests[at];
        let (index, server) = (sub_request.index as usize, sub_request.server);
        if !last {
            if let Reply::Refused(line) = &reply {
                self.keep_refused(at, line);
            }
            return self.progress.take_reply(index, reply);
        }
        sub_request.state = State::Answered;
        if let Reply::Refused(line) = &reply {
            self.plan.router.on_error_line(server, line, self.plan.now);
            self.keep_refused(at, line);
        }
        let command = self.progress.command(index);
        let result = command.answer(reply);
        let result = result.map_err(|error| name_request(error, command, self.plan.router.server(server)));
        self.progress.end(index, result);
    }

    /// Notes how long the connection to a server was waited for, for the observer.
    #[cold]
    pub fn waited(&mut self, server: ServerId, time: Duration) {
        if self.plan.router.watch().and_then(Watch::observer).is_some() {
            let waits = &mut self.plan.rare().waits;
            waits.retain(|(known, _)| *known != server);
            waits.push((server, time));
        }
    }

    /// The request at a place, and its command.
    #[inline]
    pub(crate) fn request(&mut self, at: usize) -> (&mut SubRequest, &<O::Progress as Progress>::Command) {
        let sub_request = &mut self.plan.sub_requests[at];
        let command = self.progress.command(sub_request.index as usize);
        (sub_request, command)
    }

    /// Takes all that was heard on a shared connection of the request at a place.
    #[inline]
    pub(crate) fn conclude(&mut self, at: usize, result: SlotResult, shared: &impl ObservedConnection) {
        match result {
            SlotResult { replies: Few::One(reply), end: Ok(()) } => {
                self.answer_via(|| Via::shared(shared), at, reply, true);
            }
            result => self.conclude_several(at, result, shared),
        }
    }

    fn conclude_several(
        &mut self,
        at: usize,
        SlotResult { replies, end }: SlotResult,
        shared: &impl ObservedConnection,
    ) {
        let mut replies = replies.into_vec();
        let last = if end.is_ok() { replies.pop() } else { None };
        for reply in replies {
            if let Some(watch) = self.plan.router.watch() {
                self.observe_reply(watch, at, &reply);
            }
            self.take_answer(at, reply, false);
        }
        match (last, end) {
            (Some(last), _) => self.answer_via(|| Via::shared(shared), at, last, true),
            (None, Err(failure)) => {
                let Failure { error, fault } = *failure;
                self.note_peer(self.plan.sub_requests[at].server, shared.peer());
                self.fail(at, &error, fault);
            }
            (None, Ok(())) => self.fail(at, &Error::protocol("got no reply at all"), Fault::Nobody),
        }
    }

    /// Ends the request at a place with an error, and says what that speaks against. It is sent again in the next round if it may be.
    #[cold]
    pub fn fail(&mut self, at: usize, error: &Error, fault: Fault) {
        let sub_request = self.plan.sub_requests[at];
        // It has no slot any more that could be cancelled, even if an observer panics.
        self.plan.sub_requests[at].state = State::Ended;
        self.report_unanswered(&sub_request, error);
        let fault = self.excuse(&sub_request, error, fault);
        let rare = self.plan.rare();
        // The values that came before the failure are not counted if it is sent again.
        rare.tallies.remove(&sub_request.index);
        let faults = &mut rare.faults;
        if fault == Fault::Server && faults.last().is_none_or(|last| last.server != sub_request.server) {
            faults.push(ServerFault { server: sub_request.server, error: error.clone() });
        }
        let repeatable = self.progress.command(sub_request.index as usize).repeatable();
        let next = sub_request.next_after_failure(error.landed(), fault, repeatable, self.plan.router);
        let next = if self.plan.router.has_replicas() { self.after_replica(at, next, error, fault) } else { next };
        self.plan.sub_requests[at].state = next;
        self.has_failed = true;
        if next == State::Ended {
            self.end_with(&sub_request, error.clone());
        }
    }

    /// What a closed connection does not prove. A proxy that closes connections after errors has closed one; and proxies close it on a
    /// command that they do not know, which is one without a key.
    fn excuse(&self, sub_request: &SubRequest, error: &Error, fault: Fault) -> Fault {
        let command = self.progress.command(sub_request.index());
        match (error, fault) {
            (Error::Disconnected { .. }, Fault::Server) if command.keys() == 1 && command.only_key().is_none() => {
                Fault::Nobody
            }
            (Error::Disconnected { .. }, Fault::Server)
                if self.plan.router.is_closer(sub_request.server, self.plan.now) =>
            {
                Fault::Connection
            }
            (_, fault) => fault,
        }
    }

    /// Gives the operation the failure of a request that is not sent again.
    #[cold]
    fn end_with(&mut self, sub_request: &SubRequest, error: Error) {
        self.keep_failed(sub_request, &error);
        self.end_failed_operation(sub_request, &error);
        if self.plan.has_copies(sub_request.index) {
            return self.end_copy(sub_request, Err(error));
        }
        if let Some(reply) = self.plan.take_unread(sub_request.index) {
            return self.end_read(sub_request, reply);
        }
        let index = sub_request.index as usize;
        let command = self.progress.command(index);
        let server = self.plan.router.server(sub_request.server);
        let error = name_request(error, command, server);
        self.progress.end(index, Err(error));
    }

    /// Notes that it is dropped before it has ended, in or after a round.
    #[cold]
    pub(crate) fn cancelled(&mut self) {
        self.keep_dropped();
        self.report_cancelled();
    }

    /// Returns the output.
    ///
    /// # Errors
    ///
    /// What the operation makes of the failures of its requests.
    #[inline]
    pub fn finish(self) -> Result<O::Output, Error> {
        self.progress.finish()
    }
}

/// A call of this many requests is large: to merge it takes a millisecond.
const LARGE: usize = 4096;

/// The error with what the caller is to know: which request has failed, and that one which only reads has had no effect.
#[cold]
fn name_request(error: Error, command: &impl Command, server: Option<&Server>) -> Error {
    let error =
        error.of_request(command.name(), command.only_key().map(|key| key.as_bytes()), server.map(Server::shared_name));
    match command.repeatable() && error.landed() == Landed::Unknown {
        true => error.with_landed(Landed::NotSent),
        false => error,
    }
}
