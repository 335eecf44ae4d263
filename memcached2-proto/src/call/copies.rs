//! Requests of which each replica gets a copy.

use smallvec::SmallVec;

use super::observed::Via;
use super::plan::State;
use super::{Call, Fault, Operation, Plan, Progress as _, SubRequest, name_request};
use crate::command::{Command as _, OnReplicas};
use crate::error::{Error, Landed};
use crate::key::Key;
use crate::reply::{MetaStatus, Reply};
use crate::routing::ServerId;

/// A request whose key has these servers, one in each replica, before it is known what is asked.
#[derive(Debug)]
pub(super) struct Replicated {
    index: u32,
    servers: SmallVec<[ServerId; 3]>,
    /// The server of the gutter for it.
    gutter: Option<ServerId>,
}

/// What has come of the copies of a write, in the order of the replicas that are written.
#[derive(Debug)]
pub(super) struct Copies(SmallVec<[CopyOf; 3]>);

/// A server, and what has come of the copy that was sent to it.
type CopyOf = (ServerId, Option<Result<Reply, Error>>);

impl Plan<'_> {
    /// Plans a request for the servers of its key.
    #[cold]
    pub(super) fn add_to_replicas(&mut self, index: u32, key: Key<'_>) {
        match self.router.route_to_replicas(key) {
            Err(error) => self.refuse(index as usize, error),
            Ok(servers) => {
                let gutter = self.router.route_in_gutter(key, self.now);
                self.rare().replicated.push(Replicated { index, servers: servers.into(), gutter });
            }
        }
    }

    /// How many replicas come before the one that is read after that of a request.
    fn next_replica(&self, sub_request: &SubRequest) -> usize {
        let order = self.router.read_order();
        let number = self.router.replica_of(sub_request.server);
        order.iter().position(|other| Some(*other) == number).map_or(order.len(), |place| place + 1)
    }

    /// Reports that a server has answered.
    pub(super) fn report_answer(&mut self, server: ServerId) {
        if let Some(probes) = self.rare().probes.as_mut() {
            probes.take(server);
        }
        self.router.report_answer(server);
    }

    /// The answer of a replica that does not have all, if no other one can be asked.
    pub(super) fn take_unread(&mut self, index: u32) -> Option<Reply> {
        self.rare.as_mut()?.unread.remove(&index)?.ok()
    }

    /// Whether the request with this number has copies.
    pub(super) fn has_copies(&self, index: u32) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.copies.contains_key(&index))
    }
}

impl<O: Operation> Call<'_, O> {
    /// Decides which servers are asked, now that it is known what: for a read the nearest one, for a write all.
    #[cold]
    pub(super) fn plan_replicas(&mut self) {
        let rare = self.plan.rare();
        let (replicated, is_addressed) = (std::mem::take(&mut rare.replicated), rare.is_addressed);
        let is_one = self.plan.router.uses_one_group();
        if !is_addressed && !is_one {
            // Those that were planned for the nearest server: none of them may change anything.
            let planned = std::mem::take(&mut self.plan.sub_requests);
            for sub_request in planned {
                match self.progress.command(sub_request.index()).on_replicas() {
                    OnReplicas::Read => self.plan.sub_requests.push(sub_request),
                    _ => self.plan.refuse(sub_request.index(), not_on_replicas()),
                }
            }
        }
        for Replicated { index, servers, gutter } in replicated {
            match self.progress.command(index as usize).on_replicas() {
                _ if is_one => self.plan_read(index, &servers, gutter),
                OnReplicas::Read => self.plan_read(index, &servers, gutter),
                OnReplicas::Write => self.plan_write(index, &servers, gutter),
                OnReplicas::Refuse => self.plan.refuse(index as usize, not_on_replicas()),
            }
        }
    }

    fn plan_read(&mut self, index: u32, servers: &[ServerId], gutter: Option<ServerId>) {
        let router = self.plan.router;
        let key = self.progress.command(index as usize).only_key();
        let mut asked = router.read_order().iter().map(|number| servers[*number]).chain(gutter);
        let waits = |plan: &mut Plan<'_>, server| key.is_some_and(|key| plan.may_wait(server, key));
        let first = servers[router.read_order()[0]];
        match asked.find(|server| waits(&mut self.plan, *server) || self.plan.claim(*server)) {
            Some(server) => {
                self.plan.note_passed(first, server);
                self.plan.push(server, index as usize);
            }
            None => self.plan.refuse(index as usize, router.replicas_down(first)),
        }
    }

    fn plan_write(&mut self, index: u32, servers: &[ServerId], gutter: Option<ServerId>) {
        let router = self.plan.router;
        let key = self.progress.command(index as usize).only_key();
        let copy = |server: &ServerId| {
            let waits = key.is_some_and(|key| self.plan.may_wait(*server, key));
            let is_asked = waits || self.plan.claim(*server);
            (*server, (!is_asked).then(|| Err(router.down(*server))))
        };
        let written = router.written().iter().map(|number| &servers[*number]);
        let copies: SmallVec<[CopyOf; 3]> = written.map(copy).collect();
        for (server, result) in &copies {
            if let Some(Err(error)) = result {
                self.keep_failed(&SubRequest::new(*server, index), error);
            }
        }
        if copies.iter().all(|(_, result)| result.is_some()) {
            return match gutter.filter(|server| self.plan.claim(*server)) {
                Some(server) => self.plan.push(server, index as usize),
                None => self.plan.refuse(index as usize, self.plan.router.replicas_down(servers[0])),
            };
        }
        for (server, result) in &copies {
            match result {
                None => self.plan.push(*server, index as usize),
                Some(Err(error)) => {
                    let unsent = SubRequest::new(*server, index);
                    self.report_unanswered(&unsent, error);
                    self.end_failed_operation(&unsent, error);
                }
                Some(Ok(_)) => {}
            }
        }
        self.plan.rare().copies.insert(index, Copies(copies));
    }

    /// Takes the result of a copy. When all copies have one, the request has.
    #[cold]
    pub(super) fn end_copy(&mut self, sub_request: &SubRequest, result: Result<Reply, Error>) {
        let index = sub_request.index;
        let Some(Copies(copies)) = self.plan.rare().copies.get_mut(&index) else { return };
        if let Some((_, copy)) = copies.iter_mut().find(|(server, _)| *server == sub_request.server) {
            *copy = Some(result);
        }
        if copies.iter().all(|(_, copy)| copy.is_some()) {
            self.merge_copies(index);
        }
    }

    /// Makes one result of those of all copies.
    fn merge_copies(&mut self, index: u32) {
        let Some(Copies(copies)) = self.plan.rare().copies.remove(&index) else { return };
        if let [(old, Some(Ok(reply))), (_, Some(Ok(Reply::Miss)))] = &copies[..] {
            self.note_found(index, *old, reply);
        }
        let misses: SmallVec<[bool; 3]> = copies.iter().map(|(_, result)| is_miss(result)).collect();
        let (router, command) = (self.plan.router, self.progress.command(index as usize));
        let read = |(server, result): CopyOf| {
            let result = result.unwrap_or_else(|| Err(Error::closed()));
            let response = result.and_then(|reply| command.answer(reply));
            response.map_err(|error| name_request(error, command, router.server(server)))
        };
        let mut responses: Vec<_> = copies.into_iter().map(read).collect();
        let done = responses.iter().filter(|response| response.is_ok()).count();
        let merged = if done == 0 {
            let errors = responses.into_iter().filter_map(Result::err);
            errors.max_by_key(|error| severity(error.landed())).map_or_else(|| Err(Error::closed()), Err)
        } else if done < router.needed(responses.len()) {
            let results = responses.into_iter().map(|response| response.map(drop)).collect();
            Err(name_request(Error::replicas(results), command, None))
        } else {
            let place_of = |number: &usize| router.written().iter().position(|other| other == number);
            let by_nearness: SmallVec<[usize; 6]> =
                router.read_order().iter().filter_map(place_of).chain(0..responses.len()).collect();
            let nearest = |is_asked: &dyn Fn(usize) -> bool| {
                by_nearness.iter().copied().find(|place| responses[*place].is_ok() && is_asked(*place))
            };
            // As of a read, the answer of one that has the item counts more.
            let with_item = if router.reads_next_on_miss() { nearest(&|place| !misses[place]) } else { None };
            with_item
                .or_else(|| nearest(&|_| true))
                .map_or_else(|| Err(Error::closed()), |place| responses.swap_remove(place))
        };
        self.progress.end(index as usize, merged);
    }

    /// Whether a read is to be asked of the next replica, since this one has answered and does not have all of it.
    #[cold]
    pub(super) fn is_missed(&self, sub_request: &SubRequest, reply: &Reply, hits: usize) -> bool {
        let command = self.progress.command(sub_request.index());
        let keys = command.keys();
        self.plan.router.reads_next_on_miss()
            && match reply {
                Reply::Miss | Reply::End => hits < keys,
                Reply::Value(..) => keys > 1 && hits < keys,
                _ => false,
            }
            && command.on_replicas() == OnReplicas::Read
            && self.plan.next_replica(sub_request) < self.plan.router.read_order().len()
    }

    /// What is next after a failure, if there are replicas: a copy of a write stays where it is, and a read that no server has answered is
    /// asked of the next one, unless its time is over.
    #[cold]
    pub(super) fn after_replica(&mut self, at: usize, next: State, error: &Error, fault: Fault) -> State {
        let sub_request = self.plan.sub_requests[at];
        let command = self.progress.command(sub_request.index());
        let may_read_next = command.on_replicas() == OnReplicas::Read
            && fault != Fault::Nobody
            && !matches!(error, Error::Timeout { .. })
            && self.plan.next_replica(&sub_request) < self.plan.router.read_order().len();
        match next {
            State::Move if self.plan.has_copies(sub_request.index) => State::Ended,
            State::Ended if !may_read_next => State::Ended,
            State::Move | State::Ended => {
                self.read_next(at, Err(error.clone()));
                State::Move
            }
            next => next,
        }
    }

    /// Ends a read with the answer of a replica that does not have all.
    #[cold]
    pub(super) fn end_read(&mut self, sub_request: &SubRequest, reply: Reply) {
        let index = sub_request.index();
        let command = self.progress.command(index);
        let result = command.answer(reply);
        let result = result.map_err(|error| name_request(error, command, self.plan.router.server(sub_request.server)));
        self.progress.end(index, result);
    }

    /// Plans a read for the next replica; if there is none, it ends with what is known.
    #[cold]
    pub(super) fn replan_read(&mut self, sub_request: &SubRequest) {
        let (index, planned) = (sub_request.index, self.plan.sub_requests.len());
        self.plan.rare().skipped = self.plan.next_replica(sub_request);
        let is_planned = self.progress.replan(index as usize, &mut self.plan);
        self.plan.rare().skipped = 0;
        let has_answer = matches!(self.plan.rare().unread.get(&index), Some(Ok(_)));
        for at in planned..self.plan.sub_requests.len() {
            let other = self.plan.sub_requests[at].index;
            if has_answer && other != index {
                self.plan.rare().unread.insert(other, Ok(Reply::End));
            }
        }
        if is_planned {
            return;
        }
        match self.plan.rare().unread.remove(&index) {
            Some(Ok(reply)) => {
                self.end_operation(sub_request, None, None, Via::default());
                self.end_read(sub_request, reply);
            }
            Some(Err(error)) => self.end_with(sub_request, error),
            None => self.end_with(sub_request, Error::closed()),
        }
    }

    /// Keeps what has come of a read, in case that no other replica can be asked, and plans it for the next one.
    #[cold]
    pub(super) fn read_next(&mut self, at: usize, outcome: Result<Reply, Error>) {
        self.plan.sub_requests[at].state = State::Move;
        self.has_failed = true;
        let index = self.plan.sub_requests[at].index;
        let unread = &mut self.plan.rare().unread;
        // A replica that has answered counts more than one that has failed after it.
        if !matches!((unread.get(&index), &outcome), (Some(Ok(_)), Err(_))) {
            unread.insert(index, outcome);
        }
    }
}

/// Whether a copy was not changed, since the server does not have it.
fn is_miss(result: &Option<Result<Reply, Error>>) -> bool {
    match result {
        Some(Ok(Reply::Miss | Reply::NotFound)) => true,
        Some(Ok(Reply::Meta(reply))) => reply.status == MetaStatus::NotFound,
        _ => false,
    }
}

/// What is worse to be told too little of comes later.
fn severity(landed: Landed) -> u8 {
    match landed {
        Landed::NotSent => 0,
        Landed::Refused => 1,
        _ => 2,
    }
}

#[cold]
fn not_on_replicas() -> Error {
    Error::argument(
        "with replicas the result would differ from one to another; ask one server, by `client.on(..)`, or use a `set`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_may_have_landed_on_one_replica_is_not_said_to_have_had_no_effect() {
        assert!(severity(Landed::Unknown) > severity(Landed::Refused));
        assert!(severity(Landed::Refused) > severity(Landed::NotSent));
    }
}
