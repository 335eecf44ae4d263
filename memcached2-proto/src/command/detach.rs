//! Reads an answer after the command was dropped.

use std::fmt;

use super::{Command, Decr, Delete, Get, Gets, Incr, NoReply, Stats, Store, Touch};
use crate::error::Error;
use crate::reply::Reply;

/// A command whose answer can be read when the command is gone, and with it the key and the value that it borrows.
///
/// So a request can outlive its key: [`TypedConnection`](crate::connection::TypedConnection) needs that. All commands of this crate
/// for one server and at most one key implement it. Your own command that borrows nothing returns [`Answer::of`]
/// itself.
pub trait Detach: Command {
    /// What reads the answer as [`Command::answer`] does.
    fn detach(&self) -> Answer<Self::Response>;
}

/// Reads the answer of a command that is gone: made by [`Detach::detach`].
#[must_use = "it does nothing unless an answer is read"]
pub struct Answer<R>(Box<Read<R>>);

type Read<R> = dyn FnOnce(Reply) -> Result<R, Error> + Send + Sync;

impl<R> Answer<R> {
    /// Reads the answer with this function, which takes what [`Command::answer`] does.
    pub fn new<F>(read: F) -> Self
    where
        F: FnOnce(Reply) -> Result<R, Error> + Send + Sync + 'static,
    {
        Self(Box::new(read))
    }

    /// Reads the answer of this command, which borrows nothing.
    pub fn of<C: Command<Response = R> + Send + Sync + 'static>(command: C) -> Self {
        Self::new(move |reply| command.answer(reply))
    }

    /// Reads the answer; see [`Command::answer`].
    ///
    /// # Errors
    ///
    /// The same as of [`Command::answer`].
    pub fn read(self, reply: Reply) -> Result<R, Error> {
        (self.0)(reply)
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Detach for Get<'_> {
    fn detach(&self) -> Answer<Self::Response> {
        Answer::new(super::retrieve::found)
    }
}

impl Detach for Gets<'_> {
    fn detach(&self) -> Answer<Self::Response> {
        let options = self.options();
        Answer::new(move |reply| options.found(reply))
    }
}

impl Detach for Store<'_, '_> {
    fn detach(&self) -> Answer<()> {
        let verb = self.verb();
        Answer::new(move |reply| verb.stored(reply))
    }
}

impl Detach for Delete<'_> {
    fn detach(&self) -> Answer<bool> {
        Answer::new(super::change::deleted)
    }
}

impl Detach for Incr<'_> {
    fn detach(&self) -> Answer<Option<u64>> {
        Answer::new(super::counter::number)
    }
}

impl Detach for Decr<'_> {
    fn detach(&self) -> Answer<Option<u64>> {
        Answer::new(super::counter::number)
    }
}

impl Detach for Touch<'_> {
    fn detach(&self) -> Answer<bool> {
        Answer::new(super::change::touched)
    }
}

impl<C: Command> Detach for NoReply<C> {
    fn detach(&self) -> Answer<()> {
        Answer::new(super::noreply::read)
    }
}

impl<R: 'static> Detach for Stats<R> {
    fn detach(&self) -> Answer<R> {
        Answer::of(*self)
    }
}

/// Implements [`Detach`] for commands that borrow nothing.
macro_rules! borrow_nothing {
    ($($command:ty)*) => {
        $(impl $crate::command::Detach for $command {
            fn detach(&self) -> $crate::command::Answer<Self::Response> {
                $crate::command::Answer::of(Clone::clone(self))
            }
        })*
    };
}
pub(super) use borrow_nothing;
