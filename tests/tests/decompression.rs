//! How much memory a compressed value can take that was made to become very long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::alloc::System;
use std::io::Write as _;

use memcached2_proto::values::{Compression, Dalli, PhpMemcached, PyLibmc, SpyMemcached, Zlib, Zstd};
use memcached2_proto::{Bytes, Error, FromValue, Value};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GIB: usize = 1 << 30;

/// `length` zeros, compressed by zlib: a thousandth of that.
fn zlib_of_zeros(length: usize) -> Bytes {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = [0; 1 << 16];
    for _ in 0..length / zeros.len() {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap().into()
}

/// The same by gzip.
fn gzip_of_zeros(length: usize) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = [0; 1 << 16];
    for _ in 0..length / zeros.len() {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap().into()
}

/// As PHP stores it: the length first.
fn of_php(says: usize, compressed: &[u8]) -> Bytes {
    [&(says as u32).to_le_bytes()[..], compressed].concat().into()
}

/// Some zeros by fastlz, and `count` references to them, each of 15 bytes that make 3069.
fn fastlz_of_zeros(count: usize) -> Vec<u8> {
    let reference = [&[0xe0][..], &[0xff; 12], &[0, 0]].concat();
    [&[0x20, 0][..], &reference.repeat(count)].concat()
}

/// A frame of zstd with as many zeros as `blocks` of 128 KiB have, each of four bytes (RFC 8878, `RLE_Block`), which says that it has
/// `says`, or that it is a stream.
fn zstd_of_zeros(blocks: u32, says: Option<u64>) -> Bytes {
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    match says {
        // One segment, whose length has eight bytes.
        Some(length) => {
            frame.push(0b1110_0000);
            frame.extend(length.to_le_bytes());
        }
        // A window of 1 MiB.
        None => frame.extend([0, 10 << 3]),
    }
    for block in 1..=blocks {
        let header = u32::from(block == blocks) | 1 << 1 | (128 << 10) << 3;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame.into()
}

/// What reading says, and how many bytes of memory it has allocated in all.
fn read<T: FromValue>(data: &Bytes, flags: u32) -> (Result<T, Error>, usize) {
    let value = Value::new(data.clone(), flags.into());
    let region = Region::new(ALLOCATOR);
    let read = T::from_value(value);
    (read, region.change().bytes_allocated)
}

#[test]
fn a_short_value_that_becomes_very_long_is_refused_with_little_memory() {
    let zlib = zlib_of_zeros(64 << 20);
    let all = (GIB >> 17) as u32;
    let limit = Compression::MAX as u64;
    let (zlib_flag, zstd_flag) = (Compression::Zlib.flag(), Compression::Zstd.flag());
    for (what, (error, allocated)) in [
        ("64 MiB by zlib", error_of(read::<Zlib<Bytes>>(&zlib, zlib_flag))),
        ("1 GiB by zstd", error_of(read::<Zstd<Bytes>>(&zstd_of_zeros(all, Some(GIB as u64)), zstd_flag))),
        ("more than it says", error_of(read::<Zstd<Bytes>>(&zstd_of_zeros(all, Some(1000)), zstd_flag))),
        (
            "one byte more than is accepted",
            error_of(read::<Zstd<Bytes>>(&zstd_of_zeros(129, Some(limit + 1)), zstd_flag)),
        ),
        ("a stream", error_of(read::<Zstd<Bytes>>(&zstd_of_zeros(all, None), zstd_flag))),
        (
            "1 KiB that says it has 2^64 bytes",
            error_of(read::<Zstd<Bytes>>(&zstd_of_zeros(256, Some(u64::MAX)), zstd_flag)),
        ),
    ] {
        assert!(allocated < 2 << 20, "{what}: {allocated} bytes");
        assert!(matches!(error, Error::Value { .. }), "{what}: {error:?}");
    }
    // As other clients store them.
    let gzip = gzip_of_zeros(64 << 20);
    let frame = zstd_of_zeros(all, Some(GIB as u64));
    let fastlz = fastlz_of_zeros(10_000);
    for (what, (error, allocated)) in [
        ("python", error_of(read::<PyLibmc<Vec<u8>>>(&zlib, 8))),
        ("spymemcached", error_of(read::<SpyMemcached<Vec<u8>>>(&gzip, 0x802))),
        ("Dalli, zlib", error_of(read::<Dalli<Vec<u8>>>(&zlib, 2))),
        ("Dalli, gzip", error_of(read::<Dalli<Vec<u8>>>(&gzip, 2))),
        ("PHP, zlib", error_of(read::<PhpMemcached<Vec<u8>>>(&of_php(64 << 20, &zlib), 0x30))),
        ("PHP, zlib that says less", error_of(read::<PhpMemcached<Vec<u8>>>(&of_php(1000, &zlib), 0x30))),
        ("PHP, zstd", error_of(read::<PhpMemcached<Vec<u8>>>(&of_php(1000, &frame), 0x90))),
        ("PHP, fastlz", error_of(read::<PhpMemcached<Vec<u8>>>(&of_php(30_690_001, &fastlz), 0x50))),
        ("PHP, fastlz that says less", error_of(read::<PhpMemcached<Vec<u8>>>(&of_php(1000, &fastlz), 0x50))),
    ] {
        assert!(allocated < 2 << 20, "{what}: {allocated} bytes");
        assert!(matches!(error, Error::Value { .. }), "{what}: {error:?}");
    }
    let fastlz = of_php(3_069_001, &fastlz_of_zeros(1000));
    let (value, _) = read::<PhpMemcached<Vec<u8>>>(&fastlz, 0x50);
    assert_eq!(value.unwrap().0.len(), 3_069_001);
    // The frames are right: what is as long as is accepted is read.
    let (value, _) = read::<Zstd<Bytes>>(&zstd_of_zeros(128, Some(limit)), zstd_flag);
    assert_eq!(value.unwrap().0.len(), Compression::MAX);
    let (value, _) = read::<Zlib<Bytes>>(&zlib_of_zeros(Compression::MAX), zlib_flag);
    assert_eq!(value.unwrap().0.len(), Compression::MAX);
}

fn error_of<T: std::fmt::Debug>((read, allocated): (Result<T, Error>, usize)) -> (Error, usize) {
    (read.unwrap_err(), allocated)
}
