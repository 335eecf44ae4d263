//! What comes of a quiet batch.

use std::sync::Arc;

use super::Reply;

/// What a server says to a quiet batch: the reply to one of its requests, or its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuietReply {
    /// The place of the request in the batch, counted from 0, or at the end how many there are.
    pub at: u32,
    /// The reply; `None` at the end.
    pub reply: Option<Reply>,
    /// The error lines that came since the last reply. Each answers one of the requests between that one and this one, and no line
    /// says which.
    pub refusals: Vec<Arc<str>>,
    /// The place after that of the last reply; 0 if this is the first one.
    pub from: u32,
}
