//! `me`: what a server knows of an item.

use crate::command::{Answer, Command, Detach, Keyed, Protocol};
use crate::error::Error;
use crate::key::{Key, RoutingKey, WireKey};
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::stats::Report;
use crate::time::Now;

/// Asks what a server knows of an item, for debugging: `me`. `None` is a miss. Nothing of the item changes.
///
/// memcached 1.6.45 says `exp` (seconds until it expires, -1 for never), `la` (seconds since it was fetched or stored), `cas`,
/// `fetch` (whether it was fetched), `cls` (its slab class) and `size` (all bytes that it takes). Before 1.6.24 `exp` is wrong.
///
/// ```
/// use memcached2_proto::command::meta::MetaDebug;
///
/// let request = MetaDebug::new("page:1")?;
/// // let size = client.run(request)?.and_then(|report| report.number("size"));
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetaDebug<'k> {
    key: WireKey<'k>,
}

impl<'k> MetaDebug<'k> {
    /// Asks for the item of `key`, which may be of any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes, or longer than 186 with a blank or control byte in it.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { key: WireKey::new(key.as_ref())? })
    }
}

impl Keyed for MetaDebug<'_> {
    fn key(&self) -> Key<'_> {
        self.key.key()
    }

    fn routing_key(&self) -> RoutingKey<'_> {
        self.key.routing()
    }
}

impl Command for MetaDebug<'_> {
    type Response = Option<Report>;

    fn name(&self) -> &'static str {
        "me"
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key.key())
    }

    /// It has no flag but `b`, so a fence follows. memcached from 1.6.40 on sees that flag only if something follows it.
    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        if protocol == Protocol::Classic {
            return Err(Error::no_meta());
        }
        out.put(b"me ");
        out.put_wire_key(&self.key, true);
        out.put(if self.key.is_encoded() { b" b b\r\n" } else { b"\r\n" });
        out.put_server_fence();
        Ok(ReplyKind::MetaDebug)
    }

    fn answer(&self, reply: Reply) -> Result<Option<Report>, Error> {
        read(reply)
    }

    fn repeatable(&self) -> bool {
        true
    }
}

impl Detach for MetaDebug<'_> {
    fn detach(&self) -> Answer<Option<Report>> {
        Answer::new(read)
    }
}

fn read(reply: Reply) -> Result<Option<Report>, Error> {
    match reply {
        Reply::Stats(lines) => Ok(Some(Report::read(&String::from_utf8_lossy(&lines)))),
        Reply::Miss => Ok(None),
        other => Err(other.into_error()),
    }
}
