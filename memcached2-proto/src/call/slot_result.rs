//! What came of one request.

use super::Fault;
use crate::error::{Error, Landed};
use crate::few::Few;
use crate::reply::Reply;

/// What a caller on a shared connection gets: the replies so far, and how they end.
#[derive(Debug)]
pub(crate) struct SlotResult {
    pub(crate) replies: Few<Reply>,
    /// Boxed, since it is moved a few times, and is seldom there.
    pub(crate) end: Result<(), Box<Failure>>,
}

/// Why a request failed, and what that speaks against.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) fault: Fault,
}

impl SlotResult {
    /// How long the value is, if there is just one.
    pub(crate) fn value_length(&self) -> Option<usize> {
        match &self.replies {
            Few::One(Reply::Value(_, value)) => Some(value.data.len()),
            _ => None,
        }
    }

    /// Whether the deadline has passed before the answer came.
    pub(crate) fn is_late(&self) -> bool {
        matches!(&self.end, Err(failure) if matches!(failure.error, Error::Timeout { .. }))
    }
}

impl Failure {
    pub(crate) fn new(error: &Error, landed: Landed, fault: Fault) -> Box<Self> {
        Box::new(Self { error: error.clone().with_landed(landed), fault })
    }
}
