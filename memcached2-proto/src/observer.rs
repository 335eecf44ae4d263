//! The one hook for metrics and traces.
//!
//! For those who log, trace and count requests.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
use crate::error::Error;
use crate::reply::Reply;
use crate::time::Instant;
use crate::uri::Server;

/// Is called for every request of a client: see [`Options::observer`](crate::Options::observer).
///
/// It is called in the thread or the task of the caller, after the answers and before the call returns, so it must not
/// wait. It is not called for a request that was cancelled because its future was dropped.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use memcached2_proto::observer::{Event, RequestOutcome};
/// use memcached2_proto::Observer;
///
/// #[derive(Debug, Default)]
/// struct HitRatio { hits: AtomicU64, misses: AtomicU64 }
///
/// impl Observer for HitRatio {
///     fn on_request(&self, event: &Event<'_>) {
///         if let RequestOutcome::Read { hits, misses } = event.outcome {
///             self.hits.fetch_add(hits as u64, Ordering::Relaxed);
///             self.misses.fetch_add(misses as u64, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: fmt::Debug + Send + Sync {
    /// Takes note of a request that has ended.
    fn on_request(&self, event: &Event<'_>);

    /// Takes note of a server that has failed, or has answered again; nothing unless implemented.
    fn on_server_event(&self, _server: &Server, _event: ServerEvent) {}
}

/// A change of a server. There is none with [`ReconnectPolicy::Immediately`](crate::ReconnectPolicy), where servers
/// never count as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// It has failed.
    Down {
        /// How many times in a row it has failed.
        failures: u32,
        /// How long it is not tried.
        wait: Duration,
    },
    /// It has answered, after it had failed.
    Up,
}

/// A request to one server, and what came of it: a call to several servers is several of them, and so is one that was
/// repeated.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'e> {
    /// The name of the command: `get`, `set` and so on, whatever the protocol says.
    pub command: &'static str,
    /// The server; `None` when there was none to ask, or the request was invalid.
    pub server: Option<&'e Server>,
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

impl RequestOutcome<'_> {
    /// A word for it: `hit`, `miss`, `done`, `not_done`, `refused` or `failed`. Of several keys one that was there makes
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
        }
    }
}

/// What the replies to a request come to, counted as they come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    hits: usize,
    /// How many bytes of values, or of statistics, there were.
    pub(crate) received: u64,
    end: TallyEnd,
}

/// What the last reply was that is no value.
#[derive(Debug, Default)]
enum TallyEnd {
    #[default]
    None,
    Done,
    NotDone,
    Miss,
    Refused(Arc<str>),
}

impl Tally {
    #[cold]
    pub(crate) fn add(&mut self, reply: &Reply) {
        self.end = match reply {
            Reply::Value(_, value) => {
                self.hits += 1;
                self.received += value.data.len() as u64;
                return;
            }
            // The server had it and sent it.
            Reply::NoMemory(_, length) => {
                self.hits += 1;
                self.received += *length as u64;
                return;
            }
            Reply::Miss | Reply::End => TallyEnd::Miss,
            Reply::NotStored | Reply::Exists | Reply::NotFound => TallyEnd::NotDone,
            Reply::Refused(line) => TallyEnd::Refused(Arc::clone(line)),
            Reply::Quiet(quiet) => {
                if let Some(Reply::Meta(meta)) = &quiet.reply {
                    self.received += meta.item.value.as_ref().map_or(0, |value| value.data.len() as u64);
                }
                match (quiet.refusals.first(), &self.end) {
                    (Some(line), _) => TallyEnd::Refused(Arc::clone(line)),
                    (None, TallyEnd::Refused(_)) => return,
                    (None, _) => TallyEnd::Done,
                }
            }
            Reply::Stats(text) => {
                self.received += text.len() as u64;
                TallyEnd::Done
            }
            _ => TallyEnd::Done,
        };
    }

    /// How many values have come.
    pub(crate) fn hits(&self) -> usize {
        self.hits
    }

    /// The outcome of a request for this many keys.
    pub(crate) fn outcome(&self, keys: usize) -> RequestOutcome<'_> {
        match &self.end {
            TallyEnd::Refused(line) => RequestOutcome::Refused(line),
            TallyEnd::NotDone => RequestOutcome::NotDone,
            TallyEnd::Done => RequestOutcome::Done,
            TallyEnd::Miss | TallyEnd::None => {
                RequestOutcome::Read { hits: self.hits, misses: keys.saturating_sub(self.hits) }
            }
        }
    }
}

/// Calls one observer, then another.
#[derive(Debug)]
pub(crate) struct Both(pub(crate) Arc<dyn Observer>, pub(crate) Arc<dyn Observer>);

impl Observer for Both {
    fn on_request(&self, event: &Event<'_>) {
        self.0.on_request(event);
        self.1.on_request(event);
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        self.0.on_server_event(server, event);
        self.1.on_server_event(server, event);
    }
}

/// What looks at each request: an observer with a clock for its durations, or replicas.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) clock: fn() -> Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::QuietReply;
    use crate::value::Value;

    #[test]
    fn replies_come_to_an_outcome() {
        let value = || Reply::Value(0, Value::new("seven b".into(), 0));
        let read = |hits, misses| RequestOutcome::Read { hits, misses };
        let quiet = |lines: &[&str]| {
            let refusals = lines.iter().map(|line| Arc::from(*line)).collect();
            Reply::Quiet(Box::new(QuietReply { refusals, ..QuietReply::default() }))
        };
        for (replies, keys, expected, word, received) in [
            (vec![value()], 1, read(1, 0), "hit", 7),
            (vec![Reply::Miss], 1, read(0, 1), "miss", 0),
            (vec![value(), value(), Reply::End], 5, read(2, 3), "hit", 14),
            (vec![Reply::End], 5, read(0, 5), "miss", 0),
            (vec![value(), Reply::NoMemory(1, 5), Reply::End], 3, read(2, 1), "hit", 12),
            (vec![Reply::Stored], 1, RequestOutcome::Done, "done", 0),
            (vec![Reply::Number(7)], 1, RequestOutcome::Done, "done", 0),
            (vec![Reply::Exists], 1, RequestOutcome::NotDone, "not_done", 0),
            (vec![Reply::Refused("ERROR".into())], 1, RequestOutcome::Refused("ERROR"), "refused", 0),
            (vec![value(), Reply::Refused("ERROR".into())], 2, RequestOutcome::Refused("ERROR"), "refused", 7),
            (vec![quiet(&["ERROR"]), quiet(&[])], 3, RequestOutcome::Refused("ERROR"), "refused", 0),
            (vec![quiet(&[]), quiet(&[])], 3, RequestOutcome::Done, "done", 0),
            (vec![Reply::Stats((*b"pid 1\r\n").into())], 1, RequestOutcome::Done, "done", 7),
        ] {
            let mut tally = Tally::default();
            replies.iter().for_each(|reply| tally.add(reply));
            let outcome = tally.outcome(keys);
            assert_eq!((outcome, outcome.as_str(), tally.received), (expected, word, received));
        }
    }
}
