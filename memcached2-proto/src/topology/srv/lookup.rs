//! The lookup of SRV records: which name server is asked next, with which bytes, and until when.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::SrvRecord;
use super::message::{self, Answer};
use crate::time::Instant;

/// Asks name servers for the SRV records of a name: see [`SrvLookup`].
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvQuestion {
    pub(in super::super) name: String,
    /// Those of the system if there are none.
    pub(in super::super) name_servers: Vec<SocketAddr>,
}

/// A lookup under way. A transport asks whom [`next_ask`](Self::next_ask) names, each over a new socket: it sends the
/// [`message`](Self::message), and hands on what [comes](Self::on_received), or why [nothing](Self::on_error) does. When nobody is left
/// to ask, the lookup [ends](Self::finish).
#[doc(hidden)]
#[derive(Debug)]
pub struct SrvLookup {
    question: SrvQuestion,
    id: [u8; 2],
    /// The question, after its length.
    message: Vec<u8>,
    /// How often a name server was asked, each as often as all others.
    asked: usize,
    /// Who is asked now, or was asked last.
    ask: Option<SrvAsk>,
    /// What has come by TCP.
    received: Vec<u8>,
    is_over: bool,
    /// What has been found, or why the last name server has named nothing.
    result: io::Result<Vec<SrvRecord>>,
}

/// Who is asked, and how.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrvAsk {
    /// The name server.
    pub server: SocketAddr,
    /// Whether by TCP instead of UDP.
    pub by_tcp: bool,
    /// When it has taken too long, connecting included.
    pub deadline: Instant,
}

/// The file that names the [name servers](name_servers) of a system (`man 5 resolv.conf`).
#[doc(hidden)]
pub const NAME_SERVERS_FILE: &str = "/etc/resolv.conf";

/// How long a name server may take, and how often all of them are asked: less than the 5 seconds of the resolver of glibc, which
/// does so twice, too.
const WITHIN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 2;
/// The port of name servers.
const PORT: u16 = 53;

impl SrvQuestion {
    /// Whether [`begin`](Self::begin) needs the name servers of the system, since none were given.
    #[must_use]
    pub fn wants_system(&self) -> bool {
        self.name_servers.is_empty()
    }

    /// Begins the lookup. `system` are the name servers of the system, which are asked if none were given. `random` cannot be guessed.
    ///
    /// # Errors
    ///
    /// When the name cannot be asked for.
    pub fn begin(mut self, random: u64, system: Vec<SocketAddr>) -> io::Result<SrvLookup> {
        if self.wants_system() {
            self.name_servers = system;
        }
        let [high, low, ..] = random.to_be_bytes();
        let id = [high, low];
        let question = message::question(&self.name, u16::from_be_bytes(id))?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        Ok(SrvLookup {
            id,
            message: [&length.to_be_bytes()[..], &question].concat(),
            asked: 0,
            ask: None,
            received: Vec::new(),
            is_over: false,
            result: Err(not_found("no name server is known; `ServerSource::name_servers` names some")),
            question: self,
        })
    }
}

impl SrvAsk {
    /// What a socket for UDP is bound to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        let any: IpAddr =
            if self.server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        SocketAddr::new(any, 0)
    }
}

impl SrvLookup {
    /// The longest answer by UDP: none was asked for that is longer.
    pub const DATAGRAM: usize = 512;

    /// Who is to be asked now; nobody if the lookup is over.
    pub fn next_ask(&mut self, now: Instant) -> Option<SrvAsk> {
        let servers = &self.question.name_servers;
        let by_tcp = self.by_tcp();
        if self.is_over || !by_tcp && self.asked == ROUNDS * servers.len() {
            return None;
        }
        let server = match self.ask {
            Some(ask) if by_tcp => ask.server,
            _ => {
                self.asked += 1;
                servers[(self.asked - 1) % servers.len()]
            }
        };
        self.received.clear();
        self.ask = Some(SrvAsk { server, by_tcp, deadline: now + WITHIN });
        self.ask
    }

    fn by_tcp(&self) -> bool {
        self.ask.is_some_and(|ask| ask.by_tcp)
    }

    /// What is sent to the one that is asked: the question, by TCP after its length.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        if self.by_tcp() { &self.message } else { &self.message[2..] }
    }

    /// Takes a datagram, or the next bytes by TCP, of which there are none when the name server has closed the connection. Returns
    /// whether nothing else is waited for from it.
    pub fn on_received(&mut self, bytes: &[u8], now: Instant) -> bool {
        let Some(ask) = &mut self.ask else { return true };
        let answer = if ask.by_tcp {
            self.received.extend_from_slice(bytes);
            match self.received.split_first_chunk() {
                Some((length, answer)) => answer.get(..u16::from_be_bytes(*length).into()),
                None => None,
            }
        } else {
            // Others come late, of earlier questions.
            Some(bytes).filter(|bytes| bytes.starts_with(&self.id))
        };
        let result = match answer.map(|answer| message::answer(answer, self.id, &self.question.name)) {
            Some(Ok(Answer::Records(records))) => {
                self.is_over = true;
                Ok(records)
            }
            Some(Ok(Answer::NoSuchName)) => {
                self.is_over = true;
                Err(not_found(&format!("{} has no SRV records", self.question.name)))
            }
            Some(Ok(Answer::Truncated)) if !ask.by_tcp => {
                // It is asked again: the answer does not fit a datagram.
                ask.by_tcp = true;
                return true;
            }
            Some(Ok(Answer::Truncated)) => Err(not_found("a name server has cut its answer by TCP, too")),
            Some(Err(error)) => Err(error),
            None if ask.by_tcp && bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            None if now >= ask.deadline => Err(io::ErrorKind::TimedOut.into()),
            None => return false,
        };
        ask.by_tcp = false;
        self.result = result;
        true
    }

    /// Takes why the name server cannot be asked, or says nothing: an error of the socket, or [`io::ErrorKind::TimedOut`].
    pub fn on_error(&mut self, error: io::Error) {
        if let Some(ask) = &mut self.ask {
            ask.by_tcp = false;
        }
        self.result = Err(error);
    }

    /// The records.
    ///
    /// # Errors
    ///
    /// When there is no such name, or no name server has answered.
    pub fn finish(self) -> io::Result<Vec<SrvRecord>> {
        self.result
    }
}

#[cold]
fn not_found(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, reason)
}

/// The name servers that the text of a `resolv.conf` names, with their port; the one of this machine if it names none. Each is an
/// address, which may have a zone, such as `fe80::1%eth0`: the operating system knows its number.
#[doc(hidden)]
#[must_use]
pub fn name_servers(text: &str) -> Vec<(String, u16)> {
    let address = |line: &str| {
        // What follows the address is passed over, as by glibc: often that is a comment.
        let host = line.strip_prefix("nameserver")?.split_whitespace().next()?;
        let is_address = match host.split_once('%') {
            Some((ip, _)) => ip.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<IpAddr>().is_ok(),
        };
        is_address.then(|| (host.to_owned(), PORT))
    };
    let named: Vec<_> = text.lines().filter_map(address).collect();
    if named.is_empty() { vec![(Ipv4Addr::LOCALHOST.to_string(), PORT)] } else { named }
}

#[cfg(test)]
mod tests;
