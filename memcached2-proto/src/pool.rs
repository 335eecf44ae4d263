//! Idle connections: which to use again, when to open one, when to wait.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use crate::time::Instant;

/// How many connections there may be to a server, and how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolLimits {
    /// The most connections to one server; callers wait for one until their deadline. 64 unless changed.
    pub connections: usize,
    /// A connection that was idle for longer than this is closed; 60 seconds unless changed.
    pub idle: Duration,
    /// A connection that was idle for longer than this is checked before it is used, because a server that restarted or
    /// closes idle connections may have closed it. 1 second unless changed.
    pub trusted: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections: 64, idle: Duration::from_secs(60), trusted: Duration::from_secs(1) }
    }
}

/// The connections to one server, as pure data: the transport wraps it in a lock and does the waiting.
///
/// The one used last is used first, so that the others can grow old. Callers who wait for one get it in their turn.
#[derive(Debug)]
pub struct Pool<S> {
    idle: Vec<Idle<S>>,
    /// How many connections there are, idle or in use.
    open: usize,
    /// Waiting callers, in their order, each with its number.
    queue: VecDeque<(u64, Waker)>,
    /// The number of the next one.
    next: u64,
    closed: bool,
    is_retired: bool,
    limits: PoolLimits,
}

#[derive(Debug)]
struct Idle<S> {
    connection: S,
    since: Instant,
    /// Until when it is used without a look.
    trusted: Instant,
}

/// What to do to get a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Checkout<S> {
    /// Use this one.
    Reuse(S),
    /// Use this one if a look shows that the server has neither closed it nor sent anything; otherwise close it, call
    /// [`Pool::closed`] and ask again.
    Look(S),
    /// Open one; call [`Pool::closed`] if that fails.
    Open,
    /// The pool was closed: there will be none any more.
    Closed,
    /// [Wait](Pool::wait) to be woken, and ask [in turn](Pool::checkout_in_turn).
    Wait,
}

impl<S> Pool<S> {
    /// A pool without connections.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self { idle: Vec::new(), open: 0, queue: VecDeque::new(), next: 0, closed: false, is_retired: false, limits }
    }

    /// What to do to get a connection. A new caller waits after those that wait already.
    #[inline]
    pub fn checkout(&mut self, now: Instant) -> Checkout<S> {
        match self.queue.is_empty() || self.closed {
            true => self.checkout_again(now),
            false => Checkout::Wait,
        }
    }

    /// The same for a waiting caller with this number, whose turn it may be.
    #[cold]
    pub fn checkout_in_turn(&mut self, number: u64, now: Instant) -> Checkout<S> {
        if !self.closed && self.queue.front().is_some_and(|(first, _)| *first != number) {
            return Checkout::Wait;
        }
        let checkout = self.checkout_again(now);
        if !matches!(checkout, Checkout::Wait) {
            self.leave(number);
        }
        checkout
    }

    /// The same for a caller whose turn it was already, and whose connection was of no use.
    #[inline]
    pub fn checkout_again(&mut self, now: Instant) -> Checkout<S> {
        if let Some(checkout) = self.checkout_idle_for(self.limits.idle, now) {
            return checkout;
        }
        if self.closed {
            return Checkout::Closed;
        }
        if self.open < self.limits.connections.max(1) {
            self.open += 1;
            return Checkout::Open;
        }
        Checkout::Wait
    }

    /// An idle connection, if there is one, however old: for a caller that found that the server accepts no further connection.
    #[inline]
    pub fn checkout_idle(&mut self, now: Instant) -> Option<Checkout<S>> {
        self.checkout_idle_for(Duration::MAX, now)
    }

    /// The idle connection that was used last, unless it has been idle for longer than this: then all are closed.
    #[inline]
    fn checkout_idle_for(&mut self, at_most: Duration, now: Instant) -> Option<Checkout<S>> {
        let Idle { connection, since, trusted } = self.idle.pop()?;
        if now <= trusted {
            return Some(Checkout::Reuse(connection));
        }
        if now.saturating_duration_since(since) <= at_most {
            return Some(Checkout::Look(connection));
        }
        // The others have been idle for about as long, or longer.
        self.open -= 1;
        self.clear();
        None
    }

    /// Closes all idle connections: one of them was found dead.
    pub fn clear(&mut self) {
        self.open -= self.idle.len();
        self.idle.clear();
    }

    /// Closes the connections that have been idle since before `moment`: one that was as old was found dead. Whatever came
    /// back since has shown that it is not.
    pub fn discard_idle_since(&mut self, moment: Instant) {
        let before = self.idle.len();
        self.idle.retain(|idle| idle.since > moment);
        self.open -= before - self.idle.len();
    }

    /// Takes back a connection that is in step. Returns the waker of the next waiting caller, if there is one.
    #[inline]
    pub fn checkin(&mut self, connection: S, now: Instant) -> Option<Waker> {
        if self.closed || self.is_retired {
            self.open -= 1;
            return if self.is_retired { self.first() } else { None };
        }
        let oldest = self.idle.first().map(|idle| now.saturating_duration_since(idle.since));
        if oldest.is_some_and(|idle| idle > self.limits.idle) {
            self.idle.remove(0);
            self.open -= 1;
        }
        self.idle.push(Idle { connection, since: now, trusted: now + self.limits.trusted });
        if self.queue.is_empty() { None } else { self.first() }
    }

    /// A connection in use was closed, or none could be opened. Returns the waker of the next waiting caller, if there
    /// is one.
    pub fn closed(&mut self) -> Option<Waker> {
        self.open -= 1;
        self.first()
    }

    /// Closes the pool, and returns its idle connections and the wakers of all waiting callers. Connections in use are
    /// closed when they come back.
    pub fn close(&mut self) -> (Vec<S>, Vec<Waker>) {
        self.closed = true;
        self.open -= self.idle.len();
        let idle = self.idle.drain(..).map(|idle| idle.connection).collect();
        (idle, self.queue.drain(..).map(|(_, waker)| waker).collect())
    }

    /// Closes the idle connections, and from now on each that comes back, because the server is not used any more but by the calls
    /// that are under way: those may still open connections.
    pub fn retire(&mut self) {
        self.clear();
        self.is_retired = true;
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Lets a caller wait after the others. Returns its number.
    pub fn wait(&mut self, waker: Waker) -> u64 {
        self.next += 1;
        self.queue.push_back((self.next, waker));
        self.next
    }

    /// A caller stops waiting.
    pub fn leave(&mut self, number: u64) {
        self.queue.retain(|(waiting, _)| *waiting != number);
    }

    /// Whether it is the turn of a caller who waits under this number.
    #[must_use]
    pub fn is_first(&self, number: u64) -> bool {
        self.queue.front().is_none_or(|(first, _)| *first == number)
    }

    /// The waker of the next waiting caller, if there is or may be a connection for it. It is called whenever a caller
    /// stops waiting, served or not.
    #[must_use]
    pub fn next(&self) -> Option<Waker> {
        let is_free = !self.idle.is_empty() || self.open < self.limits.connections.max(1);
        if is_free { self.first() } else { None }
    }

    #[cold]
    fn first(&self) -> Option<Waker> {
        self.queue.front().map(|(_, waker)| waker.clone())
    }

    /// How many connections there are, idle or in use.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many of them are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limits.connections.max(1)
    }

    /// How many callers wait for one.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests;
