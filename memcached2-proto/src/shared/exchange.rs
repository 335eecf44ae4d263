//! The callers' side: one round of a call over shared connections.

mod lane;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::lane::Lane;
use super::large::LARGE;
use super::{Encoded, NotSubmitted, Queueing, SharedConnection, Transfer, Turn};
use crate::call::{Call, Fault, Operation, SlotResult, SubRequest};
use crate::command::Command;
use crate::error::{Error, Landed};
use crate::routing::ServerId;
use crate::time::{Instant, Now, time_to_wait};

/// Submits all open requests of a call, and waits for their answers: one round, without I/O.
///
/// `connect` returns a connection to a server, with the given freshness, for such a transfer. It must not wait: the driver of the connection
/// connects. `timeout` replaces the one of the [options](crate::Options::timeout). Nothing happens until the future is
/// polled. Dropping it cancels its requests; other calls on the connections are not affected.
pub fn exchange<'c, 'r, O, F>(
    call: &'c mut Call<'r, O>,
    now: Now,
    timeout: Option<Duration>,
    connect: F,
) -> Exchange<'c, 'r, O, F>
where
    O: Operation,
    F: FnMut(ServerId, Freshness, Transfer) -> Result<Arc<SharedConnection>, Error>,
{
    Exchange { call, now, connect, timeout, only: None, lanes: Vec::new(), gave_way: false }
}

/// Which connection is fresh enough for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Any that is there.
    Any,
    /// One that has not ended: the previous one had.
    Live,
    /// One that was made since the call began, for a retry: older ones may be as dead as the one before. A new one counts
    /// as made at this moment.
    Fresh(Instant),
}

/// The future of [`exchange`].
#[must_use = "futures do nothing unless polled"]
pub struct Exchange<'c, 'r, O: Operation, F> {
    call: &'c mut Call<'r, O>,
    now: Now,
    connect: F,
    /// The timeout of the call, which replaces that of the options.
    timeout: Option<Duration>,
    /// The only request, while it is under way: most calls have one, and need no lanes.
    only: Option<(Arc<SharedConnection>, u32, Stage)>,
    lanes: Vec<Lane>,
    /// Whether it has made room for other tasks.
    gave_way: bool,
}

/// How far the only request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has a slot.
    Unencoded,
    Encoded,
    /// Its slot is free, and may be another caller's: a panic in an observer must not cancel that.
    Ended,
}

// Nothing in it is ever pinned.
impl<O: Operation, F> Unpin for Exchange<'_, '_, O, F> {}

impl<O, F> Future for Exchange<'_, '_, O, F>
where
    O: Operation,
    F: FnMut(ServerId, Freshness, Transfer) -> Result<Arc<SharedConnection>, Error>,
{
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.call.sub_requests() {
            [_] => self.poll_only(cx),
            _ => self.poll_lanes(cx),
        }
    }
}

impl<O, F> Exchange<'_, '_, O, F>
where
    O: Operation,
    F: FnMut(ServerId, Freshness, Transfer) -> Result<Arc<SharedConnection>, Error>,
{
    #[inline]
    fn poll_only(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Self { call, now, connect, timeout, only, .. } = self;
        if only.is_none() {
            if !call.sub_requests()[0].is_open() {
                return self.give_way(cx);
            }
            let transfer = match call.command(0).transfer_size() {
                ..LARGE => None,
                _ => Some(Transfer::Large),
            };
            let queueing = Queueing { is_behind: false, is_only: true, waker: Some(cx.waker()) };
            match submit(call, 0, (*now, *timeout), (transfer, queueing), connect) {
                Ok((shared, slot, length)) if length > 0 => {
                    *only = Some((shared, slot, Stage::Encoded));
                    return Poll::Pending;
                }
                Ok((shared, slot, _)) => *only = Some((shared, slot, Stage::Unencoded)),
                Err((error, fault)) => {
                    call.fail(0, &error, fault);
                    return Poll::Ready(());
                }
            }
        }
        if let Some((shared, slot, stage)) = only {
            if *stage == Stage::Unencoded && encode(call, shared, *slot, (*now, stage), cx).is_pending() {
                return Poll::Pending;
            }
            if *stage == Stage::Encoded {
                let Poll::Ready(outcome) = shared.poll(*slot, cx) else { return Poll::Pending };
                *stage = Stage::Ended;
                if shared.large_keys.is_in_use() {
                    remember(call, shared, &outcome);
                }
                call.conclude(0, outcome, &**shared);
            }
        }
        *only = None;
        Poll::Ready(())
    }

    fn poll_lanes(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Self { call, now, connect, timeout, lanes, .. } = self;
        if lanes.is_empty() {
            if !call.sub_requests().iter().any(SubRequest::is_open) {
                return self.give_way(cx);
            }
            *lanes = Lane::cut(call);
        }
        let mut pending = false;
        for lane in &mut *lanes {
            while lane.take_answers(call, *now, cx) == Poll::Ready(true) {
                lane.submit(call, (*now, *timeout), connect);
            }
            pending |= lane.is_under_way();
        }
        if pending {
            return Poll::Pending;
        }
        // Else what is to be sent again would count as dropped.
        lanes.clear();
        Poll::Ready(())
    }

    /// A call without open requests ends at once. A task that makes one after the other must not starve other tasks,
    /// such as the drivers that would reconnect.
    #[cold]
    fn give_way(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.gave_way, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Encodes the only request once that may be, unless it ends before.
#[cold]
fn encode<O: Operation>(
    call: &mut Call<'_, O>,
    shared: &SharedConnection,
    slot: u32,
    (now, stage): (Now, &mut Stage),
    cx: &Context<'_>,
) -> Poll<()> {
    loop {
        match shared.poll_unencoded(slot, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Turn::Done(outcome)) => {
                *stage = Stage::Ended;
                call.conclude(0, outcome, shared);
                return Poll::Ready(());
            }
            Poll::Ready(Turn::Encode) => match shared.encode(slot, call.command(0), now) {
                Ok(Encoded::Now(length)) => {
                    *stage = Stage::Encoded;
                    call.request(0).0.encoded(length);
                    return Poll::Ready(());
                }
                // There is no room any more.
                Ok(Encoded::NotYet) => {}
                Ok(Encoded::NoLonger) => {
                    *stage = Stage::Encoded;
                    return Poll::Ready(());
                }
                Err(error) => {
                    *stage = Stage::Ended;
                    call.fail(0, &error, Fault::Nobody);
                    return Poll::Ready(());
                }
            },
        }
    }
}

/// Remembers whether the value of the only key is large.
#[cold]
fn remember<O: Operation>(call: &Call<'_, O>, shared: &SharedConnection, outcome: &SlotResult) {
    let Some(key) = call.command(0).only_key() else { return };
    match outcome.value_length() {
        Some(LARGE..) => shared.large_keys.add(key),
        Some(_) => shared.large_keys.remove(key),
        None => {}
    }
}

/// The present moment, and how long the call may take, if that is not what the options say.
type Times = (Now, Option<Duration>);

// In place: 85 instructions less of a get on Tokio.
#[inline(always)]
fn submit<O: Operation>(
    call: &mut Call<'_, O>,
    at: usize,
    (now, timeout): Times,
    (transfer, queueing): (Option<Transfer>, Queueing<'_>),
    connect: &mut impl FnMut(ServerId, Freshness, Transfer) -> Result<Arc<SharedConnection>, Error>,
) -> Result<(Arc<SharedConnection>, u32, u64), (Error, Fault)> {
    /// A connection can end before it is used; this many in a row do not.
    const TRIES: usize = 3;
    let begun = call.begun();
    let to_merge = call.time_to_merge();
    let deadline = |shared: &SharedConnection| deadline(shared, (now, timeout), to_merge);
    let (sub_request, command) = call.request(at);
    // In its place there comes a connection of the same kind.
    let transfer = if sub_request.is_redirected() { Some(Transfer::Large) } else { transfer };
    let mut last = None;
    for tried in 0..TRIES {
        // No connection could be made here, which is no failure of the server.
        let freshness = match (sub_request.is_retry(), tried) {
            (true, _) => Freshness::Fresh(begun),
            (false, 0) => Freshness::Any,
            (false, _) => Freshness::Live,
        };
        let suited = transfer.unwrap_or(Transfer::Small);
        let mut shared = connect(sub_request.server(), freshness, suited).map_err(|error| (error, Fault::Nobody))?;
        if suited == Transfer::Large || shared.large_keys.is_in_use() {
            let better = |suited| {
                sub_request.redirect();
                connect(sub_request.server(), freshness, suited)
            };
            shared = change(shared, command, transfer, better).map_err(|error| (error, Fault::Nobody))?;
        }
        match shared.queue(command, now, deadline(&shared), queueing) {
            Ok((slot, length)) => {
                sub_request.encoded(length);
                return Ok((shared, slot, length));
            }
            Err(NotSubmitted::Invalid(error)) => return Err((error, Fault::Nobody)),
            // It was closed on purpose.
            Err(NotSubmitted::Ended(Error::Closed { .. })) => {}
            // It was made for this call, so this is how the server answers now. If it was lost, the request may be sent once more.
            Err(NotSubmitted::Ended(error)) if shared.begun >= begun || sub_request.is_retry() => {
                let fault = if is_lost(&error) || shared.is_unusable() { Fault::Connection } else { Fault::of(&error) };
                return Err((error, fault));
            }
            Err(NotSubmitted::Ended(error)) => last = Some(error),
        }
    }
    let last = last.unwrap_or_else(|| Error::disconnected("each connection has ended before it could be used"));
    Err((last.with_landed(Landed::NotSent), Fault::Connection))
}

/// When a request of a call on a connection has to end.
#[inline]
fn deadline(shared: &SharedConnection, (now, timeout): Times, to_merge: Duration) -> Instant {
    now.later(time_to_wait(timeout.unwrap_or(shared.timeout), to_merge))
}

/// Another connection, if that suits the request better.
#[cold]
#[inline(never)]
fn change<C: Command + ?Sized>(
    shared: Arc<SharedConnection>,
    command: &C,
    settled: Option<Transfer>,
    connect: impl FnOnce(Transfer) -> Result<Arc<SharedConnection>, Error>,
) -> Result<Arc<SharedConnection>, Error> {
    match shared.better_for(command, settled) {
        None => Ok(shared),
        Some(better) => connect(better),
    }
}

/// Whether a connection was lost, so that another one may do.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Disconnected { .. } | Error::Protocol { .. })
}

impl<O: Operation, F> Drop for Exchange<'_, '_, O, F> {
    fn drop(&mut self) {
        if let Some((shared, slot, stage)) = &self.only {
            if *stage != Stage::Ended {
                shared.cancel(*slot);
            }
            self.call.cancelled();
        }
        if !self.lanes.is_empty() {
            self.lanes.iter().for_each(|lane| lane.cancel(self.call));
            self.call.cancelled();
        }
    }
}

impl<O: Operation, F> fmt::Debug for Exchange<'_, '_, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("call", &self.call).field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
