//! What can go wrong, and whether the request may have taken effect all the same.

use std::sync::Arc;
use std::{fmt, io};

use crate::key::KeyProblem;
use crate::reply::error_line;
use crate::uri::UriProblem;

/// Why a call failed.
///
/// A miss is not among them: it is `Ok(None)`. [`Error::landed`] says whether the request may have taken effect.
///
/// # Which call gives which
///
/// | call | errors of its own |
/// |---|---|
/// | every one | [`NoServers`](Self::NoServers), [`Down`](Self::Down), [`Connect`](Self::Connect), [`Disconnected`](Self::Disconnected), [`Timeout`](Self::Timeout), [`Refused`](Self::Refused), [`Protocol`](Self::Protocol), [`Overloaded`](Self::Overloaded), [`Closed`](Self::Closed); for Tokio [`NoRuntime`](Self::NoRuntime) |
/// | every one with a key | [`Key`](Self::Key) |
/// | every one with an expiry | [`Expiry`](Self::Expiry) |
/// | making a client | [`Uri`](Self::Uri), and [`Key`](Self::Key) for its prefix |
/// | `get`, `gets`, `gat`, `gats`, and of many | none: a miss is `Ok(None)` |
/// | `get_as`, [`Value::parse`](crate::Value::parse), [`Value::as_str`](crate::Value::as_str) | [`Value`](Self::Value) |
/// | `set`, `set_many`, `store_many` | [`TooLarge`](Self::TooLarge), [`Value`](Self::Value) |
/// | `add`, `replace`, `append`, `prepend` | those of `set`, and [`NotStored`](Self::NotStored) |
/// | `cas` | those of `set`, [`Exists`](Self::Exists), [`NotFound`](Self::NotFound), [`Cas`](Self::Cas) |
/// | `refresh_cas`, `Entry::refresh` | [`CasRefresh`](Self::CasRefresh) |
/// | the changes of an `Entry` | those of the client's methods, and [`Cas`](Self::Cas) |
/// | `cache` | those of `get` and `set`, and what the closure returns |
/// | `incr`, `decr` | [`NonNumeric`](Self::NonNumeric); a missing item is `Ok(None)` |
/// | `delete`, `delete_many`, `touch` | none: a missing item is `Ok(false)` |
/// | `flush_all`, `version`, `verbosity`, `stats` and its siblings, `delete_all` | none |
/// | [`Many::all_stored`](crate::Many::all_stored) | [`MultiStorage`](Self::MultiStorage) |
///
/// # For those who know python-memcached2
///
/// | exception | error |
/// |---|---|
/// | `InvalidURI`, `UnknownProtocol` | [`Uri`](Self::Uri); the protocol's problem is [`UriProblem::Scheme`] |
/// | `ServerDisconnect` | [`Disconnected`](Self::Disconnected), [`Connect`](Self::Connect), [`Timeout`](Self::Timeout) |
/// | `NoAvailableServers` | [`Down`](Self::Down); [`NoServers`](Self::NoServers) if there is none at all |
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
    #[error("invalid key \"{key}\": {problem}")]
    Key {
        /// The bytes, at most 250 of them, with escapes for those that do not print.
        key: Arc<str>,
        /// What is wrong with them.
        problem: KeyProblem,
    },
    /// The text given names no server.
    #[error("invalid server \"{uri}\": {problem}")]
    Uri {
        /// The text.
        uri: Arc<str>,
        /// What is wrong with it.
        problem: UriProblem,
    },
    /// The moment of expiry lies beyond what the protocol can say; nothing was sent.
    #[error("invalid expiry: it must be a moment up to 2038-01-19 03:14:07 UTC, as far as memcached keeps time")]
    Expiry,
    /// The value is longer than the protocol can say; nothing was sent.
    #[error("value of {length} bytes is too large: at most {limit} can be sent; split it or compress it")]
    TooLarge {
        /// The length of the value.
        length: usize,
        /// The most that can be sent.
        limit: usize,
    },
    /// The value is not what it should be read as, or cannot be said in bytes.
    #[error("cannot convert the value: {reason}")]
    Value {
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The client was made without a server.
    #[error("no server to ask: name at least one when the client is made")]
    NoServers,
    /// The condition of the request was not met, so nothing was stored.
    #[error("not stored: the condition of the request was not met")]
    NotStored,
    /// The item has changed since its `cas` was fetched, so nothing was stored.
    #[error("not stored: the item has changed since it was fetched; fetch it again")]
    Exists,
    /// There is no item any more whose `cas` could be compared, so nothing was stored.
    #[error("not stored: the item is gone")]
    NotFound,
    /// The item has another value than the one whose version was to be fetched anew, or is gone.
    #[error("the stored value is not the one expected any more: fetch it, and decide again")]
    CasRefresh,
    /// The version that an entry was fetched with cannot be used for this; nothing was sent.
    #[error("cannot change the entry: {problem}")]
    Cas {
        /// Why not.
        problem: CasProblem,
    },
    /// Of several items some were not stored. Those that were stay stored.
    #[error("{} of {} items were not stored; the first error: {}", failures(results).count(), results.len(),
        failures(results).next().map_or_else(String::new, ToString::to_string))]
    MultiStorage {
        /// What became of each item, in the order given.
        results: Arc<[Result<(), Self>]>,
    },
    /// The stored value is not a decimal number of at most 20 digits, so it cannot be counted up or down.
    #[error("cannot increment or decrement: the stored value is not a number")]
    NonNumeric,
    /// The server answered the request with an error line.
    #[error("{} refused the request: {line}", shown(server.as_deref()))]
    Refused {
        /// The server's name.
        server: Option<Arc<str>>,
        /// The line, without its line end.
        line: Arc<str>,
    },
    /// No connection could be made; nothing was sent.
    #[error("cannot connect to {}: {reason}; is memcached running there?", shown(server.as_deref()))]
    Connect {
        /// The server's name.
        server: Option<Arc<str>>,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The failure in the words of the operating system.
        reason: Arc<str>,
    },
    /// The server has failed and is left alone until its retry is due, and no other server may have the key or is up; nothing
    /// was sent.
    #[error("{} is down: it has failed lately, and is left alone until its retry is due", shown(server.as_deref()))]
    Down {
        /// The server's name.
        server: Option<Arc<str>>,
    },
    /// As much is on its way to the server as may be, and the client is not to [wait](crate::Options::wait_at_limit); nothing was
    /// sent.
    #[error("too much is on its way to {}: its limits of requests in flight and of unsent bytes are reached; try again later, \
        or raise them", shown(server.as_deref()))]
    Overloaded {
        /// The server's name.
        server: Option<Arc<str>>,
    },
    /// The connection ended before the answer was complete.
    #[error("connection to {} lost: {reason} ({landed})", shown(server.as_deref()))]
    Disconnected {
        /// The server's name.
        server: Option<Arc<str>>,
        /// Whether the request may have taken effect.
        landed: Landed,
        /// How it ended.
        reason: Arc<str>,
    },
    /// The deadline of the call passed.
    #[error("{} did not answer in time ({landed}); raise the timeout if it is only slow", shown(server.as_deref()))]
    Timeout {
        /// The server's name.
        server: Option<Arc<str>>,
        /// Whether the request may have taken effect.
        landed: Landed,
    },
    /// The server answered outside the protocol, so nothing that follows on the connection can be trusted.
    #[error("{} broke the protocol: {what} ({landed}); is it a memcached?", shown(server.as_deref()))]
    Protocol {
        /// The server's name.
        server: Option<Arc<str>>,
        /// Whether the request may have taken effect.
        landed: Landed,
        /// What came and what was expected.
        what: Arc<str>,
    },
    /// A client for Tokio was used outside of a Tokio runtime; nothing was sent.
    #[error(
        "there is no Tokio runtime here: call it from within one, made with enable_all, or use the blocking client"
    )]
    NoRuntime,
    /// The client is gone, or was closed, so nothing can be asked any more.
    #[error("the client was closed")]
    Closed,
}

/// Why the version of an entry cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CasProblem {
    /// A store has used it already.
    #[error("its version was used by the store before; refresh it, or fetch the entry again")]
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

impl Error {
    /// Whether the request may have taken effect.
    #[must_use]
    pub fn landed(&self) -> Landed {
        match self {
            Self::Disconnected { landed, .. } | Self::Timeout { landed, .. } | Self::Protocol { landed, .. } => *landed,
            Self::Refused { line, .. } if !error_line::proves_refusal(line) => Landed::Unknown,
            Self::MultiStorage { results } => landed_of_all(results),
            Self::Refused { .. } | Self::NotStored | Self::Exists | Self::NotFound | Self::NonNumeric => {
                Landed::Refused
            }
            Self::Key { .. }
            | Self::Uri { .. }
            | Self::Expiry
            | Self::TooLarge { .. }
            | Self::Value { .. }
            | Self::CasRefresh
            | Self::Cas { .. }
            | Self::NoServers
            | Self::Connect { .. }
            | Self::Down { .. }
            | Self::Overloaded { .. }
            | Self::NoRuntime
            | Self::Closed => Landed::NotSent,
        }
    }

    /// Whether time ran out: the deadline of the call, or of connecting.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Connect { kind: io::ErrorKind::TimedOut, .. })
    }

    /// Whether the server has as many connections as it may have (memcached's option `-c`), and has refused this one: there was
    /// none to be had, and nothing was sent.
    #[must_use]
    pub fn is_server_full(&self) -> bool {
        matches!(self, Self::Connect { kind: io::ErrorKind::ResourceBusy, .. })
    }

    /// Whether the cache has failed, or a condition was not met, rather than the program: what a client for which failures
    /// are misses keeps to itself.
    ///
    /// It is false for what is wrong with the call: a key, a value, an expiry, a client that was closed, and a request that
    /// the server does not understand (`ERROR`, `CLIENT_ERROR`).
    #[must_use]
    pub fn is_a_miss(&self) -> bool {
        match self {
            Self::NoServers
            | Self::NotStored
            | Self::Exists
            | Self::NotFound
            | Self::Connect { .. }
            | Self::Down { .. }
            | Self::Overloaded { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. } => true,
            Self::Refused { line, .. } => line.starts_with("SERVER_ERROR"),
            _ => false,
        }
    }

    /// The name of the server that failed, where one did.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Refused { server, .. }
            | Self::Connect { server, .. }
            | Self::Down { server }
            | Self::Overloaded { server }
            | Self::Disconnected { server, .. }
            | Self::Timeout { server, .. }
            | Self::Protocol { server, .. } => server.as_deref(),
            _ => None,
        }
    }

    /// A value that cannot be converted: for the [`ToValue`](crate::ToValue) and [`FromValue`](crate::FromValue) of types
    /// of your own.
    #[must_use]
    pub fn value(reason: impl fmt::Display) -> Self {
        Self::Value { reason: Arc::from(reason.to_string()) }
    }

    /// The failure to connect, as the operating system tells it.
    #[must_use]
    pub fn connect(error: &io::Error) -> Self {
        Self::Connect { server: None, kind: error.kind(), reason: Arc::from(error.to_string()) }
    }

    /// A connection lost by a failure of reading or writing. What became of the requests on it,
    /// [`Connection::abandon`](crate::Connection::abandon) knows.
    #[must_use]
    pub fn lost(error: &io::Error) -> Self {
        Self::disconnected(&error.to_string())
    }

    /// The deadline has passed. Whether the request may have `landed`, the connection knows: see
    /// [`Connection::abandon`](crate::Connection::abandon).
    #[must_use]
    pub fn timeout(landed: Landed) -> Self {
        Self::Timeout { server: None, landed }
    }

    #[cold]
    pub(crate) fn disconnected(reason: &str) -> Self {
        Self::Disconnected { server: None, landed: Landed::Unknown, reason: Arc::from(reason) }
    }

    #[cold]
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol { server: None, landed: Landed::Unknown, what: Arc::from(what.into()) }
    }

    #[cold]
    pub(crate) fn refused(line: &Arc<str>) -> Self {
        match &**line {
            error_line::NON_NUMERIC => Self::NonNumeric,
            _ => Self::Refused { server: None, line: Arc::clone(line) },
        }
    }

    /// The same failure for one request among many on the connection.
    #[must_use]
    pub(crate) fn with_landed(mut self, now: Landed) -> Self {
        if let Self::Disconnected { landed, .. } | Self::Timeout { landed, .. } | Self::Protocol { landed, .. } =
            &mut self
        {
            *landed = now;
        }
        self
    }

    /// The same failure with the name of the server, unless it has one.
    #[must_use]
    pub(crate) fn at(mut self, name: &Arc<str>) -> Self {
        if let Self::Refused { server, .. }
        | Self::Connect { server, .. }
        | Self::Down { server }
        | Self::Overloaded { server }
        | Self::Disconnected { server, .. }
        | Self::Timeout { server, .. }
        | Self::Protocol { server, .. } = &mut self
        {
            server.get_or_insert_with(|| Arc::clone(name));
        }
        self
    }
}

fn failures(results: &[Result<(), Error>]) -> impl Iterator<Item = &Error> {
    results.iter().filter_map(|result| result.as_ref().err())
}

/// What is known of all items at once.
fn landed_of_all(results: &[Result<(), Error>]) -> Landed {
    let is = |landed| move |result: &Result<(), Error>| result.as_ref().is_err_and(|error| error.landed() == landed);
    if results.iter().all(is(Landed::NotSent)) {
        Landed::NotSent
    } else if results.iter().any(|result| result.is_ok() || is(Landed::Unknown)(result)) {
        Landed::Unknown
    } else {
        Landed::Refused
    }
}

fn shown(server: Option<&str>) -> &str {
    server.unwrap_or("the server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_line_says_whether_the_request_may_have_landed() {
        for (line, landed) in [
            ("ERROR", Landed::Refused),
            ("CLIENT_ERROR bad data chunk", Landed::Refused),
            ("SERVER_ERROR object too large for cache", Landed::Refused),
            ("SERVER_ERROR out of memory storing object", Landed::Refused),
            ("SERVER_ERROR Out of memory during read", Landed::Refused),
            ("SERVER_ERROR backend failure", Landed::Unknown),
            ("SERVER_ERROR timeout", Landed::Unknown),
            ("SERVER_ERROR", Landed::Unknown),
        ] {
            assert_eq!(Error::refused(&Arc::from(line)).landed(), landed, "{line}");
        }
    }

    #[test]
    fn an_error_of_many_items_tells_how_many_and_why() {
        let refused = || Err(Error::refused(&Arc::from("SERVER_ERROR object too large for cache")));
        for (results, landed, failed) in [
            (vec![Err(Error::Closed), Err(Error::NoServers)], Landed::NotSent, 2),
            (vec![refused(), Err(Error::Closed)], Landed::Refused, 2),
            (vec![Ok(()), refused()], Landed::Unknown, 1),
            (vec![refused(), Err(Error::timeout(Landed::Unknown))], Landed::Unknown, 2),
        ] {
            let first = results.iter().find_map(|result| result.as_ref().err()).unwrap().to_string();
            let error = Error::MultiStorage { results: results.into() };
            assert_eq!(error.landed(), landed);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{failed} of 2 items were not stored")) && text.ends_with(&first),
                "{text}"
            );
        }
    }

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<Error>() <= 40, "{}", size_of::<Error>());
    }
}
