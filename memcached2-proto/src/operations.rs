//! THE LIST: every client method, written once.
//!
//! A transport's client has one method of its own, `run`, and gets all others from here. They are inherent methods, so
//! that documentation and completion show them and no trait has to be imported. One line is a method: its name, its
//! parameters, what it returns inside `Result<_, Error>`, and the operation that `run` is called with.

/// Expands the list into methods of a transport's client.
///
/// `operations!([] [])` makes blocking methods, `operations!([async] [.await])` asynchronous ones.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ([$($async:tt)*] [$($await:tt)*]) => {
        $crate::__methods! { [$($async)*] [$($await)*]
            /// Fetches the value of a key; `None` is a miss.
            fn get(key: impl AsRef<[u8]>) -> Option<$crate::Value> = $crate::Get::new(&key)?;

            /// Fetches the values of many keys, from all servers at once; the results come in the order of the keys.
            ///
            /// What one server fails to answer does not hide what the others did:
            /// [`Many::all`]($crate::Many::all) turns the first failure into an error.
            fn get_many(keys: &[impl AsRef<[u8]>]) -> $crate::Many<Option<$crate::Value>>
                = $crate::GetMany::new(keys)?;

            /// Stores a value, whatever was there before.
            ///
            /// Flags and more: `client.run(Set::new(key, value)?.expiry(expiry).flags(7))`.
            fn set<'v>(key: impl AsRef<[u8]>, value: impl Into<$crate::Data<'v>>, expiry: impl Into<$crate::Expiry>)
                -> ()
                = $crate::Set::new(&key, value)?.expiry(expiry);

            /// Stores many values, pairs of key and value, on all servers at once; the results come in their order.
            fn set_many(items: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)], expiry: impl Into<$crate::Expiry>)
                -> $crate::Many<()>
                = $crate::SetMany::new(items, expiry.into())?;

            /// Deletes an item; `false` says that there was none.
            fn delete(key: impl AsRef<[u8]>) -> bool = $crate::Delete::new(&key)?;

            /// Adds `by` to a number that is stored as decimal text, and returns the sum; `None` says that there was no
            /// item. Sums wrap at 64 bits (`doc/protocol.txt` of memcached 1.6.45, "Increment/Decrement").
            ///
            /// A stored text that is no number is [`Error::NonNumeric`]($crate::Error::NonNumeric).
            fn incr(key: impl AsRef<[u8]>, by: u64) -> Option<u64> = $crate::Incr::new(&key, by)?;

            /// Asks every server for its version; the results come in the order of the servers.
            fn version() -> $crate::Many<$crate::VersionText> = $crate::Every($crate::Version);
        }
    };
}

/// Expands the lines of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __methods {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident $(<$life:lifetime>)? ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    )*) => {
        $($crate::__method! {
            $async $await
            $(#[$doc])*
            fn $name $(<$life>)? ($($argument: $type),*) -> $output = $operation;
        })*
    };
}

/// Expands one line of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])*
        fn $name:ident $(<$life:lifetime>)? ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// [`Error`]($crate::Error) lists what can go wrong, and
        /// [`Error::landed`]($crate::Error::landed) says whether the request may have taken effect.
        pub $($async)* fn $name $(<$life>)? (&self $(, $argument: $type)*) -> Result<$output, $crate::Error> {
            self.run($operation)$($await)*
        }
    };
}
