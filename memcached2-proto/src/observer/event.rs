//! What an observer gets.

use std::time::Duration;

use super::Failure;
use crate::destination::Destination;
use crate::error::Error;
use crate::uri::Server;

/// A request to one server, and what came of it: a call to several servers is several of them, and so is one that was
/// repeated.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'e> {
    /// The name of the command: `get`, `set` and so on, whatever the protocol says.
    pub command: &'static str,
    /// The server; `None` when there was none to ask, or the request was invalid.
    pub server: Option<&'e Server>,
    /// The address that it was sent to, as far as it was sent and the transport knows that.
    pub peer: Option<&'e Destination>,
    /// What came of it.
    pub outcome: RequestOutcome<'e>,
    /// Why it was sent.
    pub attempt: Attempt,
    /// How many bytes the request has; 0 when it was not encoded.
    pub sent: u64,
    /// How many bytes of values, or of statistics, came back.
    pub received: u64,
    /// How long it took, from the call, or from the failure of the attempt before, to the last byte of the answer: in
    /// steps of a microsecond, up to an hour.
    pub time: Duration,
    /// How much of that the blocking client waited for a connection: a free one of its pool, or a new one. It is zero when
    /// there was one at once, and on shared connections, which take requests at any time.
    pub wait: Duration,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome<'e> {
    /// Values were asked for, of one key or of many.
    Read {
        /// How many were there.
        hits: usize,
        /// How many were not.
        misses: usize,
    },
    /// It was done.
    Done,
    /// It was not done, since its condition was not met, or there was no such item.
    NotDone,
    /// The server has answered with an error line.
    Refused(&'e str),
    /// There was no answer.
    Failed(&'e Error),
    /// Its caller has not waited for the answer: the future was dropped.
    Cancelled,
}

/// Why a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// An observer was called.
    First,
    /// The connection before was dead.
    Retry,
    /// The server before is down.
    Failover,
}

impl<'e> RequestOutcome<'e> {
    /// Why it has failed, if it has. A miss and a condition that was not met are no failures.
    #[must_use]
    pub fn failure(&self) -> Option<Failure<'e>> {
        match self {
            Self::Refused(line) => Some(Failure::Refused(line)),
            Self::Failed(error) => Some(Failure::Failed(error)),
            Self::Cancelled => Some(Failure::Cancelled),
            Self::Read { .. } | Self::Done | Self::NotDone => None,
        }
    }

    /// A word for it: `hit`, `miss`, `done`, `not_done`, `refused`, `failed` or `cancelled`. Of several keys one that was there makes
    /// it a hit.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Read { hits: 0, .. } => "miss",
            Self::Read { .. } => "hit",
            Self::Done => "done",
            Self::NotDone => "not_done",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
