//! Errors of the client as errors of OpenDAL.

use memcached2_tokio::Error as ClientError;
use opendal_core::{Error, ErrorKind};

/// How memcached begins to refuse an item that is longer than its option `-I` (`memcached.c` of 1.6.45, and in meta the same).
const TOO_LARGE: &str = "SERVER_ERROR object too large";

/// The error of an operation.
pub(crate) fn failed(error: ClientError) -> Error {
    let cause = cause(&error);
    let mut failed = Error::new(kind(cause), message(cause));
    if error.is_safe_to_retry() {
        failed = failed.set_temporary();
    }
    failed.set_source(error)
}

/// The error of a client that cannot be made.
pub(crate) fn invalid(error: ClientError) -> Error {
    Error::new(ErrorKind::ConfigInvalid, "no client can be made").set_source(error)
}

/// There is no item.
pub(crate) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "memcached has no item of this path: it was not stored, has expired or was evicted")
}

/// What a replica has failed with, if one has: the first of them.
fn cause(error: &ClientError) -> &ClientError {
    match error {
        ClientError::Replicas { results, .. } => {
            results.iter().find_map(|result| result.as_ref().err()).map_or(error, cause)
        }
        error => error,
    }
}

fn kind(error: &ClientError) -> ErrorKind {
    match error {
        ClientError::NotStored { .. } => ErrorKind::ConditionNotMatch,
        ClientError::Overloaded { .. } => ErrorKind::RateLimited,
        ClientError::CredentialsRefused { .. } | ClientError::NoCredentials { .. } => ErrorKind::PermissionDenied,
        ClientError::Refused { line, .. } if line.starts_with("CLIENT_ERROR unauthenticated") => {
            ErrorKind::PermissionDenied
        }
        ClientError::NoServers { .. }
        | ClientError::Expiry { .. }
        | ClientError::Credentials { .. }
        | ClientError::CredentialsNotWanted { .. } => ErrorKind::ConfigInvalid,
        _ => ErrorKind::Unexpected,
    }
}

fn message(error: &ClientError) -> &'static str {
    match error {
        ClientError::NotStored { .. } => "there is an item of this path already",
        ClientError::TooLarge { .. } => "the file is longer than the client sends",
        error if is_too_large(error) => {
            "the file is longer than the server takes, 1 MiB unless it was started with another -I; what was stored before is gone"
        }
        _ => "memcached has failed",
    }
}

fn is_too_large(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { line, .. } if line.starts_with(TOO_LARGE))
}
