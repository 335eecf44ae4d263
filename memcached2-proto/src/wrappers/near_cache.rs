//! A client with a small cache within the program.

/// Expands the type `NearCache` for the `Client` of a transport; the parameters are those of `operations!`, and an example.
#[doc(hidden)]
#[macro_export]
macro_rules! near_cache {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// A client with a small cache within the program: `get` and `get_many` return values that are known and fresh without a
        /// request. With the feature `near-cache`.
        ///
        /// * No value is older than [`NearCachePolicy`](memcached2_proto::near_cache::NearCachePolicy) allows: it was the server's at
        ///   some moment within that time.
        /// * No value is older than what was last written through this near cache or its clones. Write through them, not through
        ///   [`client()`](Self::client).
        /// * When its time is over, a value is asked for by its version: memcached from 1.6.40 on sends it only if it has changed.
        ///
        /// All other methods send what those of the client send. The guide [near cache](memcached2_proto::guide::near_cache) has more.
        ///
        $(#[$example])*
        #[cfg_attr(docsrs, doc(cfg(feature = "near-cache")))]
        #[derive(Debug, Clone)]
        pub struct NearCache {
            client: Client,
            near: std::sync::Arc<$crate::near_cache::Near>,
        }

        impl Client {
            /// The same client with a small cache within the program, which is empty. Make it once, and clone it. With the feature
            /// `near-cache`.
            #[cfg_attr(docsrs, doc(cfg(feature = "near-cache")))]
            #[must_use]
            pub fn near_cache(&self, policy: &$crate::near_cache::NearCachePolicy) -> NearCache {
                let near = std::sync::Arc::new($crate::near_cache::Near::new(policy, &self.router()));
                NearCache { client: self.clone(), near }
            }
        }

        impl NearCache {
            /// The client without it.
            #[must_use]
            pub fn client(&self) -> &Client {
                &self.client
            }

            /// Forgets all values that are known, which sends nothing: after a `flush_all`, say.
            pub fn forget_all(&self) {
                self.near.clear();
            }

            /// Fetches the value of a key, from this program if it is known and fresh; `None` is a miss, which is not remembered.
            ///
            /// # Errors
            ///
            /// Those of [`Client::get`]. In the last quarter of its time a value is returned although the server has failed.
            pub $($async)* fn get(
                &self,
                key: impl AsRef<[u8]>,
            ) -> Result<Option<$crate::Value>, $crate::Error> {
                let key = key.as_ref();
                match self.near.find(key, Client::now()) {
                    Ok(value) => Ok(Some(value)),
                    Err(question) => self.ask(key, question)$($await)*,
                }
            }

            $($async)* fn ask(
                &self,
                key: &[u8],
                mut question: $crate::near_cache::Question,
            ) -> Result<Option<$crate::Value>, $crate::Error> {
                // Both questions have the time of one call.
                let begun = question.begun();
                if let Some(cas) = question.cas() {
                    let get = $crate::__named!(get_if_changed $crate::command::GetIfChanged::new(key, cas)?);
                    let answer = self.client.run_since(begun, get)$($await)*;
                    if self.near.believes(&question, &answer) {
                        return self.near.answered(key, &question, answer, Client::now());
                    }
                    question = self.near.question(key, Client::now());
                }
                let get = $crate::__named!(gets $crate::Get::new(key)?.with_cas());
                let answer = self.client.run_since(begun, get)$($await)*.map($crate::command::IfChanged::from);
                self.near.answered(key, &question, answer, Client::now())
            }

            /// Fetches the values of many keys, from this program where they are known and fresh. The others take one request for those
            /// that are not known, and one for those whose time is over.
            ///
            /// # Errors
            ///
            /// Those of [`Client::get_many`].
            pub $($async)* fn get_many(
                &self,
                keys: &[impl AsRef<[u8]>],
            ) -> Result<$crate::BatchResult<Option<$crate::Value>>, $crate::Error> {
                let begun = Client::now();
                let mut search = $crate::__named!(get_many $crate::near_cache::Search::new(&self.near, keys, begun)?);
                if let Some(confirm) = search.confirm()? {
                    let confirmed = self.client.run_since(begun, confirm)$($await)*?;
                    search.confirmed(&self.near, confirmed, Client::now());
                }
                if let Some(fetch) = search.fetch()? {
                    let fetched = self.client.run_since(begun, fetch)$($await)*?;
                    search.fetched(&self.near, fetched, Client::now());
                }
                Ok(search.finish())
            }

            $crate::__get_as! { [$($async)*] [$($await)*]
                /// Fetches the value of a key as a type of your choice, from this program if it is known and fresh.
                ///
                /// # Errors
                ///
                /// Those of [`Client::get_as`].
                get_as;
                /// [`Client::get_many_as`] of this client.
                ///
                /// # Errors
                ///
                /// Those of that method.
                get_many_as;
            }

            $crate::__cache!([$($async)*] [$($await)*] $Fn);
            $crate::__get!([$($async)*] [$($await)*] ["" "" "" ""] __near_gets);
            $crate::__store!([$($async)*] [$($await)*] ["" "" "" ""] __near_writes);
            $crate::__update!([$($async)*] [$($await)*] ["" "" "" ""] __near_writes);
            $crate::__near_writes! { [$($async)*] [$($await)*]
                fn incr_or(key: impl AsRef<[u8]>, by: u64, initial: u64, expiry: impl Into<$crate::Expiry>) -> u64 = ();
                fn decr_or(key: impl AsRef<[u8]>, by: u64, initial: u64, expiry: impl Into<$crate::Expiry>) -> u64 = ();
            }
        }
    };
}

/// Expands the list of methods that fetch: those that give a new expiry are writes, two have a method of their own, and the others go
/// by the near cache.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_gets {
    ($async:tt $await:tt $($(#[$doc:meta])* fn $name:ident $arguments:tt -> $output:ty = $operation:expr;)*) => {
        $($crate::__near_get!($async $await $name $arguments $output);)*
    };
}

/// Expands one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_get {
    ($async:tt $await:tt get $arguments:tt $output:ty) => {};
    ($async:tt $await:tt get_many $arguments:tt $output:ty) => {};
    ($async:tt $await:tt gat $arguments:tt $output:ty) => {
        $crate::__near_writes! { $async $await fn gat $arguments -> $output = (); }
    };
    ($async:tt $await:tt gats $arguments:tt $output:ty) => {
        $crate::__near_writes! { $async $await fn gats $arguments -> $output = (); }
    };
    ($async:tt $await:tt gat_many $arguments:tt $output:ty) => {
        $crate::__near_writes! { $async $await fn gat_many $arguments -> $output = (); }
    };
    ($async:tt $await:tt gats_many $arguments:tt $output:ty) => {
        $crate::__near_writes! { $async $await fn gats_many $arguments -> $output = (); }
    };
    ([$($async:tt)*] [$($await:tt)*] $name:ident ($($argument:ident: $type:ty),*) $output:ty) => {
        #[doc = concat!("[`Client::", stringify!($name), "`], which always asks the server.")]
        ///
        /// # Errors
        ///
        /// Those of that method.
        pub $($async)* fn $name(&self, $($argument: $type),*) -> Result<$output, $crate::Error> {
            self.client.$name($($argument),*)$($await)*
        }
    };
}

/// Expands methods that change items: the client's methods of the same name, after which nothing older is returned.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_writes {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($first:ident: $type:ty $(, $argument:ident: $more:ty)*) -> $output:ty = $operation:expr;
    )*) => {
        $($crate::__near_write!($async $await $name [$first: $type $(, $argument: $more)*] $output);)*
    };
}

/// Expands one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_write {
    ([$($async:tt)*] [$($await:tt)*] $name:ident [$first:ident: $type:ty $(, $argument:ident: $more:ty)*] $output:ty) => {
        #[doc = concat!("[`Client::", stringify!($name), "`]. What is returned from this program afterwards is not older.")]
        ///
        /// # Errors
        ///
        /// Those of that method.
        pub $($async)* fn $name(
            &self,
            $first: $type
            $(, $argument: $more)*
        ) -> Result<$output, $crate::Error> {
            let writing = $crate::__near_written!(self $first $first);
            let result = self.client.$name($crate::__near_passed!($first $first) $(, $argument)*)$($await)*;
            drop(writing);
            result
        }
    };
}

/// The keys that a method writes: its first argument, which says how by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_written {
    ($self:ident key $key:ident) => {
        $self.near.write($key.as_ref())
    };
    ($self:ident keys $keys:ident) => {
        $self.near.write_all($keys.iter().map(AsRef::as_ref))
    };
    ($self:ident items $items:ident) => {
        $self.near.write_all($items.iter().map(|(key, _)| key.as_ref()))
    };
    ($self:ident stores $stores:ident) => {
        $self.near.write_all($stores.iter().map($crate::Store::key_bytes))
    };
}

/// The first argument, as it is passed on.
#[doc(hidden)]
#[macro_export]
macro_rules! __near_passed {
    (key $key:ident) => {
        &$key
    };
    ($name:ident $argument:ident) => {
        $argument
    };
}
