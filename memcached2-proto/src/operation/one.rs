//! A single request.

use crate::call::{Operation, Plan, Progress};
use crate::command::{Command, Keyed};
use crate::error::Error;

/// A command to the server of its key, under way.
#[derive(Debug)]
pub struct One<C: Command> {
    command: C,
    result: Option<Result<C::Response, Error>>,
}

impl<C: Keyed> Operation for C {
    type Output = C::Response;
    type Progress = One<C>;

    #[inline]
    fn start(self, plan: &mut Plan<'_>) -> One<C> {
        plan.add(0, self.routing_key());
        One { command: self, result: None }
    }
}

impl<C: Keyed> Progress for One<C> {
    type Command = C;
    type Output = C::Response;

    #[inline]
    fn command(&self, _: usize) -> &C {
        &self.command
    }

    #[inline]
    fn end(&mut self, _: usize, result: Result<C::Response, Error>) {
        self.result = Some(result);
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        plan.add_elsewhere(index, self.command.routing_key())
    }

    #[inline]
    fn finish(self) -> Result<C::Response, Error> {
        self.result.unwrap_or_else(|| Err(Error::closed()))
    }
}
