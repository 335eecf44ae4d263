//! What can go wrong, and whether the request may have taken effect all the same.

mod cause;
mod facts;
mod make;
mod problem;
mod request;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use self::cause::Cause;
pub use self::problem::{KeyProblem, UriProblem};
pub use self::request::FailedRequest;

/// Why a call failed.
///
/// A miss is not among them: it is `Ok(None)`. [`Error::landed`] says whether the request may have taken effect, and
/// [`Error::command`], [`Error::key`] and [`Error::server`] say which request it was. The text names all of them, so that one
/// line of a log is enough.
///
/// ```
/// use memcached2_proto::Error;
///
/// # fn add() -> Result<(), Error> { Ok(()) }
/// match add() {
///     Ok(()) => println!("the lock is ours"),
///     Err(Error::NotStored { .. }) => println!("somebody else has it"),
///     Err(error) if error.is_safe_to_retry() => println!("try again: {error}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
///
/// # Which call gives which
///
/// | call | errors of its own |
/// |---|---|
/// | every one | [`NoServers`](Self::NoServers), [`Down`](Self::Down), [`AllDown`](Self::AllDown), [`Connect`](Self::Connect), [`Disconnected`](Self::Disconnected), [`Timeout`](Self::Timeout), [`Refused`](Self::Refused), [`Protocol`](Self::Protocol), [`Overloaded`](Self::Overloaded), [`Closed`](Self::Closed); for Tokio [`NoRuntime`](Self::NoRuntime) |
/// | every one with a key | [`Key`](Self::Key) |
/// | every one with an expiry | [`Expiry`](Self::Expiry) |
/// | making a client | [`Uri`](Self::Uri), and [`Key`](Self::Key) for its prefix |
/// | `get`, `gets`, `gat`, `gats`, and of many | [`NoMemory`](Self::NoMemory); a miss is `Ok(None)` |
/// | `get_as`, [`Value::parse`](crate::Value::parse), [`Value::as_str`](crate::Value::as_str) | [`Value`](Self::Value) |
/// | `set`, `set_many`, `store_many` | [`TooLarge`](Self::TooLarge), [`Value`](Self::Value) |
/// | `add`, `replace`, `append`, `prepend` | those of `set`, and [`NotStored`](Self::NotStored) |
/// | `cas` | those of `set`, [`Exists`](Self::Exists), [`NotFound`](Self::NotFound), [`Cas`](Self::Cas) |
/// | `refresh_cas`, `Item::refresh` | [`CasRefresh`](Self::CasRefresh) |
/// | the changes of an `Item` | those of the client's methods, and [`Cas`](Self::Cas) |
/// | `cache` | those of `get` and `set`, and what the closure returns |
/// | `incr`, `decr` | [`NonNumeric`](Self::NonNumeric); a missing item is `Ok(None)` |
/// | `delete`, `delete_many`, `touch` | none: a missing item is `Ok(false)` |
/// | those that ask every server: `flush_all`, `version`, `stats`, `delete_all` and the others | none |
/// | [`BatchResult::all_stored`](crate::BatchResult::all_stored) | [`MultiStorage`](Self::MultiStorage) |
///
/// # For those who know python-memcached2
///
/// | exception | error |
/// |---|---|
/// | `InvalidURI`, `UnknownProtocol` | [`Uri`](Self::Uri); the protocol's problem is [`UriProblem::Scheme`] |
/// | `ServerDisconnect` | [`Disconnected`](Self::Disconnected), [`Connect`](Self::Connect), [`Timeout`](Self::Timeout) |
/// | `NoAvailableServers` | [`Down`](Self::Down), [`AllDown`](Self::AllDown); [`NoServers`](Self::NoServers) if there is none at all |
/// | `StoreFailure` | [`Refused`](Self::Refused), [`TooLarge`](Self::TooLarge) |
/// | `NotStored` | [`NotStored`](Self::NotStored) |
/// | `CASFailure` | [`Exists`](Self::Exists); of `ValueSuperStr` also [`Cas`](Self::Cas) |
/// | `CASRefreshFailure` | [`CasRefresh`](Self::CasRefresh) |
/// | `NotFound` | [`NotFound`](Self::NotFound) of `cas`; else `Ok(None)` and `Ok(false)` |
/// | `NonNumeric` | [`NonNumeric`](Self::NonNumeric) |
/// | `MultiStorageException` | [`MultiStorage`](Self::MultiStorage) |
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes given are no key; nothing was sent.
    #[error("{request}invalid key \"{key}\": {problem}")]
    #[non_exhaustive]
    Key {
        /// The request.
        request: FailedRequest,
        /// The bytes, at most 250 of them, with escapes for those that do not print.
        key: Arc<str>,
        /// What is wrong with them.
        problem: KeyProblem,
    },
    /// The text given names no server.
    #[error("invalid server \"{uri}\": {problem}")]
    #[non_exhaustive]
    Uri {
        /// The text.
        uri: Arc<str>,
        /// What is wrong with it.
        problem: UriProblem,
    },
    /// The moment of expiry lies beyond what the protocol can say; nothing was sent.
    #[error(
        "{request}invalid expiry: it must be a moment up to 2038-01-19 03:14:07 UTC, as far as memcached keeps time"
    )]
    #[non_exhaustive]
    Expiry {
        /// The request.
        request: FailedRequest,
    },
    /// The value is longer than the protocol can say; nothing was sent.
    #[error("{request}value of {length} bytes is too large: at most {limit} can be sent; split it or compress it")]
    #[non_exhaustive]
    TooLarge {
        /// The request.
        request: FailedRequest,
        /// The length of the value.
        length: usize,
        /// The most that can be sent.
        limit: usize,
    },
    /// The value is not what it should be read as, or cannot be said in bytes.
    #[error("{request}cannot convert the value: {reason}")]
    #[non_exhaustive]
    Value {
        /// The request.
        request: FailedRequest,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The client was made without a server.
    #[error("{request}no server to ask: name at least one when the client is made")]
    #[non_exhaustive]
    NoServers {
        /// The request.
        request: FailedRequest,
    },
    /// The condition of the request was not met, so nothing was stored.
    #[error("{request}not stored: the condition of the request was not met")]
    #[non_exhaustive]
    NotStored {
        /// The request.
        request: FailedRequest,
    },
    /// The item has changed since its `cas` was fetched, so nothing was stored.
    #[error("{request}not stored: the item has changed since it was fetched; fetch it again")]
    #[non_exhaustive]
    Exists {
        /// The request.
        request: FailedRequest,
    },
    /// There is no item any more whose `cas` could be compared, so nothing was stored.
    #[error("{request}not stored: the item is gone")]
    #[non_exhaustive]
    NotFound {
        /// The request.
        request: FailedRequest,
    },
    /// The item has another value than the one whose version was to be fetched anew, or is gone.
    #[error("{request}the stored value is not the one expected any more: fetch it, and decide again")]
    #[non_exhaustive]
    CasRefresh {
        /// The request.
        request: FailedRequest,
    },
    /// The version that an item was fetched with cannot be used for this; nothing was sent.
    #[error("{request}cannot change the item: {problem}")]
    #[non_exhaustive]
    Cas {
        /// The request.
        request: FailedRequest,
        /// Why not.
        problem: CasProblem,
    },
    /// Of several items some were not stored. Those that were stay stored.
    #[error("{} of {} items were not stored; the first error: {}", failures(results).count(), results.len(),
        failures(results).next().map_or_else(String::new, ToString::to_string))]
    #[non_exhaustive]
    MultiStorage {
        /// What became of each item, in the order given.
        results: Arc<[Result<(), Self>]>,
    },
    /// The stored value is not a decimal number of at most 20 digits, so it cannot be counted up or down.
    #[error("{request}cannot increment or decrement: the stored value is not a number")]
    #[non_exhaustive]
    NonNumeric {
        /// The request.
        request: FailedRequest,
    },
    /// The server answered the request with an error line; a request about a whole server also with a line in words of its own,
    /// which leaves open whether it took effect.
    #[error("{request}{} refused the request: {line}", request.server_or_default())]
    #[non_exhaustive]
    Refused {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect: most error lines say that it has not.
        landed: Landed,
        /// The line, without its line end.
        line: Arc<str>,
    },
    /// No connection could be made; nothing was sent.
    #[error("{request}cannot connect to {}: {cause}; is memcached running there?", request.server_or_default())]
    #[non_exhaustive]
    Connect {
        /// The request.
        request: FailedRequest,
        /// The failure as the operating system reports it.
        #[source]
        cause: Cause<io::Error>,
    },
    /// The server has failed and is left alone until its retry is due, and no other server may have the key; nothing was sent.
    #[error("{request}{} is down and left alone until its retry is due{}", request.server_or_default(), last(cause.as_ref(), false))]
    #[non_exhaustive]
    Down {
        /// The request.
        request: FailedRequest,
        /// Its last failure.
        #[source]
        cause: Option<Cause<Self>>,
    },
    /// All servers that may have the key have failed and are left alone until their retries are due; nothing was sent.
    #[error("{request}all {servers} servers are down and left alone until their retries are due{}", last(cause.as_ref(), true))]
    #[non_exhaustive]
    AllDown {
        /// The request.
        request: FailedRequest,
        /// How many servers the client has.
        servers: usize,
        /// The last failure of the server that has the key while all are up.
        #[source]
        cause: Option<Cause<Self>>,
    },
    /// As much is on its way to the server as may be, and the client is not to [wait](crate::Options::wait_at_limit); nothing was
    /// sent.
    #[error("{request}too much is on its way to {}: its limits of requests in flight and of unsent bytes are reached; try \
        again later, or raise them", request.server_or_default())]
    #[non_exhaustive]
    Overloaded {
        /// The request.
        request: FailedRequest,
    },
    /// The connection ended before the answer was complete.
    #[error("{request}connection to {} lost: {cause} ({landed})", request.server_or_default())]
    #[non_exhaustive]
    Disconnected {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect.
        landed: Landed,
        /// How it ended.
        #[source]
        cause: Cause<io::Error>,
    },
    /// The deadline of the call passed.
    #[error("{request}{} did not answer in time ({landed}); raise the timeout if it is only slow", request.server_or_default())]
    #[non_exhaustive]
    Timeout {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect.
        landed: Landed,
    },
    /// The server answered outside the protocol, so nothing that follows on the connection can be trusted.
    #[error("{request}{} broke the protocol: {what} ({landed}); is it a memcached?", request.server_or_default())]
    #[non_exhaustive]
    Protocol {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect.
        landed: Landed,
        /// What came and what was expected.
        what: Arc<str>,
    },
    /// There is no memory for a value that has come: it was read and thrown away, and the connection goes on. Fetch fewer values
    /// at once, or lower [`Options::value_limit`](crate::Options::value_limit).
    #[error("{request}there is no memory for a value of {length} bytes ({landed})")]
    #[non_exhaustive]
    NoMemory {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect: a new expiry may have.
        landed: Landed,
        /// The length of the value.
        length: usize,
    },
    /// A client for Tokio was used outside of a Tokio runtime; nothing was sent.
    #[error(
        "{request}there is no Tokio runtime here: call it from within one, made with enable_all, or use the blocking client"
    )]
    #[non_exhaustive]
    NoRuntime {
        /// The request.
        request: FailedRequest,
    },
    /// The client is gone, or was closed, so nothing can be asked any more.
    #[error("{request}the client was closed")]
    #[non_exhaustive]
    Closed {
        /// The request.
        request: FailedRequest,
    },
}

/// Why the version of an item cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CasProblem {
    /// A store has used it already.
    #[error("its version was used by the store before; refresh it, or fetch the item again")]
    Spent,
    /// It is 0, which is that of no item: a server that was started with `-C` numbers none, tells 0 of each, and refuses every
    /// `cas`.
    #[error("0 is the version of no item: the server numbers none (it runs with -C) and refuses every cas; use set")]
    Disabled,
    /// The change would not look at the version.
    #[error("it was fetched with its version, which only a set compares; fetch it without")]
    Unsupported,
}

/// Whether a request that failed may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Landed {
    /// It did not reach the server whole, or only read something, so it had no effect: it is safe to repeat. A `get` that failed
    /// is always this.
    NotSent,
    /// The server answered no: what was asked was not done. A `set` that memcached refuses as too large, or for lack of
    /// memory, removes the old value all the same.
    Refused,
    /// It was sent and not answered: it may have had its effect, or not.
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

fn failures(results: &[Result<(), Error>]) -> impl Iterator<Item = &Error> {
    results.iter().filter_map(|result| result.as_ref().err())
}

/// The last failure of a server that is down, and its name if that is not known yet.
fn last(cause: Option<&Cause<Error>>, with_name: bool) -> String {
    let Some(cause) = cause else { return String::new() };
    let what = match &**cause {
        Error::Connect { cause, .. } => format!("cannot connect to it: {cause}"),
        Error::Disconnected { cause, .. } => format!("connection lost: {cause}"),
        Error::Timeout { .. } => "it did not answer in time".into(),
        other => other.to_string(),
    };
    match cause.server().filter(|_| with_name) {
        Some(server) => format!(" ({server}: {what})"),
        None => format!(" ({what})"),
    }
}

#[cfg(test)]
mod tests;
