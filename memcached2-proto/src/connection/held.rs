//! Error lines that are not reported before it is sure which requests they answer.

use std::collections::VecDeque;

use super::{Connection, ENDED, InFlight, Kind};
use crate::error::Error;
use crate::reply::error_line::AFTER_LINE;
use crate::reply::{Reply, ReplyKind, foreign};
use crate::request_buffer::Request;

/// What has come and is not reported yet.
///
/// A reply to a meta command carries the number of its request, but an error line does not. While further requests are
/// in flight, it could be the answer to a later one, with the replies before it lost; or a doubled or late answer to an
/// earlier one. The next reply shows it: it must be the reply to the next request. If there is no next request, the
/// connection sends an `mn`.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Error lines, each with the request that it seems to answer.
    lines: Vec<(InFlight, Reply)>,
    /// What is sure, to be reported in this order.
    sure: VecDeque<(u32, Reply, bool)>,
}

impl Connection {
    /// Keeps an error line that seems to answer the front request, and ends that.
    #[cold]
    pub(super) fn hold(&mut self, line: Reply) {
        if let Some(request) = self.in_flight.front().copied() {
            self.served = true;
            self.decoder.clear_doubt();
            self.pop();
            self.held.get_or_insert_default().lines.push((request, line));
        }
    }

    /// The reply to the next request has come, so the error lines belong to their requests. They are reported, and then
    /// that reply.
    #[cold]
    pub(super) fn confirm(&mut self, reported: Option<(u32, Reply, bool)>) {
        let Some(held) = &mut self.held else { return };
        for (request, line) in held.lines.drain(..) {
            held.sure.extend(request.kind.report(request.tag, line, true));
        }
        held.sure.extend(reported);
    }

    /// Sends an `mn` after error lines, if no other request is in flight whose reply would show to which requests they
    /// belong.
    #[cold]
    pub(super) fn ask_for_proof(&mut self) -> Option<(u32, Reply, bool)> {
        const PROOF: &[u8] = b"mn\r\n";
        let is_wanted = self.held.as_ref().is_some_and(|held| !held.lines.is_empty());
        if is_wanted && !self.ended && !self.quitting {
            self.sending.buffer().put(PROOF);
            let request =
                Request { tag: 0, reply_kind: ReplyKind::ProbeEnd, keys: 0, fence: 0, length: PROOF.len() as u64 };
            self.enqueue(request, Kind::Proof);
        }
        None
    }

    /// What the server speaks instead, by the bytes that are not read yet.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        foreign(self.decoder.pending())
    }

    /// The error of a connection that the server has ended before everything was answered.
    #[cold]
    pub(super) fn ended_early(&self) -> Error {
        if let (Some(what), false) = (self.foreign(), self.served) {
            return Error::disconnected(what);
        }
        match self.held.as_ref().and_then(|held| held.lines.last()) {
            Some((_, Reply::Refused(line))) => Error::disconnected(&format!("{ENDED}{AFTER_LINE}{line:?}")),
            _ => Error::disconnected(ENDED),
        }
    }

    /// The next of what is sure.
    #[cold]
    pub(super) fn next_sure(&mut self) -> Option<(u32, Reply, bool)> {
        let held = self.held.as_mut()?;
        let next = held.sure.pop_front();
        if next.is_none() && held.lines.is_empty() {
            self.held = None;
        }
        next
    }

    /// The requests whose error lines were never reported.
    pub(super) fn take_held(&mut self) -> impl Iterator<Item = InFlight> + use<> {
        self.held.take().into_iter().flat_map(|held| held.lines).map(|(request, _)| request)
    }
}

impl Kind {
    /// What is reported of a reply.
    #[inline]
    pub(super) fn report(self, tag: u32, reply: Reply, last: bool) -> Option<(u32, Reply, bool)> {
        match self {
            Self::Asked => Some((tag, reply, last)),
            Self::Cancelled if last => Some((tag, Reply::Cancelled, true)),
            Self::Cancelled | Self::Removed | Self::Quit | Self::Probe | Self::Proof => None,
        }
    }
}
