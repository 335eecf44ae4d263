//! The method that fetches many values, and computes all that are missing at once.

/// Expands `fetch_many` of `Client`, and the question for many keys that `fetch` asks for one.
#[doc(hidden)]
#[macro_export]
macro_rules! __fetch_many {
    ([$($async:tt)*] [$($await:tt)*] $FnMut:ident) => {
        impl Client {
            /// Fetches the values of many keys; those that are missing are computed by one computation, and stored. The values come in
            /// the order of the keys.
            ///
            /// It does for each key what `fetch_optional` does. `compute` gets the keys that this call is to compute, and returns a value
            /// for each of them, in their order, or `None` where there is none. What other callers and other programs compute
            /// meanwhile is waited for. `compute` is called again only for keys that they have not stored in the time of
            /// [`FetchPolicy::wait`](memcached2_proto::fetch::FetchPolicy::wait).
            ///
            /// # Errors
            ///
            /// * The error of `compute`, unless there are old values for all keys that were missing.
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key, and [`Error::Expiry`](memcached2_proto::Error::Expiry) if
            ///   a moment of the policy is beyond 2038; nothing is computed then.
            /// * [`Error::Cas`](memcached2_proto::Error::Cas) if a server has no versions: see `fetch`.
            /// * [`Error::Argument`](memcached2_proto::Error::Argument) if `compute` returns another number of values.
            pub $($async)* fn fetch_many<'k, K, T, E>(
                &self,
                keys: &'k [K],
                policy: &$crate::fetch::FetchPolicy,
                mut compute: impl $FnMut(Vec<&'k K>) -> Result<Vec<Option<T>>, E>,
            ) -> Result<Vec<Option<$crate::Value>>, E>
            where
                K: AsRef<[u8]>,
                T: $crate::ToValue,
                E: From<$crate::Error>,
            {
                let check = || policy.check($crate::Now::new(Self::now(), Self::system_time));
                check().map_err(|error| error.of_method("fetch_many", None))?;
                let (mut until, mut are_late) = (Self::now() + policy.wait_time(), false);
                let mut values: Vec<Option<$crate::Value>> = vec![None; keys.len()];
                let (mut leads, mut followed) = (Vec::new(), $crate::fetch::Followers::default());
                for (place, key) in keys.iter().enumerate() {
                    match self.join(key.as_ref(), false) {
                        $crate::fetch::Joined::Leader(leader) => {
                            leads.push($crate::fetch::Lead { place, leader: Some(leader) });
                        }
                        $crate::fetch::Joined::Follower(follower) => followed.push(place, follower),
                    }
                }
                loop {
                    // Others wait for these, so they come first.
                    let mut attempt = 0;
                    while !leads.is_empty() {
                        if attempt > 0 {
                            self.pause($crate::fetch::FetchPolicy::delay(attempt - 1))$($await)*?;
                        }
                        attempt += 1;
                        let is_late = Self::now() >= until;
                        let found = match self.find_led(keys, &leads, policy)$($await)* {
                            Ok(found) => found,
                            Err(error) => {
                                let given_up = leads.iter().filter_map(|lead| lead.given_up(keys[lead.place].as_ref()));
                                let _ = self.run($crate::operation::Batch::new(given_up.collect()))$($await)*;
                                return Err(error.of_method("fetch_many", None).into());
                            }
                        };
                        let mut missed = Vec::new();
                        for (lead, found) in std::mem::take(&mut leads).into_iter().zip(found) {
                            let place = lead.place;
                            let lease = match found {
                                $crate::fetch::Found::Value(value) => {
                                    values[place] = lead.finish(value);
                                    continue;
                                }
                                $crate::fetch::Found::Wait(old) => match policy.stale(old, true) {
                                    Some(old) => {
                                        values[place] = lead.finish(old);
                                        continue;
                                    }
                                    None if is_late => $crate::fetch::Lease::default(),
                                    None => {
                                        leads.push(lead);
                                        continue;
                                    }
                                },
                                $crate::fetch::Found::Compute(lease) => lease,
                            };
                            missed.push(lead.begin(lease, policy, true));
                        }
                        if missed.is_empty() {
                            continue;
                        }
                        let computed = compute(missed.iter().map(|missed| &keys[missed.place]).collect())$($await)*;
                        let names: Vec<&[u8]> = missed.iter().map(|missed| keys[missed.place].as_ref()).collect();
                        let computed = computed.and_then(|computed| Ok($crate::fetch::computed_many(&computed, &names)?));
                        match computed {
                            Ok(computed) => {
                                self.fill_many(&names, policy, &missed, &computed)$($await)*;
                                for (missed, value) in missed.into_iter().zip(computed) {
                                    values[missed.place].clone_from(&value);
                                    missed.finish(value);
                                }
                            }
                            Err(error) => {
                                missed.iter().for_each($crate::fetch::Missed::fail);
                                let given_up = names.iter().zip(&missed).filter_map(|(key, missed)| missed.lease.given_up(key));
                                let _ = self.run($crate::operation::Batch::new(given_up.collect()))$($await)*;
                                for missed in missed {
                                    match missed.old {
                                        Some(old) => values[missed.place] = old,
                                        None => return Err(error),
                                    }
                                }
                            }
                        }
                    }
                    if followed.is_empty() {
                        return Ok(values);
                    }
                    let mut late = Vec::new();
                    for (place, come) in self.follow(&mut followed, until.saturating_duration_since(Self::now()))$($await)* {
                        match come {
                            Ok(value) => values[place] = value,
                            Err(None) if !are_late => late.push(place),
                            Err(leader) => leads.push($crate::fetch::Lead { place, leader }),
                        }
                    }
                    // With those that have waited too long, too.
                    for place in late {
                        (until, are_late) = (Self::now() + policy.wait_time(), true);
                        match self.join(keys[place].as_ref(), true) {
                            $crate::fetch::Joined::Leader(leader) => {
                                leads.push($crate::fetch::Lead { place, leader: Some(leader) });
                            }
                            $crate::fetch::Joined::Follower(follower) => followed.push(place, follower),
                        }
                    }
                }
            }

            /// What there is under the keys that this caller leads. A server that fails has nothing.
            $($async)* fn find_led<K: AsRef<[u8]>>(
                &self,
                keys: &[K],
                leads: &[$crate::fetch::Lead<'_>],
                policy: &$crate::fetch::FetchPolicy,
            ) -> Result<Vec<$crate::fetch::Found>, $crate::Error> {
                let mut found: Vec<_> = leads.iter().map($crate::fetch::Lead::known).collect();
                let unknown = || leads.iter().zip(&found).filter(|(_, known)| known.is_none()).map(|(lead, _)| lead);
                let names: Vec<&[u8]> = unknown().map(|lead| keys[lead.place].as_ref()).collect();
                let asked = self.find_many(&names, policy)$($await)*?;
                for (found, asked) in found.iter_mut().filter(|found| found.is_none()).zip(asked) {
                    *found = Some(match asked {
                        Err(error) if error.counts_as_miss() => $crate::fetch::Found::UNLEASED,
                        asked => asked?,
                    });
                }
                Ok(found.into_iter().flatten().collect())
            }

            /// What there is under these keys, with a lease for those that this caller is to compute.
            $($async)* fn find_many(
                &self,
                keys: &[&[u8]],
                policy: &$crate::fetch::FetchPolicy,
            ) -> Result<Vec<Result<$crate::fetch::Found, $crate::Error>>, $crate::Error> {
                let mut found = self.find_or_lease_many(keys, policy)$($await)*?;
                let given_up = $crate::fetch::given_up(keys, &mut found);
                if !given_up.is_empty() {
                    let _ = self.run($crate::operation::Batch::new(given_up))$($await)*;
                }
                Ok(found)
            }

            $($async)* fn find_or_lease_many(
                &self,
                keys: &[&[u8]],
                policy: &$crate::fetch::FetchPolicy,
            ) -> Result<Vec<Result<$crate::fetch::Found, $crate::Error>>, $crate::Error> {
                let questions = keys.iter().map(|key| policy.question(key)).collect::<Result<_, _>>()?;
                let items = self.run($crate::operation::Batch::new(questions))$($await)*?;
                let mut found: Vec<_> = items.into_iter().map(|item| item.map(|item| policy.judge(item))).collect();
                let has_no_meta = |found: &Result<_, _>| matches!(found, Err($crate::Error::NoMeta { .. }));
                let classic: Vec<usize> = (0..keys.len()).filter(|place| has_no_meta(&found[*place])).collect();
                if classic.is_empty() {
                    return Ok(found);
                }
                let names: Vec<_> = classic.iter().map(|place| keys[*place]).collect();
                let mut leased: Vec<usize> = Vec::new();
                for (place, value) in classic.into_iter().zip(self.gets_many(&names)$($await)*?) {
                    if value == Ok(None) {
                        leased.push(place);
                    }
                    found[place] = value.map(|value| policy.judge_classic(value));
                }
                let lease = $crate::fetch::FetchPolicy::leased();
                let add = |place: &usize| Ok($crate::Store::add(keys[*place], &lease)?.expiry(policy.lease_expiry()));
                let adds = leased.iter().map(add).collect::<Result<_, $crate::Error>>()?;
                let added = self.run($crate::operation::Batch::new(adds))$($await)*?;
                let mut mine: Vec<usize> = Vec::new();
                for (place, added) in leased.into_iter().zip(added) {
                    match added {
                        Ok(()) => mine.push(place),
                        Err($crate::Error::NotStored { .. }) => found[place] = Ok($crate::fetch::Found::Wait(None)),
                        Err(error) => found[place] = Err(error),
                    }
                }
                // The versions that they are stored over.
                let names: Vec<_> = mine.iter().map(|place| keys[*place]).collect();
                for (place, value) in mine.into_iter().zip(self.gets_many(&names)$($await)*?) {
                    found[place] = value.map(|value| policy.judge_lease(value));
                }
                Ok(found)
            }

            /// Stores what was computed over the leases. Whatever comes of it, the caller has the values.
            $($async)* fn fill_many(
                &self,
                keys: &[&[u8]],
                policy: &$crate::fetch::FetchPolicy,
                missed: &[$crate::fetch::Missed<'_>],
                computed: &[Option<$crate::Value>],
            ) {
                let (mut fills, mut given_up) = (Vec::new(), Vec::new());
                for ((key, missed), value) in keys.iter().zip(missed).zip(computed) {
                    let (fill, delete) = $crate::fetch::Fill::new(key, policy, &missed.lease, value.as_ref());
                    fills.extend(fill);
                    given_up.extend(delete);
                }
                let Ok(sets) = fills.iter().map($crate::fetch::Fill::meta).collect() else { return };
                let results: Vec<_> = self.run($crate::operation::Batch::new(sets))$($await)*.into_iter().flatten().collect();
                given_up.extend(fills.iter().zip(&results).filter_map(|(fill, result)| fill.given_up(result)));
                let _ = self.run($crate::operation::Batch::new(given_up))$($await)*;
                let has_no_meta = |result: &Result<_, _>| matches!(result, Err($crate::Error::NoMeta { .. }));
                let classic = fills.iter().zip(&results).filter(|(_, result)| has_no_meta(result)).map(|(fill, _)| fill.classic());
                if let Ok(stores) = classic.collect() {
                    let _ = self.run($crate::operation::Batch::new(stores))$($await)*;
                }
            }
        }
    };
}
