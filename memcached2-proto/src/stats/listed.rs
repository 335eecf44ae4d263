//! What servers list line by line: prefixes, and items.

/// What was asked for by keys of one prefix: `stats detail dump`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixCount {
    /// The prefix: what stands before the first `:` of the keys.
    pub prefix: String,
    /// How many keys were fetched.
    pub get: u64,
    /// How many of those were there.
    pub hit: u64,
    /// How many were stored.
    pub set: u64,
    /// How many were deleted.
    pub del: u64,
}

impl PrefixCount {
    /// Reads lines such as `shop get 2 hit 1 set 1 del 1`; others are passed over.
    #[must_use]
    pub fn read(lines: &str) -> Vec<Self> {
        lines.lines().filter_map(Self::of).collect()
    }

    fn of(line: &str) -> Option<Self> {
        let mut words = line.rsplit(' ');
        let mut count = |name| {
            let count = words.next()?.parse().ok()?;
            (words.next()? == name).then_some(count)
        };
        let (del, set, hit, get) = (count("del")?, count("set")?, count("hit")?, count("get")?);
        let counts = line.rmatch_indices(' ').nth(7)?.0;
        Some(Self { prefix: line[..counts].to_owned(), get, hit, set, del })
    }
}

/// An item as `stats cachedump` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheDumpItem {
    /// Its key, which need not be text.
    pub key: Box<[u8]>,
    /// How many bytes its value has.
    pub bytes: u64,
    /// When it expires, in Unix time; 0 is never (to servers before 1.4.32 it is when they were started).
    pub exptime: u64,
}

impl CacheDumpItem {
    /// Reads lines such as `key [5 b; 1795376591 s]`; others are passed over.
    #[must_use]
    pub fn read(lines: &[u8]) -> Vec<Self> {
        lines
            .split(|byte| *byte == b'\n')
            .filter_map(|line| Self::of(line.strip_suffix(b"\r").unwrap_or(line)))
            .collect()
    }

    /// From the right end: a key may hold brackets.
    fn of(line: &[u8]) -> Option<Self> {
        let end = memchr::memmem::rfind(line, b" [")?;
        let (key, rest) = (&line[..end], std::str::from_utf8(&line[end + 2..]).ok()?);
        let (bytes, rest) = rest.split_once(" b; ")?;
        let exptime = rest.strip_suffix(" s]")?;
        Some(Self { key: key.into(), bytes: bytes.parse().ok()?, exptime: exptime.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_items_are_read_from_the_right() {
        let counted = PrefixCount::read("foo get 2 hit 1 set 3 del 4\r\nnonsense\r\n\u{e9} get 0 hit 0 set 1 del 0\n");
        let count = |prefix: &str, get, hit, set, del| PrefixCount { prefix: prefix.to_owned(), get, hit, set, del };
        assert_eq!(counted, [count("foo", 2, 1, 3, 4), count("\u{e9}", 0, 0, 1, 0)]);
        let items = CacheDumpItem::read(
            b"b [1 b; 1795376591 s]\r\nodd[ [key] [20 b; 0 s]\r\nnonsense\r\ncaf\xe9 [1 b; 0 s]\r\n",
        );
        let item = |key: &[u8], bytes, exptime| CacheDumpItem { key: key.into(), bytes, exptime };
        assert_eq!(items, [item(b"b", 1, 1_795_376_591), item(b"odd[ [key]", 20, 0), item(b"caf\xe9", 1, 0)]);
    }
}
