//! Callers of one program who want the same value at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Lease;
use crate::value::Value;

/// What the callers of a client fetch at the moment: one of those who want the same leads, the others follow and get what it gets. If
/// the leader is dropped or fails, a follower that waits leads. Those that have waited too long for it are a flight of their own.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<Name, Flight>>);

/// What is fetched, and whether by those that have waited too long.
type Name = (Box<[u8]>, bool);

/// What a leader has got.
type Outcome = Arc<OnceLock<Option<Value>>>;

#[derive(Debug)]
struct Flight {
    outcome: Outcome,
    is_led: bool,
    /// What the leader has, for one that takes its place.
    lease: Option<Lease>,
    followers: Vec<(u64, Option<Waker>)>,
    next: u64,
}

/// What a caller is.
#[derive(Debug)]
pub enum Joined<'f> {
    /// The one that fetches.
    Leader(Leader<'f>),
    /// One that waits for it.
    Follower(Follower<'f>),
}

/// The caller that fetches.
#[derive(Debug)]
pub struct Leader<'f> {
    flights: &'f Flights,
    name: Name,
    outcome: Outcome,
}

/// A caller that waits.
#[derive(Debug)]
pub struct Follower<'f> {
    flights: &'f Flights,
    name: Name,
    outcome: Outcome,
    number: u64,
    has_left: bool,
}

impl Flights {
    /// Joins those who want the value of this key, or those of them that have waited too long for a leader.
    pub fn join(&self, key: &[u8], is_late: bool) -> Joined<'_> {
        let name = (key.into(), is_late);
        match self.lock().entry(name) {
            Entry::Vacant(vacant) => {
                let outcome = Outcome::default();
                let flight =
                    Flight { outcome: Arc::clone(&outcome), is_led: true, lease: None, followers: Vec::new(), next: 0 };
                let name = vacant.key().clone();
                vacant.insert(flight);
                Joined::Leader(Leader { flights: self, name, outcome })
            }
            Entry::Occupied(mut occupied) => {
                let name = occupied.key().clone();
                let flight = occupied.get_mut();
                flight.next += 1;
                flight.followers.push((flight.next, None));
                let (outcome, number) = (Arc::clone(&flight.outcome), flight.next);
                Joined::Follower(Follower { flights: self, name, outcome, number, has_left: false })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a flight that has not ended, and wakes its followers if no one leads: the first that is polled does. A call may
    /// have followers that it does not wait for at the moment, so it is not enough to wake one. A flight without anybody ends.
    fn update(&self, name: &Name, outcome: &Outcome, act: impl FnOnce(&mut Flight) -> Option<Waker>) {
        let mut flights = self.lock();
        let Some(flight) = flights.get_mut(name).filter(|flight| Arc::ptr_eq(&flight.outcome, outcome)) else { return };
        let old = act(flight);
        let waiting: Vec<_> = match flight.is_led {
            true => Vec::new(),
            false => flight.followers.iter_mut().filter_map(|(_, waker)| waker.take()).collect(),
        };
        if !flight.is_led && flight.followers.is_empty() {
            flights.remove(name);
        }
        drop(flights);
        drop(old);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Leader<'_> {
    /// Whether it leads those that have waited too long.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.name.1
    }

    /// What an earlier leader had that was dropped.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.flights.lock().get(&self.name).and_then(|flight| flight.lease.clone())
    }

    /// Says what it has, or that it has that no more.
    pub fn set_lease(&self, lease: Option<Lease>) {
        self.flights.update(&self.name, &self.outcome, |flight| {
            flight.lease = lease;
            None
        });
    }

    /// Gives all followers what it has got.
    pub fn finish(self, value: Option<Value>) {
        let mut flights = self.flights.lock();
        let flight = flights.remove(&self.name);
        let _ = self.outcome.set(value);
        drop(flights);
        let followers = flight.into_iter().flat_map(|flight| flight.followers);
        followers.filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }
}

/// After [`Leader::finish`] nothing is left to be updated.
impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.flights.update(&self.name, &self.outcome, |flight| {
            flight.is_led = false;
            None
        });
    }
}

impl<'f> Follower<'f> {
    /// Waits for what the leader gets: that, or the lead.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Value>, Leader<'f>>> {
        let mut flights = self.flights.lock();
        if let Some(value) = self.outcome.get() {
            return Poll::Ready(Ok(value.clone()));
        }
        let flight = flights.get_mut(&self.name).filter(|flight| Arc::ptr_eq(&flight.outcome, &self.outcome));
        let Some(flight) = flight else { return Poll::Pending };
        if !flight.is_led {
            flight.is_led = true;
            let at = flight.followers.iter().position(|(number, _)| *number == self.number);
            let old = at.and_then(|at| flight.followers.remove(at).1);
            self.has_left = true;
            drop(flights);
            drop(old);
            let (flights, name, outcome) = (self.flights, self.name.clone(), Arc::clone(&self.outcome));
            return Poll::Ready(Err(Leader { flights, name, outcome }));
        }
        let mine = flight.followers.iter_mut().find(|(number, _)| *number == self.number);
        let old = mine.and_then(|(_, waker)| waker.replace(cx.waker().clone()));
        // Not while the lock is held: dropping a waker can drop a task, and with it another follower.
        drop(flights);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        let number = self.number;
        self.flights.update(&self.name, &self.outcome, |flight| {
            let at = flight.followers.iter().position(|(follower, _)| *follower == number)?;
            flight.followers.remove(at).1
        });
    }
}

/// The callers that one call follows, each for the key at a place.
#[derive(Debug, Default)]
pub struct Followers<'f>(Vec<(usize, Follower<'f>)>);

/// What has come for the key at a place: a value, or the lead.
pub type Followed<'f> = (usize, Result<Option<Value>, Option<Leader<'f>>>);

impl<'f> Followers<'f> {
    /// Follows one more.
    pub fn push(&mut self, place: usize, follower: Follower<'f>) {
        self.0.push((place, follower));
    }

    /// Whether none is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for all of them at the same time, until something has come for some: no other caller waits for a lead that this one gets.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Vec<Followed<'f>>> {
        let mut come = Vec::new();
        self.0.retain_mut(|(place, follower)| match follower.poll(cx) {
            Poll::Ready(got) => {
                come.push((*place, got.map_err(Some)));
                false
            }
            Poll::Pending => true,
        });
        if come.is_empty() { Poll::Pending } else { Poll::Ready(come) }
    }

    /// Follows none of them any more: their time is over.
    pub fn give_up(&mut self) -> Vec<Followed<'f>> {
        self.0.drain(..).map(|(place, _)| (place, Err(None))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(joined: Joined<'_>) -> Leader<'_> {
        let Joined::Leader(leader) = joined else { panic!("another one leads") };
        leader
    }

    fn follower(joined: Joined<'_>) -> Follower<'_> {
        let Joined::Follower(follower) = joined else { panic!("no one leads") };
        follower
    }

    #[test]
    fn all_who_want_the_same_get_what_the_leader_gets() {
        let (flights, cx) = (Flights::default(), Context::from_waker(Waker::noop()));
        let leads = leader(flights.join(b"a", false));
        let mut followers: Vec<_> = (0..3).map(|_| follower(flights.join(b"a", false))).collect();
        assert!(followers.iter_mut().all(|follower| follower.poll(&cx).is_pending()));
        let other = leader(flights.join(b"b", false));
        let value = Value::new("x".into(), 0);
        leads.finish(Some(value.clone()));
        for follower in &mut followers {
            let Poll::Ready(Ok(got)) = follower.poll(&cx) else { panic!("nothing came") };
            assert_eq!(got, Some(value.clone()));
        }
        drop((followers, other));
        assert!(flights.lock().is_empty());
        drop(leader(flights.join(b"a", false)));
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn those_that_have_waited_too_long_get_what_the_first_of_them_computes() {
        let (flights, cx) = (Flights::default(), Context::from_waker(Waker::noop()));
        let leads = leader(flights.join(b"a", false));
        let mut patient = follower(flights.join(b"a", false));
        let late = leader(flights.join(b"a", true));
        let mut next = follower(flights.join(b"a", true));
        assert!(late.is_late() && !leads.is_late());
        let value = |text: &'static str| Some(Value::new(text.into(), 0));
        late.finish(value("late"));
        assert!(patient.poll(&cx).is_pending());
        leads.finish(value("in time"));
        for (follower, text) in [(&mut patient, "in time"), (&mut next, "late")] {
            let Poll::Ready(Ok(got)) = follower.poll(&cx) else { panic!("nothing came") };
            assert_eq!(got, value(text));
        }
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn a_follower_that_waits_leads_if_the_leader_is_dropped() {
        let (flights, cx) = (Flights::default(), Context::from_waker(Waker::noop()));
        let leads = leader(flights.join(b"a", false));
        let (gone, mut first, mut second) = (
            follower(flights.join(b"a", false)),
            follower(flights.join(b"a", false)),
            follower(flights.join(b"a", false)),
        );
        assert!(first.poll(&cx).is_pending() && second.poll(&cx).is_pending());
        let lease = Lease { cas: Some(7), ..Lease::default() };
        leads.set_lease(Some(lease.clone()));
        drop(leads);
        // Though another one came before it, which does not wait at the moment.
        let Poll::Ready(Err(next)) = first.poll(&cx) else { panic!("it does not lead") };
        assert_eq!(next.lease(), Some(lease));
        assert!(second.poll(&cx).is_pending());
        drop((first, next, gone));
        let Poll::Ready(Err(last)) = second.poll(&cx) else { panic!("it does not lead") };
        drop(second);
        last.finish(None);
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn a_call_that_follows_many_leads_each_as_soon_as_its_leader_is_dropped() {
        let (flights, cx) = (Flights::default(), Context::from_waker(Waker::noop()));
        let [slow, dropped] = [b"a", b"b"].map(|key| leader(flights.join(key, false)));
        let mut followers = Followers::default();
        for (place, key) in [b"a", b"b"].into_iter().enumerate() {
            followers.push(place, follower(flights.join(key, false)));
        }
        assert!(followers.poll(&cx).is_pending());
        drop(dropped);
        let Poll::Ready(come) = followers.poll(&cx) else { panic!("it does not lead") };
        assert!(matches!(&come[..], [(1, Err(Some(_)))]));
        slow.finish(None);
        let Poll::Ready(rest) = followers.poll(&cx) else { panic!("nothing came") };
        assert!(matches!(&rest[..], [(0, Ok(None))]) && followers.is_empty());
        drop((come, rest));
        assert!(flights.lock().is_empty());
    }
}
