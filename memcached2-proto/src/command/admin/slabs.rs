//! How memory moves between slab classes: `slabs reassign`, `slabs automove`.

use super::{Line, answered_by_ok, fraction};
use crate::error::Error;

/// Moves a page of memory from one slab class to another: `slabs reassign`, since memcached 1.4.11. `OK` means that it will be moved.
///
/// A server refuses it in the words of `doc/protocol.txt`, "Slabs Reassign": `BUSY`, `BADCLASS`, `NOSPARE`, `SAME`, and before 1.4.14
/// `NOTFULL` and `UNSAFE`; then nothing is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabsReassign {
    /// The class that loses a page; `None` lets the server choose one. Without a class that has pages to spare, that crashes
    /// memcached 1.6.39 and 1.6.40.
    pub source: Option<u32>,
    /// The class that gets it.
    pub dest: u32,
}

impl Line for SlabsReassign {
    const NAME: &'static str = "slabs reassign";

    fn line(&self) -> Result<String, Error> {
        Ok(match *self {
            Self { source: None, dest } => format!("slabs reassign -1 {dest}"),
            Self { source: Some(source), dest } => format!("slabs reassign {source} {dest}"),
        })
    }
}

/// Sets how a server moves memory between slab classes by itself: `slabs automove`, since memcached 1.4.11.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum SlabsAutomove {
    /// It moves none: `0`.
    Off,
    /// It moves pages of classes with much free memory to where they are needed: `1`.
    On,
    /// It moves a page at each eviction: `2`. It is not meant to stay.
    Aggressive,
    /// How old items of a class may get, compared with those of others, before it loses a page: `ratio`, since memcached 1.4.35.
    Ratio(f64),
    /// Which part of the memory is kept free: `freeratio`; memcached 1.6.18 does not know it.
    FreeRatio(f64),
    /// Over how many seconds it looks back: `window`; memcached 1.6.18 does not know it, and 1.6.45 accepts 3 to 1800.
    Window(u32),
}

impl Line for SlabsAutomove {
    const NAME: &'static str = "slabs automove";

    fn line(&self) -> Result<String, Error> {
        Ok(match *self {
            Self::Off => "slabs automove 0".to_owned(),
            Self::On => "slabs automove 1".to_owned(),
            Self::Aggressive => "slabs automove 2".to_owned(),
            Self::Ratio(ratio) => format!("slabs automove ratio {}", fraction(ratio)?),
            Self::FreeRatio(ratio) => format!("slabs automove freeratio {}", fraction(ratio)?),
            Self::Window(seconds) => format!("slabs automove window {seconds}"),
        })
    }
}

answered_by_ok!(SlabsReassign SlabsAutomove);
