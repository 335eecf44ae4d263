//! What a call stores on the new servers of a migration, since it has found it on the old ones.

use super::{Call, Operation, Plan, Progress};
use crate::command::meta::MetaGet;
use crate::command::{Command, OnReplicas, Protocol, Store};
use crate::error::Error;
use crate::key::Key;
use crate::reply::{Reply, ReplyKind, Ttl};
use crate::request_buffer::RequestBuffer;
use crate::routing::{MigrationStage, ServerId};
use crate::time::{Expiry, Now};
use crate::value::Value;

/// Items that are to be stored on the new servers: first the old ones are asked for each of them again and for how long it stays, and
/// then it is added to the new ones, unless they have got one meanwhile.
///
/// A transport runs it as an operation of its own between two rounds of a call: see [`Call::fill`].
#[derive(Debug)]
pub struct Fill(Vec<FillCommand>);

/// Items on their way to the new servers.
#[derive(Debug)]
pub struct Filling {
    commands: Vec<FillCommand>,
    found: Vec<FillCommand>,
}

/// A request for one of them.
#[derive(Debug)]
pub enum FillCommand {
    /// What an old server has.
    Ask(Box<[u8]>),
    /// What a new server gets.
    Add(Box<[u8]>, Value, Expiry),
}

impl Operation for Fill {
    /// What is next.
    type Output = Self;
    type Progress = Filling;

    fn start(self, plan: &mut Plan<'_>) -> Filling {
        // In a later stage, to which the client may have gone on meanwhile, the old servers may have old values.
        let is_in_time = plan.router().stage() == Some(MigrationStage::ReadBoth);
        for (index, command) in self.0.iter().enumerate().filter(|_| is_in_time) {
            let servers = Key::new(command.key()).and_then(|key| plan.router().route_to_replicas(key));
            let group = usize::from(matches!(command, FillCommand::Add(..)));
            match servers.map(|servers| servers.get(group).copied()) {
                // What is to be deleted there is no value to be stored on the new servers.
                Ok(Some(server)) => plan.add_to_for(server, index, command.only_key()),
                Ok(None) => plan.refuse(index, Error::no_servers()),
                Err(error) => plan.refuse(index, error),
            }
        }
        Filling { commands: self.0, found: Vec::new() }
    }
}

impl Progress for Filling {
    type Command = FillCommand;
    type Output = Fill;

    fn command(&self, index: usize) -> &FillCommand {
        &self.commands[index]
    }

    /// What fails is not filled: the next read finds it on the old servers again.
    fn end(&mut self, index: usize, result: Result<Reply, Error>) {
        let (FillCommand::Ask(key), Ok(Reply::Meta(reply))) = (&self.commands[index], result) else { return };
        let expiry = match reply.item.ttl {
            Some(Ttl::Never) => Expiry::Never,
            Some(ttl @ Ttl::Seconds(1..)) => ttl.remaining().map_or(Expiry::Never, Expiry::After),
            _ => return,
        };
        // On the new servers, what is marked as stale or stands for a value that is being computed would be a value as good as new.
        if let (Some(value), false) = (reply.item.value, reply.item.stale || reply.item.already_won) {
            self.found.push(FillCommand::Add(key.clone(), value, expiry));
        }
    }

    fn finish(self) -> Result<Fill, Error> {
        Ok(Fill(self.found))
    }
}

impl FillCommand {
    fn key(&self) -> &[u8] {
        match self {
            Self::Ask(key) | Self::Add(key, ..) => key,
        }
    }
}

impl Command for FillCommand {
    type Response = Reply;

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        match self {
            // A server that does not speak meta does not say how long an item stays.
            Self::Ask(key) => MetaGet::new(key)?.value().flags().ttl().encode(protocol, now, out),
            Self::Add(key, value, expiry) => Store::add(key, value)?.expiry(*expiry).encode(protocol, now, out),
        }
    }

    fn answer(&self, reply: Reply) -> Result<Reply, Error> {
        Ok(reply)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ask(_) => "mg",
            Self::Add(..) => "add",
        }
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Key::new(self.key()).ok()
    }

    fn transfer_size(&self) -> usize {
        match self {
            Self::Ask(_) => 0,
            Self::Add(_, value, _) => value.data.len(),
        }
    }

    fn repeatable(&self) -> bool {
        matches!(self, Self::Ask(_))
    }

    /// It is sent to the server that it was planned for.
    fn on_replicas(&self) -> OnReplicas {
        OnReplicas::Refuse
    }
}

impl<O: Operation> Call<'_, O> {
    /// Notes a value that an old server of a migration has, and the new ones do not.
    #[cold]
    pub(super) fn note_found(&mut self, index: u32, server: ServerId, reply: &Reply) {
        let Reply::Value(place, _) = reply else { return };
        let router = self.plan.router;
        if router.stage() != Some(MigrationStage::ReadBoth) || router.replica_of(server) != Some(0) {
            return;
        }
        let key = self.progress.command(index as usize).key_at(*place as usize);
        if let Some(key) = key.map(|key| FillCommand::Ask(key.as_bytes().into())) {
            self.plan.rare().found.push(key);
        }
    }

    /// Whether items are to be stored on the new servers. It says so once: a transport that does nothing about it goes on without.
    pub(super) fn offers_fill(&mut self) -> bool {
        let Some(rare) = self.plan.rare.as_mut().filter(|rare| !rare.found.is_empty()) else { return false };
        let is_new = !std::mem::replace(&mut rare.is_fill_offered, true);
        if !is_new {
            rare.found.clear();
        }
        is_new
    }

    /// What is to be run as an operation of its own before the next round, if [`Call::end_round`] has asked for one. Give its output to
    /// [`Call::filled`]; if it fails, nothing has to be done.
    #[cold]
    pub fn fill(&mut self) -> Option<Fill> {
        let rare = self.plan.rare.as_mut()?;
        rare.is_fill_offered = false;
        let found = std::mem::take(&mut rare.found);
        (!found.is_empty()).then_some(Fill(found))
    }

    /// Takes what is left to be done.
    pub fn filled(&mut self, next: Fill) {
        self.plan.rare().found = next.0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::command::Get;
    use crate::routing::Journal;
    use crate::time::Instant;
    use crate::{Options, Router};

    #[test]
    fn a_transport_that_stores_nothing_ends_all_the_same() {
        let options = Options::default().migrate_to(["new"], MigrationStage::ReadBoth);
        let router = Router::with_options(["old"], &options)
            .unwrap()
            .for_client(0, || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH));
        let mut call = Call::new(Get::new("x").unwrap(), &router, Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH));
        call.answer(0, Reply::Miss, true);
        assert!(call.end_round(|| Instant::ZERO));
        let at = call.sub_requests().iter().position(|next| next.is_open()).unwrap();
        call.answer(at, Reply::Value(0, Value::new("x".into(), 0)), true);
        let rounds = std::iter::from_fn(|| call.end_round(|| Instant::ZERO).then_some(())).take(100).count();
        assert_eq!(rounds, 1);
        assert_eq!(call.finish().unwrap().unwrap(), "x");
    }

    #[test]
    fn a_client_that_has_gone_on_to_a_later_stage_stores_nothing_that_the_old_servers_have() {
        let now = || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
        let options = Options::default().migrate_to(["new"], MigrationStage::ReadBoth);
        let router = Router::with_options(["old"], &options).unwrap();
        for (stage, asked) in [(MigrationStage::ReadBoth, 1), (MigrationStage::ReadNew, 0), (MigrationStage::New, 0)] {
            let router = router.at_stage(stage).unwrap();
            let fill = Call::new(Fill(vec![FillCommand::Ask((*b"x").into())]), &router, now());
            assert_eq!(fill.sub_requests().len(), asked, "{stage:?}");
            assert!(fill.finish().unwrap().0.is_empty());
        }
    }

    #[test]
    fn what_could_not_be_deleted_on_an_old_server_meanwhile_is_not_stored_on_a_new_one() {
        let journal = Arc::new(Journal::new(10));
        let options = Options::default().migrate_to(["new"], MigrationStage::ReadBoth).journal(Arc::clone(&journal));
        let now = || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
        let router = Router::with_options(["old"], &options).unwrap().for_client(0, now);
        for is_kept in [false, true] {
            let mut fill = Call::new(Fill(vec![FillCommand::Ask((*b"x").into())]), &router, now());
            assert_eq!(fill.sub_requests()[0].is_open(), !is_kept);
            // Nothing is deleted.
            while fill.end_round(|| Instant::ZERO) && !fill.sub_requests()[0].is_open() {}
            assert_eq!(fill.sub_requests()[0].is_open(), !is_kept);
            journal.keep(router.servers()[0].name(), b"x");
        }
    }
}
