//! The flags of a meta command, in the order in which they were asked for.

use std::time::Duration;

use smallvec::SmallVec;

use crate::error::Error;
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// What follows the letter of a flag.
#[derive(Debug, Clone)]
pub(super) enum Argument {
    None,
    Number(u64),
    Expiry(Expiry),
    Recache(Duration),
    Letter(u8),
    Text(Box<[u8]>),
}

/// Each letter once. With the key in base64 and the opaque there are at most 16 flags for an `mg`, and memcached takes 17; 16 of
/// an `ms`.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags(SmallVec<[(u8, Argument); 4]>);

/// The longest hint to a proxy: with two of them a line is below the 1024 bytes that memcached before 1.6.14 reads.
const HINT: usize = 128;

impl Flags {
    /// Asks for a flag; one that was asked for before keeps its place.
    pub(super) fn set(&mut self, letter: u8, argument: Argument) {
        match self.0.iter_mut().find(|(known, _)| *known == letter) {
            Some((_, known)) => *known = argument,
            None => self.0.push((letter, argument)),
        }
    }

    pub(super) fn get(&self, letter: u8) -> Option<&Argument> {
        self.0.iter().find(|(known, _)| *known == letter).map(|(_, argument)| argument)
    }

    pub(super) fn has(&self, letter: u8) -> bool {
        self.get(letter).is_some()
    }

    /// Appends them but one, a blank before each.
    pub(super) fn put(&self, without: Option<u8>, now: Now, out: &mut RequestBuffer) -> Result<(), Error> {
        for (letter, argument) in self.0.iter().filter(|(letter, _)| Some(*letter) != without) {
            out.put(&[b' ', *letter]);
            match argument {
                Argument::None => {}
                Argument::Number(number) => out.put_number(*number),
                Argument::Expiry(expiry) => out.put_expiry(*expiry, now)?,
                Argument::Recache(before) => out.put_recache(*before, now)?,
                Argument::Letter(letter) => out.put(&[*letter]),
                Argument::Text(hint) => {
                    if hint.is_empty() || hint.len() > HINT || hint.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
                        return Err(Error::argument(
                            "a hint to a proxy has 1 to 128 bytes without blanks and control bytes",
                        ));
                    }
                    out.put(hint);
                }
            }
        }
        Ok(())
    }
}
