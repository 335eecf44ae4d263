use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::scripted::Session;

/// One conversation between a client and a server, read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The text after the `#` that begins the block.
    pub title: String,
    /// What was said, in order; at least one turn.
    pub turns: Vec<Turn>,
}

/// One exchange: the client speaks, the server answers, results are expected.
///
/// Every part may be empty: a server may speak unasked, and a client may refuse
/// before it sends anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// The bytes of the `C:` lines.
    pub client: Vec<u8>,
    /// The bytes of the `S:` lines.
    pub server: Vec<u8>,
    /// Whether the server ends the stream after its bytes.
    pub ends: bool,
    /// The texts of the `R:` lines, verbatim.
    pub results: Vec<String>,
}

impl Transcript {
    /// Makes the script of a server which plays its side of the conversation.
    ///
    /// # Panics
    ///
    /// When a turn follows the end of the stream: a session is one connection.
    #[must_use]
    #[track_caller]
    pub fn session(&self) -> Session {
        let mut session = Session::new();
        let mut ended = false;
        for turn in &self.turns {
            assert!(
                !ended || (turn.client.is_empty() && turn.server.is_empty() && !turn.ends),
                "the transcript {:?} goes on after the end of the stream",
                self.title
            );
            if !turn.client.is_empty() {
                session = session.expect(&turn.client);
            }
            if !turn.server.is_empty() {
                session = session.send(&turn.server);
            }
            if turn.ends {
                session = session.close();
                ended = true;
            }
        }
        session
    }
}

/// Why a text could not be read as transcripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptError {
    line: usize,
    what: String,
}

impl TranscriptError {
    /// Returns the number of the faulty line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for TranscriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Error for TranscriptError {}

/// Reads the transcripts of a file.
///
/// # Panics
///
/// When the file cannot be read, holds no transcript or a faulty one.
#[must_use]
#[track_caller]
pub fn load(path: impl AsRef<Path>) -> Vec<Transcript> {
    let path = path.as_ref();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("cannot read {}: {error}", path.display()),
    };
    match read(&text) {
        Ok(transcripts) if transcripts.is_empty() => {
            panic!("{} holds no transcript", path.display())
        }
        Ok(transcripts) => transcripts,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Reads transcripts from a text.
///
/// Blank lines separate blocks and a block begins with `# title`. Then come
/// `C: bytes` (the client says), `S: bytes` (the server says), `R: text` (a
/// result) and `E:` (the server ends the stream); lines that begin with `//`
/// are comments. Bytes know the escapes `\r \n \t \0 \\ \xNN` and `\{N*c}` for
/// N times c. A line of bytes ends with CRLF, unless `\c` is its last escape.
///
/// # Errors
///
/// When a line does not follow the format.
pub fn read(text: &str) -> Result<Vec<Transcript>, TranscriptError> {
    let mut reader = Reader::default();
    let mut count = 0;
    for (line, number) in text.lines().zip(1..) {
        reader.line(line).map_err(|what| TranscriptError { line: number, what })?;
        count = number;
    }
    reader.end_block().map_err(|what| TranscriptError { line: count, what })?;
    Ok(reader.done)
}

#[derive(Default)]
struct Reader {
    done: Vec<Transcript>,
    block: Option<Transcript>,
    /// How far the last turn of the block has come.
    stage: Stage,
}

/// A turn goes through its stages in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Client,
    Server,
    Outcome,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() {
            return self.end_block();
        }
        if line.starts_with("//") {
            return Ok(());
        }
        if let Some(title) = line.strip_prefix('#') {
            return self.begin_block(title.trim());
        }
        if self.block.is_none() {
            return Err("a block begins with `# title`".to_owned());
        }
        let Some((kind, rest)) = line.split_once(':') else {
            return Err(unknown_line(line));
        };
        let content = match rest.strip_prefix(' ') {
            Some(content) => content,
            None if rest.is_empty() => rest,
            None => return Err(unknown_line(line)),
        };
        match kind {
            "C" => {
                let bytes = line_of_bytes(content)?;
                self.turn(Stage::Client)?.client.extend(bytes);
            }
            "S" => {
                let bytes = line_of_bytes(content)?;
                self.turn(Stage::Server)?.server.extend(bytes);
            }
            "R" => self.turn(Stage::Outcome)?.results.push(content.to_owned()),
            "E" if content.is_empty() => {
                let turn = self.turn(Stage::Outcome)?;
                if turn.ends {
                    return Err("the stream has ended already".to_owned());
                }
                turn.ends = true;
            }
            "E" => return Err("nothing follows `E:`".to_owned()),
            _ => return Err(unknown_line(line)),
        }
        Ok(())
    }

    fn begin_block(&mut self, title: &str) -> Result<(), String> {
        if self.block.is_some() {
            return Err("a blank line is missing before the title".to_owned());
        }
        if title.is_empty() {
            return Err("the title is missing behind `#`".to_owned());
        }
        self.block = Some(Transcript { title: title.to_owned(), turns: Vec::new() });
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), String> {
        match self.block.take() {
            Some(block) if block.turns.is_empty() => Err(format!("nothing is said in {:?}", block.title)),
            block => {
                self.done.extend(block);
                Ok(())
            }
        }
    }

    /// Returns the turn a line of this stage belongs to.
    fn turn(&mut self, stage: Stage) -> Result<&mut Turn, String> {
        let turns = match &mut self.block {
            Some(block) => &mut block.turns,
            None => return Err("a block begins with `# title`".to_owned()),
        };
        let goes_back = stage < self.stage;
        if goes_back && stage == Stage::Server && turns.last().is_some_and(|turn| turn.ends) {
            return Err("the server has ended the stream".to_owned());
        }
        if goes_back || turns.is_empty() {
            turns.push(Turn::default());
        }
        self.stage = stage;
        let last = turns.len() - 1;
        Ok(&mut turns[last])
    }
}

fn unknown_line(line: &str) -> String {
    format!("a line begins with `C: `, `S: `, `R: `, `E:` or `//`, not like {line:?}")
}

fn line_of_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut rest = text;
    let mut bytes = Vec::new();
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if rest == "c" {
            return Ok(bytes);
        }
        rest = match rest.strip_prefix('{') {
            Some(inner) => repetition(inner, &mut bytes)?,
            None => escape(rest, &mut bytes)?,
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

/// Reads what follows a backslash and returns what follows the escape.
fn escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut chars = text.chars();
    bytes.push(match chars.next() {
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('0') => b'\0',
        Some('\\') => b'\\',
        Some('x') => {
            let digits = text.get(1..3).filter(|digits| {
                // The parser of numbers would take a sign.
                digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            });
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return Err("two hexadecimal digits are missing behind `\\x`".to_owned());
            };
            bytes.push(byte);
            return Ok(&text[3..]);
        }
        Some('c') => return Err("`\\c` stands only at the end of a line".to_owned()),
        Some(other) => return Err(format!("there is no escape `\\{other}`")),
        None => return Err("a single backslash ends the line".to_owned()),
    });
    Ok(chars.as_str())
}

/// A mistyped count fails here and not in the allocator.
const MOST_REPEATED: usize = 1 << 30;

/// Reads what follows `\{` and returns what follows the `}`.
fn repetition<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let wrong = || format!("a repetition looks like `\\{{300*x}}`, not like `\\{{{text}`");
    let (count, rest) = text.split_once('*').ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    let mut unit = Vec::new();
    let rest = if let Some(escaped) = rest.strip_prefix('\\') {
        escape(escaped, &mut unit)?
    } else {
        let first = rest.chars().next().ok_or_else(wrong)?;
        let (head, tail) = rest.split_at(first.len_utf8());
        unit.extend_from_slice(head.as_bytes());
        tail
    };
    let rest = rest.strip_prefix('}').ok_or_else(wrong)?;
    if count.saturating_mul(unit.len()) > MOST_REPEATED {
        return Err(format!("a repetition has at most {MOST_REPEATED} bytes"));
    }
    bytes.extend(unit.repeat(count));
    Ok(rest)
}

#[cfg(test)]
mod tests;
