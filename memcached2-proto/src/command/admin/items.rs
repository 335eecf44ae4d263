//! `flush_all`.

use crate::command::detach::borrow_nothing;
use crate::command::{Command, Protocol, RequestBuffer, admin};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::time::{Expiry, Now};

/// Expires every item of a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlushAll {
    delay: Option<Expiry>,
}

impl FlushAll {
    /// Expires every item at once.
    #[must_use]
    pub fn now() -> Self {
        Self::default()
    }

    /// Expires every item at this moment, also those that are stored before it. With [`Expiry::Never`] the error is
    /// [`Error::Expiry`].
    #[must_use]
    pub fn at(when: impl Into<Expiry>) -> Self {
        Self { delay: Some(when.into()) }
    }
}

impl Command for FlushAll {
    type Response = ();

    fn name(&self) -> &'static str {
        "flush_all"
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"flush_all");
        if let Some(delay) = self.delay {
            if delay == Expiry::Never {
                return Err(Error::expiry());
            }
            out.put(b" ");
            // A moment in the past means now; memcached reads a negative number in the same way.
            out.put_signed(delay.exptime(now)?.max(0));
        }
        out.put(b"\r\n");
        admin::put_fence(protocol, out);
        Ok(ReplyKind::Ok)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        admin::ok(reply)
    }
}

borrow_nothing!(FlushAll);
