//! What the fuzz targets do, as plain functions: the seeds run through them on stable, too.

mod connection;
mod decoder;
mod embedded;
mod opening;
mod shared;
mod stream;
mod text;
mod values;

use memcached2_proto::Limits;

pub use self::connection::connection;
pub use self::decoder::decoder;
pub use self::embedded::embedded;
pub use self::opening::opening;
pub use self::shared::shared;
pub use self::stream::{config, stream};
pub use self::text::{report, transcript, uri};
pub use self::values::values;

/// Values above this are refused, so that a lying length cannot use up the fuzzer's memory.
const VALUE: usize = 64 * 1024;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.value = VALUE;
    limits.stats = VALUE;
    limits
}
