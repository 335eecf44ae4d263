//! What a program asks an error.

use std::io;

use super::{Error, FailedRequest, Landed, TOO_LARGE};

/// The request in an error, as a shared or a mutable reference.
macro_rules! request_of {
    ($error:expr) => {
        match $error {
            Self::Key { request, .. }
            | Self::Expiry { request }
            | Self::TooLarge { request, .. }
            | Self::Value { request, .. }
            | Self::Argument { request, .. }
            | Self::NoServers { request }
            | Self::NotStored { request }
            | Self::Exists { request }
            | Self::NotFound { request }
            | Self::CasRefresh { request }
            | Self::Cas { request, .. }
            | Self::NoMeta { request }
            | Self::NonNumeric { request }
            | Self::Refused { request, .. }
            | Self::Credentials { request, .. }
            | Self::NoCredentials { request, .. }
            | Self::CredentialsRefused { request, .. }
            | Self::CredentialsNotWanted { request }
            | Self::Connect { request, .. }
            | Self::Tls { request, .. }
            | Self::Down { request, .. }
            | Self::AllDown { request, .. }
            | Self::Replicas { request, .. }
            | Self::Overloaded { request }
            | Self::Disconnected { request, .. }
            | Self::Timeout { request, .. }
            | Self::Protocol { request, .. }
            | Self::NoMemory { request, .. }
            | Self::NoRuntime { request, .. }
            | Self::Closed { request } => Some(request),
            Self::Uri { .. } | Self::MultiStorage { .. } => None,
        }
    };
}

impl Error {
    /// Whether the request may have taken effect.
    #[must_use]
    pub fn landed(&self) -> Landed {
        match self {
            Self::Disconnected { landed, .. }
            | Self::Timeout { landed, .. }
            | Self::Protocol { landed, .. }
            | Self::NoMemory { landed, .. }
            | Self::Value { landed, .. }
            | Self::Refused { landed, .. } => *landed,
            Self::MultiStorage { results } | Self::Replicas { results, .. } => landed_of_all(results),
            Self::NotStored { .. } | Self::Exists { .. } | Self::NotFound { .. } | Self::NonNumeric { .. } => {
                Landed::Refused
            }
            Self::Key { .. }
            | Self::Uri { .. }
            | Self::Expiry { .. }
            | Self::TooLarge { .. }
            | Self::Argument { .. }
            | Self::CasRefresh { .. }
            | Self::Cas { .. }
            | Self::NoMeta { .. }
            | Self::NoServers { .. }
            | Self::Credentials { .. }
            | Self::NoCredentials { .. }
            | Self::CredentialsRefused { .. }
            | Self::CredentialsNotWanted { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Down { .. }
            | Self::AllDown { .. }
            | Self::Overloaded { .. }
            | Self::NoRuntime { .. }
            | Self::Closed { .. } => Landed::NotSent,
        }
    }

    /// Whether the same request can be sent again: it was not carried out (a refused `set` has removed the old value), and what
    /// was in its way may pass. It is false for a condition that was not met, for an item that is too large for the server, and for
    /// what is wrong with the call.
    ///
    /// The client itself sends a read again, once, when its connection turns out dead.
    #[must_use]
    pub fn is_safe_to_retry(&self) -> bool {
        self.is_of_the_cache() && self.landed() != Landed::Unknown && !self.is_too_large_for_server()
    }

    /// Whether the server does not take an item of this size: sent again, it is refused again. Each time the whole value is sent.
    fn is_too_large_for_server(&self) -> bool {
        match self {
            Self::Refused { line, .. } => line.starts_with(TOO_LARGE),
            Self::Replicas { results, .. } => {
                results.iter().filter_map(|result| result.as_ref().err()).any(Self::is_too_large_for_server)
            }
            _ => false,
        }
    }

    /// Whether the cache has failed, or the way to it.
    fn is_of_the_cache(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Down { .. }
            | Self::AllDown { .. }
            | Self::Overloaded { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. }
            | Self::NoMemory { .. } => true,
            Self::Refused { line, .. } => line.starts_with("SERVER_ERROR"),
            Self::Replicas { results, .. } => {
                results.iter().filter_map(|result| result.as_ref().err()).all(Self::is_of_the_cache)
            }
            _ => false,
        }
    }

    /// Whether time ran out: the deadline of the call, or of connecting.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Connect { cause, .. } => cause.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether the server has as many connections as it may have (memcached's option `-c`), and has refused this one: there
    /// was none to be had, and nothing was sent.
    #[must_use]
    pub fn is_server_full(&self) -> bool {
        matches!(self, Self::Connect { cause, .. } if cause.kind() == io::ErrorKind::ResourceBusy)
    }

    /// Whether the cache has failed, and not the caller: the errors that [`OrMiss`](crate::OrMiss) turns into misses.
    ///
    /// It is false for what is wrong with the call: a key, a value, an expiry, a closed client, and a request that the server
    /// does not understand (`ERROR`, `CLIENT_ERROR`). It is also false for a condition that was not met, which is an answer:
    /// `NOT_STORED`, `EXISTS` and `NOT_FOUND` count as a failure of the cache only after a `set`, which has no condition.
    ///
    /// ```
    /// use memcached2_proto::{Error, Landed};
    ///
    /// assert!(Error::timeout(Landed::Unknown).counts_as_miss());
    /// assert!(!Error::not_stored().counts_as_miss());
    /// ```
    #[must_use]
    pub fn counts_as_miss(&self) -> bool {
        match self {
            Self::NotStored { request } | Self::Exists { request } | Self::NotFound { request } => {
                request.command() == Some("set")
            }
            Self::NoServers { .. } => true,
            error => error.is_of_the_cache(),
        }
    }

    /// A word for it, for metrics: its variant, and `timeout` for each way in which time runs out.
    #[cfg(feature = "routing")]
    pub(crate) fn class(&self) -> &'static str {
        match self {
            _ if self.is_timeout() => "timeout",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Disconnected { .. } => "disconnected",
            Self::Down { .. } | Self::AllDown { .. } | Self::NoServers { .. } => "no_server",
            Self::Overloaded { .. } => "overloaded",
            Self::Protocol { .. } => "protocol",
            Self::NoMemory { .. } => "no_memory",
            Self::Replicas { .. } => "replicas",
            Self::Credentials { .. }
            | Self::NoCredentials { .. }
            | Self::CredentialsRefused { .. }
            | Self::CredentialsNotWanted { .. } => "credentials",
            Self::Key { .. }
            | Self::Expiry { .. }
            | Self::TooLarge { .. }
            | Self::Value { .. }
            | Self::Cas { .. }
            | Self::Argument { .. } => "argument",
            Self::NoMeta { .. } => "no_meta",
            Self::Closed { .. } => "closed",
            Self::NoRuntime { .. } => "no_runtime",
            _ => "_OTHER",
        }
    }

    /// The name of the server that failed, where one did.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.request()?.server()
    }

    /// The key of the request, with escapes for bytes that do not print, cut at 64 bytes; none where a request has several
    /// keys or none.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.request()?.key()
    }

    /// The name of the command that has failed, such as `get`, or of the client's method where no command was sent.
    #[must_use]
    pub fn command(&self) -> Option<&'static str> {
        self.request()?.command()
    }

    fn request(&self) -> Option<&FailedRequest> {
        request_of!(self)
    }

    pub(super) fn request_mut(&mut self) -> Option<&mut FailedRequest> {
        request_of!(self)
    }
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
