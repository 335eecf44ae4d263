//! Several keys in one call.

use super::Operation;
use crate::call::{Outcomes, Parts};
use crate::command::{Command, Dialect, GetPart, Keyed, Set};
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::router::Router;
use crate::time::{Expiry, Now};
use crate::value::Value;

/// What became of each item of a batch, in the order asked: an item that failed does not hide the others.
///
/// ```
/// use memcached2_proto::{Error, Many};
///
/// let many: Many<u32> = [Ok(1), Err(Error::NotStored), Ok(3)].into_iter().collect();
/// assert_eq!(many.iter().filter_map(|result| result.ok()).sum::<u32>(), 4);
/// assert_eq!(many.all(), Err(Error::NotStored));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an item may have failed"]
pub struct Many<T>(Vec<Result<T, Error>>);

impl<T> Many<T> {
    /// All results, or the first error.
    ///
    /// # Errors
    ///
    /// The error of the first item that failed.
    pub fn all(self) -> Result<Vec<T>, Error> {
        self.0.into_iter().collect()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What became of each item.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<&T, &Error>> {
        self.0.iter().map(Result::as_ref)
    }
}

impl<T> IntoIterator for Many<T> {
    type Item = Result<T, Error>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> FromIterator<Result<T, Error>> for Many<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, Error>>>(results: I) -> Self {
        Self(results.into_iter().collect())
    }
}

/// Fetches the values of many keys.
#[derive(Debug, Clone)]
pub struct GetMany<'k> {
    keys: Vec<Key<'k>>,
}

/// A request for many keys is split into lines of about this many bytes. memcached takes longer ones; managed services
/// and proxies take 16 KiB.
const LINE: usize = 8 * 1024;

impl<'k> GetMany<'k> {
    /// Fetches the values of `keys`; one that stands there twice is fetched twice.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for the first of them that is none; nothing is asked then.
    pub fn new<K: AsRef<[u8]>>(keys: &'k [K]) -> Result<Self, Error> {
        Ok(Self { keys: keys.iter().map(Key::new).collect::<Result<_, _>>()? })
    }

    /// Asks one server for the keys at `places`, in lines of bounded length.
    fn split(
        &self,
        places: impl Iterator<Item = u32>,
        mut flush: impl FnMut(std::ops::Range<usize>),
    ) {
        let mut bytes = 0;
        let mut begun = 0;
        let mut count = 0;
        for place in places {
            let length = self.keys[place as usize].as_bytes().len() + 1;
            if bytes + length > LINE && count > begun {
                flush(begun..count);
                (begun, bytes) = (count, 0);
            }
            bytes += length;
            count += 1;
        }
        if count > begun {
            flush(begun..count);
        }
    }
}

/// A list of keys has at most 2^32 of them: more would not fit the memory of their references.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl Operation for GetMany<'_> {
    type Part<'a>
        = GetPart<'a>
    where
        Self: 'a;
    type Output = Many<Option<Value>>;

    fn plan<'a>(&'a self, router: &Router, _: Now, parts: &mut Parts<GetPart<'a>>) {
        if let [server] = router.ids().collect::<Few<_>>().as_slice() {
            self.split(0..short(self.keys.len()), |run| {
                parts.push(Ok(*server), GetPart::run(&self.keys, short(run.start)..short(run.end)));
            });
            return;
        }
        let mut by_server = vec![Vec::new(); router.servers().len()];
        for (place, key) in self.keys.iter().enumerate() {
            match router.route(*key) {
                Ok(server) => by_server[server.index()].push(short(place)),
                Err(error) => parts.push(Err(error), GetPart::picked(&self.keys, vec![short(place)])),
            }
        }
        for (server, places) in router.ids().zip(by_server) {
            self.split(places.iter().copied(), |run| {
                parts.push(Ok(server), GetPart::picked(&self.keys, places[run].to_vec()));
            });
        }
    }

    fn merge<'a>(&'a self, outcomes: Outcomes<'_, GetPart<'a>>) -> Result<Self::Output, Error> {
        let mut results = Vec::with_capacity(self.keys.len());
        results.resize_with(self.keys.len(), || Ok(None));
        for (part, outcome) in outcomes {
            let (replies, mut end) = match outcome {
                Ok(answer) => answer,
                Err(error) => (Few::None, Err(error)),
            };
            for reply in replies {
                match reply {
                    Reply::Value(index, value) => {
                        if let Some(result) = part.place(index).and_then(|place| results.get_mut(place)) {
                            *result = Ok(Some(value));
                        }
                    }
                    Reply::Refused(line) => end = Err(Error::refused(&line)),
                    _ => {}
                }
            }
            // What came before the failure is kept; all else of this part has failed, since nobody knows of a miss.
            if let Err(error) = end {
                for place in (0..part.len()).filter_map(|index| part.place(index)) {
                    if let Some(result @ Ok(None)) = results.get_mut(place) {
                        *result = Err(error.clone());
                    }
                }
            }
        }
        Ok(Many(results))
    }
}

/// Stores many values.
#[derive(Debug, Clone)]
pub struct SetMany<'k, 'v> {
    items: Vec<Set<'k, 'v>>,
}

impl<'k, 'v> SetMany<'k, 'v> {
    /// Stores `items`, pairs of key and value, until `expiry`.
    ///
    /// # Errors
    ///
    /// What [`Set::new`] says of the first of them that is wrong; nothing is stored then.
    pub fn new<K: AsRef<[u8]>, V: AsRef<[u8]>>(items: &'k [(K, V)], expiry: Expiry) -> Result<Self, Error>
    where
        'k: 'v,
    {
        let items = items.iter().map(|(key, value)| Ok(Set::new(key, value.as_ref())?.expiry(expiry)));
        Ok(Self { items: items.collect::<Result<_, Error>>()? })
    }

    /// Stores `items`, each with flags and expiry of its own.
    #[must_use]
    pub fn of(items: Vec<Set<'k, 'v>>) -> Self {
        Self { items }
    }
}

/// One of the values to be stored, and its place among them.
#[derive(Debug, Clone, Copy)]
pub struct SetPart<'a> {
    set: &'a Set<'a, 'a>,
    place: u32,
}

impl Operation for SetMany<'_, '_> {
    type Part<'a>
        = SetPart<'a>
    where
        Self: 'a;
    type Output = Many<()>;

    fn plan<'a>(&'a self, router: &Router, _: Now, parts: &mut Parts<SetPart<'a>>) {
        parts.reserve(self.items.len());
        for (place, set) in self.items.iter().enumerate() {
            parts.push(router.route(set.key()), SetPart { set, place: short(place) });
        }
    }

    fn merge<'a>(&'a self, outcomes: Outcomes<'_, SetPart<'a>>) -> Result<Self::Output, Error> {
        let mut results = vec![Ok(()); self.items.len()];
        for (part, result) in outcomes {
            results[part.place as usize] = result;
        }
        Ok(Many(results))
    }
}

impl Command for SetPart<'_> {
    type Response = ();

    fn encode(&self, dialect: Dialect, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        self.set.encode(dialect, now, out)
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<(), Error> {
        self.set.answer(replies, end)
    }
}
