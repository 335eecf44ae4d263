//! How often something may happen.

/// Expands `limit_rate` of the `Client` of a transport, with an example.
#[doc(hidden)]
#[macro_export]
macro_rules! rate_limit {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        impl Client {
            /// Counts something that happens, such as a request of one address, and returns whether it may. All programs count together.
            ///
            /// It is one `incr_or`, and before that a `get_many` if the window [slides](memcached2_proto::rate_limit::RateLimit::sliding).
            /// The counter is the item `key:number`, with the number of the window. The guide
            /// [limits and locks](memcached2_proto::guide::limits_and_locks) says when more is allowed than the limit.
            ///
            $(#[$example])*
            ///
            /// # Errors
            ///
            /// * A failure of the cache is none: [`RateLimit::allow_if_down`](memcached2_proto::rate_limit::RateLimit::allow_if_down)
            ///   decides.
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key, or one that is too long with the number of the window.
            /// * [`Error::NonNumeric`](memcached2_proto::Error::NonNumeric) or [`Error::Value`](memcached2_proto::Error::Value) if
            ///   there is something else in place of a counter.
            pub $($async)* fn limit_rate(
                &self,
                key: impl AsRef<[u8]>,
                limit: &$crate::rate_limit::RateLimit,
            ) -> Result<$crate::rate_limit::Rate, $crate::Error> {
                let window = limit.window(key.as_ref(), std::time::SystemTime::now());
                self.count_in(&window)$($await)*.or_else(|error| window.failed(error))
            }

            $($async)* fn count_in(
                &self,
                window: &$crate::rate_limit::Window<'_>,
            ) -> Result<$crate::rate_limit::Rate, $crate::Error> {
                let before = match window.asked() {
                    None => 0,
                    Some(keys) => match window.judge(&self.get_many(keys)$($await)*?.into_result()?)? {
                        Ok(before) => before,
                        Err(refusal) => return Ok(refusal),
                    },
                };
                let (key, cost) = (window.key(), window.cost());
                Ok(window.counted(before, self.incr_or(key, cost, cost, window.expiry())$($await)*?))
            }
        }
    };
}
