//! Keys of a part of a cache, which is cleared as a whole, and keys of any length: the rules of `client.namespace(..)`, without I/O.
//!
//! For users: [`LongKeys`] says what becomes of keys that memcached does not take.

mod generation;
mod item_key;

use std::time::{Duration, SystemTime};

use self::generation::Generation;
pub use self::generation::{Clearing, Question};
pub use self::item_key::{Framed, ItemKey, Opened, Place, Placed};
use crate::error::{Error, KeyProblem};
use crate::key::Key;
use crate::time::Instant;

/// What becomes of a key that memcached does not take: one that is too long with its namespace and the client's prefix, or
/// contains a blank or control byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LongKeys {
    /// It is [`Error::Key`].
    #[default]
    Refuse,
    /// Its SHA-256 takes its place: `sha256:` and 43 characters of base64url. Two keys with the same one are not known, and nobody
    /// can find them on purpose, unlike with a faster hash: keys are often made by users. Shorter keys stay as they are, unless
    /// one looks like such a hash.
    #[cfg(feature = "long-keys")]
    #[cfg_attr(docsrs, doc(cfg(feature = "long-keys")))]
    Hash,
    /// The same, and the whole key is stored before the value: 4 bytes of its length, the key, the value. What is fetched with
    /// another key before it is a miss. Such items can only be stored, fetched, touched and deleted as a whole:
    /// `append`, `prepend`, the counters, `refresh_cas`, `cache` and `fetch` are [`Error::Argument`].
    #[cfg(feature = "long-keys")]
    #[cfg_attr(docsrs, doc(cfg(feature = "long-keys")))]
    HashAndCheck,
}

/// What the clones of a namespace share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Space {
    /// Its name and a colon; empty for all keys of a client, which have no generation.
    name: Box<[u8]>,
    generation_key: Box<[u8]>,
    generation: Generation,
    /// How many bytes of a key are left beside the client's prefix.
    length: usize,
}

/// The longest hash of a key, and the digits of a generation with a colon: what a name leaves room for.
const RESERVED: usize = item_key::HASHED + 21;

#[doc(hidden)]
impl Space {
    /// The namespace with this name, of a client with a prefix of this length.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the name is no key, or too long.
    pub fn new(name: &[u8], prefix: usize) -> Result<Self, Error> {
        Key::new(name)?;
        let space = Self::with_name([name, b":"].concat(), [name, b":generation"].concat(), prefix);
        match space.name.len() + RESERVED <= space.length {
            true => Ok(space),
            false => Err(Error::invalid_key(name, KeyProblem::TooLong { length: prefix + name.len() + 1 + RESERVED })),
        }
    }

    /// All keys of a client.
    #[must_use]
    pub fn whole(prefix: usize) -> Self {
        Self::with_name(Vec::new(), Vec::new(), prefix)
    }

    fn with_name(name: Vec<u8>, generation_key: Vec<u8>, prefix: usize) -> Self {
        Self {
            name: name.into(),
            generation_key: generation_key.into(),
            generation: Generation::default(),
            length: Key::MAX.saturating_sub(prefix),
        }
    }

    /// The key of the number of the generation.
    #[must_use]
    pub fn generation_key(&self) -> &[u8] {
        &self.generation_key
    }

    /// Where keys are now, or what to ask the server before.
    ///
    /// # Errors
    ///
    /// The question.
    pub fn place(&self, now: Instant, check_after: Duration, long_keys: LongKeys) -> Result<Place, Question> {
        match self.name.is_empty() {
            true => Ok(self.place_of(None, long_keys)),
            false => self.generation.begin(now, check_after).map(|number| self.place_of(Some(number), long_keys)),
        }
    }

    /// Where keys are if the server could not be asked: where they were, for the rest of the time.
    #[must_use]
    pub fn known_place(&self, now: Instant, check_after: Duration, long_keys: LongKeys) -> Option<Place> {
        self.generation.known(now, check_after).map(|number| self.place_of(Some(number), long_keys))
    }

    /// Where keys are in the generation that a server has returned.
    ///
    /// # Errors
    ///
    /// By how much to raise the number on the server, which is lower than one that was known when it was asked for.
    pub fn answered(
        &self,
        question: &Question,
        number: u64,
        now: SystemTime,
        long_keys: LongKeys,
    ) -> Result<Place, u64> {
        self.generation.answered(question, number, now).map(|number| self.place_of(Some(number), long_keys))
    }

    /// Forgets what the server has said: the number is about to change.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is no generation.
    pub fn forget(&self, now: Instant) -> Result<Clearing<'_>, Error> {
        match self.name.is_empty() {
            true => Err(Error::argument("the keys of a client without a namespace are only cleared by `flush_all`")),
            false => Ok(self.generation.forget(now)),
        }
    }

    /// The number of a generation that begins now, if the server has none.
    #[must_use]
    pub fn first(&self, now: SystemTime) -> u64 {
        self.generation.first(now)
    }

    /// The error of a server whose number goes back whenever it is asked.
    #[must_use]
    pub fn went_back(&self) -> Error {
        Error::value("the generation of the namespace is lower than it was").of_key(&self.generation_key)
    }

    fn place_of(&self, generation: Option<u64>, long_keys: LongKeys) -> Place {
        let mut begin = self.name.to_vec();
        if let Some(number) = generation {
            begin.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            begin.push(b':');
        }
        Place::new(begin, long_keys, self.length)
    }
}

#[cfg(test)]
mod tests;
