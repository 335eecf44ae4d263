//! A command to one server of choice.

use crate::call::{Operation, Plan, Progress};
use crate::command::Command;
use crate::error::Error;
use crate::routing::ServerId;

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
/// let version = OnServer::new(router.find("cache2")?, Version);
/// // client.run(version)?;
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OnServer<C> {
    server: ServerId,
    command: C,
}

/// A command to one server, under way.
#[derive(Debug)]
pub struct AskingOne<C: Command> {
    command: C,
    result: Option<Result<C::Response, Error>>,
}

impl<C: Command> OnServer<C> {
    /// Sends `command` to the server at this place of the router.
    #[must_use]
    pub fn new(server: ServerId, command: C) -> Self {
        Self { server, command }
    }
}

impl<C: Command> Operation for OnServer<C> {
    type Output = C::Response;
    type Progress = AskingOne<C>;

    fn start(self, plan: &mut Plan<'_>) -> AskingOne<C> {
        let mut result = None;
        match plan.router().server(self.server) {
            Some(_) => plan.add_to(self.server, 0),
            // It is a place of another client.
            None => result = Some(Err(Error::no_servers())),
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
