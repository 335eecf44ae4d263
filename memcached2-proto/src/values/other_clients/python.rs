//! python-memcached, pymemcache and pylibmc: they have the same flags.
//!
//! Read in `memcache.py` of python-memcached 1.62, `serde.py` of pymemcache 4.0.0, and `_pylibmcmodule.c` of pylibmc 1.6.3.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Codec, Compression, Data, Error, Plain, bytes, data, integer, not_stored, text, text_bytes, unknown_flags,
};
use crate::values::inflate;

const PICKLE: u32 = 1;
const INTEGER: u32 = 1 << 1;
const LONG: u32 = 1 << 2;
const ZLIB: u32 = 1 << 3;
const TEXT: u32 = 1 << 4;

/// The pickles of truth values, which are always these: of protocol 0 and 1, and of the later ones without their number.
const TRUE: [&[u8]; 2] = [b"I01\n.", b"\x88."];
const FALSE: [&[u8]; 2] = [b"I00\n.", b"\x89."];

/// They do integers and truth values in different ways. An integer is not compressed, since servers count text alone.
pub(super) fn encode(client: Codec, plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
    let is_pylibmc = client == Codec::PyLibmc;
    let number = |digits: String| {
        let flags = if is_pylibmc { LONG } else { INTEGER };
        Data::from(digits).with_flags(flags)
    };
    let data = match plain {
        Plain::Bytes(bytes) => data(bytes, 0),
        Plain::Text(text) => data(text_bytes(text), TEXT),
        Plain::Int(int) => return Ok(number(int.to_string())),
        Plain::Int32(int) => return Ok(number(int.to_string())),
        Plain::Bool(truth) if is_pylibmc => Data::from(if truth { "1" } else { "0" }).with_flags(INTEGER),
        Plain::Bool(truth) => data(Cow::Borrowed(if truth { TRUE[0] } else { FALSE[0] }), PICKLE),
        Plain::Float(_) | Plain::Float32(_) => return Err(not_stored(client, &plain)),
    };
    Compression::Zlib.compress(data, compressed_from)
}

pub(super) fn decode(stored: Bytes, flags: u64) -> Result<Plain<'static>, String> {
    let is_compressed = flags & u64::from(ZLIB) != 0;
    let kind = u32::try_from(flags & !u64::from(ZLIB)).map_err(|_| unknown_flags("Python"))?;
    let stored = if is_compressed { inflate::from_zlib(&stored, Compression::MAX)?.into() } else { stored };
    match kind {
        0 => Ok(bytes(stored)),
        TEXT => text(stored),
        INTEGER | LONG => integer(&stored),
        PICKLE => truth(&stored).ok_or_else(|| {
            "it is a pickle of Python, which may run code when it is read, and so is never read here".to_owned()
        }),
        _ => Err(unknown_flags("none of python-memcached, pymemcache and pylibmc")),
    }
}

fn truth(pickle: &[u8]) -> Option<Plain<'static>> {
    let opcodes = match pickle {
        [0x80, 2..=5, opcodes @ ..] => opcodes,
        opcodes => opcodes,
    };
    let is_one_of = |pickles: [&[u8]; 2]| pickles.contains(&opcodes);
    (is_one_of(TRUE) || is_one_of(FALSE)).then(|| Plain::Bool(is_one_of(TRUE)))
}
