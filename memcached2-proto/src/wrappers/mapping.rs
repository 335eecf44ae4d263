//! A cache as a dictionary.

/// Expands the type `Mapping` on top of `MissOnError`.
#[doc(hidden)]
#[macro_export]
macro_rules! mapping {
    ([$($async:tt)*] [$($await:tt)*]) => {
        /// A cache as a dictionary: if the cache fails, nothing is found.
        ///
        /// A server that is down, slow or full is no error: see [`MissOnError`]. What is wrong with the call itself is one,
        /// such as an invalid key. It has no iterator: `metadump` of the [client](Self::client) lists the keys of all servers.
        #[derive(Debug, Clone)]
        pub struct Mapping {
            client: MissOnError,
            expiry: $crate::Expiry,
        }

        impl Mapping {
            /// A dictionary of the items of `client`, in which inserted values do not expire.
            #[must_use]
            pub fn new(client: Client) -> Self {
                Self { client: MissOnError::new(client), expiry: $crate::Expiry::Never }
            }

            /// Sets when values that are inserted from now on expire; by default never.
            #[must_use]
            pub fn expiry(mut self, expiry: impl Into<$crate::Expiry>) -> Self {
                self.expiry = expiry.into();
                self
            }

            /// The client, for what a dictionary has no method for.
            #[must_use]
            pub fn client(&self) -> &Client {
                self.client.client()
            }

            /// Whether there is a value for a key.
            ///
            /// # Errors
            ///
            /// Those of [`MissOnError::get`].
            pub $($async)* fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, $crate::Error> {
                Ok(self.get(key)$($await)*?.is_some())
            }

            /// The value of a key.
            ///
            /// # Errors
            ///
            /// Those of [`MissOnError::get`].
            pub $($async)* fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<$crate::Value>, $crate::Error> {
                self.client.get(key)$($await)*
            }

            /// Stores a value, if the cache can.
            ///
            /// # Errors
            ///
            /// Those of [`MissOnError::set`].
            pub $($async)* fn insert(
                &self,
                key: impl AsRef<[u8]>,
                value: impl $crate::ToValue,
            ) -> Result<(), $crate::Error> {
                self.client.set(key, value, self.expiry)$($await)*
            }

            /// Removes a value; `false` if there was none, or the cache has failed.
            ///
            /// # Errors
            ///
            /// Those of [`MissOnError::delete`].
            pub $($async)* fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, $crate::Error> {
                self.client.delete(key)$($await)*
            }

            /// The number of items on all servers that answer (`curr_items`). It includes items of other clients, and
            /// expired items that memcached has not yet removed.
            ///
            /// # Errors
            ///
            /// Those of `stats` that do not count as a miss.
            pub $($async)* fn len(&self) -> Result<u64, $crate::Error> {
                let reports = match self.client().stats()$($await)* {
                    Err(error) if error.counts_as_miss() => return Ok(0),
                    reports => reports?,
                };
                let mut items = 0_u64;
                for report in reports {
                    match report {
                        Ok(report) => items = items.saturating_add(report.number("curr_items").unwrap_or(0)),
                        Err(error) if error.counts_as_miss() => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(items)
            }

            /// Whether the servers that answer have no item.
            ///
            /// # Errors
            ///
            /// Those of [`len`](Self::len).
            pub $($async)* fn is_empty(&self) -> Result<bool, $crate::Error> {
                Ok(self.len()$($await)*? == 0)
            }
        }
    };
}
