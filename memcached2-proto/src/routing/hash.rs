//! From the bytes of a key to a number.

use std::fmt;

#[cfg(feature = "ketama")]
use md5::{Digest as _, Md5};

/// Turns keys into numbers, from which a [`Selector`](super::Selector) chooses servers.
///
/// The same key must always give the same number. Clients find each other's items only if they hash alike.
pub trait KeyHasher: fmt::Debug + Send + Sync {
    /// The number of a key.
    fn hash(&self, key: &[u8]) -> u32;
}

/// Gives 0 to every key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Zero;

/// The hash of the C memcache client and of python-memcached2: 15 bits from the upper half of the CRC-32, and 1 in place
/// of 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct CMemcache;

/// 15 bits from the upper half of the CRC-32: python-memcached since 1.60, and `MEMCACHED_HASH_CRC` of libmemcached.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpperCrc;

/// The whole CRC-32, as gomemcache and dalli have it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crc;

/// Jenkins's one-at-a-time, the default of libmemcached, which takes bytes for signed numbers on x86.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneAtATime;

/// The first four bytes of the MD5, the lowest first: `MEMCACHED_HASH_MD5` of libmemcached, and every ketama.
#[cfg(feature = "ketama")]
#[derive(Debug, Clone, Copy, Default)]
pub struct KetamaMd5;

impl KeyHasher for Zero {
    fn hash(&self, _: &[u8]) -> u32 {
        0
    }
}

impl KeyHasher for CMemcache {
    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        UpperCrc.hash(key).max(1)
    }
}

impl KeyHasher for UpperCrc {
    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        (crc32fast::hash(key) >> 16) & 0x7fff
    }
}

impl KeyHasher for Crc {
    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        crc32fast::hash(key)
    }
}

impl KeyHasher for OneAtATime {
    fn hash(&self, key: &[u8]) -> u32 {
        let mixed = key.iter().fold(0_u32, |hash, byte| {
            let hash = hash.wrapping_add(i32::from(i8::from_ne_bytes([*byte])) as u32);
            let hash = hash.wrapping_add(hash << 10);
            hash ^ (hash >> 6)
        });
        let mixed = mixed.wrapping_add(mixed << 3);
        let mixed = mixed ^ (mixed >> 11);
        mixed.wrapping_add(mixed << 15)
    }
}

#[cfg(feature = "ketama")]
impl KeyHasher for KetamaMd5 {
    fn hash(&self, key: &[u8]) -> u32 {
        quarters(key)[0]
    }
}

/// The four numbers that an MD5 holds, each with its lowest byte first.
#[cfg(feature = "ketama")]
pub(super) fn quarters(text: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(text).into();
    let at = |from: usize| u32::from_le_bytes([digest[from], digest[from + 1], digest[from + 2], digest[from + 3]]);
    [at(0), at(4), at(8), at(12)]
}

/// A whole MD5 as one number.
#[cfg(feature = "ketama")]
pub(super) fn md5(text: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(text).into())
}

/// The first eight hexadecimal digits of a SHA-1.
#[cfg(feature = "dalli")]
pub(super) fn sha1(text: &[u8]) -> u32 {
    let digest: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(text).into();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// XXH3 with 64 bits and seed 0.
#[cfg(feature = "jump")]
pub(super) fn xxh3(text: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(text)
}

/// Murmur 3 with 32 bits and seed 0, over text that comes in pieces.
pub(super) fn murmur3<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |word: u32| word.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (mut hash, mut word, mut length) = (0_u32, 0_u32, 0_u32);
    for byte in pieces.into_iter().flatten() {
        word |= u32::from(*byte) << (8 * (length % 4));
        length = length.wrapping_add(1);
        if length % 4 == 0 {
            hash = (hash ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            word = 0;
        }
    }
    hash ^= scramble(word);
    hash ^= length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Calls a function with a key and a number before or after it, without an allocation unless the key is too long.
pub(super) fn numbered<T>(key: &[u8], number: u64, behind: bool, act: impl FnOnce(&[u8]) -> T) -> T {
    const ROOM: usize = 320;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    let (first, second) = if behind { (key, digits) } else { (digits, key) };
    let mut room = [0; ROOM];
    let length = first.len() + second.len();
    match room.get_mut(..length) {
        None => act(&[first, second].concat()),
        Some(room) => {
            room[..first.len()].copy_from_slice(first);
            room[first.len()..].copy_from_slice(second);
            act(room)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_others_hash_them() {
        // Given in the documentation of python-memcached2's HasherCMemcache.
        assert_eq!((CMemcache.hash(b"x"), CMemcache.hash(b"y")), (3292, 31707));
        // The shortest key whose 15 bits are all 0.
        assert_eq!((UpperCrc.hash(b"ob"), CMemcache.hash(b"ob")), (0, 1));
        // The check value of the CRC catalogue.
        assert_eq!(Crc.hash(b"123456789"), 0xcbf4_3926);
        assert_eq!(Zero.hash(b"anything"), 0);
        // The test vectors of SMHasher.
        assert_eq!(murmur3([&b"test"[..]]), 0xba6b_d213);
        assert_eq!(murmur3([&b"te"[..], b"", b"s", b"t"]), 0xba6b_d213);
        assert_eq!(murmur3([&b"Hello, world!"[..]]), 0xc036_3e43);
        // The reference code of Bob Jenkins.
        assert_eq!((OneAtATime.hash(b"a"), OneAtATime.hash(b"")), (0xca2e_9442, 0));
    }

    #[test]
    #[cfg(feature = "routing-all")]
    fn digests_are_those_of_their_standards() {
        // RFC 1321 and FIPS 180: the digests of "abc".
        assert_eq!(md5(b"abc"), 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72);
        assert_eq!(KetamaMd5.hash(b"abc"), 0x9850_0190);
        assert_eq!(sha1(b"abc"), 0xa999_3e36);
        // The XXH3 reference.
        assert_eq!(xxh3(b""), 0x2d06_8005_38d3_94c2);
    }

    #[test]
    fn a_number_is_written_before_or_after_a_key_of_any_length() {
        let long = vec![b'k'; 1000];
        assert_eq!(numbered(b"key", 12, true, <[u8]>::to_vec), b"key12");
        assert_eq!(numbered(b"key", 12, false, <[u8]>::to_vec), b"12key");
        assert_eq!(numbered(&long, 3, true, <[u8]>::to_vec), [&long[..], b"3"].concat());
    }
}
