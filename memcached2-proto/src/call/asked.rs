//! The parts of a call: what is asked, of whom, and what became of it.

use std::fmt;
use std::time::{Duration, Instant};

use super::trial::Trials;
use crate::error::{Error, Landed};
use crate::few::Few;
use crate::key::Key;
use crate::mux::{Failure, Outcome};
use crate::reply::Reply;
use crate::router::{Router, ServerId};

/// The parts of an operation, each with the server it goes to: what [`Operation::plan`](crate::Operation::plan) fills.
pub struct Parts<'r, P> {
    pub(super) router: &'r Router,
    /// When the round was planned.
    pub(super) now: Instant,
    pub(super) asked: Few<Asked<P>>,
    /// The servers that count as down and that this call tries.
    pub(super) trials: Option<Box<Trials<'r>>>,
}

impl<P: fmt::Debug> fmt::Debug for Parts<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt(f)
    }
}

impl<'r, P> Parts<'r, P> {
    /// The servers, and which of them has a key.
    #[inline(always)]
    pub fn router(&self) -> &'r Router {
        self.router
    }

    /// The server to ask for a key: of those that are up, or whose retry is due.
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`]; [`Error::Down`] when none that may have the key is up.
    #[inline(always)]
    pub fn assign(&mut self, key: Key<'_>) -> Result<ServerId, Error> {
        match self.router.is_quiet() {
            true => self.router.route(key),
            false => self.assign_among(key),
        }
    }

    /// While some server may be down.
    #[cold]
    fn assign_among(&mut self, key: Key<'_>) -> Result<ServerId, Error> {
        /// Another call may be the one that tries a server: so many such servers are passed over.
        const TRIES: usize = 4;
        if self.router.is_calm() {
            return self.router.route(key);
        }
        if !self.router.has_failover() {
            let server = self.router.route(key)?;
            return if self.claim(server) { Ok(server) } else { Err(self.router.all_down(key)) };
        }
        for _ in 0..TRIES {
            let is_mine = |place| self.trials.as_ref().is_some_and(|trials| trials.holds(place));
            let server = self.router.route_open(key, self.now, &is_mine)?;
            if self.claim(server) {
                return Ok(server);
            }
        }
        Err(self.router.all_down(key))
    }

    /// Adds a part; an error in place of the server ends that part alone.
    #[inline(always)]
    pub fn push(&mut self, to: Result<ServerId, Error>, part: P) {
        match to {
            Ok(server) => self.asked.push(Asked::new(part, server, State::Open)),
            Err(error) => self.push_failed(ServerId(u32::MAX), error, part),
        }
    }

    /// Adds a part whose server was down; it comes back if there is no other.
    pub fn move_on(&mut self, to: Option<ServerId>, part: P) -> Option<P> {
        match to {
            Some(server) => self.push(Ok(server), part),
            None => return Some(part),
        }
        None
    }

    /// Adds a part for a server that no other can stand in for; it fails at once while that one is down.
    pub fn push_to(&mut self, server: ServerId, part: P) {
        if self.router.is_calm() || self.claim(server) {
            return self.push(Ok(server), part);
        }
        self.push_failed(server, self.router.down(server), part);
    }

    #[cold]
    fn push_failed(&mut self, server: ServerId, error: Error, part: P) {
        self.asked.push(Asked::new(part, server, State::Failed(Box::new(error))));
    }

    /// Whether a server may be asked: it is up, or this call is the one that tries it.
    fn claim(&mut self, server: ServerId) -> bool {
        if self.trials.as_ref().is_some_and(|trials| trials.holds(server.index())) {
            return true;
        }
        let Some(trial) = self.router.claim(server, self.now) else { return false };
        if let Some(trial) = trial {
            self.trials.get_or_insert_with(|| Box::new(Trials::new(self.router))).push(server, trial);
        }
        true
    }

    /// Notes how long a part took of which others in the round may take longer, if anybody wants to know.
    pub(crate) fn stamp(&mut self, at: usize) {
        if let (Some(watch), Some(asked)) = (self.router.watch(), self.asked.as_mut_slice().get_mut(at)) {
            asked.took = micros((watch.clock)().saturating_duration_since(self.now));
        }
    }

    /// Makes room for so many parts.
    pub fn reserve(&mut self, parts: usize) {
        if parts > 1 && matches!(self.asked, Few::None) {
            self.asked = Few::Many(Vec::with_capacity(parts));
        }
    }

    /// When this round has begun.
    #[inline(always)]
    pub(crate) fn begun(&self) -> Instant {
        self.now
    }

    /// All parts.
    #[inline(always)]
    pub(crate) fn asked(&mut self) -> &mut [Asked<P>] {
        self.asked.as_mut_slice()
    }

    /// Puts parts for the same server side by side.
    #[inline(always)]
    pub(super) fn sort(&mut self) {
        if let Few::Many(many) = &mut self.asked {
            many.sort_by_key(|asked| asked.server);
        }
    }
}

/// A part, and what has become of it so far.
#[derive(Debug)]
pub struct Asked<P> {
    pub(super) part: P,
    pub(super) server: ServerId,
    pub(super) replies: Few<Reply>,
    pub(super) state: State,
    pub(super) blame: Blame,
    /// Whether it was asked a second time, since the first connection was dead.
    pub(super) retried: bool,
    /// Whether what became of it was told: to the router, and to whoever observes.
    pub(super) told: bool,
    /// How many servers it has moved on from.
    pub(super) moves: u8,
    /// For whoever observes: how many bytes the request has, the microseconds that its connection was waited for, and those
    /// that all of it took, if that is less than the round.
    pub(super) sent: u64,
    pub(super) waited: u32,
    pub(super) took: u32,
}

#[derive(Debug)]
pub(super) enum State {
    Open,
    Answered,
    /// Boxed, since a part is moved a few times, and few fail.
    Failed(Box<Error>),
}

/// As many microseconds as fit, and at least one.
pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1)
}

/// What a failure speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nothing but the request itself, the client, or a slow network.
    Nobody,
    /// The connection: it was most likely dead before the request was written. Another one may do.
    Connection,
    /// The server, which is left alone for a while ([`Reconnect`](crate::Reconnect)).
    Server,
}

impl Blame {
    /// What an error speaks against, as far as it tells by itself.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            // It answers, and has others to answer.
            error if error.is_server_full() => Self::Nobody,
            Error::Connect { .. } | Error::Disconnected { .. } | Error::Protocol { .. } => Self::Server,
            // What was never sent, because others had taken all the time, says nothing.
            Error::Timeout { landed, .. } if *landed != Landed::NotSent => Self::Server,
            _ => Self::Nobody,
        }
    }
}

impl<P> Asked<P> {
    #[inline(always)]
    pub(super) fn new(part: P, server: ServerId, state: State) -> Self {
        Self {
            part,
            server,
            replies: Few::None,
            state,
            blame: Blame::Nobody,
            retried: false,
            told: false,
            moves: 0,
            sent: 0,
            waited: 0,
            took: 0,
        }
    }

    /// The command.
    #[inline]
    pub fn part(&self) -> &P {
        &self.part
    }

    /// The server to ask.
    #[inline]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Whether it has to be asked in this round.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the connection was dead that it was asked on before.
    #[inline(always)]
    pub(crate) fn is_retried(&self) -> bool {
        self.retried
    }

    /// Takes a reply; the `last` one ends the part.
    #[inline]
    pub fn hear(&mut self, reply: Reply, last: bool) {
        self.replies.push(reply);
        if last {
            self.state = State::Answered;
        }
    }

    /// Takes everything at once that was heard on a shared connection.
    #[inline]
    pub(crate) fn conclude(&mut self, outcome: Outcome) {
        self.replies = outcome.replies;
        match outcome.end {
            Ok(()) => self.state = State::Answered,
            Err(Failure { error, blame }) => self.fail(error, blame),
        }
    }

    /// Whether the deadline has passed before its answer came.
    pub(crate) fn is_late(&self) -> bool {
        matches!(&self.state, State::Failed(error) if matches!(**error, Error::Timeout { .. }))
    }

    /// Notes how many bytes the request has.
    #[inline]
    pub(crate) fn sent(&mut self, length: u64) {
        self.sent = length;
    }

    /// Ends the part with an error, and says what that speaks against.
    pub fn fail(&mut self, error: Error, blame: Blame) {
        (self.state, self.blame) = (State::Failed(Box::new(error)), blame);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use super::*;
    use crate::command::Get;

    #[test]
    fn a_part_is_small() {
        // What is larger than 128 bytes is moved by a call of a function.
        assert!(size_of::<Asked<Get<'_>>>() <= 120, "{}", size_of::<Asked<Get<'_>>>());
    }

    #[test]
    fn a_request_that_was_not_sent_in_time_says_nothing_about_its_server() {
        for (error, blame) in [
            (Error::timeout(Landed::NotSent), Blame::Nobody),
            (Error::timeout(Landed::Unknown), Blame::Server),
            (Error::disconnected("gone"), Blame::Server),
            (Error::connect(&ErrorKind::TimedOut.into()), Blame::Server),
            (Error::connect(&ErrorKind::ResourceBusy.into()), Blame::Nobody),
            (Error::protocol("nonsense"), Blame::Server),
            (Error::refused(&Arc::from("ERROR")), Blame::Nobody),
            (Error::overloaded(), Blame::Nobody),
            (Error::not_stored(), Blame::Nobody),
        ] {
            assert_eq!(Blame::of(&error), blame, "{error:?}");
        }
    }
}
