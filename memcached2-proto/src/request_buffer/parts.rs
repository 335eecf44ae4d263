//! Several requests that are answered together.

use super::{Notice, RequestBuffer};
use crate::error::Error;
use crate::reply::ReplyKind;

impl RequestBuffer {
    /// Appends one of several requests that are answered together, or nothing of it. Returns what is expected, and how many bytes
    /// it has.
    pub(crate) fn put_part(
        &mut self,
        encode: impl FnOnce(&mut Self) -> Result<ReplyKind, Error>,
    ) -> Result<(ReplyKind, u64), Error> {
        let (bytes, shared, keys) = (self.bytes.len(), self.shared.len(), self.keys.size());
        let encoded = match encode(self) {
            Ok(reply_kind) if self.notice.is_none() && reply_kind.is_quiet() && self.ends_since(bytes) => {
                Ok(reply_kind)
            }
            Ok(reply_kind) => Err(self.fault_of_part(reply_kind)),
            Err(error) => Err(error),
        };
        // It is known by its opaque, and has no key of its own that is expected.
        self.keys.truncate(keys);
        match encoded {
            Ok(reply_kind) => {
                let values = self.shared.range(shared..).map(|(_, value)| value.len()).sum::<usize>();
                let length = (self.bytes.len() - bytes + values) as u64;
                self.keys.push_part(length);
                Ok((reply_kind, length))
            }
            Err(error) => {
                self.notice = None;
                self.bytes.truncate(bytes);
                self.shared.truncate(shared);
                Err(error)
            }
        }
    }

    /// Why one of several requests that are answered together cannot be sent.
    #[cold]
    fn fault_of_part(&mut self, reply_kind: ReplyKind) -> Error {
        let problem = match self.notice.take() {
            Some(Notice::Fault(error)) => return error,
            Some(Notice::FenceUntil(_)) => "it has a fence of its own",
            None if !reply_kind.is_quiet() => "what answers it is of no quiet kind",
            None => "it has no bytes, or does not end in CR LF",
        };
        Error::argument(format!("a command cannot be sent in a quiet batch: {problem}"))
    }

    /// Ends several requests of which those after the first one have `others` bytes: an `mn`, whose answer shows that no further reply
    /// comes, and a fence, whose opaque shows that it is the answer to this `mn`. The server carries the first request out
    /// without all that follows.
    pub(crate) fn end_parts(&mut self, others: u64) {
        let begun = self.bytes.len();
        self.put(b"mn\r\n");
        self.put_server_fence();
        self.notice = None;
        let closing = (self.bytes.len() - begun) as u64;
        match u32::try_from(others + closing) {
            Ok(fence) => self.fence = fence,
            Err(_) => self.refuse(Error::argument("a quiet batch of 4 GiB or more")),
        }
    }
}
