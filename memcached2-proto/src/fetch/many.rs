//! Many keys that are fetched by one call.

use super::{FetchPolicy, Found, Leader, Lease, computed};
use crate::command::Store;
use crate::command::meta::{MetaDelete, MetaSet};
use crate::data::ToValue;
use crate::error::Error;
use crate::time::Expiry;
use crate::value::Value;

/// A key that the call fetches itself.
#[derive(Debug)]
pub struct Lead<'f> {
    /// The place of the key.
    pub place: usize,
    /// Without it, the call has waited long enough for the caller that leads.
    pub leader: Option<Leader<'f>>,
}

/// A key whose value is computed.
#[derive(Debug)]
pub struct Missed<'f> {
    /// The place of the key.
    pub place: usize,
    /// What it is stored over.
    pub lease: Lease,
    /// What it gets if the computation fails.
    pub old: Option<Option<Value>>,
    leader: Option<Leader<'f>>,
}

impl<'f> Lead<'f> {
    /// What is known without asking the server.
    #[must_use]
    pub fn known(&self) -> Option<Found> {
        match &self.leader {
            None => Some(Found::UNLEASED),
            Some(leader) if leader.is_late() => Some(Found::UNLEASED),
            Some(leader) => leader.lease().map(Found::Compute),
        }
    }

    /// What gives up the lease that an earlier leader has won, since this call fails before it computes.
    #[must_use]
    pub fn given_up<'k>(&self, key: &'k [u8]) -> Option<MetaDelete<'k>> {
        let leader = self.leader.as_ref()?;
        let lease = leader.lease()?;
        leader.set_lease(None);
        lease.given_up(key)
    }

    /// Ends with a value, which those get who wait for it.
    #[must_use]
    pub fn finish(self, value: Option<Value>) -> Option<Value> {
        self.leader.into_iter().for_each(|leader| leader.finish(value.clone()));
        value
    }

    /// Begins to compute. If there is an old value, those who wait get that.
    #[must_use]
    pub fn begin(self, lease: Lease, policy: &FetchPolicy, may_be_absent: bool) -> Missed<'f> {
        let Self { place, mut leader } = self;
        let old = policy.meanwhile(&lease, may_be_absent);
        if let Some(old) = &old {
            leader.take().into_iter().for_each(|leader| leader.finish(old.clone()));
        }
        if let (Some(leader), Some(_)) = (&leader, lease.cas) {
            leader.set_lease(Some(lease.clone()));
        }
        Missed { place, lease, old, leader }
    }
}

impl Missed<'_> {
    /// Ends with the value that was computed.
    pub fn finish(self, value: Option<Value>) {
        if let Some(leader) = self.leader {
            leader.finish(value);
        }
    }

    /// The computation has failed: whoever waits asks the server again.
    pub fn fail(&self) {
        self.leader.iter().for_each(|leader| leader.set_lease(None));
    }
}

/// What is stored over a lease.
#[derive(Debug)]
pub struct Fill<'k> {
    key: &'k [u8],
    lease: &'k Lease,
    cas: u64,
    value: Value,
    expiry: Expiry,
}

impl<'k> Fill<'k> {
    /// What is stored of a value that was computed, if the caller has a lease; or what gives up the lease, if there is no value and that is
    /// not stored.
    #[must_use]
    pub fn new(
        key: &'k [u8],
        policy: &FetchPolicy,
        lease: &'k Lease,
        value: Option<&Value>,
    ) -> (Option<Self>, Option<MetaDelete<'k>>) {
        match (lease.cas, policy.stored(value)) {
            (None, _) => (None, None),
            (Some(cas), Some((value, expiry))) => (Some(Self { key, lease, cas, value, expiry }), None),
            (Some(_), None) => (None, lease.removed(key)),
        }
    }

    /// On a server that speaks meta.
    ///
    /// # Errors
    ///
    /// Those of [`MetaSet::new`].
    pub fn meta(&self) -> Result<MetaSet<'_, '_>, Error> {
        Ok(MetaSet::new(self.key, &self.value)?.expiry(self.expiry).compare_cas(self.cas))
    }

    /// What gives up the lease if the value was not sent, since it is too large: nobody has to wait for it then.
    #[must_use]
    pub fn given_up<T>(&self, stored: &Result<T, Error>) -> Option<MetaDelete<'k>> {
        matches!(stored, Err(Error::TooLarge { .. })).then(|| self.lease.given_up(self.key))?
    }

    /// On another server.
    ///
    /// # Errors
    ///
    /// Those of [`Store::cas`].
    pub fn classic(&self) -> Result<Store<'_, '_>, Error> {
        Ok(Store::cas(self.key, &self.value, self.cas)?.expiry(self.expiry))
    }
}

/// What was computed for many keys, as values.
///
/// # Errors
///
/// That of a [`ToValue`], and [`Error::Argument`] if there is not one for each key.
pub fn computed_many<T: ToValue>(values: &[Option<T>], keys: &[&[u8]]) -> Result<Vec<Option<Value>>, Error> {
    if values.len() != keys.len() {
        let reason = format!(
            "the computation has returned {} values for {} keys; return one for each, None where there is none",
            values.len(),
            keys.len()
        );
        return Err(Error::argument(&reason).of_method("fetch_many", None));
    }
    let computed = |(value, key): (&Option<T>, &&[u8])| value.as_ref().map(|value| computed(value, key)).transpose();
    values.iter().zip(keys).map(computed).collect()
}
