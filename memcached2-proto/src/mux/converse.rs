//! The callers' side: a whole call over shared connections.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Encoded, Mux, NotSubmitted, Turn};
use crate::call::{Asked, Blame, Parts};
use crate::command::Command;
use crate::error::{Error, Landed};
use crate::router::ServerId;
use crate::time::Now;

/// Asks all parts of a call that are open and waits for their answers: one round, without I/O.
///
/// `connect` gives the connection to use for a server, one that will do; it must not wait, since the connection's driver
/// connects. With `timeout` the call may take that long, in place of what the [options](crate::Options::timeout) of the
/// client and its servers say.
/// Nothing happens until the future is polled. When it is dropped, what was asked is forgotten: the replies are read
/// and thrown away, and nobody else on the connections notices.
pub fn converse<'c, 'r, P, F>(
    parts: &'c mut Parts<'r, P>,
    now: Now,
    timeout: Option<Duration>,
    connect: F,
) -> Converse<'c, 'r, P, F>
where
    P: Command,
    F: FnMut(ServerId, Want) -> Result<Arc<Mux>, Error>,
{
    Converse { parts, now, connect, timeout, only: None, lanes: Vec::new(), gave_way: false }
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Any that is there.
    Any,
    /// One that has not ended: the one before had.
    Live,
    /// One that was begun after the call: what was there before may have been as dead as the one that was tried. With
    /// the present moment.
    Fresh(Instant),
}

/// The future of [`converse`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Converse<'c, 'r, P, F> {
    parts: &'c mut Parts<'r, P>,
    now: Now,
    connect: F,
    /// How long the call may take, in place of what the options say.
    timeout: Option<Duration>,
    /// The only part, while it is under way, and whether it is encoded: most calls have one, and need no lanes.
    only: Option<(Arc<Mux>, u32, bool)>,
    lanes: Vec<Lane>,
    /// Whether it has made room for other tasks.
    gave_way: bool,
}

/// The parts that go to one server. A server that is slow holds up its own lane only.
#[derive(Debug)]
struct Lane {
    /// The places of those that were not submitted yet.
    next: Range<usize>,
    under_way: Vec<UnderWay>,
    /// How many of those have been answered.
    heard: usize,
    /// Before which all have been encoded: all, unless the protocol was not known when they were submitted.
    encoded: usize,
    /// How many bytes those have that were not answered.
    bytes: u64,
    /// Whether the deadline has passed: what was not submitted by then never is.
    late: bool,
}

/// A part whose answer is yet to come.
#[derive(Debug)]
struct UnderWay {
    mux: Arc<Mux>,
    slot: u32,
    /// Its place among the parts.
    at: usize,
    /// How many bytes it has, once it is encoded.
    length: u64,
}

/// A lane of more parts than this waits for their answers before it asks more: memory stays in bounds, and a window
/// this wide costs hardly any speed.
const WINDOW: usize = 1024;
/// A lane with more encoded bytes than this waits likewise.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// Cuts a list that is sorted by server into lanes.
fn cut<P>(asked: &[Asked<P>]) -> Vec<Lane> {
    let mut begun = 0;
    let lane = |run: &[Asked<P>]| {
        let next = begun..begun + run.len();
        begun = next.end;
        Lane { next, under_way: Vec::new(), heard: 0, encoded: 0, bytes: 0, late: false }
    };
    asked.chunk_by(|one, next| one.server() == next.server()).map(lane).collect()
}

// Nothing in it is ever pinned.
impl<P, F> Unpin for Converse<'_, '_, P, F> {}

impl<P, F> Future for Converse<'_, '_, P, F>
where
    P: Command,
    F: FnMut(ServerId, Want) -> Result<Arc<Mux>, Error>,
{
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.parts.asked() {
            [_] => self.poll_only(cx),
            _ => self.poll_lanes(cx),
        }
    }
}

impl<P, F> Converse<'_, '_, P, F>
where
    P: Command,
    F: FnMut(ServerId, Want) -> Result<Arc<Mux>, Error>,
{
    #[inline]
    fn poll_only(&mut self, cx: &Context<'_>) -> Poll<()> {
        let begun = self.parts.begun();
        let [asked] = self.parts.asked() else { return Poll::Ready(()) };
        if self.only.is_none() {
            if !asked.is_open() {
                return self.give_way(cx);
            }
            match submit(asked, (self.now, begun, self.timeout), false, &mut self.connect) {
                Ok((mux, slot, length)) => {
                    asked.sent(length);
                    self.only = Some((mux, slot, length > 0));
                }
                Err((error, blame)) => {
                    asked.fail(error, blame);
                    return Poll::Ready(());
                }
            }
        }
        if let Some((mux, slot, is_encoded)) = &mut self.only {
            if !*is_encoded {
                match encode(asked, mux, *slot, self.now, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(is_under_way) if is_under_way => *is_encoded = true,
                    Poll::Ready(_) => {
                        self.only = None;
                        return Poll::Ready(());
                    }
                }
            }
            match mux.poll(*slot, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => asked.conclude(outcome),
            }
        }
        self.only = None;
        Poll::Ready(())
    }

    fn poll_lanes(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Self { parts, now, connect, timeout, lanes, .. } = self;
        if lanes.is_empty() {
            if !parts.asked().iter().any(Asked::is_open) {
                return self.give_way(cx);
            }
            *lanes = cut(parts.asked());
        }
        let mut pending = false;
        for lane in lanes {
            while lane.hear(parts, *now, cx) == Poll::Ready(true) {
                let begun = parts.begun();
                lane.submit(parts.asked(), (*now, begun, *timeout), connect);
            }
            pending |= lane.is_under_way();
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    }

    /// A call of which nothing can be asked ends without waiting for anything. A task that makes one after the other must
    /// not keep the others from running, such as the drivers that would find the servers again.
    #[cold]
    fn give_way(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.gave_way, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Lane {
    fn is_under_way(&self) -> bool {
        self.heard < self.under_way.len()
    }

    /// Takes the answers that have come; `Ready` when all have, and whether there is more to be asked.
    fn hear<P: Command>(&mut self, parts: &mut Parts<'_, P>, now: Now, cx: &Context<'_>) -> Poll<bool> {
        while let Some(UnderWay { mux, slot, at, length }) = self.under_way.get(self.heard) {
            let asked = &mut parts.asked()[*at];
            // One that could not be encoded has no slot any more.
            if asked.is_open() {
                let is_encoded = self.heard < self.encoded;
                let turn = match is_encoded {
                    true => mux.poll(*slot, cx).map(Turn::Done),
                    false => mux.poll_unencoded(*slot, cx),
                };
                match turn {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Turn::Done(outcome)) => asked.conclude(outcome),
                    Poll::Ready(Turn::Encode) => {
                        self.encoded = self.heard;
                        self.encode(parts.asked(), now);
                        continue;
                    }
                }
            }
            self.bytes -= length;
            self.late |= asked.is_late();
            parts.stamp(*at);
            self.heard += 1;
            if self.encoded < self.under_way.len() {
                self.encode(parts.asked(), now);
            }
        }
        Poll::Ready(!self.next.is_empty())
    }

    /// Encodes parts that were submitted before the protocol was known, as many as a window holds.
    #[cold]
    fn encode<P: Command>(&mut self, asked: &mut [Asked<P>], now: Now) {
        self.encoded = self.encoded.max(self.heard);
        while let Some(UnderWay { mux, slot, at, length }) = self.under_way.get_mut(self.encoded) {
            if self.bytes > WINDOW_BYTES && self.encoded > self.heard {
                return;
            }
            match mux.encode(*slot, asked[*at].part(), now) {
                Ok(Encoded::Now(encoded)) => {
                    asked[*at].sent(encoded);
                    *length = encoded;
                    self.bytes += encoded;
                }
                // There is no room, or it is on another connection.
                Ok(Encoded::NotYet) => return,
                Ok(Encoded::NoLonger) => {}
                Err(error) => asked[*at].fail(error, Blame::Nobody),
            }
            self.encoded += 1;
        }
    }

    /// Submits as many parts as a window holds.
    fn submit<P: Command>(
        &mut self,
        asked: &mut [Asked<P>],
        times: Times,
        connect: &mut impl FnMut(ServerId, Want) -> Result<Arc<Mux>, Error>,
    ) {
        self.under_way.clear();
        (self.heard, self.encoded, self.bytes) = (0, 0, 0);
        for at in self.next.by_ref() {
            let asked = &mut asked[at];
            if !asked.is_open() {
                continue;
            }
            let submitted = match self.late {
                true => Err((Error::timeout(Landed::NotSent), Blame::Nobody)),
                false => submit(asked, times, self.encoded < self.under_way.len(), connect),
            };
            match submitted {
                Err((error, blame)) => asked.fail(error, blame),
                Ok((mux, slot, length)) => {
                    asked.sent(length);
                    let is_next = length > 0 && self.encoded == self.under_way.len();
                    self.encoded += usize::from(is_next);
                    self.under_way.push(UnderWay { mux, slot, at, length });
                    self.bytes += length;
                    if self.under_way.len() == WINDOW || self.bytes > WINDOW_BYTES {
                        return;
                    }
                }
            }
        }
    }
}

/// Encodes the request of a slot once that may be; whether it is under way then, or has come to an end already.
#[cold]
fn encode<P: Command>(asked: &mut Asked<P>, mux: &Mux, slot: u32, now: Now, cx: &Context<'_>) -> Poll<bool> {
    loop {
        match mux.poll_unencoded(slot, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Turn::Done(outcome)) => {
                asked.conclude(outcome);
                return Poll::Ready(false);
            }
            Poll::Ready(Turn::Encode) => match mux.encode(slot, asked.part(), now) {
                Ok(Encoded::Now(length)) => {
                    asked.sent(length);
                    return Poll::Ready(true);
                }
                // There is no room any more.
                Ok(Encoded::NotYet) => {}
                Ok(Encoded::NoLonger) => return Poll::Ready(true),
                Err(error) => {
                    asked.fail(error, Blame::Nobody);
                    return Poll::Ready(false);
                }
            },
        }
    }
}

/// The present moment, when the round has begun, and how long the call may take, if that is not what the options say.
type Times = (Now, Instant, Option<Duration>);

// In place, it is 50 instructions less of a get.
#[inline(always)]
fn submit<P: Command>(
    asked: &Asked<P>,
    (now, begun, timeout): Times,
    is_behind: bool,
    connect: &mut impl FnMut(ServerId, Want) -> Result<Arc<Mux>, Error>,
) -> Result<(Arc<Mux>, u32, u64), (Error, Blame)> {
    /// A connection can end between being found and being used; so many in a row do not.
    const TRIES: usize = 3;
    let mut last = None;
    for tried in 0..TRIES {
        // There is no connection to be had here, which says nothing of the server.
        let want = match (asked.is_retried(), tried) {
            (true, _) => Want::Fresh(begun),
            (false, 0) => Want::Any,
            (false, _) => Want::Live,
        };
        let mux = connect(asked.server(), want).map_err(|error| (error, Blame::Nobody))?;
        match mux.queue(asked.part(), now, now.later(timeout.unwrap_or(mux.timeout)), is_behind) {
            Ok((slot, length)) => return Ok((mux, slot, length)),
            Err(NotSubmitted::Invalid(error)) => return Err((error, Blame::Nobody)),
            // It was made for this call: so does the server answer now.
            Err(NotSubmitted::Ended(error @ (Error::Refused { .. } | Error::Connect { .. }))) if mux.begun >= begun => {
                let blame = Blame::of(&error);
                return Err((error, blame));
            }
            // It was to end anyway, which is no reason.
            Err(NotSubmitted::Ended(Error::Closed { .. })) => {}
            Err(NotSubmitted::Ended(error)) => last = Some(error),
        }
    }
    let last = last.unwrap_or_else(|| Error::disconnected("each connection has ended before it could be used"));
    Err((last.with_landed(Landed::NotSent), Blame::Connection))
}

impl<P, F> Drop for Converse<'_, '_, P, F> {
    fn drop(&mut self) {
        if let Some((mux, slot, _)) = &self.only {
            mux.forget(*slot);
        }
        for lane in &self.lanes {
            for UnderWay { mux, slot, at, .. } in &lane.under_way[lane.heard..] {
                if self.parts.asked()[*at].is_open() {
                    mux.forget(*slot);
                }
            }
        }
    }
}
