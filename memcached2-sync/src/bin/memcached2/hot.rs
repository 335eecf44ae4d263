//! `hot`: which keys are fetched most.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::Args;
use memcached2_sync::{Bytes, WatchKind, Watcher};
use serde_json::json;

use crate::args::duration;
use crate::fleet::Fleet;
use crate::output::{Failure, Outcome, Output, bytes_field, complain, shown};
use crate::table::{Table, percent, rate};
use crate::watch::watch;

/// Prints the keys that are fetched most: how often, and how many of the fetches have found something
#[derive(Debug, Args)]
pub(crate) struct Hot {
    /// How long servers are watched
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "10s")]
    time: Duration,
    /// How many keys are printed
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    count: usize,
    /// How many keys are counted at once; with more, the rarest are forgotten
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,
}

/// What was seen of a key.
#[derive(Debug, Default)]
struct Count {
    fetched: u64,
    found: u64,
}

/// Counts fetches by key, for a limited number of keys.
///
/// When there are too many, those that were fetched least are forgotten, half of them at least. A key that comes again then begins
/// at 0: so each count may be too low, by no more than `short` (as by Misra and Gries, "Finding repeated elements", 1982).
#[derive(Debug)]
struct Counts {
    keys: HashMap<Bytes, Count>,
    limit: usize,
    short: u64,
    fetched: u64,
}

impl Counts {
    fn new(limit: usize) -> Self {
        Self { keys: HashMap::new(), limit, short: 0, fetched: 0 }
    }

    fn add(&mut self, key: &[u8], is_found: bool) {
        self.fetched += 1;
        if let Some(count) = self.keys.get_mut(key) {
            (count.fetched, count.found) = (count.fetched + 1, count.found + u64::from(is_found));
            return;
        }
        if self.keys.len() == self.limit {
            let mut counts: Vec<_> = self.keys.values().map(|count| count.fetched).collect();
            let middle = counts.len() / 2;
            let least = *counts.select_nth_unstable(middle).1;
            self.keys.retain(|_, count| count.fetched > least);
            self.short += least;
        }
        self.keys.insert(Bytes::copy_from_slice(key), Count { fetched: 1, found: is_found.into() });
    }

    /// The keys that were fetched most, those first; of two that were fetched as often the first by its name.
    fn hottest(&self, count: usize) -> Vec<(&Bytes, &Count)> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_unstable_by(|(key, one), (other, two)| two.fetched.cmp(&one.fetched).then(key.cmp(other)));
        keys.truncate(count);
        keys
    }
}

impl Hot {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        let (names, events) = watch(&client, [Watcher::Fetchers]);
        let prefix = fleet.options.prefix.as_deref().unwrap_or_default();
        let mut counts = Counts::new(usize::try_from(self.keys).unwrap_or(usize::MAX));
        let (mut outcome, mut skipped) = (Outcome::Done, 0_u64);
        let begun = Instant::now();
        loop {
            match events.recv_timeout(self.time.saturating_sub(begun.elapsed())) {
                Ok((_, Err(error))) => {
                    complain(&error.to_string());
                    outcome = Outcome::Missing;
                }
                Ok((_, Ok(event))) => match &event.kind {
                    WatchKind::Fetched { key, status, .. } => {
                        if let Some(key) = key.strip_prefix(prefix) {
                            counts.add(key, &**status == "found");
                        }
                    }
                    WatchKind::Skipped(count) => skipped = skipped.saturating_add(*count),
                    _ => {}
                },
                // The time is over, or all servers have ended.
                Err(_) => break,
            }
            if begun.elapsed() >= self.time {
                break;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        if skipped > 0 {
            complain(&format!("servers have skipped {skipped} fetches, which they could not report in time"));
        }
        if counts.short > 0 {
            complain(&format!("there were too many keys: each count may be too low by up to {}", counts.short));
        }
        let selection = client.router();
        let mut table = Table::new(2, ["key", "server", "fetches", "per second", "share", "hits"]);
        for (key, Count { fetched, found }) in counts.hottest(self.count) {
            let server = memcached2_sync::proto::command::RoutingKey::new(key).ok();
            let server = server.and_then(|key| selection.route(key).ok()).and_then(|id| names.get(id.index()));
            let per_second = *fetched as f64 / seconds;
            if out.is_json {
                let fields = [
                    ("server", json!(server)),
                    ("fetches", json!(fetched)),
                    ("per_second", json!(per_second)),
                    ("share", json!(*fetched as f64 / counts.fetched as f64)),
                    ("hits", json!(found)),
                ];
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                out.json([bytes_field("key", key)].into_iter().chain(fields))?;
            } else {
                let server = server.map_or("-", String::as_str).to_owned();
                let share = percent(*fetched, counts.fetched);
                table.row([
                    shown(key),
                    server,
                    fetched.to_string(),
                    rate(per_second),
                    share,
                    percent(*found, *fetched),
                ]);
            }
        }
        if !out.is_json {
            table.print(out)?;
            let shown = counts.fetched.to_string();
            out.line(&format!("{shown} fetches of {} keys in {seconds:.1} s", counts.keys.len()))?;
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_keys_are_found_among_more_than_are_counted_at_once() {
        let mut counts = Counts::new(64);
        // Two hot keys among 10,000 that come once.
        for number in 0..10_000_u32 {
            counts.add(&number.to_be_bytes(), false);
            if number % 2 == 0 {
                counts.add(b"hot", true);
            }
            if number % 4 == 0 {
                counts.add(b"warm", number % 8 == 0);
            }
            assert!(counts.keys.len() <= 64);
        }
        let hottest: Vec<_> = counts.hottest(2).into_iter().map(|(key, count)| (&key[..], count)).collect();
        assert_eq!((hottest[0].0, hottest[1].0), (&b"hot"[..], &b"warm"[..]));
        for ((_, count), real) in hottest.iter().zip([5000, 2500]) {
            assert!(count.fetched <= real && count.fetched + counts.short >= real, "{count:?} of {real}");
        }
        assert_eq!((counts.fetched, hottest[0].1.found), (17_500, hottest[0].1.fetched));
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut counts = Counts::new(64);
        for (key, is_found) in [("b", true), ("a", false), ("c", true), ("a", true)] {
            counts.add(key.as_bytes(), is_found);
        }
        let of = |(key, count): (&Bytes, &Count)| (key.clone(), count.fetched, count.found);
        let hottest: Vec<_> = counts.hottest(9).into_iter().map(of).collect();
        assert_eq!(hottest, [("a".into(), 2, 1), ("b".into(), 1, 1), ("c".into(), 1, 1)]);
        assert_eq!(counts.short, 0);
    }
}
