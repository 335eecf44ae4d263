//! Reading: `get` and `mg`.

use std::ops::Range;

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
                Shape::Meta
            }
        })
    }

    #[inline]
    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<Option<Value>, Error> {
        match only(replies, end)? {
            Reply::Value(_, value) => Ok(Some(value)),
            Reply::Miss => Ok(None),
            other => Err(senseless(&other)),
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

/// Fetches the values of several keys from one server in one `get`: a part of
/// [`GetMany`](crate::GetMany).
///
/// Its response is each reply as it came, and why no more came: what arrived before a failure is kept.
#[derive(Debug, Clone)]
pub struct GetPart<'a> {
    keys: &'a [Key<'a>],
    which: Which,
}

/// Which of the keys of the whole operation this part asks for.
#[derive(Debug, Clone)]
enum Which {
    Run(Range<u32>),
    Picked(Vec<u32>),
}

impl<'a> GetPart<'a> {
    /// Fetches those of `keys` that stand at the places of `run`.
    pub(crate) fn run(keys: &'a [Key<'a>], run: Range<u32>) -> Self {
        Self { keys, which: Which::Run(run) }
    }

    /// Fetches those of `keys` that stand at the places `picked`.
    pub(crate) fn picked(keys: &'a [Key<'a>], picked: Vec<u32>) -> Self {
        Self { keys, which: Which::Picked(picked) }
    }

    /// How many keys it asks for.
    pub(crate) fn len(&self) -> u32 {
        match &self.which {
            Which::Run(run) => run.end - run.start,
            // At most as many as there are keys, whose places are 32 bits wide.
            Which::Picked(picked) => u32::try_from(picked.len()).unwrap_or(u32::MAX),
        }
    }

    /// The place among all keys of the one at `index` of this part.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> Option<usize> {
        match &self.which {
            Which::Run(run) => Some(run.start.checked_add(index)?).filter(|place| *place < run.end),
            Which::Picked(picked) => picked.get(index as usize).copied(),
        }
        .map(|place| place as usize)
    }
}

impl Command for GetPart<'_> {
    type Response = (Few<Reply>, Result<(), Error>);

    /// Always text: one `get` for many keys is answered in few packets, and costs less than an `mg` for each.
    fn encode(&self, _: Dialect, _: Now, out: &mut Outbox) -> Result<Shape, Error> {
        out.put(b"get");
        let mut ask = |key: &Key<'_>| {
            out.put(b" ");
            out.ask_key(*key);
        };
        match &self.which {
            Which::Run(run) => self.keys[run.start as usize..run.end as usize].iter().for_each(&mut ask),
            Which::Picked(picked) => picked.iter().for_each(|place| ask(&self.keys[*place as usize])),
        }
        out.put(b"\r\n");
        Ok(Shape::Values)
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<Self::Response, Error> {
        Ok((replies, end))
    }

    fn repeatable(&self) -> bool {
        true
    }
}
