//! The lines of replies to meta commands with flags of the caller's choice.

use std::borrow::Cow;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;

use super::{Item, ReplyLine, digits, flags, refusal, unexpected, whole};
use crate::error::Error;
use crate::reply::{ExpectedKeys, MetaItem, MetaReply, MetaStatus, Opaque, Reply, ReplyKind, Ttl};

/// What a line is, and the flags of one that data follows.
type Found = (ReplyLine, Option<Box<MetaReply>>);

const CHECKED: &str = "the reply to this meta command, with its opaque";

/// `<code> <flag>*`, or `VA <bytes> <flag>*`, with the opaque of the request; blanks may be doubled or trail (memcached up to
/// 1.6.17).
#[cold]
pub(in crate::reply) fn meta_reply(
    line: &[u8],
    kind: ReplyKind,
    opaque: Opaque,
    keys: &mut ExpectedKeys,
) -> Result<Found, Error> {
    let (code, words) = line.split_at_checked(2).unwrap_or((line, &[]));
    let found = match (code, kind) {
        (b"VA", ReplyKind::MetaGet | ReplyKind::MetaArithmetic) => announced(words, opaque, keys),
        (b"EN", ReplyKind::MetaGet) => missed(words, opaque, keys),
        (b"HD", _) => answered(MetaStatus::Done, words, opaque, keys),
        (b"NS", ReplyKind::MetaSet | ReplyKind::MetaDelete | ReplyKind::MetaArithmetic) => {
            answered(MetaStatus::NotStored, words, opaque, keys)
        }
        (b"EX", ReplyKind::MetaSet | ReplyKind::MetaDelete | ReplyKind::MetaArithmetic) => {
            answered(MetaStatus::Exists, words, opaque, keys)
        }
        (b"NF", ReplyKind::MetaSet | ReplyKind::MetaDelete | ReplyKind::MetaArithmetic) => {
            answered(MetaStatus::NotFound, words, opaque, keys)
        }
        _ => return refusal(line, CHECKED).map(|found| (found, None)),
    };
    found.ok_or_else(|| unexpected(line, CHECKED))
}

/// A `VA`, which data follows.
fn announced(words: &[u8], opaque: Opaque, keys: &mut ExpectedKeys) -> Option<Found> {
    let (length, words) = announced_item(words)?;
    let item = checked(words, opaque, keys)?;
    let flags = item.flags.unwrap_or_default();
    let line = Item { index: 0, flags, cas: item.cas, length, is_meta: true, is_lost: false };
    Some((ReplyLine::Item(line), Some(Box::new(MetaReply { status: MetaStatus::Done, item }))))
}

/// The length of the data after a `VA`, and its flags.
pub(super) fn announced_item(words: &[u8]) -> Option<(usize, &[u8])> {
    let (length, words) = digits(words.strip_prefix(b" ")?)?;
    Some((usize::try_from(length).ok()?, words))
}

fn answered(status: MetaStatus, words: &[u8], opaque: Opaque, keys: &mut ExpectedKeys) -> Option<Found> {
    let item = checked(words, opaque, keys)?;
    Some((ReplyLine::Reply(Reply::Meta(Box::new(MetaReply { status, item }))), None))
}

/// An `EN`, which repeats the opaque from memcached 1.6.18 on.
fn missed(words: &[u8], opaque: Opaque, keys: &mut ExpectedKeys) -> Option<Found> {
    let (_, found) = meta_item(words, Some(keys))?;
    let miss = match found {
        Some(word) => (word == &opaque.as_flag()[1..]).then_some(ReplyLine::Reply(Reply::Miss))?,
        None => ReplyLine::Unchecked(Reply::Miss),
    };
    Some((miss, None))
}

/// The flags of a reply to the request with this opaque.
fn checked(words: &[u8], opaque: Opaque, keys: &mut ExpectedKeys) -> Option<MetaItem> {
    let (item, found) = meta_item(words, Some(keys))?;
    (found? == &opaque.as_flag()[1..]).then_some(item)
}

/// Reads the flags of a reply, and its opaque. `None` if one is not valid, or the key is none that was asked for, if `keys` are those.
pub(super) fn meta_item<'l>(
    mut words: &'l [u8],
    keys: Option<&mut ExpectedKeys>,
) -> Option<(MetaItem, Option<&'l [u8]>)> {
    let mut item = MetaItem::default();
    let (mut key, mut is_encoded, mut opaque) = (None, false, None);
    while let [b' ', rest @ ..] = words {
        let (word, rest) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
        words = rest;
        let [letter, argument @ ..] = word else { continue };
        match (letter, argument) {
            (b'k', _) if key.is_some() => return None,
            (b'k', _) => key = Some(argument),
            (b'O', _) if opaque.is_some() => return None,
            (b'O', _) => opaque = Some(word),
            (b'b', []) => is_encoded = true,
            (b'W', []) => item.win = true,
            (b'X', []) => item.stale = true,
            (b'Z', []) => item.already_won = true,
            (b'f', _) => item.flags = Some(flags(argument).filter(|(_, rest)| rest.is_empty())?.0),
            (b'c', _) => item.cas = Some(whole(argument)?),
            (b's', _) => item.size = Some(whole(argument)?),
            (b't', _) => item.ttl = Some(ttl(argument)?),
            (b'h', b"0" | b"1") => item.hit_before = Some(argument == b"1"),
            (b'h', _) => return None,
            (b'l', _) => item.last_access = Some(Duration::from_secs(whole(argument)?)),
            _ => item.unknown.push((*letter, Bytes::copy_from_slice(argument))),
        }
    }
    if let Some(key) = key {
        let key = if is_encoded { Cow::Owned(BASE64_STANDARD.decode(key).ok()?) } else { Cow::Borrowed(key) };
        if let Some(keys) = keys {
            keys.answer_key(&key)?;
        }
        item.key = Some(Bytes::copy_from_slice(&key));
    }
    words.is_empty().then_some((item, opaque))
}

/// A time in seconds; one that is over wraps at 32 bits.
fn ttl(text: &[u8]) -> Option<Ttl> {
    if text == b"-1" {
        return Some(Ttl::Never);
    }
    let seconds = u32::try_from(whole(text)?).ok()?;
    Some(if i32::try_from(seconds).is_ok() { Ttl::Seconds(seconds) } else { Ttl::Expired })
}

/// `ME <key> <name>=<value>*`, the first name being `exp`, or `EN`. A key that was given in base64 comes back so, or as its
/// bytes if it was made by an `mg` or an `ma`.
#[cold]
pub(in crate::reply) fn meta_debug(line: &[u8], keys: &mut ExpectedKeys) -> Result<ReplyLine, Error> {
    const FIRST: &[u8] = b" exp=";
    const EXPECTED: &str = "the answer to an me, with its key";
    match line {
        b"EN" => Ok(ReplyLine::Reply(Reply::Miss)),
        [b'M', b'E', b' ', rest @ ..] => {
            let at = memchr::memmem::rfind(rest, FIRST).ok_or_else(|| unexpected(line, EXPECTED))?;
            let (key, pairs) = rest.split_at(at);
            let forms =
                [Some(key.to_vec()), Some(BASE64_STANDARD.encode(key).into()), BASE64_STANDARD.decode(key).ok()];
            let is_asked = forms.iter().flatten().any(|key| keys.answer_key(key).is_some());
            match is_asked {
                true => Ok(ReplyLine::Reply(Reply::Stats(as_statistics(pairs).into()))),
                false => Err(unexpected(line, EXPECTED)),
            }
        }
        _ => refusal(line, EXPECTED),
    }
}

/// Pairs as lines of statistics are: a line each, with a blank after the name.
fn as_statistics(pairs: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for pair in pairs.split(|byte| *byte == b' ').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_at(memchr::memchr(b'=', pair).unwrap_or(pair.len()));
        lines.extend([name, b" ", value.get(1..).unwrap_or_default(), b"\n"].concat());
    }
    lines
}

/// `MN`, after which there may be flags.
#[cold]
pub(in crate::reply) fn meta_noop(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"MN" | [b'M', b'N', b' ', ..] => Ok(ReplyLine::Reply(Reply::Ok)),
        _ => refusal(line, "the answer to an mn"),
    }
}
