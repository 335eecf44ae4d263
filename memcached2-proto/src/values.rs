//! Values in other forms: serialized, compressed, or as other clients store them.
//!
//! For users: a wrapper in the type of a value says how it is stored and read, in any call. The guide
//! [values](crate::guide::values) explains them. Without a wrapper nothing of this is run.

#[cfg(any(feature = "zlib", feature = "zstd"))]
mod compressed;
#[cfg(feature = "zlib")]
mod inflate;
#[cfg(feature = "other-clients")]
mod other_clients;
#[cfg(any(feature = "json", feature = "postcard"))]
mod serialized;

#[cfg(any(feature = "zlib", feature = "zstd"))]
pub use self::compressed::Compression;
#[cfg(feature = "zlib")]
pub use self::compressed::Zlib;
#[cfg(feature = "zstd")]
pub use self::compressed::Zstd;
#[cfg(feature = "other-clients")]
pub use self::other_clients::{
    Codec, Dalli, FromPlain, PhpMemcached, Plain, PyLibmc, PyMemcache, PythonMemcached, SpyMemcached, ToPlain,
};
#[cfg(feature = "json")]
pub use self::serialized::Json;
#[cfg(feature = "postcard")]
pub use self::serialized::Postcard;
