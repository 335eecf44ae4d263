//! What is stored: a value that came back, and data on its way out.

use bytes::Bytes;

/// A stored item as the server returned it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value {
    /// The bytes of the value. Cloning them copies nothing.
    pub data: Bytes,
    /// The number that was stored beside the value; memcached gives it no meaning.
    pub flags: u32,
    /// The version of the item, where the request asked for it.
    pub cas: Option<u64>,
}

impl Value {
    /// A value of `data` with `flags`: what a test or a cache in front of the client makes.
    #[must_use]
    pub fn new(data: Bytes, flags: u32) -> Self {
        Self { data, flags, cas: None }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl PartialEq<[u8]> for Value {
    fn eq(&self, other: &[u8]) -> bool {
        self.data == other
    }
}

impl PartialEq<&[u8]> for Value {
    fn eq(&self, other: &&[u8]) -> bool {
        self.data == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Value {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.data == other.as_slice()
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.data == other.as_bytes()
    }
}

/// The bytes of a value to be stored: borrowed, or shared.
///
/// Borrowed bytes are copied into the request. Shared ones ([`Bytes`], or a `Vec` or `String` given away) are copied
/// only while they are small; from [`Data::SHARED_MIN`] bytes on they are written from where they lie.
#[derive(Debug, Clone)]
pub struct Data<'v>(Source<'v>);

#[derive(Debug, Clone)]
enum Source<'v> {
    Borrowed(&'v [u8]),
    Shared(Bytes),
}

impl Data<'_> {
    /// Shared data of at least this many bytes is not copied: below, a copy costs less than a further slice to write.
    pub const SHARED_MIN: usize = 16 * 1024;

    /// The most bytes a value can have on the wire: the server reads its length into 32 bits and adds the line end
    /// (memcached 1.6.45, `process_update_command`). What a server accepts is far less, 1 MiB unless it was started
    /// with another `-I`.
    pub const MAX: usize = i32::MAX as usize - 2;

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Source::Borrowed(bytes) => bytes,
            Source::Shared(bytes) => bytes,
        }
    }

    /// The bytes to be queued without a copy, if they are worth it.
    #[inline]
    pub(crate) fn share(&self) -> Option<Bytes> {
        match &self.0 {
            Source::Shared(bytes) if bytes.len() >= Self::SHARED_MIN => Some(bytes.clone()),
            Source::Shared(_) | Source::Borrowed(_) => None,
        }
    }
}

impl AsRef<[u8]> for Data<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<'v> From<&'v [u8]> for Data<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self(Source::Borrowed(bytes))
    }
}

impl<'v, const N: usize> From<&'v [u8; N]> for Data<'v> {
    fn from(bytes: &'v [u8; N]) -> Self {
        Self(Source::Borrowed(bytes))
    }
}

impl<'v> From<&'v str> for Data<'v> {
    fn from(text: &'v str) -> Self {
        Self(Source::Borrowed(text.as_bytes()))
    }
}

impl<'v> From<&'v Vec<u8>> for Data<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self(Source::Borrowed(bytes))
    }
}

impl<'v> From<&'v String> for Data<'v> {
    fn from(text: &'v String) -> Self {
        Self(Source::Borrowed(text.as_bytes()))
    }
}

impl<'v> From<&'v Bytes> for Data<'v> {
    fn from(bytes: &'v Bytes) -> Self {
        Self(Source::Shared(bytes.clone()))
    }
}

impl From<Bytes> for Data<'_> {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Shared(bytes))
    }
}

impl From<Vec<u8>> for Data<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Shared(bytes.into()))
    }
}

impl From<String> for Data<'_> {
    fn from(text: String) -> Self {
        Self(Source::Shared(text.into()))
    }
}

impl From<Value> for Data<'_> {
    fn from(value: Value) -> Self {
        Self(Source::Shared(value.data))
    }
}
