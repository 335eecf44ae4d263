//! How each request is drawn.

use memcached2_testkit::Rng;

use super::requests::{Batch, Command, Piece};

const STORES: [&str; 8] = ["set", "set", "set", "add", "replace", "append", "prepend", "cas"];
const FLAGS: [&str; 9] = ["0", "0", "0", "5", "4294967295", "4294967296", "-1", "x", "18446744073709551616"];
const EXPTIMES: [&str; 14] = [
    "0",
    "0",
    "0",
    "0",
    "1000",
    "100000",
    "2592000",
    "-1",
    "2592001",
    "2000000000",
    "2147483648",
    "4294967296",
    "x",
    "1x",
];
const NUMBERS: [&[u8]; 17] = [
    b"0",
    b"9",
    b"10",
    b"99",
    b"100",
    b"1000000",
    b"1844674407370955161",
    b"18446744073709551616",
    b"007",
    b" 5",
    b"5 ",
    b"x1",
    b"12abc",
    b"+3",
    b"1 2",
    b"1\x002",
    b"00000000000000000000042",
];
const DELTAS: [&str; 12] =
    ["1", "1", "5", "10", "91", "0", "1000000000000", "18446744073709551616", "-1", "x", "+2", "noreply"];

/// How many of those at the beginning every version takes.
const RIGHT_FLAGS: usize = 5;
const RIGHT_EXPTIMES: usize = 10;
const RIGHT_DELTAS: usize = 7;
const RIGHT_PLAIN: usize = 14;
/// Of the flags of meta commands those that are not right.
const WRONG_FLAGS: [&str; 7] = ["Tx", "Fx", "Mx", "MSS", "Cx", "Jx", "D-1"];

pub(crate) struct Draw<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) prefix: &'a str,
    pub(crate) item_size_max: usize,
    /// Nothing wrong is drawn.
    pub(crate) is_right: bool,
}

impl Draw<'_> {
    /// One of these, of which the first `right` are right.
    fn pick<'t>(&mut self, texts: &[&'t str], right: usize) -> &'t str {
        let until = if self.is_right { right } else { texts.len() };
        self.rng.pick(&texts[..until])
    }

    /// Whether something wrong is drawn: with a chance of one in `once_in`, and never among right ones.
    fn errs(&mut self, once_in: usize) -> bool {
        !self.is_right && self.rng.once_in(once_in)
    }

    /// Several commands in one write, or one in several: where a batch is cut changes some answers in memcached.
    pub(crate) fn batch(&mut self) -> Batch {
        if self.rng.once_in(3) {
            let command = self.command();
            let length: usize =
                command.iter().map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 8 }).sum();
            let cuts = (0..=self.rng.below(3)).map(|_| 1 + self.rng.below(length.min(60))).collect();
            return Batch { commands: vec![command], cuts, ends: false };
        }
        let count = if self.rng.once_in(20) { 20 + self.rng.below(10) } else { 1 + self.rng.below(8) };
        let mut commands = Vec::new();
        let mut length = 0;
        for _ in 0..count {
            let command = self.command();
            length += command
                .iter()
                .map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 20 })
                .sum::<usize>();
            // More than one read of the server.
            if length > 15_000 && !commands.is_empty() {
                break;
            }
            commands.push(command);
        }
        Batch::whole(commands)
    }

    fn command(&mut self) -> Command {
        let line = match self.rng.below(100) {
            0..=14 => self.get(),
            15..=36 => return self.store(),
            37..=41 => self.delete(),
            42..=51 => self.count(),
            52..=55 => self.touch(),
            56..=65 => self.meta("mg", &MG),
            66..=76 => return self.meta_set(),
            77..=81 => self.meta("md", &MD),
            82..=88 => self.meta("ma", &MA),
            89 if !self.is_right => self.meta("me", &["", "b", "k"]),
            95.. if !self.is_right => vec![Piece::from(self.rng.pick(&WRONG))],
            _ => vec![Piece::from(self.pick(&PLAIN, RIGHT_PLAIN))],
        };
        self.end(line)
    }

    /// Ends a line, with a CR or without.
    pub(crate) fn end(&mut self, mut line: Command) -> Command {
        line.push(Piece::from(if self.errs(12) { "\n" } else { "\r\n" }));
        line
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.below(80) {
            0 | 3 if self.is_right => format!("{}:a", self.prefix).into_bytes(),
            0 => [self.prefix.as_bytes(), &[b'k'; 300]].concat()[..251].to_vec(),
            1 => [self.prefix.as_bytes(), &[b'k'; 300]].concat()[..250].to_vec(),
            2 => [self.prefix.as_bytes(), b":\xff\xfe\x01\t"].concat(),
            3 => b"noreply".to_vec(),
            _ => format!("{}:{}", self.prefix, self.rng.pick(&["a", "b", "c", "d"])).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(13) {
            0..=4 => self.rng.pick(&NUMBERS).to_vec(),
            5..=8 => (0..self.rng.below(30)).map(|_| b'a' + self.rng.below(26) as u8).collect(),
            9 => self.rng.pick(&[&b"v\r\n"[..], b"END\r\n", b"x\r\nversion\r\n", b"\0\xff\r", b""]).to_vec(),
            // As a line it is still below the limit for lines.
            10 => vec![b'v'; self.rng.below(1500)],
            11 => vec![b'5'; 22],
            _ => vec![b'5'; 1 + self.rng.below(5)],
        }
    }

    fn noreply(&mut self) -> &'static str {
        match self.rng.below(14) {
            0..=2 => " noreply",
            3.. if self.is_right => "",
            3 => " NOREPLY",
            4 => "  ",
            _ => "",
        }
    }

    fn line(&mut self, verb: &str, words: &str) -> Command {
        let gap = if self.errs(15) { "  " } else { " " };
        let key = self.key();
        let noreply = self.noreply();
        let mut line = [verb.as_bytes(), gap.as_bytes(), &key].concat();
        line.extend(format!("{words}{noreply}").into_bytes());
        vec![Piece::from(line)]
    }

    pub(crate) fn get(&mut self) -> Command {
        let verb = self.pick(&["get", "gets", "gets", "gat", "gats", "bget"], 5);
        let mut line = verb.as_bytes().to_vec();
        if verb.starts_with("gat") {
            line.extend(format!(" {}", self.pick(&EXPTIMES, RIGHT_EXPTIMES)).into_bytes());
        }
        let keys =
            if self.rng.once_in(10) { usize::from(self.is_right) + self.rng.below(39) } else { 1 + self.rng.below(3) };
        for _ in 0..keys {
            line.push(b' ');
            line.extend(self.key());
        }
        vec![Piece::from(line)]
    }

    fn store(&mut self) -> Command {
        let verb = self.rng.pick(&STORES);
        if self.rng.once_in(25) {
            return self.large(verb, " 0 0");
        }
        let value = self.value();
        let flags = if self.rng.once_in(3) { self.pick(&FLAGS, RIGHT_FLAGS) } else { "0" };
        let exptime = if self.rng.once_in(3) { self.pick(&EXPTIMES, RIGHT_EXPTIMES) } else { "0" };
        let key = self.key();
        let (length, block) = self.block(&value);
        let mut head = [verb.as_bytes(), b" ", &key].concat();
        head.extend(format!(" {flags} {exptime} {length}").into_bytes());
        let mut command = vec![Piece::from(head)];
        if verb == "cas" || self.errs(60) {
            command.push(Piece::from(" "));
            command.push(self.cas());
        }
        command.push(Piece::from(self.noreply()));
        let mut command = self.end(command);
        command.push(Piece::from(block));
        command
    }

    /// A value just small enough, or just too large.
    ///
    /// The rest is right: as a line, the value would be hung up on or not, depending on the reads of the server.
    fn large(&mut self, verb: &str, between: &str) -> Command {
        let length = self.item_size_max - 80 + self.rng.below(40);
        let end = if verb == "cas" { " 1" } else { "" };
        let key = self.rng.pick(&["a", "b"]);
        let mut command = format!("{verb} {}:{key}{between} {length}{end}\r\n", self.prefix).into_bytes();
        command.resize(command.len() + length, b'l');
        command.extend(b"\r\n");
        vec![Piece::from(command)]
    }

    /// A data block with what its line says of its length. Most often that is true.
    fn block(&mut self, value: &[u8]) -> (String, Vec<u8>) {
        let length = value.len();
        let right = [value, b"\r\n"].concat();
        match self.rng.below(60) {
            0..6 if self.is_right => (length.to_string(), right),
            // What is too much is read as a line.
            0 => (length.to_string(), [value, b"more\r\n"].concat()),
            // What is too little eats what follows, so something follows.
            1 => ((length + 5).to_string(), [value, b"\r\nshort\r\n"].concat()),
            2 => (length.to_string(), [value, b"xy\r\n"].concat()),
            3 => (self.rng.pick(&["x", "-1", "2147483646", "2147483647", "1x"]).to_owned(), right),
            4 => (format!("+{length}"), right),
            5 => ((length as u64 + (1 << 32)).to_string(), right),
            _ => (length.to_string(), right),
        }
    }

    fn cas(&mut self) -> Piece {
        match self.rng.below(10) {
            0 => Piece::from(self.pick(&["18446744073709551615", "0", "18446744073709551616", "x", "+1", "-1"], 1)),
            // Which numbers are between those that appear is not the same in all versions.
            1 if self.is_right => Piece::from("1"),
            1 => Piece::Cas(self.rng.below(3), -1),
            _ => Piece::Cas(self.rng.below(4), 0),
        }
    }

    fn delete(&mut self) -> Command {
        let words = self.pick(&["", "", "", "", " 0", " 5", " 0 0", " noreply 0"], 5);
        self.line("delete", words)
    }

    fn count(&mut self) -> Command {
        let (verb, delta) = (self.rng.pick(&["incr", "decr"]), self.pick(&DELTAS, RIGHT_DELTAS));
        self.line(verb, &format!(" {delta}"))
    }

    fn touch(&mut self) -> Command {
        let exptime = self.pick(&EXPTIMES, RIGHT_EXPTIMES);
        self.line("touch", &format!(" {exptime}"))
    }

    /// The flags of a meta command: some of those that mean something to it, and a few of all the others.
    fn flags(&mut self, known: &[&'static str], line: &mut Command, binary: bool) {
        let count = if self.errs(40) { 14 + self.rng.below(6) } else { self.rng.below(5) };
        let mut letters = Vec::new();
        for _ in 0..count {
            let flag = match self.rng.once_in(40) {
                true if self.is_right => self.rng.pick(&NEWER),
                true => self.rng.pick(&ODD),
                false => self.rng.pick(known),
            };
            let letter = flag.bytes().next();
            if self.is_right && (WRONG_FLAGS.contains(&flag) || letters.contains(&letter)) {
                continue;
            }
            letters.push(letter);
            match flag {
                "" | "b" => {}
                "C" => line.extend([Piece::from(" C"), self.cas()]),
                flag => line.push(Piece::from(format!(" {flag}"))),
            }
        }
        if binary {
            line.push(Piece::from(" b"));
        }
    }

    /// A key as meta commands take it, and whether it is in base64.
    fn meta_key(&mut self) -> (Vec<u8>, bool) {
        let key = self.key();
        let binary = self.rng.once_in(6) && (!self.is_right || key.len() <= 186);
        if binary && !self.errs(20) { (base64(&key), true) } else { (key, binary) }
    }

    fn meta(&mut self, verb: &str, known: &[&'static str]) -> Command {
        let (key, binary) = self.meta_key();
        let mut line = vec![Piece::from([verb.as_bytes(), b" ", &key].concat())];
        self.flags(known, &mut line, binary);
        line
    }

    fn meta_set(&mut self) -> Command {
        let (key, binary) = self.meta_key();
        if self.rng.once_in(40) {
            return self.large("ms", "");
        }
        let value = self.value();
        let (length, block) = self.block(&value);
        let mut line = vec![Piece::from([b"ms ", &key[..], b" ", length.as_bytes()].concat())];
        self.flags(&MS, &mut line, binary);
        let mut command = self.end(line);
        command.push(Piece::from(block));
        command
    }
}

const MG: [&str; 24] = [
    "v", "v", "k", "c", "f", "h", "l", "s", "t", "u", "q", "O1", "Oabc", "T1000", "T0", "T-1", "N3000", "N-1", "N0",
    "R30", "R5000", "C", "Tx", "I",
];
const MS: [&str; 21] = [
    "T1000", "T0", "T-1", "F7", "F0", "Fx", "I", "k", "c", "q", "Oq1", "ME", "MA", "MP", "MR", "MS", "C", "C", "Mx",
    "MSS", "s",
];
const MD: [&str; 10] = ["I", "I", "T1000", "T-1", "C", "q", "k", "Od", "v", "Cx"];
const MA: [&str; 19] = [
    "MI", "MD", "M+", "M-", "Mi", "N0", "N4000", "J13", "Jx", "D10", "D91", "D-1", "T1000", "q", "t", "c", "v", "k",
    "C",
];
/// Flags that came after 1.6.18, or that some commands ignore. The versions are far from those that the servers give.
const NEWER: [&str; 6] = ["E9007199254740991", "E9007199254740993", "x", "N60", "Pproxy", "s"];
const ODD: [&str; 13] = [
    "O12345678901234567890123456789012",
    "O1234567890123456789012345678901",
    "O",
    "x",
    "E5",
    "W",
    "!",
    "\u{7f}",
    "T",
    "N",
    "Pproxy",
    "Llike",
    "M",
];
/// Commands without a key.
const PLAIN: [&str; 18] = [
    "mn",
    "version",
    "verbosity 0",
    "verbosity 0 noreply",
    "flush_all",
    "flush_all 0",
    "flush_all noreply",
    "cache_memlimit 64",
    "stats",
    "stats sizes",
    "stats detail on",
    "stats detail off",
    "stats detail dump",
    "stats reset",
    "mn now",
    "version 1",
    "flush_all -5",
    "stats reset noreply",
];
const WRONG: [&str; 49] = [
    "",
    " ",
    "a",
    "\r",
    "get",
    "gets ",
    "gat",
    "gat 0",
    "gat x a",
    "get\ta",
    "GET a",
    "GET / HTTP",
    "set",
    "set a 0 0",
    "set a 0 0 1 1 1 1",
    "add a",
    "cas a 0 0 1",
    "delete",
    "delete a b c d",
    "incr a",
    "incr a 1 2 3",
    "decr",
    "touch a",
    "touch",
    "flush_all x",
    "flush_all x noreply",
    "flush_all 1 2 3",
    "verbosity",
    "verbosity x",
    "verbosity x noreply",
    "cache_memlimit",
    "cache_memlimit 7",
    "cache_memlimit x",
    "cache_memlimit x noreply",
    "cache_memlimit 4294967295",
    "stats nothing",
    "stats detail",
    "stats detail x",
    "stats cachedump",
    "stats cachedump x 1",
    "stats cachedump 64 1",
    "shutdown",
    "mg",
    "ms",
    "ms a",
    "ms a x",
    "md",
    "mx a",
    "get a\0 b",
];

fn base64(bytes: &[u8]) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or_default()));
        text.extend((0..4).map(|at| if at > chunk.len() { b'=' } else { alphabet[bits >> (18 - 6 * at) & 63] }));
    }
    text
}
