//! The words of a single line: parsed strictly, with the offending bytes in the error.

use std::sync::Arc;

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

pub(super) fn number(line: &[u8]) -> Result<Line, Error> {
    if line == b"NOT_FOUND" {
        return Ok(Line::Reply(Reply::NotFound));
    }
    // Servers before 1.4 pad the number with the blanks that they store behind it.
    match digits(line.trim_ascii_end()) {
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

/// `VA <bytes> <flag>*`, `EN`, `HD` and their kin; blanks may be doubled or trail (memcached up to 1.6.17).
#[inline]
pub(super) fn meta(line: &[u8], keys: &mut AskedKeys) -> Result<Line, Error> {
    let (code, words) = line.split_at(line.len().min(2));
    let reply = match code {
        b"VA" => {
            return match meta_item(words, keys) {
                Some(item) => Ok(Line::Item(item)),
                None => Err(unexpected(line, "the value of the key that was asked for")),
            };
        }
        b"EN" => Reply::Miss,
        b"HD" => Reply::Stored,
        b"NS" => Reply::NotStored,
        b"EX" => Reply::Exists,
        b"NF" => Reply::NotFound,
        _ => return refusal(line, "a return code of the meta protocol"),
    };
    match words {
        [] | [b' ', ..] => Ok(Line::Reply(reply)),
        _ => refusal(line, "a return code of the meta protocol"),
    }
}

/// The flags of an item that every request for a value asks for: `f`, `k` and, where it matters, `c`.
#[inline]
fn meta_item(words: &[u8], keys: &mut AskedKeys) -> Option<Item> {
    let (length, mut words) = digits(words.strip_prefix(b" ")?)?;
    let mut item = Item { index: 0, flags: 0, cas: None, length: usize::try_from(length).ok()? };
    let mut key_seen = false;
    while let [b' ', rest @ ..] = words {
        words = match rest {
            [b'k', key @ ..] => {
                let (key, rest) = key.split_at(memchr::memchr(b' ', key).unwrap_or(key.len()));
                item.index = keys.answer_key(key)?;
                key_seen = true;
                rest
            }
            [b'f', number @ ..] => {
                let (flags, rest) = flags(number)?;
                item.flags = flags;
                rest
            }
            [b'c', number @ ..] => {
                let (cas, rest) = digits(number)?;
                item.cas = Some(cas);
                rest
            }
            _ => &rest[memchr::memchr(b' ', rest).unwrap_or(rest.len())..],
        };
    }
    (key_seen && words.is_empty()).then_some(item)
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
