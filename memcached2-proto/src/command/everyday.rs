//! Everyday uses of the meta commands, some of which classic commands can stand in for.

use super::meta::{MetaArithmetic, MetaDelete, MetaGet, MetaItem, MetaOutcome, MetaStatus, Ttl};
use super::{Answer, Command, Detach, Get, Keyed, Protocol, retrieve};
use crate::error::{CasProblem, Error};
use crate::key::Key;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};
use crate::value::Value;

/// Whether there is an item. Its value is not fetched where the server speaks meta, and the item is as likely to be evicted as
/// before; else a `get` fetches it.
#[derive(Debug, Clone)]
pub struct Exists<'k> {
    get: MetaGet<'k>,
}

/// Fetches a value unless the item still has a known version: of use if the value is large and seldom changes.
///
/// memcached from 1.6.40 on sends no value then. Older ones send it, and it is thrown away.
#[derive(Debug, Clone)]
pub struct GetIfChanged<'k> {
    get: MetaGet<'k>,
    cas: u64,
}

/// The result of a [`GetIfChanged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfChanged {
    /// The item has another version: its value, with that version.
    Changed(Value),
    /// The item still has the version.
    Same,
    /// There is no item.
    Missing,
}

/// What a `gets` returns, as news.
impl From<Option<Value>> for IfChanged {
    fn from(found: Option<Value>) -> Self {
        found.map_or(Self::Missing, Self::Changed)
    }
}

/// Fetches a value, and how long the item stays; needs memcached 1.6.10.
#[derive(Debug, Clone)]
pub struct GetWithTtl<'k>(MetaGet<'k>);

/// Fetches all that a server says of an item but its value; needs memcached 1.6.10.
#[derive(Debug, Clone)]
pub struct Metadata<'k>(MetaGet<'k>);

/// Deletes an item if it has a known version; needs memcached 1.6.10.
#[derive(Debug, Clone)]
pub struct DeleteCas<'k>(MetaDelete<'k>);

/// Adds to a number, or subtracts from it, and stores another number if there is none; needs memcached 1.6.10.
#[derive(Debug, Clone)]
pub struct CountOr<'k>(MetaArithmetic<'k>);

impl<'k> Exists<'k> {
    /// Asks for the item of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { get: MetaGet::of(Key::new(key)?).no_bump() })
    }
}

impl<'k> GetIfChanged<'k> {
    /// Fetches the value of `key` unless its version is `cas`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte. [`Error::Cas`] if the
    /// version is 0, which is that of no item.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, cas: u64) -> Result<Self, Error> {
        if cas == 0 {
            return Err(Error::cas(CasProblem::Disabled).of_key(key.as_ref()));
        }
        Ok(Self { get: MetaGet::of(Key::new(key)?).flags().cas().value().compare_cas(cas), cas })
    }
}

impl<'k> GetWithTtl<'k> {
    /// Fetches the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self(MetaGet::of(Key::new(key)?).flags().ttl().value()))
    }
}

impl<'k> Metadata<'k> {
    /// Asks for the item of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self(MetaGet::of(Key::new(key)?).size().flags().ttl().cas().hit_before().last_access().no_bump()))
    }
}

impl<'k> DeleteCas<'k> {
    /// Deletes the item of `key` if its version is `cas`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, cas: u64) -> Result<Self, Error> {
        Ok(Self(MetaDelete::of(Key::new(key)?).compare_cas(cas)))
    }
}

impl<'k> CountOr<'k> {
    /// Adds `by` to the number of `key`, or stores `initial`, which expires then.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn incr<K: AsRef<[u8]> + ?Sized>(
        key: &'k K,
        by: u64,
        initial: u64,
        expiry: impl Into<Expiry>,
    ) -> Result<Self, Error> {
        Ok(Self(MetaArithmetic::of(Key::new(key)?, true, by).vivify(expiry).initial(initial).value()))
    }

    /// Subtracts `by` from the number of `key`, or stores `initial`, which expires then.
    ///
    /// # Errors
    ///
    /// The same as of [`CountOr::incr`].
    pub fn decr<K: AsRef<[u8]> + ?Sized>(
        key: &'k K,
        by: u64,
        initial: u64,
        expiry: impl Into<Expiry>,
    ) -> Result<Self, Error> {
        Ok(Self(MetaArithmetic::of(Key::new(key)?, false, by).vivify(expiry).initial(initial).value()))
    }
}

/// A reply without what was asked for.
#[cold]
fn lacks(what: &str) -> Error {
    Error::protocol(format!("got a reply without {what}, which was asked for"))
}

fn if_changed(cas: u64, found: Option<MetaItem>) -> Result<IfChanged, Error> {
    let Some(item) = found else { return Ok(IfChanged::Missing) };
    match (item.cas.ok_or_else(|| lacks("the version"))?, item.value) {
        (found, _) if found == cas => Ok(IfChanged::Same),
        (_, Some(value)) => Ok(IfChanged::Changed(value)),
        (_, None) => Err(lacks("the value")),
    }
}

fn with_ttl(found: Option<MetaItem>) -> Result<Option<(Value, Ttl)>, Error> {
    let Some(item) = found else { return Ok(None) };
    let value = item.value.ok_or_else(|| lacks("the value"))?;
    Ok(Some((value, item.ttl.ok_or_else(|| lacks("the time to live"))?)))
}

fn deleted(outcome: &MetaOutcome) -> Result<bool, Error> {
    match outcome.status {
        MetaStatus::Done => Ok(true),
        MetaStatus::NotFound => Ok(false),
        MetaStatus::Exists => Err(Error::exists()),
        MetaStatus::NotStored => Err(Error::not_stored()),
    }
}

fn counted(outcome: &MetaOutcome) -> Result<u64, Error> {
    match (outcome.status, outcome.number) {
        (MetaStatus::Done, Some(number)) => Ok(number),
        (MetaStatus::Done, None) => Err(lacks("the number")),
        _ => Err(Error::not_stored()),
    }
}

/// The traits of a command that is another one with another answer, and what the classic protocol says it with.
macro_rules! as_command {
    ($command:ident, $name:literal -> $response:ty, $repeatable:literal, |$this:ident| $inner:expr, $read:expr $(, or $get:expr)?) => {
        impl Keyed for $command<'_> {
            fn key(&self) -> Key<'_> {
                let $this = self;
                $inner.key()
            }
        }

        impl Command for $command<'_> {
            type Response = $response;

            fn name(&self) -> &'static str {
                $name
            }

            fn only_key(&self) -> Option<Key<'_>> {
                Some(Keyed::key(self))
            }

            fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
                let $this = self;
                $(if protocol == Protocol::Classic {
                    let get: fn(&'_ Get<'_>, Now, &mut RequestBuffer) -> Result<ReplyKind, Error> = $get;
                    return get(&Get::new(Keyed::key(self).as_bytes())?, now, out);
                })?
                $inner.encode(protocol, now, out)
            }

            fn answer(&self, reply: Reply) -> Result<$response, Error> {
                self.detach().read(reply)
            }

            fn for_each_written(&self, act: &mut dyn FnMut(Key<'_>)) {
                let $this = self;
                $inner.for_each_written(act);
            }

            fn repeatable(&self) -> bool {
                $repeatable
            }
        }

        impl Detach for $command<'_> {
            fn detach(&self) -> Answer<$response> {
                let $this = self;
                let inner = $inner.detach();
                let read = $read;
                Answer::new(move |reply| read(inner, reply))
            }
        }
    };
}

/// The item in the answer to an `mg`, or to the `get` that stands in for it.
fn item(inner: Answer<Option<MetaItem>>, reply: Reply) -> Result<Option<MetaItem>, Error> {
    match reply {
        Reply::Value(..) => Ok(retrieve::found(reply)?.map(|value| MetaItem {
            cas: value.cas,
            value: Some(value),
            ..MetaItem::default()
        })),
        reply => inner.read(reply),
    }
}

as_command!(Exists, "exists" -> bool, true, |this| this.get, |inner, reply| Ok(item(inner, reply)?.is_some()),
    or |get, now, out| get.encode(Protocol::Classic, now, out));
as_command!(GetIfChanged, "get_if_changed" -> IfChanged, true, |this| this.get,
    { let cas = this.cas; move |inner, reply| if_changed(cas, item(inner, reply)?) },
    or |get, now, out| get.with_cas().encode(Protocol::Classic, now, out));
as_command!(GetWithTtl, "get_with_ttl" -> Option<(Value, Ttl)>, true, |this| this.0,
    |inner, reply| with_ttl(item(inner, reply)?));
as_command!(Metadata, "metadata" -> Option<MetaItem>, true, |this| this.0, item);
as_command!(DeleteCas, "delete_cas" -> bool, false, |this| this.0,
    |inner: Answer<MetaOutcome>, reply| deleted(&inner.read(reply)?));
as_command!(CountOr, "ma" -> u64, false, |this| this.0,
    |inner: Answer<MetaOutcome>, reply| counted(&inner.read(reply)?));

#[cfg(test)]
mod tests {
    use super::*;

    fn written(command: &impl Command) -> usize {
        let mut count = 0;
        command.for_each_written(&mut |key| count += usize::from(key.as_bytes() == b"a"));
        count
    }

    #[test]
    fn a_journal_keeps_the_keys_of_those_that_write() {
        assert_eq!(written(&DeleteCas::new("a", 1).unwrap()), 1);
        assert_eq!(written(&CountOr::incr("a", 1, 1, Expiry::Never).unwrap()), 1);
        assert_eq!((written(&Exists::new("a").unwrap()), written(&Metadata::new("a").unwrap())), (0, 0));
        assert_eq!((written(&GetWithTtl::new("a").unwrap()), written(&GetIfChanged::new("a", 1).unwrap())), (0, 0));
    }
}
