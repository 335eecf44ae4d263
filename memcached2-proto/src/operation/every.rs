//! The same question to every server.

use super::{Many, Operation};
use crate::call::{Outcomes, Parts};
use crate::command::{Command, Dialect};
use crate::error::Error;
use crate::few::Few;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::router::{Router, ServerId};
use crate::time::Now;

/// Asks every server the same; the results come in the order of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Every<C>(pub C);

/// The question to one of them.
#[derive(Debug, Clone, Copy)]
pub struct EveryPart<C> {
    command: C,
    server: ServerId,
}

impl<C: Command + Clone> Operation for Every<C> {
    type Part = EveryPart<C>;
    type Output = Many<C::Response>;
    type Rest = ();

    fn plan(self, router: &Router, _: Now, parts: &mut Parts<EveryPart<C>>) {
        for server in router.ids() {
            parts.push(Ok(server), EveryPart { command: self.0.clone(), server });
        }
    }

    fn merge((): (), outcomes: Outcomes<'_, EveryPart<C>>) -> Result<Self::Output, Error> {
        let mut results: Vec<_> = outcomes.map(|(part, result)| (part.server, result)).collect();
        results.sort_by_key(|(server, _)| *server);
        match results.is_empty() {
            true => Err(Error::NoServers),
            false => Ok(results.into_iter().map(|(_, result)| result).collect()),
        }
    }
}

impl<C: Command> Command for EveryPart<C> {
    type Response = C::Response;

    fn encode(&self, dialect: Dialect, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        self.command.encode(dialect, now, out)
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<C::Response, Error> {
        self.command.answer(replies, end)
    }

    fn repeatable(&self) -> bool {
        self.command.repeatable()
    }
}
