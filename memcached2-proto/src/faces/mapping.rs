//! A cache as a dictionary.

/// Expands the type `Mapping` on top of `Forgiving`.
#[doc(hidden)]
#[macro_export]
macro_rules! mapping {
    ([$($async:tt)*] [$($await:tt)*]) => {
        /// A cache as a dictionary, in which failures are keys that are not there.
        ///
        /// A server that is down, slow or full is never told: see [`Forgiving`]. What is wrong with the call itself is, such
        /// as a key that is none. Nobody can go through the keys of a memcached, so this cannot either.
        #[derive(Debug, Clone)]
        pub struct Mapping {
            forgiving: Forgiving,
            expiry: $crate::Expiry,
        }

        impl Mapping {
            /// What the servers of a client hold. What is inserted stays until it is evicted.
            #[must_use]
            pub fn new(client: Client) -> Self {
                Self { forgiving: Forgiving::new(client), expiry: $crate::Expiry::Never }
            }

            /// Sets when what is inserted from now on expires; never unless set.
            #[must_use]
            pub fn expiry(mut self, expiry: impl Into<$crate::Expiry>) -> Self {
                self.expiry = expiry.into();
                self
            }

            /// The client, for all that a dictionary cannot do.
            #[must_use]
            pub fn client(&self) -> &Client {
                self.forgiving.client()
            }

            /// Whether there is a value for a key.
            ///
            /// # Errors
            ///
            /// [`Error::Key`]($crate::Error::Key), and others that are no miss.
            pub $($async)* fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, $crate::Error> {
                Ok(self.get(key)$($await)*?.is_some())
            }

            /// The value of a key.
            ///
            /// # Errors
            ///
            /// [`Error::Key`]($crate::Error::Key), and others that are no miss.
            pub $($async)* fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<$crate::Value>, $crate::Error> {
                self.forgiving.get(key)$($await)*
            }

            /// Stores a value, if that can be done.
            ///
            /// # Errors
            ///
            /// [`Error::Key`]($crate::Error::Key), [`Error::TooLarge`]($crate::Error::TooLarge), and others that are no miss.
            pub $($async)* fn insert(
                &self,
                key: impl AsRef<[u8]>,
                value: impl $crate::ToValue,
            ) -> Result<(), $crate::Error> {
                self.forgiving.set(key, value, self.expiry)$($await)*
            }

            /// Removes a value; whether there was one, as far as anybody knows.
            ///
            /// # Errors
            ///
            /// [`Error::Key`]($crate::Error::Key), and others that are no miss.
            pub $($async)* fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, $crate::Error> {
                self.forgiving.delete(key)$($await)*
            }

            /// How many items the servers hold that can be asked (`curr_items`), those of others and those that have expired
            /// unnoticed among them.
            ///
            /// # Errors
            ///
            /// Those that are no miss.
            pub $($async)* fn len(&self) -> Result<u64, $crate::Error> {
                let told = match self.client().stats()$($await)* {
                    Err(error) if error.is_a_miss() => return Ok(0),
                    told => told?,
                };
                let mut items = 0;
                for report in told {
                    match report {
                        Ok(report) => items += report.number("curr_items").unwrap_or(0),
                        Err(error) if error.is_a_miss() => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(items)
            }

            /// Whether the servers that can be asked hold no item.
            ///
            /// # Errors
            ///
            /// Those that are no miss.
            pub $($async)* fn is_empty(&self) -> Result<bool, $crate::Error> {
                Ok(self.len()$($await)*? == 0)
            }
        }
    };
}
