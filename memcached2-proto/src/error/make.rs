//! How errors are made, and what is added to them on their way to the caller.

use std::sync::Arc;
use std::{fmt, io};

use super::{CasProblem, Cause, Error, FailedRequest, KeyProblem, Landed};

impl Error {
    /// A value that cannot be converted: for the [`ToValue`](crate::ToValue) and [`FromValue`](crate::FromValue) of types
    /// of your own.
    #[must_use]
    pub fn value(reason: impl fmt::Display) -> Self {
        Self::Value {
            request: FailedRequest::default(),
            landed: Landed::NotSent,
            reason: Arc::from(reason.to_string()),
        }
    }

    /// The failure to connect, as the operating system reports it.
    #[must_use]
    pub fn connect(error: &io::Error) -> Self {
        Self::Connect { request: FailedRequest::default(), cause: Cause::of(error) }
    }

    /// A connection lost by a failure of reading or writing. Whether the requests on it may have `landed`, the connection
    /// knows: see [`Connection::fail_pending`](crate::Connection::fail_pending).
    #[must_use]
    pub fn lost(error: &io::Error, landed: Landed) -> Self {
        Self::Disconnected { request: FailedRequest::default(), landed, cause: Cause::of(error) }
    }

    /// The deadline has passed. Whether the request may have `landed`, the connection knows: see
    /// [`Connection::fail_pending`](crate::Connection::fail_pending).
    #[must_use]
    pub fn timeout(landed: Landed) -> Self {
        Self::Timeout { request: FailedRequest::default(), landed }
    }

    /// The client was made without a server.
    #[must_use]
    pub fn no_servers() -> Self {
        Self::NoServers { request: FailedRequest::default() }
    }

    /// The client was closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::Closed { request: FailedRequest::default() }
    }

    /// There is no runtime that could drive a connection: what is missing, and what to do.
    #[must_use]
    pub fn no_runtime(problem: &'static str) -> Self {
        Self::NoRuntime { request: FailedRequest::default(), problem }
    }

    /// The item has another value than expected, so its version is not returned.
    #[must_use]
    pub fn cas_refresh() -> Self {
        Self::CasRefresh { request: FailedRequest::default() }
    }

    /// The condition of a store was not met.
    #[must_use]
    pub fn not_stored() -> Self {
        Self::NotStored { request: FailedRequest::default() }
    }

    /// The item has changed since its version was fetched.
    #[must_use]
    pub fn exists() -> Self {
        Self::Exists { request: FailedRequest::default() }
    }

    /// The item of a `cas` is gone.
    #[must_use]
    pub fn not_found() -> Self {
        Self::NotFound { request: FailedRequest::default() }
    }

    pub(crate) fn cas(problem: CasProblem) -> Self {
        Self::Cas { request: FailedRequest::default(), problem }
    }

    #[cold]
    pub(crate) fn no_meta() -> Self {
        Self::NoMeta { request: FailedRequest::default() }
    }

    pub(crate) fn expiry() -> Self {
        Self::Expiry { request: FailedRequest::default() }
    }

    #[cold]
    pub(crate) fn argument(reason: impl fmt::Display) -> Self {
        Self::Argument { request: FailedRequest::default(), reason: Arc::from(reason.to_string()) }
    }

    #[cold]
    pub(crate) fn too_large(length: usize, limit: usize) -> Self {
        Self::TooLarge { request: FailedRequest::default(), length, limit }
    }

    #[cold]
    pub(crate) fn invalid_key(key: &[u8], problem: KeyProblem) -> Self {
        let key = Arc::from(key.escape_ascii().to_string());
        Self::Key { request: FailedRequest::default(), key, problem }
    }

    /// The provider of credentials has failed.
    pub(crate) fn no_credentials(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::NoCredentials { request: FailedRequest::default(), cause: Cause::new(io::Error::other(error)) }
    }

    /// The server has refused the credentials in this line.
    pub(crate) fn credentials_refused(line: &str) -> Self {
        Self::CredentialsRefused { request: FailedRequest::default(), line: Arc::from(line) }
    }

    /// The server does not ask for credentials.
    pub(crate) fn credentials_not_wanted() -> Self {
        Self::CredentialsNotWanted { request: FailedRequest::default() }
    }

    #[cold]
    pub(crate) fn replicas(results: Vec<Result<(), Self>>) -> Self {
        Self::Replicas { request: FailedRequest::default(), results: results.into() }
    }

    pub(crate) fn overloaded() -> Self {
        Self::Overloaded { request: FailedRequest::default() }
    }

    #[cold]
    pub(crate) fn tls(reason: impl fmt::Display) -> Self {
        Self::Tls { request: FailedRequest::default(), reason: Arc::from(reason.to_string()) }
    }

    #[cold]
    pub(crate) fn disconnected(reason: &str) -> Self {
        Self::lost(&io::Error::new(io::ErrorKind::ConnectionAborted, reason), Landed::Unknown)
    }

    #[cold]
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        let what = Arc::from(what.into());
        Self::Protocol { request: FailedRequest::default(), landed: Landed::Unknown, what }
    }

    /// There was no memory for a value that came; the connection goes on.
    #[cold]
    pub(crate) fn no_memory(length: usize) -> Self {
        Self::NoMemory { request: FailedRequest::default(), landed: Landed::Unknown, length }
    }

    #[cold]
    pub(crate) fn non_numeric() -> Self {
        Self::NonNumeric { request: FailedRequest::default() }
    }

    #[cold]
    pub(crate) fn refused(line: &Arc<str>, landed: Landed) -> Self {
        Self::Refused { request: FailedRequest::default(), landed, line: Arc::clone(line) }
    }

    /// The same failure for one request among many on the connection.
    #[must_use]
    pub(crate) fn with_landed(mut self, now: Landed) -> Self {
        if let Self::Disconnected { landed, .. }
        | Self::Timeout { landed, .. }
        | Self::Protocol { landed, .. }
        | Self::NoMemory { landed, .. }
        | Self::Value { landed, .. }
        | Self::Refused { landed, .. } = &mut self
        {
            *landed = now;
        }
        self
    }

    /// The same error with what is known of its request and does not stand in it yet.
    #[must_use]
    #[cold]
    pub(crate) fn of_request(mut self, command: &'static str, key: Option<&[u8]>, server: Option<&Arc<str>>) -> Self {
        if let Some(request) = self.request_mut() {
            request.note(Some(command), key, server);
        }
        self
    }

    /// The same error with the name of the client's method that has failed and its key.
    #[doc(hidden)]
    #[must_use]
    #[cold]
    pub fn of_method(self, method: &'static str, key: Option<&[u8]>) -> Self {
        self.of_request(method, key, None)
    }

    /// The same error with the name of the command and of the server that a stream of records has failed at.
    #[doc(hidden)]
    #[must_use]
    #[cold]
    pub fn of_stream(self, command: &'static str, server: Option<&str>) -> Self {
        self.of_request(command, None, server.map(Arc::from).as_ref())
    }

    /// The same failure with another answer to whether the request may have landed: for a program that reads a value itself after a
    /// request that has changed something. An error that has one answer in any case keeps it.
    ///
    /// ```
    /// use memcached2_proto::{Error, Landed, Value};
    ///
    /// // let value = client.gat("visits", expiry)?
    /// let value = Value::new("seven".into(), 0);
    /// let error = value.parse::<u64>().unwrap_err().of_landed(Landed::Unknown);
    /// assert_eq!(error.landed(), Landed::Unknown);
    /// ```
    #[must_use]
    #[cold]
    pub fn of_landed(self, landed: Landed) -> Self {
        self.with_landed(landed)
    }

    /// The same error with the key of its request.
    #[must_use]
    #[cold]
    pub(crate) fn of_key(mut self, key: &[u8]) -> Self {
        if let Some(request) = self.request_mut() {
            request.note(None, Some(key), None);
        }
        self
    }

    /// The same error with the name of the server.
    #[must_use]
    #[cold]
    pub(crate) fn at(mut self, server: &Arc<str>) -> Self {
        if let Some(request) = self.request_mut() {
            request.note(None, None, Some(server));
        }
        self
    }
}
