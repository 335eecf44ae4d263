//! Reading: `get` and `mg`.

use super::{Command, Dialect, Keyed, only, senseless};
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::time::Now;
use crate::value::Value;

/// Fetches the value of one key.
#[derive(Debug, Clone, Copy)]
pub struct Get<'k> {
    key: Key<'k>,
}

impl<'k> Get<'k> {
    /// Fetches the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when `key` is none.
    #[inline]
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)? })
    }
}

impl Keyed for Get<'_> {
    #[inline]
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Get<'_> {
    type Response = Option<Value>;

    #[inline]
    fn encode(&self, dialect: Dialect, _: Now, out: &mut Outbox) -> Result<Shape, Error> {
        Ok(match dialect {
            Dialect::Text => {
                out.put(b"get ");
                out.ask_key(self.key);
                out.put(b"\r\n");
                Shape::Value
            }
            Dialect::Meta => {
                out.put(b"mg ");
                out.ask_key(self.key);
                out.put(b" k f v\r\n");
                Shape::MetaValue
            }
        })
    }

    #[inline(always)]
    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<Option<Value>, Error> {
        match (replies, end) {
            (Few::One(Reply::Value(_, value)), Ok(())) => Ok(Some(value)),
            (replies, end) => match only(replies, end)? {
                Reply::Value(_, value) => Ok(Some(value)),
                Reply::Miss => Ok(None),
                other => Err(senseless(&other)),
            },
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

/// Fetches the values of several keys from one server in one `get`: a part of [`GetMany`](crate::GetMany).
///
/// Its response is each reply as it came, and why no more came: what arrived before a failure is kept.
#[derive(Debug, Clone)]
pub struct GetPart<'k> {
    keys: Vec<Key<'k>>,
    places: Places,
}

/// The places of the keys among those of the whole operation.
#[derive(Debug, Clone)]
enum Places {
    From(u32),
    These(Vec<u32>),
}

impl<'k> GetPart<'k> {
    /// Fetches `keys`, which stand side by side from the place `first` on.
    pub(crate) fn run(keys: Vec<Key<'k>>, first: u32) -> Self {
        Self { keys, places: Places::From(first) }
    }

    /// Fetches `keys`, which stand at `places`.
    pub(crate) fn picked(keys: Vec<Key<'k>>, places: Vec<u32>) -> Self {
        Self { keys, places: Places::These(places) }
    }

    /// The places among all keys of those that this part asks for.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        (0..).take(self.keys.len()).filter_map(|index| self.place(index))
    }

    /// The place among all keys of the one at `index` of this part.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> Option<usize> {
        match &self.places {
            Places::From(first) => Some(*first as usize + index as usize),
            Places::These(places) => places.get(index as usize).map(|place| *place as usize),
        }
    }
}

impl Command for GetPart<'_> {
    type Response = (Few<Reply>, Result<(), Error>);

    /// Always text: one `get` for many keys is answered in few packets, and costs less than an `mg` for each.
    fn encode(&self, _: Dialect, _: Now, out: &mut Outbox) -> Result<Shape, Error> {
        out.put(b"get");
        for key in &self.keys {
            out.put(b" ");
            out.ask_key(*key);
        }
        out.put(b"\r\n");
        // After an error line to a `get` of one key the connection is still in step.
        Ok(if self.keys.len() == 1 { Shape::Value } else { Shape::Values })
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<Self::Response, Error> {
        Ok((replies, end))
    }

    fn repeatable(&self) -> bool {
        true
    }
}
