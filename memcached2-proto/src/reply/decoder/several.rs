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

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::limits::Limits;
    use crate::reply::{Decoder, Expected, ExpectedKeys, Opaque, Reply, ReplyKind};

    /// What comes of a stream in pieces of at most `piece` bytes: the number of replies, and how they end.
    fn decode(kind: ReplyKind, limits: Limits, mut stream: &[u8], piece: usize) -> (usize, Result<(), Error>) {
        let (mut decoder, mut keys, mut count) = (Decoder::new(limits), ExpectedKeys::default(), 0);
        decoder.expect(Expected::new(kind, Opaque::from_ticket(7)));
        ["a", "b", "c"].iter().for_each(|key| keys.push(key.as_bytes()));
        keys.open(keys.size());
        while !stream.is_empty() {
            let n = stream.len().min(piece);
            decoder.read_buf()[..n].copy_from_slice(&stream[..n]);
            decoder.advance_read(n);
            stream = &stream[n..];
            loop {
                match decoder.decode(&mut keys, true) {
                    Ok(Some((Reply::Value(..) | Reply::End, _))) => count += 1,
                    Ok(Some(other)) => panic!("{other:?}"),
                    Ok(None) => break,
                    Err(error) => return (count, Err(error)),
                }
            }
        }
        (count, Ok(()))
    }

    #[test]
    fn no_value_is_accepted_after_the_end_of_the_keys_that_a_fence_follows() {
        for piece in [1, 5, usize::MAX] {
            let late = b"VALUE a 0 1\r\nx\r\nEND\r\nVALUE b 0 1\r\ny\r\nEN O0007\r\n";
            let (count, end) = decode(ReplyKind::FencedValues, Limits::default(), late, piece);
            assert_eq!((count, end.is_err()), (1, true), "{piece}");
            let good = b"VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\nEN O0007\r\n";
            assert_eq!(decode(ReplyKind::FencedValues, Limits::default(), good, piece), (3, Ok(())), "{piece}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_whole_and_in_pieces() {
        let limits = Limits { line: 20, ..Limits::default() };
        for piece in [1, 5, usize::MAX] {
            for (line, is_good) in [("VALUE a 0000000 1", true), ("VALUE a 0000000000000 1", false)] {
                let stream = format!("{line}\r\nx\r\nEND\r\n");
                let (_, end) = decode(ReplyKind::Values, limits, stream.as_bytes(), piece);
                assert_eq!(end.is_ok(), is_good, "{line} in pieces of {piece}");
            }
        }
    }
}
