//! DEFLATE in both directions, with a limit for what comes out.

use std::io::{self, Read, Write as _};

use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
#[cfg(any(feature = "other-clients", test))]
use flate2::{bufread::GzDecoder, write::GzEncoder};

/// So many bytes are kept as they come out. Of more, the length is found before they get memory.
const AT_ONCE: usize = 512 * 1024;

pub(super) fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(any(feature = "other-clients", test))]
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// What was compressed by zlib, if it has at most `max` bytes.
pub(super) fn from_zlib(bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
    limited(|| ZlibDecoder::new(bytes), |decoder| decoder.get_ref().len(), max)
}

/// What was compressed by gzip, if it has at most `max` bytes.
#[cfg(any(feature = "other-clients", test))]
pub(super) fn from_gzip(bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
    limited(|| GzDecoder::new(bytes), |decoder| decoder.get_ref().len(), max)
}

/// What a decoder yields, if it has at most `max` bytes, and takes less memory than 1 MiB if it has more.
fn limited<R: Read>(open: impl Fn() -> R, unread: impl Fn(&R) -> usize, max: usize) -> Result<Vec<u8>, String> {
    let mut decoder = open();
    let mut inflated = Vec::new();
    let kept = max.min(AT_ONCE);
    (&mut decoder).take(kept as u64 + 1).read_to_end(&mut inflated).map_err(broken)?;
    if inflated.len() > kept {
        let length = inflated.len() + count(&mut decoder, max - kept)?;
        if length > max {
            return Err(too_long(max));
        }
        inflated.clear();
        inflated.reserve_exact(length);
        open().read_to_end(&mut inflated).map_err(broken)?;
    }
    match unread(&decoder) {
        0 => Ok(inflated),
        rest => Err(format!("{rest} bytes follow what was compressed")),
    }
}

/// How many bytes come, counted until they are more than `max`.
fn count(reader: &mut impl Read, max: usize) -> Result<usize, String> {
    let (mut scratch, mut length) = ([0; 8192], 0);
    while length <= max {
        match reader.read(&mut scratch).map_err(broken)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

pub(super) fn too_long(max: usize) -> String {
    format!("decompressed it has more than the {max} bytes that are accepted")
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn broken(error: io::Error) -> String {
    format!("it cannot be decompressed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_comes_back_up_to_the_limit() {
        let all: Vec<u8> = (0_u32..300_000).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for length in [0, 1, 1000, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, AT_ONCE + 8192, 2 * AT_ONCE, all.len()] {
            let plain = &all[..length];
            for (compressed, inflate) in [
                (zlib(plain).unwrap(), from_zlib as fn(&[u8], usize) -> Result<Vec<u8>, String>),
                (gzip(plain).unwrap(), from_gzip),
            ] {
                assert!(inflate(&compressed, length).unwrap() == plain, "{length}");
                assert!(inflate(&compressed, usize::MAX).unwrap() == plain, "{length}");
                if length > 0 {
                    assert_eq!(inflate(&compressed, length - 1), Err(too_long(length - 1)));
                    assert_eq!(inflate(&compressed, 0), Err(too_long(0)));
                }
            }
        }
    }

    #[test]
    fn what_is_cut_damaged_or_followed_by_bytes_is_refused() {
        let plain = b"some text, and again some text".repeat(50);
        for (compressed, inflate) in [
            (zlib(&plain).unwrap(), from_zlib as fn(&[u8], usize) -> Result<Vec<u8>, String>),
            (gzip(&plain).unwrap(), from_gzip),
        ] {
            for cut in 0..compressed.len() {
                let error = inflate(&compressed[..cut], plain.len()).unwrap_err();
                assert!(error.starts_with("it cannot be decompressed: "), "{cut}: {error}");
            }
            let mut damaged = compressed.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(inflate(&damaged, plain.len()).is_err());
            let followed = [&compressed[..], b"x"].concat();
            assert_eq!(inflate(&followed, plain.len()), Err("1 bytes follow what was compressed".to_owned()));
            assert!(inflate(b"", 9).is_err() && inflate(b"plain text", 9).is_err());
        }
    }
}
