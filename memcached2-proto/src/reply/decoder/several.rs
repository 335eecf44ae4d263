//! The reply to several keys: error lines among the values, and where it ends.

use super::Decoder;
use crate::error::Error;
use crate::reply::{ExpectedKeys, Reply, ReplyKind, error_line};

impl Decoder {
    /// A line of the reply to several keys that is no item; the reply that it completes.
    pub(super) fn of_several(
        &mut self,
        reply_kind: ReplyKind,
        reply: Reply,
        keys: &ExpectedKeys,
    ) -> Result<Option<Reply>, Error> {
        let is_fenced = reply_kind == ReplyKind::FencedValues;
        match reply {
            Reply::End if is_fenced && !std::mem::replace(&mut self.ended, true) => Ok(None),
            Reply::End if is_fenced => Err(Error::protocol("got END twice in the reply to one request")),
            Reply::Refused(line) if error_line::is_said_to_all(&line) => {
                Ok(Some(self.end_of_several(Reply::Refused(line))))
            }
            // Whether `END` follows, the fence shows, or the line itself.
            Reply::Refused(line) if (is_fenced && !self.ended) || (!is_fenced && error_line::is_inline(&line)) => {
                self.refused = Some(line);
                self.refusals += 1;
                if self.refusals > keys.most() {
                    return Err(Error::protocol("got more error lines than keys were asked for"));
                }
                Ok(None)
            }
            Reply::Miss => self.end_of_fenced().map(Some),
            reply => {
                self.in_doubt = is_fenced;
                Ok(Some(self.end_of_several(reply)))
            }
        }
    }

    /// The last reply to several keys, the last of which is missing.
    pub(super) fn end_of_fenced(&mut self) -> Result<Reply, Error> {
        self.has_ended()?;
        Ok(self.end_of_several(Reply::End))
    }

    /// Whether the classic part of the reply to several keys has ended, which is followed by the answer to the last
    /// key.
    pub(super) fn has_ended(&self) -> Result<(), Error> {
        match self.ended || self.refused.is_some() {
            true => Ok(()),
            false => Err(Error::protocol("got no END before the answer to the last key")),
        }
    }

    /// The last reply to several keys: the error line that was among them, if there was one.
    pub(super) fn end_of_several(&mut self, reply: Reply) -> Reply {
        (self.ended, self.refusals) = (false, 0);
        self.refused.take().map_or(reply, Reply::Refused)
    }
}
