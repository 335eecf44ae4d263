//! The slots that callers wait in for their replies.

use std::task::Waker;

use super::{Failure, SlotResult};
use crate::few::Few;
use crate::reply::Reply;
use crate::time::Instant;

/// How many slots are kept when all are free; more were a short peak.
const KEPT: usize = 4096;

/// A slab of slots; the number of a slot is the tag of its request.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many of them have no request yet.
    unencoded: usize,
    /// When the call began that gets the next ones. It is kept here since one more argument takes `Inner::queue` out of line.
    pub(super) begun: Instant,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    /// The number of the request on the connection.
    pub(super) ticket: u64,
    /// When the call began.
    pub(super) begun: Instant,
    /// When the slot's state has to change at the latest.
    pub(super) deadline: Instant,
    waker: Option<Waker>,
    replies: Few<Reply>,
}

/// A slot is freed once: by its caller, or when its reply was drained.
#[derive(Debug)]
pub(super) enum State {
    /// Not in use.
    Free,
    /// A caller waits to encode its request, until the protocol is known and there is room.
    Waiting,
    /// The caller may encode its request.
    Ready,
    /// A caller waits for the reply.
    Open,
    /// The reply is there for the caller.
    Done(Result<(), Box<Failure>>),
    /// The deadline has passed: neither has the caller been polled, nor has the reply come.
    Late(Box<Failure>),
    /// The caller is gone and the reply has not come: it is due by the deadline, or after that by the deadline for
    /// draining it.
    Gone { draining: bool },
}

impl Slot {
    /// Whether there is a request in it.
    pub(super) fn is_encoded(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Ready)
    }

    /// Whether its deadline was the last one.
    pub(super) fn is_overdue(&self) -> bool {
        matches!(self.state, State::Late(_) | State::Gone { draining: true })
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), unencoded: 0, begun: Instant::ZERO }
    }
}

impl Slots {
    /// A slot for a request.
    #[inline]
    pub(super) fn open(&mut self, ticket: u64, deadline: Instant) -> u32 {
        self.place(State::Open, ticket, deadline)
    }

    /// A slot for a request that is not encoded yet; it may be at once if `is_ready`. Until then it has the ticket of
    /// the first request, the probe.
    #[cold]
    pub(super) fn open_unencoded(&mut self, deadline: Instant, is_ready: bool) -> u32 {
        self.unencoded += 1;
        let state = if is_ready { State::Ready } else { State::Waiting };
        self.place(state, 0, deadline)
    }

    /// Whether none is in use.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// How many are in use with a request, and how many without.
    pub(super) fn counts(&self) -> (usize, usize) {
        ((self.slots.len() - self.free.len()).saturating_sub(self.unencoded), self.unencoded)
    }

    /// Whether a caller has a slot without a request.
    pub(super) fn has_unencoded(&self) -> bool {
        self.unencoded > 0
    }

    /// Lets all waiting callers encode; returns their wakers.
    #[cold]
    pub(super) fn let_encode(&mut self) -> Vec<Waker> {
        let waiting = self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Waiting));
        let make_ready = |slot: &mut Slot| {
            slot.state = State::Ready;
            slot.waker.take()
        };
        waiting.filter_map(make_ready).collect()
    }

    /// The slots without a request.
    #[cold]
    pub(super) fn unencoded(&self) -> Vec<u32> {
        let is_unencoded = |slot: &Slot| matches!(slot.state, State::Waiting | State::Ready);
        (0..).zip(&self.slots).filter(|(_, slot)| is_unencoded(slot)).map(|(at, _)| at).collect()
    }

    /// Lets the caller of a slot encode its request, if it still waits for that; returns its waker.
    pub(super) fn let_in(&mut self, at: u32) -> Option<Waker> {
        // Of callers that have gone, the slots may be gone, too.
        let slot = self.slots.get_mut(at as usize).filter(|slot| matches!(slot.state, State::Waiting))?;
        slot.state = State::Ready;
        slot.waker.take()
    }

    /// There is no room for the request of this slot yet.
    pub(super) fn put_off(&mut self, at: u32) {
        self.slots[at as usize].state = State::Waiting;
    }

    /// Whether the caller of a slot may encode its request.
    pub(super) fn is_ready(&self, at: u32) -> bool {
        matches!(self.slots[at as usize].state, State::Ready)
    }

    /// Whether the caller of a slot waits to encode its request.
    pub(super) fn is_waiting(&self, at: u32) -> bool {
        matches!(self.slots[at as usize].state, State::Waiting)
    }

    /// The request of a slot was encoded, and has this number; or it could not be, and the slot is free. Returns a waker, which must be
    /// dropped without the lock.
    #[cold]
    pub(super) fn encoded(&mut self, at: u32, ticket: Option<u64>) -> Option<Waker> {
        self.unencoded -= 1;
        let slot = &mut self.slots[at as usize];
        match ticket {
            Some(ticket) => {
                (slot.state, slot.ticket) = (State::Open, ticket);
                None
            }
            None => {
                let old = slot.waker.take();
                self.free(at);
                old
            }
        }
    }

    #[inline]
    fn place(&mut self, state: State, ticket: u64, deadline: Instant) -> u32 {
        match self.free.pop() {
            Some(at) => {
                let slot = &mut self.slots[at as usize];
                // Both were taken before it was free: there is nothing to drop, which would be done under the lock.
                debug_assert!(slot.waker.is_none() && matches!(slot.replies, Few::None), "{slot:?}");
                (slot.state, slot.ticket, slot.begun, slot.deadline) = (state, ticket, self.begun, deadline);
                at
            }
            None => {
                self.slots.push(Slot { state, ticket, begun: self.begun, deadline, waker: None, replies: Few::None });
                // More slots than 32 bits can count do not fit the memory.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    /// Gives a slot back, in which there is neither a waker nor a reply any more.
    #[inline]
    fn free(&mut self, slot: u32) {
        self.slots[slot as usize].state = State::Free;
        self.free.push(slot);
    }

    /// The outcome for the caller, if there is one.
    #[inline]
    pub(super) fn take(&mut self, at: u32) -> Option<SlotResult> {
        let slot = &mut self.slots[at as usize];
        match &slot.state {
            State::Done(_) => {
                let State::Done(end) = std::mem::replace(&mut slot.state, State::Free) else { return None };
                let replies = std::mem::take(&mut slot.replies);
                self.free.push(at);
                if self.free.len() == self.slots.len() && self.slots.len() > KEPT {
                    (self.slots, self.free) = (Vec::new(), Vec::new());
                }
                Some(SlotResult { replies, end })
            }
            State::Late(_) => {
                let gone = State::Gone { draining: true };
                let State::Late(failure) = std::mem::replace(&mut slot.state, gone) else { return None };
                Some(SlotResult { replies: std::mem::take(&mut slot.replies), end: Err(failure) })
            }
            State::Waiting | State::Ready | State::Open | State::Gone { .. } | State::Free => None,
        }
    }

    /// Stores the waker of the waiting caller; returns the one before, which must be dropped without the lock.
    #[inline]
    pub(super) fn park(&mut self, at: u32, waker: &Waker) -> Option<Waker> {
        let slot = &mut self.slots[at as usize];
        match &slot.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => slot.waker.replace(waker.clone()),
        }
    }

    /// The caller is gone. Returns the ticket of its request if the reply has not come, and what must be dropped
    /// without the lock.
    pub(super) fn leave(&mut self, at: u32) -> (Option<u64>, (Option<Waker>, Few<Reply>)) {
        let slot = &mut self.slots[at as usize];
        let deferred_drop = (slot.waker.take(), std::mem::take(&mut slot.replies));
        let cancelled = match slot.state {
            State::Open => {
                slot.state = State::Gone { draining: false };
                Some(slot.ticket)
            }
            State::Late(_) => {
                slot.state = State::Gone { draining: true };
                None
            }
            // Its waker was taken above.
            State::Waiting | State::Ready => {
                self.encoded(at, None);
                None
            }
            State::Done(_) => {
                self.free(at);
                None
            }
            State::Gone { .. } | State::Free => None,
        };
        (cancelled, deferred_drop)
    }

    /// Puts a reply into its slot; returns the waker of the caller if it was the last one.
    #[inline]
    pub(super) fn deliver(&mut self, at: u32, reply: Reply, last: bool) -> Option<Waker> {
        let slot = self.slots.get_mut(at as usize)?;
        match slot.state {
            State::Open => {
                slot.replies.push(reply);
                if !last {
                    return None;
                }
                slot.state = State::Done(Ok(()));
                slot.waker.take()
            }
            State::Gone { .. } | State::Late(_) if last => {
                self.drained(at);
                None
            }
            _ => None,
        }
    }

    /// The reply of a cancelled or late request has come, or will never come.
    pub(super) fn drained(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        match std::mem::replace(&mut slot.state, State::Free) {
            // Its caller was woken, and gets the failure when it is polled.
            State::Late(failure) => slot.state = State::Done(Err(failure)),
            _ => self.free.push(at),
        }
    }

    /// Ends a slot whose request failed; returns the waker of the caller.
    pub(super) fn fail(&mut self, at: u32, failure: Box<Failure>) -> Option<Waker> {
        let slot = self.slots.get_mut(at as usize)?;
        match slot.state {
            State::Open | State::Waiting | State::Ready => {
                self.unencoded -= usize::from(!matches!(slot.state, State::Open));
                slot.state = State::Done(Err(failure));
                slot.waker.take()
            }
            State::Gone { .. } | State::Late(_) => {
                self.drained(at);
                None
            }
            State::Free | State::Done(_) => None,
        }
    }

    /// When the call of a slot began.
    pub(super) fn begun(&self, at: u32) -> Option<Instant> {
        self.slots.get(at as usize).map(|slot| slot.begun)
    }

    /// Whether the deadline of a slot has passed.
    pub(super) fn is_due(&self, at: u32, now: Instant) -> bool {
        self.slots.get(at as usize).is_some_and(|slot| slot.deadline <= now)
    }

    /// Ends the call of a slot with a timeout; its reply may come until `drained_by`. Returns the waker.
    pub(super) fn expire(&mut self, at: u32, failure: Box<Failure>, drained_by: Instant) -> Option<Waker> {
        let slot = self.slots.get_mut(at as usize)?;
        slot.deadline = drained_by;
        match slot.state {
            State::Open => {
                slot.state = State::Late(failure);
                slot.waker.take()
            }
            State::Gone { .. } => {
                slot.state = State::Gone { draining: true };
                None
            }
            _ => None,
        }
    }

    /// The slots whose reply has not come, with their numbers.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let is_pending = |state: &State| !matches!(state, State::Free | State::Done(_));
        (0..).zip(&self.slots).filter(move |(_, slot)| is_pending(&slot.state))
    }
}
