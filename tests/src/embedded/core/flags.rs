//! The flags of meta commands, and what answers repeat of them.

use super::Core;
use super::dispatch::BAD_FORMAT;
use super::store::Moment;
use super::syntax::{Line, from_base64, i32_of, to_base64, u32_of, u64_of};
use super::text::KEY;

/// How many words a meta command may have.
const WORDS: usize = 19;
/// The longest opaque, with its letter.
pub(super) const OPAQUE: usize = 32;

pub(super) const OPAQUE_TOO_LONG: &str = "CLIENT_ERROR opaque token too long";
const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";

/// What the flags of a request ask for.
#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) key: Vec<u8>,
    pub(super) key_binary: bool,
    /// The item is looked at before it is marked as used.
    pub(super) marked_late: bool,
    pub(super) no_update: bool,
    pub(super) value: bool,
    pub(super) stale: bool,
    pub(super) quiet: bool,
    pub(super) mode: Option<u8>,
    pub(super) exptime: Option<Moment>,
    pub(super) vivify: Option<Moment>,
    pub(super) recache: Moment,
    pub(super) client_flags: u32,
    pub(super) cas: Option<u64>,
    pub(super) delta: u64,
    pub(super) initial: u64,
    pub(super) new_cas: u64,
    pub(super) remove_value: bool,
}

impl Flags {
    pub(super) fn of(core: &Core, line: &Line<'_>, first: usize, now: Moment) -> Result<Self, &'static str> {
        let mut flags = Self { key: line.words[1].to_vec(), delta: 1, ..Self::default() };
        let mut seen = [false; 127];
        let mut error = Ok(());
        let moment = |text| i32_of(text).map(|exptime| core.store.expiry(exptime, now));
        for word in &line.words[first..] {
            let (letter, argument) = (word[0], &word[1..]);
            match seen.get_mut(usize::from(letter)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err("CLIENT_ERROR duplicate flag"),
            }
            // The last error is reported, but an unknown flag comes before all others.
            let mut expect = |read: bool, complaint: &'static str| {
                if !read {
                    error = Err(complaint);
                }
            };
            match letter {
                b'b' => {
                    let key = from_base64(&flags.key);
                    expect(key.is_some(), "CLIENT_ERROR error decoding key");
                    (flags.key, flags.key_binary) = (key.unwrap_or_default(), true);
                }
                b'N' | b'T' | b'R' => {
                    flags.marked_late = true;
                    let moment = moment(argument);
                    expect(moment.is_some(), BAD_TOKEN);
                    match letter {
                        b'N' => flags.vivify = moment.or(Some(0)),
                        b'T' => flags.exptime = moment,
                        _ => flags.recache = moment.unwrap_or_default(),
                    }
                }
                b'l' | b'h' => flags.marked_late = true,
                b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' => {}
                b'v' => flags.value = true,
                b'u' => flags.no_update = true,
                b'q' => flags.quiet = true,
                b'F' => match u32_of(argument) {
                    Some(number) => flags.client_flags = number,
                    None => error = error.and(Err(BAD_FORMAT)),
                },
                b'C' => {
                    flags.cas = u64_of(argument);
                    expect(flags.cas.is_some(), BAD_TOKEN);
                }
                b'M' => {
                    expect(argument.len() == 1, "CLIENT_ERROR incorrect length for M token");
                    flags.mode = argument.first().copied();
                }
                b'J' => {
                    expect(u64_of(argument).is_some(), "CLIENT_ERROR invalid numeric initial value");
                    flags.initial = u64_of(argument).unwrap_or_default();
                }
                b'D' => {
                    expect(u64_of(argument).is_some(), "CLIENT_ERROR invalid numeric delta value");
                    flags.delta = u64_of(argument).unwrap_or_default();
                }
                b'I' => flags.stale = true,
                b'E' if core.is_since((1, 6, 27)) => {
                    let cas = u64_of(argument);
                    expect(cas.is_some(), BAD_TOKEN);
                    flags.new_cas = cas.unwrap_or_default();
                }
                b'x' if core.is_since((1, 6, 27)) => flags.remove_value = true,
                _ => return Err("CLIENT_ERROR invalid flag"),
            }
        }
        error.map(|()| flags)
    }

    /// Repeats the words of a request that an answer without an item repeats.
    pub(super) fn echo(&self, words: &[&[u8]], bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        for word in words {
            match word[0] {
                b'O' => opaque(word, bytes)?,
                b'k' => key(&self.key, self.key_binary, bytes),
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn opaque(word: &[u8], bytes: &mut Vec<u8>) -> Result<(), &'static str> {
    if word.len() > OPAQUE {
        return Err(OPAQUE_TOO_LONG);
    }
    bytes.extend([b" ", word].concat());
    Ok(())
}

pub(super) fn key(key: &[u8], binary: bool, bytes: &mut Vec<u8>) {
    bytes.extend(b" k");
    if binary {
        to_base64(key, bytes);
        bytes.extend(b" b");
    } else {
        bytes.extend(key);
    }
}

pub(super) fn number(letter: char, number: impl std::fmt::Display, bytes: &mut Vec<u8>) {
    bytes.extend(format!(" {letter}{number}").into_bytes());
}

pub(super) fn ttl(exptime: Moment, now: Moment, bytes: &mut Vec<u8>) {
    match exptime {
        0 => bytes.extend(b" t-1"),
        // What is over wraps.
        _ => number('t', exptime.wrapping_sub(now), bytes),
    }
}

/// Checks what all meta commands have in common.
pub(super) fn check(line: &Line<'_>, too_long: &'static str) -> Result<(), &'static str> {
    match line.words.get(1) {
        None => Err("ERROR"),
        Some(key) if key.len() > KEY => Err(BAD_FORMAT),
        Some(_) if line.words.len() > WORDS => Err(too_long),
        Some(_) => Ok(()),
    }
}
