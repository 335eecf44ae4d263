//! What the lines of a transcript hold besides keys and values: how to fetch and to store, numbers and expiries.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memcached2_proto::command::Gets;
use memcached2_proto::operation::GetMany;
use memcached2_proto::{Error, Expiry, Get, Store};

/// What is fetched besides values and flags, and the expiry that is given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GetOptions {
    pub(super) cas: bool,
    pub(super) touch: Option<Expiry>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas(u64),
}

impl GetOptions {
    pub(super) fn cas() -> Self {
        Self { cas: true, touch: None }
    }

    pub(super) fn touching(exptime: &[u8]) -> Self {
        Self { cas: false, touch: Some(expiry_of(exptime)) }
    }

    pub(super) fn and_cas(self) -> Self {
        Self { cas: true, ..self }
    }

    pub(super) fn one(self, key: &[u8]) -> Result<Gets<'_>, Error> {
        let get = Get::new(key)?;
        Ok(match self.touch {
            None => get.with_cas(),
            Some(expiry) if self.cas => get.with_cas().touch(expiry),
            Some(expiry) => get.touch(expiry),
        })
    }

    pub(super) fn many(self, keys: &[Vec<u8>]) -> Result<GetMany<'_>, Error> {
        let many = GetMany::new(keys)?;
        let many = if self.cas { many.with_cas() } else { many };
        Ok(match self.touch {
            None => many,
            Some(expiry) => many.touch(expiry),
        })
    }
}

impl Verb {
    pub(super) fn of<'k, 'v>(self, key: &'k [u8], data: &'v [u8]) -> Result<Store<'k, 'v>, Error> {
        match self {
            Self::Set => Store::set(key, data),
            Self::Add => Store::add(key, data),
            Self::Replace => Store::replace(key, data),
            Self::Append => Store::append(key, data),
            Self::Prepend => Store::prepend(key, data),
            Self::Cas(cas) => Store::cas(key, data, cas),
        }
    }
}

pub(super) fn at(unix: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix)
}

pub(super) fn number(text: &[u8]) -> u64 {
    let text = std::str::from_utf8(text).expect("a number is text");
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

pub(super) fn small(text: &[u8]) -> u32 {
    number(text).try_into().expect("a number of 32 bits")
}

pub(super) fn expiry_of(exptime: &[u8]) -> Expiry {
    const MONTH: u64 = 30 * 24 * 60 * 60;
    match exptime {
        b"0" => Expiry::Never,
        b"-1" => Expiry::After(Duration::ZERO),
        _ => match number(exptime) {
            seconds @ ..=MONTH => Expiry::After(Duration::from_secs(seconds)),
            seconds => Expiry::At(at(seconds)),
        },
    }
}
