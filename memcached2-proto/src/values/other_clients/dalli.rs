//! Dalli, the client of Ruby.
//!
//! Read in `flags.rb`, `value_serializer.rb` and `value_compressor.rb` of Dalli 5.0.6.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Codec, Compression, Data, Error, Plain, bytes, data, not_stored, text, text_bytes, unknown_flags};
use crate::values::inflate;

const SERIALIZED: u32 = 1;
const COMPRESSED: u32 = 1 << 1;
const UTF8: u32 = 1 << 2;

/// From so many bytes on Dalli compresses a value (`compression_min_size`).
pub(super) const COMPRESSED_FROM: usize = 4 * 1024;

/// The version of the format that Marshal has, 4.8, which each value begins with.
const MARSHAL: &[u8] = b"\x04\x08";
const TRUE: &[u8] = b"\x04\x08T";
const FALSE: &[u8] = b"\x04\x08F";

/// An integer is not compressed, since servers count text alone.
pub(super) fn encode(plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
    let (stored, flags) = match plain {
        Plain::Bytes(bytes) => (bytes, 0),
        Plain::Text(text) => (text_bytes(text), UTF8),
        Plain::Int(int) => return Ok(int.to_string().into()),
        Plain::Int32(int) => return Ok(int.to_string().into()),
        Plain::Bool(truth) => (Cow::Borrowed(if truth { TRUE } else { FALSE }), SERIALIZED),
        Plain::Float(_) | Plain::Float32(_) => return Err(not_stored(Codec::Dalli, &plain)),
    };
    if stored.len() >= compressed_from {
        let compressed = inflate::zlib(&stored).map_err(Error::value)?;
        if compressed.len() < stored.len() {
            return Ok(Data::from(compressed).with_flags(flags | COMPRESSED));
        }
    }
    Ok(data(stored, flags))
}

pub(super) fn decode(stored: Bytes, flags: u64) -> Result<Plain<'static>, String> {
    let flags = u32::try_from(flags).map_err(|_| unknown_flags("Dalli"))?;
    let stored = match &stored[..] {
        _ if flags & COMPRESSED == 0 => stored,
        // By `GzipCompressor`.
        [0x1f, 0x8b, ..] => inflate::from_gzip(&stored, Compression::MAX)?.into(),
        _ => inflate::from_zlib(&stored, Compression::MAX)?.into(),
    };
    match flags & !COMPRESSED {
        0 => Ok(bytes(stored)),
        UTF8 => text(stored),
        SERIALIZED => match &stored[..] {
            TRUE => Ok(Plain::Bool(true)),
            FALSE => Ok(Plain::Bool(false)),
            marshalled if marshalled.starts_with(MARSHAL) => Err(
                "it was serialized by Marshal of Ruby, which may run code when it is read, and so is never read here"
                    .to_owned(),
            ),
            _ => {
                Err("it was serialized by the serializer that the program has given to Dalli, such as JSON".to_owned())
            }
        },
        _ => Err(unknown_flags("Dalli")),
    }
}
