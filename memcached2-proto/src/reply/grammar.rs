//! The words of a single line: parsed strictly, with the offending bytes in the error.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{AskedKeys, Reply};
use crate::error::Error;

/// What a `VALUE` or `VA` line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// The place of the key in the request.
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) cas: Option<u64>,
    /// The length of the data in bytes.
    pub(super) length: usize,
}

/// What a line turns out to be.
#[derive(Debug)]
pub(super) enum Line {
    /// The reply is complete.
    Reply(Reply),
    /// Data follows.
    Item(Item),
    /// One line of many, which begins so many bytes behind the beginning of the line.
    Stat(usize),
    /// An answer that another one follows.
    Before(Reply),
}

/// An answer that does not fit the request.
#[cold]
pub(super) fn unexpected(line: &[u8], wanted: &str) -> Error {
    const SHOWN: usize = 64;
    let cut = if line.len() > SHOWN { "..." } else { "" };
    let shown = line[..line.len().min(SHOWN)].escape_ascii();
    Error::protocol(format!("expected {wanted}, got \"{shown}{cut}\""))
}

/// An error line, or else the error that says what came instead of `wanted`.
#[cold]
fn refusal(line: &[u8], wanted: &str) -> Result<Line, Error> {
    let is_error = [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"]
        .iter()
        .any(|word| matches!(line.strip_prefix(*word), Some([] | [b' ' | b':', ..])));
    match is_error {
        true => Ok(Line::Reply(Reply::Refused(Arc::from(String::from_utf8_lossy(line))))),
        false => Err(unexpected(line, wanted)),
    }
}

#[inline]
pub(super) fn stored(line: &[u8]) -> Result<Line, Error> {
    Ok(Line::Reply(match line {
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::NotStored,
        b"EXISTS" => Reply::Exists,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a store"),
    }))
}

pub(super) fn deleted(line: &[u8]) -> Result<Line, Error> {
    Ok(Line::Reply(match line {
        b"DELETED" => Reply::Deleted,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a delete"),
    }))
}

pub(super) fn touched(line: &[u8]) -> Result<Line, Error> {
    Ok(Line::Reply(match line {
        b"TOUCHED" => Reply::Touched,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a touch"),
    }))
}

pub(super) fn ok(line: &[u8]) -> Result<Line, Error> {
    match line {
        b"OK" => Ok(Line::Reply(Reply::Ok)),
        _ => refusal(line, "OK"),
    }
}

/// A line that begins with `word`, such as `STAT <name> <value>`, where the value may be anything or nothing; or `END`.
pub(super) fn told(line: &[u8], word: &[u8]) -> Result<Line, Error> {
    match line.strip_prefix(word) {
        Some([b' '] | [b' ', b' ', ..]) => Err(unexpected(line, "the name of a statistic")),
        Some([b' ', ..]) => Ok(Line::Stat(word.len() + 1)),
        _ if line == b"END" => Ok(Line::Reply(Reply::End)),
        _ => refusal(line, "a statistic or their end"),
    }
}

pub(super) fn reset(line: &[u8]) -> Result<Line, Error> {
    match line {
        b"RESET" => Ok(Line::Reply(Reply::Reset)),
        _ => refusal(line, "RESET"),
    }
}

/// What comes up to the answer to the `version` behind a request with `noreply`.
pub(super) fn fence(line: &[u8]) -> Result<Line, Error> {
    Ok(match version(line)? {
        Line::Reply(refused @ Reply::Refused(_)) => Line::Before(refused),
        answer => answer,
    })
}

pub(super) fn number(line: &[u8]) -> Result<Line, Error> {
    if line == b"NOT_FOUND" {
        return Ok(Line::Reply(Reply::NotFound));
    }
    // Servers before 1.4 pad the number with the blanks that they store behind it.
    let padding = line.iter().rev().take_while(|byte| **byte == b' ').count();
    match digits(&line[..line.len() - padding]) {
        Some((number, [])) => Ok(Line::Reply(Reply::Number(number))),
        _ => refusal(line, "a number"),
    }
}

pub(super) fn version(line: &[u8]) -> Result<Line, Error> {
    match line.strip_prefix(b"VERSION") {
        Some([]) => Ok(Line::Reply(Reply::Version(Arc::from("")))),
        Some([b' ', text @ ..]) => Ok(Line::Reply(Reply::Version(Arc::from(String::from_utf8_lossy(text))))),
        _ => refusal(line, "a version"),
    }
}

/// The most common beginning of a reply, `VALUE` with the next key asked, and how many bytes it takes with its line end.
///
/// `None` says nothing: the line is another one, or it has not arrived whole.
#[inline]
pub(super) fn value_ahead(bytes: &[u8], keys: &mut AskedKeys) -> Option<(Item, usize)> {
    let (next, rest) = keys.skip_next(bytes.strip_prefix(b"VALUE ")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (length, rest) = digits(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let (flags, length) = (u32::try_from(flags).ok()?, usize::try_from(length).ok()?);
    Some((Item { index: keys.take_next(next), flags, cas: None, length }, bytes.len() - rest.len()))
}

/// The most common beginning of a meta reply: `VA` with the key and the flags in the order asked.
///
/// `None` says nothing, as above.
#[inline]
pub(super) fn meta_ahead(bytes: &[u8], keys: &mut AskedKeys) -> Option<(Item, usize)> {
    let (length, rest) = digits(bytes.strip_prefix(b"VA ")?)?;
    let (next, rest) = keys.skip_next(rest.strip_prefix(b" k")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" f")?)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let (flags, length) = (u32::try_from(flags).ok()?, usize::try_from(length).ok()?);
    Some((Item { index: keys.take_next(next), flags, cas: None, length }, bytes.len() - rest.len()))
}

/// `VALUE <key> <flags> <bytes>[ <cas>]`, or `END`.
#[inline]
pub(super) fn value(line: &[u8], keys: &mut AskedKeys) -> Result<Line, Error> {
    if let Some(rest) = line.strip_prefix(b"VALUE ") {
        return match item(rest, keys) {
            Some(item) => Ok(Line::Item(item)),
            None => Err(unexpected(line, "the value of a key that was asked for")),
        };
    }
    match line {
        b"END" => Ok(Line::Reply(Reply::End)),
        _ => refusal(line, "a value or its end"),
    }
}

#[inline]
fn item(text: &[u8], keys: &mut AskedKeys) -> Option<Item> {
    let (index, text) = keys.answer(text)?;
    let (flags, text) = flags(text)?;
    let (length, text) = digits(text.strip_prefix(b" ")?)?;
    let cas = match text {
        [] => None,
        _ => Some(whole(text.strip_prefix(b" ")?)?),
    };
    Some(Item { index, flags, cas, length: usize::try_from(length).ok()? })
}

/// `VA <bytes> <flag>*` or `EN <flag>*`; blanks may be doubled or trail (memcached up to 1.6.17).
#[inline]
pub(super) fn meta_value(line: &[u8], keys: &mut AskedKeys) -> Result<Line, Error> {
    const WANTED: &str = "the value of the key that was asked for";
    match line {
        [b'V', b'A', b' ', words @ ..] => {
            let item = digits(words).and_then(|(length, words)| {
                let MetaFlags { index, flags, cas } = meta_flags(words, keys)?;
                Some(Item { index: index?, flags, cas, length: usize::try_from(length).ok()? })
            });
            item.map(Line::Item).ok_or_else(|| unexpected(line, WANTED))
        }
        [b'E', b'N', words @ ..] => match meta_flags(words, keys) {
            Some(_) => Ok(Line::Reply(Reply::Miss)),
            None => Err(unexpected(line, WANTED)),
        },
        _ => refusal(line, WANTED),
    }
}

/// The flags of a meta reply that every request for a value asks for, and `c`.
#[derive(Debug, Default)]
struct MetaFlags {
    /// The place of the key, if one was returned.
    index: Option<u32>,
    flags: u32,
    cas: Option<u64>,
}

/// Reads the flags of a meta reply; unknown ones are passed over. `None` for what is none, or a key that was not asked.
fn meta_flags(mut words: &[u8], keys: &mut AskedKeys) -> Option<MetaFlags> {
    let mut found = MetaFlags::default();
    let mut key = None;
    let mut is_encoded = false;
    while let [b' ', rest @ ..] = words {
        let (word, rest) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
        match word {
            [b'k', name @ ..] if key.is_none() => key = Some(name),
            [b'k', ..] => return None,
            [b'b'] => is_encoded = true,
            [b'f', number @ ..] => found.flags = flags(number).filter(|(_, rest)| rest.is_empty())?.0,
            [b'c', number @ ..] => found.cas = Some(whole(number)?),
            _ => {}
        }
        words = rest;
    }
    if !words.is_empty() {
        return None;
    }
    if let Some(key) = key {
        // An item that was stored under a base64 key says so to whoever asks for it by its plain name, too.
        let key = if is_encoded { &BASE64_STANDARD.decode(key).ok()? } else { key };
        found.index = Some(keys.answer_key(key)?);
    }
    Some(found)
}

/// Client flags: 32 bits, which servers before 1.4.27 print signed.
#[inline]
fn flags(text: &[u8]) -> Option<(u32, &[u8])> {
    match text {
        [b'-', rest @ ..] => {
            let (number, rest) = digits(rest)?;
            let magnitude = u32::try_from(number).ok().filter(|number| *number <= 1 << 31)?;
            Some((magnitude.wrapping_neg(), rest))
        }
        _ => {
            let (number, rest) = digits(text)?;
            Some((u32::try_from(number).ok()?, rest))
        }
    }
}

fn whole(text: &[u8]) -> Option<u64> {
    match digits(text)? {
        (number, []) => Some(number),
        _ => None,
    }
}

/// An unsigned decimal number of at most 64 bits, and what follows it.
#[inline]
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    let mut length = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Nineteen digits always fit.
        number = match length {
            0..19 => number * 10 + u64::from(digit),
            _ => number.checked_mul(10)?.checked_add(u64::from(digit))?,
        };
        length += 1;
    }
    (length > 0).then(|| (number, &text[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_fit_64_bits() {
        for (text, expected) in [
            ("0", Some((0, ""))),
            ("12 x", Some((12, " x"))),
            ("18446744073709551615", Some((u64::MAX, ""))),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("x1", None),
            ("\u{661}", None),
        ] {
            let expected = expected.map(|(number, rest)| (number, rest.as_bytes()));
            assert_eq!(digits(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(digits(&[b'0'; 400]), Some((0, &[][..])));
        assert_eq!(digits(&[b'9'; 400]), None);
    }

    #[test]
    fn flags_have_32_bits_whatever_their_sign() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("-1", Some(u32::MAX)),
            ("-2147483648", Some(1 << 31)),
            ("-2147483649", None),
            ("-", None),
        ] {
            assert_eq!(flags(text.as_bytes()).map(|(flags, _)| flags), expected, "{text}");
        }
    }
}
