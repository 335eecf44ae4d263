//! One reply of the server: what it can be, and the decoder that finds where it ends.
//!
//! For those who parse replies, or write their own [`Command`](crate::command::Command).

mod decoder;
pub(crate) mod error_line;
mod expected_keys;
mod grammar;
mod meta;
mod opaque;
mod quiet;

use std::sync::Arc;

pub use self::decoder::Decoder;
pub use self::expected_keys::ExpectedKeys;
pub(crate) use self::grammar::foreign;
pub(crate) use self::grammar::unexpected;
pub use self::meta::{MetaItem, MetaReply, MetaStatus, Ttl};
pub use self::opaque::Opaque;
pub use self::quiet::QuietReply;
use crate::error::Error;
use crate::value::Value;

/// A complete reply, or one of the several parts of a reply: an item of a multi-key `get`.
///
/// The text and the meta protocol say the same with different words; here they say it with the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// `STORED`.
    Stored,
    /// `NOT_STORED`: the condition was not met.
    NotStored,
    /// `EXISTS`: the item has changed since its `cas` was fetched.
    Exists,
    /// `NOT_FOUND`: there is no such item to change.
    NotFound,
    /// `DELETED`.
    Deleted,
    /// `TOUCHED`.
    Touched,
    /// `OK`.
    Ok,
    /// The new number after `incr` or `decr`.
    Number(u64),
    /// The text after `VERSION`.
    Version(Arc<str>),
    /// `VALUE`, `VA`: an item, and the place of its key among the keys of the request, counted from 0.
    Value(u32, Value),
    /// An item for which this program had no memory: the place of its key, and the length of its data, which was
    /// discarded.
    NoMemory(u32, usize),
    /// A lone `END`, `EN`: there is no such item.
    Miss,
    /// `END` after the items of a multi-key `get`.
    End,
    /// `STAT`, `PREFIX` or `ITEM` lines before their `END`: what follows that word on each line, with the line ends.
    Stats(Arc<[u8]>),
    /// `RESET`: the counters of the server were reset.
    Reset,
    /// The reply to a [meta command](crate::command::meta) with flags of the caller's choice, unless it is [`Reply::Miss`].
    Meta(Box<MetaReply>),
    /// To a [quiet batch](crate::operation::QuietBatch): the reply to one of its requests, or, the last one, its end.
    Quiet(Box<QuietReply>),
    /// `ERROR`, `CLIENT_ERROR` or `SERVER_ERROR`: the whole line without its line end. To a request about a whole server also a
    /// line in other words, as a proxy or another server may answer.
    Refused(Arc<str>),
    /// The whole reply to a request that was [cancelled](crate::Connection::cancel) has been read and discarded.
    Cancelled,
}

impl Reply {
    /// The error to the caller whose request this does not answer: what [`Command::answer`](crate::command::Command::answer) returns
    /// for each reply that it does not expect.
    ///
    /// * An error line is [`Error::Refused`], or [`Error::NonNumeric`] if it says so of a counter. [`Error::landed`] says whether
    ///   the line proves that nothing was done.
    /// * A value for which this program had no memory is [`Error::NoMemory`].
    /// * Anything else is [`Error::Protocol`].
    ///
    /// A client adds the command, its key and the server. [`Keyed`](crate::command::Keyed) has an example of a whole command.
    ///
    /// ```
    /// use memcached2_proto::{Error, Reply};
    ///
    /// assert!(matches!(Reply::Refused("ERROR".into()).into_error(), Error::Refused { .. }));
    /// assert!(matches!(Reply::Stored.into_error(), Error::Protocol { .. }));
    /// ```
    #[must_use]
    #[cold]
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(line) => error_line::refusal(&line),
            Self::NoMemory(_, length) => Error::no_memory(length),
            other => Error::protocol(format!("{other:?} is no answer to this request")),
        }
    }
}

/// What may answer a request, and so where its reply ends.
///
/// Any request can also be answered by an error line. A request answered by `OK`, `RESET`, a version, or statistics
/// with a fence after them can also be refused by a short line of text that is no reply of memcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Those of one line come first, so that `is_line` is one comparison.
pub enum ReplyKind {
    /// A line that says whether the data block of the request was stored.
    Stored,
    /// `DELETED` or `NOT_FOUND`.
    Deleted,
    /// `TOUCHED` or `NOT_FOUND`.
    Touched,
    /// `OK`.
    Ok,
    /// A number or `NOT_FOUND`.
    Number,
    /// `VERSION` and a text.
    Version,
    /// One `STAT` line, which no `END` follows: the answer to `stats sizes_enable` and `sizes_disable`. A lone `END` is none at all.
    Stat,
    /// `RESET`.
    Reset,
    /// The answer to an `ms`: a code with the opaque.
    MetaStored,
    /// The answer to an `md`: `HD` or `NF` with the opaque.
    MetaDeleted,
    /// The answer to an `ma` that asks for the value: `VA` or `NF` with the opaque.
    MetaNumber,
    /// The answer to an `mn`: `MN`.
    MetaNoop,
    /// The answer to the `md` of a [probe](crate::Connection::probe).
    ProbeKey,
    /// The answer to an `mn` of the connection's own.
    ProbeEnd,
    /// At most one `VALUE`, then `END`: a single reply.
    Value,
    /// Any number of `VALUE`, each a reply, then `END`.
    Values,
    /// `STAT` lines, then `END`: a single reply.
    Stats,
    /// `PREFIX` lines, then `END`: a single reply.
    Prefixes,
    /// `ITEM` lines, then `END`: a single reply.
    Items,
    /// `CONFIG` with a text of at most 256 KiB, then `END`: a single reply, the value that a `get` would have. It is what Amazon
    /// ElastiCache answers to `config get cluster`.
    Config,
    /// The answer to an `mg` that asks for the value: `VA` with the opaque, or `EN`, which carries it from 1.6.18 on.
    MetaValue,
    /// [`ReplyKind::Values`] and [`ReplyKind::MetaValue`], with the key: the last of several keys is asked for by an `mg`, whose
    /// opaque proves that all before it belongs to the same request.
    FencedValues,
    /// The answer to an `mg` with any flags: `VA`, `HD` or `EN`.
    MetaGet,
    /// The answer to an `ms` with any flags: `HD`, `NS`, `EX` or `NF`.
    MetaSet,
    /// The answer to an `md` with any flags: `HD`, `NS`, `EX` or `NF`.
    MetaDelete,
    /// The answer to an `ma` with any flags: `VA`, `HD`, `NS`, `EX` or `NF`.
    MetaArithmetic,
    /// The answers to several quiet `mg`, and to the `mn` and the fence that follow them.
    QuietGet,
    /// The same of several quiet `ms`.
    QuietSet,
    /// The same of several quiet `md`.
    QuietDelete,
    /// The same of several quiet `ma`.
    QuietArithmetic,
    /// The answer to an `me`: `ME` with the key, or `EN`.
    MetaDebug,
}

impl ReplyKind {
    /// Whether the reply is one line, so short that 256 of them fit any socket's buffers.
    #[must_use]
    pub fn is_line(self) -> bool {
        !matches!(
            self,
            Self::Value
                | Self::Values
                | Self::MetaValue
                | Self::FencedValues
                | Self::MetaGet
                | Self::MetaSet
                | Self::MetaDelete
                | Self::MetaArithmetic
                | Self::QuietGet
                | Self::QuietSet
                | Self::QuietDelete
                | Self::QuietArithmetic
                | Self::MetaDebug
                | Self::Stats
                | Self::Prefixes
                | Self::Items
                | Self::Config
        )
    }

    /// Whether a data block follows the request line.
    pub(crate) fn has_data(self) -> bool {
        matches!(self, Self::Stored | Self::MetaStored | Self::MetaSet | Self::QuietSet)
    }

    /// Whether the request is an `incr` or a `decr`.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::MetaNumber | Self::MetaArithmetic | Self::QuietArithmetic)
    }

    /// The reply to a meta store or delete that was successful.
    #[inline]
    pub(crate) fn success(self) -> Reply {
        if self == Self::MetaDeleted { Reply::Deleted } else { Reply::Stored }
    }

    /// Whether any reply but an error line carries the opaque of its request.
    pub(crate) fn is_checked(self) -> bool {
        matches!(self, Self::MetaValue | Self::FencedValues | Self::MetaStored | Self::MetaDeleted | Self::MetaNumber)
            || self.is_any_meta()
    }

    /// Whether several requests are answered together, those that succeed by nothing.
    pub(crate) fn is_quiet(self) -> bool {
        matches!(self, Self::QuietGet | Self::QuietSet | Self::QuietDelete | Self::QuietArithmetic)
    }

    /// Whether it is a [`Reply::Meta`].
    pub(crate) fn is_any_meta(self) -> bool {
        matches!(self, Self::MetaGet | Self::MetaSet | Self::MetaDelete | Self::MetaArithmetic)
    }
}

/// What is expected next of a server: what may answer the front request, and how it shows that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Expected {
    /// What may answer it.
    pub reply_kind: ReplyKind,
    /// Its number, which a checked reply repeats.
    pub opaque: Opaque,
    /// Whether the request ends in a [fence](crate::command::RequestBuffer::put_fence), so that the reply ends in the answer to it.
    pub is_fenced: bool,
}

impl Expected {
    /// A reply of this `reply_kind` to the request with this number, which has no fence.
    #[must_use]
    pub fn new(reply_kind: ReplyKind, opaque: Opaque) -> Self {
        Self { reply_kind, opaque, is_fenced: false }
    }

    /// Whether any reply but an error line shows that it is the one to this request.
    pub(crate) fn is_checked(self) -> bool {
        self.is_fenced || self.reply_kind.is_checked() || self.reply_kind == ReplyKind::ProbeEnd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_hardly_larger_than_a_value() {
        // It is moved several times on its way to the caller.
        assert!(size_of::<Reply>() <= size_of::<Value>() + 8, "{}", size_of::<Reply>());
    }
}
