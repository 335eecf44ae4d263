//! spymemcached, a client of Java.
//!
//! Read in `SerializingTranscoder`, `BaseSerializingTranscoder` and `TranscoderUtils` of spymemcached
//! (github.com/dustin/java-memcached-client).

use bytes::Bytes;

use super::{Codec, Compression, Data, Error, Plain, bytes, data, not_stored, text, text_bytes, unknown_flags};
use crate::values::inflate;

const SERIALIZED: u32 = 1;
const COMPRESSED: u32 = 1 << 1;
const BOOLEAN: u32 = 1 << 8;
const INT: u32 = 2 << 8;
const LONG: u32 = 3 << 8;
const DATE: u32 = 4 << 8;
const BYTE: u32 = 5 << 8;
const FLOAT: u32 = 6 << 8;
const DOUBLE: u32 = 7 << 8;
const BYTE_ARRAY: u32 = 8 << 8;

/// Of more than 16 KiB it compresses a value (`DEFAULT_COMPRESSION_THRESHOLD`).
pub(super) const COMPRESSED_FROM: usize = 16 * 1024 + 1;

pub(super) fn encode(plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
    let (stored, flags) = match plain {
        Plain::Bytes(bytes) => (bytes, BYTE_ARRAY),
        Plain::Text(text) => (text_bytes(text), 0),
        Plain::Int(int) => match i64::try_from(int) {
            Ok(long) => (packed(&long.to_be_bytes()), LONG),
            Err(_) => return Err(not_stored(Codec::SpyMemcached, &plain)),
        },
        Plain::Int32(int) => (packed(&int.to_be_bytes()), INT),
        Plain::Float(number) => (packed(&number.to_be_bytes()), DOUBLE),
        Plain::Float32(number) => (packed(&number.to_be_bytes()), FLOAT),
        Plain::Bool(truth) => (vec![if truth { b'1' } else { b'0' }].into(), BOOLEAN),
    };
    if stored.len() >= compressed_from {
        let compressed = inflate::gzip(&stored).map_err(Error::value)?;
        if compressed.len() < stored.len() {
            return Ok(Data::from(compressed).with_flags(flags | COMPRESSED));
        }
    }
    Ok(data(stored, flags))
}

/// The bytes of a number without the zeros that it begins with.
fn packed(number: &[u8]) -> std::borrow::Cow<'static, [u8]> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec().into()
}

fn unpacked<const N: usize>(stored: &[u8]) -> Result<[u8; N], String> {
    let zeros = N.checked_sub(stored.len()).ok_or_else(|| format!("a number of its type has at most {N} bytes"))?;
    let mut number = [0; N];
    number[zeros..].copy_from_slice(stored);
    Ok(number)
}

pub(super) fn decode(stored: Bytes, flags: u64) -> Result<Plain<'static>, String> {
    let flags = u32::try_from(flags).map_err(|_| unknown_flags("spymemcached"))?;
    let stored = match flags & COMPRESSED {
        0 => stored,
        _ => inflate::from_gzip(&stored, Compression::MAX)?.into(),
    };
    Ok(match flags & !COMPRESSED {
        0 => text(stored)?,
        SERIALIZED => {
            return Err(
                "it was serialized by Java, which may run code when it is read, and so is never read here".to_owned()
            );
        }
        BOOLEAN => Plain::Bool(stored == "1"),
        INT => Plain::Int32(i32::from_be_bytes(unpacked(&stored)?)),
        LONG | DATE => Plain::Int(i64::from_be_bytes(unpacked(&stored)?).into()),
        BYTE => Plain::Int32(i8::from_be_bytes(unpacked(&stored)?).into()),
        FLOAT => Plain::Float32(f32::from_be_bytes(unpacked(&stored)?)),
        DOUBLE => Plain::Float(f64::from_be_bytes(unpacked(&stored)?)),
        BYTE_ARRAY => bytes(stored),
        _ => return Err(unknown_flags("spymemcached")),
    })
}
