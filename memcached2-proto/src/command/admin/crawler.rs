//! The thread that looks for expired items: `lru_crawler`.

use std::time::Duration;

use super::{Line, answered_by_ok};
use crate::error::Error;

/// Some slab classes, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Classes {
    /// All that have items.
    #[default]
    All,
    /// These: 1 to 63.
    These(Vec<u32>),
}

impl Classes {
    pub(crate) fn words(&self) -> Result<String, Error> {
        match self {
            Self::All => Ok("all".to_owned()),
            Self::These(classes) if classes.is_empty() => Err(Error::argument("no slab class is named")),
            // It must fit the line.
            Self::These(classes) if classes.len() > 64 => {
                Err(Error::argument("a server has fewer than 64 slab classes"))
            }
            Self::These(classes) => Ok(classes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

/// Controls the thread that looks for expired items and frees their memory: `lru_crawler`, since memcached 1.4.18.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LruCrawler {
    /// Starts it. A server whose crawler runs already refuses that.
    Enable,
    /// Stops it.
    Disable,
    /// How long it sleeps after each item, in whole microseconds; at most a second.
    Sleep(Duration),
    /// How many items of a slab class it looks at; 0 is all.
    Tocrawl(u32),
    /// Looks at all items of some slab classes now. `OK` means that it has begun; `BUSY` that it was already running.
    Crawl(Classes),
}

impl Line for LruCrawler {
    const NAME: &'static str = "lru_crawler";

    fn line(&self) -> Result<String, Error> {
        Ok(match self {
            Self::Enable => "lru_crawler enable".to_owned(),
            Self::Disable => "lru_crawler disable".to_owned(),
            Self::Sleep(time) => format!("lru_crawler sleep {}", u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
            Self::Tocrawl(count) => format!("lru_crawler tocrawl {count}"),
            Self::Crawl(classes) => format!("lru_crawler crawl {}", classes.words()?),
        })
    }
}

answered_by_ok!(LruCrawler);
