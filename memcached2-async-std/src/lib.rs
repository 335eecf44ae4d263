//! story
mod client;
mod stream;

pub use memcached2_proto as proto;
pub use memcached2_proto::{Error, Expiry, Landed, Many, Operation, Options, Value};

pub use self::client::Client;
