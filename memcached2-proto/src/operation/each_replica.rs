//! The same command to each replica of its key.

use super::BatchResult;
use crate::call::{Operation, Plan, Progress};
use crate::command::{Command, Keyed};
use crate::error::Error;

/// A command to the server of its key in each [replica](crate::Options::replica), with the result of each, in the order of the
/// replicas. Without replicas that is one.
///
/// It asks no other server in the place of one that is down, and takes every command: what replicas refuse, too.
///
/// ```
/// use memcached2_proto::operation::EachReplica;
/// use memcached2_proto::{Get, Store};
///
/// // What each of them says of a write, and what each of them has.
/// let write = EachReplica::new(Store::set("page:1", "<html>")?);
/// let read = EachReplica::new(Get::new("page:1")?);
/// // for result in client.run(write)? { .. }
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EachReplica<C>(C);

/// A command to each replica, under way.
#[derive(Debug)]
pub struct AskingEach<C: Command> {
    command: C,
    results: Result<Vec<Result<C::Response, Error>>, Error>,
}

impl<C: Keyed> EachReplica<C> {
    /// Sends `command` to each replica.
    #[must_use]
    pub fn new(command: C) -> Self {
        Self(command)
    }
}

impl<C: Keyed> Operation for EachReplica<C> {
    type Output = BatchResult<C::Response>;
    type Progress = AskingEach<C>;

    fn start(self, plan: &mut Plan<'_>) -> AskingEach<C> {
        let Self(command) = self;
        let servers = plan.router().route_to_replicas(command.routing_key().unchecked());
        let results = servers.map(|servers| {
            let key = command.only_key();
            servers.iter().enumerate().for_each(|(index, server)| plan.add_to_for(*server, index, key));
            servers.iter().map(|_| Err(Error::closed())).collect()
        });
        AskingEach { command, results }
    }
}

impl<C: Command> Progress for AskingEach<C> {
    type Command = C;
    type Output = BatchResult<C::Response>;

    fn command(&self, _: usize) -> &C {
        &self.command
    }

    fn end(&mut self, index: usize, result: Result<C::Response, Error>) {
        if let Ok(results) = &mut self.results {
            results[index] = result;
        }
    }

    fn finish(self) -> Result<Self::Output, Error> {
        self.results.map(BatchResult::from)
    }
}
