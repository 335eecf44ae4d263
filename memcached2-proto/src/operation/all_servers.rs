//! The same question to every server.

use super::BatchResult;
use crate::call::{Operation, Plan, Progress};
use crate::command::Command;
use crate::error::Error;

/// Asks every server the same; the results come in the order of the servers.
#[derive(Debug, Clone, Copy)]
pub struct AllServers<C>(pub C);

/// The same question to every server, under way.
#[derive(Debug)]
pub struct AskingAll<C: Command> {
    command: C,
    results: Vec<Result<C::Response, Error>>,
}

impl<C: Command> Operation for AllServers<C> {
    type Output = BatchResult<C::Response>;
    type Progress = AskingAll<C>;

    fn start(self, plan: &mut Plan<'_>) -> AskingAll<C> {
        let servers = plan.router().ids();
        for server in plan.router().ids() {
            plan.add_to_for(server, server.index(), self.0.only_key());
        }
        AskingAll { command: self.0, results: servers.map(|_| Err(Error::closed())).collect() }
    }
}

impl<C: Command> Progress for AskingAll<C> {
    type Command = C;
    type Output = BatchResult<C::Response>;

    fn command(&self, _: usize) -> &C {
        &self.command
    }

    fn end(&mut self, index: usize, result: Result<C::Response, Error>) {
        self.results[index] = result;
    }

    fn finish(self) -> Result<Self::Output, Error> {
        if self.results.is_empty() {
            return Err(Error::no_servers().of_method(self.command.name(), None));
        }
        Ok(BatchResult::from(self.results))
    }
}
