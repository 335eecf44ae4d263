//! The way from a request line to its command.

use super::Core;
use super::dump::dump;
use super::meta;
use super::slabs::size;
use super::stats::stats;
use super::store::{Incoming, Mode, Moment, Outcome};
use super::syntax::Line;
use super::text;
use super::watch::{Kind, encoded, kinds};

pub(super) const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format";

/// Keeps the item of an unsent answer from being changed in its place.
pub(super) type Pin = std::sync::Arc<()>;

/// An answer that is not sent yet; empty when silence was asked for.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) pins: Vec<Pin>,
    /// It is sent at once, with what waits before it.
    pub(super) urgent: bool,
    /// What waits before it is never sent.
    pub(super) alone: bool,
}

impl Answer {
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn line(text: &str) -> Self {
        Self::bytes([text.as_bytes(), b"\r\n"].concat())
    }

    pub(super) fn line_unless(noreply: bool, text: &str) -> Self {
        if noreply { Self::default() } else { Self::line(text) }
    }
}

/// What a request line leads to.
#[derive(Debug)]
pub(super) enum Next {
    Answer(Answer),
    /// A data block has to come first.
    Block(Upload),
    /// This many bytes are read and discarded, then comes the answer.
    Swallow(usize, Answer),
    /// The connection becomes another one, unless an answer waits.
    Takeover(Takeover),
    /// The connection is closed after the answers.
    Quit,
    /// The connection is closed and the answers are lost.
    Close,
}

/// What takes a connection over.
#[derive(Debug)]
pub(super) enum Takeover {
    /// A dump, of items or of keys alone.
    Dump(bool, Vec<u8>),
    /// A watcher of these kinds.
    Watch(u8),
}

impl From<Answer> for Next {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// An item whose value is still to come.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) mode: Mode,
    pub(super) item: Incoming,
    /// The length of the value, without its CRLF.
    pub(super) length: usize,
    pub(super) reply: UploadReply,
}

/// How a storage command is answered.
#[derive(Debug)]
pub(super) enum UploadReply {
    Text { noreply: bool },
    Meta { quiet: bool, parts: Vec<meta::Part> },
}

impl Core {
    /// Does what a request line asks for.
    pub(super) fn execute(&mut self, line: &[u8], now: Moment) -> Next {
        let line = Line::split(line);
        let count = line.words.len();
        let Some(command) = line.words.first().filter(|command| command.len() >= 2) else {
            return Answer::line("ERROR").into();
        };
        let answer = match *command {
            b"mn" => Answer { urgent: true, ..Answer::line("MN") },
            b"mg" => meta::get(self, &line, now),
            b"ms" => return meta::set(self, &line, now),
            b"md" => meta::delete(self, &line, now),
            b"ma" => meta::arithmetic(self, &line, now),
            b"me" => meta::debug(self, &line, now),
            b"get" | b"bget" if count >= 2 => text::get(self, &line, false, now),
            b"gets" if count >= 2 => text::get(self, &line, true, now),
            b"gat" if count >= 2 => text::gat(self, &line, false, now),
            b"gats" if count >= 2 => text::gat(self, &line, true, now),
            b"set" if matches!(count, 5 | 6) => return text::store(self, &line, Mode::Set, now),
            b"add" if matches!(count, 5 | 6) => return text::store(self, &line, Mode::Add, now),
            b"replace" if matches!(count, 5 | 6) => return text::store(self, &line, Mode::Replace, now),
            b"append" if matches!(count, 5 | 6) => return text::store(self, &line, Mode::Append, now),
            b"prepend" if matches!(count, 5 | 6) => return text::store(self, &line, Mode::Prepend, now),
            b"cas" if matches!(count, 6 | 7) => return text::store(self, &line, Mode::Cas, now),
            b"delete" if matches!(count, 2..=4) => text::delete(self, &line, now),
            b"incr" if matches!(count, 3 | 4) => text::count(self, &line, true, now),
            b"decr" if matches!(count, 3 | 4) => text::count(self, &line, false, now),
            b"touch" if matches!(count, 3 | 4) => text::touch(self, &line, now),
            b"flush_all" if matches!(count, 1..=3) => text::flush_all(self, &line, now),
            b"version" => Answer::line(&format!("VERSION {}", self.config.version)),
            b"verbosity" if matches!(count, 2 | 3) => self.verbosity(&line),
            b"cache_memlimit" if matches!(count, 2 | 3) => self.cache_memlimit(&line),
            b"slabs" => self.slabs(&line),
            b"lru" if count >= 2 => self.lru(&line),
            b"lru_crawler" if count == 3 && line.words[1] == b"metadump" => {
                return dump(self, true, line.words[2], now);
            }
            b"lru_crawler" if count == 3 && line.words[1] == b"mgdump" && self.version() >= (1, 6, 19) => {
                return dump(self, false, line.words[2], now);
            }
            b"watch" => match kinds(&line.words[1..], self.version() >= (1, 6, 20)) {
                Ok(kinds) => return Next::Takeover(Takeover::Watch(kinds)),
                Err(answer) => answer,
            },
            b"lru_crawler" => self.lru_crawler(&line, now),
            b"extstore" => self.extstore(&line),
            b"refresh_certs" => {
                let answer = if self.config.has_tls { "OK" } else { "Error TLS not enabled" };
                Answer::line_unless(line.noreply(), answer)
            }
            b"quit" => return Next::Quit,
            b"stats" => stats(self, &line, now),
            b"shutdown" if !self.config.allows_shutdown && self.is_since((1, 6, 40)) => {
                Answer::line("SERVER_ERROR: shutdown not enabled")
            }
            b"shutdown" if !self.config.allows_shutdown => Answer::line("ERROR: shutdown not enabled"),
            b"shutdown" if count == 1 || (count == 2 && line.words[1] == b"graceful") => {
                self.is_shut_down = true;
                return Next::Close;
            }
            b"shutdown" => Answer::line("CLIENT_ERROR invalid shutdown mode"),
            _ if is_http(command, &line) => return Next::Close,
            _ => Answer::line("ERROR"),
        };
        answer.into()
    }

    /// Stores the value of an upload; it comes with the two bytes that should be a CRLF.
    pub(super) fn complete(&mut self, upload: Upload, mut block: Vec<u8>, now: Moment) -> Answer {
        let Upload { mode, mut item, length, reply } = upload;
        let class = self.store.classes.of(size(&item.key, item.flags, length));
        self.store.counts.class(class).set_cmds += 1;
        if !block.ends_with(b"\r\n") {
            let silent = matches!(reply, UploadReply::Text { noreply: true });
            return Answer::line_unless(silent, "CLIENT_ERROR bad data chunk");
        }
        block.truncate(length);
        item.value = block;
        let (key, binary) = (item.key.clone(), item.binary);
        let ttl = if item.exptime == 0 { 0 } else { item.exptime.saturating_sub(now) };
        let outcome = self.store.put(mode, item, now);
        self.store.log.add(Kind::Mutation, |connection| {
            let status = match outcome {
                Outcome::Stored(_) => "stored",
                Outcome::NotStored => "not_stored",
                Outcome::Exists => "exists",
                Outcome::NotFound => "not_found",
            };
            let (key, command) = (encoded(&key), mode.word());
            format!(
                "type=item_store key={key} status={status} cmd={command} ttl={ttl} clsid={class} cfd={connection} size={length}"
            )
        });
        match reply {
            UploadReply::Text { noreply } => Answer::line_unless(
                noreply,
                match outcome {
                    Outcome::Stored(_) => "STORED",
                    Outcome::NotStored => "NOT_STORED",
                    Outcome::Exists => "EXISTS",
                    Outcome::NotFound => "NOT_FOUND",
                },
            ),
            UploadReply::Meta { quiet, parts } => {
                let item = self.store.item(&key).filter(|_| matches!(outcome, Outcome::Stored(_)));
                let size = item.map_or(length, |item| item.value.len());
                meta::stored(&outcome, quiet, &parts, (&key, binary), size)
            }
        }
    }
}

/// Browsers that are lured here get no answer.
fn is_http(command: &[u8], line: &Line<'_>) -> bool {
    let looked_up_elsewhere = matches!(command[0], b'g' | b's' | b'a' | b'c' | b'i' | b'd' | b't')
        || (command.len() == 2 && command[0] == b'm')
        || matches!(command, b"replace" | b"prepend" | b"bget" | b"flush_all" | b"verbosity" | b"lru" | b"lru_crawler");
    !looked_up_elsewhere && line.words.last().is_some_and(|word| word.starts_with(b"HTTP/"))
}
