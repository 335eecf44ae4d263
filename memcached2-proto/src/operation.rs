//! A request over any number of servers.

mod every;
mod many;

pub use self::every::Every;
pub use self::many::{GetMany, Many, SetMany};

use crate::call::{Outcomes, Parts};
use crate::command::{Command, Keyed};
use crate::error::Error;
use crate::router::Router;
use crate::time::Now;

/// What a caller asks for: it is split into parts, one command to one server each, and their outcomes are merged.
///
/// A keyed command is an operation by itself. An operation is borrowed while it is under way, so its parts can borrow
/// from it: nothing is copied to split it, and nothing to ask again.
pub trait Operation {
    /// One command to one server.
    type Part<'a>: Command
    where
        Self: 'a;
    /// What the caller gets.
    type Output;

    /// Splits the operation by server.
    fn plan<'a>(&'a self, router: &Router, now: Now, parts: &mut Parts<Self::Part<'a>>);

    /// Makes the output of the outcomes, which come in no particular order, each with its part.
    ///
    /// # Errors
    ///
    /// When the operation as a whole has failed.
    fn merge<'a>(&'a self, outcomes: Outcomes<'_, Self::Part<'a>>) -> Result<Self::Output, Error>;
}

impl<C: Keyed> Operation for C {
    type Part<'a>
        = &'a C
    where
        C: 'a;
    type Output = C::Response;

    #[inline]
    fn plan<'a>(&'a self, router: &Router, _: Now, parts: &mut Parts<&'a C>) {
        parts.push(router.route(self.key()), self);
    }

    #[inline]
    fn merge<'a>(&'a self, mut outcomes: Outcomes<'_, &'a C>) -> Result<C::Response, Error> {
        match outcomes.next() {
            Some((_, result)) => result,
            None => Err(Error::NoServers),
        }
    }
}
