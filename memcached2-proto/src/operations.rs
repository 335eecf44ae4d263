//! THE LISTS: every client method, written once.
//!
//! A transport's client has one method of its own, `run`, and gets all others from here. They are inherent methods, so
//! that documentation and completion show them and no trait has to be imported. One line is a method: its documentation, its
//! name, its parameters, what it returns inside `Result<_, Error>`, and the operation that `run` is called with.

mod administer;
mod compose;
mod fetch_many;
mod fetch_once;
mod get;
mod store;
mod streams;
mod topology;
mod update;

/// Expands the lists into methods of a transport's client.
///
/// `operations!([] [] FnOnce [..])` makes blocking methods, `operations!([async] [.await] AsyncFnOnce [..])`
/// asynchronous ones; the word is the trait of the closures that they take. What follows makes the examples of their
/// documentation right for the transport: the text before `fn`, the text after a call, and the beginning and the end of
/// an example. Between them there is a `client` of an empty server, and `Duration`, `Error`, `Expiry`, `IfChanged` and `Store`.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ($async:tt $await:tt $Fn:ident) => {
        $crate::operations!($async $await $Fn ["" "" "" ""]);
    };
    ($async:tt $await:tt $Fn:ident $examples:tt) => {
        $crate::__get!($async $await $examples __methods);
        $crate::__store!($async $await $examples __methods);
        $crate::__update!($async $await $examples __methods);
        $crate::__administer!($async $await __on_all_servers);
        $crate::__compose!($async $await $Fn $examples);
    };
}

/// Expands the lines of a list.
#[doc(hidden)]
#[macro_export]
macro_rules! __methods {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    )*) => {
        $($crate::__method! {
            $async $await
            $(#[$doc])*
            fn $name ($($argument: $type),*) -> $output = $operation;
        })*
    };
}

/// The operation of a method; what is wrong with its arguments is an error that names the method.
#[doc(hidden)]
#[macro_export]
macro_rules! __named {
    ($name:ident $operation:expr) => {
        (|| -> Result<_, $crate::Error> { Ok($operation) })()
            .map_err(|error| error.of_method(stringify!($name), None))?
    };
}

/// Expands one line of a list. Its documentation ends with the errors of the method, to which those of every call are added.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    ) => {
        $(#[$doc])*
        /// * [The errors of every call](memcached2_proto::Error#which-call-gives-which), such as
        ///   [`Error::Timeout`](memcached2_proto::Error::Timeout). [`Error::landed`](memcached2_proto::Error::landed) says
        ///   whether the request may have taken effect.
        pub $($async)* fn $name (&self $(, $argument: $type)*) -> Result<$output, $crate::Error> {
            let begun = Self::now();
            self.run_since(begun, $crate::__named!($name $operation))$($await)*
        }
    };
}
