//! What is compared of the answers.

/// A comparable part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes(Vec<u8>),
    /// A time, which may have gone on between the servers.
    Time(i64),
    /// The cas that was the n-th to appear.
    Cas(usize),
}

/// How far clocks that are read one after the other may be apart; times wrap at 32 bits.
const APART: i64 = 3;

impl Unit {
    fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Time(one), Self::Time(other)) => (one - other).abs() <= APART,
            _ => self == other,
        }
    }

    pub(crate) fn all_match(one: &[Self], other: &[Self]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.matches(other))
    }
}

/// What `stats` says that two servers must agree on.
const STATS: [&str; 26] = [
    "version",
    "pointer_size",
    "max_connections",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "limit_maxbytes",
    "threads",
    "total_items",
];

/// Reads the answers of one server and remembers its cas values.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    seen: Vec<u64>,
}

impl Answers {
    /// Returns a cas that has appeared, or an unknown one.
    pub(crate) fn cas(&self, index: usize, offset: i64) -> u64 {
        match self.seen.len() {
            0 => 12_345_678_901,
            count => self.seen[count - 1 - index % count].wrapping_add_signed(offset),
        }
    }

    /// Cuts answers into their units.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Vec<Unit> {
        let mut units = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(2).position(|two| two == b"\r\n").map_or(bytes.len(), |at| at + 2);
            let (line, rest) = bytes.split_at(end);
            bytes = rest;
            let words: Vec<_> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
            let length = match words[..] {
                [b"VALUE", _, _, length, ..] | [b"VA", length, ..] => number(length),
                _ => None,
            };
            self.line(&words, &mut units);
            if let Some(length) = length {
                let (value, rest) = bytes.split_at(bytes.len().min(length as usize + 2));
                units.push(Unit::Bytes(value.to_vec()));
                bytes = rest;
            }
        }
        units
    }

    fn line(&mut self, words: &[&[u8]], units: &mut Vec<Unit>) {
        match words {
            [b"STAT", name, ..] if name.iter().all(u8::is_ascii_digit) || *name == b"sizes_status" => {}
            [b"STAT", name, ..] if !STATS.iter().any(|stat| stat.as_bytes() == *name) => return,
            _ => {}
        }
        for (index, word) in words.iter().enumerate() {
            // The largest classes depend on the largest chunk, and this is not that of the embedded server.
            if words[0] == b"ME" && [&b"cls=23"[..], b"cls=24"].contains(word) {
                continue;
            }
            let cas = match (words[0], word) {
                (b"VALUE", word) if index == 4 => number(word),
                (b"HD" | b"VA" | b"EN" | b"NF" | b"NS" | b"EX", [b'c', cas @ ..]) => number(cas),
                (b"ME", [b'c', b'a', b's', b'=', cas @ ..]) => number(cas),
                _ => None,
            };
            let time = match (words[0], word) {
                (b"HD" | b"VA", [b't' | b'l', time @ ..]) => number(time),
                (b"ME", [b'l', b'a', b'=', time @ ..]) => number(time),
                (b"ME", [b'e', b'x', b'p', b'=', b'-', time @ ..]) => number(time),
                _ => None,
            };
            units.push(match (cas, time) {
                (Some(cas), _) if cas > 0 => Unit::Cas(self.index(cas)),
                (_, Some(time)) => Unit::Time(time as i64),
                _ => Unit::Bytes(word.to_vec()),
            });
        }
        units.push(Unit::Bytes(b"\r\n".to_vec()));
    }

    fn index(&mut self, cas: u64) -> usize {
        self.seen.iter().position(|seen| *seen == cas).unwrap_or_else(|| {
            self.seen.push(cas);
            self.seen.len() - 1
        })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
