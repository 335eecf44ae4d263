//! SRV records: which servers, where, with which weights (RFC 2782).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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

/// Asks name servers for the SRV records of a name. A transport does the I/O, in [`SrvQuestion::look_up`].
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvQuestion {
    pub(super) name: String,
    /// Those of the system if there are none.
    pub(super) name_servers: Vec<SocketAddr>,
}

/// One message to a name server.
#[doc(hidden)]
#[derive(Debug)]
pub struct SrvAsk<'a> {
    /// The name server.
    pub server: SocketAddr,
    /// Whether by TCP, where a message has its length in two bytes before it.
    pub by_tcp: bool,
    /// The question.
    pub message: &'a [u8],
    /// How long the answer may take.
    pub within: Duration,
    /// The first two bytes of the answer; what begins with others is none.
    pub id: [u8; 2],
}

/// How long a name server may take, and how often all of them are asked: less than the 5 seconds of the resolver of glibc, which
/// does so twice, too.
const WITHIN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 2;
/// The port of name servers.
const PORT: u16 = 53;

impl SrvQuestion {
    /// Looks the records up. `system` returns the text of `/etc/resolv.conf`, which names the name servers, and is called if none
    /// were given. `ask` sends a message and returns the answer. `id` should be random.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if there is no such name, or no name server has answered.
    pub fn look_up(
        &self,
        id: u16,
        system: impl FnOnce() -> std::io::Result<String>,
        mut ask: impl FnMut(&SrvAsk<'_>) -> std::io::Result<Vec<u8>>,
    ) -> std::io::Result<Vec<SrvRecord>> {
        let servers = match &self.name_servers[..] {
            [] => name_servers(&system()?),
            given => given.to_vec(),
        };
        let question = message::question(&self.name, id)?;
        let mut last = not_found("no name server is known; `ServerSource::name_servers` names some");
        for server in servers.iter().copied().cycle().take(ROUNDS * servers.len()) {
            let mut ask = |by_tcp| {
                let id = id.to_be_bytes();
                let answer = ask(&SrvAsk { server, by_tcp, message: &question, within: WITHIN, id })?;
                message::answer(&answer, id, &self.name)
            };
            let answer = match ask(false) {
                // The answer does not fit a datagram.
                Ok(message::Answer::Truncated) => ask(true),
                answer => answer,
            };
            match answer {
                Ok(message::Answer::Records(records)) => return Ok(records),
                Ok(message::Answer::NoSuchName) => {
                    return Err(not_found(&format!("{} has no SRV records", self.name)));
                }
                Ok(message::Answer::Truncated) => last = not_found("a name server has cut its answer by TCP, too"),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cold]
fn not_found(reason: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotFound, reason)
}

/// The name servers that the text of a `resolv.conf` names (`man 5 resolv.conf`); the one of this machine if it names none.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        // What follows the address is passed over, as by glibc: often that is a comment.
        let ip = line.strip_prefix("nameserver")?.split_whitespace().next()?;
        ip.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT))
    };
    let named: Vec<_> = text.lines().filter_map(address).collect();
    if named.is_empty() { vec![SocketAddr::new([127, 0, 0, 1].into(), PORT)] } else { named }
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

/// The messages of DNS.
#[cfg(feature = "srv")]
mod message {
    use std::io;

    use simple_dns::header_buffer::has_flags;
    use simple_dns::rdata::RData;
    use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

    use super::SrvRecord;

    /// What a name server has answered.
    pub(super) enum Answer {
        Records(Vec<SrvRecord>),
        NoSuchName,
        /// It does not fit.
        Truncated,
    }

    const OTHER: &str = "the answer of a name server to another question";

    fn wrong(error: simple_dns::SimpleDnsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    pub(super) fn question(name: &str, id: u16) -> io::Result<Vec<u8>> {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).map_err(wrong)?;
        packet.questions.push(Question::new(name, TYPE::SRV.into(), CLASS::IN.into(), false));
        packet.build_bytes_vec().map_err(wrong)
    }

    pub(super) fn answer(bytes: &[u8], id: [u8; 2], name: &str) -> io::Result<Answer> {
        let is_cut = has_flags(bytes, PacketFlag::TRUNCATION).map_err(wrong)?;
        if !bytes.starts_with(&id) || !has_flags(bytes, PacketFlag::RESPONSE).map_err(wrong)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, OTHER));
        }
        if is_cut {
            // Perhaps within a record.
            return Ok(Answer::Truncated);
        }
        let packet = Packet::parse(bytes).map_err(wrong)?;
        // As the answer has it: without the dot that a name may end with.
        let name = Name::new(name).map_err(wrong)?.to_string();
        if !packet.questions.iter().all(|question| question.qname.to_string().eq_ignore_ascii_case(&name)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, OTHER));
        }
        match packet.rcode() {
            RCODE::NoError => {}
            RCODE::NameError => return Ok(Answer::NoSuchName),
            code => return Err(io::Error::other(format!("a name server has refused: {code:?}"))),
        }
        let record = |data: &RData<'_>| match data {
            RData::SRV(srv) => Some(SrvRecord {
                target: srv.target.to_string().trim_end_matches('.').to_owned(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        };
        // Of another name there can be records if the name is an alias.
        let records: Vec<_> = packet.answers.iter().filter_map(|answer| record(&answer.rdata)).collect();
        Ok(if records.is_empty() { Answer::NoSuchName } else { Answer::Records(records) })
    }
}

/// Without the feature nothing asks.
#[cfg(not(feature = "srv"))]
mod message {
    use std::io;

    #[allow(dead_code, reason = "with the feature `srv`")]
    pub(super) enum Answer {
        Records(Vec<super::SrvRecord>),
        NoSuchName,
        Truncated,
    }

    pub(super) fn question(_: &str, _: u16) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "SRV records need the feature `srv`"))
    }

    pub(super) fn answer(_: &[u8], _: [u8; 2], _: &str) -> io::Result<Answer> {
        Ok(Answer::NoSuchName)
    }
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

    #[test]
    fn the_name_servers_of_the_system_are_those_of_its_file() {
        let text = "# comment\nsearch example\nnameserver 10.0.0.53\nnameserver\t::1 # ours\nnameserver nonsense\noptions ndots:5\n";
        assert_eq!(name_servers(text), ["10.0.0.53:53", "[::1]:53"].map(|text| text.parse().unwrap()));
        assert_eq!(name_servers(""), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[cfg(feature = "srv")]
    mod asking {
        use std::io;

        use simple_dns::rdata::{RData, SRV};
        use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

        use super::*;

        const NAME: &str = "_memcached._tcp.cache.example";

        /// An answer with this many records.
        fn answer(question: &[u8], records: u16, change: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
            let mut packet = Packet::parse(question).unwrap().into_reply();
            let target = |at| Name::new(["a.example", "b.example", "c.example"][usize::from(at)]).unwrap();
            for at in 0..records {
                let srv = SRV { priority: 1, weight: at, port: 11211 + at, target: target(at) };
                packet.answers.push(ResourceRecord::new(Name::new(NAME).unwrap(), CLASS::IN, 60, RData::SRV(srv)));
            }
            change(&mut packet);
            packet.build_bytes_vec_compressed().unwrap()
        }

        fn question(servers: &[&str]) -> SrvQuestion {
            let name_servers = servers.iter().map(|server| server.parse().unwrap()).collect();
            SrvQuestion { name: NAME.to_owned(), name_servers }
        }

        fn no_file() -> io::Result<String> {
            panic!("the name servers were given")
        }

        #[test]
        fn a_name_server_that_fails_is_followed_by_the_next_one() {
            let mut asked = Vec::new();
            let found = question(&["10.0.0.1:53", "10.0.0.2:53"]).look_up(7, no_file, |ask| {
                asked.push((ask.server.to_string(), ask.by_tcp, ask.id));
                match asked.len() {
                    1 => Err(io::ErrorKind::TimedOut.into()),
                    2 => Ok(answer(ask.message, 0, |packet| *packet.rcode_mut() = RCODE::ServerFailure)),
                    3 => Ok(answer(ask.message, 2, |packet| packet.set_id(8))),
                    4 => Ok(answer(ask.message, 0, |packet| packet.set_flags(PacketFlag::TRUNCATION))),
                    _ => Ok(answer(ask.message, 3, |_| {})),
                }
            });
            let found = found.unwrap();
            assert_eq!((found.len(), &found[2]), (3, &record("c.example", 11213, 1, 2)));
            let of = |server: &str, by_tcp| (format!("10.0.0.{server}:53"), by_tcp, [0, 7]);
            assert_eq!(asked, [of("1", false), of("2", false), of("1", false), of("2", false), of("2", true)]);
        }

        #[test]
        fn a_name_without_records_is_not_asked_for_again() {
            let no_such_name = |packet: &mut Packet<'_>| *packet.rcode_mut() = RCODE::NameError;
            let nothing = |_: &mut Packet<'_>| {};
            for change in [no_such_name as fn(&mut Packet<'_>), nothing] {
                let mut asked = 0;
                let error = question(&["10.0.0.1:53", "10.0.0.2:53"]).look_up(7, no_file, |ask| {
                    asked += 1;
                    Ok(answer(ask.message, 0, change))
                });
                let error = error.unwrap_err();
                assert_eq!((error.kind(), asked), (io::ErrorKind::NotFound, 1));
                assert!(error.to_string().contains(NAME), "{error}");
            }
        }

        #[test]
        fn a_name_may_end_with_a_dot() {
            let mut question = question(&["10.0.0.1:53"]);
            question.name.push('.');
            let found = question.look_up(7, no_file, |ask| Ok(answer(ask.message, 2, |_| {}))).unwrap();
            assert_eq!(found.len(), 2);
            let source = crate::topology::ServerSource::srv(&format!("{NAME}.")).unwrap();
            assert!(
                matches!(source.question(), crate::topology::Question::Records(asked) if asked.name == question.name)
            );
        }

        #[test]
        fn nonsense_is_no_answer() {
            for nonsense in [vec![], vec![0, 7], vec![0xff; 100]] {
                let mut asked = 0;
                let error = question(&["10.0.0.1:53"]).look_up(7, no_file, |_| {
                    asked += 1;
                    Ok(nonsense.clone())
                });
                assert_eq!((error.unwrap_err().kind(), asked), (io::ErrorKind::InvalidData, ROUNDS));
            }
        }
    }
}
