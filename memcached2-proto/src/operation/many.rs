//! Several keys in one call.

use std::ops::Range;

use super::Operation;
use crate::call::{Outcomes, Parts};
use crate::command::{Command, Delete, Dialect, Fetch, GetPart, Keyed, Store};
use crate::data::ToValue;
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
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

    /// The results in their order, with `None` for each server that is down or out of reach: what `stats` and its siblings
    /// are read by while one of several is.
    ///
    /// ```
    /// use memcached2_proto::{Error, Many};
    ///
    /// let many: Many<u32> = [Ok(1), Err(Error::Down { server: None })].into_iter().collect();
    /// assert_eq!(many.of_those_up(), Ok(vec![Some(1), None]));
    /// ```
    ///
    /// # Errors
    ///
    /// The first error of another kind.
    pub fn of_those_up(self) -> Result<Vec<Option<T>>, Error> {
        let of_one = |result| match result {
            Ok(told) => Ok(Some(told)),
            Err(Error::Down { .. } | Error::Connect { .. } | Error::Disconnected { .. } | Error::Timeout { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        };
        self.0.into_iter().map(of_one).collect()
    }

    /// The results, with something in place of the failures of the cache ([`Error::is_a_miss`]).
    pub(crate) fn or(self, miss: impl Fn() -> T) -> Self {
        let forgive = |result| match result {
            Err(error) if Error::is_a_miss(&error) => Ok(miss()),
            result => result,
        };
        self.0.into_iter().map(forgive).collect()
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

impl Many<()> {
    /// Whether everything was stored.
    ///
    /// # Errors
    ///
    /// [`Error::MultiStorage`] with what became of each item, if one of them was not.
    pub fn all_stored(self) -> Result<(), Error> {
        match self.0.iter().all(Result::is_ok) {
            true => Ok(()),
            false => Err(Error::MultiStorage { results: self.0.into() }),
        }
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
    fetch: Fetch,
}

/// A request for many keys is split into lines of about this many bytes. memcached takes longer ones; managed services
/// and proxies take 16 KiB.
const LINE: usize = 8 * 1024;

/// The same for `gat` and `gats`: from memcached 1.4.3 to 1.6.13 a line that is neither `get` nor `gets` has 1024 bytes.
const TOUCHING_LINE: usize = 1000;

impl<'k> GetMany<'k> {
    /// Fetches the values of `keys`; one that stands there twice is fetched twice.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for the first of them that is none; nothing is asked then.
    pub fn new<K: AsRef<[u8]>>(keys: &'k [K]) -> Result<Self, Error> {
        Ok(Self { keys: keys.iter().map(Key::new).collect::<Result<_, _>>()?, fetch: Fetch::default() })
    }

    /// Fetches the versions of the items, too ([`Value::cas`]).
    #[must_use]
    pub fn with_cas(mut self) -> Self {
        self.fetch.cas = true;
        self
    }

    /// Gives the items a new expiry at the same time; needs memcached 1.5.3.
    #[must_use]
    pub fn touch(mut self, expiry: impl Into<Expiry>) -> Self {
        self.fetch.touch = Some(expiry.into());
        self
    }
}

impl Fetch {
    /// The longest line of keys.
    fn line(self) -> usize {
        if self.touch.is_some() { TOUCHING_LINE } else { LINE }
    }
}

/// Sends keys, each with its place, to their servers, as many in a line as fit; those that none can be asked for come
/// back.
fn spread<'k>(
    keys: impl Iterator<Item = (u32, Key<'k>)>,
    fetch: Fetch,
    parts: &mut Parts<'_, GetPart<'k>>,
) -> Vec<(u32, Key<'k>, Error)> {
    let router = parts.router();
    let mut left = Vec::new();
    let mut by_server = vec![(Vec::new(), Vec::new()); router.servers().len()];
    for (place, key) in keys {
        match parts.assign(key) {
            Err(error) => left.push((place, key, error)),
            Ok(server) => {
                let (keys, places) = &mut by_server[server.index()];
                keys.push(key);
                places.push(place);
            }
        }
    }
    for (server, (keys, places)) in router.ids().zip(by_server) {
        for line in lines(&keys, (fetch.line(), router.prefix_length())) {
            parts.push(Ok(server), GetPart::picked(keys[line.clone()].to_vec(), places[line].to_vec(), fetch));
        }
    }
    left
}

/// A list of keys has at most 2^32 of them: more would not fit the memory of their references.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Splits keys into runs that fit a line each, with the prefix that is written before every key.
fn lines(keys: &[Key<'_>], (length, prefix): (usize, usize)) -> impl Iterator<Item = Range<usize>> {
    let mut begun = 0;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = keys[begun..].iter().take_while(|key| {
            bytes += prefix + key.as_bytes().len() + 1;
            bytes <= length
        });
        let line = begun..begun + fitting.count();
        begun = line.end;
        (!line.is_empty()).then_some(line)
    })
}

impl<'k> Operation for GetMany<'k> {
    type Part = GetPart<'k>;
    type Output = Many<Option<Value>>;
    /// How many keys there are.
    type Rest = usize;

    fn plan(self, parts: &mut Parts<'_, GetPart<'k>>) -> usize {
        let (count, fetch, router) = (self.keys.len(), self.fetch, parts.router());
        // With a prefix each key may be too long for itself; a server that is down is not asked.
        let is_plain = router.prefix_length() == 0 && router.is_calm();
        if let ([server], true) = (router.ids().collect::<Few<_>>().as_slice(), is_plain) {
            for line in lines(&self.keys, (fetch.line(), 0)) {
                parts.push(Ok(*server), GetPart::run(self.keys[line.clone()].to_vec(), short(line.start), fetch));
            }
            return count;
        }
        for (place, key, error) in spread((0..).zip(self.keys), fetch, parts) {
            parts.push(Err(error), GetPart::run(vec![key], place, fetch));
        }
        count
    }

    fn replan(_: &usize, part: GetPart<'k>, parts: &mut Parts<'_, GetPart<'k>>) -> Option<GetPart<'k>> {
        let fetch = part.fetch();
        let left = spread(part.into_keys(), fetch, parts);
        let (keys, places): (Vec<_>, Vec<_>) = left.into_iter().map(|(place, key, _)| (key, place)).unzip();
        (!keys.is_empty()).then(|| GetPart::picked(keys, places, fetch))
    }

    fn forgive(outcome: Result<Self::Output, Error>, _: Option<Self::Output>) -> Result<Self::Output, Error> {
        outcome.map(|many| many.or(|| None))
    }

    fn merge(count: usize, outcomes: Outcomes<'_, GetPart<'k>>) -> Result<Self::Output, Error> {
        let mut results = Vec::with_capacity(count);
        results.resize_with(count, || Ok(None));
        for (part, outcome) in outcomes {
            let (replies, end) = outcome.unwrap_or_else(|error| (Few::None, Err(error)));
            for reply in replies {
                if let Reply::Value(index, value) = reply {
                    if let Some(result) = part.place(index).and_then(|place| results.get_mut(place)) {
                        *result = match part.is_answered_by(&value) {
                            true => Ok(Some(value)),
                            false => Err(Error::protocol("got a value without the cas that was asked for")),
                        };
                    }
                }
            }
            // What came before the failure is kept; all else of this part has failed, since nobody knows of a miss.
            if let Err(error) = end {
                for place in part.places() {
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
    results.resize_with(count, || Err(Error::Closed));
    for (part, result) in outcomes {
        results[part.place as usize] = result;
    }
    Many(results)
}

impl<C: Command> Command for Placed<C> {
    type Response = C::Response;

    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn encode(&self, dialect: Dialect, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        self.command.encode(dialect, now, out)
    }

    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<C::Response, Error> {
        self.command.answer(replies, end)
    }

    fn repeatable(&self) -> bool {
        self.command.repeatable()
    }
}
