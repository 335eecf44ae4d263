//! A request over any number of servers.

mod each;
mod every;
mod fetch;
mod many;
mod routed;

pub use self::each::{DeleteMany, Placed, SetMany};
pub use self::every::Every;
pub use self::fetch::GetMany;
pub use self::many::Many;
pub use self::routed::RoutedBy;

use crate::call::{Outcomes, Parts};
use crate::command::{Command, Keyed};
use crate::error::Error;

/// What a caller asks for: it is split into parts, one command to one server each, and their outcomes are merged.
///
/// A keyed command is an operation by itself.
pub trait Operation: Sized {
    /// One command to one server.
    type Part: Command;
    /// What the caller gets.
    type Output;
    /// What [`Operation::merge`] needs to know besides the outcomes.
    type Rest;

    /// Splits the operation by server.
    fn plan(self, parts: &mut Parts<'_, Self::Part>) -> Self::Rest;

    /// Routes a part anew that was not sent, since its server is down; what cannot go elsewhere comes back. Unless an
    /// operation says how, nothing can.
    fn replan(_rest: &Self::Rest, part: Self::Part, _parts: &mut Parts<'_, Self::Part>) -> Option<Self::Part> {
        Some(part)
    }

    /// What stands for the output when the cache has failed, to a client for which failures are misses; `None` if it is to
    /// hear of them all the same.
    fn miss(&self) -> Option<Self::Output> {
        None
    }

    /// What such a client makes of the outcome: where failures are told item by item, what stands for each of them.
    ///
    /// # Errors
    ///
    /// What is no miss: see [`Error::is_a_miss`].
    fn forgive(outcome: Result<Self::Output, Error>, miss: Option<Self::Output>) -> Result<Self::Output, Error> {
        match (outcome, miss) {
            (Err(error), Some(miss)) if error.is_a_miss() => Ok(miss),
            (outcome, _) => outcome,
        }
    }

    /// Makes the output of the outcomes, which come sorted by server, each with its part.
    ///
    /// # Errors
    ///
    /// When the operation as a whole has failed.
    fn merge(rest: Self::Rest, outcomes: Outcomes<'_, Self::Part>) -> Result<Self::Output, Error>;
}

impl<C: Keyed> Operation for C {
    type Part = C;
    type Output = C::Response;
    type Rest = ();

    #[inline(always)]
    fn plan(self, parts: &mut Parts<'_, C>) {
        let to = parts.assign(self.key());
        parts.push(to, self);
    }

    fn replan((): &(), part: C, parts: &mut Parts<'_, C>) -> Option<C> {
        let to = parts.assign(part.key()).ok();
        parts.move_on(to, part)
    }

    fn miss(&self) -> Option<C::Response> {
        Keyed::miss(self)
    }

    #[inline(always)]
    fn merge((): (), mut outcomes: Outcomes<'_, C>) -> Result<C::Response, Error> {
        match outcomes.next() {
            Some((_, result)) => result,
            None => Err(Error::no_servers()),
        }
    }
}

/// A list of keys has at most 2^32 of them: more would not fit the memory of their references.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
