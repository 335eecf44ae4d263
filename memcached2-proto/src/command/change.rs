//! Changing what is stored: `delete`, `touch`.

use super::{Command, Keyed, OnReplicas, Protocol};
use crate::error::Error;
use crate::key::Key;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Deletes an item.
#[derive(Debug, Clone, Copy)]
pub struct Delete<'k> {
    key: Key<'k>,
}

impl<'k> Delete<'k> {
    /// Deletes the item of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)? })
    }
}

impl Keyed for Delete<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Delete<'_> {
    type Response = bool;

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn on_replicas(&self) -> OnReplicas {
        OnReplicas::Write
    }

    fn name(&self) -> &'static str {
        "delete"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        if protocol == Protocol::Meta {
            out.put(b"md ");
            out.put_key(self.key);
            out.end_with_opaque();
            return Ok(ReplyKind::MetaDeleted);
        }
        out.put(b"delete ");
        out.put_key(self.key);
        // memcached from 1.6.40 on reads a last word `noreply` as the option even if it is the key, and sends no reply.
        // Every version accepts a 0 after the key, for historical reasons.
        out.put(if self.key.as_bytes() == b"noreply" { b" 0\r\n" } else { b"\r\n" });
        Ok(ReplyKind::Deleted)
    }

    fn answer(&self, reply: Reply) -> Result<bool, Error> {
        deleted(reply)
    }
}

pub(super) fn deleted(reply: Reply) -> Result<bool, Error> {
    match reply {
        Reply::Deleted => Ok(true),
        Reply::NotFound => Ok(false),
        other => Err(other.into_error()),
    }
}

/// Gives an item a new expiry.
#[derive(Debug, Clone, Copy)]
pub struct Touch<'k> {
    key: Key<'k>,
    expiry: Expiry,
}

impl<'k> Touch<'k> {
    /// Gives the item of `key` this expiry.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, expiry: impl Into<Expiry>) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)?, expiry: expiry.into() })
    }
}

impl Keyed for Touch<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Touch<'_> {
    type Response = bool;

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn on_replicas(&self) -> OnReplicas {
        OnReplicas::Write
    }

    fn name(&self) -> &'static str {
        "touch"
    }

    /// A `touch` also in the meta protocol: an `mg` with `T` would take the win of a stale item from the client that
    /// shall compute it again.
    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"touch ");
        out.put_key(self.key);
        out.put(b" ");
        out.put_expiry(self.expiry, now)?;
        out.put(b"\r\n");
        if protocol == Protocol::Classic {
            return Ok(ReplyKind::Touched);
        }
        out.put_fence(self.key);
        Ok(ReplyKind::Touched)
    }

    fn answer(&self, reply: Reply) -> Result<bool, Error> {
        touched(reply)
    }
}

pub(super) fn touched(reply: Reply) -> Result<bool, Error> {
    match reply {
        Reply::Touched => Ok(true),
        Reply::NotFound => Ok(false),
        other => Err(other.into_error()),
    }
}
