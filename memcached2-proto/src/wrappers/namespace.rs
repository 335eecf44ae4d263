//! A part of a cache that is cleared as a whole.

/// Expands the type `Namespace` for the `Client` of a transport; the parameters are those of `operations!`, and an example.
#[doc(hidden)]
#[macro_export]
macro_rules! namespace {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// A part of a cache that is cleared as a whole, by one request. It has most methods of a client that are about keys, for its own
        /// keys; the others take what [`key`](Self::key) returns.
        ///
        /// The server keeps the number of the namespace's generation, as the item `name:generation`. It is a part of every key
        /// (`name:number:key`), and [`clear`](Self::clear) raises it, so that the old items are not found any more. They stay in
        /// memory until they expire or are evicted.
        ///
        /// The number is asked for again after a time, 1 second unless [`check_after`](Self::check_after) changes it. Until then
        /// other programs may still find old items; this one does not. The guide
        /// [namespaces](memcached2_proto::guide::namespaces) says what is promised, and what happens when a server is down.
        ///
        /// It is cheap to clone, and clones share what they know of the generation: make it once and keep it.
        ///
        $(#[$example])*
        #[derive(Debug, Clone)]
        pub struct Namespace {
            client: Client,
            space: std::sync::Arc<$crate::namespace::Space>,
            check_after: std::time::Duration,
            long_keys: $crate::namespace::LongKeys,
        }

        impl Client {
            /// The part of the cache with this name, which can be cleared as a whole. It sends nothing.
            ///
            /// # Errors
            ///
            /// [`Error::Key`](memcached2_proto::Error::Key) if the name is empty, contains a blank or control byte, or has more than
            /// 178 bytes with the client's prefix.
            pub fn namespace(&self, name: impl AsRef<[u8]>) -> Result<Namespace, $crate::Error> {
                let prefix = self.router().prefix_length();
                let space = $crate::__named!(namespace $crate::namespace::Space::new(name.as_ref(), prefix)?);
                Ok(Namespace::of(self, space))
            }

            /// The same cache, with another treatment of keys that memcached does not take: too long ones, and those with a blank or
            /// control byte. All other keys stay as they are. It is a [`Namespace`] without a name, which cannot be cleared.
            #[must_use]
            pub fn long_keys(&self, long_keys: $crate::namespace::LongKeys) -> Namespace {
                let space = $crate::namespace::Space::whole(self.router().prefix_length());
                Namespace::of(self, space).long_keys(long_keys)
            }
        }

        impl Namespace {
            fn of(client: &Client, space: $crate::namespace::Space) -> Self {
                Self {
                    client: client.clone(),
                    space: std::sync::Arc::new(space),
                    check_after: std::time::Duration::from_secs(1),
                    long_keys: $crate::namespace::LongKeys::default(),
                }
            }

            /// Sets how long the number of the generation is used before the server is asked for it again; 1 second unless set. So
            /// long another program may find old items after a [`clear`](Self::clear). With 0 each call asks first.
            #[must_use]
            pub fn check_after(mut self, time: std::time::Duration) -> Self {
                self.check_after = time;
                self
            }

            /// Sets what becomes of keys that memcached does not take; they are refused unless set.
            #[must_use]
            pub fn long_keys(mut self, long_keys: $crate::namespace::LongKeys) -> Self {
                self.long_keys = long_keys;
                self
            }

            /// The client of all keys.
            #[must_use]
            pub fn client(&self) -> &Client {
                &self.client
            }

            /// The key by which an item is stored now: for [`Client::run`], in a request that has no method here.
            ///
            /// # Errors
            ///
            /// [`Error::Key`](memcached2_proto::Error::Key) if the key is empty, and those of `get`.
            pub $($async)* fn key(&self, key: impl AsRef<[u8]>) -> Result<Vec<u8>, $crate::Error> {
                let place = self.place(Client::now())$($await)*?;
                let key = $crate::__named!(key place.key(key.as_ref())?);
                Ok(key.into_bytes())
            }

            /// Clears the namespace, by one request to one server. From then on this program and its clones of the namespace find
            /// none of the items that are stored by now; other programs do so after [`check_after`](Self::check_after) at the latest.
            ///
            /// # Errors
            ///
            /// * [The errors of every call](memcached2_proto::Error#which-call-gives-which). If
            ///   [`Error::landed`](memcached2_proto::Error::landed) says that it may have taken effect, clear again: that does no harm.
            /// * [`Error::Argument`](memcached2_proto::Error::Argument) if the namespace has no name.
            pub $($async)* fn clear(&self) -> Result<(), $crate::Error> {
                let begun = Client::now();
                let clearing = $crate::__named!(clear self.space.forget(begun)?);
                let number = self.count(begun, 1)$($await)*?;
                self.settle(begun, clearing.question(), number)$($await)*?;
                clearing.end();
                Ok(())
            }

            /// Where keys are: in the generation that is known, or that the server is asked for.
            $($async)* fn place(&self, begun: $crate::Instant) -> Result<$crate::namespace::Place, $crate::Error> {
                let question = match self.space.place(begun, self.check_after, self.long_keys) {
                    Ok(place) => return Ok(place),
                    Err(question) => question,
                };
                self.ask(begun, &question)$($await)*.or_else(|error| {
                    let known = self.space.known_place(Client::now(), self.check_after, self.long_keys);
                    known.ok_or(error)
                })
            }

            $($async)* fn ask(
                &self,
                begun: $crate::Instant,
                question: &$crate::namespace::Question,
            ) -> Result<$crate::namespace::Place, $crate::Error> {
                let key = self.space.generation_key();
                let number = match self.client.run_at_home(begun, key, $crate::Get::new(key)?)$($await)*? {
                    Some(number) => number.parse().map_err(|error| error.of_method("get", Some(key)))?,
                    None => self.count(begun, 0)$($await)*?,
                };
                self.settle(begun, question, number)$($await)*
            }

            /// Takes a number, and raises it on the server if it went back.
            $($async)* fn settle(
                &self,
                begun: $crate::Instant,
                question: &$crate::namespace::Question,
                number: u64,
            ) -> Result<$crate::namespace::Place, $crate::Error> {
                let answered = |number| {
                    self.space.answered(question, number, Client::system_time(), self.long_keys)
                };
                match answered(number) {
                    Ok(place) => Ok(place),
                    Err(by) => answered(self.count(begun, by)$($await)*?).map_err(|_| self.space.went_back()),
                }
            }

            /// Adds to the number, or begins with a new one.
            $($async)* fn count(&self, begun: $crate::Instant, by: u64) -> Result<u64, $crate::Error> {
                let first = self.space.first(Client::system_time());
                let key = self.space.generation_key();
                self.client.count_at_home(begun, key, (by, first), $crate::Expiry::Never)$($await)*
            }

            $crate::__get!([$($async)*] [$($await)*] ["" "" "" ""] __in_namespace);
            $crate::__store!([$($async)*] [$($await)*] ["" "" "" ""] __in_namespace);
            $crate::__update!([$($async)*] [$($await)*] ["" "" "" ""] __in_namespace);
            $crate::__composed_in_namespace! { [$($async)*] [$($await)*]
                fn incr_or[](by: u64, initial: u64, expiry: impl Into<$crate::Expiry>) -> Result<u64, $crate::Error>;
                fn decr_or[](by: u64, initial: u64, expiry: impl Into<$crate::Expiry>) -> Result<u64, $crate::Error>;
                fn refresh_cas[](value: &$crate::Value) -> Result<$crate::Value, $crate::Error>;
                fn cache[T: $crate::ToValue, E: From<$crate::Error>](
                    expiry: impl Into<$crate::Expiry>,
                    compute: impl $Fn() -> Result<T, E>
                ) -> Result<$crate::Value, E>;
                fn fetch[T: $crate::ToValue, E: From<$crate::Error>](
                    policy: &$crate::fetch::FetchPolicy,
                    compute: impl $Fn() -> Result<T, E>
                ) -> Result<$crate::Value, E>;
                fn fetch_optional[T: $crate::ToValue, E: From<$crate::Error>](
                    policy: &$crate::fetch::FetchPolicy,
                    compute: impl $Fn() -> Result<Option<T>, E>
                ) -> Result<Option<$crate::Value>, E>;
            }

            $crate::__get_as! { [$($async)*] [$($await)*]
                /// [`Client::get_as`] in this namespace.
                ///
                /// # Errors
                ///
                /// Those of that method.
                get_as;
                /// [`Client::get_many_as`] in this namespace.
                ///
                /// # Errors
                ///
                /// Those of that method.
                get_many_as;
            }
        }
    };
}

/// Expands the lines of a list into methods of a namespace.
#[doc(hidden)]
#[macro_export]
macro_rules! __in_namespace {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($first:ident: $type:ty $(, $argument:ident: $more:ty)*) -> $output:ty = $operation:expr;
    )*) => {
        $($crate::__one_in_namespace! {
            $async $await fn $name ($first: $type $(, $argument: $more)*) -> $output = $operation;
        })*
    };
}

/// Expands one of them: the same operation, with other keys.
#[doc(hidden)]
#[macro_export]
macro_rules! __one_in_namespace {
    ([$($async:tt)*] [$($await:tt)*]
        fn $name:ident ($first:ident: $type:ty $(, $argument:ident: $more:ty)*) -> $output:ty = $operation:expr;
    ) => {
        #[doc = concat!("[`Client::", stringify!($name), "`] in this namespace.")]
        ///
        /// # Errors
        ///
        /// Those of that method, and those of `get` for the number of the generation.
        pub $($async)* fn $name(
            &self,
            $first: $type
            $(, $argument: $more)*
        ) -> Result<$output, $crate::Error> {
            let begun = Client::now();
            let place = self.place(begun)$($await)*?;
            $crate::__placed!(place placed $name $first $first);
            $($crate::__framed!(placed $name $argument $argument);)*
            let output = self.client.run_since(begun, $crate::__named!($name $operation))$($await)*?;
            Ok($crate::namespace::Opened::open(output, &placed))
        }
    };
}

/// Puts keys into a namespace: the first argument of a method, which says how by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! __placed {
    ($place:ident $placed:ident $name:ident key $key:ident) => {
        let $placed = $crate::__named!($name $place.key(&$key)?);
        let $key = &$placed;
    };
    ($place:ident $placed:ident $name:ident keys $keys:ident) => {
        let $placed = $crate::__named!($name $place.keys($keys)?);
        let $keys = &$placed[..];
    };
    ($place:ident $placed:ident $name:ident items $items:ident) => {
        let $placed = $crate::__named!($name $place.items($items)?);
        let $items = &$placed[..];
    };
    ($place:ident $placed:ident $name:ident stores $stores:ident) => {
        let $placed = $crate::__named!($name $place.keys_of(&$stores)?);
        let $stores = $crate::__named!($name $crate::namespace::Place::stores($stores, &$placed)?);
    };
}

/// Puts the key before a value if it is to be checked; an item that is not stored as it is cannot be extended or counted.
#[doc(hidden)]
#[macro_export]
macro_rules! __framed {
    ($placed:ident append value $value:ident) => {
        $crate::__named!(append $placed.plain()?);
    };
    ($placed:ident prepend value $value:ident) => {
        $crate::__named!(prepend $placed.plain()?);
    };
    ($placed:ident $name:ident value $value:ident) => {
        let $value = $crate::__named!($name $placed.frame($value)?);
    };
    ($placed:ident $name:ident by $by:ident) => {
        $crate::__named!($name $placed.plain()?);
    };
    ($placed:ident $name:ident $argument:ident $same:ident) => {};
}

/// Expands the methods that take several calls: those of the client, all in the same generation. So what is computed while the
/// namespace is cleared is not found afterwards.
#[doc(hidden)]
#[macro_export]
macro_rules! __composed_in_namespace {
    ($async:tt $await:tt $(
        fn $name:ident [$($generics:tt)*] ($($argument:ident: $type:ty),*) -> $result:ty;
    )*) => {
        $($crate::__composed_in_namespace!(@one $async $await $name [$($generics)*] [$($argument: $type),*] $result);)*
    };
    (@one [$($async:tt)*] [$($await:tt)*] $name:ident [$($generics:tt)*] [$($argument:ident: $type:ty),*] $result:ty) => {
        #[doc = concat!("[`Client::", stringify!($name), "`] in this namespace. All its requests are about one generation.")]
        ///
        /// # Errors
        ///
        /// Those of that method, and those of `get` for the number of the generation.
        pub $($async)* fn $name<$($generics)*>(&self, key: impl AsRef<[u8]>, $($argument: $type),*) -> $result {
            let place = self.place(Client::now())$($await)*?;
            let key = $crate::__named!($name place.key(&key)?);
            $crate::__named!($name key.plain()?);
            self.client.$name(&key, $($argument),*)$($await)*
        }
    };
}
