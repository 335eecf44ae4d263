//! The callers' side: a whole call over shared connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Mux, NotSubmitted};
use crate::call::Asked;
use crate::command::Command;
use crate::error::Error;
use crate::few::Few;
use crate::router::ServerId;
use crate::time::Now;

/// Asks all parts of a call that are open and waits for their answers: one round, without I/O.
///
/// `connect` gives the connection to use for a server, and is told whether the one before had ended; it must not wait,
/// since the connection's driver connects.
/// Nothing happens until the future is polled. When it is dropped, what was asked is forgotten: the replies are read
/// and thrown away, and nobody else on the connections notices.
pub fn converse<'c, P, F>(asked: &'c mut [Asked<P>], now: Now, deadline: Instant, connect: F) -> Converse<'c, P, F>
where
    P: Command,
    F: FnMut(ServerId, bool) -> Result<Arc<Mux>, Error>,
{
    Converse { asked, now, deadline, connect, next: 0, under_way: Few::None, heard: 0 }
}

/// The future of [`converse`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Converse<'c, P, F> {
    asked: &'c mut [Asked<P>],
    now: Now,
    deadline: Instant,
    connect: F,
    /// The first part that was not looked at.
    next: usize,
    under_way: Few<UnderWay>,
    /// How many of those have been answered.
    heard: usize,
}

/// A part whose answer is yet to come.
#[derive(Debug)]
struct UnderWay {
    mux: Arc<Mux>,
    slot: u32,
    /// Its place among the parts.
    at: usize,
}

/// A call of more parts than this waits for their answers before it asks more: memory stays in bounds, and a window
/// this wide costs hardly any speed.
const WINDOW: usize = 1024;
/// A call with more encoded bytes than this waits likewise.
const WINDOW_BYTES: usize = 1024 * 1024;

// Nothing in it is ever pinned.
impl<P, F> Unpin for Converse<'_, P, F> {}

impl<P, F> Future for Converse<'_, P, F>
where
    P: Command,
    F: FnMut(ServerId, bool) -> Result<Arc<Mux>, Error>,
{
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            while let Some(UnderWay { mux, slot, at }) = this.under_way.as_slice().get(this.heard) {
                match mux.poll(*slot, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => this.asked[*at].conclude(outcome),
                }
                this.heard += 1;
            }
            if this.next == this.asked.len() {
                return Poll::Ready(());
            }
            this.submit();
        }
    }
}

impl<P, F> Converse<'_, P, F>
where
    P: Command,
    F: FnMut(ServerId, bool) -> Result<Arc<Mux>, Error>,
{
    /// Submits as many parts as a window holds.
    #[inline]
    fn submit(&mut self) {
        (self.under_way, self.heard) = (Few::None, 0);
        let alone = self.asked.len() == 1;
        for (at, asked) in self.asked.iter_mut().enumerate().skip(self.next) {
            self.next = at + 1;
            if !asked.is_open() {
                continue;
            }
            match submit(asked, self.now, self.deadline, &mut self.connect) {
                Err(error) => asked.fail(error, false),
                Ok((mux, slot)) => {
                    let full = !alone && (self.under_way.as_slice().len() + 1 >= WINDOW || mux.queued() > WINDOW_BYTES);
                    self.under_way.push(UnderWay { mux, slot, at });
                    if full {
                        return;
                    }
                }
            }
        }
    }
}

#[inline]
fn submit<P: Command>(
    asked: &Asked<P>,
    now: Now,
    deadline: Instant,
    connect: &mut impl FnMut(ServerId, bool) -> Result<Arc<Mux>, Error>,
) -> Result<(Arc<Mux>, u32), Error> {
    /// A connection can end between being found and being used; so many in a row do not.
    const TRIES: usize = 3;
    let mut last = Error::Closed;
    for tried in 0..TRIES {
        let mux = connect(asked.server(), tried > 0)?;
        match mux.submit(asked.part(), now, deadline) {
            Ok(slot) => return Ok((mux, slot)),
            Err(NotSubmitted::Invalid(error)) => return Err(error),
            Err(NotSubmitted::Ended(error)) => last = error,
        }
    }
    Err(last)
}

impl<P, F> Drop for Converse<'_, P, F> {
    fn drop(&mut self) {
        for UnderWay { mux, slot, .. } in &self.under_way.as_slice()[self.heard..] {
            mux.forget(*slot);
        }
    }
}
