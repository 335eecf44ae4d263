//! A server with two items, and a connection to it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use memcached2_proto::command::Command;
use memcached2_proto::connection::ConnectionOptions;
use memcached2_proto::{Connection, Error, Instant, Now, Protocol, Reply};
use memcached2_testkit::EmbeddedServer;
use memcached2_testkit::embedded::{Core, Session};
use percent_encoding::percent_decode_str;

use super::inputs::is_key;
use super::wire::{Sent, requests};

const START: u64 = 1_800_000_000;

/// Keys, and the flags and values of their items.
pub(crate) type Items = BTreeMap<Vec<u8>, (u32, Vec<u8>)>;

/// An item that nobody asks for.
pub(crate) const WITNESS: &[u8] = b"~witness~";

pub(crate) fn now() -> Now {
    Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(START))
}

pub(crate) fn core() -> Core {
    EmbeddedServer::with().version("1.6.45").core(START)
}

pub(crate) struct World {
    core: Core,
    session: Session,
    pub(crate) connection: Connection,
}

impl World {
    /// With an item of this key, if there can be one: the number 5 with the flags 9.
    pub(crate) fn new(protocol: Protocol, prefix: &[u8], key: &[u8]) -> Self {
        let mut options = ConnectionOptions::default();
        options.prefix = (!prefix.is_empty()).then(|| prefix.into());
        options.protocol = Some(protocol);
        let mut core = core();
        let session = core.connect();
        let mut world = Self { core, session, connection: Connection::with_options(&options) };
        let item = meta("ms", key, " 1 F9\r\n5\r\n").unwrap_or_default();
        world.say(&[b"ms ", WITNESS, b" 9 F7\r\nuntouched\r\n", &item].concat());
        world
    }

    /// What the server answers on a connection of its own.
    fn say(&mut self, request: &[u8]) -> Vec<u8> {
        let mut session = self.core.connect();
        session.feed(&mut self.core, request, START);
        let answer = std::iter::from_fn(|| session.take_outgoing()).flatten().collect();
        session.close(&mut self.core);
        answer
    }

    /// All that the server has.
    pub(crate) fn items(&mut self) -> Items {
        let dump = self.say(b"lru_crawler metadump hash\r\n");
        let dump = String::from_utf8(dump).expect("text");
        let keys = dump.lines().filter_map(|line| line.strip_prefix("key=")?.split(' ').next());
        keys.map(|key| self.item(percent_decode_str(key).collect())).collect()
    }

    fn item(&mut self, key: Vec<u8>) -> (Vec<u8>, (u32, Vec<u8>)) {
        let answer = self.say(&meta("mg", &key, " f v\r\n").expect("the key of an item"));
        let end = answer.iter().position(|byte| *byte == b'\n').expect("a line");
        let head = std::str::from_utf8(&answer[..end]).expect("text");
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        let flags = words.iter().find_map(|word| word.strip_prefix('f')).and_then(|flags| flags.parse().ok());
        let value = answer[end + 1..].strip_suffix(b"\r\n").expect("a value ends with CR LF");
        (key, (flags.expect("flags"), value.to_vec()))
    }

    /// What a command sends, if it is not refused: nothing is written then.
    pub(crate) fn submit<C: Command>(&mut self, command: &C) -> Result<Vec<u8>, Error> {
        let submitted = self.connection.submit(command, now(), 0);
        let bytes: Vec<u8> = std::iter::from_fn(|| self.connection.take_outgoing()).flatten().collect();
        match submitted {
            Ok(_) => Ok(bytes),
            Err(error) => {
                assert!(bytes.is_empty(), "refused, and {:?} is written", bytes.escape_ascii().to_string());
                Err(error)
            }
        }
    }

    /// Lets the server read these bytes, and the client its replies: those to the request, and no further ones.
    pub(crate) fn serve(&mut self, bytes: &[u8]) -> Result<Vec<Reply>, Error> {
        self.session.feed(&mut self.core, bytes, START);
        let (mut replies, mut ends) = (Vec::new(), 0);
        while let Some(answer) = self.session.take_outgoing() {
            self.connection.feed(&answer, |_, reply, is_last| {
                replies.push(reply);
                ends += u32::from(is_last);
            })?;
        }
        assert!(
            !self.session.is_closed(),
            "the server has closed the connection after {:?}",
            bytes.escape_ascii().to_string()
        );
        assert_eq!(
            (ends, self.connection.is_idle()),
            (1, true),
            "{:?} is not answered once: {replies:?}",
            bytes.escape_ascii().to_string()
        );
        Ok(replies)
    }
}

/// A meta command with a key of any bytes, unless it is too long.
fn meta(name: &str, key: &[u8], rest: &str) -> Option<Vec<u8>> {
    let base64 = BASE64_STANDARD.encode(key);
    let (key, rest) = match is_key(key) {
        true => (key, rest.to_owned()),
        false => (base64.as_bytes(), rest.replacen("\r\n", " b\r\n", 1)),
    };
    is_key(key).then(|| [name.as_bytes(), b" ", key, rest.as_bytes()].concat())
}

/// The requests of a command without their fences.
pub(crate) fn without_fences(bytes: &[u8]) -> Vec<Sent> {
    let mut requests = requests(bytes);
    requests.retain(|sent| !sent.is_fence());
    requests
}
