//! Commands about single items: `get`, `set`, `delete`, `touch`, `exists`, `incr`, `decr`.

use std::io::{self, BufRead as _, Read as _};

use clap::{Args, ValueEnum};
use memcached2_sync::proto::command::meta::Ttl as ItemTtl;
use memcached2_sync::proto::command::{Decr, Exists, GetWithTtl, Incr, Touch as TouchItem};
use memcached2_sync::proto::operation::Batch;
use memcached2_sync::{BatchResult, Client, Error, Key, Store, Value};
use serde_json::{Value as Json, json};

use crate::args::{Ttl, ttl};
use crate::fleet::Fleet;
use crate::output::{Failure, Outcome, Output, bytes_field, complain, shown};

/// How many keys are asked for at once.
pub(crate) const BATCH: usize = 500;

/// Keys, of the command line or of the standard input.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// The keys; a single `-` reads them from the standard input, a line each
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The key
    key: String,
    /// The value; the standard input is read if there is none
    value: Option<String>,
    /// How long it stays, such as 90s, 5m, 2h, 7d or never
    #[arg(long, value_name = "TIME", value_parser = ttl, default_value = "never")]
    ttl: Ttl,
    /// The number that is stored beside the value
    #[arg(long, default_value_t = 0)]
    flags: u32,
    /// When and how it is stored; if a condition is not met, the exit code is 1
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// Whatever was there before
    #[default]
    Set,
    /// If there is no item
    Add,
    /// If there is an item
    Replace,
    /// After the value of the item
    Append,
    /// Before the value of the item
    Prepend,
}

#[derive(Debug, Args)]
pub(crate) struct Touch {
    #[command(flatten)]
    keys: Keys,
    /// How long they stay from now on, such as 90s, 5m, 2h, 7d or never
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Ttl,
}

#[derive(Debug, Args)]
pub(crate) struct Count {
    #[command(flatten)]
    keys: Keys,
    /// How much
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    by: u64,
    /// Stores this if there is no number
    #[arg(long, value_name = "NUMBER")]
    initial: Option<u64>,
    /// How long a number stays that was not there
    #[arg(long, value_name = "TIME", value_parser = ttl, default_value = "never", requires = "initial")]
    ttl: Ttl,
}

impl Keys {
    /// Calls `each` with the keys, some of them at a time. One that no server accepts is reported, and the others go on.
    fn in_batches(&self, mut each: impl FnMut(&[Vec<u8>]) -> Result<Outcome, Failure>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::Done;
        let mut batch = Vec::new();
        let given = self.keys.iter().map(|key| Ok(key.clone().into_bytes()));
        let keys: Box<dyn Iterator<Item = io::Result<Vec<u8>>>> = match &self.keys[..] {
            [dash] if dash == "-" => Box::new(input_lines()),
            _ => Box::new(given),
        };
        for key in keys {
            let key = key.map_err(|error| input_failure(&error))?;
            match Key::new(&key) {
                Ok(_) => batch.push(key),
                Err(error) => outcome = outcome.and(failed(&error)),
            }
            if batch.len() == BATCH {
                outcome = outcome.and(each(&batch)?);
                batch.clear();
            }
        }
        if !batch.is_empty() {
            outcome = outcome.and(each(&batch)?);
        }
        Ok(outcome)
    }

    pub(crate) fn get(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.in_batches(|keys| if out.is_json { get_json(&client, keys, out) } else { get_raw(&client, keys, out) })
    }

    pub(crate) fn delete(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.in_batches(|keys| report(keys, client.delete_many(keys)?, out, |deleted| (deleted, None)))
    }

    pub(crate) fn exists(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.in_batches(|keys| {
            let asked = Batch::new(keys.iter().map(Exists::new).collect::<Result<_, _>>()?);
            report(keys, client.run(asked)?, out, |exists| (exists, None))
        })
    }
}

/// Writes the values as they are, one after the other.
fn get_raw(client: &Client, keys: &[Vec<u8>], out: &mut Output) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    for (key, value) in keys.iter().zip(client.get_many(keys)?) {
        match value {
            Err(error) => outcome = outcome.and(failed(&error)),
            Ok(None) => outcome = outcome.and(missing(key)),
            Ok(Some(value)) => {
                out.bytes(value.data())?;
                // Else the next prompt would stand behind it.
                if out.is_terminal && !value.data().ends_with(b"\n") {
                    out.line("")?;
                }
            }
        }
    }
    Ok(outcome)
}

fn get_json(client: &Client, keys: &[Vec<u8>], out: &mut Output) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    for (key, found) in keys.iter().zip(get_with_ttl(client, keys)?) {
        let (name, key_field) = bytes_field("key", key);
        match found {
            Err(error) => {
                outcome = outcome.and(failed(&error));
                out.json([(name, key_field), ("error".into(), error.to_string().into())])?;
            }
            Ok(None) => {
                out.json([(name, key_field), ("found".into(), false.into())])?;
                outcome = outcome.and(Outcome::Missing);
            }
            Ok(Some((value, ttl))) => out.json([
                (name, key_field),
                ("found".into(), true.into()),
                bytes_field("value", value.data()),
                ("size".into(), value.data().len().into()),
                ("flags".into(), value.flags.into()),
                ("ttl".into(), ttl.map_or(Json::Null, ttl_field)),
            ])?,
        }
    }
    Ok(outcome)
}

/// An item, and how long it stays, if the server says so.
pub(crate) type Found = Option<(Value, Option<ItemTtl>)>;

/// Fetches the values with how long they stay; without, of servers that do not speak meta.
pub(crate) fn get_with_ttl(client: &Client, keys: &[Vec<u8>]) -> Result<Vec<Result<Found, Error>>, Error> {
    let asked = Batch::new(keys.iter().map(GetWithTtl::new).collect::<Result<_, _>>()?);
    let found = keys.iter().zip(client.run(asked)?).map(|(key, found)| match found {
        Err(Error::NoMeta { .. }) => Ok(client.get(key)?.map(|value| (value, None))),
        found => Ok(found?.map(|(value, ttl)| (value, Some(ttl)))),
    });
    Ok(found.collect())
}

/// Seconds; none if it does not expire.
pub(crate) fn ttl_field(ttl: ItemTtl) -> Json {
    ttl.remaining().map_or(Json::Null, |remaining| remaining.as_secs().into())
}

impl Set {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let value = match &self.value {
            Some(value) => value.clone().into_bytes(),
            None => input()?,
        };
        let (key, value) = (&self.key, value.as_slice());
        let store = match self.mode {
            Mode::Set => Store::set(key, value)?,
            Mode::Add => Store::add(key, value)?,
            Mode::Replace => Store::replace(key, value)?,
            Mode::Append => Store::append(key, value)?,
            Mode::Prepend => Store::prepend(key, value)?,
        };
        let stored = fleet.client()?.run(store.flags(self.flags).expiry(self.ttl));
        let outcome = match stored {
            Ok(()) => Outcome::Done,
            Err(error @ Error::NotStored { .. }) => {
                complain(&error.to_string());
                Outcome::Missing
            }
            Err(error) => return Err(error.into()),
        };
        if out.is_json {
            out.json([("key", json!(self.key)), ("stored", json!(outcome == Outcome::Done))])?;
        }
        Ok(outcome)
    }
}

impl Touch {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.keys.in_batches(|keys| {
            let touches = Batch::new(keys.iter().map(|key| TouchItem::new(key, self.ttl)).collect::<Result<_, _>>()?);
            report(keys, client.run(touches)?, out, |touched| (touched, None))
        })
    }
}

impl Count {
    pub(crate) fn incr(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.keys.in_batches(|keys| {
            let sums = match self.initial {
                Some(initial) => {
                    keys.iter().map(|key| Ok(Some(client.incr_or(key, self.by, initial, self.ttl)?))).collect()
                }
                None => {
                    client.run(Batch::new(keys.iter().map(|key| Incr::new(key, self.by)).collect::<Result<_, _>>()?))?
                }
            };
            report(keys, sums, out, |sum| (sum.is_some(), sum))
        })
    }

    pub(crate) fn decr(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        self.keys.in_batches(|keys| {
            let rest = match self.initial {
                Some(initial) => {
                    keys.iter().map(|key| Ok(Some(client.decr_or(key, self.by, initial, self.ttl)?))).collect()
                }
                None => {
                    client.run(Batch::new(keys.iter().map(|key| Decr::new(key, self.by)).collect::<Result<_, _>>()?))?
                }
            };
            report(keys, rest, out, |rest| (rest.is_some(), rest))
        })
    }
}

/// Prints what became of each key: the number, if it has one; that it is missing; all of it in JSON.
fn report<T>(
    keys: &[Vec<u8>],
    results: BatchResult<T>,
    out: &mut Output,
    found: impl Fn(T) -> (bool, Option<u64>),
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    for (key, result) in keys.iter().zip(results) {
        let (is_there, number) = match result {
            Ok(result) => found(result),
            Err(error) => {
                outcome = outcome.and(failed(&error));
                if out.is_json {
                    out.json([bytes_field("key", key), ("error".into(), error.to_string().into())])?;
                }
                continue;
            }
        };
        if out.is_json {
            let number = number.map(|number| ("value".to_owned(), number.into()));
            out.json([bytes_field("key", key), ("found".into(), is_there.into())].into_iter().chain(number))?;
            outcome = outcome.and(if is_there { Outcome::Done } else { Outcome::Missing });
        } else if !is_there {
            outcome = outcome.and(missing(key));
        } else if let Some(number) = number {
            out.line(&number.to_string())?;
        }
    }
    Ok(outcome)
}

/// Of one key; the others go on.
fn failed(error: &Error) -> Outcome {
    complain(&error.to_string());
    Outcome::Failed
}

fn missing(key: &[u8]) -> Outcome {
    complain(&format!("not found: {}", shown(key)));
    Outcome::Missing
}

/// The lines of the standard input that are not empty.
pub(crate) fn input_lines() -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let lines = io::stdin().lock().split(b'\n').map(|line| {
        line.map(|mut line| {
            line.truncate(line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len));
            line
        })
    });
    lines.filter(|line| !line.as_ref().is_ok_and(Vec::is_empty))
}

/// All of the standard input.
fn input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| input_failure(&error))?;
    Ok(bytes)
}

pub(crate) fn input_failure(error: &io::Error) -> Failure {
    Failure::because(format!("cannot read the standard input: {error}"))
}
