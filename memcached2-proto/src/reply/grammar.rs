//! The words of a single line: parsed strictly, with the offending bytes in the error.

mod classic;
mod meta;
mod meta_item;
mod quiet;

use std::sync::Arc;

pub(super) use self::classic::{
    config, deleted, number, ok, reset, stat_line, stored, touched, value, value_ahead, version,
};
pub(super) use self::meta::{
    fence, fenced_value, meta_ahead, meta_deleted, meta_number, meta_stored, meta_value, number_value, probe_end,
    probe_key,
};
pub(super) use self::meta_item::{meta_debug, meta_noop, meta_reply};
pub(super) use self::quiet::{QuietLine, quiet};
use super::{Reply, error_line};
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
    /// Whether it is a meta reply, which nothing follows.
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
    /// One line of many; its text begins at this byte of the line.
    Stat(usize),
}

/// What speaks another protocol, by the first bytes that it says.
#[cold]
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // An alert, version 3.
        [0x15, 0x03, ..] => Some("it speaks TLS, which this connection does not"),
        [0x81, ..] => Some("it speaks the binary protocol, which this client does not"),
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("it speaks HTTP, which this client does not"),
        [b'-' | b'+', b'A'..=b'Z', ..] | [b'$' | b'*' | b':', b'-' | b'0'..=b'9', ..] => {
            Some("it speaks the protocol of Redis, which this client does not")
        }
        _ => None,
    }
}

/// An answer that does not fit the request.
#[cold]
pub(crate) fn unexpected(line: &[u8], wanted: &str) -> Error {
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
    match error_line::refuses(line) {
        true => Ok(ReplyLine::Reply(Reply::Refused(Arc::from(String::from_utf8_lossy(line))))),
        false => Err(unexpected(line, wanted)),
    }
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

/// The data of an item and what follows its `end`, if both have come.
#[inline]
fn whole_data<'b, const N: usize>(bytes: &'b [u8], length: usize, end: &[u8; N]) -> Option<(&'b [u8], &'b [u8])> {
    let (data, rest) = bytes.split_at_checked(length)?;
    Some((data, rest.strip_prefix(end)?))
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
    let (mut number, mut rest) = (0u64, text);
    while let [byte, after @ ..] = rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // What does not fit is seen by the number of digits: nineteen always do.
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        rest = after;
    }
    match text.len() - rest.len() {
        0 => None,
        1..20 => Some((number, rest)),
        length => Some((long(&text[..length])?, rest)),
    }
}

/// A decimal number of twenty digits or more, if it has at most 64 bits.
#[cold]
fn long(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests;
