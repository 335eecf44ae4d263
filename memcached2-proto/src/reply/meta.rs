//! What the reply to a meta command says, with flags of the caller's choice.

use std::time::Duration;

use bytes::Bytes;

use crate::value::Value;

/// The reply to a meta command: whether it was carried out, and what it says of the item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaReply {
    /// The code of the reply.
    pub status: MetaStatus,
    /// What the flags of the reply say, and its data.
    pub item: MetaItem,
}

/// Whether a meta command was carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetaStatus {
    /// `HD`, `VA`: it was.
    #[default]
    Done,
    /// `NS`: it was not, because of its mode: there is an item already, or none.
    NotStored,
    /// `EX`: it was not, because the item has another version.
    Exists,
    /// `NF`: it was not, because there is no item.
    NotFound,
}

/// What an `mg` says of an item: each field that was asked for, unless the server left it out.
///
/// `doc/protocol.txt` of memcached 1.6.45, "Meta Get".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaItem {
    /// Flag `v`: the value, with the flags and the version if they were asked for, too.
    pub value: Option<Value>,
    /// Flag `f`: the number that is stored beside the value.
    pub flags: Option<u64>,
    /// Flag `c`: the version of the item.
    pub cas: Option<u64>,
    /// Flag `s`: the length of the value in bytes.
    pub size: Option<u64>,
    /// Flag `t`: how long the item stays.
    pub ttl: Option<Ttl>,
    /// Flag `h`: whether the item was fetched before, since it was stored.
    pub hit_before: Option<bool>,
    /// Flag `l`: how long ago the item was fetched or stored, in whole seconds.
    pub last_access: Option<Duration>,
    /// Flag `k`: the key.
    pub key: Option<Bytes>,
    /// Flag `W`: this caller is the one that is to store the value again.
    pub win: bool,
    /// Flag `X`: the item is stale: it was marked as such, and not stored again since.
    pub stale: bool,
    /// Flag `Z`: another caller is about to store the value again.
    pub already_won: bool,
    /// The opaque of the request, if it was given one; it is not sent.
    pub opaque: Option<Bytes>,
    /// Flags of the reply that this crate does not know, each with what follows its letter.
    pub unknown: Vec<(u8, Bytes)>,
}

/// How long an item stays, by the clock of its server, which may be wrong by a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Until it is evicted.
    Never,
    /// For this many seconds from now.
    Seconds(u32),
    /// It has expired, by this very request.
    Expired,
}

impl Ttl {
    /// How long the item stays; `None` if it does not expire, zero if it has expired.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Self::Expired => Some(Duration::ZERO),
        }
    }
}
