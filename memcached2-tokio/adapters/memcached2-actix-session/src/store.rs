//! The store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key};
use anyhow::anyhow;
use memcached2_tokio::{Client, Error, Expiry, FromValue as _, Json};
use sha2::{Digest as _, Sha256};

/// How many keys are tried for a new session. One of 64 random characters is never taken by chance.
const KEYS: usize = 4;

/// The last second that memcached can store as a date of expiry: 2038-01-19 03:14:07 UTC.
const LAST_EXPIRY: Duration = Duration::from_secs(i32::MAX as u64);

/// A store of sessions in memcached.
///
/// It is cheap to clone: clones share the client's connections. It sends nothing until a session is used.
///
/// | call | command | what it does |
/// |---|---|---|
/// | `load` | `get` | `None` if the session is gone. |
/// | `save` | `add` | It stores a new session. A key that is taken is replaced by a new one. |
/// | `update` | `replace` | A session that is gone is stored anew, by another key: one that was ended stays so. |
/// | `update_ttl` | `touch` | It succeeds also if there is no such session. |
/// | `delete` | `delete` | It succeeds also if there is no such session. |
///
/// A session whose time ends after 2038-01-19, which memcached cannot store, has no end.
///
/// # Errors
///
/// * `Other` of each call if a server cannot be reached, does not answer within the client's timeout, or refuses the session, such as
///   one of more than 1 MiB. Its source is a [`memcached2_tokio::Error`].
/// * [`LoadError::Deserialization`] if the stored item is no session. The middleware then begins a new one.
/// * [`SaveError::Serialization`] and [`UpdateError::Serialization`] if the state cannot be written as JSON.
///
/// ```
/// use memcached2_actix_session::MemcachedSessionStore;
/// use memcached2_actix_session::memcached2_tokio::Client;
///
/// let client = Client::new(["cache1:11211", "cache2:11211"])?;
/// let store = MemcachedSessionStore::new(client).prefix("shop:session:");
/// # Ok::<(), memcached2_actix_session::memcached2_tokio::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemcachedSessionStore {
    client: Client,
    prefix: Arc<str>,
}

impl MemcachedSessionStore {
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

    /// Returns the key of the item of a session: the prefix, and the SHA-256 of the session key in hex.
    ///
    /// ```
    /// use memcached2_actix_session::MemcachedSessionStore;
    /// use memcached2_actix_session::actix_session::storage::SessionKey;
    /// use memcached2_actix_session::memcached2_tokio::Client;
    ///
    /// let store = MemcachedSessionStore::new(Client::new(["127.0.0.1:11211"])?);
    /// let key = store.key(&SessionKey::try_from("abc".to_owned())?);
    /// assert_eq!(key, "session:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn key(&self, session_key: &SessionKey) -> String {
        format!("{}{:x}", self.prefix, Sha256::digest(session_key.as_ref()))
    }

    /// Stores a session that is new, by a key that is not taken.
    async fn add(&self, state: &HashMap<String, String>, ttl: &time::Duration) -> Result<SessionKey, Error> {
        let mut tried = 0;
        loop {
            let session_key = generate_session_key();
            tried += 1;
            match self.client.add(self.key(&session_key), Json(state), expiry(ttl)).await {
                Ok(()) => return Ok(session_key),
                Err(Error::NotStored { .. }) if tried < KEYS => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl SessionStore for MemcachedSessionStore {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        let found = self.client.get(self.key(session_key)).await.map_err(|error| LoadError::Other(error.into()))?;
        let Some(value) = found else { return Ok(None) };
        let (length, flags) = (value.data().len(), value.flags);
        // Without the reason, which can show a part of the state.
        let unreadable = |_| LoadError::Deserialization(anyhow!("{length} bytes with flags {flags} are no session"));
        Json::from_value(value).map(|Json(state)| Some(state)).map_err(unreadable)
    }

    async fn save(&self, state: HashMap<String, String>, ttl: &time::Duration) -> Result<SessionKey, SaveError> {
        self.add(&state, ttl).await.map_err(|error| match error {
            Error::Value { .. } => SaveError::Serialization(error.into()),
            _ => SaveError::Other(error.into()),
        })
    }

    async fn update(
        &self,
        session_key: SessionKey,
        state: HashMap<String, String>,
        ttl: &time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        let updated = match self.client.replace(self.key(&session_key), Json(&state), expiry(ttl)).await {
            Ok(()) => Ok(session_key),
            Err(Error::NotStored { .. }) => self.add(&state, ttl).await,
            Err(error) => Err(error),
        };
        updated.map_err(|error| match error {
            Error::Value { .. } => UpdateError::Serialization(error.into()),
            _ => UpdateError::Other(error.into()),
        })
    }

    async fn update_ttl(&self, session_key: &SessionKey, ttl: &time::Duration) -> Result<(), anyhow::Error> {
        Ok(self.client.touch(self.key(session_key), expiry(ttl)).await.map(drop)?)
    }

    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(self.client.delete(self.key(session_key)).await.map(drop)?)
    }
}

/// When a session with this time ends: at once, if it is not positive.
fn expiry(ttl: &time::Duration) -> Expiry {
    let ttl = Duration::try_from(*ttl).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match now.saturating_add(ttl) < LAST_EXPIRY {
        true => Expiry::After(ttl),
        false => Expiry::Never,
    }
}
