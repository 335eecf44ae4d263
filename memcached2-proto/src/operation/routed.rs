//! A routing key apart from the key of the item.

use super::Operation;
use crate::call::{Outcomes, Parts};
use crate::command::Keyed;
use crate::error::Error;
use crate::key::Key;
use crate::router::Router;
use crate::time::Now;

/// A command whose server another key decides: items that are fetched together can lie together.
///
/// ```
/// use memcached2_proto::{Get, RoutedBy};
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

impl<'k, C: Keyed> RoutedBy<'k, C> {
    /// Lets `key` decide which server `command` goes to. It is not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when `key` is none.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, command: C) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)?, command })
    }
}

impl<C: Keyed> Operation for RoutedBy<'_, C> {
    type Part = C;
    type Output = C::Response;
    type Rest = ();

    fn plan(self, router: &Router, now: Now, parts: &mut Parts<C>) {
        parts.push(router.assign(self.key, now), self.command);
    }

    fn merge((): (), outcomes: Outcomes<'_, C>) -> Result<C::Response, Error> {
        <C as Operation>::merge((), outcomes)
    }
}
