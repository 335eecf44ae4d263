//! The question whether a server speaks meta.

use super::{Connection, Kind, Mode};
use crate::command::{Command, Protocol};
use crate::error::{Error, UNAUTHENTICATED};
use crate::reply::{Reply, ReplyKind, error_line};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// What the replies to a probe have shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Neither has come.
    Asked,
    /// The `md` was answered: as one, or not.
    Answered(bool),
}

impl Probe {
    /// How many requests of the probe are not answered.
    pub(super) fn unanswered(self) -> usize {
        match self {
            Self::Asked => 2,
            Self::Answered(_) => 1,
        }
    }
}

/// An `md` in the form of memcached 1.6.10 and later. Its key, a single zero byte, is one that no client stores, and
/// its `cas` one that no item has, so it deletes nothing. Older versions and other servers refuse the flag `b`, or `O`,
/// or the command. An `mg` would also work, but count as a miss.
struct ProbeKey;

/// An `mn`, which shows where the answer to the `md` ends. memcached's proxy answers it itself, even while its servers
/// are down. The blanks mean nothing: memcached 1.6.44 and later that wants credentials (`-Y`) closes a connection, without a
/// word, for a line that is shorter than 6 bytes (`MIN_AUTH_REQ_LEN` in `proto_text.c`).
struct ProbeEnd;

impl Command for ProbeKey {
    type Response = ();

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"md AA== b C18446744073709551615");
        out.end_with_opaque();
        Ok(ReplyKind::ProbeKey)
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

impl Command for ProbeEnd {
    type Response = ();

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"mn    \r\n");
        Ok(ReplyKind::ProbeEnd)
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

impl Connection {
    /// Asks the server whether it speaks meta, before anything else. Until the answer has come nothing else is written;
    /// from then on [`Connection::protocol`] is what the server speaks. The answer is not returned.
    ///
    /// A server may close the connection, or be silent: [`Opening`](crate::opening::Opening) knows what to do
    /// then.
    pub fn probe(&mut self, now: Now) {
        if self.in_flight.is_empty() && self.first == 0 {
            // Neither can fail to encode, but a connection that has ended takes no request.
            let asked =
                self.queue(&ProbeKey, now, 0, Kind::Probe).and_then(|_| self.queue(&ProbeEnd, now, 0, Kind::Probe));
            if asked.is_ok() {
                self.mode = Mode::Probing(Probe::Asked);
            }
        }
    }

    /// Whether the [probe](Connection::probe) is not answered yet.
    #[must_use]
    #[inline]
    pub fn is_probing(&self) -> bool {
        matches!(self.mode, Mode::Probing(_))
    }

    /// Takes an answer to the probe.
    #[cold]
    pub(super) fn on_probe(&mut self, reply: &Reply) -> Result<(), Error> {
        let Mode::Probing(probe) = self.mode else { return Ok(()) };
        self.mode = match (probe, reply) {
            (Probe::Asked, Reply::Refused(line)) if line.starts_with(UNAUTHENTICATED) => {
                return Err(self.fail(error_line::refusal(line)));
            }
            // A proxy that answers SERVER_ERROR has read the command, and its server is down.
            (Probe::Asked, Reply::Refused(line)) => Mode::Probing(Probe::Answered(line.starts_with("SERVER_ERROR"))),
            (Probe::Asked, _) => Mode::Probing(Probe::Answered(true)),
            (Probe::Answered(as_meta), reply) => {
                if as_meta && *reply == Reply::Ok {
                    self.protocol = Protocol::Meta;
                }
                Mode::Open
            }
        };
        Ok(())
    }
}
