//! A client whose values are in the form of a client of another language.

use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::operation::BatchResult;
use crate::value::Value;
use crate::values::{Codec, FromPlain, ToPlain};

/// In which form values are stored and read, and from how many bytes on they are compressed: the part of `Values` that needs no client.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Form {
    codec: Codec,
    compressed_from: usize,
}

impl Form {
    /// That of `codec`.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, compressed_from: codec.compresses_from() }
    }

    /// Compresses values of at least this many bytes.
    pub fn compress_from(&mut self, bytes: usize) {
        self.compressed_from = bytes;
    }

    /// A value in this form.
    #[must_use]
    pub fn of<V: ToPlain>(self, value: V) -> Formed<V> {
        Formed { form: self, value }
    }

    /// Items whose values are in this form.
    #[must_use]
    pub fn items<K, V: ToPlain>(self, items: &[(K, V)]) -> Vec<(&K, Formed<&V>)> {
        items.iter().map(|(key, value)| (key, self.of(value))).collect()
    }

    /// Reads a value that was fetched by `method`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`], with its key.
    pub fn read<T: FromPlain>(
        self,
        method: &'static str,
        key: &[u8],
        value: Option<Value>,
    ) -> Result<Option<T>, Error> {
        let read = value.map(|value| self.codec.decode(value)).transpose();
        read.map_err(|error| error.of_method(method, Some(key)))
    }

    /// The same for the values of many keys.
    pub fn read_many<T: FromPlain>(
        self,
        method: &'static str,
        keys: &[impl AsRef<[u8]>],
        values: BatchResult<Option<Value>>,
    ) -> BatchResult<Option<T>> {
        let values = values.with_keys(keys);
        values.map(|(key, value)| self.read(method, key.as_ref(), value?)).collect()
    }
}

/// A value in the form of another client.
#[doc(hidden)]
#[derive(Debug)]
pub struct Formed<V> {
    form: Form,
    value: V,
}

impl<V: ToPlain> ToValue for Formed<V> {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        self.form.codec.encode_plain(self.value.to_plain(), self.form.compressed_from)
    }
}

/// Expands the type `Values` for the `Client` of a transport; the parameters are those of `operations!`, and an example.
#[doc(hidden)]
#[macro_export]
macro_rules! values {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// A client that shares values with a client of another language: it stores and reads all of them in that client's form, which
        /// is chosen once. With the feature `other-clients`.
        ///
        /// What can be stored is what all languages have: bytes, text, numbers and `bool`. It is read as such a type, as a
        /// [`Plain`](memcached2_proto::values::Plain) of any of them, or as an `Option` of the type, which is `None` for what cannot be
        /// read. The guide [values](memcached2_proto::guide::values#other-clients) says what each client has.
        ///
        /// All other methods are those of [`client()`](Self::client), whose values have no form.
        /// [`Codec::encode`](memcached2_proto::values::Codec::encode) and
        /// [`Codec::decode`](memcached2_proto::values::Codec::decode) make one and read it there. Another client finds a key only if it
        /// also [places keys](memcached2_proto::Selection) in the same way.
        ///
        $(#[$example])*
        #[cfg_attr(docsrs, doc(cfg(feature = "other-clients")))]
        #[derive(Debug, Clone)]
        pub struct Values {
            client: Client,
            form: $crate::wrappers::Form,
        }

        impl Client {
            /// The same client, which stores and reads all values in the form of a client of another language. With the feature
            /// `other-clients`.
            #[cfg_attr(docsrs, doc(cfg(feature = "other-clients")))]
            #[must_use]
            pub fn values(&self, codec: $crate::values::Codec) -> Values {
                Values { client: self.clone(), form: $crate::wrappers::Form::new(codec) }
            }
        }

        impl Values {
            /// Sets from how many bytes on a value is compressed, if it becomes shorter: what is `min_compress_len` in Python,
            /// `compression_min_size` in Dalli. Unless set, it is the default of the other client: Dalli from 4 KiB,
            /// php-memcached from 2000 bytes, spymemcached above 16 KiB, those of Python never. `usize::MAX` is never.
            ///
            /// What is read may be compressed in any case. `Codec::Raw` compresses nothing, and no codec compresses an integer, which
            /// `incr` counts.
            #[must_use]
            pub fn compress_from(mut self, bytes: usize) -> Self {
                self.form.compress_from(bytes);
                self
            }

            /// The client, whose values have no form.
            #[must_use]
            pub fn client(&self) -> &Client {
                &self.client
            }

            /// Fetches the value of a key as a type of your choice, such as `u64` or `String`; `None` is a miss.
            ///
            /// # Errors
            ///
            /// Those of [`Client::get`], and [`Error::Value`](memcached2_proto::Error::Value) if the value cannot be read as a `T`: it
            /// is of another type, or was serialized by the other client. It names the key and the flags.
            pub $($async)* fn get_as<T: $crate::values::FromPlain>(
                &self,
                key: impl AsRef<[u8]>,
            ) -> Result<Option<T>, $crate::Error> {
                let key = key.as_ref();
                let value = self.client.get(key)$($await)*?;
                self.form.read("get_as", key, value)
            }

            /// The same, with the version of the item, for [`cas`](Self::cas).
            ///
            /// # Errors
            ///
            /// Those of [`get_as`](Self::get_as).
            pub $($async)* fn gets_as<T: $crate::values::FromPlain>(
                &self,
                key: impl AsRef<[u8]>,
            ) -> Result<Option<(T, u64)>, $crate::Error> {
                let key = key.as_ref();
                let value = self.client.gets(key)$($await)*?;
                let cas = value.as_ref().and_then(|value| value.cas).unwrap_or_default();
                Ok(self.form.read("gets_as", key, value)?.map(|value| (value, cas)))
            }

            /// Fetches the value of a key, and gives the item a new expiry; needs memcached 1.5.3.
            ///
            /// # Errors
            ///
            /// Those of [`get_as`](Self::get_as), and [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of expiry is
            /// beyond 2038. An item whose value cannot be read has its new expiry all the same, and the error says
            /// [`Landed::Unknown`](memcached2_proto::Landed::Unknown).
            pub $($async)* fn gat_as<T: $crate::values::FromPlain>(
                &self,
                key: impl AsRef<[u8]>,
                expiry: impl Into<$crate::Expiry>,
            ) -> Result<Option<T>, $crate::Error> {
                let key = key.as_ref();
                let value = self.client.gat(key, expiry)$($await)*?;
                self.form.read("gat_as", key, value).map_err(|error| error.of_landed($crate::Landed::Unknown))
            }

            /// Fetches the values of many keys; the results come in the order of the keys.
            ///
            /// # Errors
            ///
            /// Those of [`Client::get_many`]. In the result of a key [`Error::Value`](memcached2_proto::Error::Value) if its value
            /// cannot be read as a `T`.
            pub $($async)* fn get_many_as<T: $crate::values::FromPlain>(
                &self,
                keys: &[impl AsRef<[u8]>],
            ) -> Result<$crate::BatchResult<Option<T>>, $crate::Error> {
                let values = self.client.get_many(keys)$($await)*?;
                Ok(self.form.read_many("get_many_as", keys, values))
            }

            $crate::__formed! { [$($async)*] [$($await)*]
                fn set[];
                fn add[];
                fn replace[];
                fn cas[cas: u64];
            }

            /// [`Client::set_many`] in the form of the other client.
            ///
            /// # Errors
            ///
            /// Those of that method.
            pub $($async)* fn set_many(
                &self,
                items: &[(impl AsRef<[u8]>, impl $crate::values::ToPlain)],
                expiry: impl Into<$crate::Expiry>,
            ) -> Result<$crate::BatchResult<()>, $crate::Error> {
                self.client.set_many(&self.form.items(items), expiry)$($await)*
            }

            /// Fetches the value of a key; after a miss computes it, and stores it until `expiry`: [`Client::cache`] in the form of the
            /// other client.
            ///
            /// # Errors
            ///
            /// * The error of `compute`.
            /// * Those of [`get_as`](Self::get_as) and [`set`](Self::set), converted to the same type. If `set` fails, the computed
            ///   value is lost.
            pub $($async)* fn cache<T, E>(
                &self,
                key: impl AsRef<[u8]>,
                expiry: impl Into<$crate::Expiry>,
                compute: impl $Fn() -> Result<T, E>,
            ) -> Result<T, E>
            where
                T: $crate::values::ToPlain + $crate::values::FromPlain,
                E: From<$crate::Error>,
            {
                let key = key.as_ref();
                if let Some(value) = self.get_as(key)$($await)*? {
                    return Ok(value);
                }
                let computed = compute()$($await)*?;
                self.set(key, &computed, expiry)$($await)*?;
                Ok(computed)
            }

            $crate::__passed! { [$($async)*] [$($await)*]
                fn exists(key: impl AsRef<[u8]>) -> bool = ();
            }
            $crate::__update!([$($async)*] [$($await)*] ["" "" "" ""] __passed);
        }
    };
}

/// Expands methods that store one value.
#[doc(hidden)]
#[macro_export]
macro_rules! __formed {
    ($async:tt $await:tt $(fn $name:ident $more:tt;)*) => {
        $($crate::__formed!(@one $async $await $name $more);)*
    };
    (@one [$($async:tt)*] [$($await:tt)*] $name:ident [$($argument:ident: $type:ty)?]) => {
        #[doc = concat!("[`Client::", stringify!($name), "`] in the form of the other client.")]
        ///
        /// # Errors
        ///
        /// Those of that method: [`Error::Value`](memcached2_proto::Error::Value) if the other client has no such value.
        pub $($async)* fn $name(
            &self,
            key: impl AsRef<[u8]>,
            value: impl $crate::values::ToPlain,
            expiry: impl Into<$crate::Expiry>
            $(, $argument: $type)?
        ) -> Result<(), $crate::Error> {
            self.client.$name(key, self.form.of(value), expiry $(, $argument)?)$($await)*
        }
    };
}

/// Expands methods of a list that have no values: the client's methods of the same name.
#[doc(hidden)]
#[macro_export]
macro_rules! __passed {
    ($async:tt $await:tt $($(#[$doc:meta])* fn $name:ident $arguments:tt -> $output:ty = $operation:expr;)*) => {
        $($crate::__passed!(@one $async $await $name $arguments $output);)*
    };
    (@one [$($async:tt)*] [$($await:tt)*] $name:ident ($($argument:ident: $type:ty),*) $output:ty) => {
        #[doc = concat!("[`Client::", stringify!($name), "`].")]
        ///
        /// # Errors
        ///
        /// Those of that method.
        pub $($async)* fn $name(&self, $($argument: $type),*) -> Result<$output, $crate::Error> {
            self.client.$name($($argument),*)$($await)*
        }
    };
}
