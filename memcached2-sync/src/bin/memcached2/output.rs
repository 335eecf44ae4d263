//! What is printed, and how the program ends.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value as Json};

/// How a command has ended, if not by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// All was there.
    Done,
    /// A key is missing, or a server is down.
    Missing,
    /// Something has failed, and the rest was done.
    Failed,
}

impl Outcome {
    /// That of both: the worse one.
    pub(crate) fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Why a command could not end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever reads the output has closed it.
    ClosedPipe,
    Because(String),
}

impl Failure {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self::Because(reason.into())
    }
}

/// Of the output: all other files are named in their errors.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Because(format!("cannot write to the standard output: {error}")),
        }
    }
}

/// Prints a message on the standard error. That it may be closed is no reason to stop.
pub(crate) fn complain(message: &str) {
    drop(writeln!(io::stderr(), "memcached2: {}", printable(message)));
}

/// The standard output, in text or JSON.
#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<StdoutLock<'static>>,
    pub(crate) is_json: bool,
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        let stdout = io::stdout().lock();
        Self { is_terminal: stdout.is_terminal(), to: BufWriter::new(stdout), is_json }
    }

    /// An object in a line of its own.
    pub(crate) fn json(&mut self, fields: impl IntoIterator<Item = (impl Into<String>, Json)>) -> io::Result<()> {
        let object: Map<String, Json> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let mut line = Json::Object(object).to_string();
        // JSON may hold these control characters as they are. They stand in its strings alone.
        if line.contains(char::is_control) {
            let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
            line = line.chars().map(escaped).collect();
        }
        writeln!(self.to, "{line}")
    }

    /// A line of text, which may hold what a server has said.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{}", printable(line))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// A key in a line of its own: as it is, unless a terminal would obey it.
    pub(crate) fn key(&mut self, key: &[u8]) -> io::Result<()> {
        self.to.write_all(&key_line(key, self.is_terminal))?;
        self.to.write_all(b"\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Empties the screen, if there is one; else an empty line separates what comes.
    pub(crate) fn clear(&mut self, is_first: bool) -> io::Result<()> {
        match (self.is_terminal, is_first) {
            (true, _) => self.bytes(b"\x1b[H\x1b[2J"),
            (false, true) => Ok(()),
            (false, false) => self.bytes(b"\n"),
        }
    }
}

/// Bytes as a field of a JSON object: `name` if they are text, else `name_base64`.
pub(crate) fn bytes_field(name: &str, bytes: &[u8]) -> (String, Json) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => (format!("{name}_base64"), BASE64_STANDARD.encode(bytes).into()),
    }
}

/// A text with escapes for control characters but tabs and line ends: a terminal would obey those that a server has sent.
fn printable(text: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| c.is_control() && !matches!(c, '\t' | '\n');
    if !text.contains(is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_escaped(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown.into()
}

/// What a server has said, in a line, and a key: bytes that do not print, and what separates columns, are escaped.
pub(crate) fn shown(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(|c: char| c.is_control() || c == '\\') => text.to_owned(),
        _ => key.escape_ascii().to_string(),
    }
}

/// A key as another program reads it; on a terminal as it is shown elsewhere.
fn key_line(key: &[u8], is_terminal: bool) -> Cow<'_, [u8]> {
    if is_terminal { shown(key).into_bytes().into() } else { key.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_key() {
        for (key, on_terminal) in [
            (&b"page:1"[..], "page:1"),
            (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
            ("\u{9b}2J".as_bytes(), r"\xc2\x9b2J"),
            ("k\u{e4}se".as_bytes(), "k\u{e4}se"),
        ] {
            assert_eq!(key_line(key, true), on_terminal.as_bytes());
            assert_eq!(key_line(key, false), key);
        }
    }
}
