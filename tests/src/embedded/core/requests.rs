//! What was asked of a server.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::syntax::from_base64;

/// How many requests are kept.
const KEPT: usize = 10_000;

/// Is a request that an [`EmbeddedServer`](crate::EmbeddedServer) has read: a command and a key.
///
/// It is written, and equal to, the command, a blank and the key; without a key, the line.
///
/// ```
/// use memcached2_testkit::embedded::Core;
///
/// let mut core = Core::new(1_800_000_000);
/// core.connect().feed(&mut core, b"set a 0 60 1\r\nx\r\nmg b v\r\nflush_all\r\n", 1_800_000_000);
/// let asked = core.asked();
/// assert_eq!(asked, ["set a", "get b", "flush_all"]);
/// assert_eq!((asked[0].command(), asked[0].key(), asked[0].exptime()), ("set", &b"a"[..], Some(60)));
/// assert_eq!(asked[1].line(), b"mg b v");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    command: Cow<'static, str>,
    key: Vec<u8>,
    exptime: Option<i64>,
    /// Shared by the requests of all its keys.
    line: Arc<[u8]>,
}

impl Request {
    /// Returns the classic name of the command, whichever protocol it came in: `get` for `gets`, `bget` and `mg`, `gat` for `gats` and
    /// an `mg` that changes the expiry, `touch` if it wants no value; the mode of an `ms` (`set`, `add`, `cas` and so on);
    /// `delete` for `md`; `incr` or `decr` for `ma`; otherwise its first word.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Returns the key, decoded if it came in base64; empty for a command without one. A `get` of several keys is
    /// several requests.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Returns the exptime as it was sent: `0` is for ever, up to 30 days are seconds from now, what is above is a unix
    /// time. `None` if the request has none.
    #[must_use]
    pub fn exptime(&self) -> Option<i64> {
        self.exptime
    }

    /// Returns the line as it came, without its line end and without a value.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Reads a line: one request for each key, at least one.
    pub(super) fn read(line: &[u8]) -> Vec<Self> {
        let whole: Arc<[u8]> = line.into();
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let number = |index: usize| std::str::from_utf8(word(index)).ok().and_then(|number| number.parse().ok());
        let one = |command: &'static str, key: &[u8], exptime| {
            vec![Self { command: command.into(), key: key.to_vec(), exptime, line: Arc::clone(&whole) }]
        };
        let each = |command: &'static str, keys: usize, exptime: Option<i64>| {
            let keys = words.get(keys..).filter(|keys| !keys.is_empty()).unwrap_or(&[&[]]);
            keys.iter().flat_map(|key| one(command, key, exptime)).collect()
        };
        match word(0) {
            b"get" | b"gets" | b"bget" => each("get", 1, None),
            b"gat" | b"gats" => each("gat", 2, number(1)),
            b"set" => one("set", word(1), number(3)),
            b"add" => one("add", word(1), number(3)),
            b"replace" => one("replace", word(1), number(3)),
            b"append" => one("append", word(1), None),
            b"prepend" => one("prepend", word(1), None),
            b"cas" => one("cas", word(1), number(3)),
            b"touch" => one("touch", word(1), number(2)),
            b"delete" => one("delete", word(1), None),
            b"incr" => one("incr", word(1), None),
            b"decr" => one("decr", word(1), None),
            name @ (b"mg" | b"ms" | b"md" | b"ma" | b"me") => {
                let flags = words.get(if name == b"ms" { 3 } else { 2 }..).unwrap_or_default();
                let flag = |letter: u8| flags.iter().find(|word| word[0] == letter).map(|word| &word[1..]);
                let exptime = flag(b'T').and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                let key = flag(b'b').and_then(|_| from_base64(word(1)));
                one(meta_name(name, &flag), key.as_deref().unwrap_or_else(|| word(1)), exptime)
            }
            name => {
                let command = Cow::Owned(String::from_utf8_lossy(name).into_owned());
                vec![Self { command, key: Vec::new(), exptime: None, line: Arc::clone(&whole) }]
            }
        }
    }

    /// Whether it is what a client asks of its own accord: which protocol the server speaks, whether all was answered.
    ///
    /// Clients of this project ask for the protocol by deleting a key that no program can have.
    fn is_of_the_client(&self) -> bool {
        matches!(&*self.command, "" | "version" | "mn" | "quit") || self.key == b"\0"
    }

    fn text(&self) -> String {
        let key = if self.key.is_empty() { self.line.escape_ascii() } else { self.key.escape_ascii() };
        if self.key.is_empty() { key.to_string() } else { format!("{} {key}", self.command) }
    }
}

/// The classic name of a meta command.
fn meta_name<'a>(name: &[u8], flag: &impl Fn(u8) -> Option<&'a [u8]>) -> &'static str {
    let mode = flag(b'M').and_then(|mode| mode.first());
    match (name, mode) {
        (b"mg", _) if flag(b'T').is_none() => "get",
        (b"mg", _) if flag(b'v').is_none() => "touch",
        (b"mg", _) => "gat",
        (b"md", _) => "delete",
        (b"me", _) => "me",
        (b"ma", Some(b'D' | b'd' | b'-')) => "decr",
        (b"ma", _) => "incr",
        (_, Some(b'E' | b'e')) => "add",
        (_, Some(b'A' | b'a')) => "append",
        (_, Some(b'P' | b'p')) => "prepend",
        _ if flag(b'C').is_some() => "cas",
        (_, Some(b'R' | b'r')) => "replace",
        _ => "set",
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), formatter)
    }
}

impl PartialEq<str> for Request {
    fn eq(&self, text: &str) -> bool {
        self.text() == text
    }
}

impl PartialEq<&str> for Request {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

/// The last requests of all connections, in the order in which they came.
#[derive(Debug, Default)]
pub(in crate::embedded) struct RequestLog(VecDeque<Request>);

impl RequestLog {
    /// Keeps the requests of a line, and returns whether they are of the program rather than of its client.
    pub(super) fn add(&mut self, requests: Vec<Request>) -> bool {
        let is_asked = requests.first().is_some_and(|request| !request.is_of_the_client());
        if is_asked {
            self.0.extend(requests);
            self.0.drain(..self.0.len().saturating_sub(KEPT));
        }
        is_asked
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.0.iter()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn the_keys_of_a_get_share_its_line() {
        let read = Request::read(b"get a b");
        assert!(std::ptr::eq(read[0].line(), read[1].line()));
    }

    #[test]
    fn a_line_of_either_protocol_is_read_as_the_classic_command() {
        for (line, requests, exptime) in [
            ("get a", &["get a"][..], None),
            ("gets a  b", &["get a", "get b"], None),
            ("gat 60 a b", &["gat a", "gat b"], Some(60)),
            ("gats 0 a", &["gat a"], Some(0)),
            ("bget a b", &["get a", "get b"], None),
            ("get", &["get"], None),
            ("set a 7 -1 3", &["set a"], Some(-1)),
            ("cas a 0 10 3 99 noreply", &["cas a"], Some(10)),
            ("append a 0 10 3", &["append a"], None),
            ("prepend a 0 0 3", &["prepend a"], None),
            ("add a 0 1 3", &["add a"], Some(1)),
            ("replace a 0 1 3", &["replace a"], Some(1)),
            ("touch a 5", &["touch a"], Some(5)),
            ("delete a noreply", &["delete a"], None),
            ("incr a 5", &["incr a"], None),
            ("decr a 5", &["decr a"], None),
            ("mg a v k q", &["get a"], None),
            ("mg a v T60", &["gat a"], Some(60)),
            ("mg a T60", &["touch a"], Some(60)),
            ("mg YSBi b v", &["get a b"], None),
            ("ms a 3 T5 F1", &["set a"], Some(5)),
            ("ms a 3 ME", &["add a"], None),
            ("ms a 3 MA", &["append a"], None),
            ("ms a 3 MP N0", &["prepend a"], None),
            ("ms a 3 MR", &["replace a"], None),
            ("ms a 3 MS C5", &["cas a"], None),
            ("md a q", &["delete a"], None),
            ("ma a D2", &["incr a"], None),
            ("ma a MD D2", &["decr a"], None),
            ("me a", &["me a"], None),
            ("me YSBi b", &["me a b"], None),
            ("flush_all 10", &["flush_all 10"], None),
            ("stats items", &["stats items"], None),
        ] {
            let read = Request::read(line.as_bytes());
            assert_eq!(read, requests, "{line}");
            let sent: Vec<_> = read.iter().map(|request| (request.exptime(), request.line())).collect();
            assert_eq!(sent, vec![(exptime, line.as_bytes()); requests.len()], "{line}");
        }
    }
}
