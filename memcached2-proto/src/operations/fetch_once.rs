//! The methods that fetch a value, and compute it once for all who miss together.

/// Expands `fetch` and `fetch_optional` of `Client`, with an example. The client has `follow`, which waits for another caller of the
/// program, and `pause`.
#[doc(hidden)]
#[macro_export]
macro_rules! fetch {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        impl Client {
            /// Fetches the value of a key; after a miss one caller computes it and stores it, and all others get what it has computed.
            ///
            /// * Among the callers of this client one computes. If its call is dropped or fails, the next one does.
            /// * Among all programs one computes: the server keeps a lease for it, an empty item, for the time of
            ///   [`FetchPolicy::lease`](memcached2_proto::fetch::FetchPolicy::lease). The others wait, or get the old value if there is one.
            /// * What was computed is stored only over that lease. If the key was deleted or stored meanwhile, the value is returned and not
            ///   stored, so a `delete` is never undone.
            /// * If the server fails, the value is computed and returned: that is no error.
            ///
            /// Fetch such a key by `fetch` alone: while its value is computed, other methods find an empty one. The guide
            /// [stampedes](memcached2_proto::guide::stampedes) has more.
            ///
            $(#[$example])*
            ///
            /// # Errors
            ///
            /// * The error of `compute`, unless there is an old value.
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key, and other mistakes of the caller, converted to the same
            ///   type.
            pub $($async)* fn fetch<T, E>(
                &self,
                key: impl AsRef<[u8]>,
                policy: &$crate::fetch::FetchPolicy,
                compute: impl $Fn() -> Result<T, E>,
            ) -> Result<$crate::Value, E>
            where
                T: $crate::ToValue,
                E: From<$crate::Error>,
            {
                let compute = $($async)* move || compute()$($await)*.map(Some);
                let fetched = self.fetch_once(key.as_ref(), policy, false, compute)$($await)*?;
                // There is one: what is stored as absent was computed.
                fetched.ok_or_else(|| $crate::Error::closed().into())
            }

            /// Does the same as `fetch` with a computation that may find that there is no value. That is stored, too, if
            /// [`FetchPolicy::absent_for`](memcached2_proto::fetch::FetchPolicy::absent_for) says for how long.
            ///
            /// # Errors
            ///
            /// * Those of `fetch`.
            pub $($async)* fn fetch_optional<T, E>(
                &self,
                key: impl AsRef<[u8]>,
                policy: &$crate::fetch::FetchPolicy,
                compute: impl $Fn() -> Result<Option<T>, E>,
            ) -> Result<Option<$crate::Value>, E>
            where
                T: $crate::ToValue,
                E: From<$crate::Error>,
            {
                self.fetch_once(key.as_ref(), policy, true, compute)$($await)*
            }

            $($async)* fn fetch_once<T, E>(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
                may_be_absent: bool,
                compute: impl $Fn() -> Result<Option<T>, E>,
            ) -> Result<Option<$crate::Value>, E>
            where
                T: $crate::ToValue,
                E: From<$crate::Error>,
            {
                let leader = match self.follow(key, policy.wait_time())$($await)* {
                    Ok(value) if may_be_absent || value.is_some() => return Ok(value),
                    Ok(_) => None,
                    Err(leader) => leader,
                };
                let found = self.find_or_lease(key, policy, leader.as_ref())$($await)*?;
                let (cas, old) = match found {
                    $crate::fetch::Found::Value(value) if may_be_absent || value.is_some() => {
                        leader.into_iter().for_each(|leader| leader.finish(value.clone()));
                        return Ok(value);
                    }
                    $crate::fetch::Found::Compute(cas, old) => (cas, old),
                    _ => (None, None),
                };
                // With an old value the next one asks again: it must not take that for a lease, and delete it if it fails.
                leader.iter().for_each(|leader| leader.set_lease(cas.filter(|_| old.is_none())));
                match compute()$($await)* {
                    Ok(computed) => {
                        let value = computed.map(|computed| $crate::fetch::computed(&computed, key)).transpose()?;
                        self.fill(key, policy, cas, value.as_ref())$($await)*;
                        leader.into_iter().for_each(|leader| leader.finish(value.clone()));
                        Ok(value)
                    }
                    Err(error) => match old {
                        Some(old) if policy.serves_stale_values() => Ok(old),
                        old => {
                            if old.is_none() {
                                leader.iter().for_each(|leader| leader.set_lease(None));
                                self.give_up_lease(key, cas)$($await)*;
                            }
                            Err(error)
                        }
                    },
                }
            }

            /// What there is, or the lease to compute it; waits while another program has the lease.
            $($async)* fn find_or_lease(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
                leader: Option<&$crate::fetch::Leader<'_>>,
            ) -> Result<$crate::fetch::Found, $crate::Error> {
                // It has waited long enough for the others.
                let Some(leader) = leader else { return Ok($crate::fetch::Found::Compute(None, None)) };
                if let Some(cas) = leader.lease() {
                    return Ok($crate::fetch::Found::Compute(Some(cas), None));
                }
                let (begun, mut attempt) = (Self::now(), 0);
                loop {
                    let old = match self.find(key, policy)$($await)* {
                        Err(error) if error.counts_as_miss() => return Ok($crate::fetch::Found::Compute(None, None)),
                        Ok($crate::fetch::Found::Wait(old)) => old,
                        found => return found,
                    };
                    if let Some(old) = old.filter(|_| policy.serves_stale_values()) {
                        return Ok($crate::fetch::Found::Value(old));
                    }
                    if Self::now().saturating_duration_since(begun) >= policy.wait_time() {
                        return Ok($crate::fetch::Found::Compute(None, None));
                    }
                    self.pause($crate::fetch::FetchPolicy::delay(attempt))$($await)*;
                    attempt += 1;
                }
            }

            $($async)* fn find(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
            ) -> Result<$crate::fetch::Found, $crate::Error> {
                match self.run(policy.question(key)?)$($await)* {
                    Err($crate::Error::NoMeta { .. }) => {}
                    item => return Ok(policy.judge(item?)),
                }
                if let Some(value) = self.gets(key)$($await)*? {
                    return Ok(policy.judge_classic(value));
                }
                match self.add(key, &$crate::fetch::FetchPolicy::leased(), policy.lease_expiry())$($await)* {
                    Err($crate::Error::NotStored { .. }) => Ok($crate::fetch::Found::Wait(None)),
                    Err(error) => Err(error),
                    Ok(()) => Ok(match self.gets(key)$($await)*? {
                        None => $crate::fetch::Found::Compute(None, None),
                        Some(value) if $crate::fetch::FetchPolicy::is_leased(&value) => {
                            $crate::fetch::Found::Compute(value.cas, None)
                        }
                        Some(value) => policy.judge_classic(value),
                    }),
                }
            }

            /// Stores what was computed over the lease. Whatever comes of it, the caller has the value.
            $($async)* fn fill(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
                cas: Option<u64>,
                value: Option<&$crate::Value>,
            ) {
                let Some((value, expiry)) = policy.stored(value) else { return self.give_up_lease(key, cas)$($await)* };
                let (Some(cas), Ok(store)) = (cas, $crate::command::meta::MetaSet::new(key, &value)) else { return };
                if let Err($crate::Error::NoMeta { .. }) = self.run(store.expiry(expiry).compare_cas(cas))$($await)* {
                    let _ = self.cas(key, &value, expiry, cas)$($await)*;
                }
            }

            /// Lets another caller compute at once. A server without meta does so when the lease ends.
            $($async)* fn give_up_lease(&self, key: &[u8], cas: Option<u64>) {
                if let (Some(cas), Ok(delete)) = (cas, $crate::command::meta::MetaDelete::new(key)) {
                    let _ = self.run(delete.compare_cas(cas))$($await)*;
                }
            }
        }
    };
}
