//! What is asked through the proxy, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use futures::future::join_all;
use memcached2_proto::command::Incr;
use memcached2_proto::operation::GetMany;
use memcached2_proto::{Error, Get, Landed, Store};

use super::subject::Subject;

/// A key, and whether it is on the server that will be killed.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) doomed: bool,
}

/// The outcome of a key in a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Done,
    /// The proxy has said that its server is down.
    Behind,
    /// The connection was lost.
    Lost(&'static str),
    /// Something that may not be.
    Wrong(String),
}

/// How often a verb came to a fate, for keys that are doomed or not.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(&'static str, bool, Fate), usize>>);

impl Tally {
    fn note<T>(&self, verb: &'static str, place: &Place, result: Result<T, Error>) {
        let fate = match result {
            Ok(_) => Fate::Done,
            // The proxy may have lost its connection to the server after the server carried out the request.
            Err(error @ Error::Refused { .. }) => {
                let is_behind = matches!(&error, Error::Refused { line, .. } if line.starts_with("SERVER_ERROR "));
                let is_unproven = if verb.starts_with("get") { Landed::NotSent } else { Landed::Unknown };
                match is_behind && error.landed() == is_unproven {
                    true => Fate::Behind,
                    false => Fate::Wrong(error.to_string()),
                }
            }
            Err(Error::Disconnected { landed, .. }) => Fate::Lost(match landed {
                Landed::NotSent => "not sent",
                Landed::Refused => "refused",
                Landed::Unknown => "unknown",
            }),
            Err(error) => Fate::Wrong(error.to_string()),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((verb, place.doomed, fate)).or_default() += 1;
    }

    /// How many keys have come to such an end.
    pub(crate) fn count(&self, is_one: impl Fn(&str, bool, &Fate) -> bool) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|((verb, doomed, fate), _)| is_one(verb, *doomed, fate)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().try_for_each(|((verb, doomed, fate), count)| {
            let of = if *doomed { "doomed" } else { "living" };
            write!(f, "\n  {verb} of {of} keys: {fate:?}: {count}")
        })
    }
}

/// All that is asked for.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) words: Vec<Place>,
    pub(crate) counters: Vec<Place>,
}

impl Places {
    /// One call of ten is for many keys.
    async fn ask<S: Subject>(&self, client: &S, call: usize, tally: &Tally) {
        let [word, counter] = [&self.words, &self.counters].map(|places| &places[call * 7 % places.len()]);
        match call % 10 {
            0..=4 => get(client, word, tally).await,
            5 | 6 => set(client, word, tally).await,
            7 | 8 => incr(client, counter, tally).await,
            _ => {
                let many: Vec<_> = (0..10).map(|at| &self.words[(call * 3 + at * 5) % self.words.len()]).collect();
                get_many(client, &many, tally).await;
            }
        }
    }
}

pub(crate) async fn get<S: Subject>(client: &S, place: &Place, tally: &Tally) {
    let found = client.ask(Get::new(&place.key).unwrap()).await;
    let fresh = found.map(|found| assert_eq!(found.as_ref().map(|value| value.data()), Some(place.key.as_bytes())));
    tally.note("get", place, fresh);
}

pub(crate) async fn set<S: Subject>(client: &S, place: &Place, tally: &Tally) {
    tally.note("set", place, client.ask(Store::set(&place.key, &place.key).unwrap()).await);
}

pub(crate) async fn incr<S: Subject>(client: &S, place: &Place, tally: &Tally) {
    let counted = client.ask(Incr::new(&place.key, 1).unwrap()).await;
    tally.note("incr", place, counted.map(|counted| assert!(counted.is_some_and(|counted| counted > 0))));
}

pub(crate) async fn get_many<S: Subject>(client: &S, many: &[&Place], tally: &Tally) {
    let keys: Vec<_> = many.iter().map(|place| &place.key).collect();
    let found = client.ask(GetMany::new(&keys).unwrap()).await.unwrap();
    assert_eq!(found.len(), many.len());
    for (place, found) in many.iter().zip(found) {
        let value = found.map(|found| assert_eq!(found.as_ref().map(|value| value.data()), Some(place.key.as_bytes())));
        tally.note("get_many", place, value);
    }
}

/// This many callers run at the same time; `on_call` gets the number of each call before it starts.
pub(crate) fn crowd<S: Subject>(client: &S, places: &Places, calls: usize, on_call: impl Fn(usize) + Sync) -> Tally {
    let (tally, begun) = (Tally::default(), AtomicUsize::new(0));
    let (threads, each) = S::CALLERS;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                S::block_on(join_all((0..each).map(|_| async {
                    loop {
                        let call = begun.fetch_add(1, Ordering::Relaxed);
                        if call >= calls {
                            break;
                        }
                        on_call(call);
                        places.ask(client, call, &tally).await;
                    }
                })));
            });
        }
    });
    tally
}
