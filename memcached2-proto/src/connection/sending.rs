//! The bytes on their way out, and how many of them may go before replies are read.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::Wait;
use crate::outbox::Outbox;

/// Unanswered request bytes stay below this, unless the replies to them are sure to fit the socket's buffers: it is
/// what two kernels buffer for a connection on any system.
const WINDOW: u64 = 64 * 1024;
/// So many replies of one short line fit any socket's buffers: 16 KiB at 64 bytes each.
const LINES: usize = 256;

/// The queue of bytes to be written. Positions are counted from the beginning of the stream.
#[derive(Debug, Default)]
pub(super) struct Sending {
    bytes: Vec<u8>,
    /// How many of `bytes` were written.
    at: usize,
    /// Large values to be written at these places between `bytes`; of the first one the rest.
    shared: VecDeque<(usize, Bytes)>,
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
    /// The end of the last request.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether a byte of the oldest unanswered request was written.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.written > self.answered
    }

    /// Takes over the bytes of `outbox`.
    #[inline]
    pub(super) fn absorb(&mut self, outbox: &mut Outbox) {
        self.end += outbox.len() as u64;
        let base = self.bytes.len();
        if base == 0 {
            std::mem::swap(&mut self.bytes, &mut outbox.bytes);
        } else {
            self.bytes.extend_from_slice(&outbox.bytes);
        }
        if !outbox.shared.is_empty() {
            self.shared.extend(outbox.shared.drain(..).map(|(at, value)| (base + at, value)));
        }
        outbox.clear();
    }

    /// Grants as many of the requests under way as may be written.
    #[inline]
    pub(super) fn grant(&mut self, waits: &VecDeque<Wait>) {
        if self.granted == self.end {
            return;
        }
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
            self.granted = wait.end;
            self.open += 1;
            self.open_large += usize::from(!wait.shape.is_line());
        }
    }

    /// The oldest request, of which at least a byte was written, was answered.
    #[inline]
    pub(super) fn answered(&mut self, wait: &Wait) {
        self.answered = wait.end;
        self.open -= 1;
        self.open_large -= usize::from(!wait.shape.is_line());
    }

    /// Offers what is granted and not written.
    #[inline]
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = usize::try_from(self.granted - self.written).unwrap_or(usize::MAX);
        let mut at = self.at;
        let mut shared = self.shared.iter().peekable();
        let mut count = 0;
        for slice in slices {
            let piece = match shared.peek() {
                Some((place, value)) if *place == at => {
                    shared.next();
                    value
                }
                next => {
                    let to = next.map_or(self.bytes.len(), |(place, _)| *place);
                    &self.bytes[std::mem::replace(&mut at, to)..to]
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
    #[inline]
    pub(super) fn wrote(&mut self, n: usize) {
        self.written = self.granted.min(self.written + n as u64);
        if self.shared.is_empty() {
            self.at += n;
        } else {
            self.wrote_shared(n);
        }
        if self.written == self.end {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > self.bytes.len() / 2 && self.at as u64 > WINDOW {
            self.bytes.drain(..self.at);
            self.shared.iter_mut().for_each(|(place, _)| *place -= self.at);
            self.at = 0;
        }
    }

    fn wrote_shared(&mut self, mut n: usize) {
        while n > 0 {
            match self.shared.front_mut() {
                Some((place, value)) if *place == self.at => {
                    let gone = n.min(value.len());
                    value.advance(gone);
                    n -= gone;
                    if value.is_empty() {
                        self.shared.pop_front();
                    }
                }
                next => {
                    let to = next.map_or(self.bytes.len(), |(place, _)| *place);
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

    /// The server has read nothing of all that was written.
    pub(super) fn unsend(&mut self) {
        self.written = self.answered;
    }
}
