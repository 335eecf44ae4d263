//! Encoded requests on their way out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::data::Data;
use crate::error::KeyProblem;
use crate::error::{Error, Landed};
use crate::key::{Key, WireKey};
use crate::reply::{ExpectedKeys, Opaque, ReplyKind};
use crate::time::{Expiry, Now};

/// Where requests are encoded: reused bytes, with large shared values queued between them.
#[derive(Debug)]
pub struct RequestBuffer {
    pub(crate) bytes: Vec<u8>,
    /// Values to be written at these places between `bytes`, in order.
    pub(crate) shared: VecDeque<(usize, Bytes)>,
    /// The requests, oldest first.
    pub(crate) requests: Vec<Request>,
    /// The keys that their replies must name.
    pub(crate) keys: ExpectedKeys,
    /// What is written before every key.
    prefix: Option<Arc<[u8]>>,
    is_prefix_valid: bool,
    /// The longest value that is taken.
    value_max: usize,
    /// How long an item stays at most, whatever its expiry.
    max_ttl: Option<Duration>,
    /// The number of the next request on its connection: its opaque.
    pub(crate) ticket: u64,
    /// How many bytes the fence of the request has that is being encoded.
    fence: u32,
    /// Why the request that is being encoded cannot be sent.
    fault: Option<Error>,
}

/// A request that was encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) tag: u32,
    pub(crate) reply_kind: ReplyKind,
    /// The size of its part of the asked keys.
    pub(crate) keys: u32,
    /// How many bytes at its end belong to its fence: without them the server carries the request out, too.
    pub(crate) fence: u32,
    /// How many bytes it takes, shared values included.
    pub(crate) length: u64,
}

impl Default for RequestBuffer {
    fn default() -> Self {
        Self::new(None, Data::MAX)
    }
}

impl RequestBuffer {
    /// An empty buffer, which writes `prefix` before every key and takes no value of more than `value_limit` bytes.
    ///
    /// With a prefix that is no beginning of a key, every request with a key is refused.
    #[must_use]
    pub fn new(prefix: Option<Arc<[u8]>>, value_limit: usize) -> Self {
        let is_prefix_valid = prefix.as_deref().is_none_or(|prefix| prefix.is_empty() || Key::new(prefix).is_ok());
        Self {
            is_prefix_valid,
            bytes: Vec::new(),
            shared: VecDeque::new(),
            requests: Vec::new(),
            keys: ExpectedKeys::default(),
            prefix,
            value_max: value_limit,
            max_ttl: None,
            ticket: 0,
            fence: 0,
            fault: None,
        }
    }

    /// The same buffer with a limit of how long an item stays.
    pub(crate) fn with_max_ttl(self, max_ttl: Option<Duration>) -> Self {
        Self { max_ttl, ..self }
    }

    /// Appends bytes of the protocol.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a decimal number.
    #[inline]
    pub fn put_number(&mut self, number: u64) {
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Appends a decimal number that may be negative.
    #[inline]
    pub fn put_signed(&mut self, number: i32) {
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// The number that says on this connection when an item expires: that of [`Expiry::exptime`], or an earlier moment if the
    /// connection has a [longest time to live](crate::connection::ConnectionOptions::max_ttl).
    ///
    /// # Errors
    ///
    /// Those of [`Expiry::exptime`].
    #[inline]
    pub fn exptime(&self, expiry: Expiry, now: Now) -> Result<i32, Error> {
        match self.max_ttl {
            None => expiry.exptime(now),
            Some(max) => expiry.exptime(now).and_then(|_| expiry.at_most(max, now).exptime(now)),
        }
    }

    /// Appends [when an item expires](RequestBuffer::exptime).
    ///
    /// # Errors
    ///
    /// Those of [`Expiry::exptime`].
    #[inline]
    pub fn put_expiry(&mut self, expiry: Expiry, now: Now) -> Result<(), Error> {
        let exptime = self.exptime(expiry, now)?;
        self.put_signed(exptime);
        Ok(())
    }

    /// Whether an item without an expiry gets one.
    pub(crate) fn has_max_ttl(&self) -> bool {
        self.max_ttl.is_some()
    }

    /// Appends before which time to live an item is to be stored again. With a [longest time to live](crate::connection::ConnectionOptions::max_ttl) it
    /// is at most a half of that: else each item would be stored again at once.
    pub(crate) fn put_recache(&mut self, before: Duration, now: Now) -> Result<(), Error> {
        let before = self.max_ttl.map_or(before, |max| before.min(max / 2));
        self.put_signed(Expiry::After(before).exptime(now)?);
        Ok(())
    }

    /// Ends the line of a meta command with the flag `O`: the opaque of this request, which a meta reply repeats.
    ///
    /// It is the number of the request on its connection, so that no reply can be taken for one to another request.
    #[inline]
    pub fn end_with_opaque(&mut self) {
        self.bytes.extend_from_slice(Opaque::from_ticket(self.ticket).as_line_end());
    }

    /// Ends the line of the meta command at a place in a quiet batch with the flags `q` and `O`: an opaque of its own, which the
    /// reply repeats if there is one.
    pub fn end_quietly(&mut self, at: u32) {
        self.put(b" q");
        self.put(Opaque::from_ticket(self.ticket).as_flag());
        self.put(&Opaque::part(at));
        self.put(b"\r\n");
    }

    /// Appends one of several requests that are answered together, or nothing of it. Returns what is expected, and how many bytes
    /// it has.
    pub(crate) fn put_part(
        &mut self,
        encode: impl FnOnce(&mut Self) -> Result<ReplyKind, Error>,
    ) -> Result<(ReplyKind, u64), Error> {
        let (bytes, shared, keys) = (self.bytes.len(), self.shared.len(), self.keys.size());
        let encoded = encode(self);
        match self.fault.take().map_or(encoded, Err) {
            Ok(reply_kind) => {
                let values = self.shared.range(shared..).map(|(_, value)| value.len()).sum::<usize>();
                let length = (self.bytes.len() - bytes + values) as u64;
                self.keys.push_part(length);
                Ok((reply_kind, length))
            }
            Err(error) => {
                self.bytes.truncate(bytes);
                self.shared.truncate(shared);
                self.keys.truncate(keys);
                Err(error)
            }
        }
    }

    /// Ends several requests of which those after the first one have `others` bytes: an `mn`, whose answer shows that no further reply
    /// comes, and a fence, whose opaque shows that it is the answer to this `mn`. The server carries the first request out
    /// without all that follows.
    pub(crate) fn end_parts(&mut self, others: u64) {
        let begun = self.bytes.len();
        self.put(b"mn\r\n");
        self.put_server_fence();
        let closing = (self.bytes.len() - begun) as u64;
        self.fence = u32::try_from(others + closing).unwrap_or(u32::MAX);
    }

    /// Appends a fence to a classic request about `key`: a meta command that changes nothing, and whose reply carries
    /// the opaque that the one to the classic request cannot carry.
    ///
    /// It deletes the item if its `cas` is the largest number there is, which no server ever gives to an item, so the
    /// answer is `EX` or `NF`.
    pub fn put_fence(&mut self, key: Key<'_>) {
        let begun = self.bytes.len();
        self.bytes.extend_from_slice(b"md ");
        self.put_key(key);
        self.end_fence(begun);
    }

    /// Appends a fence to a classic request about a whole server: as [`RequestBuffer::put_fence`] does, for a key that no client
    /// stores, a single zero byte.
    pub fn put_server_fence(&mut self) {
        let begun = self.bytes.len();
        self.bytes.extend_from_slice(b"md AA== b");
        self.end_fence(begun);
    }

    fn end_fence(&mut self, begun: usize) {
        self.bytes.extend_from_slice(b" C18446744073709551615");
        self.end_with_opaque();
        self.fence_from(begun);
    }

    /// How many bytes are encoded; for [`RequestBuffer::fence_from`].
    pub(crate) fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Says that all from a [mark](RequestBuffer::mark) on is the fence of the request.
    pub(crate) fn fence_from(&mut self, mark: usize) {
        self.fence = u32::try_from(self.bytes.len() - mark).unwrap_or(u32::MAX);
    }

    /// Appends a key that the reply does not name.
    #[inline]
    pub fn put_key(&mut self, key: Key<'_>) {
        if self.prefix.is_some() {
            return self.put_prefixed(key, false);
        }
        self.bytes.extend_from_slice(key.as_bytes());
    }

    /// Appends a key that the reply names: what comes back is checked against it.
    #[inline]
    pub fn ask_key(&mut self, key: Key<'_>) {
        if self.prefix.is_some() {
            return self.put_prefixed(key, true);
        }
        self.keys.push(key.as_bytes());
        self.bytes.extend_from_slice(key.as_bytes());
    }

    /// Appends keys that the reply names, each with a blank before it.
    pub(crate) fn ask_keys(&mut self, keys: &[Key<'_>]) {
        let (begun, prefix) = (self.bytes.len(), self.prefix.as_deref().map_or(0, <[u8]>::len));
        for key in keys {
            self.bytes.push(b' ');
            self.put_key(*key);
        }
        self.keys.push_text(&self.bytes[begun..], keys.iter().map(|key| prefix + key.as_bytes().len()));
    }

    /// Appends the key that ends the line of a `get`, as [`RequestBuffer::ask_key`] does. It must not be `noreply`: memcached's
    /// proxy takes that for the option, looks for another key, and says nothing.
    #[inline]
    pub fn ask_last_key(&mut self, key: Key<'_>) {
        if key.as_bytes().ends_with(b"noreply") {
            self.refuse_noreply(key);
        }
        self.ask_key(key);
    }

    #[cold]
    fn refuse_noreply(&mut self, key: Key<'_>) {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if [prefix, key.as_bytes()].concat() == b"noreply" {
            self.fault = Some(Error::invalid_key(b"noreply", KeyProblem::Option));
        }
    }

    /// Appends a key with the prefix before it. If that makes no key, the request fails.
    #[cold]
    fn put_prefixed(&mut self, key: Key<'_>, asked: bool) {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let mut room = [0; Key::MAX];
        let whole = match self.is_prefix_valid {
            true => key.prefixed(prefix, &mut room),
            false => Key::new(prefix),
        };
        match whole {
            Err(error) => self.fault = Some(error),
            Ok(whole) => {
                self.bytes.extend_from_slice(whole.as_bytes());
                if asked {
                    self.keys.push(whole.as_bytes());
                }
            }
        }
    }

    /// Appends a key of any bytes; of one in base64 the prefix is encoded with it. `asked` if the reply names it, which is
    /// checked then, in the form that is written.
    pub(crate) fn put_wire_key(&mut self, key: &WireKey<'_>, asked: bool) {
        if !key.is_encoded() {
            return if asked { self.ask_key(key.key()) } else { self.put_key(key.key()) };
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let encoded = match self.is_prefix_valid {
            true => WireKey::encode(&[prefix, key.bytes()].concat()),
            false => Key::new(prefix).and_then(|prefix| WireKey::encode(prefix.as_bytes())),
        };
        match encoded {
            Err(error) => self.fault = Some(error),
            Ok(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                if asked {
                    self.keys.push(text.as_bytes());
                }
            }
        }
    }

    /// Appends a value, or queues it where it lies if it is large and shared.
    #[inline]
    pub fn put_data(&mut self, data: &Data<'_>) {
        let bytes = data.as_bytes();
        if bytes.len() > self.value_max {
            self.fault = Some(Error::too_large(bytes.len(), self.value_max));
        }
        match data.share() {
            None => {
                // With the line end that follows: without room for it, the buffer of a large value would double.
                self.bytes.reserve(bytes.len() + b"\r\n".len());
                self.bytes.extend_from_slice(bytes);
            }
            Some(shared) => self.shared.push_back((self.bytes.len(), shared)),
        }
    }

    /// How many bytes are queued here.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared.iter().map(|(_, value)| value.len()).sum::<usize>()
    }

    /// Whether nothing is queued here.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Encodes a whole request, or nothing of it.
    #[inline]
    pub(crate) fn encode(
        &mut self,
        tag: u32,
        encode: impl FnOnce(&mut Self) -> Result<ReplyKind, Error>,
    ) -> Result<Request, Error> {
        let mark = Mark { bytes: self.bytes.len(), shared: self.shared.len(), keys: self.keys.size(), buffer: self };
        let reply_kind = encode(mark.buffer)?;
        if mark.buffer.fault.is_some() {
            return Err(mark.buffer.take_fault());
        }
        let Mark { bytes, shared, keys, ref buffer } = mark;
        let mut length = buffer.bytes.len() - bytes;
        if buffer.shared.len() > shared {
            length += buffer.shared.range(shared..).map(|(_, value)| value.len()).sum::<usize>();
        }
        if length == 0 {
            return Err(
                Error::protocol("a request without bytes, which no server can answer").with_landed(Landed::NotSent)
            );
        }
        // A request's keys fit: a line of them is far below 4 GiB.
        let keys = u32::try_from(buffer.keys.size() - keys).unwrap_or(u32::MAX);
        std::mem::forget(mark);
        self.ticket += 1;
        let fence = std::mem::take(&mut self.fence);
        Ok(Request { tag, reply_kind, keys, fence, length: length as u64 })
    }

    #[cold]
    fn take_fault(&mut self) -> Error {
        self.fault.take().unwrap_or_else(Error::closed)
    }

    /// Empties `bytes` and keeps their memory, unless that is much.
    #[inline]
    pub(crate) fn recycle(bytes: &mut Vec<u8>) {
        /// How much memory is kept after a peak.
        const KEPT: usize = 256 * 1024;
        bytes.clear();
        if bytes.capacity() > KEPT {
            bytes.shrink_to(KEPT);
        }
    }
}

/// How far the buffer was filled before a request. When it is dropped, the bytes encoded since are removed: an error,
/// or a panic in the `encode` of a custom command, must not leave half a request.
struct Mark<'o> {
    buffer: &'o mut RequestBuffer,
    bytes: usize,
    shared: usize,
    keys: usize,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        (self.buffer.fault, self.buffer.fence) = (None, 0);
        self.buffer.bytes.truncate(self.bytes);
        self.buffer.shared.truncate(self.shared);
        self.buffer.keys.truncate(self.keys);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Encodes half a request, then gives up in one way or another.
    fn half(buffer: &mut RequestBuffer, give_up: fn() -> Error) -> Result<ReplyKind, Error> {
        buffer.put(b"set ");
        buffer.ask_key(Key::new("k")?);
        buffer.put_data(&Data::from(vec![b'x'; Data::SHARED_MIN]));
        Err(give_up())
    }

    #[test]
    fn a_request_that_cannot_be_encoded_leaves_no_bytes() {
        for give_up in [|| Error::expiry(), || panic!("a bug in somebody's command")] {
            let mut buffer = RequestBuffer::default();
            buffer.put(b"before");
            let result = catch_unwind(AssertUnwindSafe(|| buffer.encode(0, |buffer| half(buffer, give_up))));
            assert!(!matches!(result, Ok(Ok(_))), "half a request was taken");
            assert_eq!((&buffer.bytes[..], buffer.len(), buffer.keys.size()), (&b"before"[..], 6, 0));
        }
    }
}
