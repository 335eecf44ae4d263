//! The requests of a call that go to one server, among many.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::super::large::LARGE;
use super::super::run::AT_ONCE;
use super::super::{Encoded, Queueing, SharedConnection, Transfer, Turn};
use super::{Freshness, Times, deadline, submit};
use crate::call::{Call, Fault, Operation, SlotResult, SubRequest};
use crate::command::Command as _;
use crate::error::{Error, Landed};
use crate::routing::ServerId;
use crate::time::Now;

/// The requests that go to one server. A server that is slow holds up its own lane only.
#[derive(Debug)]
pub(super) struct Lane {
    /// The places of requests that were not submitted yet.
    next: Range<usize>,
    /// All of them go to the same connections, so that they stay in order.
    transfer: Transfer,
    /// The connections of those under way. The last one is for all requests, until it has ended.
    connections: Vec<Arc<SharedConnection>>,
    /// How fresh the last one had to be.
    freshness: Freshness,
    under_way: Vec<UnderWay>,
    /// How many of those have been answered.
    answered: usize,
    /// Before which all have been encoded: all, unless the protocol was not known when they were submitted.
    encoded: usize,
    /// How many bytes those have that were not answered.
    bytes: u64,
    /// Whether the deadline has passed: requests that were not submitted before never are.
    late: bool,
    /// Why a connection that was made for this call has ended before it could be used: requests that were not submitted before do
    /// not get another one in this round.
    lost: Option<(Error, Fault)>,
    /// Answers that were taken together; kept to reuse their memory.
    taken: Vec<SlotResult>,
}

/// A request without an answer yet.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    /// The place of its connection.
    connection: usize,
    slot: u32,
    /// Its place among the requests of the call.
    at: usize,
    /// How many bytes it has, once it is encoded.
    length: u64,
}

/// A lane of more requests than this waits for their answers before it asks more: memory stays in bounds, and a window
/// this wide costs hardly any speed.
const WINDOW: usize = 1024;
/// A lane with more encoded bytes than this also waits.
const WINDOW_BYTES: u64 = 1024 * 1024;

impl Lane {
    /// Cuts requests that are sorted by server into lanes.
    pub(super) fn cut<O: Operation>(call: &Call<'_, O>) -> Vec<Self> {
        let mut begun = 0;
        let lane = |run: &[SubRequest]| {
            let next = begun..begun + run.len();
            begun = next.end;
            let sizes = next.clone().map(|at| call.command(at).transfer_size());
            let transfer = if sizes.fold(0, usize::saturating_add) < LARGE { Transfer::Small } else { Transfer::Large };
            Self {
                next,
                transfer,
                connections: Vec::new(),
                freshness: Freshness::Any,
                under_way: Vec::new(),
                answered: 0,
                encoded: 0,
                bytes: 0,
                late: false,
                lost: None,
                taken: Vec::new(),
            }
        };
        call.sub_requests().chunk_by(|one, next| one.server() == next.server()).map(lane).collect()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.answered < self.under_way.len()
    }

    /// Takes the answers that have come; `Ready` when all have, and whether there is more to be asked.
    pub(super) fn take_answers<O: Operation>(
        &mut self,
        call: &mut Call<'_, O>,
        now: Now,
        cx: &Context<'_>,
    ) -> Poll<bool> {
        while let Some(&UnderWay { connection, slot, at, length }) = self.under_way.get(self.answered) {
            let shared = &self.connections[connection];
            // One that could not be encoded has no slot any more.
            let mut outcome = None;
            if call.sub_requests()[at].is_open() {
                let is_encoded = self.answered < self.encoded;
                let turn = match is_encoded {
                    true => shared.poll(slot, cx).map(Turn::Done),
                    false => shared.poll_unencoded(slot, cx),
                };
                match turn {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Turn::Done(done)) => outcome = Some(done),
                    Poll::Ready(Turn::Encode) => {
                        self.encoded = self.answered;
                        self.encode(call, now);
                        continue;
                    }
                }
            }
            // Its slot may be another caller's from now on: a panic in an observer must not cancel that.
            self.bytes -= length;
            self.answered += 1;
            if let Some(outcome) = outcome {
                self.late |= outcome.is_late();
                call.conclude(at, outcome, &**shared);
                self.take_run(call, connection);
            }
            if self.encoded < self.under_way.len() {
                self.encode(call, now);
            }
        }
        Poll::Ready(!self.next.is_empty())
    }

    /// Takes the answers that have come behind one on the same connection.
    fn take_run<O: Operation>(&mut self, call: &mut Call<'_, O>, connection: usize) {
        let (from, shared) = (self.answered, &self.connections[connection]);
        let is_next = |next: &&UnderWay| next.connection == connection && call.sub_requests()[next.at].is_open();
        let next = self.under_way.get(from..self.encoded).unwrap_or_default();
        self.taken.reserve(next.len().min(AT_ONCE));
        shared.take_run(next.iter().take_while(is_next).map(|next| next.slot), &mut self.taken);
        // All of them, before an observer can panic: as above.
        self.answered += self.taken.len();
        let mut next = self.under_way[from..].iter();
        for outcome in self.taken.drain(..) {
            let Some(UnderWay { at, length, .. }) = next.next() else { break };
            self.bytes -= length;
            self.late |= outcome.is_late();
            call.conclude(*at, outcome, &**shared);
        }
    }

    /// Encodes requests that were submitted before the protocol was known, as many as a window holds.
    #[cold]
    fn encode<O: Operation>(&mut self, call: &mut Call<'_, O>, now: Now) {
        self.encoded = self.encoded.max(self.answered);
        while let Some(UnderWay { connection, slot, at, length }) = self.under_way.get_mut(self.encoded) {
            if self.bytes > WINDOW_BYTES && self.encoded > self.answered {
                return;
            }
            let (sub_request, command) = call.request(*at);
            match self.connections[*connection].encode(*slot, command, now) {
                Ok(Encoded::Now(encoded)) => {
                    sub_request.encoded(encoded);
                    *length = encoded;
                    self.bytes += encoded;
                }
                // There is no room, or it is on another connection.
                Ok(Encoded::NotYet) => return,
                Ok(Encoded::NoLonger) => {}
                Err(error) => call.fail(*at, &error, Fault::Nobody),
            }
            self.encoded += 1;
        }
    }

    /// Submits as many requests as a window holds.
    pub(super) fn submit<O: Operation>(
        &mut self,
        call: &mut Call<'_, O>,
        times: Times,
        connect: &mut impl FnMut(ServerId, Freshness, Transfer) -> Result<Arc<SharedConnection>, Error>,
    ) {
        let transfer = Some(self.transfer);
        self.under_way.clear();
        self.connections.drain(..self.connections.len().saturating_sub(1));
        (self.answered, self.encoded, self.bytes) = (0, 0, 0);
        while let Some(at) = self.next.next() {
            if !call.sub_requests()[at].is_open() {
                continue;
            }
            let is_behind = self.encoded < self.under_way.len();
            let submitted = match &self.lost {
                _ if self.late => Err((Error::timeout(Landed::NotSent), Fault::Nobody)),
                Some((error, fault)) => Err((error.clone(), *fault)),
                None => {
                    let mut connect = |server, freshness, suited| {
                        let known = (&mut self.connections, &mut self.freshness);
                        again(known, freshness, || connect(server, freshness, suited))
                    };
                    let is_only = self.under_way.is_empty() && self.next.is_empty();
                    let queueing = Queueing { is_behind, is_only, waker: None };
                    submit(call, at, times, (transfer, queueing), &mut connect)
                }
            };
            match submitted {
                Err((error, fault)) => {
                    call.fail(at, &error, fault);
                    if fault != Fault::Nobody {
                        self.lost = Some((error, fault));
                    }
                }
                Ok((_, slot, length)) => {
                    self.push(slot, at, length);
                    if length > 0 && !is_behind && !self.is_full() {
                        self.submit_run(call, times);
                    }
                    if self.is_full() {
                        return;
                    }
                }
            }
        }
    }

    /// Submits the requests that follow on the same connection, as long as nothing is out of the ordinary.
    fn submit_run<O: Operation>(&mut self, call: &mut Call<'_, O>, times: Times) {
        let Some(shared) = self.connections.last().map(Arc::clone) else { return };
        if self.transfer == Transfer::Large || shared.large_keys.is_in_use() {
            return;
        }
        let mut run = shared.begin_run(times.0, deadline(&shared, times, call.time_to_merge()));
        while !self.next.is_empty() && !self.is_full() {
            let at = self.next.start;
            let (sub_request, command) = call.request(at);
            if sub_request.is_open() {
                let is_plain = !sub_request.is_retry() && !sub_request.is_redirected();
                let queued = if is_plain { run.queue(command, times.0) } else { None };
                let Some((slot, length)) = queued else { return };
                sub_request.encoded(length);
                self.push(slot, at, length);
            }
            self.next.start += 1;
        }
    }

    /// Notes a request that was submitted on the last connection. It has a length if it was encoded.
    fn push(&mut self, slot: u32, at: usize, length: u64) {
        let is_next = length > 0 && self.encoded == self.under_way.len();
        self.encoded += usize::from(is_next);
        self.under_way.push(UnderWay { connection: self.connections.len().saturating_sub(1), slot, at, length });
        self.bytes += length;
    }

    /// Whether no more is submitted until these are answered.
    fn is_full(&self) -> bool {
        self.under_way.len() >= WINDOW || self.bytes > WINDOW_BYTES
    }

    /// Cancels what has no answer yet.
    pub(super) fn cancel<O: Operation>(&self, call: &Call<'_, O>) {
        for UnderWay { connection, slot, at, .. } in &self.under_way[self.answered..] {
            if call.sub_requests()[*at].is_open() {
                self.connections[*connection].cancel(*slot);
            }
        }
    }
}

/// A connection to a server: for all requests of a lane the same one, the last one that is known, until it has ended. A retry needs a
/// fresh one.
fn again(
    (known, freshness_of_last): (&mut Vec<Arc<SharedConnection>>, &mut Freshness),
    freshness: Freshness,
    connect: impl FnOnce() -> Result<Arc<SharedConnection>, Error>,
) -> Result<Arc<SharedConnection>, Error> {
    if let Some(last) = known.last() {
        let is_good = match (*freshness_of_last, freshness) {
            (_, Freshness::Any) => true,
            (Freshness::Fresh(_), Freshness::Fresh(_)) => !last.is_closed_on_purpose(),
            _ => false,
        };
        if is_good {
            return Ok(Arc::clone(last));
        }
    }
    let shared = connect()?;
    *freshness_of_last = freshness;
    known.push(Arc::clone(&shared));
    Ok(shared)
}
