//! The lines of replies to quiet batches.

use std::sync::Arc;

use super::meta_item::{announced_item, meta_item};
use super::{Item, refusal, unexpected};
use crate::error::Error;
use crate::reply::{ExpectedKeys, MetaReply, MetaStatus, Opaque, Reply, ReplyKind};

/// What a line of the reply to a quiet batch is.
#[derive(Debug)]
pub(in crate::reply) enum QuietLine {
    /// The reply to the request at a place.
    Reply(u32, Reply),
    /// The same, and data follows.
    Item(Item, Box<MetaReply>),
    /// An error line: the answer to one of the requests.
    Refused(Arc<str>),
    /// `MN`: there is no further reply to a request.
    End,
}

/// `<code> <flag>*` or `VA <bytes> <flag>*` with the opaque of one of the requests, an error line, or `MN`.
pub(in crate::reply) fn quiet(
    line: &[u8],
    kind: ReplyKind,
    opaque: Opaque,
    keys: &ExpectedKeys,
) -> Result<QuietLine, Error> {
    const EXPECTED: &str = "a reply to one of these quiet requests, with its opaque";
    let (code, words) = line.split_at_checked(2).unwrap_or((line, &[]));
    let found = match (code, kind) {
        (b"MN", _) if words.is_empty() || words.starts_with(b" ") => Some(QuietLine::End),
        (b"VA", ReplyKind::QuietGet | ReplyKind::QuietArithmetic) => {
            announced_item(words).and_then(|(length, words)| {
                let (index, item) = of_one(words, opaque, keys)?;
                let flags = item.flags.unwrap_or_default();
                let line = Item { index, flags, cas: item.cas, length, is_meta: true, is_lost: false };
                Some(QuietLine::Item(line, Box::new(MetaReply { status: MetaStatus::Done, item })))
            })
        }
        (b"EN", ReplyKind::QuietGet) => of_one(words, opaque, keys).map(|(at, _)| QuietLine::Reply(at, Reply::Miss)),
        (b"HD", _) => answered(MetaStatus::Done, words, opaque, keys),
        (_, ReplyKind::QuietGet) => return refused(line, EXPECTED),
        (b"NS", _) => answered(MetaStatus::NotStored, words, opaque, keys),
        (b"EX", _) => answered(MetaStatus::Exists, words, opaque, keys),
        (b"NF", _) => answered(MetaStatus::NotFound, words, opaque, keys),
        _ => return refused(line, EXPECTED),
    };
    found.ok_or_else(|| unexpected(line, EXPECTED))
}

fn refused(line: &[u8], expected: &str) -> Result<QuietLine, Error> {
    match refusal(line, expected)? {
        super::ReplyLine::Reply(Reply::Refused(text)) => Ok(QuietLine::Refused(text)),
        _ => Err(unexpected(line, expected)),
    }
}

fn answered(status: MetaStatus, words: &[u8], opaque: Opaque, keys: &ExpectedKeys) -> Option<QuietLine> {
    let (at, item) = of_one(words, opaque, keys)?;
    Some(QuietLine::Reply(at, Reply::Meta(Box::new(MetaReply { status, item }))))
}

/// The place of the request that the flags of a reply belong to, and what they say.
fn of_one(words: &[u8], opaque: Opaque, keys: &ExpectedKeys) -> Option<(u32, crate::reply::MetaItem)> {
    // The opaque is that of one request alone, so the key needs no look.
    let (item, found) = meta_item(words, None)?;
    let at = opaque.part_in(found?)?;
    (at < keys.parts()).then_some((at, item))
}
