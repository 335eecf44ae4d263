//! A routing key apart from the key of the item.

use super::Operation;
use crate::call::{Outcomes, Parts};
use crate::command::Keyed;
use crate::error::Error;
use crate::key::Key;

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

impl<'k, C: Keyed> Operation for RoutedBy<'k, C> {
    type Part = C;
    type Output = C::Response;
    /// The key that decides.
    type Rest = Key<'k>;

    fn plan(self, parts: &mut Parts<'_, C>) -> Key<'k> {
        let to = parts.assign(self.key);
        parts.push(to, self.command);
        self.key
    }

    fn replan(key: &Key<'k>, part: C, parts: &mut Parts<'_, C>) -> Option<C> {
        let to = parts.assign(*key).ok();
        parts.move_on(to, part)
    }

    fn miss(&self) -> Option<C::Response> {
        Keyed::miss(&self.command)
    }

    fn merge(_: Key<'k>, outcomes: Outcomes<'_, C>) -> Result<C::Response, Error> {
        <C as Operation>::merge((), outcomes)
    }
}
