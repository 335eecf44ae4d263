//! What a caller asks for, split into requests and merged again.

use super::Plan;
use crate::command::Command;
use crate::error::Error;
use crate::key::Key;
use crate::reply::Reply;
use crate::value::Value;

/// What a caller asks for. It is split into requests, each a command to one server, whose answers are merged.
///
/// A keyed command is an operation by itself.
pub trait Operation: Sized {
    /// What the caller gets.
    type Output;
    /// The operation under way.
    type Progress: Progress<Output = Self::Output>;

    /// Splits the operation into requests, and gives each of them to the plan.
    fn start(self, plan: &mut Plan<'_>) -> Self::Progress;
}

/// An operation under way: it has the command of each request, and takes its result.
pub trait Progress {
    /// What is sent to a server.
    type Command: Command;
    /// What the caller gets.
    type Output;

    /// The command of the request with this number, which was given to the [`Plan`].
    fn command(&self, index: usize) -> &Self::Command;

    /// Takes a reply to a request that is not the last one: a value among many. Nothing happens to it unless implemented.
    #[inline]
    fn take_reply(&mut self, index: usize, reply: Reply) {
        let _ = (index, reply);
    }

    /// Takes a value among many, of the key at a place of the request: what [`Progress::take_reply`] does with it, unless implemented.
    #[inline]
    fn take_value(&mut self, index: usize, place: u32, value: Value) {
        self.take_reply(index, Reply::Value(place, value));
    }

    /// Takes the result of a request; once for each.
    fn end(&mut self, index: usize, result: Result<<Self::Command as Command>::Response, Error>);

    /// Plans a request again that was not sent because its server is down. `false`, the default, if there is no other
    /// server.
    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        let _ = (index, plan);
        false
    }

    /// The key that has decided which server this request goes to, if that is not the one of its command.
    fn routing_key(&self, index: usize) -> Option<Key<'_>> {
        let _ = index;
        None
    }

    /// Whether the caller has put several operations together, each of which could be a call of its own: what an
    /// [observer](crate::observer::OperationEvent::batch) calls a batch. `false` unless implemented; one command for many keys is none.
    fn is_batch(&self) -> bool {
        false
    }

    /// The output, once all requests have ended.
    ///
    /// # Errors
    ///
    /// When the operation as a whole has failed.
    fn finish(self) -> Result<Self::Output, Error>;
}
