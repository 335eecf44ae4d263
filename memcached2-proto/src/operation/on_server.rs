//! A command to one server of choice.

use crate::call::{Operation, Plan, Progress};
use crate::command::Command;
use crate::error::Error;
use crate::uri::Server;

/// A command to one server, whatever its key. No other server is asked if that one is down.
///
/// `client.on("cache1:11211")` of every client makes them.
///
/// ```
/// use memcached2_proto::Router;
/// use memcached2_proto::command::Version;
/// use memcached2_proto::operation::OnServer;
///
/// let router = Router::parse(["cache1", "cache2"])?;
/// let version = OnServer::new(&router.servers()[1], Version);
/// // client.run(version)?;
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OnServer<'s, C> {
    server: &'s Server,
    command: C,
    is_kept: bool,
}

/// A command to one server, under way.
#[derive(Debug)]
pub struct AskingOne<C: Command> {
    command: C,
    result: Option<Result<C::Response, Error>>,
}

impl<'s, C: Command> OnServer<'s, C> {
    /// Sends `command` to this server, wherever it stands in the list of servers.
    #[must_use]
    pub fn new(server: &'s Server, command: C) -> Self {
        Self { server, command, is_kept: true }
    }

    /// Keeps nothing in the [journal](crate::Options::journal) if it fails: for an item that others may have by the time it would be
    /// deleted, such as a lock.
    #[must_use]
    pub fn without_journal(self) -> Self {
        Self { is_kept: false, ..self }
    }
}

impl<C: Command> Operation for OnServer<'_, C> {
    type Output = C::Response;
    type Progress = AskingOne<C>;

    fn start(self, plan: &mut Plan<'_>) -> AskingOne<C> {
        let mut result = None;
        if !self.is_kept {
            plan.keep_nothing();
        }
        match plan.router().place_of(self.server) {
            Some(id) => plan.add_to_for(id, 0, self.command.only_key().filter(|_| self.is_kept)),
            // The list of servers has changed.
            None => result = Some(Err(plan.router().not_in_list(self.server.name()))),
        }
        AskingOne { command: self.command, result }
    }
}

impl<C: Command> Progress for AskingOne<C> {
    type Command = C;
    type Output = C::Response;

    fn command(&self, _: usize) -> &C {
        &self.command
    }

    fn end(&mut self, _: usize, result: Result<C::Response, Error>) {
        self.result = Some(result);
    }

    fn finish(self) -> Result<C::Response, Error> {
        self.result.unwrap_or_else(|| Err(Error::closed()))
    }
}
