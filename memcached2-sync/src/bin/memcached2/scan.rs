//! Going over all items of servers, some at a time.

use std::time::{Duration, Instant};

use memcached2_sync::proto::command::meta::{MetaDelete, MetaGet};
use memcached2_sync::proto::fetch::{FetchPolicy, Found};
use memcached2_sync::proto::operation::Batch;
use memcached2_sync::{Client, DumpedItem, Error, Key};

use crate::fleet::Fleet;
use crate::items::BATCH;
use crate::output::{Failure, Outcome, complain};
use crate::progress::Progress;
use crate::record::{Record, unix_now};

/// Values of at most this many bytes are fetched at once, by what the server says of their size.
const BATCH_BYTES: u64 = 4 << 20;

/// How long a server may be busy with another dump, or with its own search for expired items.
const BUSY: Duration = Duration::from_secs(10);

/// An item of a server as its dump lists it.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its key without the prefix of the client.
    pub(crate) key: Vec<u8>,
    /// How many seconds it stays, by the clock of its server; `None` is until it is evicted.
    pub(crate) ttl: Option<u64>,
    pub(crate) item: DumpedItem,
}

/// Calls `each` with the items of each server, some at a time. A server that fails is reported, and the next one follows.
pub(crate) fn scan(
    fleet: &Fleet,
    mut progress: Progress,
    mut each: impl FnMut(&str, &Client, Vec<&Listed>) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    let servers = fleet.each()?;
    let stats: Vec<_> =
        servers.iter().map(|(_, client)| client.stats().and_then(|all| Ok(all.into_result()?.pop()))).collect();
    let number = |stats: &Result<Option<memcached2_sync::Report>, Error>, name| {
        stats.as_ref().ok().and_then(|stats| stats.as_ref()?.number(name))
    };
    progress.total = stats.iter().filter_map(|stats| number(stats, "curr_items")).fold(0, u64::saturating_add);
    for ((server, client), stats) in servers.iter().zip(&stats) {
        // Its dump has moments of its own clock.
        let clock = Clock { server: number(stats, "time").unwrap_or_else(unix_now), asked: Instant::now() };
        let prefix = fleet.options.prefix.as_deref().unwrap_or_default();
        let (mut batch, mut size) = (Vec::new(), 0);
        let mut give = |batch: &mut Vec<Listed>, size: &mut u64| {
            let ended = each(server, client, batch.iter().collect())?;
            progress.add(batch.len() as u64, *size);
            batch.clear();
            *size = 0;
            Ok::<_, Failure>(ended)
        };
        for item in dumped(client) {
            match item {
                Ok(item) => {
                    let Some(key) = item.key.strip_prefix(prefix).filter(|key| !key.is_empty()) else { continue };
                    size = item.size.unwrap_or(0).saturating_add(size);
                    batch.push(Listed { key: key.to_vec(), ttl: item.exptime.map(|at| clock.until(at)), item });
                    if batch.len() >= BATCH || size >= BATCH_BYTES {
                        outcome = outcome.and(give(&mut batch, &mut size)?);
                    }
                }
                Err(error) => {
                    complain(&format!("{error}; not all items of {server} were listed"));
                    outcome = outcome.and(Outcome::Missing);
                }
            }
        }
        if !batch.is_empty() {
            outcome = outcome.and(give(&mut batch, &mut size)?);
        }
    }
    Ok(outcome)
}

/// The clock of a server, when it was asked for it.
struct Clock {
    server: u64,
    asked: Instant,
}

impl Clock {
    fn until(&self, at: u64) -> u64 {
        at.saturating_sub(self.server.saturating_add(self.asked.elapsed().as_secs()))
    }
}

/// The dump of the one server of a client, once it is not busy.
fn dumped(client: &Client) -> impl Iterator<Item = Result<DumpedItem, Error>> + use<> {
    let begun = Instant::now();
    loop {
        let mut dump = client.metadump();
        match dump.next() {
            Some(Err(Error::Refused { line, .. })) if line.starts_with("BUSY") && begun.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(100));
            }
            first => return first.into_iter().chain(dump),
        }
    }
}

/// Asks for an item, which does not count as a use of it; with its version, for [`give_up`].
pub(crate) fn look_at(key: &[u8]) -> Result<MetaGet<'_>, Error> {
    Ok(MetaGet::new(key)?.cas().no_bump())
}

/// Gives up the right to store anew these items, by their keys and versions. Whoever fetches an item first that is marked as stale has that
/// right, and no other.
pub(crate) fn give_up(client: &Client, won: &[(&[u8], u64)]) {
    let marks = won.iter().filter_map(|(key, cas)| Some(MetaDelete::new(*key).ok()?.invalidate().compare_cas(*cas)));
    // What has changed meanwhile, or is gone, is not theirs any more.
    drop(client.run(Batch::new(marks.collect())));
}

/// The items with their values, without those that are gone by now; and whether all could be fetched. It does not count as a use of the
/// items. One that is marked as stale, or stands for a value that is being computed, is as good as gone: elsewhere it would be a value.
pub(crate) fn fetch(client: &Client, listed: &[&Listed]) -> Result<(Vec<Record>, Outcome), Failure> {
    let (mut records, mut outcome) = (Vec::with_capacity(listed.len()), Outcome::Done);
    let mut classic = Vec::new();
    let (policy, mut won) = (FetchPolicy::new(Duration::ZERO), Vec::new());
    let (mut asked, mut commands) = (Vec::with_capacity(listed.len()), Vec::with_capacity(listed.len()));
    for listed in listed {
        match look_at(&listed.key) {
            Ok(command) => {
                asked.push(listed);
                commands.push(command.value().flags().ttl());
            }
            // It has a control character, and is too long to be encoded.
            Err(error) => {
                complain(&error.to_string());
                outcome = Outcome::Failed;
            }
        }
    }
    for (listed, found) in asked.into_iter().zip(client.run(Batch::new(commands))?) {
        match found {
            Ok(None) => {}
            Ok(Some(item)) if !matches!(policy.judge(Some(item.clone())), Found::Value(_)) => {
                won.extend(item.cas.filter(|_| item.win).map(|cas| (&*listed.key, cas)));
            }
            Ok(Some(item)) => {
                let ttl = item.ttl.and_then(|ttl| ttl.remaining()).map(|ttl| ttl.as_secs());
                let value = item.value.unwrap_or_default();
                if ttl != Some(0) {
                    let flags = item.flags.unwrap_or(value.flags);
                    records.push(Record { key: listed.key.clone(), value: value.into_bytes(), flags, ttl });
                }
            }
            Err(Error::NoMeta { .. }) if Key::new(&listed.key).is_ok() => classic.push(listed),
            Err(error) => {
                complain(&error.to_string());
                outcome = Outcome::Failed;
            }
        }
    }
    if !won.is_empty() {
        give_up(client, &won);
    }
    let keys: Vec<_> = classic.iter().map(|listed| &listed.key).collect();
    for (listed, found) in classic.iter().zip(client.get_many(&keys)?) {
        match found {
            Ok(Some(value)) if listed.ttl != Some(0) && !FetchPolicy::is_leased(&value) => {
                records.push(Record {
                    key: listed.key.clone(),
                    flags: value.flags,
                    value: value.into_bytes(),
                    ttl: listed.ttl,
                });
            }
            Ok(_) => {}
            Err(error) => {
                complain(&error.to_string());
                outcome = Outcome::Failed;
            }
        }
    }
    Ok((records, outcome))
}
