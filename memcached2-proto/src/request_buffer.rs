//! Encoded requests on their way out.

mod parts;

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
///
/// What a command may append is said by [`Command::encode`](crate::command::Command::encode).
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
    /// What is to be looked at before the request that is being encoded is sent; mostly nothing.
    notice: Option<Notice>,
}

/// What is to be looked at once a request is encoded.
#[derive(Debug)]
enum Notice {
    /// Why it cannot be sent.
    Fault(Error),
    /// It has a fence, which ends here.
    FenceUntil(usize),
}

/// What ends a request.
const LINE_END: &[u8] = b"\r\n";

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
            notice: None,
        }
    }

    /// The same buffer with a limit of how long an item stays.
    pub(crate) fn with_max_ttl(self, max_ttl: Option<Duration>) -> Self {
        Self { max_ttl, ..self }
    }

    /// Appends bytes of the protocol, as they are: a key goes by [`RequestBuffer::put_key`], which also writes the prefix.
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

    /// Whether there are bytes after the first `begun` ones, and, in a build with debug assertions, whether they end in a line end: to look
    /// at it takes 7 of the instructions of a get.
    #[inline]
    fn ends_since(&self, begun: usize) -> bool {
        self.bytes.len() > begun && (!cfg!(debug_assertions) || self.bytes.ends_with(LINE_END))
    }

    /// Appends a fence to a classic request about `key`: a meta command that changes nothing, and whose reply carries
    /// the opaque that the one to the classic request cannot carry.
    ///
    /// It deletes the item if its `cas` is the largest number there is, which no server ever gives to an item, so the
    /// answer is `EX` or `NF`.
    ///
    /// It ends a request, whose line or data block it follows. A request with two fences, or with something after one, is refused.
    /// A server that does not speak meta answers it by an error line, which closes the connection. It may follow a meta command, too, but
    /// a reply with an opaque needs none.
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
        match self.notice {
            None => self.notice = Some(Notice::FenceUntil(self.bytes.len())),
            Some(Notice::FenceUntil(_)) => self.refuse(Error::argument("a request with two fences")),
            Some(Notice::Fault(_)) => {}
        }
    }

    /// Says why the request that is being encoded cannot be sent.
    #[cold]
    fn refuse(&mut self, error: Error) {
        self.notice = Some(Notice::Fault(error));
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

    /// Appends a key that the reply names: what comes back is checked against it. Keys that come back in their order are found at once;
    /// one that does not is looked for among all of the request, so a request has some thousands at most.
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
            self.refuse(Error::invalid_key(b"noreply", KeyProblem::Option));
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
            Err(error) => self.refuse(error),
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
            Err(error) => self.refuse(error),
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
            self.refuse(Error::too_large(bytes.len(), self.value_max));
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

    /// Whether no whole request is queued here, whatever was appended.
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
        let mut mark =
            Mark { bytes: self.bytes.len(), shared: self.shared.len(), keys: self.keys.size(), buffer: self };
        let reply_kind = encode(mark.buffer)?;
        if mark.buffer.notice.is_some() {
            mark.check(reply_kind)?;
        }
        let Mark { bytes, shared, keys, ref buffer } = mark;
        let mut length = buffer.bytes.len() - bytes;
        if buffer.shared.len() > shared {
            length += buffer.shared.range(shared..).map(|(_, value)| value.len()).sum::<usize>();
        }
        if length == 0 || cfg!(debug_assertions) && !buffer.ends_since(bytes) {
            return Err(endless(length));
        }
        // A request's keys fit: a line of them is far below 4 GiB.
        let keys = (buffer.keys.size() - keys) as u32;
        std::mem::forget(mark);
        self.ticket += 1;
        let fence = std::mem::take(&mut self.fence);
        Ok(Request { tag, reply_kind, keys, fence, length: length as u64 })
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

/// The error of a request that does not end in a line end.
#[cold]
fn endless(length: usize) -> Error {
    match length {
        0 => Error::protocol("a request without bytes, which no server can answer").with_landed(Landed::NotSent),
        _ => Error::argument("a request that does not end in CR LF, so that the next one would be a part of it"),
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

impl Mark<'_> {
    /// Whether the request can be sent of which there is something to look at.
    fn check(&mut self, reply_kind: ReplyKind) -> Result<(), Error> {
        let until = match self.buffer.notice.take() {
            None => return Ok(()),
            Some(Notice::Fault(error)) => return Err(error),
            Some(Notice::FenceUntil(until)) => until,
        };
        let bytes = &self.buffer.bytes;
        let before = &bytes[self.bytes..until.saturating_sub(self.buffer.fence as usize).max(self.bytes)];
        let problem = match reply_kind {
            _ if until < bytes.len() => "something follows it",
            _ if !before.ends_with(LINE_END) => "what it follows does not end in CR LF",
            ReplyKind::FencedValues => "the `mg` of the last key takes its place",
            kind if kind.is_quiet() => "only a `QuietPart` has this kind of reply",
            _ => return Ok(()),
        };
        Err(Error::argument(format!("a request cannot have this fence: {problem}")))
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        (self.buffer.notice, self.buffer.fence) = (None, 0);
        self.buffer.bytes.truncate(self.bytes);
        self.buffer.shared.truncate(self.shared);
        self.buffer.keys.truncate(self.keys);
    }
}

#[cfg(test)]
mod tests;
