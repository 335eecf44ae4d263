//! Bytes in: replies, in the order of their requests.

use super::{CLOSED_SOON, Connection, InFlight, Kind, Mode};
use crate::error::Error;
use crate::reply::{Opaque, Reply, ReplyKind};
use crate::value::Value;

impl Connection {
    /// The buffer to read into. It is never empty if [`Connection::next_reply`] is called until it returns `None`; into an empty one, a
    /// socket reads 0 bytes, which looks like the end of the stream.
    #[inline]
    pub fn read_buf(&mut self) -> &mut [u8] {
        self.decoder.read_buf()
    }

    /// Says that `n` bytes were read into [`Connection::read_buf`]; 0 is the end of the stream, and more than there was room for count
    /// as all of it.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] at the end of the stream, unless it answers [`Connection::quit`]. Replies that came
    /// before it can still be taken.
    #[inline]
    pub fn advance_read(&mut self, n: usize) -> Result<(), Error> {
        if n == 0 {
            return self.end();
        }
        self.bytes_in += self.decoder.take_read(n) as u64;
        Ok(())
    }

    #[cold]
    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        let is_in_step = self.failed.is_none() && self.is_flushed() && self.decoder.is_empty();
        match self.in_flight.front() {
            Some(request) if request.kind == Kind::Quit && is_in_step => {
                self.confirm(None);
                Ok(())
            }
            _ => Err(self.ended_early()),
        }
    }

    /// Whether the reply under way has more than `bytes` bytes, as far as they have come or are announced.
    pub(crate) fn is_reply_longer_than(&self, bytes: usize) -> bool {
        let come = self.bytes_in.saturating_sub(self.front_from);
        !self.in_flight.is_empty() && come + self.decoder.announced() as u64 > bytes as u64
    }

    /// The next reply: the tag of its request, the reply, and whether it is the last one to that request.
    ///
    /// # Errors
    ///
    /// When the server breaks the protocol; the connection is of no use from then on.
    #[inline]
    pub fn next_reply(&mut self) -> Result<Option<(u32, Reply, bool)>, Error> {
        match self.next_ahead() {
            Some(reply) => Ok(Some(reply)),
            None => self.next_in_order(),
        }
    }

    /// The next reply, if it is one of the most common and nothing out of the ordinary is under way.
    #[inline]
    fn next_ahead(&mut self) -> Option<(u32, Reply, bool)> {
        let tag = self.plain_front()?.tag;
        let (reply, last) = self.decoder.decode_ahead(self.sending.keys())?;
        if last {
            self.served = true;
            self.pop();
        }
        Some((tag, reply, last))
    }

    /// The front request, if nothing out of the ordinary is under way.
    #[inline]
    fn plain_front(&self) -> Option<&InFlight> {
        let is_plain = self.written_count > 0 && self.held.is_none() && self.failed.is_none();
        self.in_flight.front().filter(|front| is_plain && front.kind == Kind::Asked)
    }

    /// Takes the next values of the front request, each with the place of its key, if it asks for several and they are in the most common
    /// form. The others are left to [`Connection::next_reply`].
    pub(crate) fn take_values(&mut self, take: &mut dyn FnMut(u32, Value)) {
        if self.plain_front().is_some() {
            self.decoder.decode_values_ahead(self.sending.keys(), take);
        }
    }

    /// Takes the next replies, each with the tag and the kind of its request, as long as they are successes of stores and deletes by
    /// meta. The others are left to [`Connection::next_reply`].
    pub(crate) fn take_successes(&mut self, mut take: impl FnMut(u32, ReplyKind)) {
        if self.plain_front().is_none() {
            return;
        }
        let mut taken = 0;
        for request in self.in_flight.range(..self.written_count) {
            let is_plain = request.kind == Kind::Asked && request.is_meta_change();
            if !is_plain || !self.decoder.decode_success_ahead(Opaque::from_ticket(self.first + taken)) {
                break;
            }
            take(request.tag, request.reply_kind);
            taken += 1;
        }
        self.pop_changes(taken);
    }

    /// The next reply, whatever it is.
    pub(super) fn next_in_order(&mut self) -> Result<Option<(u32, Reply, bool)>, Error> {
        if self.held.is_some() {
            if let Some(sure) = self.next_sure() {
                return Ok(Some(sure));
            }
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            if self.mode == Mode::Leaving && self.written_count == 0 {
                return Err(self.give_up(CLOSED_SOON));
            }
            let Some(request) = self.in_flight.front() else {
                // Without an expected reply, any byte is unexpected.
                return match self.decoder.pending().is_empty() || self.may_be_full() {
                    true if self.held.is_some() => Ok(self.ask_for_proof()),
                    true => Ok(None),
                    false => Err(self.unasked()),
                };
            };
            let (tag, kind) = (request.tag, request.kind);
            if matches!(kind, Kind::Removed | Kind::Quit) {
                match self.skip(kind) {
                    Ok(true) => continue,
                    end => return end.map(|_| None),
                }
            }
            match self.decoder.decode_by_line(self.sending.keys(), kind != Kind::Cancelled) {
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.fail(error)),
                Ok(Some((reply, last))) => {
                    let is_sure = match &reply {
                        Reply::Refused(line) => self.on_error_line(line)?,
                        _ if self.written_count == 0 => self.check_begun(last)?,
                        _ => !self.decoder.is_in_doubt(),
                    };
                    if !is_sure {
                        self.hold(reply);
                        continue;
                    }
                    if last {
                        self.served = true;
                        if self.held.is_some() && self.decoder.expected().is_checked() {
                            self.pop_proof(kind);
                            self.confirm(kind.report(tag, reply, last));
                            return Ok(self.next_sure());
                        }
                        self.pop();
                    }
                    match kind {
                        Kind::Asked => return Ok(Some((tag, reply, last))),
                        Kind::Cancelled if last => return Ok(Some((tag, Reply::Cancelled, true))),
                        Kind::Cancelled | Kind::Removed | Kind::Quit | Kind::Proof => self.check()?,
                        Kind::Probe => self.on_probe(&reply)?,
                    }
                }
            }
        }
    }

    /// Whether the connection is still of use.
    #[cold]
    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Ends the front request, whose reply is complete.
    #[inline]
    pub(super) fn pop(&mut self) {
        self.sending.keys().close();
        if let Some(done) = self.in_flight.pop_front() {
            self.first += 1;
            self.written_count = self.written_count.saturating_sub(1);
            self.sending.answered(&done);
        }
        self.open_front();
    }

    /// Ends the first `count` requests, stores and deletes by meta whose replies are complete, as [`Connection::pop`] does each of them.
    fn pop_changes(&mut self, count: u64) {
        // As many as are in memory.
        let run = count as usize;
        let Some(last) = run.checked_sub(1).and_then(|last| self.in_flight.get(last)) else { return };
        self.sending.answered_lines(last, run);
        self.in_flight.drain(..run);
        self.first += count;
        self.written_count -= run;
        self.served = true;
        self.open_front();
    }

    /// Expects the reply to the request that is now in front.
    #[inline]
    fn open_front(&mut self) {
        if let Some(next) = self.in_flight.front() {
            self.sending.keys().open_pushed(next.keys as usize);
            self.decoder.expect(next.expected(self.first));
            // What is in the buffer already belongs to the next reply.
            self.front_from = self.bytes_in - self.decoder.unread() as u64;
        }
    }

    /// Ends the front request, whose reply proves the error lines before it. The connection's own `mn` comes after them
    /// and has no ticket.
    #[cold]
    fn pop_proof(&mut self, kind: Kind) {
        if kind == Kind::Proof {
            self.first -= 1;
        }
        self.pop();
    }

    /// Ends the front request if it was cancelled unwritten; nothing may come after a `quit`.
    #[cold]
    fn skip(&mut self, kind: Kind) -> Result<bool, Error> {
        match kind {
            Kind::Quit if self.decoder.is_empty() => Ok(false),
            Kind::Quit => Err(self.unasked()),
            _ => {
                self.pop();
                Ok(true)
            }
        }
    }
}
