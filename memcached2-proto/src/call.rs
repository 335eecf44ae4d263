//! One operation under way: policy without I/O, in rounds.

use std::fmt;
use std::time::Instant;

use crate::command::Command;
use crate::connection::Connection;
use crate::error::{Error, Landed};
use crate::few::Few;
use crate::mux::{Failure, Outcome};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::router::{Router, ServerId};
use crate::time::Now;

/// An operation under way.
///
/// A transport drives it in rounds: it asks all that is open, hears the answers, and calls [`Call::settle`], which
/// decides whether something has to be asked again. Then [`Call::finish`] makes the output. A blocking transport goes
/// server by server, with [`Call::legs`]; on shared connections [`converse`](crate::mux::converse) takes the parts of
/// [`Call::asked`].
pub struct Call<'r, O: Operation> {
    rest: O::Rest,
    router: &'r Router,
    parts: Parts<O::Part>,
}

impl<O: Operation> fmt::Debug for Call<'_, O>
where
    O::Part: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// The parts of an operation, each with the server it goes to.
#[derive(Debug)]
pub struct Parts<P>(Few<Asked<P>>);

impl<P> Parts<P> {
    /// Adds a part; an error in place of the server ends that part alone.
    #[inline(always)]
    pub fn push(&mut self, to: Result<ServerId, Error>, part: P) {
        match to {
            Ok(server) => self.0.push(Asked {
                part,
                server,
                replies: Few::None,
                state: State::Open,
                stale: false,
                retried: false,
            }),
            Err(error) => self.push_failed(error, part),
        }
    }

    /// Adds a part for a server that must not be asked, if there is an error.
    pub(crate) fn push_to(&mut self, server: ServerId, end: Result<(), Error>, part: P) {
        match end {
            Ok(()) => self.push(Ok(server), part),
            Err(error) => self.push_failed_at(server, error, part),
        }
    }

    #[cold]
    fn push_failed(&mut self, error: Error, part: P) {
        self.push_failed_at(ServerId(u32::MAX), error, part);
    }

    fn push_failed_at(&mut self, server: ServerId, error: Error, part: P) {
        let state = State::Failed(error);
        self.0.push(Asked { part, server, replies: Few::None, state, stale: false, retried: false });
    }

    /// Makes room for so many parts.
    pub fn reserve(&mut self, parts: usize) {
        if parts > 1 && matches!(self.0, Few::None) {
            self.0 = Few::Many(Vec::with_capacity(parts));
        }
    }
}

/// A part, and what has become of it so far.
#[derive(Debug)]
pub struct Asked<P> {
    part: P,
    server: ServerId,
    replies: Few<Reply>,
    state: State,
    /// Whether the connection was most likely dead before the request was written.
    stale: bool,
    retried: bool,
}

#[derive(Debug)]
enum State {
    Open,
    Answered,
    Failed(Error),
}

impl<P> Asked<P> {
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
            Err(Failure { error, stale }) => self.fail(error, stale),
        }
    }

    /// Ends the part with an error. `stale` says that the connection was most likely dead before the request was
    /// written ([`Abandoned::stale`](crate::Abandoned)).
    pub fn fail(&mut self, error: Error, stale: bool) {
        (self.state, self.stale) = (State::Failed(error), stale);
    }
}

impl<'r, O: Operation> Call<'r, O> {
    /// Plans the operation: what is asked, sorted by server.
    #[inline(always)]
    pub fn new(operation: O, router: &'r Router, now: Now) -> Self {
        let mut parts = Parts(Few::None);
        let rest = operation.plan(router, now, &mut parts);
        if let Few::Many(many) = &mut parts.0 {
            many.sort_by_key(|asked| asked.server);
        }
        Self { rest, router, parts }
    }

    /// All parts; those that are open have to be asked in this round.
    #[inline]
    pub fn asked(&mut self) -> &mut [Asked<O::Part>] {
        self.parts.0.as_mut_slice()
    }

    /// What has to be asked in this round, server by server.
    #[inline]
    pub fn legs(&mut self) -> impl Iterator<Item = Leg<'_, O::Part>> {
        self.asked().chunk_by_mut(|one, next| one.server == next.server).filter_map(Leg::new)
    }

    /// Ends a round; `true` asks for another one.
    ///
    /// A connection that the server closed while it was idle is found dead only when it is used. What was not sent
    /// then, and what does no harm twice, is asked once more, on a fresh connection to the same server.
    ///
    /// `now` is read only when a server can count as down ([`Reconnect`](crate::Reconnect)).
    #[inline(always)]
    pub fn settle(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let again = self.asked().iter_mut().fold(false, |again, asked| again | asked.retry());
        if self.router.has_health() {
            self.report(now());
        }
        again
    }

    /// Tells which servers have answered.
    #[cold]
    fn report(&mut self, now: Instant) {
        let router = self.router;
        for asked in self.asked() {
            match &asked.state {
                State::Answered => router.report(asked.server, None, now),
                State::Failed(error) => router.report(asked.server, Some(error), now),
                State::Open => {}
            }
        }
    }

    /// Makes the output.
    ///
    /// # Errors
    ///
    /// What the operation makes of the failures of its parts.
    #[inline(always)]
    pub fn finish(mut self) -> Result<O::Output, Error> {
        let output =
            O::merge(self.rest, Outcomes { router: self.router, parts: self.parts.0.as_mut_slice().iter_mut() });
        if let Few::One(Asked { replies: Few::None, state: State::Answered, .. }) = &self.parts.0 {
            if !std::mem::needs_drop::<O::Part>() {
                // Nothing is there to be dropped, which the compiler does not see.
                std::mem::forget(self.parts);
            }
        }
        output
    }
}

impl<P: Command> Asked<P> {
    /// Opens the part again, if it may be asked again.
    #[inline(always)]
    fn retry(&mut self) -> bool {
        let (State::Failed(error), true) = (&self.state, self.stale) else { return false };
        let harmless = error.landed() == Landed::NotSent || self.part.repeatable();
        if self.retried || !harmless {
            return false;
        }
        self.retried = true;
        self.replies = Few::None;
        self.state = State::Open;
        true
    }
}

/// The open parts of a call that go to one server: what a blocking transport asks on one connection.
#[derive(Debug)]
pub struct Leg<'c, P> {
    asked: &'c mut [Asked<P>],
    open: usize,
    retry: bool,
}

impl<'c, P> Leg<'c, P> {
    #[inline]
    fn new(asked: &'c mut [Asked<P>]) -> Option<Self> {
        let (mut open, mut retry) = (0, false);
        for asked in asked.iter().filter(|asked| asked.is_open()) {
            open += 1;
            retry |= asked.retried;
        }
        (open > 0).then_some(Self { asked, open, retry })
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
        for asked in self.asked.iter_mut().filter(|asked| asked.is_open()) {
            asked.fail(error.clone().with_landed(Landed::NotSent), false);
        }
        self.open = 0;
    }

    /// Ends all open parts with an error of the connection, which knows what became of each.
    pub fn fail_on(&mut self, connection: &mut Connection, error: &Error) {
        for abandoned in connection.abandon() {
            if let Some(asked) = self.asked.get_mut(abandoned.tag as usize) {
                let stale = abandoned.stale && !error.is_timeout();
                asked.fail(error.clone().with_landed(abandoned.landed), stale);
            }
        }
        self.fail(error);
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
    /// Submits the open parts; one that cannot be encoded fails alone.
    #[inline(always)]
    pub fn submit(&mut self, connection: &mut Connection, now: Now) {
        for (tag, asked) in self.asked.iter_mut().enumerate() {
            if asked.is_open() {
                // More parts than 32 bits can count do not fit the memory.
                let tag = u32::try_from(tag).unwrap_or(u32::MAX);
                if let Err(error) = connection.submit(&asked.part, now, tag) {
                    asked.fail(error, false);
                    self.open -= 1;
                }
            }
        }
    }
}

/// The outcomes of all parts, each with its part; an answer is read when it is its turn.
#[derive(Debug)]
pub struct Outcomes<'c, P> {
    router: &'c Router,
    parts: std::slice::IterMut<'c, Asked<P>>,
}

impl<'c, P: Command> Iterator for Outcomes<'c, P> {
    type Item = (&'c P, Result<P::Response, Error>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let Asked { part, server, replies, state, .. } = self.parts.next()?;
        let end = match (state, replies.as_slice().last()) {
            (State::Answered, Some(Reply::Refused(line))) => Err(self.router.at(*server, Error::refused(line))),
            (State::Answered, _) => Ok(()),
            (State::Failed(error), _) => Err(self.router.at(*server, error.clone())),
            (State::Open, _) => Err(Error::Closed),
        };
        let result = part.answer(std::mem::take(replies), end).map_err(|error| self.router.at(*server, error));
        Some((part, result))
    }
}
