//! All keys of a server: `lru_crawler metadump`, `lru_crawler mgdump`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::pairs::{decoded, number, text};
use super::{StreamCommand, no_record};
use crate::command::Classes;
use crate::error::Error;

/// What is dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Classes(Classes),
    Hash,
}

impl Part {
    fn line(&self, command: &str) -> Result<String, Error> {
        match self {
            Self::Classes(classes) => Ok(format!("lru_crawler {command} {}", classes.words()?)),
            Self::Hash => Ok(format!("lru_crawler {command} hash")),
        }
    }
}

/// Asks a server for all its items, without their values: `lru_crawler metadump`; needs memcached 1.5.4.
///
/// The items are those of the moment at which each is looked at: one that is used or stored meanwhile may be missed, or come twice. A server
/// dumps for one client at a time and refuses another one with `BUSY`, also while it looks for expired items by itself: try again a moment
/// later. One that was started with `-X` refuses it. memcached from 1.4.31 to 1.5.3 does not say where the dump ends, so its first item, which has no slab class, is
/// [`Error::Protocol`]; without an item, the idle timeout ends it.
///
/// The source is `doc/protocol.txt` of memcached 1.6.45; "OK" comes first from 1.6.43 on, and lines end in a blank from
/// 1.6.39 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadump(Part);

/// Asks a server for all its keys: `lru_crawler mgdump`; needs memcached 1.6.19. It is shorter than [`Metadump`], and is refused as that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mgdump(Part);

macro_rules! parts {
    ($($command:ident)*) => {
        $(impl $command {
            /// The items of all slab classes.
            #[must_use]
            pub fn all() -> Self {
                Self::classes(Classes::All)
            }

            /// The items of some slab classes.
            #[must_use]
            pub fn classes(classes: Classes) -> Self {
                Self(Part::Classes(classes))
            }

            /// All items by the table of keys; needs memcached 1.6.9. Items that are used often are less likely to be missed, or to come twice.
            #[must_use]
            pub fn hash() -> Self {
                Self(Part::Hash)
            }
        })*
    };
}

parts!(Metadump Mgdump);

/// Why a dump of an old server is not read.
const NO_END: &str =
    "memcached before 1.5.4 does not say where a dump ends, so it is not read: it may have been cut short";

impl StreamCommand for Metadump {
    type Record = DumpedItem;

    fn name(&self) -> &'static str {
        "lru_crawler metadump"
    }

    fn line(&self) -> Result<String, Error> {
        self.0.line("metadump")
    }

    fn read(&self, line: &[u8]) -> Result<Option<DumpedItem>, Error> {
        match line {
            b"END" => Ok(None),
            _ => {
                let item = DumpedItem::read(line).ok_or_else(|| no_record(line, "an item of a dump"))?;
                match (item.class, item.size) {
                    // The commit that added them added the end, too.
                    (None, None) => Err(Error::protocol(NO_END)),
                    _ => Ok(Some(item)),
                }
            }
        }
    }
}

impl StreamCommand for Mgdump {
    type Record = DumpedKey;

    fn name(&self) -> &'static str {
        "lru_crawler mgdump"
    }

    fn line(&self) -> Result<String, Error> {
        self.0.line("mgdump")
    }

    fn read(&self, line: &[u8]) -> Result<Option<DumpedKey>, Error> {
        match line {
            b"EN" => Ok(None),
            _ => DumpedKey::read(line).map(Some).ok_or_else(|| no_record(line, "a key of a dump")),
        }
    }
}

/// An item of a [`Metadump`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DumpedItem {
    /// Its key, with the client's prefix, if it has one.
    pub key: Bytes,
    /// When it expires, in Unix time; `None` is never.
    pub exptime: Option<u64>,
    /// When it was used last, in Unix time.
    pub last_access: u64,
    /// Its version.
    pub cas: u64,
    /// Whether it was fetched since it was stored.
    pub fetched: bool,
    /// Its slab class.
    pub class: Option<u32>,
    /// How many bytes it takes in memory, with its key and header.
    pub size: Option<u64>,
    /// Its client flags, which servers say from 1.6.24 on.
    pub flags: Option<u64>,
    /// What else the server says of it, such as `ext_page`.
    pub other: Vec<(String, String)>,
}

impl DumpedItem {
    /// Reads a line such as `key=a%20b exp=-1 la=1795726629 cas=1 fetch=no cls=1 size=67`.
    fn read(line: &[u8]) -> Option<Self> {
        let (mut key, mut last_access, mut cas, mut fetched) = (None, None, None, None);
        let (mut exptime, mut class, mut size, mut flags, mut other) = (None, None, None, None, Vec::new());
        for pair in line.split(|byte| *byte == b' ').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_at(memchr::memchr(b'=', pair)?);
            let value = &value[1..];
            match name {
                b"key" => key = Some(decoded(value)),
                b"exp" => exptime = u64::try_from(number::<i64>(value)?).ok(),
                b"la" => last_access = Some(number(value)?),
                b"cas" => cas = Some(number(value)?),
                b"fetch" => fetched = Some(value == b"yes"),
                b"cls" => class = Some(number(value)?),
                b"size" => size = Some(number(value)?),
                b"flags" => flags = Some(number(value)?),
                _ => other.push((text(name), text(value))),
            }
        }
        let (last_access, cas, fetched) = (last_access?, cas?, fetched?);
        Some(Self { key: key?, exptime, last_access, cas, fetched, class, size, flags, other })
    }
}

/// A key of a [`Mgdump`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DumpedKey {
    /// The key, with the client's prefix, if it has one.
    pub key: Bytes,
    /// Whether it was stored in base64, by a meta command with flag `b`: then it may hold any bytes.
    pub is_binary: bool,
}

impl DumpedKey {
    /// Reads a line such as `mg key` or `mg Zm9v b`.
    fn read(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"mg ")?;
        let mut words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match (words.next()?, words.next(), words.next()) {
            (key, None, _) => Some(Self { key: Bytes::copy_from_slice(key), is_binary: false }),
            (key, Some(b"b"), None) => Some(Self { key: STANDARD.decode(key).ok()?.into(), is_binary: true }),
            _ => None,
        }
    }
}
