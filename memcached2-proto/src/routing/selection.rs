//! The names of the rules by which keys find their servers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "ketama")]
use super::hash::KetamaMd5;
use super::hash::{CMemcache, Crc, KeyHasher, OneAtATime, UpperCrc};
#[cfg(feature = "dalli")]
use super::ring::Dalli;
#[cfg(feature = "ketama")]
use super::ring::Uhashring;
use super::ring::{BuildSelector, Rendezvous, Ring};
#[cfg(feature = "jump")]
use super::select::Jump;
use super::select::{First, Fractal, Modulo, Otherwise, Selector};
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
    #[cfg(feature = "ketama")]
    Ketama,
    /// libmemcached's consistent distribution with its default hash (`MEMCACHED_BEHAVIOR_KETAMA`).
    #[cfg(feature = "ketama")]
    LibmemcachedConsistent,
    /// libmemcached's consistent distribution with `MEMCACHED_HASH_MD5`.
    #[cfg(feature = "ketama")]
    LibmemcachedConsistentMd5,
    /// libmemcached's default: its default hash modulo the number of servers.
    LibmemcachedModula,
    /// libmemcached's default distribution with `MEMCACHED_HASH_CRC`.
    LibmemcachedModulaCrc,
    /// spymemcached's ketama, of servers that are named by their IP addresses.
    #[cfg(feature = "ketama")]
    Spymemcached,
    /// dalli's ring.
    #[cfg(feature = "dalli")]
    Dalli,
    /// pymemcache's rendezvous hashing.
    Rendezvous,
    /// uhashring's default ring.
    #[cfg(feature = "ketama")]
    Uhashring,
    /// Jump hash over XXH3, the default of memcached's own proxy.
    #[cfg(feature = "jump")]
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
    pub const NAMES: &[&str] = &[
        "default",
        "first",
        "rehash",
        "python-memcached",
        "fractal",
        "consistent",
        #[cfg(feature = "ketama")]
        "ketama",
        #[cfg(feature = "ketama")]
        "libmemcached-consistent",
        #[cfg(feature = "ketama")]
        "libmemcached-consistent-md5",
        "libmemcached-modula",
        "libmemcached-modula-crc",
        #[cfg(feature = "ketama")]
        "spymemcached",
        #[cfg(feature = "dalli")]
        "dalli",
        "rendezvous",
        #[cfg(feature = "ketama")]
        "uhashring",
        #[cfg(feature = "jump")]
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
            #[cfg(feature = "ketama")]
            Self::Ketama => Arc::new(Ring::ketama(servers, Arc::new(KetamaMd5))),
            #[cfg(feature = "ketama")]
            Self::LibmemcachedConsistent => Arc::new(Ring::libmemcached(servers, Arc::new(OneAtATime))),
            #[cfg(feature = "ketama")]
            Self::LibmemcachedConsistentMd5 => Arc::new(Ring::libmemcached(servers, Arc::new(KetamaMd5))),
            Self::LibmemcachedModula => modulo(Arc::new(OneAtATime), Otherwise::GiveUp),
            Self::LibmemcachedModulaCrc => modulo(Arc::new(UpperCrc), Otherwise::GiveUp),
            #[cfg(feature = "ketama")]
            Self::Spymemcached => Arc::new(Ring::spymemcached(servers)),
            #[cfg(feature = "dalli")]
            Self::Dalli => Arc::new(Dalli::new(servers)),
            Self::Rendezvous => Arc::new(Rendezvous::new(servers)),
            #[cfg(feature = "ketama")]
            Self::Uhashring => Arc::new(Uhashring::new(servers)),
            #[cfg(feature = "jump")]
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
            #[cfg(feature = "ketama")]
            "ketama" => Self::Ketama,
            #[cfg(feature = "ketama")]
            "libmemcached-consistent" => Self::LibmemcachedConsistent,
            #[cfg(feature = "ketama")]
            "libmemcached-consistent-md5" => Self::LibmemcachedConsistentMd5,
            "libmemcached-modula" => Self::LibmemcachedModula,
            "libmemcached-modula-crc" => Self::LibmemcachedModulaCrc,
            #[cfg(feature = "ketama")]
            "spymemcached" => Self::Spymemcached,
            #[cfg(feature = "dalli")]
            "dalli" => Self::Dalli,
            "rendezvous" => Self::Rendezvous,
            #[cfg(feature = "ketama")]
            "uhashring" => Self::Uhashring,
            #[cfg(feature = "jump")]
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
            #[cfg(feature = "ketama")]
            Self::Ketama => "ketama",
            #[cfg(feature = "ketama")]
            Self::LibmemcachedConsistent => "libmemcached-consistent",
            #[cfg(feature = "ketama")]
            Self::LibmemcachedConsistentMd5 => "libmemcached-consistent-md5",
            Self::LibmemcachedModula => "libmemcached-modula",
            Self::LibmemcachedModulaCrc => "libmemcached-modula-crc",
            #[cfg(feature = "ketama")]
            Self::Spymemcached => "spymemcached",
            #[cfg(feature = "dalli")]
            Self::Dalli => "dalli",
            Self::Rendezvous => "rendezvous",
            #[cfg(feature = "ketama")]
            Self::Uhashring => "uhashring",
            #[cfg(feature = "jump")]
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
        for &name in Selection::NAMES {
            assert_eq!(name.parse::<Selection>().unwrap().to_string(), name);
        }
        let error = "ketema".parse::<Selection>().unwrap_err().to_string();
        assert!(error.starts_with("unknown selector \"ketema\"; there are: default, first, "), "{error}");
    }
}
