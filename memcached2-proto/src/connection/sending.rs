//! The bytes on their way out, and how many of them may go before replies are read.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Buf;

use super::Wait;
use crate::outbox::Outbox;
use crate::reply::AskedKeys;

/// Unanswered request bytes stay below this, unless the replies to them are sure to fit the socket's buffers: it is
/// what two kernels buffer for a connection on any system.
const WINDOW: u64 = 64 * 1024;
/// So many replies of one short line fit any socket's buffers: 16 KiB at 64 bytes each.
const LINES: usize = 256;

/// The queue of bytes to be written. Positions are counted from the beginning of the stream.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Encoded requests, of which `at` bytes are written; of the first shared value it holds the rest.
    outbox: Outbox,
    at: usize,
    end: u64,
    written: u64,
    /// How far may be written.
    granted: u64,
    /// The end of the last request that was answered.
    answered: u64,
    /// How many requests are granted and not answered, and how many of those may get more than one short line.
    open: usize,
    open_large: usize,
}

impl Sending {
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
    pub(super) fn keys(&mut self) -> &mut AskedKeys {
        &mut self.outbox.keys
    }

    /// Where to encode one request; [`Sending::queued`] tells where it ends.
    #[inline]
    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// The next request has so many bytes; where it ends.
    #[inline]
    pub(super) fn queued(&mut self, length: u64) -> u64 {
        self.end += length;
        self.end
    }

    /// Takes over what others have encoded, except for the list of their requests.
    #[inline]
    pub(super) fn absorb(&mut self, others: &mut Outbox) {
        self.outbox.keys.absorb(&mut others.keys);
        let base = self.outbox.bytes.len();
        if base == 0 {
            std::mem::swap(&mut self.outbox.bytes, &mut others.bytes);
        } else {
            self.outbox.bytes.extend_from_slice(&others.bytes);
        }
        if !others.shared.is_empty() {
            self.outbox.shared.extend(others.shared.drain(..).map(|(at, value)| (base + at, value)));
        }
        Outbox::recycle(&mut others.bytes);
    }

    /// Grants as many of the requests under way as may be written.
    #[inline]
    pub(super) fn grant(&mut self, waits: &VecDeque<Wait>) {
        if self.granted == self.end {
            return;
        }
        if let (1, Some(wait)) = (waits.len(), waits.front()) {
            self.grant_one(wait);
        } else {
            self.grant_some(waits);
        }
    }

    /// Grants the first `count` of the requests under way, and no other.
    #[cold]
    pub(super) fn grant_until(&mut self, waits: &VecDeque<Wait>, count: usize) {
        for wait in waits.iter().take(count).skip(self.open) {
            self.grant_one(wait);
        }
    }

    #[inline]
    fn grant_one(&mut self, wait: &Wait) {
        self.granted = wait.end;
        self.open += 1;
        self.open_large += usize::from(!wait.shape.is_line());
    }

    fn grant_some(&mut self, waits: &VecDeque<Wait>) {
        // Half a window at least, so that each reply does not let a few bytes trickle out in a write of their own.
        let half_open = self.granted - self.answered > WINDOW / 2 && (self.open_large > 0 || self.open > LINES / 2);
        if half_open {
            return;
        }
        for wait in waits.range(self.open..) {
            let fits = wait.end - self.answered <= WINDOW;
            let only_lines_before = self.open_large == 0 && self.open < LINES;
            if !(fits || only_lines_before) {
                break;
            }
            self.grant_one(wait);
        }
    }

    /// The oldest request was answered, or is known to get no answer.
    #[inline]
    pub(super) fn answered(&mut self, wait: &Wait) {
        self.answered = wait.end;
        // One that was withdrawn may never have been granted.
        if self.open > 0 {
            self.open -= 1;
            self.open_large -= usize::from(!wait.shape.is_line());
        }
    }

    /// Offers what is granted and not written.
    #[inline(always)]
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = usize::try_from(self.granted - self.written).unwrap_or(usize::MAX);
        if self.outbox.shared.is_empty() {
            let piece = &self.outbox.bytes[self.at..self.outbox.bytes.len().min(self.at.saturating_add(left))];
            return match slices.first_mut() {
                Some(slice) if !piece.is_empty() => {
                    *slice = IoSlice::new(piece);
                    1
                }
                _ => 0,
            };
        }
        let mut at = self.at;
        let mut shared = self.outbox.shared.iter().peekable();
        let mut count = 0;
        for slice in slices {
            let piece = match shared.peek() {
                Some((place, value)) if *place == at => {
                    shared.next();
                    value
                }
                next => {
                    let to = next.map_or(self.outbox.bytes.len(), |(place, _)| *place);
                    &self.outbox.bytes[std::mem::replace(&mut at, to)..to]
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

    /// Says that `n` of the bytes offered were written.
    #[inline(always)]
    pub(super) fn wrote(&mut self, n: usize) {
        self.written = self.granted.min(self.written + n as u64);
        if self.outbox.shared.is_empty() {
            self.at += n;
        } else {
            self.wrote_shared(n);
        }
        if self.written == self.end {
            Outbox::recycle(&mut self.outbox.bytes);
            self.at = 0;
        } else if self.at > self.outbox.bytes.len() / 2 && self.at as u64 > WINDOW {
            self.outbox.bytes.drain(..self.at);
            self.outbox.shared.iter_mut().for_each(|(place, _)| *place -= self.at);
            self.at = 0;
        }
    }

    fn wrote_shared(&mut self, mut n: usize) {
        while n > 0 {
            match self.outbox.shared.front_mut() {
                Some((place, value)) if *place == self.at => {
                    let gone = n.min(value.len());
                    value.advance(gone);
                    n -= gone;
                    if value.is_empty() {
                        self.outbox.shared.pop_front();
                    }
                }
                next => {
                    let to = next.map_or(self.outbox.bytes.len(), |(place, _)| *place);
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

    /// Takes back `length` bytes from `start` on: a whole request of which nothing was written.
    pub(super) fn cut(&mut self, start: u64, length: u64) {
        let (bytes_from, shared_from) = self.place(start);
        let (bytes_to, shared_to) = self.place(start + length);
        self.outbox.bytes.drain(bytes_from..bytes_to);
        self.outbox.shared.drain(shared_from..shared_to);
        for (place, _) in self.outbox.shared.range_mut(shared_from..) {
            *place -= bytes_to - bytes_from;
        }
        self.end -= length;
        if self.granted > start {
            self.granted -= length;
        }
    }

    /// Where the end of a request that was not written lies: among the bytes, and among the shared values.
    fn place(&self, end: u64) -> (usize, usize) {
        let (mut offset, mut at) = (self.written, self.at);
        for (index, (place, value)) in self.outbox.shared.iter().enumerate() {
            let bytes = (place - at) as u64;
            // A request never ends right before its value.
            if offset + bytes >= end {
                return (at + (end - offset) as usize, index);
            }
            offset += bytes + value.len() as u64;
            at = *place;
        }
        (at + (end - offset) as usize, self.outbox.shared.len())
    }

    /// The server has read nothing of all that was written.
    pub(super) fn unsend(&mut self) {
        self.written = self.answered;
    }
}
