//! A lock that ends by itself.

/// Expands the type `Lock` for the `Client` of a transport, and the methods that return it, with an example.
#[doc(hidden)]
#[macro_export]
macro_rules! lock {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        /// A lock that ends by itself after its time, so that no program holds it for ever.
        ///
        /// It keeps others from doing the same work at the same time. It does not prove that none does: memcached may evict the
        /// item, restart, or leave the list of servers, and the holder may be slower than its time. The guide
        /// [limits and locks](memcached2_proto::guide::limits_and_locks) says what to do where that matters.
        ///
        /// Dropping it releases nothing, since that takes a request: call [`release`](Lock::release).
        ///
        $(#[$example])*
        #[derive(Debug)]
        #[must_use = "it is held until it is released, or its time has passed"]
        pub struct Lock {
            client: Client,
            held: $crate::lock::Held,
        }

        impl Client {
            /// Takes a lock for this time, in whole seconds and 2 at least; `None` if another holder has it.
            ///
            /// The lock is the item of `key`: an `add` of a random text, and a `gets` for its version. If the answer to the `add` is
            /// lost, the `gets` shows whether it was stored. While the server of the key is down, no other server takes its place.
            ///
            /// # Errors
            ///
            /// * Those of `add` but [`Error::NotStored`](memcached2_proto::Error::NotStored), and those of `gets`. The lock may be held
            ///   then, by nobody, until its time has passed.
            /// * [`Error::Cas`](memcached2_proto::Error::Cas) if the server has no versions (`-C`): it could be neither extended nor
            ///   released. The item is deleted at once; without meta it stays until its time has passed.
            pub $($async)* fn try_lock(
                &self,
                key: impl AsRef<[u8]>,
                time: std::time::Duration,
            ) -> Result<Option<Lock>, $crate::Error> {
                let (key, begun) = (key.as_ref(), Self::now());
                let mut held = $crate::lock::Held::new(key);
                let expiry = $crate::lock::Held::expiry(time);
                let add = $crate::__named!(try_lock $crate::Store::add(key, held.token())?.expiry(expiry));
                let added = match self.run_at_home(begun, key, add)$($await)* {
                    Err($crate::Error::NotStored { .. }) => return Ok(None),
                    Err(error) if error.landed() != $crate::Landed::Unknown => return Err(error),
                    added => added,
                };
                let found = self.run_at_home(Self::now(), key, $crate::Get::new(key)?.with_cas())$($await)*;
                match held.take(found.as_ref().ok().and_then(Option::as_ref)) {
                    Ok(true) => {
                        held.stored(begun, time);
                        Ok(Some(Lock { client: self.clone(), held }))
                    }
                    // It was not stored, or is gone already.
                    Ok(false) => added.and(found).map(|_| None),
                    Err(error) => {
                        let _ = self.run_at_home(Self::now(), key, held.removed_without_version()?)$($await)*;
                        Err(error)
                    }
                }
            }

            /// Takes a lock for this time, and waits for it: it asks again after 10 ms at first and 250 ms at most; `None` if another
            /// holder still has it then. Those who wait get it in no certain order.
            ///
            /// # Errors
            ///
            /// * Those of `try_lock`, and [`Error::Closed`](memcached2_proto::Error::Closed) if the client is closed meanwhile.
            pub $($async)* fn lock(
                &self,
                key: impl AsRef<[u8]>,
                time: std::time::Duration,
                wait: std::time::Duration,
            ) -> Result<Option<Lock>, $crate::Error> {
                let (key, begun, mut attempt) = (key.as_ref(), Self::now(), 0);
                loop {
                    let lock = self.try_lock(key, time)$($await)*?;
                    let left = wait.saturating_sub(Self::now().saturating_duration_since(begun));
                    if lock.is_some() || left.is_zero() {
                        return Ok(lock);
                    }
                    if !self.pause($crate::fetch::FetchPolicy::delay(attempt).min(left))$($await)*? {
                        return Err($crate::Error::closed());
                    }
                    attempt += 1;
                }
            }
        }

        impl Lock {
            /// The key.
            #[must_use]
            pub fn key(&self) -> &[u8] {
                self.held.key()
            }

            /// A number that is higher than that of every holder before, as long as the server runs: the version of the item.
            ///
            /// What the lock protects can remember the highest number that it has seen, and refuse lower ones.
            #[must_use]
            pub fn fencing_token(&self) -> u64 {
                self.held.cas()
            }

            /// How long the server keeps the lock for sure, unless it evicts the item; by the clock of this program, and a second less
            /// than it was taken for. Zero once [`extend`](Self::extend) has found that it is lost.
            #[must_use]
            pub fn time_left(&self) -> std::time::Duration {
                self.held.time_left(Client::now())
            }

            /// Keeps the lock for this time from now on; `false` if it is lost. [`fencing_token`](Self::fencing_token) rises.
            ///
            /// # Errors
            ///
            /// * Those of `cas` and `gets`. The lock is held for [`time_left`](Self::time_left), which is the shorter one of the old and the
            ///   new time if it is not known whether it was extended; it can be extended or released again.
            pub $($async)* fn extend(&mut self, time: std::time::Duration) -> Result<bool, $crate::Error> {
                // Twice, if an answer was lost before.
                for _ in 0..2 {
                    if !self.is_own()$($await)*? {
                        self.held.lost();
                        return Ok(false);
                    }
                    let (begun, expiry) = (Client::now(), $crate::lock::Held::expiry(time));
                    let before = self.held.may_be_stored(begun, time);
                    let stored = self.store(expiry)$($await)*;
                    match &stored {
                        Ok(()) => {
                            self.held.stored(begun, time);
                            let is_own = self.is_own()$($await)*?;
                            if !is_own {
                                self.held.lost();
                            }
                            return Ok(is_own);
                        }
                        Err($crate::Error::Exists { .. }) => self.held.not_stored(before),
                        Err($crate::Error::NotFound { .. }) => {
                            self.held.lost();
                            return Ok(false);
                        }
                        Err(error) => {
                            if error.landed() != $crate::Landed::Unknown {
                                self.held.not_stored(before);
                            }
                            return stored.map(|()| false);
                        }
                    }
                }
                Err($crate::Error::exists().of_method("extend", Some(self.held.key())))
            }

            /// Releases the lock; `false` if it was lost before. Another holder keeps it then.
            ///
            /// # Errors
            ///
            /// * Those of `gets`, of `delete_cas` and, on a server without meta, of `cas`. The lock ends when its time has passed.
            pub $($async)* fn release(mut self) -> Result<bool, $crate::Error> {
                // Twice, if the answer to an `extend` was lost, and that is carried out only now.
                for _ in 0..2 {
                    if !self.is_own()$($await)*? {
                        return Ok(false);
                    }
                    let delete = $crate::command::DeleteCas::new(self.held.key(), self.held.cas())?;
                    let deleted = match self.client.run_at_home(Client::now(), self.held.key(), delete)$($await)* {
                        // What has expired already is deleted.
                        Err($crate::Error::NoMeta { .. }) => {
                            let expired = $crate::Expiry::After(std::time::Duration::ZERO);
                            self.store(expired)$($await)*.map(|()| true)
                        }
                        deleted => deleted,
                    };
                    match deleted {
                        Err($crate::Error::NotFound { .. }) => return Ok(false),
                        Err($crate::Error::Exists { .. }) => {}
                        deleted => return deleted,
                    }
                }
                Err($crate::Error::exists().of_method("release", Some(self.held.key())))
            }

            $($async)* fn store(&self, expiry: $crate::Expiry) -> Result<(), $crate::Error> {
                let (key, token) = (self.held.key(), self.held.token());
                let store = $crate::Store::cas(key, token, self.held.cas())?.expiry(expiry);
                self.client.run_at_home(Client::now(), key, store)$($await)*
            }

            /// Whether it is still held, by its text; takes its version. The version alone proves nothing: a server that was restarted
            /// counts from 1 again, and gives it to the item of another holder.
            $($async)* fn is_own(&mut self) -> Result<bool, $crate::Error> {
                let get = $crate::Get::new(self.held.key())?.with_cas();
                let found = self.client.run_at_home(Client::now(), self.held.key(), get)$($await)*?;
                self.held.take(found.as_ref())
            }
        }
    };
}
