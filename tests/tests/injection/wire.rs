//! Requests as a server cuts them out of the bytes that it reads.

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A request: its words, and its data block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) block: Option<Vec<u8>>,
}

impl Sent {
    /// Whether it is a meta command with this flag.
    fn has(&self, flag: &[u8]) -> bool {
        let is_meta = matches!(&self.words[0][..], b"mg" | b"ms" | b"md" | b"ma" | b"me");
        is_meta && self.words[2..].iter().any(|word| word == flag)
    }

    /// Whether it only marks where the replies to another request end: the client adds it.
    pub(crate) fn is_fence(&self) -> bool {
        self.words[0] == b"mn" || self.has(b"C18446744073709551615")
    }

    /// Whether there is nothing in its line but words, one blank between them.
    pub(crate) fn is_clean(&self) -> bool {
        self.words.iter().all(|word| !word.is_empty() && word.iter().all(|byte| *byte > b' ' && *byte != 0x7f))
    }

    /// The key as a client has given it.
    pub(crate) fn key(&self) -> Vec<u8> {
        let at = if self.words[0].starts_with(b"gat") { 2 } else { 1 };
        match self.has(b"b") {
            true => BASE64_STANDARD.decode(&self.words[at]).expect("base64"),
            false => self.words[at].clone(),
        }
    }
}

/// The requests in these bytes. Each line ends with CR LF, and has no other byte that ends one for some server.
#[track_caller]
pub(crate) fn requests(mut bytes: &[u8]) -> Vec<Sent> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line has an end");
        let line = bytes[..end].strip_suffix(b"\r").expect("a line ends with CR LF");
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | 0)), "{:?}", line.escape_ascii().to_string());
        bytes = &bytes[end + 1..];
        let words: Vec<Vec<u8>> = line.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
        let length = match &words[0][..] {
            b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => Some(&words[4]),
            b"ms" => Some(&words[2]),
            _ => None,
        };
        let block = length.map(|digits| {
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a length");
            let (block, rest) = bytes.split_at_checked(length).expect("a whole block");
            bytes = rest.strip_prefix(b"\r\n").expect("a block ends with CR LF");
            block.to_vec()
        });
        requests.push(Sent { words, block });
    }
    requests
}
