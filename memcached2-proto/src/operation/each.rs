//! Several items, each with a request of its own.

use super::{Many, Operation, short};
use crate::call::{Outcomes, Parts};
use crate::command::{Command, Delete, Keyed, Protocol, Store};
use crate::data::ToValue;
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::time::{Expiry, Now};

/// Stores many values.
#[derive(Debug, Clone)]
pub struct SetMany<'k, 'v> {
    items: Vec<Store<'k, 'v>>,
}

impl<'k, 'v> SetMany<'k, 'v> {
    /// Stores `items`, pairs of key and value, until `expiry`.
    ///
    /// # Errors
    ///
    /// What [`Store::set`] says of the first of them that is wrong; nothing is stored then.
    pub fn new<K: AsRef<[u8]>, V: ToValue>(items: &'k [(K, V)], expiry: Expiry) -> Result<Self, Error>
    where
        'k: 'v,
    {
        let items = items.iter().map(|(key, value)| Ok(Store::set(key, value)?.expiry(expiry)));
        Ok(Self { items: items.collect::<Result<_, Error>>()? })
    }

    /// Stores `items`, each with flags and expiry of its own.
    #[must_use]
    pub fn of(items: Vec<Store<'k, 'v>>) -> Self {
        Self { items }
    }
}

/// Deletes many items.
#[derive(Debug, Clone)]
pub struct DeleteMany<'k> {
    items: Vec<Delete<'k>>,
}

impl<'k> DeleteMany<'k> {
    /// Deletes the items of `keys`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for the first of them that is none; nothing is deleted then.
    pub fn new<K: AsRef<[u8]>>(keys: &'k [K]) -> Result<Self, Error> {
        Ok(Self { items: keys.iter().map(Delete::new).collect::<Result<_, _>>()? })
    }
}

/// One command of many, and its place among them.
#[derive(Debug, Clone)]
pub struct Placed<C> {
    command: C,
    place: u32,
}

impl<'k, 'v> Operation for SetMany<'k, 'v> {
    type Part = Placed<Store<'k, 'v>>;
    type Output = Many<()>;
    /// How many values there are.
    type Rest = usize;

    fn plan(self, parts: &mut Parts<'_, Self::Part>) -> usize {
        place(self.items, parts)
    }

    fn replan(_: &usize, part: Self::Part, parts: &mut Parts<'_, Self::Part>) -> Option<Self::Part> {
        replace(part, parts)
    }

    fn merge(count: usize, outcomes: Outcomes<'_, Self::Part>) -> Result<Self::Output, Error> {
        Ok(in_order(count, outcomes))
    }
}

impl<'k> Operation for DeleteMany<'k> {
    type Part = Placed<Delete<'k>>;
    type Output = Many<bool>;
    /// How many keys there are.
    type Rest = usize;

    fn plan(self, parts: &mut Parts<'_, Self::Part>) -> usize {
        place(self.items, parts)
    }

    fn replan(_: &usize, part: Self::Part, parts: &mut Parts<'_, Self::Part>) -> Option<Self::Part> {
        replace(part, parts)
    }

    fn forgive(outcome: Result<Self::Output, Error>, _: Option<Self::Output>) -> Result<Self::Output, Error> {
        outcome.map(|many| many.or(|| false))
    }

    fn merge(count: usize, outcomes: Outcomes<'_, Self::Part>) -> Result<Self::Output, Error> {
        Ok(in_order(count, outcomes))
    }
}

/// Sends each command to the server of its key; how many there are.
fn place<C: Keyed>(commands: Vec<C>, parts: &mut Parts<'_, Placed<C>>) -> usize {
    let count = commands.len();
    parts.reserve(count);
    for (place, command) in commands.into_iter().enumerate() {
        let to = parts.assign(command.key());
        parts.push(to, Placed { command, place: short(place) });
    }
    count
}

/// Sends a command to another server, if there is one.
fn replace<C: Keyed>(part: Placed<C>, parts: &mut Parts<'_, Placed<C>>) -> Option<Placed<C>> {
    let to = parts.assign(part.command.key()).ok();
    parts.move_on(to, part)
}

/// The answers in the order of the commands.
fn in_order<C: Command>(count: usize, outcomes: Outcomes<'_, Placed<C>>) -> Many<C::Response> {
    let mut results = Vec::with_capacity(count);
    results.resize_with(count, || Err(Error::closed()));
    for (part, result) in outcomes {
        results[part.place as usize] = result;
    }
    Many::from(results)
}

impl<C: Command> Command for Placed<C> {
    type Response = C::Response;

    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        self.command.encode(protocol, now, out)
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<C::Response, Error> {
        self.command.answer(replies, end)
    }

    fn only_key(&self) -> Option<Key<'_>> {
        self.command.only_key()
    }

    fn repeatable(&self) -> bool {
        self.command.repeatable()
    }
}
