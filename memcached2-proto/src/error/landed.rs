//! Whether a request had an effect.

use std::fmt;

/// Whether a request that failed may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Landed {
    /// The request was not sent whole, or only reads, so it had no effect: it is safe to repeat. A `get` that was not answered
    /// is always `NotSent`.
    NotSent,
    /// The server refused the request and did nothing. But a `set` that memcached refuses, as too large or for lack of
    /// memory, removes the old value.
    Refused,
    /// The request was sent and not answered: it may have taken effect, or not.
    Unknown,
}

impl fmt::Display for Landed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "the request had no effect",
            Self::Refused => "the request was refused",
            Self::Unknown => "the request may have taken effect",
        })
    }
}
