//! The nodes of an Amazon ElastiCache cluster.

use std::net::IpAddr;

use crate::command::detach::borrow_nothing;
use crate::command::{Command, Protocol, RequestBuffer, admin};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::time::Now;

/// Asks a node of Amazon ElastiCache for all nodes of its cluster: `config get cluster`.
///
/// `None` means that the server has no list. memcached itself does not know the command and says `ERROR`.
///
/// The source is "Adding Auto Discovery to your client library" of the ElastiCache user guide.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfigGetCluster {
    by_key: bool,
}

impl ConfigGetCluster {
    /// The command of servers from 1.4.14 on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same of older servers, which answer it as the value of a key: `get AmazonElastiCache:cluster`. The client's prefix is not
    /// written before that key.
    #[must_use]
    pub fn by_key() -> Self {
        Self { by_key: true }
    }
}

/// The key that older servers have it under.
const KEY: &[u8] = b"AmazonElastiCache:cluster";

impl Command for ConfigGetCluster {
    type Response = Option<ClusterConfig>;

    fn name(&self) -> &'static str {
        "config get cluster"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        if self.by_key {
            out.put(b"get ");
            out.put(KEY);
            out.put(b"\r\n");
            out.keys.push(KEY);
            return Ok(ReplyKind::Value);
        }
        out.put(b"config get cluster\r\n");
        admin::put_fence(protocol, out);
        Ok(ReplyKind::Config)
    }

    fn answer(&self, reply: Reply) -> Result<Option<ClusterConfig>, Error> {
        match reply {
            Reply::Value(_, value) => ClusterConfig::parse(&value.data).map(Some),
            Reply::Miss => Ok(None),
            other => Err(other.into_error()),
        }
    }

    fn repeatable(&self) -> bool {
        true
    }
}

borrow_nothing!(ConfigGetCluster);

/// The nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The number of this list: it grows with each change.
    pub version: u64,
    /// The nodes, in the order of the server.
    pub nodes: Vec<Node>,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Node {
    /// Its name.
    pub host: String,
    /// Its address, if the server says it.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl ClusterConfig {
    /// The longest text that is read, in bytes; a cluster has some 60 nodes, of about 100 bytes each.
    pub const MAX: usize = 256 * 1024;

    /// Reads the number of the list on one line, and on the next one each node as `host|ip|port`, with blanks between them.
    ///
    /// ```
    /// use memcached2_proto::command::ClusterConfig;
    ///
    /// let config = ClusterConfig::parse(b"12\ncache.0001.use1.example|10.0.0.1|11211 cache.0002.use1.example||11211\n")?;
    /// assert_eq!((config.version, config.nodes.len()), (12, 2));
    /// assert_eq!(config.nodes[1].host, "cache.0002.use1.example");
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] for anything else, and for more than [`ClusterConfig::MAX`] bytes.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let is_short = text.len() <= Self::MAX;
        let text = is_short.then(|| std::str::from_utf8(text).ok()).flatten();
        text.and_then(Self::read).ok_or_else(|| Error::protocol("got no list of the nodes of a cluster"))
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split('\n').map(str::trim_end);
        let version = lines.next()?.parse().ok()?;
        let nodes = lines.next()?.split(' ').filter(|node| !node.is_empty()).map(Node::read).collect::<Option<_>>()?;
        lines.all(str::is_empty).then_some(Self { version, nodes })
    }
}

impl Node {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let (host, ip, port) = (parts.next()?, parts.next()?, parts.next()?);
        let ip = if ip.is_empty() { None } else { Some(ip.parse().ok()?) };
        let is_whole = !host.is_empty() && parts.next().is_none();
        is_whole.then_some(Self { host: host.to_owned(), ip, port: port.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nodes_is_read_or_refused_whole() {
        let config = ClusterConfig::parse(b"1\nh.x|10.0.0.1|11211 [x]|fe80::1|1\r\n\r\n").unwrap();
        let node = |host: &str, ip: &str, port| Node { host: host.into(), ip: ip.parse().ok(), port };
        assert_eq!(config.nodes, [node("h.x", "10.0.0.1", 11211), node("[x]", "fe80::1", 1)]);
        assert_eq!(ClusterConfig::parse(b"7\n\n").unwrap(), ClusterConfig { version: 7, nodes: Vec::new() });
        let long = [&b"1\n"[..], &b"a||1 ".repeat(ClusterConfig::MAX / 5 + 1)].concat();
        for wrong in [
            &b""[..],
            b"1",
            b"x\na||1\n",
            b"-1\na||1\n",
            b"1\na|b\n",
            b"1\na||65536\n",
            b"1\na||1|2\n",
            b"1\n||1\n",
            b"1\na|10.0.0|1\n",
            b"1\na||1\nb||1\n",
            b"1\na\xff||1\n",
            &long,
        ] {
            assert!(
                matches!(ClusterConfig::parse(wrong), Err(Error::Protocol { .. })),
                "{}",
                wrong[..wrong.len().min(40)].escape_ascii()
            );
        }
    }
}
