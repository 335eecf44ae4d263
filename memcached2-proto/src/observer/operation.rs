//! What a call asks of one server, as OpenTelemetry counts operations.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::destination::Destination;
use crate::error::Error;
use crate::reply::error_line::status_code;
use crate::time::{Instant, Now};
use crate::uri::Server;

/// What a call has asked of one server, from the call to the last answer of that server, with all retries.
///
/// The name of each server is in its own operation. A request that went to another server, since the first was down, is part of
/// the operation of that one: the last that was asked.
#[derive(Debug)]
#[non_exhaustive]
pub struct OperationEvent<'e> {
    /// The name of the command: `get`, `set` and so on, whatever the protocol says; `None` of a batch of different ones, or of none.
    pub command: Option<&'static str>,
    /// The server; `None` if there was none to ask, or the request was invalid.
    pub server: Option<&'e Server>,
    /// The address that it was connected to, as far as something was sent and the transport knows that.
    pub peer: Option<&'e Destination>,
    /// Of a batch that the caller has put together, such as a `set_many`: how many requests it has for this server, if they are two or
    /// more, and 0 if the whole batch is empty. A `get_many` is no batch: it is one command for many keys.
    pub batch: Option<usize>,
    /// Why it has failed, or the first request of it that has; `None` if the server has done all that was asked.
    pub failure: Option<Failure<'e>>,
    /// How long it took, from the call to the last byte of the answer: in steps of a nanosecond, up to 584 years.
    pub time: Duration,
    /// How much of that a connection of a pool was waited for; `None` on shared connections, which take requests at any time, and if
    /// the operation was repeated or has failed.
    pub wait: Option<Duration>,
    pub(crate) moment: Moment,
}

/// When a call began, and the clocks by which that is a moment of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) clock: fn() -> Now,
    pub(crate) begun: Instant,
}

/// Why an operation has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<'e> {
    /// The server has answered with this error line.
    Refused(&'e str),
    /// There was no answer.
    Failed(&'e Error),
    /// Its caller has not waited for the answer: the future was dropped, by a timeout around it, say.
    Cancelled,
}

/// A failure that is kept until the call has ended.
#[derive(Debug)]
pub(crate) enum StoredFailure {
    Refused(Box<str>),
    Failed(Error),
    Cancelled,
}

impl<'e> OperationEvent<'e> {
    /// An operation of which nothing is known yet, but its time.
    pub(crate) fn new(moment: Moment, ended: Instant) -> Self {
        let time = ended.saturating_duration_since(moment.begun).max(Duration::from_micros(1));
        Self { command: None, server: None, peer: None, batch: None, failure: None, time, wait: None, moment }
    }

    /// When the call began, on the clock of the system, which is read now.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        let Moment { clock, begun } = self.moment;
        let now = clock();
        let wall = now.wall();
        wall.checked_sub(now.monotonic.saturating_duration_since(begun)).unwrap_or(wall)
    }

    /// Whether its time was over before it had a connection to the server.
    #[must_use]
    pub fn had_no_connection(&self) -> bool {
        self.peer.is_none() && matches!(self.failure, Some(Failure::Failed(error)) if error.is_timeout())
    }

    /// The name of the operation: that of its command, `BATCH` before it if it is a [batch](OperationEvent::batch), and `BATCH` alone
    /// if that has different commands, or none.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match (self.command, self.batch) {
            (Some(command), None) => Cow::Borrowed(command),
            (Some(command), Some(_)) => Cow::Owned(format!("BATCH {command}")),
            (None, _) => Cow::Borrowed("BATCH"),
        }
    }
}

impl<'e> Failure<'e> {
    /// The first word of the error line of a server, such as `SERVER_ERROR`, if it is one that servers are known to say; `None` if
    /// there was no answer.
    #[must_use]
    pub fn status_code(&self) -> Option<&'e str> {
        match self {
            Self::Refused(line) => status_code(line),
            Self::Failed(Error::Refused { line, .. }) => status_code(line),
            Self::Failed(_) | Self::Cancelled => None,
        }
    }

    /// The class of the failure, one of few: the [status code](Failure::status_code) if there is one, else a word for the error, such
    /// as `timeout`, `connect` or `disconnected`, or `cancelled`, or `_OTHER`.
    #[must_use]
    pub fn error_type(&self) -> &'e str {
        match self {
            Self::Failed(error) if self.status_code().is_none() => error.class(),
            Self::Cancelled => "cancelled",
            _ => self.status_code().unwrap_or("_OTHER"),
        }
    }
}

impl StoredFailure {
    pub(crate) fn as_failure(&self) -> Failure<'_> {
        match self {
            Self::Refused(line) => Failure::Refused(line),
            Self::Failed(error) => Failure::Failed(error),
            Self::Cancelled => Failure::Cancelled,
        }
    }
}

impl From<Failure<'_>> for StoredFailure {
    fn from(failure: Failure<'_>) -> Self {
        match failure {
            Failure::Refused(line) => Self::Refused(line.into()),
            Failure::Failed(error) => Self::Failed(error.clone()),
            Failure::Cancelled => Self::Cancelled,
        }
    }
}
