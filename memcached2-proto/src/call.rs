//! One operation under way: policy without I/O, in rounds.

mod asked;
mod leg;
mod trial;

use std::fmt;
use std::time::{Duration, Instant};

pub use self::asked::{Asked, Blame, Parts};
use self::asked::{State, micros};
pub use self::leg::Leg;
use crate::command::Command;
use crate::error::{Error, Landed};
use crate::few::Few;
use crate::observer::{Attempt, Event, Outcome, outcome};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::router::Router;
use crate::time::Now;
use crate::uri::Server;

/// An operation under way.
///
/// A transport drives it in rounds: it asks all that is open, hears the answers, and calls [`Call::settle`], which
/// decides whether something has to be asked again. Then [`Call::finish`] makes the output. A blocking transport goes
/// server by server, with [`Call::legs`]; on shared connections [`converse`](crate::mux::converse) takes [`Call::parts`].
///
/// A call that is dropped half-way says nothing of the servers it has asked: one that it was to try is tried by the next
/// call.
pub struct Call<'r, O: Operation> {
    /// Until the call is finished.
    rest: Option<O::Rest>,
    parts: Parts<'r, O::Part>,
}

impl<O: Operation> fmt::Debug for Call<'_, O>
where
    O::Part: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// So many servers that are down a part moves on from; then it fails.
const MOVES: u8 = 10;

impl<'r, O: Operation> Call<'r, O> {
    /// Plans the operation: what is asked, sorted by server.
    #[inline(always)]
    pub fn new(operation: O, router: &'r Router, now: Now) -> Self {
        // Filled where it is: to move it costs as much as to encode a request.
        let parts = Parts { router, now: now.monotonic, asked: Few::None, trials: None };
        let mut call = Self { rest: None, parts };
        call.rest = Some(operation.plan(&mut call.parts));
        call.parts.sort();
        call
    }

    /// All parts, for [`converse`](crate::mux::converse).
    #[inline]
    pub fn parts(&mut self) -> &mut Parts<'r, O::Part> {
        &mut self.parts
    }

    /// All parts; those that are open have to be asked in this round.
    #[inline]
    pub fn asked(&mut self) -> &mut [Asked<O::Part>] {
        self.parts.asked.as_mut_slice()
    }

    /// When this round has begun.
    #[must_use]
    #[inline]
    pub fn begun(&self) -> Instant {
        self.parts.begun()
    }

    /// What has to be asked in this round, server by server.
    #[inline]
    pub fn legs(&mut self) -> impl Iterator<Item = Leg<'_, O::Part>> {
        self.asked().chunk_by_mut(|one, next| one.server == next.server).filter_map(Leg::new)
    }

    /// Ends a round; `true` asks for another one.
    ///
    /// A connection that the server closed while it was idle is found dead only when it is used. What was not sent
    /// then, and what does no harm twice, is asked once more, on a fresh connection to the same server. What was not sent
    /// since its server is down moves on to the server that the [rule](crate::Selection) names next.
    ///
    /// `now` is read only when something has failed, or a server counts as down.
    #[inline(always)]
    pub fn settle(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let is_answered = |asked: &Asked<_>| matches!(asked.state, State::Answered);
        let all_are = match &self.parts.asked {
            Few::One(asked) => is_answered(asked),
            asked => asked.as_slice().iter().all(is_answered),
        };
        !(all_are && self.parts.router.is_quiet()) && self.reconsider(now())
    }

    /// After a round in which not all went well, or that somebody wants to hear of.
    #[cold]
    fn reconsider(&mut self, now: Instant) -> bool {
        self.observe(now);
        self.excuse(now);
        let begun = std::mem::replace(&mut self.parts.now, now);
        self.report(begun);
        let again = self.asked().iter_mut().fold(false, |again, asked| again | asked.retry());
        self.move_on() | again
    }

    /// Tells the observer what has come of each request in this round.
    fn observe(&self, now: Instant) {
        let Parts { router, asked, now: begun, .. } = &self.parts;
        let Some(watch) = router.watch() else { return };
        for asked in asked.as_slice().iter().filter(|asked| !asked.told) {
            let took = if asked.took > 0 { asked.took } else { micros(now.saturating_duration_since(*begun)) };
            watch.observer.observe(&asked.event(router, took));
        }
    }

    /// That a server which closes connections after errors has closed one speaks against the connection.
    fn excuse(&mut self, now: Instant) {
        let Parts { router, asked, .. } = &mut self.parts;
        for asked in asked.as_mut_slice().iter_mut().filter(|asked| !asked.told && asked.blame == Blame::Server) {
            let is_lost = matches!(&asked.state, State::Failed(error) if matches!(**error, Error::Disconnected { .. }));
            if is_lost && router.is_closer(asked.server, now) {
                asked.blame = Blame::Connection;
            }
        }
    }

    /// Tells which servers have answered, and then which have not: a server fails behind its last answer.
    fn report(&mut self, begun: Instant) {
        let Parts { router, now, asked, trials } = &mut self.parts;
        for failures in [false, true] {
            for asked in asked.as_mut_slice().iter_mut().filter(|asked| !asked.told) {
                let is_up = matches!(asked.state, State::Answered);
                if is_up == failures {
                    continue;
                }
                asked.told = true;
                match &asked.state {
                    State::Failed(error) if asked.blame == Blame::Server => {
                        let trial = trials.as_mut().and_then(|trials| trials.take(asked.server));
                        router.report_failure(asked.server, error, trial, (begun, *now));
                    }
                    State::Answered => {
                        if let Some(trials) = trials {
                            trials.take(asked.server);
                        }
                        router.report_answer(asked.server);
                    }
                    State::Failed(_) | State::Open => {}
                }
            }
        }
    }

    /// Routes those parts anew that were not sent since their server is down; `true` if one has another server now.
    fn move_on(&mut self) -> bool {
        // Where servers never count as down, a part would come back to the same one.
        let may_move = |asked: &Asked<_>| match &asked.state {
            State::Failed(error) => {
                asked.blame == Blame::Server && error.landed() == Landed::NotSent && asked.moves < MOVES
            }
            _ => false,
        };
        let may_fail_over = self.parts.router.has_health() && self.parts.router.has_failover();
        if !may_fail_over || !self.asked().iter().any(may_move) {
            return false;
        }
        let mut moved = false;
        for asked in std::mem::take(&mut self.parts.asked) {
            if !may_move(&asked) {
                self.parts.asked.push(asked);
                continue;
            }
            let before = self.parts.asked.as_slice().len();
            let moves = asked.moves + 1;
            let Asked { part, server, state, blame, .. } = asked;
            let left = match &self.rest {
                Some(rest) => O::replan(rest, part, &mut self.parts),
                None => Some(part),
            };
            for asked in &mut self.parts.asked.as_mut_slice()[before..] {
                asked.moves = moves;
                moved = true;
            }
            if let Some(part) = left {
                let stays = Asked { blame, told: true, moves: MOVES, ..Asked::new(part, server, state) };
                self.parts.asked.push(stays);
            }
        }
        self.parts.sort();
        moved
    }

    /// Makes the output; once.
    ///
    /// # Errors
    ///
    /// What the operation makes of the failures of its parts.
    #[inline(always)]
    pub fn finish(&mut self) -> Result<O::Output, Error> {
        let Parts { router, asked, now, .. } = &mut self.parts;
        let Some(rest) = self.rest.take() else { return Err(Error::closed()) };
        let output = O::merge(rest, Outcomes { router, now: *now, parts: asked.as_mut_slice().iter_mut() });
        if let (Few::One(Asked { replies: Few::None, state: State::Answered, .. }), false) =
            (&*asked, std::mem::needs_drop::<O::Part>())
        {
            // Nothing is there to be dropped, which the compiler does not see.
            std::mem::forget(std::mem::take(asked));
        }
        output
    }
}

impl<P: Command> Asked<P> {
    /// What has come of it.
    fn event<'e>(&'e self, router: &'e Router, took: u32) -> Event<'e> {
        let (outcome, received) = outcome(self.replies.as_slice(), self.part.keys());
        let outcome = match &self.state {
            State::Failed(error) => Outcome::Failed(error),
            State::Answered | State::Open => outcome,
        };
        Event {
            command: self.part.name(),
            server: router.server(self.server),
            outcome,
            attempt: match self {
                Self { retried: true, .. } => Attempt::Retry,
                Self { moves: 1.., .. } => Attempt::Failover,
                _ => Attempt::First,
            },
            sent: match &self.state {
                State::Failed(error) if error.landed() == Landed::NotSent => 0,
                _ => self.sent,
            },
            received,
            time: Duration::from_micros(took.into()),
            wait: Duration::from_micros(self.waited.into()),
        }
    }

    /// Opens the part again, if it may be asked again.
    fn retry(&mut self) -> bool {
        let (State::Failed(error), Blame::Connection) = (&self.state, self.blame) else { return false };
        let harmless = error.landed() == Landed::NotSent || self.part.repeatable();
        if self.retried || !harmless {
            return false;
        }
        (self.retried, self.told, self.took) = (true, false, 0);
        self.replies = Few::None;
        self.state = State::Open;
        true
    }
}

/// The outcomes of all parts, each with its part; an answer is read when it is its turn.
#[derive(Debug)]
pub struct Outcomes<'c, P> {
    router: &'c Router,
    /// When the last round has begun.
    now: Instant,
    parts: std::slice::IterMut<'c, Asked<P>>,
}

impl<'c, P: Command> Iterator for Outcomes<'c, P> {
    type Item = (&'c P, Result<P::Response, Error>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let Asked { part, server, replies, state, .. } = self.parts.next()?;
        let name = |error| of_part(error, part, self.router.server(*server));
        let end = match (state, replies.as_slice().last()) {
            (State::Answered, Some(Reply::Refused(line))) => {
                self.router.hear_refusal(*server, line, self.now);
                Err(Error::refused(line))
            }
            (State::Answered, _) => Ok(()),
            (State::Failed(error), _) => Err((**error).clone()),
            (State::Open, _) => Err(Error::closed()),
        }
        .map_err(name);
        let result = part.answer(std::mem::take(replies), end).map_err(name);
        Some((part, result))
    }
}

/// The error with what the caller is to know: which request has failed, and that one which only reads has had no effect,
/// whatever became of it.
#[cold]
fn of_part(error: Error, part: &impl Command, server: Option<&Server>) -> Error {
    let error = error.of_request(part.name(), part.only_key(), server.map(Server::shared_name));
    match part.repeatable() && error.landed() == Landed::Unknown {
        true => error.with_landed(Landed::NotSent),
        false => error,
    }
}
