//! What can go wrong, and whether the request may have taken effect.
//!
//! For all readers: [`Error`], and what it is made of.

mod cause;
mod facts;
mod landed;
mod make;
mod problem;
mod request;

use std::io;
use std::sync::Arc;

pub use self::cause::Cause;
pub use self::landed::Landed;
pub use self::problem::{CasProblem, CredentialsProblem, KeyProblem, UriProblem};
pub use self::request::FailedRequest;

/// Why a call failed.
///
/// A miss is no error: it is `Ok(None)`. [`Error::landed`] says whether the request may have taken effect, and
/// [`Error::command`], [`Error::key`] and [`Error::server`] say which request it was. Its text names all of these, so
/// that one line of a log is enough.
///
/// ```
/// use memcached2_proto::Error;
///
/// # fn add() -> Result<(), Error> { Ok(()) }
/// match add() {
///     Ok(()) => println!("the lock is ours"),
///     Err(Error::NotStored { .. }) => println!("another client has it"),
///     Err(error) if error.is_safe_to_retry() => println!("try again: {error}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
///
/// # Which call gives which
///
/// | call | errors of its own |
/// |---|---|
/// | every one | [`NoServers`](Self::NoServers), [`Down`](Self::Down), [`AllDown`](Self::AllDown), [`Connect`](Self::Connect), [`Tls`](Self::Tls), [`Disconnected`](Self::Disconnected), [`Timeout`](Self::Timeout), [`Refused`](Self::Refused), [`Protocol`](Self::Protocol), [`NoCredentials`](Self::NoCredentials), [`CredentialsRefused`](Self::CredentialsRefused), [`CredentialsNotWanted`](Self::CredentialsNotWanted), [`Overloaded`](Self::Overloaded), [`Closed`](Self::Closed); with replicas [`Replicas`](Self::Replicas) and [`Argument`](Self::Argument); for asynchronous clients [`NoRuntime`](Self::NoRuntime) |
/// | every one with a key | [`Key`](Self::Key) |
/// | every one with an expiry | [`Expiry`](Self::Expiry) |
/// | making a client | [`Uri`](Self::Uri), [`Credentials`](Self::Credentials), [`Tls`](Self::Tls), and [`Key`](Self::Key) for its prefix |
/// | `get`, `gets`, `gat`, `gats`, and of many | [`NoMemory`](Self::NoMemory); a miss is `Ok(None)` |
/// | `get_as`, `get_many_as`, [`Value::parse`](crate::Value::parse), [`Value::as_str`](crate::Value::as_str) | [`Value`](Self::Value) |
/// | `set`, `set_many`, `store_many` | [`TooLarge`](Self::TooLarge), [`Value`](Self::Value) |
/// | `add`, `replace`, `append`, `prepend` | those of `set`, and [`NotStored`](Self::NotStored) |
/// | `cas` | those of `set`, [`Exists`](Self::Exists), [`NotFound`](Self::NotFound), [`Cas`](Self::Cas) |
/// | `refresh_cas`, `Item::refresh` | [`CasRefresh`](Self::CasRefresh) |
/// | the changes of an `Item` | those of the client's methods, and [`Cas`](Self::Cas) |
/// | `cache` | those of `get` and `set`, and what the closure returns |
/// | `incr`, `decr`, `incr_or`, `decr_or` | [`NonNumeric`](Self::NonNumeric); a missing item is `Ok(None)` of the first two |
/// | `delete`, `delete_many`, `touch`, `exists` | none: a missing item is `Ok(false)` |
/// | `get_if_changed` | those of `get`, and [`Cas`](Self::Cas) |
/// | `delete_cas` | [`Exists`](Self::Exists), [`Cas`](Self::Cas), [`NoMeta`](Self::NoMeta) |
/// | `get_with_ttl`, `metadata`, the [meta commands](crate::command::meta) | [`NoMeta`](Self::NoMeta); of the commands also [`Argument`](Self::Argument) |
/// | those that ask every server: `flush_all`, `version`, `stats`, `delete_all` and the others | [`Argument`](Self::Argument) for numbers that are none, and lines that cannot be sent |
/// | `fetch`, `fetch_optional`, `fetch_many` | what the closure returns; [`Cas`](Self::Cas) of a server without versions (`-C`); [`Argument`](Self::Argument) for a wrong number of values. A failure of the cache is none |
/// | `try_lock`, `lock`, and the methods of a `Lock` | those of `add`, `gets`, `cas` and `delete_cas`; a lock that another one has is `Ok(None)`, one that is lost `Ok(false)` |
/// | `limit_rate` | [`NonNumeric`](Self::NonNumeric) or [`Value`](Self::Value) for something else in place of a counter. A failure of the cache is none |
/// | `namespace` and the methods of a `Namespace` | [`Key`](Self::Key) for its name; those of the client's methods, and those of `get` for its number |
/// | `on` | [`Argument`](Self::Argument) for a server that the client does not have |
/// | [`BatchResult::all_stored`](crate::BatchResult::all_stored) | [`MultiStorage`](Self::MultiStorage) |
///
/// # The exceptions of python-memcached2
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
    /// The key is empty, longer than 250 bytes, or contains a blank or control byte; nothing was sent.
    #[error("{request}invalid key \"{key}\": {problem}")]
    #[non_exhaustive]
    Key {
        /// The request.
        request: FailedRequest,
        /// The key, at most 250 bytes of it, with escapes for bytes that do not print.
        key: Arc<str>,
        /// What is wrong with it.
        problem: KeyProblem,
    },
    /// The text is no address of a server.
    #[error("invalid server \"{uri}\": {problem}")]
    #[non_exhaustive]
    Uri {
        /// The text.
        uri: Arc<str>,
        /// What is wrong with it.
        problem: UriProblem,
    },
    /// The moment of expiry is after 2038-01-19, which is the latest that memcached can store; nothing was sent.
    #[error(
        "{request}invalid expiry: it must be a moment up to 2038-01-19 03:14:07 UTC, as far as memcached keeps time"
    )]
    #[non_exhaustive]
    Expiry {
        /// The request.
        request: FailedRequest,
    },
    /// The value is longer than [`Options::sent_value_limit`](crate::Options::sent_value_limit); nothing was sent.
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
    /// The value cannot be read as the type, or the type cannot be converted to bytes.
    #[error("{request}cannot convert the value: {reason}")]
    #[non_exhaustive]
    Value {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect: a new expiry may have, of the value that cannot be read.
        landed: Landed,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// An argument of the call cannot be sent, or names no server of the client; nothing was sent.
    #[error("{request}invalid argument: {reason}")]
    #[non_exhaustive]
    Argument {
        /// The request.
        request: FailedRequest,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The client was made without a server.
    #[error("{request}the client has no servers: name at least one when it is made")]
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
    /// The item has changed since its `cas` was fetched, so nothing was done: nothing stored, nothing deleted.
    #[error("{request}the item has changed since it was fetched, so nothing was done; fetch it again")]
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
    /// The item has another value than expected, so its version was not returned; or the item is gone.
    #[error("{request}the stored value has changed or is gone: fetch it again")]
    #[non_exhaustive]
    CasRefresh {
        /// The request.
        request: FailedRequest,
    },
    /// The version that an item was fetched with cannot be used for this, so nothing was changed.
    #[error("{request}cannot change the item: {problem}")]
    #[non_exhaustive]
    Cas {
        /// The request.
        request: FailedRequest,
        /// Why not.
        problem: CasProblem,
    },
    /// A [meta command](crate::command::meta), or a method that needs one, was not sent: the server has not shown that it speaks
    /// meta as memcached does from 1.6.10 on.
    #[error("{request}not sent to {}: it does not speak the meta protocol of memcached 1.6.10 and later", request.server_or_default())]
    #[non_exhaustive]
    NoMeta {
        /// The request.
        request: FailedRequest,
    },
    /// Some items of a batch were not stored. The others are stored.
    #[error("{} of {} items were not stored; the first error: {}", failures(results).count(), results.len(),
        failures(results).next().map_or_else(String::new, ToString::to_string))]
    #[non_exhaustive]
    MultiStorage {
        /// The result of each item, in the order given.
        results: Arc<[Result<(), Self>]>,
    },
    /// The stored value is not a decimal number of at most 20 digits, so it cannot be counted up or down.
    #[error("{request}cannot increment or decrement: the stored value is not a number")]
    #[non_exhaustive]
    NonNumeric {
        /// The request.
        request: FailedRequest,
    },
    /// The server answered with an error line. A proxy or another server may refuse a request about a whole server in a
    /// line of its own wording; whether such a request took effect is unknown.
    #[error("{request}{} refused the request: {line}{}", request.server_or_default(), advice(line))]
    #[non_exhaustive]
    Refused {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect: most error lines say that it has not.
        landed: Landed,
        /// The line, without its line end.
        line: Arc<str>,
    },
    /// The user or the password cannot be sent. It is an error of [`Credentials::new`](crate::Credentials::new), and of a
    /// call if a provider of credentials returns it.
    #[error("{request}invalid credentials: {problem}")]
    #[non_exhaustive]
    Credentials {
        /// The request.
        request: FailedRequest,
        /// What is wrong with them.
        problem: CredentialsProblem,
    },
    /// The [provider of credentials](crate::Options::credentials_provider) has failed; nothing was sent.
    #[error("{request}no credentials for {}: {cause}", request.server_or_default())]
    #[non_exhaustive]
    NoCredentials {
        /// The request.
        request: FailedRequest,
        /// What the provider has returned.
        #[source]
        cause: Cause<io::Error>,
    },
    /// The server has refused the user and the password; the request was not sent. The server is not down: it answers,
    /// and other clients may have the right password.
    #[error(
        "{request}{} refused the user and password: {line}; compare them with the file that it was started with (-Y), which \
            it reads again after SIGHUP",
        request.server_or_default()
    )]
    #[non_exhaustive]
    CredentialsRefused {
        /// The request.
        request: FailedRequest,
        /// The line, without its line end.
        line: Arc<str>,
    },
    /// The server does not ask for credentials, and would store them as a value. So they were not sent, nor the request.
    #[error(
        "{request}{} does not ask for a user and password, and would store them as a value, so they were not sent: start \
            memcached with -Y, or remove them from the client",
        request.server_or_default()
    )]
    #[non_exhaustive]
    CredentialsNotWanted {
        /// The request.
        request: FailedRequest,
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
    /// There is no TLS connection to the server: it has no certificate that is trusted, say, or does not use TLS; nothing was sent.
    #[error("{request}no TLS connection to {}: {reason}", request.server_or_default())]
    #[non_exhaustive]
    Tls {
        /// The request.
        request: FailedRequest,
        /// What is wrong, and what can be done.
        reason: Arc<str>,
    },
    /// The server is down: it has failed, and its retry is not due yet. No other server may have the key; nothing was
    /// sent.
    #[error("{request}{} is down, and its retry is not due yet{}", request.server_or_default(), last(cause.as_ref(), false))]
    #[non_exhaustive]
    Down {
        /// The request.
        request: FailedRequest,
        /// Its last failure.
        #[source]
        cause: Option<Cause<Self>>,
    },
    /// All servers that may have the key are down: they have failed, and their retries are not due yet; nothing was
    /// sent.
    #[error("{request}all {servers} servers are down, and their retries are not due yet{}", last(cause.as_ref(), true))]
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
    /// Fewer [replicas](crate::Options::replica) have carried out a write than [`Options::write_to`](crate::Options::write_to) says.
    /// It has taken effect on some.
    #[error("{request}{} of {} replicas have carried it out{}", results.iter().filter(|result| result.is_ok()).count(),
        results.len(), results.iter().find_map(|result| result.as_ref().err()).map_or_else(String::new, |error|
        format!("; another one: {error}")))]
    #[non_exhaustive]
    Replicas {
        /// The request.
        request: FailedRequest,
        /// The result of each replica, in their order.
        results: Arc<[Result<(), Self>]>,
    },
    /// The limit of requests in flight or of unsent bytes is reached, and the client does not
    /// [wait](crate::Options::wait_at_limit); nothing was sent.
    #[error("{request}too many requests to {}: the limit of requests in flight or of unsent bytes is reached; try \
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
    /// The server broke the protocol, so the connection was closed.
    #[error("{request}{} broke the protocol: {what} ({landed}); is it memcached?", request.server_or_default())]
    #[non_exhaustive]
    Protocol {
        /// The request.
        request: FailedRequest,
        /// Whether the request may have taken effect.
        landed: Landed,
        /// What was received, and what was expected.
        what: Arc<str>,
    },
    /// There is no memory for a received value. It was read and discarded, and the connection goes on. Fetch fewer
    /// values at once, or lower [`Options::value_limit`](crate::Options::value_limit).
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
    /// A client for Tokio was used outside of a Tokio runtime, or a client for any executor was built without a
    /// [spawner](crate::Builder::spawner); nothing was sent.
    #[error("{request}{problem}")]
    #[non_exhaustive]
    NoRuntime {
        /// The request.
        request: FailedRequest,
        /// What is missing, and what to do.
        problem: &'static str,
    },
    /// The client was closed.
    #[error("{request}the client was closed")]
    #[non_exhaustive]
    Closed {
        /// The request.
        request: FailedRequest,
    },
}

/// What a server with ASCII authentication (`-Y`) answers to everything but credentials.
pub(crate) const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

/// What a server answers to an item that is longer than its option `-I`, after a classic command and a meta one (`proto_text.c` and
/// `proto_parser.c` of memcached 1.6.45).
pub(crate) const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";

/// What to do after an error line, where that is known.
fn advice(line: &str) -> &'static str {
    match line.starts_with(UNAUTHENTICATED) {
        true => "; it asks for a user and password: write memcached://user:password@host, or set credentials",
        false => "",
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
        Error::Tls { reason, .. } => format!("no TLS connection to it: {reason}"),
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
