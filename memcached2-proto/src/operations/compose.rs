//! The methods that take several calls.

/// Expands the methods that take several calls.
#[doc(hidden)]
#[macro_export]
macro_rules! __compose {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident [$fn:tt $wait:tt $begin:tt $end:tt]) => {
        $crate::__cache! { [$($async)*] [$($await)*] $Fn
            #[doc = $begin]
            #[doc = concat!($fn, "fn render() -> Result<String, Error> {")]
            ///     Ok("<html>".to_owned())
            /// }
            ///
            #[doc = concat!(r#"let page = client.cache("page:1", Duration::from_secs(60), render)"#, $wait, "?;")]
            /// assert_eq!(page.as_str()?, "<html>");
            #[doc = $end]
            ///
        }

        /// Fetches the value of a key as a type of your choice, such as `u64` or `String`; `None` is a miss.
        ///
        /// # Errors
        ///
        /// Those of `get`, and [`Error::Value`](memcached2_proto::Error::Value) if the value cannot be read as a `T`.
        pub $($async)* fn get_as<T: $crate::FromValue>(
            &self,
            key: impl AsRef<[u8]>,
        ) -> Result<Option<T>, $crate::Error> {
            let key = key.as_ref();
            let value = self.get(key)$($await)*?;
            value.map(T::from_value).transpose().map_err(|error| error.of_method("get_as", Some(key)))
        }

        /// Fetches the version of an item that should still have this `value`: what `cas` needs to store over a value
        /// that was fetched without its version, or stored over since.
        ///
        /// # Errors
        ///
        /// [`Error::CasRefresh`](memcached2_proto::Error::CasRefresh) if the item has another value, or is gone; else
        /// those of `gets`.
        pub $($async)* fn refresh_cas(
            &self,
            key: impl AsRef<[u8]>,
            value: &$crate::Value,
        ) -> Result<$crate::Value, $crate::Error> {
            let key = key.as_ref();
            match self.gets(key)$($await)*? {
                Some(fresh) if fresh.data == value.data => Ok(fresh),
                _ => Err($crate::Error::cas_refresh().of_method("refresh_cas", Some(key))),
            }
        }
    };
}

/// Expands `cache` on top of `get` and `set`, with an example.
#[doc(hidden)]
#[macro_export]
macro_rules! __cache {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// Fetches the value of a key; after a miss computes it, and stores it until `expiry`.
        ///
        /// Several callers who miss at the same time all compute it, 50 callers 50 times, and the last one's value stays.
        ///
        $(#[$example])*
        /// # Errors
        ///
        /// * The error of `compute`.
        /// * The errors of `get` and `set`, converted to the same type. If `set` fails, the computed value is lost; with
        ///   [`MissOnError`](crate::MissOnError) it is returned.
        pub $($async)* fn cache<T, E>(
            &self,
            key: impl AsRef<[u8]>,
            expiry: impl Into<$crate::Expiry>,
            compute: impl $Fn() -> Result<T, E>,
        ) -> Result<$crate::Value, E>
        where
            T: $crate::ToValue,
            E: From<$crate::Error>,
        {
            let key = key.as_ref();
            if let Some(value) = self.get(key)$($await)*? {
                return Ok(value);
            }
            let computed = compute()$($await)*?;
            let data = $crate::ToValue::to_value(&computed).map_err(|error| error.of_method("cache", Some(key)))?;
            let flags = data.flags().into();
            let value = $crate::Value::new(data.into_bytes(), flags);
            self.set(key, &value, expiry)$($await)*?;
            Ok(value)
        }
    };
}
