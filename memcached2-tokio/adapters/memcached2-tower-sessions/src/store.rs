//! The store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use memcached2_tokio::{Client, Expiry, FromValue as _, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result, SessionStore};

/// How many ids are tried for a new session. One of 128 random bits is never taken by chance.
const IDS: usize = 4;

/// The last second that memcached can store as a date of expiry: 2038-01-19 03:14:07 UTC.
const LAST_EXPIRY: i64 = i32::MAX as i64;

/// A store of sessions in memcached.
///
/// It is cheap to clone: clones share the client's connections. It sends nothing until a session is used.
///
/// | call | command | what it does |
/// |---|---|---|
/// | `create` | `add` | An id that is taken is replaced by a new one. |
/// | `save` | `set` | It stores the session, also if it is gone: it may have been evicted. |
/// | `load` | `get` | `None` if the session is gone or has expired. |
/// | `delete` | `delete` | It succeeds also if there is no such session. |
///
/// A session that expires after 2038-01-19, which memcached cannot store, is stored without a date. Its own date still counts.
///
/// # Errors
///
/// * [`Error::Backend`] if a server cannot be reached, does not answer within the client's timeout, or refuses the session, such as one
///   of more than 1 MiB. It has the text of a [`memcached2_tokio::Error`].
/// * [`Error::Encode`] if the data cannot be written as JSON.
/// * [`Error::Decode`] if the stored item is no session.
///
/// ```
/// use memcached2_tower_sessions::MemcachedStore;
/// use memcached2_tower_sessions::memcached2_tokio::Client;
///
/// let client = Client::new(["cache1:11211", "cache2:11211"])?;
/// let store = MemcachedStore::new(client).prefix("shop:session:");
/// # Ok::<(), memcached2_tower_sessions::memcached2_tokio::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemcachedStore {
    client: Client,
    prefix: Arc<str>,
}

impl MemcachedStore {
    /// Returns a store in the servers of this client. Its keys begin with `session:`, after the client's own prefix.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, prefix: "session:".into() }
    }

    /// Sets what keys begin with; `session:` unless set.
    ///
    /// It has at most 186 bytes together with the client's prefix, without blanks and control characters: any other one makes all
    /// calls fail.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns the key of the session with this id: the prefix, and the SHA-256 of the id, as it stands in the cookie, in hex.
    ///
    /// ```
    /// use memcached2_tower_sessions::MemcachedStore;
    /// use memcached2_tower_sessions::memcached2_tokio::Client;
    /// use memcached2_tower_sessions::tower_sessions_core::session::Id;
    ///
    /// let store = MemcachedStore::new(Client::new(["127.0.0.1:11211"])?);
    /// let key = store.key(&Id(1)); // AQAAAAAAAAAAAAAAAAAAAA
    /// assert_eq!(key, "session:c20b382edd27f8925fb2f53d12130212163e38651dd7fc2583d1a9db30f41176");
    /// # Ok::<(), memcached2_tower_sessions::memcached2_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn key(&self, id: &Id) -> String {
        format!("{}{:x}", self.prefix, Sha256::digest(id.to_string()))
    }
}

#[async_trait]
impl SessionStore for MemcachedStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        for _ in 0..IDS {
            let added = self.client.add(self.key(&record.id), Json(Written::from(&*record)), expiry(record)).await;
            match added {
                Err(memcached2_tokio::Error::NotStored { .. }) => record.id = Id::default(),
                added => return added.map_err(|error| failed(&error)),
            }
        }
        Err(Error::Backend(format!("the server says of {IDS} random ids of a new session that they are taken")))
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let saved = self.client.set(self.key(&record.id), Json(Written::from(record)), expiry(record)).await;
        saved.map_err(|error| failed(&error))
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let Some(value) = self.client.get(self.key(id)).await.map_err(|error| failed(&error))? else { return Ok(None) };
        let (length, flags) = (value.data().len(), value.flags);
        // Without the reason, which can show a part of the data.
        let Json(Stored { data, expiry_date }) = Json::from_value(value)
            .map_err(|_| Error::Decode(format!("the item of {length} bytes with flags {flags} is no session")))?;
        // The server keeps it to the end of the second, or to the end of time.
        Ok((expiry_date > OffsetDateTime::now_utc()).then_some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.client.delete(self.key(id)).await.map(drop).map_err(|error| failed(&error))
    }
}

/// What is stored of a session. The date is in nanoseconds since 1970.
#[derive(Deserialize)]
struct Stored {
    data: HashMap<String, Value>,
    #[serde(with = "time::serde::timestamp::nanoseconds")]
    expiry_date: OffsetDateTime,
}

/// The same of a session that is borrowed.
#[derive(Serialize)]
struct Written<'r> {
    data: &'r HashMap<String, Value>,
    #[serde(with = "time::serde::timestamp::nanoseconds")]
    expiry_date: OffsetDateTime,
}

impl<'r> From<&'r Record> for Written<'r> {
    fn from(record: &'r Record) -> Self {
        Self { data: &record.data, expiry_date: record.expiry_date }
    }
}

fn expiry(record: &Record) -> Expiry {
    match record.expiry_date.unix_timestamp() {
        LAST_EXPIRY.. => Expiry::Never,
        _ => Expiry::At(SystemTime::from(record.expiry_date)),
    }
}

fn failed(error: &memcached2_tokio::Error) -> Error {
    match error {
        memcached2_tokio::Error::Value { .. } => Error::Encode(error.to_string()),
        _ => Error::Backend(error.to_string()),
    }
}
