//! Other faces of a client, each written once and expanded by every transport: an entry that remembers where it came
//! from, a client for which failures are misses, and a mapping on top of that.

mod entry;
mod forgiving;
mod mapping;

pub use self::entry::Fetched;
pub use self::forgiving::Forgive;
