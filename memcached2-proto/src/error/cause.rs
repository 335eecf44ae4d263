//! The cause of an error, shared by all calls that it fails.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// What a failure has come of: it derefs to an [`io::Error`] or an [`Error`](crate::Error), and is cheap to clone, since one
/// failure of a connection is that of each request on it.
///
/// [`Error::source`](std::error::Error::source) returns what stands in it.
pub struct Cause<T>(Arc<T>);

impl<T> Cause<T> {
    pub(crate) fn new(cause: T) -> Self {
        Self(Arc::new(cause))
    }
}

impl Cause<io::Error> {
    /// The same error, which cannot be cloned, with its kind and text.
    pub(crate) fn of(error: &io::Error) -> Self {
        let same = error.raw_os_error().map(io::Error::from_raw_os_error);
        Self::new(same.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string())))
    }
}

impl<T> Deref for Cause<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Cause<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Cause<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Cause<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Equal if they are the same or say the same: an [`io::Error`] cannot be compared in another way.
impl<T: fmt::Debug> PartialEq for Cause<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || format!("{self:?}") == format!("{other:?}")
    }
}

impl<T: fmt::Debug> Eq for Cause<T> {}
