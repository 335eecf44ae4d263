//! SRV records: which servers, where, with which weights (RFC 2782).

mod lookup;
#[cfg(feature = "srv")]
mod message;
#[cfg(not(feature = "srv"))]
#[path = "srv/no_message.rs"]
mod message;

#[cfg(feature = "srv")]
use std::net::IpAddr;

pub use self::lookup::{NAME_SERVERS_FILE, SrvAsk, SrvLookup, SrvQuestion, name_servers};
use crate::error::Error;

/// One server, as a name server lists it under the name of a service.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvRecord {
    /// The host, without a dot at its end.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// The servers of the lowest number are used, and no other.
    pub priority: u16,
    /// How many keys it should have, compared with the others.
    pub weight: u16,
}

/// The servers of the lowest priority, as servers are written, in an order of their own.
pub(super) fn servers(records: &[SrvRecord], scheme: &str) -> Result<Option<Vec<String>>, Error> {
    let lowest = records.iter().map(|record| record.priority).min();
    let mut used: Vec<_> = records.iter().filter(|record| Some(record.priority) == lowest).collect();
    // The order of an answer says nothing, and must not move keys.
    used.sort_unstable();
    used.dedup_by_key(|record| (&record.target, record.port));
    // A lone dot is a service that is not there.
    used.retain(|record| !record.target.is_empty());
    if let Some(wrong) = used.iter().find(|record| !is_host(&record.target)) {
        return Err(Error::protocol(format!("an SRV record names {:?}, which is no host", wrong.target)));
    }
    let weights = weights(&used.iter().map(|record| record.weight).collect::<Vec<_>>());
    let text = |(record, weight): (&&SrvRecord, u32)| {
        let weight = if weight == 1 { String::new() } else { format!("?weight={weight}") };
        format!("{scheme}://{}:{}{weight}", record.target, record.port)
    };
    Ok((!used.is_empty()).then(|| used.iter().zip(weights).map(text).collect()))
}

/// The weights of servers, 1 to 1000, in the same proportion; 0, "a very small chance" (RFC 2782), is 1.
fn weights(records: &[u16]) -> Vec<u32> {
    /// The largest weight of a [`Server`](crate::Server).
    const MOST: u32 = 1000;
    let all: Vec<u32> = records.iter().map(|weight| u32::from(*weight).max(1)).collect();
    let divisor = all.iter().copied().reduce(common_divisor).unwrap_or(1);
    let most = all.iter().max().map_or(1, |most| most / divisor);
    let fit = |weight: &u32| {
        let weight = weight / divisor;
        if most > MOST { (weight * MOST / most).max(1) } else { weight }
    };
    all.iter().map(fit).collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Whether a name can be asked for.
#[cfg(feature = "srv")]
pub(super) fn is_name(name: &str) -> bool {
    is_host(name) && name.parse::<IpAddr>().is_err() && message::question(name, 0).is_ok()
}

/// Whether a name consists of what names of hosts and services consist of.
fn is_host(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, port: u16, priority: u16, weight: u16) -> SrvRecord {
        SrvRecord { target: target.to_owned(), port, priority, weight }
    }

    #[test]
    fn the_servers_of_the_lowest_priority_are_used_with_their_weights() {
        let records = [
            record("b.example", 11211, 10, 60),
            record("a.example", 11212, 10, 20),
            record("backup.example", 11211, 20, 60),
            record("a.example", 11212, 10, 20),
            record("c.example", 11211, 10, 0),
        ];
        let expected = |weights: [&str; 3]| {
            let of = |at: usize, host: &str| format!("memcached://{host}{}", weights[at]);
            Ok(Some(vec![of(0, "a.example:11212"), of(1, "b.example:11211"), of(2, "c.example:11211")]))
        };
        assert_eq!(servers(&records, "memcached"), expected(["?weight=20", "?weight=60", ""]));
        assert_eq!(servers(&records[..2], "memcacheds").unwrap().unwrap()[1], "memcacheds://b.example:11211?weight=3");
        assert_eq!(servers(&[], "memcached"), Ok(None));
        assert_eq!(servers(&[record("", 0, 0, 0)], "memcached"), Ok(None));
        for wrong in ["a?weight=9", "a b", "a/b", "user@a", "\u{e9}"] {
            let error = servers(&[record(wrong, 1, 0, 0)], "memcached");
            assert!(matches!(error, Err(Error::Protocol { .. })), "{wrong}");
        }
        for text in servers(&records, "memcached").unwrap().unwrap() {
            assert!(text.parse::<crate::Server>().is_ok(), "{text}");
        }
    }

    #[test]
    fn weights_keep_their_proportion_and_fit_a_server() {
        for (records, expected) in [
            (&[0, 0][..], &[1, 1][..]),
            (&[5, 5, 5], &[1, 1, 1]),
            (&[100, 50, 0], &[100, 50, 1]),
            (&[60, 20], &[3, 1]),
            (&[65535, 1], &[1000, 1]),
            (&[65535, 32768], &[1000, 500]),
            (&[], &[]),
        ] {
            assert_eq!(weights(records), expected);
        }
    }
}
