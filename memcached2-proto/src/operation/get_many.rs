//! Several keys in as few requests as they fit.

use std::ops::Range;

use super::BatchResult;
use crate::call::{Operation, Plan, Progress};
use crate::command::{GetOptions, GetPart};
use crate::error::Error;
use crate::key::Key;
use crate::reply::Reply;
use crate::routing::ServerId;
use crate::time::Expiry;
use crate::value::Value;

/// Fetches the values of many keys.
#[derive(Debug, Clone)]
pub struct GetMany<'k> {
    keys: Vec<Key<'k>>,
    options: GetOptions,
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
    /// [`Error::Key`] for the first wrong key; nothing is sent then.
    pub fn new<K: AsRef<[u8]>>(keys: &'k [K]) -> Result<Self, Error> {
        let mut checked = Vec::with_capacity(keys.len());
        for key in keys {
            checked.push(Key::new(key)?);
        }
        Ok(Self { keys: checked, options: GetOptions::default() })
    }

    /// Fetches the versions of the items, too ([`Value::cas`]).
    #[must_use]
    pub fn with_cas(mut self) -> Self {
        self.options.cas = true;
        self
    }

    /// Gives the items a new expiry at the same time; needs memcached 1.5.3.
    #[must_use]
    pub fn touch(mut self, expiry: impl Into<Expiry>) -> Self {
        self.options.touch = Some(expiry.into());
        self
    }
}

impl GetOptions {
    /// The longest line of keys.
    fn line(self) -> usize {
        if self.touch.is_some() { TOUCHING_LINE } else { LINE }
    }
}

/// Splits keys into runs that fit a line each, with the prefix that is written before every key; of at least one key.
///
/// A key that ends with `noreply` has its own line: memcached's proxy reads another key if it is one of several.
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

/// Many keys, as many as fit in each request, under way.
#[derive(Debug)]
pub struct Getting<'k> {
    requests: Vec<GetPart<'k>>,
    results: Vec<Result<Option<Value>, Error>>,
}

impl<'k> Operation for GetMany<'k> {
    type Output = BatchResult<Option<Value>>;
    type Progress = Getting<'k>;

    fn start(self, plan: &mut Plan<'_>) -> Getting<'k> {
        let Self { keys, options } = self;
        let results = keys.iter().map(|_| Ok(None)).collect();
        let mut getting = Getting { requests: Vec::new(), results };
        let router = plan.router();
        // With a prefix each key may be too long for itself; a server that is down is not asked, or for one key at a time.
        let is_plain =
            router.journal().is_none() && router.prefix_length() == 0 && router.all_up() && router.has_no_closers();
        if let (Some(server), true) = (router.only_server(), is_plain) {
            for line in lines(&keys, (options.line(), 0)) {
                let request = GetPart::run(keys[line.clone()].to_vec(), line.start, options);
                getting.add(request, server, plan);
            }
            return getting;
        }
        for (place, key, error) in getting.spread(keys.into_iter().enumerate(), options, plan) {
            getting.requests.push(GetPart::run(vec![key], place, options));
            plan.refuse(getting.requests.len() - 1, error);
        }
        getting
    }
}

impl<'k> Getting<'k> {
    /// Takes a reply that is not the value that was asked for.
    #[cold]
    fn take_failure(&mut self, index: usize, reply: &Reply) {
        let request = &self.requests[index];
        let (at, error) = match *reply {
            Reply::Value(at, _) => (at as usize, request.without_cas(at as usize)),
            Reply::NoMemory(at, length) => (at as usize, request.no_memory(at as usize, length)),
            _ => return,
        };
        if let Some(result) = request.place(at).and_then(|place| self.results.get_mut(place)) {
            *result = Err(error);
        }
    }

    fn add(&mut self, request: GetPart<'k>, server: ServerId, plan: &mut Plan<'_>) {
        plan.push(server, self.requests.len());
        self.requests.push(request);
    }

    /// Plans requests for keys, each with its place, as many in a line as fit. Returns the keys for which there is no
    /// server.
    fn spread(
        &mut self,
        keys: impl Iterator<Item = (usize, Key<'k>)>,
        options: GetOptions,
        plan: &mut Plan<'_>,
    ) -> Vec<(usize, Key<'k>, Error)> {
        let (router, now) = (plan.router(), plan.now());
        let mut left = Vec::new();
        let mut by_server = vec![(Vec::new(), Vec::new()); router.servers().len()];
        for (place, key) in keys {
            match plan.assign(key) {
                Err(error) => left.push((place, key, error)),
                Ok(server) => {
                    let (keys, places) = &mut by_server[server.index()];
                    keys.push(key);
                    places.push(place);
                }
            }
        }
        for (server, (keys, places)) in router.ids().zip(by_server) {
            let length = if router.is_closer(server, now) { 0 } else { options.line() };
            for line in lines(&keys, (length, router.prefix_length())) {
                let request = GetPart::picked(keys[line.clone()].to_vec(), places[line].to_vec(), options);
                self.add(request, server, plan);
            }
        }
        left
    }
}

impl<'k> Progress for Getting<'k> {
    type Command = GetPart<'k>;
    type Output = BatchResult<Option<Value>>;

    #[inline]
    fn command(&self, index: usize) -> &GetPart<'k> {
        &self.requests[index]
    }

    fn take_reply(&mut self, index: usize, reply: Reply) {
        match reply {
            Reply::Value(place, value) => self.take_value(index, place, value),
            reply => self.take_failure(index, &reply),
        }
    }

    #[inline]
    fn take_value(&mut self, index: usize, place: u32, value: Value) {
        let request = &self.requests[index];
        if !request.is_answered_by(&value) {
            return self.take_failure(index, &Reply::Value(place, value));
        }
        if let Some(result) = request.place(place as usize).and_then(|place| self.results.get_mut(place)) {
            *result = Ok(Some(value));
        }
    }

    /// Values that came before a failure are kept. The other keys of the request have failed: whether they are misses
    /// is unknown.
    fn end(&mut self, index: usize, result: Result<Reply, Error>) {
        let error = match result {
            Ok(reply) => return self.take_reply(index, reply),
            Err(error) => error,
        };
        for (place, key) in self.requests[index].keys_in_place() {
            if let Some(result @ Ok(None)) = self.results.get_mut(place) {
                *result = Err(error.clone().of_key(key.as_bytes()));
            }
        }
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        let request = &mut self.requests[index];
        let options = request.options();
        let results = &self.results;
        // Those that were found, if the next replica is asked for the others, are not asked for again.
        let is_missing = |(place, _): &(usize, Key<'_>)| matches!(results.get(*place), Some(Ok(None)));
        let keys: Vec<_> = request.take_keys().filter(is_missing).collect();
        let left = self.spread(keys.into_iter(), options, plan);
        let (keys, places): (Vec<_>, Vec<_>) = left.into_iter().map(|(place, key, _)| (key, place)).unzip();
        let all_are_planned = keys.is_empty();
        self.requests[index] = GetPart::picked(keys, places, options);
        all_are_planned
    }

    fn finish(self) -> Result<Self::Output, Error> {
        Ok(BatchResult::from(self.results))
    }
}
