//! What a call does with the [`Journal`]: it keeps the keys of writes that have failed, and deletes them on their servers before it
//! asks those for the same keys, and when they are back.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Rare, State};
use super::{Call, Fault, Operation, Plan, Progress, SubRequest};
use crate::command::{Command, Delete, Protocol};
use crate::error::{Error, Landed};
use crate::key::Key;
use crate::reply::error_line::refusal;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::routing::{Claim, Journal, KeptKey, Router, ServerId};
use crate::time::Now;

/// Deletes keys on the servers that they were kept for.
#[derive(Debug)]
pub struct Replay {
    journal: Arc<Journal>,
    kept: Vec<KeptKey>,
    claims: Vec<Claim>,
}

/// How many keys one call deletes on a server that has answered it: the next calls go on.
const AT_ONCE: usize = 128;

/// What a call knows of the journal.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The keys of requests that wait until they are deleted.
    keys: Vec<(ServerId, KeptKey)>,
    /// What the transport does before the next round.
    replay: Option<Replay>,
    /// Whether the round before has ended with that.
    is_offered: bool,
    /// Those of them that were to be deleted before: each is, once.
    tried: HashSet<(Arc<str>, Arc<[u8]>)>,
    /// Whether this call has deleted what was kept: what it does not need, once.
    has_replayed: bool,
    /// Whether the call keeps no key that it writes.
    keeps_nothing: bool,
}

impl Operation for Replay {
    type Output = ();
    type Progress = Replaying;

    fn start(self, plan: &mut Plan<'_>) -> Replaying {
        let held = &mut plan.rare().held;
        (held.keeps_nothing, held.has_replayed) = (true, true);
        let Self { journal, kept, claims } = self;
        for (index, kept) in kept.iter().enumerate() {
            // One that has left the list keeps its keys.
            if let Some(server) = plan.router().place_by_name(&kept.server) {
                plan.add_to(server, index);
            }
        }
        let prefix = plan.router().prefix().len();
        let deletes = kept.into_iter().map(|kept| DeleteKept { kept, prefix }).collect();
        Replaying { journal, deletes, _claims: claims }
    }
}

/// Keys that are deleted.
#[derive(Debug)]
pub struct Replaying {
    journal: Arc<Journal>,
    deletes: Vec<DeleteKept>,
    /// Until it has ended.
    _claims: Vec<Claim>,
}

impl Progress for Replaying {
    type Command = DeleteKept;
    type Output = ();

    fn command(&self, index: usize) -> &DeleteKept {
        &self.deletes[index]
    }

    fn end(&mut self, index: usize, result: Result<bool, Error>) {
        let kept = &self.deletes[index].kept;
        match &result {
            // A proxy whose server is down says so of each delete; another refusal stays one.
            Err(Error::Refused { line, .. }) if line.starts_with("SERVER_ERROR") => self.journal.rest(kept),
            Ok(_) | Err(Error::Key { .. } | Error::Refused { .. }) => self.journal.remove(kept),
            Err(_) => {}
        }
    }

    fn finish(self) -> Result<(), Error> {
        Ok(())
    }
}

/// A `delete` that owns its key.
#[derive(Debug)]
pub struct DeleteKept {
    kept: KeptKey,
    /// How many bytes of it the client writes before every key.
    prefix: usize,
}

impl DeleteKept {
    fn key(&self) -> &[u8] {
        self.kept.key.get(self.prefix..).unwrap_or_default()
    }
}

impl Command for DeleteKept {
    type Response = bool;

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Delete::new(self.key())?.encode(protocol, now, out)
    }

    fn answer(&self, reply: Reply) -> Result<bool, Error> {
        Delete::new(self.key())?.answer(reply)
    }

    fn name(&self) -> &'static str {
        "delete"
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Key::new(self.key()).ok()
    }
}

impl Plan<'_> {
    /// Whether a key has to be deleted on a server before that is asked for it.
    pub(super) fn waits_for_journal(&mut self, server: ServerId, key: Key<'_>) -> bool {
        let kept = match (self.router.journal(), self.router.server(server)) {
            (Some(journal), Some(known)) => journal.find(known.name(), &self.router.whole(key)),
            _ => None,
        };
        let Some(kept) = kept else { return false };
        self.rare().held.keys.push((server, kept));
        true
    }

    /// Keeps nothing in the journal of what this call writes: to delete it later would take from others what they have by then.
    #[cold]
    pub(crate) fn keep_nothing(&mut self) {
        if self.router.journal().is_some() {
            self.rare().held.keeps_nothing = true;
        }
    }

    /// Whether a server may be asked about a key, and that has to wait until the key was deleted there. Nothing is claimed then: what
    /// deletes it is an operation of its own, and tries the server if that is down.
    pub(super) fn may_wait(&mut self, server: ServerId, key: Key<'_>) -> bool {
        self.router.journal().is_some() && self.may_ask(server) && self.waits_for_journal(server, key)
    }

    /// Lets the request that was planned last wait for this key, too, which is not the one that has decided on its server.
    #[cold]
    pub(crate) fn wait_also_for(&mut self, key: Option<Key<'_>>) {
        if let (Some(key), Some(last)) = (key, self.sub_requests.last().copied()) {
            self.waits_for_journal(last.server, key);
        }
    }
}

impl<O: Operation> Call<'_, O> {
    /// What has to be done before the next round, if [`Call::end_round`] has asked for one: keys of the
    /// [journal](crate::Options::journal) are deleted. Run it as an operation of its own, by the deadline of this one, whatever comes of
    /// it. What waits for it fails if that is not done.
    ///
    /// `spent` and `left` are the time of the call: when less is left than was spent, keys that this call does not need are left to
    /// another one.
    #[cold]
    pub fn replay(&mut self, spent: Duration, left: Duration) -> Option<Replay> {
        let held = &mut self.plan.rare.as_mut()?.held;
        let is_needed = !held.keys.is_empty();
        held.replay.take().filter(|_| is_needed || spent < left)
    }

    /// Lets the requests wait whose keys have to be deleted first.
    #[cold]
    pub(super) fn hold_back(&mut self) -> bool {
        let (Some(journal), Some(rare)) = (self.plan.router.journal(), &mut self.plan.rare) else { return false };
        let Rare { held, .. } = &mut **rare;
        if held.keys.is_empty() {
            return false;
        }
        for sub_request in self.plan.sub_requests.iter_mut().filter(|next| next.state == State::Open) {
            if held.keys.iter().any(|(server, _)| *server == sub_request.server) {
                sub_request.state = State::Held;
            }
        }
        // If that has failed before, they fail.
        let is_new = |kept: &&KeptKey| held.tried.insert((Arc::clone(&kept.server), Arc::clone(&kept.key)));
        let kept: Vec<_> = held.keys.iter().map(|(_, kept)| kept).filter(is_new).cloned().collect();
        if !kept.is_empty() {
            let replay = held.replay.get_or_insert_with(|| Replay {
                journal: Arc::clone(journal),
                kept: Vec::new(),
                claims: Vec::new(),
            });
            replay.kept.extend(kept);
            held.has_replayed = true;
        }
        true
    }

    /// Lets those go on whose keys were deleted. The others fail as if their server were down, and move to another one if they may.
    pub(super) fn go_on(&mut self) -> bool {
        let (Some(journal), Some(rare)) = (self.plan.router.journal(), &mut self.plan.rare) else { return false };
        if rare.held.has_replayed {
            journal.begin_rest(self.plan.now);
        }
        if rare.held.replay.is_some() && !std::mem::replace(&mut rare.held.is_offered, true) {
            return true;
        }
        let mut left = std::mem::take(&mut rare.held.keys);
        left.retain(|(_, kept)| journal.find(&kept.server, &kept.key).is_some());
        let mut again = false;
        for at in 0..self.plan.sub_requests.len() {
            let SubRequest { state, server, .. } = self.plan.sub_requests[at];
            if state != State::Held {
                continue;
            }
            match left.iter().any(|(known, _)| *known == server) {
                true => {
                    let error = self.plan.router.down(server).with_landed(Landed::NotSent);
                    let is_down = self.plan.router.is_down(server);
                    self.fail(at, &error, if is_down { Fault::Server } else { Fault::Nobody });
                }
                false => (self.plan.sub_requests[at].state, again) = (State::Open, true),
            }
        }
        again
    }

    /// Deletes some of what was kept for a server that has answered.
    pub(super) fn replay_for(&mut self, answered: &[ServerId]) -> bool {
        let router = self.plan.router;
        let Some(journal) = router.journal().filter(|journal| !journal.is_empty()) else { return false };
        let now = self.plan.now();
        let held = &mut self.plan.rare().held;
        if held.has_replayed {
            return false;
        }
        let names = answered.iter().filter_map(|server| router.server(*server));
        let claims = names.filter_map(|server| Journal::claim(journal, server.name(), router.prefix(), AT_ONCE, now));
        let (claims, kept): (Vec<_>, Vec<_>) = claims.unzip();
        if kept.is_empty() {
            return false;
        }
        let replay = Replay { journal: Arc::clone(journal), kept: kept.concat(), claims };
        (held.replay, held.has_replayed) = (Some(replay), true);
        true
    }

    /// Keeps the keys of a write that has failed: its server may have the values that it had before.
    #[cold]
    pub(super) fn keep_failed(&self, sub_request: &SubRequest, error: &Error) {
        if error.landed() == Landed::Refused || !error.counts_as_miss() {
            return;
        }
        self.keep_written(
            |call, key| {
                // With replicas, each of them has its own copy.
                let home = call.home(sub_request, key).filter(|_| call.plan.router.uses_one_group());
                [Some(sub_request.server), home]
            },
            sub_request,
        );
    }

    /// Keeps the keys of a write that was answered by an error line after which nothing is sure: a proxy says it in the place of its server.
    #[cold]
    pub(super) fn keep_refused(&self, at: usize, line: &Arc<str>) {
        if self.plan.router.journal().is_some() {
            self.keep_failed(&self.plan.sub_requests[at], &refusal(line));
        }
    }

    /// Keeps the keys of writes whose caller is gone within a round: what has come of them is not known, or they were to be sent again, or
    /// another server has done them.
    #[cold]
    pub(super) fn keep_dropped(&self) {
        if self.plan.router.journal().is_none() {
            return;
        }
        for sub_request in &self.plan.sub_requests {
            match sub_request.state {
                State::Open | State::Retry | State::Move => {
                    self.keep_failed(sub_request, &Error::timeout(Landed::Unknown));
                }
                State::Answered => self.keep_moved(sub_request),
                // What it waits for is kept.
                State::Held | State::Ended => {}
            }
        }
    }

    fn keeps_nothing(&self) -> bool {
        self.plan.rare.as_ref().is_some_and(|rare| rare.held.keeps_nothing)
    }

    /// Keeps the keys of a write that was done by another server than their own, which is down, or was when that was decided.
    pub(super) fn keep_moved(&self, sub_request: &SubRequest) {
        if !self.plan.router.uses_one_group() {
            return;
        }
        let passed = self.plan.rare.as_ref().map_or(&[][..], |rare| &rare.passed);
        self.keep_written(
            |call, key| {
                let is_moved = |home: &ServerId| {
                    *home != sub_request.server && (passed.contains(home) || call.plan.router.is_down(*home))
                };
                [call.home(sub_request, key).filter(is_moved), None]
            },
            sub_request,
        );
    }

    /// Keeps each key that a request writes for these servers.
    fn keep_written(&self, servers: impl Fn(&Self, Key<'_>) -> [Option<ServerId>; 2], sub_request: &SubRequest) {
        let router = self.plan.router;
        let (Some(journal), false) = (router.journal(), self.keeps_nothing()) else { return };
        self.progress.command(sub_request.index()).for_each_written(&mut |key| {
            for server in servers(self, key).into_iter().flatten().filter_map(|id| router.server(id)) {
                journal.keep(server.name(), &router.whole(key));
            }
        });
    }

    /// The server of a key while it is up.
    fn home(&self, sub_request: &SubRequest, key: Key<'_>) -> Option<ServerId> {
        self.plan.router.route_home(self.progress.routing_key(sub_request.index()).unwrap_or(key)).ok()
    }
}

impl Router {
    /// A key as its server has it.
    fn whole<'k>(&self, key: Key<'k>) -> Cow<'k, [u8]> {
        match self.prefix() {
            [] => Cow::Borrowed(key.as_bytes()),
            prefix => Cow::Owned([prefix, key.as_bytes()].concat()),
        }
    }

    /// The place of a server by its name.
    fn place_by_name(&self, name: &str) -> Option<ServerId> {
        self.ids().zip(self.servers()).find(|(_, server)| server.name() == name).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests;
