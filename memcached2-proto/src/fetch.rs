//! One computation for all who miss together: the rules of `client.fetch(..)`, without I/O.
//!
//! For users: a [`FetchPolicy`] says how a value is fetched, and for how long it is stored.

mod flights;
mod many;

use std::time::Duration;

use bytes::Bytes;

#[doc(hidden)]
pub use self::flights::{Flights, Followed, Follower, Followers, Joined, Leader};
#[doc(hidden)]
pub use self::many::{Fill, Lead, Missed, computed_many};
use crate::command::meta::{MetaDelete, MetaGet, MetaItem};
use crate::data::ToValue;
use crate::error::{CasProblem, Error};
use crate::time::{Expiry, Now};
use crate::value::Value;

/// How `client.fetch(..)` fetches a value, and for how long it stores one that was computed.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::fetch::FetchPolicy;
///
/// // For an hour; in its last minute one caller computes it again while the others still get it.
/// let policy = FetchPolicy::new(Duration::from_secs(3600)).refresh_before(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
pub struct FetchPolicy {
    expiry: Expiry,
    lease: Duration,
    wait: Option<Duration>,
    refresh_before: Option<Duration>,
    serves_stale: bool,
    absent: Option<Expiry>,
}

impl FetchPolicy {
    /// Stores a computed value until `expiry`.
    #[must_use]
    pub fn new(expiry: impl Into<Expiry>) -> Self {
        Self {
            expiry: expiry.into(),
            lease: Duration::from_secs(10),
            wait: None,
            refresh_before: None,
            serves_stale: true,
            absent: None,
        }
    }

    /// Sets how long one program may compute before another one does: 10 seconds unless changed. Make it longer than a computation
    /// takes.
    ///
    /// memcached counts the seconds that begin. So if the program dies, another one computes after this time and a second more at most,
    /// or two if it is not in whole seconds.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Sets how long a caller waits for the value that another one computes: three times the [`lease`](Self::lease), and at least 3
    /// seconds, unless changed. Then one is computed that is not stored, by one caller for all of its client that have waited as long.
    ///
    /// If it is shorter than the lease and a computation together, and the program that computes dies, each other program computes.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = Some(time);
        self
    }

    /// Lets one caller compute the value again if it expires in less than `time`, while all others still get it. Needs a server that
    /// speaks meta. Default: a value is computed again when it has expired.
    #[must_use]
    pub fn refresh_before(mut self, time: Duration) -> Self {
        self.refresh_before = Some(time);
        self
    }

    /// Sets whether a value that was [marked as stale](crate::command::meta::MetaDelete::invalidate) is returned while another caller
    /// computes it again, and if that fails. `true` unless changed; with `false` callers wait for the new value.
    #[must_use]
    pub fn serve_stale(mut self, served: bool) -> Self {
        self.serves_stale = served;
        self
    }

    /// Stores for this time that there is no value, when the computation of `fetch_optional` returns `None`. Default: nothing is stored,
    /// and the next caller computes again.
    #[must_use]
    pub fn absent_for(mut self, expiry: impl Into<Expiry>) -> Self {
        self.absent = Some(expiry.into());
        self
    }
}

/// What was found under a key.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This; `None` is stored as absent.
    Value(Option<Value>),
    /// This caller is to compute it.
    Compute(Lease),
    /// Another caller computes it. Until then there is a stale value, or none.
    Wait(Option<Option<Value>>),
}

/// The right to compute a value and to store it.
#[doc(hidden)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    /// The version of the item that it is stored over; without one it is not stored.
    pub cas: Option<u64>,
    /// What others get until then, if there is something.
    pub old: Option<Option<Value>>,
    /// Whether that is marked as stale.
    pub is_stale: bool,
}

impl Lease {
    /// Whether the server has no versions (`-C`), so that nothing can be stored over it.
    #[must_use]
    pub fn has_no_version(&self) -> bool {
        self.cas == Some(0)
    }

    /// What lets another caller compute at once. An old value stays; unless it is marked as stale, nobody can win it again.
    #[must_use]
    pub fn given_up<'k>(&self, key: &'k [u8]) -> Option<MetaDelete<'k>> {
        let delete = self.removed(key)?;
        match (&self.old, self.is_stale) {
            (None, _) => Some(delete),
            (Some(_), true) => Some(delete.invalidate()),
            (Some(_), false) => None,
        }
    }

    /// What removes the item.
    #[must_use]
    pub fn removed<'k>(&self, key: &'k [u8]) -> Option<MetaDelete<'k>> {
        let delete = MetaDelete::new(key).ok()?;
        Some(match self.cas? {
            0 => delete.without_version(),
            cas => delete.compare_cas(cas),
        })
    }
}

impl Found {
    /// There is nothing, and what is computed is not stored.
    pub const UNLEASED: Self = Self::Compute(Lease { cas: None, old: None, is_stale: false });
}

/// The flags of an item that stands for no value.
const ABSENT: u32 = u32::from_be_bytes(*b"NONE");
/// The flags of an item that stands for a value that is being computed, on a server without meta.
const LEASED: u32 = u32::from_be_bytes(*b"WAIT");

/// What the macro of `fetch` asks.
#[doc(hidden)]
impl FetchPolicy {
    /// Checks until when it stores, before anything is computed.
    ///
    /// # Errors
    ///
    /// [`Error::Expiry`].
    pub fn check(&self, now: Now) -> Result<(), Error> {
        [Some(self.expiry), self.absent].into_iter().flatten().try_for_each(|expiry| expiry.exptime(now).map(drop))
    }

    /// What to ask a server that speaks meta.
    ///
    /// # Errors
    ///
    /// [`Error::Key`].
    pub fn question<'k>(&self, key: &'k [u8]) -> Result<MetaGet<'k>, Error> {
        let question =
            MetaGet::new(key).map_err(|error| error.of_key(key))?.value().flags().cas().vivify(self.lease_expiry());
        Ok(match self.refresh_before {
            None => question,
            Some(before) => question.recache(before),
        })
    }

    /// What a server that speaks meta has answered.
    #[must_use]
    pub fn judge(&self, item: Option<MetaItem>) -> Found {
        // It would have been made: the server has ignored that.
        let Some(item) = item else { return Found::UNLEASED };
        let value = item.value.unwrap_or_default();
        // A lease may have been marked as stale: an empty value with that mark is taken for one, since nothing tells them apart.
        let is_made = value.data.is_empty() && value.flags == 0 && (item.win || item.already_won);
        let is_lease = is_made || Self::is_leased(&value);
        let old = (!is_lease).then(|| Self::present(value));
        match old {
            old if item.win => Found::Compute(Lease { cas: item.cas, old, is_stale: item.stale }),
            // It is to be computed again soon, and still good.
            Some(value) if !item.stale => Found::Value(value),
            old => Found::Wait(old),
        }
    }

    /// What `gets` has returned from a server that does not speak meta.
    #[must_use]
    pub fn judge_classic(&self, value: Option<Value>) -> Found {
        match value {
            None => Found::UNLEASED,
            Some(value) if Self::is_leased(&value) => Found::Wait(None),
            Some(value) => Found::Value(Self::present(value)),
        }
    }

    /// What `gets` has returned after the `add` of this caller was stored.
    #[must_use]
    pub fn judge_lease(&self, value: Option<Value>) -> Found {
        match value {
            None => Found::UNLEASED,
            Some(value) if Self::is_leased(&value) => Found::Compute(Lease { cas: value.cas, ..Lease::default() }),
            Some(value) => Found::Value(Self::present(value)),
        }
    }

    /// Whether it stands for a value that is being computed.
    #[must_use]
    pub fn is_leased(value: &Value) -> bool {
        value.data.is_empty() && value.flags == u64::from(LEASED)
    }

    /// What stands for a value that is being computed.
    #[must_use]
    pub fn leased() -> Value {
        Value::new(Bytes::new(), LEASED.into())
    }

    /// What is stored, and until when; `None` if nothing is.
    #[must_use]
    pub fn stored(&self, value: Option<&Value>) -> Option<(Value, Expiry)> {
        match value {
            Some(value) => Some((value.clone(), self.expiry)),
            None => self.absent.map(|expiry| (Value::new(Bytes::new(), ABSENT.into()), expiry)),
        }
    }

    /// How long a lease lasts on the server, which takes up to a second off: the one that has begun.
    #[must_use]
    pub fn lease_expiry(&self) -> Expiry {
        Expiry::from(self.lease.saturating_add(Duration::from_secs(1)))
    }

    /// How long to wait for other callers: for one that dies, and for the next one.
    #[must_use]
    pub fn wait_time(&self) -> Duration {
        self.wait.unwrap_or_else(|| self.lease.max(Duration::from_secs(1)).saturating_mul(3))
    }

    /// What others get while the value is computed, and this caller if that fails; `None` if they have to wait.
    #[must_use]
    pub fn meanwhile(&self, lease: &Lease, may_be_absent: bool) -> Option<Option<Value>> {
        let old = lease.old.clone().filter(|_| self.serves_stale || !lease.is_stale);
        old.filter(|old| may_be_absent || old.is_some())
    }

    /// What a caller gets who finds that another one computes; `None` if it has to wait.
    #[must_use]
    pub fn stale(&self, old: Option<Option<Value>>, may_be_absent: bool) -> Option<Option<Value>> {
        self.meanwhile(&Lease { cas: None, old, is_stale: true }, may_be_absent)
    }

    /// How long to wait before the server is asked again, for this time.
    #[must_use]
    pub fn delay(attempt: u32) -> Duration {
        /// The first time, which grows by a half up to the last.
        const FIRST: Duration = Duration::from_millis(10);
        const LAST: Duration = Duration::from_millis(250);
        (0..attempt.min(16)).fold(FIRST, |delay, _| delay * 3 / 2).min(LAST)
    }

    fn present(value: Value) -> Option<Value> {
        let is_absent = value.data.is_empty() && value.flags == u64::from(ABSENT);
        (!is_absent).then_some(value)
    }
}

/// Makes errors of the leases of servers without versions, over which nothing could be stored. Returns what gives those up, and all other
/// leases if the call fails by one of its errors: nothing is computed then, so others need not wait.
#[doc(hidden)]
pub fn given_up<'k>(keys: &[&'k [u8]], found: &mut [Result<Found, Error>]) -> Vec<MetaDelete<'k>> {
    let mut given_up = Vec::new();
    for (key, found) in keys.iter().zip(found.iter_mut()) {
        if let Ok(Found::Compute(lease)) = found {
            if lease.has_no_version() {
                given_up.extend(lease.given_up(key));
                *found = Err(Error::cas(CasProblem::Disabled).of_method("fetch", Some(key)));
            }
        }
    }
    if found.iter().any(|found| matches!(found, Err(error) if !error.counts_as_miss())) {
        for (key, found) in keys.iter().zip(found) {
            if let Ok(Found::Compute(lease)) = found {
                given_up.extend(lease.given_up(key));
            }
        }
    }
    given_up
}

/// What was computed, as a value.
///
/// # Errors
///
/// That of its [`ToValue`].
#[doc(hidden)]
pub fn computed<T: ToValue + ?Sized>(computed: &T, key: &[u8]) -> Result<Value, Error> {
    let data = computed.to_value().map_err(|error| error.of_method("fetch", Some(key)))?;
    let flags = data.flags().into();
    Ok(Value::new(data.into_bytes(), flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(data: &'static [u8], flags: u64) -> MetaItem {
        let mut item = MetaItem::default();
        (item.value, item.cas) = (Some(Value::new(Bytes::from_static(data), flags)), Some(7));
        item
    }

    #[test]
    fn callers_wait_longer_than_the_lease_of_a_program_that_dies() {
        for lease in [0, 1, 2, 10, 3600].map(Duration::from_secs) {
            let policy = FetchPolicy::new(Duration::from_secs(60)).lease(lease);
            let Expiry::After(longest) = policy.lease_expiry() else { panic!("it is no time") };
            assert!(policy.wait_time() > longest, "{lease:?}");
        }
    }

    #[test]
    fn one_caller_computes_and_the_others_wait_or_get_what_there_is() {
        let policy = FetchPolicy::new(Duration::from_secs(60));
        let some = |data| Some(Some(Value::new(Bytes::from_static(data), 0)));
        let judged = |win, already_won, stale, data: &'static [u8]| {
            policy.judge(Some(MetaItem { win, already_won, stale, ..item(data, 0) }))
        };
        let lease = |old, is_stale| Found::Compute(Lease { cas: Some(7), old, is_stale });
        assert_eq!(policy.judge(None), Found::UNLEASED);
        assert_eq!(judged(false, false, false, b"x"), Found::Value(some(b"x").unwrap()));
        assert_eq!(judged(true, false, false, b""), lease(None, false));
        assert_eq!(judged(false, true, false, b""), Found::Wait(None));
        assert_eq!(judged(true, false, false, b"x"), lease(some(b"x"), false));
        assert_eq!(judged(false, true, false, b"x"), Found::Value(some(b"x").unwrap()));
        assert_eq!(judged(true, false, true, b"x"), lease(some(b"x"), true));
        assert_eq!(judged(false, true, true, b"x"), Found::Wait(some(b"x")));
        // A lease that was marked as stale has no old value.
        assert_eq!(judged(true, false, true, b""), lease(None, true));
        assert_eq!(judged(false, true, true, b""), Found::Wait(None));
        // An empty value is a value.
        assert_eq!(judged(false, false, false, b""), Found::Value(some(b"").unwrap()));
        assert_eq!(policy.judge(Some(item(b"", ABSENT.into()))), Found::Value(None));
        assert_eq!(policy.judge_classic(Some(FetchPolicy::leased())), Found::Wait(None));
    }

    #[test]
    fn the_lease_of_a_program_that_speaks_no_meta_is_no_value_for_one_that_does() {
        let policy = FetchPolicy::new(Duration::from_secs(60));
        let leased = |win| policy.judge(Some(MetaItem { win, ..item(b"", LEASED.into()) }));
        assert_eq!(leased(false), Found::Wait(None));
        // It ends soon enough to be computed before.
        assert_eq!(leased(true), Found::Compute(Lease { cas: Some(7), old: None, is_stale: false }));
    }

    #[test]
    fn the_delays_grow_to_a_quarter_of_a_second() {
        let delays: Vec<_> = (0..40).map(FetchPolicy::delay).collect();
        assert!(delays.is_sorted() && delays[0] == Duration::from_millis(10));
        assert_eq!(delays.last(), Some(&Duration::from_millis(250)));
    }
}
