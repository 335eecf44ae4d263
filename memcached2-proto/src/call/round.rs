//! The end of a round: what servers have done is reported, and what may be sent again is.

use smallvec::SmallVec;

use super::plan::State;
use super::{Call, Operation, Plan, Progress as _};
use crate::error::Landed;
use crate::routing::ServerId;
use crate::time::Instant;

impl<O: Operation> Call<'_, O> {
    /// Ends a round. `true` asks for another one, because a request must be sent again, on another connection or to
    /// another server.
    ///
    /// `now` is called only if a request has failed, a server is down, there are replicas, or an observer has more to hear.
    #[inline]
    pub fn end_round(&mut self, now: impl FnOnce() -> Instant) -> bool {
        (self.has_failed || !self.plan.router.all_up_unobserved()) && !self.is_reported() && self.report(now())
    }

    /// Whether there is nothing left to report: all has been answered by servers that are up, and an observer knows it already.
    #[cold]
    fn is_reported(&self) -> bool {
        let Plan { router, rare, sub_requests, .. } = &self.plan;
        // An empty batch has no request that was reported.
        let is_plain = !self.has_failed && rare.is_none() && !sub_requests.is_empty();
        is_plain && router.plans_plainly()
    }

    /// After a round with a failure, or while a server is down, or for an observer.
    #[cold]
    fn report(&mut self, now: Instant) -> bool {
        let again = self.next_round(now);
        if !again {
            self.report_operations();
        }
        again
    }

    fn next_round(&mut self, now: Instant) -> bool {
        let begun = std::mem::replace(&mut self.plan.now, now);
        if let Some(rare) = &mut self.plan.rare {
            rare.begun.get_or_insert(begun);
        }
        let answered = self.report_servers(begun);
        self.has_failed = false;
        if let Some(rare) = &mut self.plan.rare {
            rare.waits.clear();
        }
        let mut again = false;
        for sub_request in self.plan.sub_requests.iter_mut().filter(|next| next.state == State::Retry) {
            (sub_request.state, sub_request.is_retry, again) = (State::Open, true, true);
        }
        again |= self.offers_fill();
        if self.plan.router.journal().is_some() {
            again |= self.go_on();
            again |= self.fail_over();
            return again | self.hold_back() | self.replay_for(&answered);
        }
        self.fail_over() | again
    }

    /// Reports which servers have answered, and then which have not: a server that does both has failed since. Returns those that have
    /// answered.
    fn report_servers(&mut self, begun: Instant) -> SmallVec<[ServerId; 1]> {
        if self.plan.router.journal().is_some() {
            self.plan
                .sub_requests
                .iter()
                .filter(|next| next.state == State::Answered)
                .for_each(|next| self.keep_moved(next));
        }
        let Plan { router, now, sub_requests, rare, .. } = &mut self.plan;
        let mut probes = rare.as_mut().and_then(|rare| rare.probes.as_mut());
        let mut answered = SmallVec::<[ServerId; 1]>::new();
        for sub_request in sub_requests.iter_mut().filter(|next| next.state == State::Answered) {
            sub_request.state = State::Ended;
            if answered.last() != Some(&sub_request.server) {
                answered.push(sub_request.server);
                probes.as_mut().and_then(|probes| probes.take(sub_request.server));
                router.report_answer(sub_request.server);
            }
        }
        let Some(rare) = rare else { return answered };
        for fault in &rare.faults {
            let probe = rare.probes.as_mut().and_then(|probes| probes.take(fault.server));
            router.report_failure(fault.server, &fault.error, probe, (begun, *now));
        }
        answered
    }

    /// Plans requests again that were not sent because their server is down; `true` if one has another server now.
    fn fail_over(&mut self) -> bool {
        let faults = self.plan.rare.as_mut().map_or_else(Vec::new, |rare| std::mem::take(&mut rare.faults));
        let has_replicas = self.plan.router.has_replicas();
        if faults.is_empty() && !has_replicas {
            return false;
        }
        let planned = self.plan.sub_requests.len();
        for at in 0..planned {
            let sub_request = self.plan.sub_requests[at];
            if sub_request.state != State::Move {
                continue;
            }
            self.plan.sub_requests[at].state = State::Ended;
            self.plan.moves = sub_request.moves + 1;
            if has_replicas {
                self.replan_read(&sub_request);
                continue;
            }
            if self.progress.replan(sub_request.index as usize, &mut self.plan) {
                continue;
            }
            if let Some(fault) = faults.iter().find(|fault| fault.server == sub_request.server) {
                self.end_with(&sub_request, fault.error.clone().with_landed(Landed::NotSent));
            }
        }
        self.plan.moves = 0;
        let moved = self.plan.sub_requests.len() > planned;
        self.plan.sort();
        moved
    }
}
