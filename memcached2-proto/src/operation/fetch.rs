//! Several keys in as few requests as they fit.

use std::ops::Range;

use super::{Many, Operation, short};
use crate::call::{Outcomes, Parts};
use crate::command::{Fetch, GetPart};
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::reply::Reply;
use crate::time::Expiry;
use crate::value::Value;

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
    let (router, now) = (parts.router(), parts.begun());
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
        let length = if router.is_closer(server, now) { 0 } else { fetch.line() };
        for line in lines(&keys, (length, router.prefix_length())) {
            parts.push(Ok(server), GetPart::picked(keys[line.clone()].to_vec(), places[line].to_vec(), fetch));
        }
    }
    left
}

/// Splits keys into runs that fit a line each, with the prefix that is written before every key; of at least one key.
///
/// A key that may be `noreply` has a line of its own: memcached's proxy looks for another key where it is one of several.
fn lines(keys: &[Key<'_>], (length, prefix): (usize, usize)) -> impl Iterator<Item = Range<usize>> {
    let is_option = |key: &Key<'_>| key.as_bytes().ends_with(b"noreply");
    let mut begun = 0;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = keys[begun..].iter().take_while(|key| {
            bytes += prefix + key.as_bytes().len() + 1;
            bytes <= length && !is_option(key)
        });
        let count = fitting.count().max(usize::from(begun < keys.len()));
        let line = begun..begun + count;
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
        // With a prefix each key may be too long for itself; a server that is down is not asked, or for one key at a time.
        let is_plain = router.prefix_length() == 0 && router.is_calm() && router.has_no_closers();
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
                for (place, key) in part.keys_in_place() {
                    if let Some(result @ Ok(None)) = results.get_mut(place) {
                        *result = Err(error.clone().of_key(key));
                    }
                }
            }
        }
        Ok(Many::from(results))
    }
}
