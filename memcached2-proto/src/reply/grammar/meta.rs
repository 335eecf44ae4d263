//! The lines of replies to meta commands.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::classic::value;
use super::{Item, ReplyLine, digits, flags, refusal, unexpected, whole, whole_data};
use crate::error::Error;
use crate::reply::{ExpectedKeys, Opaque, Reply, error_line};

/// The most common meta reply: `VA` with the flags in the order asked, and its data. Returns the data and what follows, too.
///
/// `None` says nothing: it is another reply, or has not arrived whole.
#[inline]
pub(in crate::reply) fn meta_ahead(bytes: &[u8], opaque: Opaque) -> Option<(Item, &[u8], &[u8])> {
    let (length, rest) = digits(bytes.strip_prefix(b"VA ")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" f")?)?;
    let rest = rest.strip_prefix(opaque.as_line_end())?;
    let length = usize::try_from(length).ok()?;
    let (data, rest) = whole_data(rest, length, b"\r\n")?;
    Some((Item { index: 0, flags, cas: None, length, is_meta: true, is_lost: false }, data, rest))
}

/// The expected reply, in the error for a reply with another opaque.
const CHECKED: &str = "the reply to this request, with its opaque";

/// `VA <bytes> <flag>*` or `EN <flag>*`; blanks may be doubled or trail (memcached up to 1.6.17).
#[inline]
pub(in crate::reply) fn meta_value(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    let found = match line {
        [b'V', b'A', b' ', ..] => announced(line, opaque).map(|(item, _)| ReplyLine::Item(item)),
        [b'E', b'N', words @ ..] => missed(words, opaque),
        _ => return refusal(line, CHECKED),
    };
    found.ok_or_else(|| unexpected(line, CHECKED))
}

/// Any line of the reply to several keys, the last of which an `mg` asks for; `Reply::End` is the end of the classic part,
/// and `Reply::Miss` the end of all.
#[inline]
pub(in crate::reply) fn fenced_value(line: &[u8], keys: &mut ExpectedKeys, opaque: Opaque) -> Result<ReplyLine, Error> {
    match line {
        [b'V', b'A', b' ', ..] => {
            let found = announced(line, opaque).and_then(|(item, flags)| {
                let index = keys.answer_key(&flags.key()?)?;
                Some(ReplyLine::Item(Item { index, ..item }))
            });
            found.ok_or_else(|| unexpected(line, CHECKED))
        }
        [b'E', b'N'] | [b'E', b'N', b' ', ..] => meta_value(line, opaque),
        _ => value(line, keys),
    }
}

/// An `EN` with these flags, if it can be that of this request: memcached repeats the opaque from 1.6.18 on.
fn missed(words: &[u8], opaque: Opaque) -> Option<ReplyLine> {
    match meta_flags(words)? {
        flags if flags.is_of(opaque) => Some(ReplyLine::Reply(Reply::Miss)),
        flags => flags.opaque.is_none().then_some(ReplyLine::Unchecked(Reply::Miss)),
    }
}

/// The item that a `VA` of this request announces, and its flags.
fn announced(line: &[u8], opaque: Opaque) -> Option<(Item, MetaFlags<'_>)> {
    let (length, words) = digits(line.strip_prefix(b"VA ")?)?;
    let flags = meta_flags(words).filter(|flags| flags.is_of(opaque))?;
    let length = usize::try_from(length).ok()?;
    Some((Item { index: 0, flags: flags.flags, cas: flags.cas, length, is_meta: true, is_lost: false }, flags))
}

/// The code of a reply without a value to this request.
#[inline]
fn code(line: &[u8], opaque: Opaque) -> Option<&[u8]> {
    let (code, words) = line.split_at_checked(2)?;
    (words == opaque.as_flag() || meta_flags(words)?.is_of(opaque)).then_some(code)
}

#[inline]
pub(in crate::reply) fn meta_stored(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match code(line, opaque) {
        Some(b"HD") => Reply::Stored,
        Some(b"NS") => Reply::NotStored,
        Some(b"EX") => Reply::Exists,
        Some(b"NF") => Reply::NotFound,
        _ => return refusal(line, CHECKED),
    }))
}

pub(in crate::reply) fn meta_deleted(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match code(line, opaque) {
        Some(b"HD") => Reply::Deleted,
        Some(b"NF") => Reply::NotFound,
        _ => return refusal(line, CHECKED),
    }))
}

pub(in crate::reply) fn meta_number(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    if let (Some((item, _)), true) = (announced(line, opaque), line.starts_with(b"VA ")) {
        return Ok(ReplyLine::Item(item));
    }
    match code(line, opaque) {
        Some(b"NF") => Ok(ReplyLine::Reply(Reply::NotFound)),
        _ => refusal(line, CHECKED),
    }
}

/// The number that is the value of a reply to `ma`.
pub(in crate::reply) fn number_value(value: &[u8]) -> Result<Reply, Error> {
    whole(value.trim_ascii_end()).map(Reply::Number).ok_or_else(|| unexpected(value, "a number"))
}

/// Whether the answer to a fence proves anything. An error line does not: behind a proxy, the server of the fence can
/// be down.
pub(in crate::reply) fn fence(line: &[u8], opaque: Opaque) -> Result<bool, Error> {
    match code(line, opaque) {
        Some(b"EX" | b"NF") => Ok(true),
        _ => match refusal(line, CHECKED)? {
            ReplyLine::Reply(Reply::Refused(text)) if error_line::swallows_data(&text) => Ok(false),
            _ => Err(unexpected(line, CHECKED)),
        },
    }
}

/// The answer to the `md` of a probe: any that a server gives which reads a meta command as one.
pub(in crate::reply) fn probe_key(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    match code(line, opaque) {
        Some(b"NF" | b"EX") => Ok(ReplyLine::Reply(Reply::NotFound)),
        _ => refusal(line, "the answer of a memcached"),
    }
}

/// The answer to the `mn` of a probe; memcached 1.5.19 to 1.5.22, which knows a first draft of these commands, says `EN`.
pub(in crate::reply) fn probe_end(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"MN" => Ok(ReplyLine::Reply(Reply::Ok)),
        b"EN" => Ok(ReplyLine::Reply(Reply::Miss)),
        _ => refusal(line, "the answer of a memcached"),
    }
}

/// The flags of a meta reply that requests ask for.
#[derive(Debug, Default)]
struct MetaFlags<'l> {
    key: Option<&'l [u8]>,
    /// Whether the key is in base64: an item that was stored so returns it so, even if it is fetched by its plain name.
    is_encoded: bool,
    flags: u64,
    cas: Option<u64>,
    opaque: Option<&'l [u8]>,
}

impl MetaFlags<'_> {
    /// Whether the reply is that of the request with this opaque.
    fn is_of(&self, opaque: Opaque) -> bool {
        self.opaque.is_some_and(|word| opaque.as_flag()[1..] == *word)
    }

    /// The key that came back.
    fn key(&self) -> Option<Cow<'_, [u8]>> {
        match self.key? {
            key if self.is_encoded => BASE64_STANDARD.decode(key).ok().map(Cow::Owned),
            key => Some(Cow::Borrowed(key)),
        }
    }
}

/// Reads the flags of a meta reply; unknown ones are ignored. `None` if the text is not valid.
fn meta_flags(mut words: &[u8]) -> Option<MetaFlags<'_>> {
    let mut found = MetaFlags::default();
    while let [b' ', rest @ ..] = words {
        let (word, rest) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
        match word {
            [b'k', ..] if found.key.is_some() => return None,
            [b'k', name @ ..] => found.key = Some(name),
            [b'b'] => found.is_encoded = true,
            [b'f', number @ ..] => found.flags = flags(number).filter(|(_, rest)| rest.is_empty())?.0,
            [b'c', number @ ..] => found.cas = Some(whole(number)?),
            [b'O', ..] if found.opaque.is_some() => return None,
            [b'O', ..] => found.opaque = Some(word),
            _ => {}
        }
        words = rest;
    }
    words.is_empty().then_some(found)
}
