//! A routing key apart from the key of the item.

use crate::call::{Operation, Plan, Progress};
use crate::command::{Command, Keyed};
use crate::error::Error;
use crate::key::Key;

/// A command whose server another key decides: items that are fetched together can lie together.
///
/// ```
/// use memcached2_proto::operation::RoutedBy;
/// use memcached2_proto::Get;
///
/// // Whatever belongs to user 42 is on one server.
/// let cart = RoutedBy::new("user:42", Get::new("cart:42:7")?)?;
/// // client.run(cart)?;
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RoutedBy<'k, C> {
    key: Key<'k>,
    command: C,
}

/// A command to the server of another key, under way.
#[derive(Debug)]
pub struct Routed<'k, C: Command> {
    operation: RoutedBy<'k, C>,
    result: Option<Result<C::Response, Error>>,
}

impl<'k, C: Keyed> RoutedBy<'k, C> {
    /// Lets `key` decide which server `command` goes to. It is not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, command: C) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)?, command })
    }
}

impl<'k, C: Keyed> Operation for RoutedBy<'k, C> {
    type Output = C::Response;
    type Progress = Routed<'k, C>;

    fn start(self, plan: &mut Plan<'_>) -> Routed<'k, C> {
        plan.add(0, self.key);
        if plan.router().journal().is_some() {
            plan.wait_also_for(self.command.only_key());
        }
        Routed { operation: self, result: None }
    }
}

impl<C: Keyed> Progress for Routed<'_, C> {
    type Command = C;
    type Output = C::Response;

    fn command(&self, _: usize) -> &C {
        &self.operation.command
    }

    fn end(&mut self, _: usize, result: Result<C::Response, Error>) {
        self.result = Some(result);
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        let is_planned = plan.add_elsewhere(index, self.operation.key);
        if is_planned && plan.router().journal().is_some() {
            plan.wait_also_for(self.operation.command.only_key());
        }
        is_planned
    }

    fn routing_key(&self, _: usize) -> Option<Key<'_>> {
        Some(self.operation.key)
    }

    fn finish(self) -> Result<C::Response, Error> {
        self.result.unwrap_or_else(|| Err(Error::closed()))
    }
}
