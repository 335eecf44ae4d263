//! What a running server can be set to: memory, log, the order of use, the storage on disk, certificates.
//!
//! A server that restarts forgets all of it.

use super::{Line, answered_by_ok, fraction};
use crate::error::Error;

/// Sets how much memory a server uses for items, in MiB: at least 8. Since memcached 1.4.27.
///
/// The limit lasts until the server restarts. A server that was started with all its memory (`-L`) refuses it.
#[derive(Debug, Clone, Copy)]
pub struct CacheMemlimit(pub u32);

impl Line for CacheMemlimit {
    const NAME: &'static str = "cache_memlimit";

    fn line(&self) -> Result<String, Error> {
        Ok(format!("cache_memlimit {}", self.0))
    }
}

/// Sets how much a server writes to its log: 0 for errors, 1 and more for what it does.
#[derive(Debug, Clone, Copy)]
pub struct Verbosity(pub u32);

impl Line for Verbosity {
    const NAME: &'static str = "verbosity";

    fn line(&self) -> Result<String, Error> {
        Ok(format!("verbosity {}", self.0))
    }
}

/// Sets in which order items are evicted: `lru`, since memcached 1.4.35. memcached 1.6.40 answers each form with `ERROR`.
///
/// The meaning of the numbers is that of `doc/protocol.txt` of memcached 1.6.45, "LRU Tuning".
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Lru {
    /// How large the segments for hot and for warm items may get: `lru tune`.
    Tune {
        /// The hot items, in percent of the memory. Both percentages together are at most 80.
        hot_percent: u32,
        /// The warm items, in percent of the memory.
        warm_percent: u32,
        /// How long a hot item may stay there unused, as a part of the age of the oldest cold item; more than 0.
        hot_factor: f64,
        /// The same for warm items.
        warm_factor: f64,
    },
    /// One list of items for each slab class: `lru mode flat`.
    Flat,
    /// Hot, warm and cold items: `lru mode segmented`.
    Segmented,
    /// Keeps items that expire in less than this many seconds apart, where they are not evicted; `None` keeps none apart:
    /// `lru temp_ttl`.
    TempTtl(Option<u32>),
}

impl Line for Lru {
    const NAME: &'static str = "lru";

    fn line(&self) -> Result<String, Error> {
        Ok(match *self {
            Self::Tune { hot_percent, warm_percent, hot_factor, warm_factor } => {
                let (hot_factor, warm_factor) = (fraction(hot_factor)?, fraction(warm_factor)?);
                format!("lru tune {hot_percent} {warm_percent} {hot_factor} {warm_factor}")
            }
            Self::Flat => "lru mode flat".to_owned(),
            Self::Segmented => "lru mode segmented".to_owned(),
            Self::TempTtl(None) => "lru temp_ttl -1".to_owned(),
            Self::TempTtl(Some(seconds)) => format!("lru temp_ttl {seconds}"),
        })
    }
}

/// Sets what a server with storage on disk (extstore) writes there: `extstore`, since memcached 1.5.4.
///
/// A server without such storage also says `OK`, and ignores it. `doc/storage.txt` of memcached 1.6.45 explains the
/// settings, which have the names of the options that it is started with (`-o ext_item_size`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Extstore {
    /// Items of fewer bytes stay in memory.
    ItemSize(u32),
    /// Items that were used this many seconds ago, or less, stay in memory.
    ItemAge(u32),
    /// Items that expire in fewer seconds are put together.
    LowTtl(u32),
    /// One in this many fetched items is brought back to memory.
    RecacheRate(u32),
    /// With fewer free pages, it compacts pages.
    CompactUnder(u32),
    /// With fewer free pages, it drops old items.
    DropUnder(u32),
    /// How many microseconds its threads sleep at most.
    MaxSleep(u32),
    /// Which part of a page must be in use for it not to be compacted; 0 to 1.
    MaxFrag(f64),
    /// Whether compacting drops items that were not fetched.
    DropUnread(bool),
    /// How many chunks of a slab class are kept free. Servers accept it and ignore it.
    FreeMemchunks {
        /// The slab class.
        class: u32,
        /// How many chunks.
        count: u32,
    },
}

impl Line for Extstore {
    const NAME: &'static str = "extstore";

    fn line(&self) -> Result<String, Error> {
        Ok(match *self {
            Self::ItemSize(bytes) => format!("extstore item_size {bytes}"),
            Self::ItemAge(seconds) => format!("extstore item_age {seconds}"),
            Self::LowTtl(seconds) => format!("extstore low_ttl {seconds}"),
            Self::RecacheRate(one_in) => format!("extstore recache_rate {one_in}"),
            Self::CompactUnder(pages) => format!("extstore compact_under {pages}"),
            Self::DropUnder(pages) => format!("extstore drop_under {pages}"),
            Self::MaxSleep(microseconds) => format!("extstore max_sleep {microseconds}"),
            Self::MaxFrag(part) => format!("extstore max_frag {}", fraction(part)?),
            Self::DropUnread(is_on) => format!("extstore drop_unread {}", u8::from(is_on)),
            Self::FreeMemchunks { class, count } => format!("extstore free_memchunks {class} {count}"),
        })
    }
}

/// Lets a server with TLS read its certificate and its key again: `refresh_certs`, since memcached 1.5.13.
///
/// A server that cannot read them keeps those that it has, and refuses it: `Error loading the certificate chain: ...`. One without
/// TLS says `Error TLS not enabled`, or `ERROR` if it was built without TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefreshCerts;

impl Line for RefreshCerts {
    const NAME: &'static str = "refresh_certs";

    fn line(&self) -> Result<String, Error> {
        Ok("refresh_certs".to_owned())
    }
}

answered_by_ok!(CacheMemlimit Verbosity Lru Extstore RefreshCerts);
