//! Statistics of a server: `stats`.

use super::detach::borrow_nothing;
use super::{Command, Protocol, admin};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::stats::{CacheDumpItem, GroupedReport, PrefixCount, Report, SizeReport};
use crate::time::Now;

/// Asks a server for its statistics; the type of the answer says which.
#[derive(Debug)]
pub struct Stats<R> {
    request: &'static str,
    reply_kind: ReplyKind,
    read: fn(&str) -> R,
}

impl<R> Clone for Stats<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Stats<R> {}

impl Stats<Report> {
    /// The counters of the server: `stats`.
    #[must_use]
    pub fn general() -> Self {
        Self { request: "stats\r\n", reply_kind: ReplyKind::Stats, read: Report::read }
    }

    /// What the server was started with: `stats settings`.
    #[must_use]
    pub fn settings() -> Self {
        Self { request: "stats settings\r\n", reply_kind: ReplyKind::Stats, read: Report::read }
    }
}

impl Stats<GroupedReport> {
    /// The items of each slab class: `stats items`.
    #[must_use]
    pub fn items() -> Self {
        Self { request: "stats items\r\n", reply_kind: ReplyKind::Stats, read: GroupedReport::read }
    }

    /// The memory of each slab class: `stats slabs`.
    #[must_use]
    pub fn slabs() -> Self {
        Self { request: "stats slabs\r\n", reply_kind: ReplyKind::Stats, read: GroupedReport::read }
    }

    /// The connections of the server: `stats conns`; needs memcached 1.4.18.
    #[must_use]
    pub fn conns() -> Self {
        Self { request: "stats conns\r\n", reply_kind: ReplyKind::Stats, read: GroupedReport::read }
    }
}

impl Stats<Report> {
    /// The counters of a server that is a proxy: `stats proxy`; needs memcached 1.6.13 with its proxy.
    #[must_use]
    pub fn proxy() -> Self {
        Self { request: "stats proxy\r\n", reply_kind: ReplyKind::Stats, read: Report::read }
    }

    /// How many functions of each kind a proxy's configuration has, and how many slots they use: `stats proxyfuncs`.
    #[must_use]
    pub fn proxy_funcs() -> Self {
        Self { request: "stats proxyfuncs\r\n", reply_kind: ReplyKind::Stats, read: Report::read }
    }

    /// The servers behind a proxy that it counts as bad: `stats proxybe`.
    #[must_use]
    pub fn proxy_backends() -> Self {
        Self { request: "stats proxybe\r\n", reply_kind: ReplyKind::Stats, read: Report::read }
    }
}

impl Stats<GroupedReport> {
    /// The pages of the storage on disk: `stats extstore`; needs memcached 1.5.4. It crashes memcached 1.6.6 if the server has no such
    /// storage.
    #[must_use]
    pub fn extstore() -> Self {
        Self { request: "stats extstore\r\n", reply_kind: ReplyKind::Stats, read: GroupedReport::read }
    }
}

impl Stats<SizeReport> {
    /// How many items there are of each size: `stats sizes`. From memcached 1.4.27 on a server counts them only if it
    /// was started with `-o track_sizes`.
    #[must_use]
    pub fn sizes() -> Self {
        Self { request: "stats sizes\r\n", reply_kind: ReplyKind::Stats, read: SizeReport::read }
    }

    /// Lets a server count the sizes from now on: `stats sizes_enable`, which memcached 1.4.27 to 1.6.24 has. A server under load
    /// can crash of it; start it with `-o track_sizes` instead.
    #[must_use]
    pub fn enable_sizes() -> Self {
        Self { request: "stats sizes_enable\r\n", reply_kind: ReplyKind::Stat, read: SizeReport::read }
    }

    /// Stops counting the sizes: `stats sizes_disable`, which memcached 1.4.27 to 1.6.24 has.
    #[must_use]
    pub fn disable_sizes() -> Self {
        Self { request: "stats sizes_disable\r\n", reply_kind: ReplyKind::Stat, read: SizeReport::read }
    }
}

impl Stats<Vec<PrefixCount>> {
    /// What was asked for by the prefixes of keys, once it is counted: `stats detail dump`.
    #[must_use]
    pub fn detail() -> Self {
        Self { request: "stats detail dump\r\n", reply_kind: ReplyKind::Prefixes, read: PrefixCount::read }
    }
}

impl<R> Command for Stats<R> {
    type Response = R;

    fn name(&self) -> &'static str {
        self.request.trim_end()
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(self.request.as_bytes());
        admin::put_fence(protocol, out);
        Ok(self.reply_kind)
    }

    fn answer(&self, reply: Reply) -> Result<R, Error> {
        match reply {
            Reply::Stats(lines) => Ok((self.read)(&String::from_utf8_lossy(&lines))),
            other => Err(other.into_error()),
        }
    }

    /// Asking for the counters of the sizes twice does no harm either.
    fn repeatable(&self) -> bool {
        true
    }
}

/// Resets the counters of a server: `stats reset`.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatsReset;

impl Command for StatsReset {
    type Response = ();

    fn name(&self) -> &'static str {
        "stats reset"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"stats reset\r\n");
        admin::put_fence(protocol, out);
        Ok(ReplyKind::Reset)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        match reply {
            Reply::Reset => Ok(()),
            other => Err(other.into_error()),
        }
    }
}

/// Starts or stops counting requests by the prefixes of their keys: `stats detail on`, `stats detail off`.
#[derive(Debug, Clone, Copy)]
pub struct StatsDetail(pub bool);

impl Command for StatsDetail {
    type Response = ();

    fn name(&self) -> &'static str {
        "stats detail"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(if self.0 { b"stats detail on\r\n" } else { b"stats detail off\r\n" });
        admin::put_fence(protocol, out);
        Ok(ReplyKind::Ok)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        admin::ok(reply)
    }
}

/// Lists some items of a slab class that were not used lately: `stats cachedump`. It is for inspection, not for
/// programs: it shows 2 MB at most.
#[derive(Debug, Clone, Copy)]
pub struct CacheDump {
    /// The slab class.
    pub class: u32,
    /// How many items at most; 0 is all.
    pub limit: u32,
}

impl Command for CacheDump {
    type Response = Vec<CacheDumpItem>;

    fn name(&self) -> &'static str {
        "stats cachedump"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"stats cachedump ");
        out.put_number(u64::from(self.class));
        out.put(b" ");
        out.put_number(u64::from(self.limit));
        out.put(b"\r\n");
        admin::put_fence(protocol, out);
        Ok(ReplyKind::Items)
    }

    fn answer(&self, reply: Reply) -> Result<Vec<CacheDumpItem>, Error> {
        match reply {
            Reply::Stats(lines) => Ok(CacheDumpItem::read(&lines)),
            other => Err(other.into_error()),
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

borrow_nothing!(CacheDump StatsDetail StatsReset);
