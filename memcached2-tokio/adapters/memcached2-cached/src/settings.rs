//! What both caches do alike: how long items stay, and what keys and values look like.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memcached2_proto::values::Json;
use memcached2_proto::{Bytes, Error, Expiry, FromValue as _, Landed, ToValue as _, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The last second that memcached can store as a date of expiry: 2038-01-19 03:14:07 UTC.
const LAST_EXPIRY: Duration = Duration::from_secs(i32::MAX as u64);

#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// In nanoseconds; 0 is for ever.
    ttl: AtomicU64,
    refreshes: AtomicBool,
    pub(crate) is_strict: bool,
}

impl Settings {
    pub(crate) fn ttl(&self) -> Option<Duration> {
        duration(self.ttl.load(Relaxed))
    }

    /// Sets it, or none with zero, and returns the one before.
    pub(crate) fn set_ttl(&self, ttl: Duration) -> Option<Duration> {
        duration(self.ttl.swap(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX), Relaxed))
    }

    pub(crate) fn refreshes(&self) -> bool {
        self.refreshes.load(Relaxed)
    }

    pub(crate) fn set_refreshes(&self, refreshes: bool) -> bool {
        self.refreshes.swap(refreshes, Relaxed)
    }

    /// When an item that is stored now expires.
    pub(crate) fn expiry(&self) -> Expiry {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.ttl().filter(|ttl| now.saturating_add(*ttl) < LAST_EXPIRY).into()
    }

    /// What a hit sets the expiry of its item to, if it does.
    pub(crate) fn expiry_of_hit(&self) -> Option<Expiry> {
        self.refreshes().then(|| self.expiry()).filter(|expiry| *expiry != Expiry::Never)
    }

    /// The value of an item, or a miss. An error says whether the request by which it came may have changed the item.
    pub(crate) fn read<V: DeserializeOwned>(&self, value: Option<Value>, landed: Landed) -> Result<Option<V>, Error> {
        match value.map(Json::from_value).transpose() {
            Ok(read) => Ok(read.map(|Json(value)| value)),
            Err(error) if self.is_strict => Err(error.of_landed(landed)),
            Err(_) => Ok(None),
        }
    }
}

fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

/// The key of an item in its namespace. It begins with a character, as a key must not be empty.
pub(crate) fn key(key: &impl Display) -> String {
    format!("={key}")
}

pub(crate) fn written(value: &impl Serialize) -> Result<Bytes, Error> {
    Ok(Json(value).to_value()?.into_bytes())
}
