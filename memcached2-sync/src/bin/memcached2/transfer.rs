//! `dump`, `load`, `copy` and `warm`: items with their values, from servers to files and to other servers.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::mem::{Discriminant, discriminant};
use std::path::PathBuf;

use clap::Args;
use memcached2_sync::proto::command::Exists;
use memcached2_sync::proto::command::meta::{MetaSet, MetaSetMode};
use memcached2_sync::proto::operation::Batch;
use memcached2_sync::{Client, Error, Key, Landed, Selection, Store};
use serde_json::json;

use crate::args::selection;
use crate::fleet::Fleet;
use crate::items::BATCH;
use crate::output::{Failure, Outcome, Output, bytes_field, complain, shown};
use crate::progress::Progress;
use crate::record::Record;
use crate::scan::{Listed, fetch, give_up, look_at, scan};

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// With the values, as JSON, a line for each item: what `load` reads
    #[arg(long)]
    values: bool,
    /// Only the keys, a line each, as they are unless on a terminal: what `get -` and `delete -` read
    #[arg(long, conflicts_with_all = ["values", "json"])]
    keys: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// A file that `dump --values` wrote; the standard input unless given
    file: Option<PathBuf>,
    /// Stores only items whose keys are missing
    #[arg(long)]
    missing: bool,
    /// Lets items stay as long from now on as they had to when they were dumped
    #[arg(long)]
    anew: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The servers to store on
    #[arg(long, value_name = "SERVERS", value_delimiter = ',', required = true)]
    to: Vec<String>,
    /// The rule by which keys belong to them; the same unless given
    #[arg(long, value_name = "RULE", value_parser = selection)]
    to_selection: Option<Selection>,
    /// What stands before every key there; the same unless given
    #[arg(long, value_name = "PREFIX")]
    to_prefix: Option<String>,
}

/// How many bytes of a file are stored at once.
const BATCH_BYTES: usize = 4 << 20;

/// What became of the items.
#[derive(Debug, Default)]
struct Tally {
    stored: u64,
    /// Their keys were not missing.
    present: u64,
    failed: u64,
    /// The servers that have failed, each with how, and how many items it has failed after the one that was named.
    down: Vec<(Option<String>, Discriminant<Error>, u64)>,
}

impl Dump {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        scan(fleet, Progress::new(out.is_terminal), |server, client, listed| {
            if self.values {
                let (records, outcome) = fetch(client, &listed)?;
                for record in records {
                    out.json(record.fields())?;
                }
                return Ok(outcome);
            }
            let print = |outcome: Outcome, listed| Ok(outcome.and(self.print(server, listed, out)?));
            listed.into_iter().try_fold(Outcome::Done, print)
        })
    }

    fn print(&self, server: &str, Listed { key, ttl, item }: &Listed, out: &mut Output) -> io::Result<Outcome> {
        if self.keys && (key.contains(&b'\n') || key.ends_with(b"\r")) {
            complain(&format!("{} is no line: it would be read as another key; dump without --keys", shown(key)));
            return Ok(Outcome::Failed);
        }
        if self.keys {
            out.key(key)?;
        } else if out.is_json {
            out.json([
                bytes_field("key", key),
                ("ttl".into(), json!(ttl)),
                ("size".into(), json!(item.size)),
                ("flags".into(), json!(item.flags)),
                ("class".into(), json!(item.class)),
                ("fetched".into(), json!(item.fetched)),
                ("last_access".into(), json!(item.last_access)),
                ("server".into(), json!(server)),
            ])?;
        } else {
            let number =
                |number: Option<u64>, none: &str| number.map_or_else(|| none.to_owned(), |number| number.to_string());
            let (ttl, size, flags) = (number(*ttl, "never"), number(item.size, "-"), number(item.flags, "-"));
            out.line(&format!("{}\t{ttl}\t{size}\t{flags}", shown(key)))?;
        }
        Ok(Outcome::Done)
    }
}

impl Load {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        let (mut input, name): (Box<dyn BufRead>, _) = match &self.file {
            None => (Box::new(io::stdin().lock()), "the standard input".to_owned()),
            Some(path) => {
                let file = File::open(path);
                let file =
                    file.map_err(|error| Failure::because(format!("cannot read {}: {error}", path.display())))?;
                (Box::new(BufReader::new(file)), path.display().to_string())
            }
        };
        let mut tally = Tally::default();
        let loaded = self.load(&client, &mut *input, &name, &mut tally);
        // What was stored, too, if the rest cannot be read.
        let outcome = tally.print(out)?;
        loaded.map(|()| outcome)
    }

    /// Stores all items, also those before a line that is none, which is the last one.
    fn load(&self, client: &Client, input: &mut dyn BufRead, name: &str, tally: &mut Tally) -> Result<(), Failure> {
        let mut progress = Progress::new(false);
        let (mut records, mut size, mut number, mut line) = (Vec::new(), 0, 0_u64, Vec::new());
        loop {
            line.clear();
            number += 1;
            let (read, known) = (input.read_until(b'\n', &mut line), records.len());
            let read = read.map_err(|error| format!("cannot read {name}: {error}")).and_then(|length| {
                let is_empty = line.trim_ascii().is_empty();
                let record = if is_empty { Ok(None) } else { Record::read(&line, self.anew) };
                records.extend(record.map_err(|problem| format!("{name}, line {number}: {problem}"))?);
                Ok(length)
            });
            size += records[known..].iter().map(|record| record.value.len()).sum::<usize>();
            let is_over = !matches!(read, Ok(1..));
            if is_over || records.len() >= BATCH || size >= BATCH_BYTES {
                store(client, &records, self.missing, tally)?;
                progress.add(records.len() as u64, size as u64);
                records.clear();
                size = 0;
            }
            if is_over {
                return read.map(drop).map_err(Failure::Because);
            }
        }
    }
}

impl Copy {
    pub(crate) fn copy(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        self.run(fleet, false, out)
    }

    pub(crate) fn warm(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        self.run(fleet, true, out)
    }

    fn run(&self, fleet: &Fleet, only_missing: bool, out: &mut Output) -> Result<Outcome, Failure> {
        let mut target = fleet.or_servers(&self.to);
        if let Some(rule) = &self.to_selection {
            target.options = target.options.selection(rule.clone());
        }
        if let Some(prefix) = &self.to_prefix {
            target.options = target.options.prefix(prefix);
        }
        let target = target.client()?;
        let mut tally = Tally::default();
        let scanned = scan(fleet, Progress::new(false), |_, client, listed| {
            let all = listed.len();
            let wanted = if only_missing { missing(&target, listed)? } else { listed };
            tally.present += (all - wanted.len()) as u64;
            let (records, outcome) = fetch(client, &wanted)?;
            store(&target, &records, only_missing, &mut tally)?;
            Ok(outcome)
        })?;
        Ok(tally.print(out)?.and(scanned))
    }
}

/// The items whose keys a target does not have, so that their values need not be fetched. If it cannot say so, storing says it.
fn missing<'l>(target: &Client, mut listed: Vec<&'l Listed>) -> Result<Vec<&'l Listed>, Error> {
    let (mut there, mut won, mut classic) = (HashSet::new(), Vec::new(), Vec::new());
    let (keys, asked): (Vec<&[u8]>, Vec<_>) =
        listed.iter().filter_map(|listed| Some((&*listed.key, look_at(&listed.key).ok()?))).unzip();
    for (key, found) in keys.into_iter().zip(target.run(Batch::new(asked))?) {
        match found {
            Ok(Some(item)) => {
                there.insert(key);
                won.extend(item.cas.filter(|_| item.win).map(|cas| (key, cas)));
            }
            Err(Error::NoMeta { .. }) => classic.extend(Exists::new(key).ok().map(|exists| (key, exists))),
            _ => {}
        }
    }
    if !won.is_empty() {
        give_up(target, &won);
    }
    let (keys, asked): (Vec<_>, Vec<_>) = classic.into_iter().unzip();
    let found = keys.into_iter().zip(target.run(Batch::new(asked))?);
    there.extend(found.filter_map(|(key, found)| (found == Ok(true)).then_some(key)));
    listed.retain(|listed| !there.contains(&*listed.key));
    Ok(listed)
}

fn store(client: &Client, records: &[Record], only_missing: bool, tally: &mut Tally) -> Result<(), Error> {
    // Keys of any bytes need a meta command.
    let (plain, binary): (Vec<_>, Vec<_>) = records.iter().partition(|record| Key::new(&record.key).is_ok());
    let flags = |record: &Record| u32::try_from(record.flags).map_err(|_| too_wide(record));
    let stores = plain.into_iter().map(|record| {
        let store = if only_missing {
            Store::add(&record.key, &record.value)?
        } else {
            Store::set(&record.key, &record.value)?
        };
        Ok(store.flags(flags(record)?).expiry(record.expiry()))
    });
    let (stores, wrong): (Vec<_>, Vec<_>) = stores.partition(Result::is_ok);
    for result in client.store_many(stores.into_iter().flatten().collect())? {
        tally.count(result);
    }
    wrong.into_iter().for_each(|wrong: Result<Store<'_, '_>, Error>| tally.count(wrong.map(drop)));
    let mode = if only_missing { MetaSetMode::Add } else { MetaSetMode::Set };
    for record in binary {
        let stored = MetaSet::new(&record.key, &record.value)
            .and_then(|set| Ok(set.mode(mode).flags(flags(record)?).expiry(record.expiry())))
            .and_then(|set| client.run(set));
        tally.count(stored.and_then(|outcome| if outcome.is_done() { Ok(()) } else { Err(Error::not_stored()) }));
    }
    Ok(())
}

fn too_wide(record: &Record) -> Error {
    Error::value(format!("the flags of {}, {}, need more than 32 bits", shown(&record.key), record.flags))
}

impl Tally {
    fn count(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.stored += 1,
            Err(Error::NotStored { .. }) => self.present += 1,
            Err(error) => {
                self.failed += 1;
                // One that is down fails all its items. What is refused is so for itself.
                if error.counts_as_miss() && error.landed() != Landed::Refused {
                    let (server, how) = (error.server(), discriminant(&error));
                    let known =
                        self.down.iter_mut().find(|(name, known, _)| name.as_deref() == server && *known == how);
                    if let Some((_, _, more)) = known {
                        *more += 1;
                        return;
                    }
                    self.down.push((server.map(str::to_owned), how, 0));
                }
                complain(&error.to_string());
            }
        }
    }

    fn print(&self, out: &mut Output) -> Result<Outcome, Failure> {
        let Self { stored, present, failed, down } = self;
        for (server, _, more) in down.iter().filter(|(_, _, more)| *more > 0) {
            complain(&format!("{more} more items failed like that on {}", server.as_deref().unwrap_or("all servers")));
        }
        if out.is_json {
            out.json([("stored", json!(stored)), ("present", json!(present)), ("failed", json!(failed))])?;
        } else {
            out.line(&format!("{stored} stored, {present} were there, {failed} failed"))?;
        }
        Ok(if *failed == 0 { Outcome::Done } else { Outcome::Failed })
    }
}
