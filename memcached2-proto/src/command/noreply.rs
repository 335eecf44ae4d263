//! Requests that the server does not answer: `noreply`.

use super::{Command, Keyed, Protocol};
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::time::Now;

/// A command that memcached carries out without an answer if it ends in `noreply`.
pub trait HasNoReply: Command {
    /// Whether a data block follows the request line.
    const DATA: bool = false;

    /// Appends the request in this form.
    ///
    /// # Errors
    ///
    /// Those of [`Command::encode`].
    fn encode_noreply(&self, now: Now, out: &mut Outbox) -> Result<(), Error>;
}

/// A request that asks for no answer of its own.
///
/// A `version` follows it in the same write: its answer shows that the server has read the request and brings the
/// connection back in step. So `Ok` says that the request was read, and no more: whether it had its effect nobody knows.
///
/// A store is sent with `noreply` only to a server that is known to be of version 1.6.10 or later, which is where
/// [`Protocol::Meta`] is spoken. Servers before 1.6 read the value of such a store as commands when it is too large for
/// them, so to all others the store is sent with its answer, which is thrown away.
///
/// ```
/// # use memcached2_proto::Error;
/// use memcached2_proto::{Delete, NoReply};
///
/// let request = NoReply(Delete::new("session:42")?);
/// // client.run(request)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NoReply<C>(pub C);

impl<C: HasNoReply + Keyed> Keyed for NoReply<C> {
    fn key(&self) -> Key<'_> {
        self.0.key()
    }
}

impl<C: HasNoReply> Command for NoReply<C> {
    type Response = ();

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        if C::DATA && protocol == Protocol::Classic {
            return self.0.encode(protocol, now, out);
        }
        self.0.encode_noreply(now, out)?;
        out.put(b"version\r\n");
        Ok(Shape::Fence { data: C::DATA })
    }

    /// An error line that came before the fence is the answer to the request, in spite of `noreply`: a proxy sends it.
    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<(), Error> {
        end?;
        match replies.into_iter().find(|reply| matches!(reply, Reply::Refused(_))) {
            Some(Reply::Refused(line)) => Err(Error::refused(&line)),
            _ => Ok(()),
        }
    }
}
