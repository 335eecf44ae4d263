//! A command of your own: any line.

use crate::command::detach::{Answer, Detach};
use crate::command::{Command, Protocol, RequestBuffer, accepted, admin};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::time::Now;

/// A line of your own: for what vendors add to the protocol.
///
/// The answer is the whole [`Reply`]; an error line is [`Error::Refused`].
///
/// It is followed by a [fence](RequestBuffer::put_server_fence) where the server speaks meta, so that its reply is checked; see
/// [`Raw::without_fence`]. It is sent once; see [`Raw::repeatable`].
///
/// ```
/// use memcached2_proto::command::Raw;
/// use memcached2_proto::operation::AllServers;
/// use memcached2_proto::reply::ReplyKind;
///
/// let tenants = Raw::new("stats tenants", ReplyKind::Stats)?.repeatable();
/// // client.run(AllServers(tenants))?;
/// assert!(Raw::new("stats\r\nflush_all", ReplyKind::Stats).is_err());
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Raw {
    line: Vec<u8>,
    reply_kind: ReplyKind,
    has_fence: bool,
    is_repeatable: bool,
}

/// The longest line in bytes: memcached before 1.6.14 closes the connection after 1024.
const LONGEST: usize = 1000;

/// A server that reads it first on a connection speaks the binary protocol from then on.
const BINARY: u8 = 0x80;

/// Commands that a data block follows, that end or take over their connection, or that have no answer.
const OTHERS: [&[u8]; 11] =
    [b"set", b"add", b"replace", b"append", b"prepend", b"cas", b"ms", b"quit", b"shutdown", b"watch", b"mn"];

impl Raw {
    /// A line without its line end, and what answers it.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the line is empty or longer than 1000 bytes, holds CR, LF or a zero byte, begins with a blank or the
    /// byte 0x80, or ends in `noreply`; if it is one that a data block follows, or that takes over its connection (`set`, `watch`,
    /// `quit` and the like); and for a kind of reply that names keys, or carries an opaque.
    pub fn new(line: impl Into<Vec<u8>>, reply_kind: ReplyKind) -> Result<Self, Error> {
        let line = line.into();
        // As the server does, which passes over further blanks.
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let last = words.next_back().unwrap_or(second);
        let is_dump = first == b"lru_crawler" && second.starts_with(b"m");
        let problem = match reply_kind {
            _ if matches!(line[..], [] | [b' ', ..]) => "it is empty, or begins with a blank",
            _ if line[0] == BINARY => "it begins with the byte 0x80, as the binary protocol does",
            _ if line.len() > LONGEST => "it is longer than 1000 bytes",
            _ if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) => "it holds a line end or a zero byte",
            _ if last == b"noreply" => "it ends in noreply, and so would not be answered",
            _ if is_dump || OTHERS.contains(&first) => {
                "it is not one line with one reply; it has a method or command of its own"
            }
            ReplyKind::Ok
            | ReplyKind::Config
            | ReplyKind::Deleted
            | ReplyKind::Items
            | ReplyKind::Number
            | ReplyKind::Prefixes
            | ReplyKind::Reset
            | ReplyKind::Stat
            | ReplyKind::Stats
            | ReplyKind::Touched
            | ReplyKind::Version => {
                return Ok(Self { line, reply_kind, has_fence: true, is_repeatable: false });
            }
            _ => "this kind of reply belongs to commands with keys",
        };
        Err(Error::argument(format!("the line \"{}\" cannot be sent: {problem}", line.escape_ascii())))
    }

    /// Sends no fence after it: for a server that speaks meta but fails when another command follows this line. Then nothing checks that
    /// the reply belongs to this line.
    #[must_use]
    pub fn without_fence(mut self) -> Self {
        self.has_fence = false;
        self
    }

    /// Says that it is a pure read: sent twice, it does no harm, so it is sent again if its connection turns out dead.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }
}

impl Command for Raw {
    type Response = Reply;

    fn name(&self) -> &'static str {
        "raw"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(&self.line);
        out.put(b"\r\n");
        if self.has_fence {
            admin::put_fence(protocol, out);
        }
        Ok(self.reply_kind)
    }

    fn answer(&self, reply: Reply) -> Result<Reply, Error> {
        accepted(reply)
    }

    fn repeatable(&self) -> bool {
        self.is_repeatable
    }
}

impl Detach for Raw {
    fn detach(&self) -> Answer<Reply> {
        Answer::new(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_more_than_a_line_is_refused() {
        for line in [
            "",
            " stats",
            "a\r\nb",
            "a\nb",
            "a\0b",
            "flush_all noreply",
            "flush_all noreply  ",
            "set a 0 0 1",
            "watch",
            "mn",
        ] {
            assert!(matches!(Raw::new(line, ReplyKind::Ok), Err(Error::Argument { .. })), "{line:?}");
        }
        for dump in ["lru_crawler metadump all", "lru_crawler  mgdump all"] {
            assert!(Raw::new(dump, ReplyKind::Stats).is_err());
        }
        assert!(Raw::new(*b"\x80\x07", ReplyKind::Ok).is_err());
        // It is the name of something else.
        assert!(Raw::new("vendor noreply x", ReplyKind::Ok).is_ok() && Raw::new("noreplying", ReplyKind::Ok).is_ok());
        assert!(Raw::new(vec![b'a'; LONGEST], ReplyKind::Ok).is_ok());
        assert!(Raw::new(vec![b'a'; LONGEST + 1], ReplyKind::Ok).is_err());
        for kind in [ReplyKind::Value, ReplyKind::Values, ReplyKind::MetaValue, ReplyKind::Stored, ReplyKind::ProbeEnd]
        {
            assert!(Raw::new("vendor", kind).is_err(), "{kind:?}");
        }
    }
}
