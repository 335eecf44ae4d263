//! The methods that fetch a value, and compute it once for all who miss together.

/// Expands `fetch` and `fetch_optional` of `Client`, with an example. The client has `follow`, which waits for another caller of the
/// program, `pause` and `system_time`.
#[doc(hidden)]
#[macro_export]
macro_rules! fetch {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $FnMut:ident $(#[$example:meta])*) => {
        $crate::__fetch_many!([$($async)*] [$($await)*] $FnMut);
        impl Client {
            /// Fetches the value of a key; after a miss one caller computes it and stores it, and all others get what it has computed.
            ///
            /// * Among the callers of this client one computes. If its call is dropped or fails, the next one does.
            /// * Among all programs one computes: the server keeps a lease for it, an empty item, for the time of
            ///   [`FetchPolicy::lease`](memcached2_proto::fetch::FetchPolicy::lease). The others wait, or get the old value if there is one.
            /// * What was computed is stored only over that lease. If the key was deleted or stored meanwhile, the value is returned and not
            ///   stored, so a `delete` is never undone.
            /// * If the server fails, the value is computed and returned: that is no error. Nor is a value that is too large to be stored:
            ///   the next caller computes it again.
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
            ///   type: [`Error::Expiry`](memcached2_proto::Error::Expiry) if a moment of the policy is beyond 2038. Nothing is
            ///   computed then.
            /// * [`Error::Cas`](memcached2_proto::Error::Cas) if the server has no versions (`-C`), so that nothing could be stored over
            ///   the lease. That is given up at once; without meta it stays for its time, in which others wait.
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
                let check = || policy.check($crate::Now::new(Self::now(), Self::system_time));
                check().map_err(|error| error.of_method("fetch", Some(key)))?;
                // In time, or else with those that have waited too long, too.
                let mut leader = None;
                for is_late in [false, true] {
                    let followed = match self.join(key, is_late) {
                        $crate::fetch::Joined::Leader(leader) => Err(Some(leader)),
                        $crate::fetch::Joined::Follower(follower) => {
                            let mut followers = $crate::fetch::Followers::default();
                            followers.push(0, follower);
                            let mut come = self.follow(&mut followers, policy.wait_time())$($await)*;
                            come.pop().map_or(Err(None), |(_, come)| come)
                        }
                    };
                    match followed {
                        Ok(value) if may_be_absent || value.is_some() => return Ok(value),
                        Err(None) => {}
                        followed => {
                            leader = followed.err().flatten();
                            break;
                        }
                    }
                }
                let lead = $crate::fetch::Lead { place: 0, leader };
                let found = self.find_or_lease(key, policy, &lead, may_be_absent)$($await)*;
                let lease = match found.map_err(|error| error.of_method("fetch", Some(key)))? {
                    $crate::fetch::Found::Value(value) if may_be_absent || value.is_some() => return Ok(lead.finish(value)),
                    $crate::fetch::Found::Compute(lease) => lease,
                    _ => $crate::fetch::Lease::default(),
                };
                let missed = lead.begin(lease, policy, may_be_absent);
                let computed = compute()$($await)*.and_then(|computed| {
                    Ok(computed.map(|computed| $crate::fetch::computed(&computed, key)).transpose()?)
                });
                match computed {
                    Ok(value) => {
                        self.fill_many(&[key], policy, std::slice::from_ref(&missed), std::slice::from_ref(&value))$($await)*;
                        missed.finish(value.clone());
                        Ok(value)
                    }
                    Err(error) => {
                        missed.fail();
                        self.give_up(key, &missed.lease)$($await)*;
                        missed.old.map_or(Err(error), Ok)
                    }
                }
            }

            /// What there is, or the lease to compute it; waits while another program has the lease.
            $($async)* fn find_or_lease(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
                lead: &$crate::fetch::Lead<'_>,
                may_be_absent: bool,
            ) -> Result<$crate::fetch::Found, $crate::Error> {
                if let Some(found) = lead.known() {
                    return Ok(found);
                }
                let (begun, mut attempt) = (Self::now(), 0);
                loop {
                    let old = match self.find(key, policy)$($await)* {
                        Err(error) if error.counts_as_miss() => return Ok($crate::fetch::Found::UNLEASED),
                        Ok($crate::fetch::Found::Wait(old)) => old,
                        found => return found,
                    };
                    if let Some(old) = policy.stale(old, may_be_absent) {
                        return Ok($crate::fetch::Found::Value(old));
                    }
                    if Self::now().saturating_duration_since(begun) >= policy.wait_time() {
                        return Ok($crate::fetch::Found::UNLEASED);
                    }
                    self.pause($crate::fetch::FetchPolicy::delay(attempt))$($await)*?;
                    attempt += 1;
                }
            }

            $($async)* fn find(
                &self,
                key: &[u8],
                policy: &$crate::fetch::FetchPolicy,
            ) -> Result<$crate::fetch::Found, $crate::Error> {
                let mut found = self.find_many(&[key], policy)$($await)*?;
                found.pop().unwrap_or(Ok($crate::fetch::Found::UNLEASED))
            }

            /// Lets another caller compute at once. A server without meta does so when the lease ends. Until then there is the old value,
            /// if there is one.
            $($async)* fn give_up(&self, key: &[u8], lease: &$crate::fetch::Lease) {
                if let Some(delete) = lease.given_up(key) {
                    let _ = self.run(delete)$($await)*;
                }
            }
        }
    };
}
