//! Commands about a whole server, by subject: its version here, its items, settings, slabs, crawler, cluster, and any line.

mod cluster;
mod crawler;
mod items;
mod raw;
mod settings;
mod slabs;

use std::fmt;
use std::sync::Arc;

pub use self::cluster::{ClusterConfig, ConfigGetCluster, Node};
pub use self::crawler::{Classes, LruCrawler};
pub use self::items::FlushAll;
pub use self::raw::Raw;
pub use self::settings::{CacheMemlimit, Extstore, Lru, RefreshCerts, Verbosity};
pub use self::slabs::{SlabsAutomove, SlabsReassign};
use super::detach::borrow_nothing;
use super::{Command, Protocol};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// Asks a server for its version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Version;

impl Command for Version {
    type Response = VersionText;

    fn name(&self) -> &'static str {
        "version"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"version\r\n");
        put_fence(protocol, out);
        Ok(ReplyKind::Version)
    }

    fn answer(&self, reply: Reply) -> Result<VersionText, Error> {
        match reply {
            Reply::Version(text) => Ok(VersionText(text)),
            other => Err(other.into_error()),
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

/// Finds out whether a server can be used: one answer shows that it was connected to, and takes our credentials.
#[derive(Debug, Clone, Copy)]
pub struct Warm;

impl Command for Warm {
    type Response = ();

    fn name(&self) -> &'static str {
        Version.name()
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Version.encode(protocol, now, out)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        match reply {
            // A proxy that does not know the command.
            Reply::Refused(line) if &*line == "ERROR" => Ok(()),
            reply => Version.answer(reply).map(drop),
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

borrow_nothing!(Version Warm);

/// A command of one line, which is answered by `OK`.
trait Line {
    const NAME: &'static str;

    /// The line without its line end.
    fn line(&self) -> Result<String, Error>;
}

/// Implements [`Command`] for commands that are a [`Line`].
macro_rules! answered_by_ok {
    ($($command:ty)*) => {
        $(impl $crate::command::Command for $command {
            type Response = ();

            fn name(&self) -> &'static str {
                <Self as $crate::command::admin::Line>::NAME
            }

            fn encode(
                &self,
                protocol: $crate::command::Protocol,
                _: $crate::time::Now,
                out: &mut $crate::command::RequestBuffer,
            ) -> Result<$crate::reply::ReplyKind, $crate::error::Error> {
                out.put($crate::command::admin::Line::line(self)?.as_bytes());
                out.put(b"\r\n");
                $crate::command::admin::put_fence(protocol, out);
                Ok($crate::reply::ReplyKind::Ok)
            }

            fn answer(&self, reply: $crate::reply::Reply) -> Result<(), $crate::error::Error> {
                $crate::command::admin::ok(reply)
            }
        })*
        $crate::command::detach::borrow_nothing!($($command)*);
    };
}
use answered_by_ok;

/// A number with a fraction, as memcached reads it.
fn fraction(number: f64) -> Result<f64, Error> {
    match number.is_finite() {
        true => Ok(number),
        false => Err(Error::argument(format!("{number} is no number that memcached reads"))),
    }
}

/// Ends a request about a whole server with a fence, because its reply carries no check.
pub(super) fn put_fence(protocol: Protocol, out: &mut RequestBuffer) {
    if protocol == Protocol::Meta {
        out.put_server_fence();
    }
}

pub(super) fn ok(reply: Reply) -> Result<(), Error> {
    match reply {
        Reply::Ok => Ok(()),
        other => Err(other.into_error()),
    }
}

/// The version of a server, as it sent it: `1.6.18`, `1.4.5_4_gaa7839e`, or the text of another server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionText(pub(crate) Arc<str>);

impl VersionText {
    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Major, minor and patch, if the text begins with three numbers; a leading `v` is ignored.
    #[must_use]
    pub fn numbers(&self) -> Option<(u32, u32, u32)> {
        let mut parts = self.0.strip_prefix('v').unwrap_or(&self.0).splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        Some((next()?, next()?, next()?))
    }
}

impl fmt::Display for VersionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_far_as_it_goes() {
        for (text, numbers) in [
            ("1.6.45", Some((1, 6, 45))),
            ("1.6.10", Some((1, 6, 10))),
            ("1.6.9", Some((1, 6, 9))),
            ("1.6.12-elasticache", Some((1, 6, 12))),
            ("1.4.5_4_gaa7839e", Some((1, 4, 5))),
            ("v1.35.0", Some((1, 35, 0))),
            ("1.6", None),
            ("dev build 7", None),
            ("", None),
            ("1.99999999999.1", None),
        ] {
            let version = VersionText(Arc::from(text));
            assert_eq!(version.numbers(), numbers, "{text}");
        }
    }
}
