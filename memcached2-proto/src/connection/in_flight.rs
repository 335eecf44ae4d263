//! Requests in flight, and their expected replies.

use crate::reply::{Expected, Opaque, ReplyKind};

/// A request whose reply has not come.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub(super) tag: u32,
    pub(super) reply_kind: ReplyKind,
    pub(super) keys: u32,
    pub(super) kind: Kind,
    /// Where it ends in the stream of bytes out.
    pub(super) end: u64,
    /// Where the part ends that the server carries out: before the fence, if it has one.
    pub(super) carried_out: u64,
    /// How many bytes had come when it had left whole; until then, when it was submitted.
    pub(super) bytes_in_before: u64,
}

impl InFlight {
    /// What answers it, if it has this ticket.
    #[inline]
    pub(super) fn expected(&self, ticket: u64) -> Expected {
        Expected { reply_kind: self.reply_kind, opaque: Opaque::from_ticket(ticket), is_fenced: self.is_fenced() }
    }

    /// Whether the answer to a fence ends its reply.
    #[inline]
    fn is_fenced(&self) -> bool {
        self.carried_out < self.end
    }

    /// Whether it is a store or a delete by meta, whose reply is one line and names no key.
    #[inline]
    pub(super) fn is_meta_change(&self) -> bool {
        let is_change = matches!(self.reply_kind, ReplyKind::MetaStored | ReplyKind::MetaDeleted);
        is_change && self.keys == 0 && !self.is_fenced()
    }

    /// Whether its end was not reported yet.
    #[inline]
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.kind, Kind::Asked | Kind::Cancelled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request whose reply is reported.
    Asked,
    /// It was cancelled after a byte of it was written: its reply is read and discarded.
    Cancelled,
    /// It was cancelled before a byte of it was written: no reply will come.
    Removed,
    /// The connection's own question whether the server speaks meta.
    Probe,
    /// The connection's own `mn` after error lines, whose reply shows that they belong to their requests.
    Proof,
    /// `quit`, which is answered by the end of the stream.
    Quit,
}
