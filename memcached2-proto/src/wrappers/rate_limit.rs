//! How often something may happen.

/// Expands `limit_rate` of the `Client` of a transport, with an example.
#[doc(hidden)]
#[macro_export]
macro_rules! rate_limit {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        impl Client {
            /// Counts something that happens, such as a request of one address, and returns whether it may. All programs count together.
            ///
            /// It is one `incr_or`, and before that two `get`s if the window [slides](memcached2_proto::rate_limit::RateLimit::sliding).
            /// The counter is the item `key:number`, with the number of the window. While its server is down, no other server takes
            /// its place. The guide
            /// [limits and locks](memcached2_proto::guide::limits_and_locks) says when more is allowed than the limit.
            ///
            $(#[$example])*
            ///
            /// # Errors
            ///
            /// * A failure of the cache is none: [`RateLimit::allow_if_down`](memcached2_proto::rate_limit::RateLimit::allow_if_down)
            ///   decides.
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key, or one that is too long with the number of the window.
            /// * [`Error::Expiry`](memcached2_proto::Error::Expiry) if the window after this one ends beyond 2038.
            /// * [`Error::NonNumeric`](memcached2_proto::Error::NonNumeric) or [`Error::Value`](memcached2_proto::Error::Value) if
            ///   there is something else in place of a counter.
            pub $($async)* fn limit_rate(
                &self,
                key: impl AsRef<[u8]>,
                limit: &$crate::rate_limit::RateLimit,
            ) -> Result<$crate::rate_limit::Rate, $crate::Error> {
                $crate::__named!(limit_rate $crate::Key::new(key.as_ref())?);
                let window = limit.window(key.as_ref(), Self::system_time());
                let counted = self.count_in(Self::now(), &window)$($await)*;
                counted.or_else(|error| window.failed(error.of_method("limit_rate", None)))
            }

            $($async)* fn count_in(
                &self,
                begun: $crate::Instant,
                window: &$crate::rate_limit::Window<'_>,
            ) -> Result<$crate::rate_limit::Rate, $crate::Error> {
                let before = match window.asked() {
                    None => 0,
                    Some(keys) => {
                        let mut counters = Vec::new();
                        // Each on its server, where it was counted: a `get_many` would ask the nearest replica.
                        for key in keys {
                            counters.push(self.run_at_home(begun, key, $crate::Get::new(key)?)$($await)*?);
                        }
                        match window.judge(&counters)? {
                            Ok(before) => before,
                            Err(refusal) => return Ok(refusal),
                        }
                    }
                };
                let (key, cost) = (window.key(), window.cost());
                let count = self.count_at_home(begun, key, (cost, cost), window.expiry())$($await)*?;
                Ok(window.counted(before, count))
            }
        }
    };
}
