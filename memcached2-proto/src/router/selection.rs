//! The names of the rules by which keys find their servers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::hash::{CMemcache, Crc, KetamaMd5, KeyHasher, OneAtATime, UpperCrc};
use super::ring::{BuildSelector, Dalli, Rendezvous, Ring, Uhashring};
use super::select::{First, Fractal, Jump, Modulo, Otherwise, Selector};
use crate::uri::Server;

#[doc = include_str!("selection.md")]
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Selection {
    /// What python-memcached2 does: [`Selection::First`] with one server, [`Selection::Rehash`] with two,
    /// [`Selection::Fractal`] with more. While all servers are up that is the hash modulo the number of servers.
    #[default]
    Default,
    /// The first server has every key (python-memcached2's `SelectorFirst`).
    First,
    /// The hash modulo the number of servers; when that server is down the key is hashed again, up to `retries` times,
    /// followed by the number of the try (python-memcached2's `SelectorRehashDownServers`, 10 retries).
    Rehash {
        /// How keys are hashed.
        hasher: Arc<dyn KeyHasher>,
        /// How many times a key is hashed again.
        retries: u32,
    },
    /// python-memcached since 1.60: 15 bits of the CRC-32 modulo the number of servers, each counted as often as it
    /// weighs; when that server is down the hash is hashed, up to 9 times.
    PythonMemcached,
    /// The hash modulo the number of servers; the keys of a server that is down are spread over the others in the same
    /// way (python-memcached2's `SelectorFractalSharding`).
    Fractal {
        /// How keys are hashed.
        hasher: Arc<dyn KeyHasher>,
    },
    /// Buckets on a ring, dealt out to the servers in turn (python-memcached2's `SelectorConsistentHashing`).
    Consistent {
        /// How keys and buckets are hashed.
        hasher: Arc<dyn KeyHasher>,
        /// How many buckets there are; the square of the number of servers unless given, but at most a million.
        total_buckets: Option<usize>,
    },
    /// libmemcached's weighted ketama (`MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`), and twemproxy's `ketama` with `hash: md5`.
    Ketama,
    /// libmemcached's consistent distribution with its default hash (`MEMCACHED_BEHAVIOR_KETAMA`).
    LibmemcachedConsistent,
    /// libmemcached's consistent distribution with `MEMCACHED_HASH_MD5`.
    LibmemcachedConsistentMd5,
    /// libmemcached's default: its default hash modulo the number of servers.
    LibmemcachedModula,
    /// libmemcached's default distribution with `MEMCACHED_HASH_CRC`.
    LibmemcachedModulaCrc,
    /// spymemcached's ketama, of servers that are named by their IP addresses.
    Spymemcached,
    /// dalli's ring.
    Dalli,
    /// pymemcache's rendezvous hashing.
    Rendezvous,
    /// uhashring's default ring.
    Uhashring,
    /// Jump hash over XXH3, the default of memcached's own proxy.
    Jump,
    /// gomemcache: the CRC-32 modulo the number of servers.
    Gomemcache,
    /// Your own rule.
    Custom(Arc<dyn BuildSelector>),
}

/// A name that no rule has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown selector \"{0}\"; there are: {list}", list = Selection::NAMES.join(", "))]
pub struct UnknownSelection(String);

impl Selection {
    /// How many times [`Selection::Rehash`] hashes a key again by default.
    pub const RETRIES: u32 = 10;

    /// The names of all rules that have one.
    pub const NAMES: [&str; 17] = [
        "default",
        "first",
        "rehash",
        "python-memcached",
        "fractal",
        "consistent",
        "ketama",
        "libmemcached-consistent",
        "libmemcached-consistent-md5",
        "libmemcached-modula",
        "libmemcached-modula-crc",
        "spymemcached",
        "dalli",
        "rendezvous",
        "uhashring",
        "jump",
        "gomemcache",
    ];

    /// Makes the selector for `servers`.
    #[must_use]
    pub fn selector(&self, servers: &[Server]) -> Arc<dyn Selector> {
        let count = servers.len();
        let modulo = |hasher: Arc<dyn KeyHasher>, otherwise| -> Arc<dyn Selector> {
            Arc::new(Modulo { hasher, slots: (0..).take(count).collect(), otherwise })
        };
        match self {
            Self::Default => match count {
                0 | 1 => Self::First.selector(servers),
                2 => Self::Rehash { hasher: Arc::new(CMemcache), retries: Self::RETRIES }.selector(servers),
                _ => Self::Fractal { hasher: Arc::new(CMemcache) }.selector(servers),
            },
            Self::First => Arc::new(First),
            Self::Rehash { hasher, retries } => modulo(Arc::clone(hasher), Otherwise::Rehash(*retries)),
            Self::PythonMemcached => {
                const TRIES: u32 = 10;
                let weighed = (0..).zip(servers).flat_map(|(place, server)| (0..server.weight()).map(move |_| place));
                let (slots, otherwise) = (weighed.collect(), Otherwise::HashTheHash(TRIES));
                Arc::new(Modulo { hasher: Arc::new(UpperCrc), slots, otherwise })
            }
            Self::Fractal { hasher } => Arc::new(Fractal { hasher: Arc::clone(hasher), servers: count }),
            Self::Consistent { hasher, total_buckets } => {
                const MOST: usize = 1 << 20;
                let total = total_buckets.unwrap_or_else(|| count.saturating_mul(count).min(MOST));
                Arc::new(Ring::buckets(count, total, Arc::clone(hasher)))
            }
            Self::Ketama => Arc::new(Ring::ketama(servers, Arc::new(KetamaMd5))),
            Self::LibmemcachedConsistent => Arc::new(Ring::libmemcached(servers, Arc::new(OneAtATime))),
            Self::LibmemcachedConsistentMd5 => Arc::new(Ring::libmemcached(servers, Arc::new(KetamaMd5))),
            Self::LibmemcachedModula => modulo(Arc::new(OneAtATime), Otherwise::GiveUp),
            Self::LibmemcachedModulaCrc => modulo(Arc::new(UpperCrc), Otherwise::GiveUp),
            Self::Spymemcached => Arc::new(Ring::spymemcached(servers)),
            Self::Dalli => Arc::new(Dalli::new(servers)),
            Self::Rendezvous => Arc::new(Rendezvous::new(servers)),
            Self::Uhashring => Arc::new(Uhashring::new(servers)),
            Self::Jump => Arc::new(Jump { servers: count }),
            Self::Gomemcache => modulo(Arc::new(Crc), Otherwise::GiveUp),
            Self::Custom(design) => design.selector(servers),
        }
    }
}

impl FromStr for Selection {
    type Err = UnknownSelection;

    fn from_str(name: &str) -> Result<Self, UnknownSelection> {
        let hasher = || -> Arc<dyn KeyHasher> { Arc::new(CMemcache) };
        Ok(match name {
            "default" => Self::Default,
            "first" => Self::First,
            "rehash" => Self::Rehash { hasher: hasher(), retries: Self::RETRIES },
            "python-memcached" => Self::PythonMemcached,
            "fractal" => Self::Fractal { hasher: hasher() },
            "consistent" => Self::Consistent { hasher: hasher(), total_buckets: None },
            "ketama" => Self::Ketama,
            "libmemcached-consistent" => Self::LibmemcachedConsistent,
            "libmemcached-consistent-md5" => Self::LibmemcachedConsistentMd5,
            "libmemcached-modula" => Self::LibmemcachedModula,
            "libmemcached-modula-crc" => Self::LibmemcachedModulaCrc,
            "spymemcached" => Self::Spymemcached,
            "dalli" => Self::Dalli,
            "rendezvous" => Self::Rendezvous,
            "uhashring" => Self::Uhashring,
            "jump" => Self::Jump,
            "gomemcache" => Self::Gomemcache,
            _ => return Err(UnknownSelection(name.to_owned())),
        })
    }
}

/// The name; your own rule is `own`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::First => "first",
            Self::Rehash { .. } => "rehash",
            Self::PythonMemcached => "python-memcached",
            Self::Fractal { .. } => "fractal",
            Self::Consistent { .. } => "consistent",
            Self::Ketama => "ketama",
            Self::LibmemcachedConsistent => "libmemcached-consistent",
            Self::LibmemcachedConsistentMd5 => "libmemcached-consistent-md5",
            Self::LibmemcachedModula => "libmemcached-modula",
            Self::LibmemcachedModulaCrc => "libmemcached-modula-crc",
            Self::Spymemcached => "spymemcached",
            Self::Dalli => "dalli",
            Self::Rendezvous => "rendezvous",
            Self::Uhashring => "uhashring",
            Self::Jump => "jump",
            Self::Gomemcache => "gomemcache",
            Self::Custom(_) => "own",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_its_rule() {
        for name in Selection::NAMES {
            assert_eq!(name.parse::<Selection>().unwrap().to_string(), name);
        }
        let error = "ketema".parse::<Selection>().unwrap_err().to_string();
        assert!(error.starts_with("unknown selector \"ketema\"; there are: default, first, "), "{error}");
    }
}
