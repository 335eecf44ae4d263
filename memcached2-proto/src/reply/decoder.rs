//! The incremental decoder: bytes in pieces of any size in, complete replies out.

mod ahead;
mod item;
mod line;
mod quiet;
mod several;

use std::collections::TryReserveError;
use std::sync::Arc;

use bytes::Bytes;

use self::item::hit;
use self::quiet::Quiet;
use super::grammar::{self, Item, ReplyLine};
use super::{Expected, ExpectedKeys, MetaReply, Opaque, Reply, ReplyKind, error_line};
use crate::data::Data;
use crate::error::Error;
use crate::limits::Limits;
use crate::value::ValueBytes;

/// Finds the replies in a stream of bytes.
///
/// It remembers where it stopped, so its work is linear in the bytes however they are cut. A value that is whole in the
/// buffer is copied out of it. A longer one gets its own buffer, which the transport reads into. That has the size of
/// the value, but at most four times the bytes that have come, or 1 MiB.
///
/// ```
/// use memcached2_proto::reply::{Decoder, Expected, ExpectedKeys, Opaque, ReplyKind};
/// use memcached2_proto::{Limits, Reply};
///
/// let mut decoder = Decoder::new(Limits::default());
/// let mut nothing_asked = ExpectedKeys::default();
/// decoder.expect(Expected::new(ReplyKind::Stored, Opaque::from_ticket(0)));
/// for piece in ["STO", "RED\r\n"] {
///     assert_eq!(decoder.decode(&mut nothing_asked, true)?, None);
///     decoder.read_buf()[..piece.len()].copy_from_slice(piece.as_bytes());
///     decoder.advance_read(piece.len());
/// }
/// let reply = decoder.decode(&mut nothing_asked, true)?;
/// assert_eq!(reply, Some((Reply::Stored, true)));
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// Zeroed once; the bytes not yet decoded are those from `start` to `end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// How many of them hold no line end.
    searched: usize,
    state: State,
    expected: Expected,
    /// A copy of a part of the buffer, for the small values of one reply, and where in the buffer that part begins. The next read
    /// changes the buffer.
    block: Bytes,
    block_start: usize,
    /// The statistics of a reply so far, a line each.
    lines: Vec<u8>,
    /// Of the reply to several keys: whether its classic part has ended, the last error line in it, and how many there were.
    ended: bool,
    refused: Option<Arc<str>>,
    refusals: usize,
    /// The flags of a meta reply whose data is to come.
    meta: Option<Box<MetaReply>>,
    /// How far the reply to a quiet batch has come.
    quiet: Option<Box<Quiet>>,
    /// Whether the last reply lacks its check.
    in_doubt: bool,
    limits: Limits,
    /// Gets more memory for a large value.
    reserve: Reserve,
}

/// Reserves memory for this many more bytes, or fails if there is none.
type Reserve = fn(&mut Vec<u8>, usize) -> Result<(), TryReserveError>;

#[derive(Debug)]
enum State {
    /// At the beginning of a line.
    Line,
    /// Inside an item whose data fits the buffer.
    Small(Item),
    /// Inside an item whose data goes into its own buffer, which has this many bytes of it.
    Large(Item, Vec<u8>, usize),
    /// Inside an item that is discarded, or for which there is no memory, this many bytes before the end of its data.
    Skip(Item, usize),
    /// After the only item that can come, before its `END`.
    End(Option<(Item, ValueBytes)>),
    /// After a classic reply, before the answer to its fence.
    Fence(Option<Reply>),
    /// After the last item of a reply in which there was an error line.
    Refused,
}

/// What no place in the buffer is.
const NO_BLOCK: usize = usize::MAX;
/// What ends the data of an item.
const DATA_END: &[u8; 2] = b"\r\n";
/// What follows the only item of a reply.
const LAST: &[u8; 5] = b"END\r\n";
/// Both at once.
const ONLY_END: &[u8; 7] = b"\r\nEND\r\n";
/// Room after a large value for the bytes that usually follow it, to save a read.
const BEHIND: usize = ONLY_END.len();

impl Decoder {
    /// The size of the receive buffer in bytes: a page of small replies, far above the longest line.
    pub const BUFFER: usize = 16 * 1024;
    /// A value of at least this many bytes that has not arrived whole gets its own buffer.
    pub const LARGE: usize = 4 * 1024;
    /// Values of up to this many bytes share blocks of up to [`Decoder::BLOCK`] bytes when a reply can bring several: fewer
    /// allocations and copies, against up to a block kept alive by one value.
    pub const SHARED_MAX: usize = 1024;
    /// How many bytes a value has that shares a block. Smaller ones need no memory.
    const SHARED: std::ops::RangeInclusive<usize> = ValueBytes::INLINE + 1..=Self::SHARED_MAX;
    /// The largest block that small values share: what has come of them, with the lines between.
    pub const BLOCK: usize = 4 * 1024;

    /// A decoder that refuses what exceeds `limits`.
    #[must_use]
    pub fn new(mut limits: Limits) -> Self {
        // A line must leave room for what follows it.
        limits.line = limits.line.min(Self::BUFFER - Self::LARGE);
        limits.value = limits.value.min(Data::MAX);
        Self {
            buffer: vec![0; Self::BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            searched: 0,
            state: State::Line,
            expected: Expected::new(ReplyKind::Ok, Opaque::from_ticket(0)),
            block: Bytes::new(),
            block_start: NO_BLOCK,
            lines: Vec::new(),
            ended: false,
            refused: None,
            refusals: 0,
            meta: None,
            quiet: None,
            in_doubt: false,
            limits,
            reserve: Vec::try_reserve_exact,
        }
    }

    /// Lets every further attempt fail to get memory for a large value.
    #[cfg(test)]
    pub(crate) fn run_out_of_memory(&mut self) {
        self.reserve = |_, _| Vec::<u8>::new().try_reserve_exact(usize::MAX);
    }

    /// Says what the next reply has to be.
    #[inline]
    pub fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// What the next reply has to be.
    pub(crate) fn expected(&self) -> Expected {
        self.expected
    }

    /// The buffer for the next bytes; never empty if [`Decoder::decode`] is called until it returns `None`.
    #[inline]
    pub fn read_buf(&mut self) -> &mut [u8] {
        self.block_start = NO_BLOCK;
        if let State::Large(_, data, have) = &mut self.state {
            return &mut data[*have..];
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < Self::LARGE {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `n` bytes were put into the last [`Decoder::read_buf`]; more than it has room for count as all of it.
    #[inline]
    pub fn advance_read(&mut self, n: usize) {
        self.take_read(n);
    }

    /// The same; returns how many bytes that are.
    #[inline]
    pub(crate) fn take_read(&mut self, n: usize) -> usize {
        match &mut self.state {
            State::Large(_, data, have) => {
                let n = n.min(data.len() - *have);
                *have += n;
                n
            }
            _ => {
                let n = n.min(self.buffer.len() - self.end);
                self.end += n;
                n
            }
        }
    }

    /// Whether no byte waits to be decoded and no reply is half done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_between =
            matches!(self.state, State::Line) && !self.ended && self.refused.is_none() && self.quiet.is_none();
        self.start == self.end && self.lines.is_empty() && is_between
    }

    /// How many bytes of a value with an announced length are still missing.
    #[must_use]
    pub fn announced(&self) -> usize {
        match &self.state {
            State::Large(item, _, have) => (item.length + DATA_END.len()).saturating_sub(*have),
            State::Skip(_, left) => *left,
            State::Small(item) => item.length.saturating_sub(self.end - self.start),
            State::Line | State::End(_) | State::Fence(_) | State::Refused => 0,
        }
    }

    /// Whether the last reply lacks its check: an error line stood in the place of a fence, or an `EN` was that of a memcached
    /// before 1.6.18.
    #[inline]
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Says that the next reply is another one.
    pub(crate) fn clear_doubt(&mut self) {
        self.in_doubt = false;
    }

    /// The bytes that wait to be decoded: what came although nothing was asked, for an error to show.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// How many bytes wait to be decoded.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.end - self.start
    }

    /// The next reply, which must be one that is expected, and whether it is the last one to its request; `None` until
    /// enough bytes are there. `keys` are those that it may name.
    ///
    /// Without `keep`, the data of incomplete values is discarded as it comes: for the reply to a cancelled request.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] when the bytes cannot be such a reply, and when a line or a value exceeds the limits.
    /// Nothing after that can be understood.
    #[inline]
    pub fn decode(&mut self, keys: &mut ExpectedKeys, keep: bool) -> Result<Option<(Reply, bool)>, Error> {
        match self.decode_ahead(keys) {
            Some(reply) => Ok(Some(reply)),
            None => self.decode_by_line(keys, keep),
        }
    }

    /// Any reply, as far as it has come.
    pub(crate) fn decode_by_line(
        &mut self,
        keys: &mut ExpectedKeys,
        keep: bool,
    ) -> Result<Option<(Reply, bool)>, Error> {
        let Expected { reply_kind, opaque, .. } = self.expected;
        loop {
            match &mut self.state {
                State::Line => {
                    let Some((line, next)) = self.line()? else { return Ok(None) };
                    let at = line.clone();
                    let line = &self.buffer[line];
                    let found = match reply_kind {
                        ReplyKind::Value | ReplyKind::Values => grammar::value(line, keys)?,
                        ReplyKind::FencedValues => grammar::fenced_value(line, keys, opaque)?,
                        ReplyKind::MetaValue => grammar::meta_value(line, opaque)?,
                        ReplyKind::MetaStored => grammar::meta_stored(line, opaque)?,
                        ReplyKind::MetaDeleted => grammar::meta_deleted(line, opaque)?,
                        ReplyKind::MetaNumber => grammar::meta_number(line, opaque)?,
                        ReplyKind::MetaGet | ReplyKind::MetaSet | ReplyKind::MetaDelete | ReplyKind::MetaArithmetic => {
                            let (found, meta) = grammar::meta_reply(line, reply_kind, opaque, keys)?;
                            self.meta = meta;
                            found
                        }
                        ReplyKind::MetaDebug => grammar::meta_debug(line, keys)?,
                        ReplyKind::MetaNoop => grammar::meta_noop(line)?,
                        ReplyKind::Stored => grammar::stored(line)?,
                        ReplyKind::Deleted => grammar::deleted(line)?,
                        ReplyKind::Touched => grammar::touched(line)?,
                        ReplyKind::Ok => grammar::ok(line)?,
                        ReplyKind::Number => grammar::number(line)?,
                        ReplyKind::Version => grammar::version(line)?,
                        ReplyKind::Stats | ReplyKind::Stat => grammar::stat_line(line, b"STAT", self.may_be_words())?,
                        ReplyKind::Prefixes => grammar::stat_line(line, b"PREFIX", self.may_be_words())?,
                        ReplyKind::Items => grammar::stat_line(line, b"ITEM", self.may_be_words())?,
                        ReplyKind::Reset => grammar::reset(line)?,
                        ReplyKind::Config => grammar::config(line, self.expected.is_fenced)?,
                        ReplyKind::ProbeKey => grammar::probe_key(line, opaque)?,
                        ReplyKind::ProbeEnd => grammar::probe_end(line)?,
                        ReplyKind::QuietGet
                        | ReplyKind::QuietSet
                        | ReplyKind::QuietDelete
                        | ReplyKind::QuietArithmetic => match self.quiet_line(at, next, keys, keep)? {
                            Some(reply) => return Ok(Some(reply)),
                            None => continue,
                        },
                    };
                    let begun = std::mem::replace(&mut self.start, next);
                    match found {
                        ReplyLine::Item(item) if self.ended && !item.is_meta => {
                            return Err(Error::protocol("got a value after END in the reply to one request"));
                        }
                        ReplyLine::Item(item) => self.begin(item, keep)?,
                        ReplyLine::Stat(name) => {
                            self.stat(begun + name..next)?;
                            if reply_kind == ReplyKind::Stat {
                                let stats = self.stats();
                                if let Some(whole) = self.before_fence(stats) {
                                    return Ok(Some(whole));
                                }
                            }
                        }
                        ReplyLine::Unchecked(reply) => {
                            self.in_doubt = true;
                            let reply = match reply_kind {
                                ReplyKind::FencedValues => self.end_of_fenced()?,
                                _ => reply,
                            };
                            if let Some(whole) = self.before_fence(reply) {
                                return Ok(Some(whole));
                            }
                        }
                        ReplyLine::Reply(reply) => {
                            let reply = match (reply_kind, reply) {
                                (ReplyKind::Value | ReplyKind::Config, Reply::End) => Reply::Miss,
                                (ReplyKind::Values | ReplyKind::FencedValues, reply) => {
                                    match self.of_several(reply_kind, reply, keys)? {
                                        None => continue,
                                        Some(reply) => reply,
                                    }
                                }
                                (_, Reply::End) => self.stats(),
                                (_, reply) => {
                                    self.lines.clear();
                                    reply
                                }
                            };
                            if let Some(whole) = self.before_fence(reply) {
                                return Ok(Some(whole));
                            }
                        }
                    }
                }
                State::Fence(reply) => {
                    let reply = reply.take();
                    let Some((line, next)) = self.line()? else {
                        self.state = State::Fence(reply);
                        return Ok(None);
                    };
                    self.in_doubt = !grammar::fence(&self.buffer[line], opaque)?;
                    (self.start, self.state) = (next, State::Line);
                    return Ok(reply.map(|reply| (reply, true)));
                }
                State::Refused => {
                    self.state = State::Line;
                    return Ok(Some((self.end_of_several(Reply::End), true)));
                }
                State::End(found) => {
                    let found = found.take();
                    if !self.end_of_value()? {
                        self.state = State::End(found);
                        return Ok(None);
                    }
                    self.state = State::Line;
                    let whole = found.and_then(|(item, data)| self.before_fence(hit(item, data)));
                    if whole.is_some() {
                        return Ok(whole);
                    }
                }
                State::Small(_) | State::Large(..) | State::Skip(..) => {
                    let Some((item, data)) = self.item(reply_kind)? else { return Ok(None) };
                    let is_last = item.is_meta;
                    let reply = match reply_kind {
                        ReplyKind::Value | ReplyKind::Config => {
                            self.state = State::End(Some((item, data)));
                            continue;
                        }
                        ReplyKind::MetaNumber => grammar::number_value(&data)?,
                        ReplyKind::FencedValues if item.is_meta => {
                            self.has_ended()?;
                            let last = self.refused.is_none();
                            (self.ended, self.state) = (false, if last { State::Line } else { State::Refused });
                            return Ok(Some((hit(item, data), last)));
                        }
                        kind if kind.is_quiet() => return Ok(Some((self.quiet_item(item, data), false))),
                        kind if kind.is_any_meta() => self.with_flags(item, data),
                        _ => hit(item, data),
                    };
                    if !is_last {
                        return Ok(Some((reply, false)));
                    }
                    if let Some(whole) = self.before_fence(reply) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }

    /// The reply to a meta command whose data has come.
    #[cold]
    fn with_flags(&mut self, item: Item, data: ValueBytes) -> Reply {
        match (hit(item, data), self.meta.take()) {
            (Reply::Value(_, value), Some(mut meta)) => {
                meta.item.value = Some(value);
                Reply::Meta(meta)
            }
            (reply, _) => reply,
        }
    }

    /// A reply that is complete, unless the answer to the fence of its request is still to come.
    #[inline]
    fn before_fence(&mut self, reply: Reply) -> Option<(Reply, bool)> {
        let is_fence_next = match &reply {
            _ if !self.expected.is_fenced || self.expected.reply_kind == ReplyKind::FencedValues => false,
            Reply::Refused(line) => !error_line::is_said_to_all(line),
            _ => true,
        };
        if is_fence_next {
            self.state = State::Fence(Some(reply));
            return None;
        }
        Some((reply, true))
    }
}

#[cfg(test)]
mod tests;
