//! The reply to a quiet batch: what is shown of it, the error lines between, and its end.

use std::ops::Range;
use std::sync::Arc;

use super::{Decoder, Item};
use crate::error::Error;
use crate::reply::grammar::{self, QuietLine};
use crate::reply::{ExpectedKeys, QuietReply, Reply, ReplyKind, error_line};
use crate::value::ValueBytes;

/// How far the reply to a quiet batch has come.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// The first request that can still have a reply, and the one that could before the last reply.
    next: u32,
    from: u32,
    /// How many error lines have come.
    refused: u32,
    /// Those of them that came since the last reply.
    refusals: Vec<Arc<str>>,
}

impl Decoder {
    /// A line of the reply to a quiet batch, after which the next one begins at `next`. Returns the reply that it completes.
    #[cold]
    pub(super) fn quiet_line(
        &mut self,
        line: Range<usize>,
        next: usize,
        keys: &ExpectedKeys,
        keep: bool,
    ) -> Result<Option<(Reply, bool)>, Error> {
        let kind = self.expected.reply_kind;
        let found = grammar::quiet(&self.buffer[line], kind, self.expected.opaque, keys)?;
        self.start = next;
        let quiet = self.quiet.get_or_insert_default();
        let end = match found {
            // It is the answer to all of them if it is the first that comes.
            QuietLine::Refused(line) if error_line::is_said_to_all(&line) && quiet.is_untouched() => {
                Reply::Refused(line)
            }
            QuietLine::Refused(line) => return quiet.refuse(line, kind, keys.parts()).map(|()| None),
            QuietLine::Reply(at, reply) => {
                quiet.advance(at)?;
                return Ok(Some((quiet.shown(at, reply), false)));
            }
            QuietLine::Item(item, meta) => {
                quiet.advance(item.index)?;
                self.meta = Some(meta);
                return self.begin(item, keep).map(|()| None);
            }
            QuietLine::End => {
                let refusals = std::mem::take(&mut quiet.refusals);
                Reply::Quiet(Box::new(QuietReply { at: keys.parts(), reply: None, refusals, from: quiet.next }))
            }
        };
        self.quiet = None;
        Ok(self.before_fence(end))
    }

    /// The reply to one of the requests whose data has come.
    #[cold]
    pub(super) fn quiet_item(&mut self, item: Item, data: ValueBytes) -> Reply {
        let reply = self.with_flags(item, data);
        self.quiet.get_or_insert_default().shown(item.index, reply)
    }
}

impl Quiet {
    fn is_untouched(&self) -> bool {
        self.next == 0 && self.refused == 0
    }

    /// Takes a reply to the request at a place. Replies come in order, one at most for each request.
    fn advance(&mut self, at: u32) -> Result<(), Error> {
        let between = at.checked_sub(self.next);
        if between.is_none_or(|between| (self.refusals.len() as u64) > u64::from(between)) {
            return Err(Error::protocol("got more replies than requests, or one out of order, in a quiet batch"));
        }
        (self.from, self.next) = (self.next, at + 1);
        Ok(())
    }

    fn shown(&mut self, at: u32, reply: Reply) -> Reply {
        let refusals = std::mem::take(&mut self.refusals);
        Reply::Quiet(Box::new(QuietReply { at, reply: Some(reply), refusals, from: self.from }))
    }

    /// Takes an error line, which must leave the connection in step.
    fn refuse(&mut self, line: Arc<str>, kind: ReplyKind, requests: u32) -> Result<(), Error> {
        self.refused += 1;
        let is_swallowed = !kind.has_data() || error_line::swallows_data(&line);
        let is_foreign = error_line::is_about_a_number(&line) && !kind.is_number();
        let has_a_request = (self.refusals.len() as u64) < u64::from(requests - self.next.min(requests));
        if error_line::may_replace_several(&line) || !is_swallowed || is_foreign || !has_a_request {
            return Err(Error::protocol(format!(
                "the server may be out of step after it answered {line:?} to a quiet batch"
            )));
        }
        self.refusals.push(line);
        Ok(())
    }
}
