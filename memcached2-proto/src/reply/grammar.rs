//! The words of a single line: parsed strictly, with the offending bytes in the error.

use std::borrow::Cow;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{ExpectedKeys, Opaque, Reply, error_line};
use crate::error::Error;

/// What a `VALUE` or `VA` line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// The place of the key in the request.
    pub(super) index: u32,
    pub(super) flags: u64,
    pub(super) cas: Option<u64>,
    /// The length of the data in bytes.
    pub(super) length: usize,
    /// Whether it is a meta reply, behind which nothing follows.
    pub(super) is_meta: bool,
    /// Whether there was no memory for the data.
    pub(super) is_lost: bool,
}

/// What a line turns out to be.
#[derive(Debug)]
pub(super) enum ReplyLine {
    /// The reply is complete.
    Reply(Reply),
    /// The same, without the check that the server could have given.
    Unchecked(Reply),
    /// Data follows.
    Item(Item),
    /// One line of many, which begins so many bytes behind the beginning of the line.
    Stat(usize),
}

/// What speaks another protocol, by the first bytes that it says.
#[cold]
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // An alert, version 3.
        [0x15, 0x03, ..] => Some("it speaks TLS, which this client does not"),
        [0x81, ..] => Some("it speaks the binary protocol, which this client does not"),
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("it speaks HTTP, which this client does not"),
        _ => None,
    }
}

/// An answer that does not fit the request.
#[cold]
pub(super) fn unexpected(line: &[u8], wanted: &str) -> Error {
    if let Some(what) = foreign(line) {
        return Error::protocol(what);
    }
    const SHOWN: usize = 64;
    let cut = if line.len() > SHOWN { "..." } else { "" };
    let shown = line[..line.len().min(SHOWN)].escape_ascii();
    Error::protocol(format!("expected {wanted}, got \"{shown}{cut}\""))
}

/// An error line, or else the error that says what came instead of `wanted`.
#[cold]
fn refusal(line: &[u8], wanted: &str) -> Result<ReplyLine, Error> {
    match error_line::is_error_line(line) {
        true => Ok(ReplyLine::Reply(Reply::Refused(Arc::from(String::from_utf8_lossy(line))))),
        false => Err(unexpected(line, wanted)),
    }
}

/// The same, where the reply is one line whatever it says: a proxy or another server may also refuse the request in words of
/// its own.
#[cold]
fn refusal_in_any_words(line: &[u8], wanted: &str) -> Result<ReplyLine, Error> {
    match is_in_own_words(line) {
        true => Ok(ReplyLine::Reply(Reply::Refused(Arc::from(String::from_utf8_lossy(line))))),
        false => refusal(line, wanted),
    }
}

/// Whether a line is a short text, and neither a reply of memcached, also a mutilated one, nor the beginning of an answer in
/// another protocol that has further lines.
fn is_in_own_words(line: &[u8]) -> bool {
    /// A refusal is a sentence.
    const LONGEST: usize = 256;
    const REPLIES: [&[u8]; 16] = [
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
        b"CLIENT_ERROR",
        b"SERVER_ERROR",
    ];
    const CODES: [&[u8]; 8] = [b"HD", b"VA", b"EN", b"NF", b"NS", b"EX", b"MN", b"ME"];
    let is_text = line.iter().all(|byte| matches!(byte, b' '..=b'~')) && line.len() <= LONGEST;
    let begins_with = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_number = matches!(line, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
    let is_code = matches!(line, [_, _] | [_, _, b' ', ..]) && CODES.iter().any(|code| line.starts_with(code));
    let is_of_memcached = is_number || is_code || REPLIES.iter().any(|word| begins_with(word));
    is_text && !matches!(line, [] | [b' ', ..]) && !is_of_memcached && foreign(line).is_none()
}

#[inline]
pub(super) fn stored(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::NotStored,
        b"EXISTS" => Reply::Exists,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a store"),
    }))
}

pub(super) fn deleted(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"DELETED" => Reply::Deleted,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a delete"),
    }))
}

pub(super) fn touched(line: &[u8]) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match line {
        b"TOUCHED" => Reply::Touched,
        b"NOT_FOUND" => Reply::NotFound,
        _ => return refusal(line, "the answer to a touch"),
    }))
}

pub(super) fn ok(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"OK" => Ok(ReplyLine::Reply(Reply::Ok)),
        _ => refusal_in_any_words(line, "OK"),
    }
}

/// A line that begins with `word`, such as `STAT <name> <value>`, where the value may be anything or nothing; or `END`. With
/// `may_be_words` a fence shows whether a line in other words is the whole reply.
pub(super) fn told(line: &[u8], word: &[u8], may_be_words: bool) -> Result<ReplyLine, Error> {
    match line.strip_prefix(word) {
        Some([b' '] | [b' ', b' ', ..]) => Err(unexpected(line, "the name of a statistic")),
        Some([b' ', ..]) => Ok(ReplyLine::Stat(word.len() + 1)),
        _ if line == b"END" => Ok(ReplyLine::Reply(Reply::End)),
        _ if may_be_words => refusal_in_any_words(line, "a statistic or their end"),
        _ => refusal(line, "a statistic or their end"),
    }
}

pub(super) fn reset(line: &[u8]) -> Result<ReplyLine, Error> {
    match line {
        b"RESET" => Ok(ReplyLine::Reply(Reply::Reset)),
        _ => refusal_in_any_words(line, "RESET"),
    }
}

pub(super) fn number(line: &[u8]) -> Result<ReplyLine, Error> {
    if line == b"NOT_FOUND" {
        return Ok(ReplyLine::Reply(Reply::NotFound));
    }
    // Servers before 1.4 pad the number with the blanks that they store behind it.
    let padding = line.iter().rev().take_while(|byte| **byte == b' ').count();
    match digits(&line[..line.len() - padding]) {
        Some((number, [])) => Ok(ReplyLine::Reply(Reply::Number(number))),
        _ => refusal(line, "a number"),
    }
}

pub(super) fn version(line: &[u8]) -> Result<ReplyLine, Error> {
    match line.strip_prefix(b"VERSION") {
        Some([]) => Ok(ReplyLine::Reply(Reply::Version(Arc::from("")))),
        Some([b' ', text @ ..]) => Ok(ReplyLine::Reply(Reply::Version(Arc::from(String::from_utf8_lossy(text))))),
        _ => refusal_in_any_words(line, "a version"),
    }
}

/// The most common beginning of a reply, `VALUE` with the next key asked, and how many bytes it takes with its line end.
///
/// `None` says nothing: the line is another one, or it has not arrived whole.
#[inline]
pub(super) fn value_ahead(bytes: &[u8], keys: &mut ExpectedKeys) -> Option<(Item, usize)> {
    let (next, rest) = keys.skip_next(bytes.strip_prefix(b"VALUE ")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (length, rest) = digits(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let length = usize::try_from(length).ok()?;
    let index = keys.take_next(next);
    Some((Item { index, flags, cas: None, length, is_meta: false, is_lost: false }, bytes.len() - rest.len()))
}

/// The most common beginning of a meta reply: `VA` with the flags in the order asked.
///
/// `None` says nothing, as above.
#[inline]
pub(super) fn meta_ahead(bytes: &[u8], opaque: Opaque) -> Option<(Item, usize)> {
    let (length, rest) = digits(bytes.strip_prefix(b"VA ")?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" f")?)?;
    let rest = rest.strip_prefix(opaque.as_line_end())?;
    let length = usize::try_from(length).ok()?;
    Some((Item { index: 0, flags, cas: None, length, is_meta: true, is_lost: false }, bytes.len() - rest.len()))
}

/// `VALUE <key> <flags> <bytes>[ <cas>]`, or `END`.
#[inline]
pub(super) fn value(line: &[u8], keys: &mut ExpectedKeys) -> Result<ReplyLine, Error> {
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

/// What a reply with the opaque of another request is told to be instead of.
const CHECKED: &str = "the reply to this request, with its opaque";

/// `VA <bytes> <flag>*` or `EN <flag>*`; blanks may be doubled or trail (memcached up to 1.6.17).
#[inline]
pub(super) fn meta_value(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
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
pub(super) fn fenced_value(line: &[u8], keys: &mut ExpectedKeys, opaque: Opaque) -> Result<ReplyLine, Error> {
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
pub(super) fn meta_stored(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match code(line, opaque) {
        Some(b"HD") => Reply::Stored,
        Some(b"NS") => Reply::NotStored,
        Some(b"EX") => Reply::Exists,
        Some(b"NF") => Reply::NotFound,
        _ => return refusal(line, CHECKED),
    }))
}

pub(super) fn meta_deleted(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    Ok(ReplyLine::Reply(match code(line, opaque) {
        Some(b"HD") => Reply::Deleted,
        Some(b"NF") => Reply::NotFound,
        _ => return refusal(line, CHECKED),
    }))
}

pub(super) fn meta_number(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    if let (Some((item, _)), true) = (announced(line, opaque), line.starts_with(b"VA ")) {
        return Ok(ReplyLine::Item(item));
    }
    match code(line, opaque) {
        Some(b"NF") => Ok(ReplyLine::Reply(Reply::NotFound)),
        _ => refusal(line, CHECKED),
    }
}

/// The number that is the value of a reply to `ma`.
pub(super) fn counted(value: &[u8]) -> Result<Reply, Error> {
    whole(value.trim_ascii_end()).map(Reply::Number).ok_or_else(|| unexpected(value, "a number"))
}

/// Whether the answer to a fence shows that it is one. An error line can be it and show nothing: behind a proxy the server
/// can be down that the fence goes to.
pub(super) fn fence(line: &[u8], opaque: Opaque) -> Result<bool, Error> {
    match code(line, opaque) {
        Some(b"EX" | b"NF") => Ok(true),
        _ => match refusal(line, CHECKED)? {
            ReplyLine::Reply(Reply::Refused(text)) if error_line::swallows_data(&text) => Ok(false),
            _ => Err(unexpected(line, CHECKED)),
        },
    }
}

/// The answer to the `md` of a probe: any that a server gives which reads a meta command as one.
pub(super) fn probe_key(line: &[u8], opaque: Opaque) -> Result<ReplyLine, Error> {
    match code(line, opaque) {
        Some(b"NF" | b"EX") => Ok(ReplyLine::Reply(Reply::NotFound)),
        _ => refusal(line, "the answer of a memcached"),
    }
}

/// The answer to the `mn` of a probe; memcached 1.5.19 to 1.5.22, which knows a first draft of these commands, says `EN`.
pub(super) fn probe_end(line: &[u8]) -> Result<ReplyLine, Error> {
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
    /// Whether the key is in base64: an item that was stored so says it to whoever asks for it by its plain name, too.
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

/// Reads the flags of a meta reply; unknown ones are passed over. `None` for what is none.
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

/// Client flags: 32 bits, or 64 where memcached was built with `--enable-large-client-flags`. Servers before 1.4.27 print
/// 32 bits signed.
#[inline]
fn flags(text: &[u8]) -> Option<(u64, &[u8])> {
    match text {
        [b'-', rest @ ..] => {
            let (number, rest) = digits(rest)?;
            let magnitude = u32::try_from(number).ok().filter(|number| *number <= 1 << 31)?;
            Some((magnitude.wrapping_neg().into(), rest))
        }
        _ => digits(text),
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
    fn a_server_may_refuse_in_its_own_words_but_not_in_those_of_another_reply() {
        let (longest, longer) = ("x".repeat(256), "x".repeat(257));
        for line in ["NOT SUPPORTED", "x", "-ERR unknown command", "Error: no", "ENOTSUP", "HDX", &longest] {
            assert!(is_in_own_words(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            " x",
            "a\tb",
            "\u{e4}",
            "OK",
            "OKAY",
            "VERSION1.6",
            "version 1.6",
            "stored",
            "STORED x",
            "NOT_FOUND",
            "12",
            "0 ",
            "-1",
            "EN",
            "HD O1",
            "VA 3 f0",
            "STAT",
            "END",
            "CLIENT_ERRORS",
            "HTTP/1.1 400 Bad Request",
            &longer,
        ] {
            assert!(!is_in_own_words(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn flags_have_32_bits_if_there_is_a_sign_and_else_64() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4294967295", Some(u64::from(u32::MAX))),
            ("4294967296", Some(1 << 32)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", Some(u64::from(u32::MAX))),
            ("-2147483648", Some(1 << 31)),
            ("-2147483649", None),
            ("-", None),
        ] {
            assert_eq!(flags(text.as_bytes()).map(|(flags, _)| flags), expected, "{text}");
        }
    }
}
