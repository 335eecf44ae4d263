//! The key of an item: checked once, here, before a byte of a request is written.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::error::{Error, KeyProblem};

/// A key that any memcached accepts: 1 to 250 bytes, none of them a blank, a control character or DEL.
///
/// A key with a blank or a line end in it would be read by the server as further words, or as further commands. This
/// is the only way to a key, so no request can carry one.
///
/// Bytes from 0x80 up are allowed and stay as they are (`doc/protocol.txt` of memcached 1.6.45, "Keys").
///
/// ```
/// use memcached2_proto::Key;
///
/// assert!(Key::new("session:42").is_ok());
/// assert!(Key::new("two words").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'k>(&'k [u8]);

impl<'k> Key<'k> {
    /// The longest key in bytes that every memcached accepts.
    pub const MAX: usize = 250;

    /// Checks `bytes` and takes them as a key.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when they are empty, longer than [`Key::MAX`], or hold a byte that no key may hold.
    #[inline]
    pub fn new<B: AsRef<[u8]> + ?Sized>(bytes: &'k B) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() || bytes.len() > Self::MAX || has_forbidden(bytes) {
            return Err(refuse(bytes));
        }
        Ok(Self(bytes))
    }

    /// The key with `prefix` before it, which was checked, put together in `room`.
    pub(crate) fn prefixed<'r>(self, prefix: &[u8], room: &'r mut [u8; Key::MAX]) -> Result<Key<'r>, Error> {
        let length = prefix.len() + self.0.len();
        match room.get_mut(..length) {
            None => Err(refuse(&[prefix, self.0].concat())),
            Some(room) => {
                let (front, back) = room.split_at_mut(prefix.len());
                front.copy_from_slice(prefix);
                back.copy_from_slice(self.0);
                Ok(Key(room))
            }
        }
    }

    /// The bytes of the key.
    #[must_use]
    #[inline]
    pub fn as_bytes(self) -> &'k [u8] {
        self.0
    }
}

/// What decides which server a request goes to: mostly its [`Key`].
///
/// A [meta command](crate::command::meta) may have a key of any bytes. It is sent in base64, and routed by the bytes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingKey<'k>(Key<'k>);

impl<'k> RoutingKey<'k> {
    /// Routes by the key of a [meta command](crate::command::meta), which may be of any bytes: it is sent in base64 if it is no [`Key`],
    /// and belongs to the server of its bytes.
    ///
    /// ```
    /// use memcached2_proto::Router;
    /// use memcached2_proto::command::RoutingKey;
    ///
    /// let router = Router::parse(["cache1", "cache2", "cache3"])?;
    /// let server = router.route(RoutingKey::new("two words")?)?;
    /// assert!(router.server(server).is_some());
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes, or longer than 186 with a blank or control byte in it.
    pub fn new<B: AsRef<[u8]> + ?Sized>(bytes: &'k B) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        WireKey::new(bytes).map(|_| Self::of_bytes(bytes))
    }

    /// Routes by these bytes, which are written nowhere.
    pub(crate) fn of_bytes(bytes: &'k [u8]) -> Self {
        Self(Key(bytes))
    }

    /// The bytes, as if they were a key: to be hashed, and never to be written.
    #[inline]
    pub(crate) fn unchecked(self) -> Key<'k> {
        self.0
    }
}

impl<'k> From<Key<'k>> for RoutingKey<'k> {
    #[inline]
    fn from(key: Key<'k>) -> Self {
        Self(key)
    }
}

/// A key of any bytes, as a meta command writes it: as it is, or in base64 if another command could not write it.
#[derive(Debug, Clone)]
pub(crate) struct WireKey<'k> {
    bytes: &'k [u8],
    base64: Option<Box<str>>,
}

impl<'k> WireKey<'k> {
    /// The most bytes of a key whose base64 still is a key.
    const MAX_ENCODED: usize = Key::MAX / 4 * 3;

    pub(crate) fn new(bytes: &'k [u8]) -> Result<Self, Error> {
        match Key::new(bytes) {
            Ok(key) => Ok(key.into()),
            Err(_) if has_forbidden(bytes) && bytes.len() <= Key::MAX => Self::encoded(bytes),
            Err(error) => Err(error),
        }
    }

    fn encoded(bytes: &'k [u8]) -> Result<Self, Error> {
        Ok(Self { bytes, base64: Some(Self::encode(bytes)?.into()) })
    }

    /// The base64 of a key, with its prefix if it has one.
    pub(crate) fn encode(bytes: &[u8]) -> Result<String, Error> {
        match bytes.len() {
            ..=Self::MAX_ENCODED => Ok(BASE64_STANDARD.encode(bytes)),
            length => Err(Error::invalid_key(bytes, KeyProblem::TooLongEncoded { length })),
        }
    }

    /// The bytes of the key.
    pub(crate) fn bytes(&self) -> &'k [u8] {
        self.bytes
    }

    /// Whether it is written in base64.
    pub(crate) fn is_encoded(&self) -> bool {
        self.base64.is_some()
    }

    /// What is written without a prefix: any request may hold it.
    pub(crate) fn key(&self) -> Key<'_> {
        Key(self.base64.as_ref().map_or(self.bytes, |text| text.as_bytes()))
    }

    /// What decides the server.
    pub(crate) fn routing(&self) -> RoutingKey<'_> {
        RoutingKey::of_bytes(self.bytes)
    }
}

impl<'k> From<Key<'k>> for WireKey<'k> {
    fn from(key: Key<'k>) -> Self {
        Self { bytes: key.0, base64: None }
    }
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.0.escape_ascii().to_string())
    }
}

/// Whether any byte is forbidden: eight at a time, for this is done for every key. The last eight may have been among those before.
#[inline]
fn has_forbidden(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else { return bytes.iter().any(|byte| is_forbidden(*byte)) };
    let (mut allowed, mut rest) = (allowed_of(last), &bytes[..bytes.len() - 1]);
    while let Some((word, after)) = rest.split_first_chunk() {
        (allowed, rest) = (allowed & allowed_of(word), after);
    }
    allowed & HIGH != HIGH
}

/// The highest bits of eight bytes.
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// The highest bit of a byte is set in it if the byte had it, or is above the blank and below DEL.
#[inline]
fn allowed_of(word: &[u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(*word);
    let low = word & !HIGH;
    let (above_blank, is_del) = (low + ONES * u64::from(0x7f - b' '), low + ONES);
    word | (above_blank & !is_del)
}

#[inline]
fn is_forbidden(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

#[cold]
fn refuse(bytes: &[u8]) -> Error {
    let forbidden = bytes.iter().enumerate().find(|(_, byte)| is_forbidden(**byte));
    let problem = match forbidden {
        _ if bytes.is_empty() => KeyProblem::Empty,
        _ if bytes.len() > Key::MAX => KeyProblem::TooLong { length: bytes.len() },
        Some((position, &byte)) => KeyProblem::Forbidden { byte, position },
        None => KeyProblem::Empty,
    };
    // Enough to recognise it by: the key may be a whole document passed by mistake.
    let shown = &bytes[..bytes.len().min(Key::MAX)];
    Error::invalid_key(shown, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> Option<KeyProblem> {
        match Key::new(bytes) {
            Ok(_) => None,
            Err(Error::Key { problem, .. }) => Some(problem),
            Err(other) => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn a_key_has_1_to_250_bytes() {
        assert_eq!(problem(b""), Some(KeyProblem::Empty));
        assert_eq!(problem(b"a"), None);
        assert_eq!(problem(&[b'k'; 250]), None);
        assert_eq!(problem(&[b'k'; 251]), Some(KeyProblem::TooLong { length: 251 }));
    }

    #[test]
    fn a_key_of_any_bytes_is_written_in_base64_only_if_it_has_to_be() {
        let written = |bytes: &[u8]| WireKey::new(bytes).map(|key| key.key().as_bytes().to_vec());
        assert_eq!(written(b"a"), Ok(b"a".to_vec()));
        assert_eq!(written(&[b'k'; 250]), Ok(vec![b'k'; 250]));
        assert_eq!(written(b"\x01\x02"), Ok(b"AQI=".to_vec()));
        assert_eq!(written(&[b' '; 186]).map(|key| key.len()), Ok(248));
        for (bytes, expected) in [
            (&[][..], KeyProblem::Empty),
            (&[b'k'; 251][..], KeyProblem::TooLong { length: 251 }),
            (&[b' '; 251][..], KeyProblem::TooLong { length: 251 }),
            (&[b' '; 187][..], KeyProblem::TooLongEncoded { length: 187 }),
        ] {
            assert!(
                matches!(WireKey::new(bytes), Err(Error::Key { problem, .. }) if problem == expected),
                "{expected:?}"
            );
        }
    }

    #[test]
    fn a_key_holds_no_byte_that_ends_a_word_or_a_line() {
        for byte in 0..=255u8 {
            let allowed = byte > 0x20 && byte != 0x7f;
            let expected = (!allowed).then_some(KeyProblem::Forbidden { byte, position: 1 });
            assert_eq!(problem(&[b'a', byte, b'b']), expected, "byte {byte:#x}");
            for (length, position) in (1..=20).flat_map(|length| (0..length).map(move |at| (length, at))) {
                let mut key = *b"aaaaaaaa\xff\xff\x80\x80bbbb~~~~";
                key[position] = byte;
                let expected = (!allowed).then_some(KeyProblem::Forbidden { byte, position });
                assert_eq!(problem(&key[..length]), expected, "byte {byte:#x} at {position} of {length}");
            }
        }
    }
}
