//! What a holder of a lock knows of it: the part of `Lock` that needs no client.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::command::meta::MetaDelete;
use crate::error::{CasProblem, Error};
use crate::time::{Expiry, Instant};
use crate::value::Value;

/// A lock, or the attempt to get it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Held {
    key: Box<[u8]>,
    /// The value of the item, which no other holder has.
    token: Box<str>,
    /// The version of the item.
    cas: u64,
    /// Until when the server surely keeps the item, unless it is evicted.
    until: Instant,
}

impl Held {
    /// An attempt, with a random token.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let [one, two] = [(); 2].map(|()| RandomState::new().hash_one(()));
        Self { key: key.into(), token: format!("{one:016x}{two:016x}").into(), cas: 0, until: Instant::ZERO }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value of the item.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The version of the item.
    #[must_use]
    pub fn cas(&self) -> u64 {
        self.cas
    }

    /// When the item expires, for a lock of this time: in whole seconds, and 2 at least, since a server counts in seconds.
    #[must_use]
    pub fn expiry(ttl: Duration) -> Expiry {
        Expiry::After(Duration::from_secs(whole(ttl)))
    }

    /// Takes note of a store that began then.
    pub fn stored(&mut self, begun: Instant, ttl: Duration) {
        self.until = until(begun, ttl);
    }

    /// Takes note of a store that begins, before it is sent: until it is answered the server may keep the item for this time or for that of
    /// the store before. Returns what was sure.
    pub fn may_be_stored(&mut self, begun: Instant, ttl: Duration) -> Instant {
        let before = self.until;
        self.until = before.min(until(begun, ttl));
        before
    }

    /// Takes note that the store has not landed, for which that was returned.
    pub fn not_stored(&mut self, before: Instant) {
        self.until = before;
    }

    /// Takes note that the lock is lost.
    pub fn lost(&mut self) {
        self.until = Instant::ZERO;
    }

    /// Takes the version of the item that was found; `false` if it is that of another holder, or there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Cas`] if the server has no versions: the lock could be neither extended nor released.
    pub fn take(&mut self, found: Option<&Value>) -> Result<bool, Error> {
        match found {
            Some(Value { data, cas: Some(cas), .. }) if data[..] == *self.token.as_bytes() => {
                self.cas = *cas;
                match cas {
                    0 => Err(Error::cas(CasProblem::Disabled).of_method("try_lock", Some(&self.key))),
                    _ => Ok(true),
                }
            }
            _ => Ok(false),
        }
    }

    /// What removes an item of a server without versions, where nobody can hold the lock.
    ///
    /// # Errors
    ///
    /// [`Error::Key`].
    pub fn removed_without_version(&self) -> Result<MetaDelete<'_>, Error> {
        Ok(MetaDelete::new(&self.key)?.without_version())
    }

    /// How long the server keeps the item for sure.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

/// Until when a server surely keeps what was stored then: it may take up to a second for another one that has begun already.
fn until(begun: Instant, ttl: Duration) -> Instant {
    begun + Duration::from_secs(whole(ttl) - 1)
}

fn whole(ttl: Duration) -> u64 {
    ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_for_a_second_less_than_the_server_was_told() {
        let (mut held, begun) = (Held::new(b"k"), Instant::ZERO + Duration::from_secs(10));
        for (ttl, expiry) in [(0, 2), (1000, 2), (2000, 2), (2001, 3), (60_000, 60)] {
            let ttl = Duration::from_millis(ttl);
            assert_eq!(Held::expiry(ttl), Expiry::After(Duration::from_secs(expiry)));
            held.stored(begun, ttl);
            assert_eq!(held.time_left(begun), Duration::from_secs(expiry - 1));
            assert_eq!(held.time_left(begun + Duration::from_secs(expiry)), Duration::ZERO);
        }
    }

    #[test]
    fn a_lock_is_held_no_longer_than_a_store_may_say_that_has_no_answer() {
        let (mut held, begun) = (Held::new(b"k"), Instant::ZERO + Duration::from_secs(10));
        let [short, long] = [10, 60].map(Duration::from_secs);
        held.stored(begun, long);
        // It may have landed.
        let before = held.may_be_stored(begun, short);
        assert_eq!((before - begun, held.time_left(begun)), (Duration::from_secs(59), Duration::from_secs(9)));
        // It has not.
        held.not_stored(before);
        assert_eq!(held.time_left(begun), Duration::from_secs(59));
        // One that is longer proves nothing.
        held.may_be_stored(begun, 2 * long);
        assert_eq!(held.time_left(begun), Duration::from_secs(59));
        held.lost();
        assert_eq!(held.time_left(begun), Duration::ZERO);
    }

    #[test]
    fn the_version_of_another_holder_is_not_taken() {
        let (mut held, other) = (Held::new(b"k"), Held::new(b"k"));
        let item = |token: &str, cas| Value { cas, ..Value::new(token.to_owned().into(), 0) };
        assert_ne!(held.token(), other.token());
        assert_eq!(held.take(None), Ok(false));
        for cas in [0, 7] {
            assert_eq!(held.take(Some(&item(other.token(), Some(cas)))), Ok(false));
        }
        let own = held.token().to_owned();
        assert_eq!(held.take(Some(&item(&own, None))), Ok(false));
        assert_eq!((held.take(Some(&item(&own, Some(7)))), held.cas()), (Ok(true), 7));
        let error = held.take(Some(&item(&own, Some(0)))).unwrap_err();
        assert!(matches!(error, Error::Cas { problem: CasProblem::Disabled, .. }), "{error:?}");
    }
}
