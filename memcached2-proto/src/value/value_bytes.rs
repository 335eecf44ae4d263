//! The bytes of a received value: small ones within the value itself, which takes no memory of its own.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// The bytes of a value.
#[derive(Clone)]
pub(crate) enum ValueBytes {
    /// The first of these, as many as the number says.
    Inline(u8, [u8; Self::INLINE]),
    Shared(Bytes),
}

impl ValueBytes {
    /// As many as fit beside their number into the room of [`Bytes`], since an address in that is never null.
    pub(crate) const INLINE: usize = 3 * size_of::<usize>() - 1;

    #[inline]
    pub(crate) fn copy_from_slice(bytes: &[u8]) -> Self {
        if bytes.len() > Self::INLINE {
            return Self::Shared(Bytes::copy_from_slice(bytes));
        }
        let mut inline = [0; Self::INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self::Inline(bytes.len() as u8, inline)
    }

    /// The bytes as they lie, if they are not within the value; else a copy.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Inline(..) => Bytes::copy_from_slice(&self),
            Self::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Inline(..) => self.to_vec(),
            Self::Shared(bytes) => bytes.into(),
        }
    }

    /// The bytes without the first `count`, of which there are as many.
    pub(crate) fn without_first(self, count: usize) -> Self {
        match self {
            Self::Inline(..) => Self::copy_from_slice(&self[count..]),
            Self::Shared(bytes) => Self::Shared(bytes.slice(count..)),
        }
    }
}

impl Deref for ValueBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for ValueBytes {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Vec<u8>> for ValueBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(bytes.into())
    }
}

impl Default for ValueBytes {
    fn default() -> Self {
        Self::Shared(Bytes::new())
    }
}

impl PartialEq for ValueBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ValueBytes {}

impl fmt::Debug for ValueBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_within_a_value_take_no_more_room_than_bytes_that_are_shared() {
        assert_eq!(size_of::<ValueBytes>(), size_of::<Bytes>());
    }

    #[test]
    fn bytes_of_any_length_are_the_same_in_place_and_shared() {
        for length in 0..=2 * ValueBytes::INLINE {
            let bytes: Vec<u8> = (0..).take(length).collect();
            let shared = ValueBytes::from(bytes.clone());
            let copied = ValueBytes::copy_from_slice(&bytes);
            assert_eq!(matches!(copied, ValueBytes::Inline(..)), length <= ValueBytes::INLINE, "{length}");
            assert_eq!(copied, shared);
            assert_eq!(format!("{copied:?}"), format!("{shared:?}"));
            for form in [copied, shared] {
                assert_eq!(*form, *bytes);
                assert_eq!(form.clone().into_bytes(), bytes);
                assert_eq!(form.clone().into_vec(), bytes);
                for count in 0..=length {
                    assert_eq!(*form.clone().without_first(count), bytes[count..]);
                }
            }
        }
    }
}
