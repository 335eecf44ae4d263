//! The keys that a server was asked for and has not answered yet: what a returned key is checked against.

/// The keys of the requests under way, oldest first.
///
/// The requests write each key here in the same breath as on the wire, so the bytes sent and the check cannot
/// disagree. A server answers in the order of the request and leaves out what it does not have; a proxy that splits
/// a request may answer in another order. No key is accepted twice.
#[derive(Debug, Default)]
pub struct ExpectedKeys {
    /// For each key its length, and its bytes: of one that was answered, the first is zero, which no key has.
    entries: Vec<u8>,
    /// Where the keys of the front request begin and end.
    front: usize,
    end: usize,
    /// Where the next key is expected, and its place in the front request.
    cursor: usize,
    index: u32,
}

/// Where the key after the next expected one begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next(usize);

/// How many bytes stand before the bytes of a key.
const HEAD: usize = 1;
/// How many bytes the length of a request takes.
const PART: usize = HEAD + 8;

impl ExpectedKeys {
    /// Appends one key; it belongs to the last request.
    ///
    /// A [`Key`](crate::Key) has at most 250 bytes, so the length of what is given fits a byte; more is cut.
    #[inline]
    pub fn push(&mut self, key: &[u8]) {
        let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
        self.entries.push(length);
        self.entries.extend_from_slice(&key[..usize::from(length)]);
    }

    /// Appends keys, of these lengths, which stand in `text` with a blank before each.
    pub(crate) fn push_text(&mut self, text: &[u8], lengths: impl Iterator<Item = usize>) {
        let mut at = self.entries.len();
        self.entries.extend_from_slice(text);
        for length in lengths {
            if let Some(blank) = self.entries.get_mut(at) {
                *blank = u8::try_from(length).unwrap_or(u8::MAX);
            }
            at += HEAD + length;
        }
    }

    /// Appends, in the place of a key, the length of one of several requests that are answered together.
    pub(crate) fn push_part(&mut self, length: u64) {
        self.push(&length.to_le_bytes());
    }

    /// How many requests are answered together with the front one, if those are what stands here.
    pub(crate) fn parts(&self) -> u32 {
        u32::try_from((self.end - self.front) / PART).unwrap_or(u32::MAX)
    }

    /// The lengths of requests that are answered together. They begin `skip` bytes after the front request, and take `size`.
    #[cfg(feature = "tls")]
    pub(crate) fn part_lengths(&self, skip: usize, size: usize) -> impl Iterator<Item = u64> {
        let entries = self.entries.get(self.front + skip..self.front + skip + size).unwrap_or_default();
        let length = |entry: &[u8]| entry[HEAD..].try_into().map_or(0, u64::from_le_bytes);
        entries.chunks_exact(PART).map(length)
    }

    /// How many bytes the keys take here; the difference of two readings is the size of a request's part, which
    /// [`ExpectedKeys::open`] takes.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// How many keys the front request asks for at most: none is shorter than a byte.
    pub(crate) fn most(&self) -> usize {
        (self.end - self.front) / (HEAD + 1)
    }

    /// Forgets the keys pushed since there were `size` bytes.
    pub(crate) fn truncate(&mut self, size: usize) {
        self.entries.truncate(size);
    }

    /// Takes over the keys of `other`, which were asked later.
    #[cfg(feature = "routing")]
    #[inline]
    pub(crate) fn append_from(&mut self, other: &mut Self) {
        if other.entries.is_empty() {
            return;
        }
        if self.front == self.entries.len() {
            self.entries.clear();
            (self.front, self.end, self.cursor) = (0, 0, 0);
            std::mem::swap(&mut self.entries, &mut other.entries);
        } else {
            self.entries.append(&mut other.entries);
        }
    }

    /// Lets the next `size` bytes of keys be answered, as many as were pushed: those of the request that is now in front.
    pub fn open(&mut self, size: usize) {
        self.open_pushed(size.min(self.size() - self.front));
    }

    /// The same of keys that were all pushed.
    #[inline]
    pub(crate) fn open_pushed(&mut self, size: usize) {
        self.end = self.front + size;
        self.cursor = self.front;
        self.index = 0;
    }

    /// Ends the front request: its keys cannot be answered any more.
    #[inline]
    pub fn close(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        self.front = self.end;
        if self.front == self.entries.len() {
            self.entries.clear();
            (self.front, self.end) = (0, 0);
        } else if self.front > self.entries.len() / 2 && self.front > 4096 {
            self.entries.drain(..self.front);
            (self.front, self.end) = (0, 0);
        }
        (self.cursor, self.index) = (self.front, 0);
    }

    /// What follows the key that is expected next, if `text` begins with it. [`ExpectedKeys::take_next`] takes it.
    #[inline]
    pub(crate) fn skip_next<'t>(&self, text: &'t [u8]) -> Option<(Next, &'t [u8])> {
        let (key, next) = self.entry(self.cursor)?;
        let rest = text.strip_prefix(key)?;
        is_open(key).then_some((Next(next), rest))
    }

    /// Takes the key that is expected next as answered, and returns its place in the front request.
    #[inline]
    pub(crate) fn take_next(&mut self, Next(next): Next) -> u32 {
        self.take(next)
    }

    /// The place in the front request of the key that `text` begins with, and what follows its blank.
    ///
    /// `None` when no key of the front request that is still unanswered stands there.
    #[inline]
    pub(crate) fn answer<'t>(&mut self, text: &'t [u8]) -> Option<(u32, &'t [u8])> {
        let (key, rest) = text.split_at(memchr::memchr(b' ', text)?);
        Some((self.answer_key(key)?, &rest[1..]))
    }

    /// The place in the front request of `key`, if it was asked and is still unanswered.
    #[inline]
    pub(crate) fn answer_key(&mut self, key: &[u8]) -> Option<u32> {
        match self.entry(self.cursor) {
            Some((expected, next)) if expected == key && is_open(expected) => Some(self.take(next)),
            _ => self.seek(key),
        }
    }

    /// Whether all keys that were ever pushed are answered or closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Seeks `key` after the cursor, then from the beginning of the front request.
    fn seek(&mut self, key: &[u8]) -> Option<u32> {
        let started = self.cursor;
        let mut wrapped = false;
        loop {
            match self.entry(self.cursor) {
                Some(_) if wrapped && self.cursor >= started => return None,
                Some((expected, next)) if expected == key && is_open(expected) => {
                    return Some(self.take(next));
                }
                Some((_, next)) => {
                    self.cursor = next;
                    self.index += 1;
                }
                None if wrapped => return None,
                None => {
                    wrapped = true;
                    (self.cursor, self.index) = (self.front, 0);
                }
            }
        }
    }

    /// The key at `at` and where the next one begins; `None` after the last one of the front request.
    #[inline]
    fn entry(&self, at: usize) -> Option<(&[u8], usize)> {
        if at >= self.end {
            return None;
        }
        let length = usize::from(*self.entries.get(at)?);
        let next = at + HEAD + length;
        Some((self.entries.get(at + HEAD..next)?, next))
    }

    /// Marks the key at the cursor as answered and moves on to `next`.
    #[inline]
    fn take(&mut self, next: usize) -> u32 {
        if let Some(first) = self.entries.get_mut(self.cursor + HEAD) {
            *first = 0;
        }
        self.cursor = next;
        self.index += 1;
        self.index - 1
    }
}

/// Whether a key waits for its answer.
#[inline]
fn is_open(key: &[u8]) -> bool {
    !matches!(key, [] | [0, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(keys: &[&str]) -> ExpectedKeys {
        let mut asked = ExpectedKeys::default();
        keys.iter().for_each(|key| asked.push(key.as_bytes()));
        asked.open(asked.size());
        asked
    }

    fn answers(asked: &mut ExpectedKeys, keys: &[&str]) -> Vec<Option<u32>> {
        keys.iter().map(|key| asked.answer_key(key.as_bytes())).collect()
    }

    #[test]
    fn a_key_is_found_by_its_place_in_the_request() {
        let mut keys = asked(&["a", "bb", "c"]);
        assert_eq!(keys.answer(b"a 0 1"), Some((0, &b"0 1"[..])));
        assert_eq!(keys.answer(b"c 0 1"), Some((2, &b"0 1"[..])));
        assert_eq!(keys.answer(b"d 0 1"), None);
    }

    #[test]
    fn a_key_is_not_taken_for_a_longer_or_a_shorter_one() {
        for given in ["a 0 1", "abc 0 1", "ab", " 0 1", ""] {
            assert_eq!(asked(&["ab"]).answer(given.as_bytes()), None, "{given:?}");
        }
    }

    #[test]
    fn a_key_that_was_answered_has_no_other_name() {
        let mut keys = asked(&["abc", "d"]);
        assert_eq!(
            answers(&mut keys, &["abc", "\0bc", "abc", "", "d", "\0"]),
            [Some(0), None, None, None, Some(1), None]
        );
    }

    #[test]
    fn keys_of_a_text_are_those_that_were_pushed_one_by_one() {
        let (mut keys, names) = (ExpectedKeys::default(), ["a", "bb", "c"]);
        keys.push_text(b" a bb c", names.iter().map(|name| name.len()));
        assert_eq!(keys.entries, asked(&names).entries);
    }

    #[test]
    fn a_proxy_may_answer_in_another_order_but_no_key_twice() {
        let mut keys = asked(&["a", "b", "c", "d"]);
        assert_eq!(answers(&mut keys, &["c", "a", "b", "d"]), [Some(2), Some(0), Some(1), Some(3)]);
        assert_eq!(answers(&mut keys, &["a", "b", "c", "d", "e"]), [None; 5]);
        let mut keys = asked(&["a", "b", "c"]);
        assert_eq!(answers(&mut keys, &["b", "a", "b"]), [Some(1), Some(0), None]);
    }

    #[test]
    fn a_key_asked_twice_is_answered_twice() {
        let mut keys = asked(&["a", "a"]);
        assert_eq!(answers(&mut keys, &["a", "a", "a"]), [Some(0), Some(1), None]);
    }

    #[test]
    fn the_keys_of_a_later_request_are_no_answer_to_the_front_one() {
        let mut keys = asked(&["a"]);
        keys.push(b"b");
        assert_eq!(answers(&mut keys, &["b"]), [None]);
        keys.close();
        keys.open(keys.size() - keys.front);
        assert_eq!(answers(&mut keys, &["a", "b"]), [None, Some(0)]);
        keys.close();
        assert!(keys.is_empty());
    }

    #[test]
    fn more_keys_than_were_pushed_are_all_of_them() {
        let mut keys = ExpectedKeys::default();
        for _ in 0..2 {
            let key = [b'a'; 250];
            (0..20).for_each(|_| keys.push(&key));
            keys.open(usize::MAX);
            assert!((0..20).all(|at| keys.answer_key(&key) == Some(at)) && keys.answer_key(&key).is_none());
            keys.close();
            assert!(keys.is_empty());
        }
    }

    #[test]
    fn how_many_answers_a_request_can_have_does_not_count_the_request_before() {
        let mut keys = ExpectedKeys::default();
        let key = [b'a'; 20];
        keys.push(&key);
        let first = keys.size();
        keys.push_part(5);
        keys.push_part(6);
        keys.open(first);
        assert_eq!((keys.most(), keys.is_empty()), ((HEAD + key.len()) / (HEAD + 1), false));
        keys.close();
        keys.open(keys.size() - first);
        assert_eq!((keys.most(), keys.parts(), keys.is_empty()), (2 * PART / (HEAD + 1), 2, false));
    }
}
