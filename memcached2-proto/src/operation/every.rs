//! The same question to every server.

use super::{Many, Operation};
use crate::call::{Outcomes, Parts};
use crate::command::Command;
use crate::error::Error;

/// Asks every server the same; the results come in the order of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Every<C>(pub C);

impl<C: Command + Clone> Operation for Every<C> {
    type Part = C;
    type Output = Many<C::Response>;
    type Rest = ();

    fn plan(self, parts: &mut Parts<'_, C>) {
        for server in parts.router().ids() {
            parts.push_to(server, self.0.clone());
        }
    }

    fn merge((): (), outcomes: Outcomes<'_, C>) -> Result<Self::Output, Error> {
        // Sorted by server: in their order.
        let results: Many<_> = outcomes.map(|(_, result)| result).collect();
        if results.is_empty() { Err(Error::no_servers()) } else { Ok(results) }
    }
}
