//! What an asynchronous runtime does for a client.

use std::fmt::Debug;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::{AsyncTimer, Driver, Freshness, SharedConnections, Transfer, exchange};
use crate::call::{Call, Operation};
use crate::error::Error;
use crate::fetch::{Followed, Followers, Joined};
use crate::time::{Instant, Now};

/// What an asynchronous runtime does for a client: it runs the drivers of shared connections, and measures time.
pub trait Runtime {
    /// Tells runtimes apart. A driver stands still when its runtime does, so a call takes a connection of the runtime that it
    /// runs in.
    type Id: Copy + Eq + Debug;

    /// Its timer.
    type Timer: AsyncTimer;

    /// The runtime that the caller runs in.
    ///
    /// # Errors
    ///
    /// When the caller runs in none.
    fn id(&self) -> Result<Self::Id, Error>;

    /// The present moment.
    fn now(&self) -> Instant;

    /// A timer that is not set.
    ///
    /// # Errors
    ///
    /// When the caller runs in no runtime, and a timer needs one.
    fn timer(&self) -> Result<Self::Timer, Error>;

    /// [Runs](Driver::run) a driver in a task of the runtime that the caller runs in.
    fn spawn(&self, driver: Driver);
}

impl<R: Runtime> SharedConnections<R> {
    /// Runs an operation, which began at the moment `now`. With `timeout` it may take that long, in place of what the
    /// [options](crate::Options::timeout) of the client and its servers say.
    ///
    /// When the future is dropped, the call is cancelled: see [`exchange`].
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub async fn run<O: Operation>(
        &self,
        operation: O,
        now: Now,
        timeout: Option<Duration>,
    ) -> Result<O::Output, Error> {
        let clock = || self.runtime().now();
        let servers = self.current();
        let servers = &*servers;
        let mut call = Call::new(operation, &servers.router, now);
        call.keep_time_to_merge(clock);
        loop {
            let connect = |server, freshness: Freshness, transfer: Transfer| {
                self.connection(servers, server, freshness, transfer, now)
            };
            exchange(&mut call, now, timeout, connect).await;
            if !call.end_round(clock) {
                return call.finish();
            }
            let spent = clock().saturating_duration_since(now.monotonic);
            let left = timeout.unwrap_or_else(|| self.timeout()).saturating_sub(spent);
            if let Some(replay) = call.replay(spent, left) {
                // What could not be deleted is kept.
                let _ = Box::pin(self.between_rounds(&mut call, replay, now, timeout)).await;
            }
            if let Some(fill) = call.fill() {
                if let Ok(next) = Box::pin(self.between_rounds(&mut call, fill, now, timeout)).await {
                    call.filled(next);
                }
            }
        }
    }

    /// Runs what a call asks for between two of its rounds.
    async fn between_rounds<O: Operation, B: Operation>(
        &self,
        call: &mut Call<'_, O>,
        operation: B,
        now: Now,
        timeout: Option<Duration>,
    ) -> Result<B::Output, Error> {
        let between = BetweenRounds(call);
        let servers = self.current();
        let servers = &*servers;
        let mut call = Call::new(operation, &servers.router, now);
        loop {
            let connect = |server, freshness: Freshness, transfer: Transfer| {
                self.connection(servers, server, freshness, transfer, now)
            };
            exchange(&mut call, now, timeout, connect).await;
            if !call.end_round(|| self.runtime().now()) {
                between.end();
                return call.finish();
            }
        }
    }

    /// Joins the callers who fetch the same key by `fetch`, or those of them that have waited too long.
    #[doc(hidden)]
    pub fn join(&self, key: &[u8], is_late: bool) -> Joined<'_> {
        self.flights().join(key, is_late)
    }

    /// Waits for what the callers get that fetch the same keys, or for the lead of one, for this time at most: then none is followed any
    /// more.
    #[doc(hidden)]
    pub async fn follow<'f>(&self, followers: &mut Followers<'f>, within: Duration) -> Vec<Followed<'f>> {
        let Ok(mut timer) = self.runtime().timer() else { return followers.give_up() };
        let deadline = self.runtime().now() + within;
        poll_fn(|cx| match followers.poll(cx) {
            Poll::Ready(come) => Poll::Ready(come),
            Poll::Pending => timer.poll_until(cx, deadline).map(|_| followers.give_up()),
        })
        .await
    }

    /// Waits for a time, or until the client is closed; returns whether it is open.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::timer`].
    pub async fn pause(&self, time: Duration) -> Result<bool, Error> {
        let (mut timer, closed) = (self.runtime().timer()?, self.closing.pause());
        let deadline = self.runtime().now() + time;
        let is_open = poll_fn(|cx| match closed.poll(cx) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => timer.poll_until(cx, deadline).map(|_| true),
        });
        Ok(is_open.await)
    }

    /// Refuses new calls from now on, waits until those under way have ended, and closes all connections with a `quit`. After `time`
    /// it ends the calls that are still under way; then it returns `false`. A caller that runs in no runtime does not wait.
    pub async fn close(&self, time: Duration) -> bool {
        let mut left = self.quit();
        let mut timer = self.runtime().timer().ok();
        let deadline = self.runtime().now() + time;
        let is_closed = poll_fn(|cx| {
            left.retain(|shared| shared.poll_ended(cx).is_pending());
            match (left.is_empty(), &mut timer) {
                (true, _) => Poll::Ready(true),
                (false, Some(timer)) => timer.poll_until(cx, deadline).map(|_| false),
                (false, None) => Poll::Ready(false),
            }
        })
        .await;
        left.iter().for_each(|shared| shared.abort());
        is_closed
    }
}

/// A call between two of its rounds. If it is dropped then, what it has not done yet is kept in the journal. It is borrowed mutably, since
/// a call need not be `Sync`.
struct BetweenRounds<'c, 'r, O: Operation>(&'c mut Call<'r, O>);

impl<O: Operation> BetweenRounds<'_, '_, O> {
    /// The next round begins.
    fn end(self) {
        let _ = std::mem::ManuallyDrop::new(self);
    }
}

impl<O: Operation> Drop for BetweenRounds<'_, '_, O> {
    fn drop(&mut self) {
        self.0.cancelled();
    }
}
