//! The bytes on their way out, and how many of them may go before replies are read.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::InFlight;
use crate::reply::ExpectedKeys;
use crate::request_buffer::RequestBuffer;

/// Unanswered request bytes stay below this, unless the replies to them are sure to fit the socket's buffers: it is
/// what two kernels buffer for a connection on any system.
const WINDOW: u64 = 64 * 1024;
/// How many replies of one short line fit any socket's buffers: 16 KiB at 64 bytes each.
const LINES: usize = 256;

/// The queue of bytes to be written. Positions are counted from the beginning of the stream.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    /// Encoded requests, of which `at` bytes are written; of the first shared value it holds the rest.
    buffer: RequestBuffer,
    at: usize,
    end: u64,
    written: u64,
    /// How far may be written.
    granted: u64,
    /// The end of the last request that was answered.
    answered: u64,
    /// The requests that are never to be written: where each begins, and its length.
    dead: BTreeMap<u64, u64>,
    /// How many bytes of those are still in memory.
    dead_bytes: u64,
    /// How many requests are granted and not answered, and how many of those may get more than one short line.
    open: usize,
    open_large: usize,
}

impl SendWindow {
    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether everything was written.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.written == self.end
    }

    /// Whether a byte of the oldest unanswered request was written.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.written > self.answered
    }

    /// The keys of the requests that are not answered.
    #[inline]
    pub(super) fn keys(&mut self) -> &mut ExpectedKeys {
        &mut self.buffer.keys
    }

    /// The buffer to encode one request into; call [`SendWindow::queued`] with its length.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut RequestBuffer {
        &mut self.buffer
    }

    /// Adds the length of the next request; returns where it ends.
    #[inline]
    pub(super) fn queued(&mut self, length: u64) -> u64 {
        self.end += length;
        self.end
    }

    /// Takes over what others have encoded, except for the list of their requests.
    #[cfg(feature = "routing")]
    #[inline]
    pub(super) fn append_from(&mut self, others: &mut RequestBuffer) {
        self.buffer.keys.append_from(&mut others.keys);
        let base = self.buffer.bytes.len();
        if base == 0 {
            std::mem::swap(&mut self.buffer.bytes, &mut others.bytes);
        } else {
            self.buffer.bytes.extend_from_slice(&others.bytes);
        }
        if !others.shared.is_empty() {
            self.buffer.shared.extend(others.shared.drain(..).map(|(at, value)| (base + at, value)));
        }
        RequestBuffer::recycle(&mut others.bytes);
    }

    /// Grants as many of the requests under way as may be written.
    #[inline]
    pub(super) fn grant(&mut self, in_flight: &VecDeque<InFlight>) {
        if self.granted == self.end {
            return;
        }
        if let (1, Some(request)) = (in_flight.len(), in_flight.front()) {
            self.grant_one(request);
        } else {
            self.grant_some(in_flight);
        }
    }

    /// Grants the first `count` of the requests under way, and no other.
    #[cold]
    pub(super) fn grant_until(&mut self, in_flight: &VecDeque<InFlight>, count: usize) {
        for request in in_flight.iter().take(count).skip(self.open) {
            self.grant_one(request);
        }
    }

    #[inline]
    fn grant_one(&mut self, request: &InFlight) {
        self.granted = request.end;
        self.open += 1;
        self.open_large += usize::from(!request.reply_kind.is_line());
    }

    fn grant_some(&mut self, in_flight: &VecDeque<InFlight>) {
        // Half a window at least, so that not each reply lets a few bytes out in a separate write.
        // Behind a store that was refused half-way, what was cancelled before it was granted counts as answered already.
        let unanswered = self.granted.saturating_sub(self.answered);
        let half_open = unanswered > WINDOW / 2 && (self.open_large > 0 || self.open > LINES / 2);
        if half_open {
            return;
        }
        if self.end - self.answered <= WINDOW {
            self.open_large += in_flight.range(self.open..).filter(|request| !request.reply_kind.is_line()).count();
            (self.granted, self.open) = (self.end, in_flight.len());
            return;
        }
        for request in in_flight.range(self.open..) {
            let fits = request.end - self.answered <= WINDOW;
            let only_lines_before = self.open_large == 0 && self.open < LINES;
            if !(fits || only_lines_before) {
                break;
            }
            self.grant_one(request);
        }
    }

    /// The oldest request was answered, or is known to get no answer.
    #[inline]
    pub(super) fn answered(&mut self, request: &InFlight) {
        self.answered = request.end;
        // One that was cancelled may never have been granted.
        if self.open > 0 {
            self.open -= 1;
            self.open_large -= usize::from(!request.reply_kind.is_line());
        }
    }

    /// The oldest `count` requests, up to `last`, were answered by a line each.
    pub(super) fn answered_lines(&mut self, last: &InFlight, count: usize) {
        self.answered = last.end;
        self.open = self.open.saturating_sub(count);
    }

    /// Offers what is granted and not written.
    #[inline]
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.slices_until(self.offered_until(), slices)
    }

    /// Up to where bytes are offered: what is granted, as far as it is to be written.
    #[inline]
    fn offered_until(&self) -> u64 {
        if self.dead.is_empty() { self.granted } else { self.granted.min(self.next_dead()) }
    }

    /// Offers what is not written up to a place of which all is granted.
    #[inline]
    fn slices_until<'a>(&'a self, until: u64, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = usize::try_from(until - self.written).unwrap_or(usize::MAX);
        if self.buffer.shared.is_empty() {
            let piece = &self.buffer.bytes[self.at..self.buffer.bytes.len().min(self.at.saturating_add(left))];
            return match slices.first_mut() {
                Some(slice) if !piece.is_empty() => {
                    *slice = IoSlice::new(piece);
                    1
                }
                _ => 0,
            };
        }
        let mut at = self.at;
        let mut shared = self.buffer.shared.iter().peekable();
        let mut count = 0;
        for slice in slices {
            let piece = match shared.peek() {
                Some((place, value)) if *place == at => {
                    shared.next();
                    value
                }
                next => {
                    let to = next.map_or(self.buffer.bytes.len(), |(place, _)| *place);
                    &self.buffer.bytes[std::mem::replace(&mut at, to)..to]
                }
            };
            let piece = &piece[..piece.len().min(left)];
            if piece.is_empty() {
                break;
            }
            left -= piece.len();
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Offers what is granted and not written, up to this place.
    #[cfg(feature = "tls")]
    pub(super) fn slices_up_to<'a>(&'a self, place: u64, slices: &mut [IoSlice<'a>]) -> usize {
        self.slices_until(place.min(self.granted).min(self.next_dead()), slices)
    }

    /// The first `length` bytes of what is offered: all in one slice. A shared value is not copied.
    pub(super) fn next_bytes(&self, length: usize) -> Bytes {
        match self.buffer.shared.front() {
            Some((place, value)) if *place == self.at => value.slice(..length),
            _ => Bytes::copy_from_slice(&self.buffer.bytes[self.at..self.at + length]),
        }
    }

    /// Says that `n` of the bytes offered were written; more count as all of them.
    #[inline]
    pub(super) fn advance_written(&mut self, n: usize) {
        let n = n.min(usize::try_from(self.offered_until() - self.written).unwrap_or(usize::MAX));
        self.written += n as u64;
        if self.buffer.shared.is_empty() {
            self.at += n;
        } else {
            self.wrote_shared(n);
        }
        if !self.dead.is_empty() {
            self.skip_dead();
        }
        if self.written == self.end {
            RequestBuffer::recycle(&mut self.buffer.bytes);
            self.at = 0;
        } else if self.at > self.buffer.bytes.len() / 2 && self.at as u64 > WINDOW {
            self.buffer.bytes.drain(..self.at);
            self.buffer.shared.iter_mut().for_each(|(place, _)| *place -= self.at);
            self.at = 0;
        }
    }

    fn wrote_shared(&mut self, mut n: usize) {
        while n > 0 {
            match self.buffer.shared.front_mut() {
                Some((place, value)) if *place == self.at => {
                    let gone = n.min(value.len());
                    value.advance(gone);
                    n -= gone;
                    if value.is_empty() {
                        self.buffer.shared.pop_front();
                    }
                }
                next => {
                    let to = next.map_or(self.buffer.bytes.len(), |(place, _)| *place);
                    let gone = n.min(to - self.at);
                    if gone == 0 {
                        return;
                    }
                    self.at += gone;
                    n -= gone;
                }
            }
        }
    }

    /// The end of the last request that was answered.
    pub(super) fn answered_until(&self) -> u64 {
        self.answered
    }

    /// How many bytes are not written yet.
    pub(super) fn unsent(&self) -> u64 {
        self.end - self.written - self.dead_bytes
    }

    /// Never writes the `length` bytes from `start` on: a whole request of which nothing was written.
    ///
    /// They keep their place in the stream, so that this takes as long for one request as for the last of many, and their
    /// memory until [`SendWindow::reclaim`].
    #[cold]
    pub(super) fn kill(&mut self, start: u64, length: u64) {
        self.dead.insert(start, length);
        self.dead_bytes += length;
        self.skip_dead();
        if self.written == self.end {
            RequestBuffer::recycle(&mut self.buffer.bytes);
            self.at = 0;
        }
    }

    /// Where the next request begins that is never to be written.
    #[cold]
    fn next_dead(&self) -> u64 {
        self.dead.first_key_value().map_or(u64::MAX, |(start, _)| *start)
    }

    /// Skips the dead requests that are next.
    #[cold]
    fn skip_dead(&mut self) {
        while let Some(next) = self.dead.first_entry().filter(|next| *next.key() == self.written) {
            let length = next.remove();
            self.dead_bytes -= length;
            self.written += length;
            self.granted = self.granted.max(self.written);
            self.wrote_shared(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }

    /// Whether dead requests take so much memory that it should be given back: more than live ones, so that each byte
    /// is moved once on average.
    #[inline]
    pub(super) fn is_wasteful(&self) -> bool {
        self.dead_bytes > WINDOW && self.dead_bytes > self.unsent()
    }

    /// Gives back the memory of dead requests, and takes them out of the stream: moves the ends of the requests accordingly.
    #[cold]
    pub(super) fn reclaim(&mut self, in_flight: &mut VecDeque<InFlight>) {
        let dead = std::mem::take(&mut self.dead);
        let (bytes, shared) = (std::mem::take(&mut self.buffer.bytes), std::mem::take(&mut self.buffer.shared));
        let mut left = Rest { bytes, at: self.at, shared };
        let mut position = self.written;
        for (start, length) in &dead {
            left.take(start - position, Some(&mut self.buffer));
            left.take(*length, None);
            position = start + length;
        }
        left.take(self.end - position, Some(&mut self.buffer));
        self.at = 0;
        let before = |place| dead.range(..place).map(|(_, length)| length).sum::<u64>();
        self.granted -= before(self.granted);
        // Behind a store that was refused half-way, dead requests count as answered.
        self.answered -= before(self.answered);
        self.end -= before(self.end);
        let mut gone = 0;
        let mut dead = dead.into_iter().peekable();
        for request in in_flight.iter_mut() {
            // A dead request ends where it would begin.
            while let Some((_, length)) = dead.next_if(|(start, length)| start + length <= request.end) {
                gone += length;
            }
            (request.end, request.carried_out) = (request.end - gone, request.carried_out.saturating_sub(gone));
        }
        self.dead_bytes = 0;
    }

    /// The server has read nothing of all that was written.
    pub(super) fn unsend(&mut self) {
        self.written = self.answered;
    }
}

/// What is not written yet, front first.
struct Rest {
    bytes: Vec<u8>,
    at: usize,
    shared: VecDeque<(usize, Bytes)>,
}

impl Rest {
    /// Removes this many bytes, and appends them to `live`.
    fn take(&mut self, length: u64, mut live: Option<&mut RequestBuffer>) {
        let mut left = length;
        while left > 0 {
            if let Some((_, value)) = self.shared.front().filter(|(place, _)| *place == self.at) {
                // No request ends within its value.
                left = left.saturating_sub(value.len() as u64);
                let value = self.shared.pop_front();
                if let (Some(live), Some((_, value))) = (&mut live, value) {
                    live.shared.push_back((live.bytes.len(), value));
                }
                continue;
            }
            let to = self.shared.front().map_or(self.bytes.len(), |(place, _)| *place);
            let to = to.min(self.at.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
            if to == self.at {
                return;
            }
            if let Some(live) = &mut live {
                live.bytes.extend_from_slice(&self.bytes[self.at..to]);
            }
            left -= (to - self.at) as u64;
            self.at = to;
        }
    }
}
