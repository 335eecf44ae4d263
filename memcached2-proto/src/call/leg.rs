//! What a blocking transport asks on one connection.

use super::asked::{Asked, Blame, micros};
use std::time::Duration;

use crate::command::Command;
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::router::ServerId;
use crate::time::Now;

/// So many encoded bytes of a batch are to be in memory: far more than a socket takes at once.
const ENCODED: u64 = 256 * 1024;

/// The open parts of a call that go to one server: what a blocking transport asks on one connection.
#[derive(Debug)]
pub struct Leg<'c, P> {
    asked: &'c mut [Asked<P>],
    open: usize,
    /// The place of the next part to be submitted.
    next: usize,
    retry: bool,
}

impl<'c, P> Leg<'c, P> {
    #[inline]
    pub(super) fn new(asked: &'c mut [Asked<P>]) -> Option<Self> {
        let (mut open, mut retry) = (0, false);
        for asked in asked.iter().filter(|asked| asked.is_open()) {
            open += 1;
            retry |= asked.retried;
        }
        (open > 0).then_some(Self { asked, open, next: 0, retry })
    }

    /// The server to ask.
    #[must_use]
    #[inline]
    pub fn server(&self) -> ServerId {
        self.asked[0].server
    }

    /// Whether it must be asked on a fresh connection, since the one before was dead.
    #[must_use]
    #[inline]
    pub fn is_retry(&self) -> bool {
        self.retry
    }

    /// Ends all open parts with an error: no connection could be had, so nothing was sent.
    pub fn fail(&mut self, error: &Error) {
        let blame = match error {
            // It was made, and lost before the server had said which protocol it speaks: it may have been the last that
            // another server has answered.
            Error::Disconnected { .. } | Error::Protocol { .. } => Blame::Connection,
            error => Blame::of(error),
        };
        self.fail_open(error, blame);
    }

    fn fail_open(&mut self, error: &Error, blame: Blame) {
        for asked in self.asked.iter_mut().filter(|asked| asked.is_open()) {
            asked.fail(error.clone().with_landed(Landed::NotSent), blame);
        }
        self.open = 0;
    }

    /// Ends all open parts with an error of the connection, which knows what became of each. Its silence speaks against the
    /// server, or with `spares_server` against nobody: where it had been idle for so long that it may have died unnoticed,
    /// and where the next connection shows at once whether the server is there.
    ///
    /// Returns whether the connection was most likely dead before it was used: then others that have been idle for as long
    /// are, too.
    pub fn fail_on(&mut self, connection: &mut Connection, error: &Error, spares_server: bool) -> bool {
        let mut was_dead = false;
        for abandoned in connection.abandon() {
            was_dead |= abandoned.stale || (spares_server && abandoned.silent);
            if let Some(asked) = self.asked.get_mut(abandoned.tag as usize) {
                let error = error.clone().with_landed(abandoned.landed);
                let blame = match error.is_timeout() {
                    // A server that is slow is not down.
                    true if !abandoned.silent || spares_server => Blame::Nobody,
                    false if abandoned.stale => Blame::Connection,
                    _ => Blame::of(&error),
                };
                asked.fail(error, blame);
            }
        }
        let error = error.clone().with_landed(Landed::NotSent);
        self.fail_open(&error, Blame::of(&error));
        was_dead
    }

    /// Notes how long the connection was waited for, for whoever observes.
    #[cold]
    pub fn waited(&mut self, time: Duration) {
        self.asked.iter_mut().filter(|asked| asked.is_open()).for_each(|asked| asked.waited = micros(time));
    }

    /// Notes how long it took to hear it all, from [`Call::begun`](crate::Call::begun) on, for whoever observes: another leg
    /// may take longer.
    pub fn ended(&mut self, took: Duration) {
        let took = micros(took);
        self.asked.iter_mut().filter(|asked| !asked.told).for_each(|asked| asked.took = took);
    }

    /// Whether nothing is left to be heard.
    #[must_use]
    #[inline]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Takes the replies that are complete; `true` when all have come.
    ///
    /// # Errors
    ///
    /// When the connection has failed: see [`Leg::fail_on`].
    #[inline(always)]
    pub fn hear(&mut self, connection: &mut Connection) -> Result<bool, Error> {
        while self.open > 0 {
            let Some((tag, reply, last)) = connection.next_reply()? else { return Ok(false) };
            if let Some(asked) = self.asked.get_mut(tag as usize) {
                asked.hear(reply, last);
            }
            self.open -= usize::from(last);
        }
        Ok(true)
    }
}

impl<P: Command> Leg<'_, P> {
    /// Submits the open parts that were not yet, as many as are to be in memory at once; one that cannot be encoded fails
    /// alone. It is called again behind [`Leg::hear`].
    #[inline(always)]
    pub fn submit(&mut self, connection: &mut Connection, now: Now) {
        while let Some(asked) = self.asked.get_mut(self.next) {
            let tag = self.next;
            self.next += 1;
            if asked.is_open() {
                // More parts than 32 bits can count do not fit the memory.
                let tag = u32::try_from(tag).unwrap_or(u32::MAX);
                match connection.submit(&asked.part, now, tag) {
                    Ok(length) => asked.sent(length),
                    Err(error) => {
                        let blame = Blame::of(&error);
                        asked.fail(error, blame);
                        self.open -= 1;
                    }
                }
                if connection.unsent() > ENCODED {
                    return;
                }
            }
        }
    }
}
