//! The lines of replies to classic commands.

use std::sync::Arc;

use super::{Item, ReplyLine, digits, flags, foreign, refusal, unexpected, whole, whole_data};
use crate::error::Error;
use crate::reply::expected_keys::Next;
use crate::reply::{ExpectedKeys, Reply};

/// The same, for replies that are always one line: a proxy or another server may also refuse the request in its own
/// words.
#[cold]
fn refusal_in_any_words(line: &[u8], wanted: &str) -> Result<ReplyLine, Error> {
    match is_in_own_words(line) {
        true => Ok(ReplyLine::Reply(Reply::Refused(Arc::from(String::from_utf8_lossy(line))))),
        false => refusal(line, wanted),
    }
}

/// Whether a line is a short text, and neither a reply of memcached, also a mutilated one, nor the beginning of an answer in
/// another protocol that has further lines.
pub(super) fn is_in_own_words(line: &[u8]) -> bool {
    /// A refusal is a sentence.
    const LONGEST: usize = 256;
    const REPLIES: [&[u8]; 17] = [
        b"STORED",
        b"NOT_STORED",
        b"EXISTS",
        b"NOT_FOUND",
        b"DELETED",
        b"TOUCHED",
        b"OK",
        b"VERSION",
        b"VALUE",
        b"END",
        b"STAT",
        b"PREFIX",
        b"ITEM",
        b"RESET",
        b"CONFIG",
        b"CLIENT_ERROR",
        b"SERVER_ERROR",
    ];
    const CODES: [&[u8]; 8] = [b"HD", b"VA", b"EN", b"NF", b"NS", b"EX", b"MN", b"ME"];
    let is_text = line.iter().all(|byte| matches!(byte, b' '..=b'~')) && line.len() <= LONGEST;
    let begins_with = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_number = matches!(line, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
    let is_code = matches!(line, [_, _] | [_, _, b' ', ..]) && CODES.iter().any(|code| line.starts_with(code));
    let is_of_memcached = is_number || is_code || REPLIES.iter().any(|word| begins_with(word));
    // What Redis refuses, it refuses in one line.
    let is_foreign = foreign(line).is_some() && !line.starts_with(b"-ERR ");
    is_text && !matches!(line, [] | [b' ', ..]) && !is_of_memcached && !is_foreign
}

#[inline]
pub(in crate::reply) fn stored(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::NotStored,
        b"EXISTS" => Reply::Exists,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a store"),
    }))
}

pub(in crate::reply) fn deleted(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"DELETED" => Reply::Deleted,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a delete"),
    }))
}

pub(in crate::reply) fn touched(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"TOUCHED" => Reply::Touched,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a touch"),
    }))
}

pub(in crate::reply) fn ok(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"OK" => Ok(ReplyLine::Reply(Reply::Ok)),
        _ => refusal_in_any_words(line, "OK"),
    }
}

/// A line that begins with `word`, such as `STAT <name> <value>`, where the value may be anything or nothing; or `END`. With
/// `may_be_words` a fence shows whether a line in other words is the whole reply.
pub(in crate::reply) fn stat_line(line: &[u8], word: &[u8], may_be_words: bool) -> Result<ReplyLine, Error> {
    match line.strip_prefix(word) {
        Some([b' '] | [b' ', b' ', ..]) => Err(unexpected(line, "the name of a statistic")),
        Some([b' ', ..]) => Ok(ReplyLine::Stat(word.len() + 1)),
        _ if line == b"END" => Ok(ReplyLine::Reply(Reply::End)),
        _ if may_be_words => refusal_in_any_words(line, "a statistic or their end"),
        _ => refusal(line, "a statistic or their end"),
    }
}

pub(in crate::reply) fn reset(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"RESET" => Ok(ReplyLine::Reply(Reply::Reset)),
        _ => refusal_in_any_words(line, "RESET"),
    }
}

pub(in crate::reply) fn number(line: &[u8]) -> Result<ReplyLine, Error> {
    if line == b"NOT_FOUND" {
        return Ok(ReplyLine::Reply(Reply::NotFound));
    }
    // Servers before 1.4 pad the number with the blanks that they store after it.
    let padding = line.iter().rev().take_while(|byte| **byte == b' ').count();
    match digits(&line[..line.len() - padding]) {
        Some((number, [])) => Ok(ReplyLine::Reply(Reply::Number(number))),
        _ => refusal(line, "a number"),
    }
}

pub(in crate::reply) fn version(line: &[u8]) -> Result<ReplyLine, Error> {
    match line.strip_prefix(b"VERSION") {
        Some([]) => Ok(ReplyLine::Reply(Reply::Version(Arc::from("")))),
        Some([b' ', text @ ..]) => Ok(ReplyLine::Reply(Reply::Version(Arc::from(String::from_utf8_lossy(text))))),
        _ => refusal_in_any_words(line, "a version"),
    }
}

/// The most common reply: `VALUE` with the next key asked, its data, and what `end`s it. Returns the data and what follows, too.
/// [`ExpectedKeys::take_next`] takes the key.
///
/// `None` says nothing: it is another reply, or has not arrived whole.
#[inline]
pub(in crate::reply) fn value_ahead<'b, const N: usize>(
    bytes: &'b [u8],
    keys: &ExpectedKeys,
    end: &[u8; N],
) -> Option<(Item, Next, &'b [u8], &'b [u8])> {
    let (next, rest) = keys.skip_next(bytes.strip_prefix(b"VALUE ")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (length, rest) = digits(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let length = usize::try_from(length).ok()?;
    let (data, rest) = whole_data(rest, length, end)?;
    Some((Item { index: 0, flags, cas: None, length, is_meta: false, is_lost: false }, next, data, rest))
}

/// `VALUE <key> <flags> <bytes>[ <cas>]`, or `END`.
#[inline]
pub(in crate::reply) fn value(line: &[u8], keys: &mut ExpectedKeys) -> Result<ReplyLine, Error> {
    if let Some(rest) = line.strip_prefix(b"VALUE ") {
        return match item(rest, keys) {
            Some(item) => Ok(ReplyLine::Item(item)),
            None => Err(unexpected(line, "the value of a key that was asked for")),
        };
    }
    match line {
        b"END" => Ok(ReplyLine::Reply(Reply::End)),
        _ => refusal(line, "a value or its end"),
    }
}

/// `CONFIG <name> <flags> <bytes>`, or `END`. With `may_be_words` a fence shows whether a line in other words is the whole reply.
pub(in crate::reply) fn config(line: &[u8], may_be_words: bool) -> Result<ReplyLine, Error> {
    /// Far above what a list of servers takes, and far below what a large value may.
    const LONGEST: usize = 256 * 1024;
    if let Some(rest) = line.strip_prefix(b"CONFIG ") {
        let mut words = rest.split(|byte| *byte == b' ');
        let item = match (words.next(), words.next().and_then(whole), words.next().and_then(whole), words.next()) {
            (Some([_, ..]), Some(flags), Some(length), None) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST);
                length.map(|length| Item { index: 0, flags, cas: None, length, is_meta: false, is_lost: false })
            }
            _ => None,
        };
        return item.map(ReplyLine::Item).ok_or_else(|| unexpected(line, "a configuration of at most 256 KiB"));
    }
    match line {
        b"END" => Ok(ReplyLine::Reply(Reply::End)),
        _ if may_be_words => refusal_in_any_words(line, "a configuration or its end"),
        _ => refusal(line, "a configuration or its end"),
    }
}

#[inline]
fn item(text: &[u8], keys: &mut ExpectedKeys) -> Option<Item> {
    let (index, text) = keys.answer(text)?;
    let (flags, text) = flags(text)?;
    let (length, text) = digits(text.strip_prefix(b" ")?)?;
    let cas = match text {
        [] => None,
        _ => Some(whole(text.strip_prefix(b" ")?)?),
    };
    Some(Item { index, flags, cas, length: usize::try_from(length).ok()?, is_meta: false, is_lost: false })
}
