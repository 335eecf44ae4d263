//! The extension memcached of PHP.
//!
//! Read in `php_memcached.c` of php-memcached 3.3.0.

use bytes::Bytes;

use super::{Codec, Compression, Data, Error, Plain, bytes, data, integer, not_stored, text_bytes, unknown_flags};
use crate::values::inflate;

/// The lowest four bits are the type. The others, but for the 16 of the program, say how it is compressed.
const TYPES: u64 = 0xf;
const OF_THE_PROGRAM: u64 = 0xffff << 16;
const STRING: u32 = 0;
const LONG: u32 = 1;
const DOUBLE: u32 = 2;
const BOOL: u32 = 3;

const COMPRESSED: u32 = 1 << 4;
const ZLIB: u32 = 1 << 5;
const FASTLZ: u32 = 1 << 6;
const ZSTD: u32 = 1 << 7;

/// From so many bytes on it compresses a value (`memcached.compression_threshold`).
pub(super) const COMPRESSED_FROM: usize = 2000;

pub(super) fn encode(plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
    let stored = match plain {
        Plain::Bytes(bytes) => bytes,
        Plain::Text(text) => text_bytes(text),
        Plain::Int(int) => match i64::try_from(int) {
            Ok(long) => return Ok(Data::from(long.to_string()).with_flags(LONG)),
            Err(_) => return Err(not_stored(Codec::PhpMemcached, &plain)),
        },
        Plain::Int32(int) => return Ok(Data::from(int.to_string()).with_flags(LONG)),
        Plain::Float(number) => return Ok(Data::from(double(number)).with_flags(DOUBLE)),
        Plain::Float32(number) => return Ok(Data::from(double(number.into())).with_flags(DOUBLE)),
        Plain::Bool(truth) => return Ok(Data::from(if truth { "1" } else { "" }).with_flags(BOOL)),
    };
    if let (true, Ok(length)) = (stored.len() >= compressed_from, u32::try_from(stored.len())) {
        let compressed = inflate::zlib(&stored).map_err(Error::value)?;
        // `memcached.compression_factor` is 1.3.
        if stored.len() / 13 > compressed.len() / 10 {
            let with_length = [&length.to_le_bytes()[..], &compressed].concat();
            return Ok(Data::from(with_length).with_flags(STRING | COMPRESSED | ZLIB));
        }
    }
    Ok(data(stored, STRING))
}

/// As PHP reads it.
fn double(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        _ if number.is_infinite() && number > 0.0 => "Infinity".to_owned(),
        _ if number.is_infinite() => "-Infinity".to_owned(),
        _ => format!("{number:e}"),
    }
}

pub(super) fn decode(stored: Bytes, flags: u64) -> Result<Plain<'static>, String> {
    let how = u32::try_from(flags & !TYPES & !OF_THE_PROGRAM).map_err(|_| unknown_flags("PHP"))?;
    let stored = match how {
        0 => stored,
        _ => inflated(&stored, how)?.into(),
    };
    let serialized = |by| Err(format!("it was serialized by {by}, and is never read here"));
    match (flags & TYPES) as u32 {
        STRING => Ok(bytes(stored)),
        LONG => integer(&stored),
        DOUBLE => match std::str::from_utf8(&stored).unwrap_or_default() {
            "Infinity" => Ok(Plain::Float(f64::INFINITY)),
            "-Infinity" => Ok(Plain::Float(f64::NEG_INFINITY)),
            text => text.parse().map(Plain::Float).map_err(|error| format!("it is no float: {error}")),
        },
        BOOL => Ok(Plain::Bool(stored == "1")),
        4 => serialized("PHP, which may run code when it is read"),
        5 => serialized("igbinary of PHP, which may run code when it is read"),
        6 => serialized("PHP as JSON"),
        7 => serialized("msgpack of PHP, which may run code when it is read"),
        _ => Err(unknown_flags("PHP")),
    }
}

/// What was compressed: before it stands the length that it had.
fn inflated(stored: &[u8], how: u32) -> Result<Vec<u8>, String> {
    let (length, compressed) = stored.split_first_chunk().ok_or("it is compressed, and has no length")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > Compression::MAX {
        return Err(inflate::too_long(Compression::MAX));
    }
    let plain = match how {
        _ if how == COMPRESSED | ZLIB => inflate::from_zlib(compressed, Compression::MAX)?,
        _ if how == COMPRESSED | FASTLZ => fastlz(compressed, length)
            .ok_or_else(|| "it cannot be decompressed by fastlz, or is too long".to_owned())?,
        #[cfg(feature = "zstd")]
        _ if how == COMPRESSED | ZSTD => {
            crate::values::compressed::zstandard::decompress(compressed, Compression::MAX)?
        }
        _ if how == COMPRESSED | ZSTD => {
            return Err("it is compressed by zstd, which the feature zstd reads".to_owned());
        }
        _ => return Err(unknown_flags("PHP")),
    };
    match plain.len() == length {
        true => Ok(plain),
        false => Err(format!("decompressed it has {} bytes, and says {length}", plain.len())),
    }
}

/// Decompresses fastlz to at most `max` bytes. Level 1 is described in <https://github.com/ariya/FastLZ>, "Block Format"; that of level 2 is
/// as php-memcached 3.2.0 writes it, for values from 64 KiB on.
fn fastlz(compressed: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut input = compressed.iter().copied();
    let mut plain = Vec::new();
    let first = input.next()?;
    let level = first >> 5;
    let mut control = first & 31;
    if level > 1 {
        return None;
    }
    loop {
        if control < 32 {
            for _ in 0..=control {
                plain.push(input.next()?);
            }
        } else {
            let mut length = usize::from(control >> 5) + 2;
            let mut distance = usize::from(control & 31) << 8;
            if control >> 5 == 7 {
                loop {
                    let more = input.next()?;
                    length += usize::from(more);
                    if level == 0 || more != 255 {
                        break;
                    }
                }
            }
            let low = input.next()?;
            distance += usize::from(low);
            if level == 1 && low == 255 && control & 31 == 31 {
                distance = 8191 + (usize::from(input.next()?) << 8) + usize::from(input.next()?);
            }
            let from = plain.len().checked_sub(distance + 1)?;
            if plain.len() + length > max {
                return None;
            }
            for at in from..from + length {
                plain.push(plain[at]);
            }
        }
        if plain.len() > max {
            return None;
        }
        match input.next() {
            Some(next) => control = next,
            None => return Some(plain),
        }
    }
}
