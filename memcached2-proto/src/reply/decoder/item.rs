//! The data of an item: where it goes, and where it ends.

use bytes::Bytes;

use super::{BEHIND, DATA_END, Decoder, Reserve, State};
use crate::error::Error;
use crate::reply::grammar::{Item, unexpected};
use crate::reply::{Reply, ReplyKind};
use crate::value::{Value, ValueBytes};

/// How much memory a value gets by its announced length. It gets up to four times the bytes that have come after that,
/// so that a server which lies about a length takes no memory.
const FIRST: usize = 1024 * 1024;

impl Decoder {
    /// Decides where the data of `item` goes.
    #[inline]
    pub(super) fn begin(&mut self, item: Item, keep: bool) -> Result<(), Error> {
        let there = self.end - self.start;
        let whole = item.length.saturating_add(DATA_END.len());
        if item.length > self.limits.value {
            let limit = self.limits.value;
            return Err(Error::protocol(format!("a value of {} bytes exceeds the limit of {limit}", item.length)));
        }
        self.state = if whole <= there || item.length < Self::LARGE {
            State::Small(item)
        } else if !keep {
            State::Skip(item, item.length)
        } else {
            // Room that the system zeroes as it is used: there is no way to ask for it that can fail.
            let mut data = vec![0; (item.length + BEHIND).min(FIRST)];
            data[..there].copy_from_slice(&self.buffer[self.start..self.end]);
            (self.start, self.end) = (0, 0);
            State::Large(item, data, there)
        };
        Ok(())
    }

    /// The data of the item, once it is there with its line end.
    #[inline]
    pub(super) fn item(&mut self, reply_kind: ReplyKind) -> Result<Option<(Item, ValueBytes)>, Error> {
        match &mut self.state {
            State::Small(item) => {
                let item = *item;
                let there = &self.buffer[self.start..self.end];
                let Some((data, behind)) = there.split_at_checked(item.length) else { return Ok(None) };
                if !ends(behind)? {
                    return Ok(None);
                }
                let data = match reply_kind {
                    ReplyKind::Values | ReplyKind::FencedValues if Self::SHARED.contains(&item.length) => {
                        self.share(self.start, item.length).into()
                    }
                    _ => ValueBytes::copy_from_slice(data),
                };
                self.start += item.length + DATA_END.len();
                self.state = State::Line;
                Ok(Some((item, data)))
            }
            State::Large(item, data, have) => {
                let (item, have) = (*item, *have);
                let next = item.length + DATA_END.len();
                if have == data.len() && have < next && !grow(data, item.length + BEHIND, self.reserve) {
                    self.lose();
                    return self.item(reply_kind);
                }
                if have < item.length || !ends(&data[item.length..have])? {
                    return Ok(None);
                }
                // The buffer is empty: all of it went into `data` when the value began.
                self.start = 0;
                self.end = have - next;
                self.buffer[..self.end].copy_from_slice(&data[next..have]);
                let mut data = std::mem::take(data);
                data.truncate(item.length);
                self.state = State::Line;
                Ok(Some((item, data.into())))
            }
            State::Skip(item, left) => {
                let item = *item;
                let there = (*left).min(self.end - self.start);
                self.start += there;
                *left -= there;
                if *left > 0 || !ends(&self.buffer[self.start..self.end])? {
                    return Ok(None);
                }
                self.start += DATA_END.len();
                self.state = State::Line;
                Ok(Some((item, ValueBytes::default())))
            }
            State::Line | State::End(_) | State::Fence(_) | State::Refused => Ok(None),
        }
    }

    /// A copy of a small value of several, which shares its memory with those that follow it in the buffer.
    #[inline]
    pub(super) fn share(&mut self, start: usize, length: usize) -> Bytes {
        let at = match start.checked_sub(self.block_start) {
            Some(at) if at + length <= self.block.len() => at,
            _ => self.begin_block(start),
        };
        self.block.slice(at..at + length)
    }

    /// Copies what is in the buffer from a place on.
    #[cold]
    fn begin_block(&mut self, start: usize) -> usize {
        let part = &self.buffer[start..self.end.min(start + Self::BLOCK)];
        // Of a vector with a byte to spare, `Bytes` counts the users from the beginning, and not from the second on.
        let mut block = Vec::with_capacity(part.len() + 1);
        block.extend_from_slice(part);
        self.block = block.into();
        self.block_start = start;
        0
    }

    /// Discards a large value for which there is no memory, and the rest of it as it comes.
    #[cold]
    fn lose(&mut self) {
        let State::Large(item, data, have) = std::mem::replace(&mut self.state, State::Line) else { return };
        let of_value = have.min(item.length);
        let behind = &data[of_value..have];
        // The buffer is empty: all of it went into `data` when the value began.
        self.buffer[..behind.len()].copy_from_slice(behind);
        (self.start, self.end) = (0, behind.len());
        self.state = State::Skip(Item { is_lost: true, ..item }, item.length - of_value);
    }
}

/// Makes more room for a value that has filled its buffer; `false` if there is no memory.
#[cold]
fn grow(data: &mut Vec<u8>, whole: usize, reserve: Reserve) -> bool {
    let more = whole.min(data.len().saturating_mul(4)) - data.len();
    if reserve(data, more).is_err() {
        return false;
    }
    data.resize(data.len() + more, 0);
    true
}

/// Whether the bytes after the data end it; not yet, if they are cut off.
#[inline]
fn ends(behind: &[u8]) -> Result<bool, Error> {
    match behind {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(unexpected(&behind[..behind.len().min(DATA_END.len())], "the end of a value")),
    }
}

#[inline]
pub(super) fn hit(item: Item, data: ValueBytes) -> Reply {
    if item.is_lost {
        return Reply::NoMemory(item.index, item.length);
    }
    Reply::Value(item.index, Value { data, flags: item.flags, cas: item.cas })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::reply::{Expected, ExpectedKeys, Opaque};

    #[test]
    fn small_values_of_a_reply_are_their_own_however_the_buffer_is_cut_and_moved() {
        let data = |at: usize| format!("{at:0>width$}", width = 1 + at * 7 % 900);
        let mut stream = String::new();
        for at in 0..300 {
            let data = data(at);
            stream += &format!("VALUE {} 0 {}\r\n{data}\r\n", ["a", "b", "c"][at % 3], data.len());
            stream += if at % 3 == 2 { "END\r\n" } else { "" };
        }
        for piece in [usize::MAX, 5000, 4096, 700, 1] {
            let values =
                decode(ReplyKind::Values, stream.as_bytes(), piece).into_iter().filter_map(|reply| match reply {
                    (Reply::Value(_, value), _) => Some(value.into_bytes()),
                    _ => None,
                });
            assert_eq!(values.collect::<Vec<_>>(), (0..300).map(data).collect::<Vec<_>>(), "{piece}");
        }
    }

    /// The replies of this kind in a stream, which comes in pieces of at most `piece` bytes, if there is no memory.
    fn decode(reply_kind: ReplyKind, mut stream: &[u8], piece: usize) -> Vec<(Reply, bool)> {
        let (mut decoder, mut keys, mut replies) =
            (Decoder::new(Limits::default()), ExpectedKeys::default(), Vec::new());
        decoder.run_out_of_memory();
        decoder.expect(Expected::new(reply_kind, Opaque::from_ticket(7)));
        let ask = |keys: &mut ExpectedKeys| {
            [b"a", b"b", b"c"].iter().for_each(|key| keys.push(*key));
            keys.open(keys.size());
        };
        ask(&mut keys);
        loop {
            let space = decoder.read_buf();
            let n = space.len().min(stream.len()).min(piece);
            space[..n].copy_from_slice(&stream[..n]);
            decoder.advance_read(n);
            stream = &stream[n..];
            while let Some(reply) = decoder.decode(&mut keys, true).expect("replies") {
                if reply.1 {
                    keys.close();
                    ask(&mut keys);
                }
                replies.push(reply);
            }
            if n == 0 {
                assert!(decoder.is_empty() && decoder.announced() == 0);
                return replies;
            }
        }
    }

    #[test]
    fn a_small_value_lies_within_its_reply_however_it_comes() {
        for (length, is_inline) in [(0, true), (ValueBytes::INLINE, true), (ValueBytes::INLINE + 1, false)] {
            let data = "v".repeat(length);
            for (reply_kind, stream) in [
                (ReplyKind::Value, format!("VALUE a 0 {length}\r\n{data}\r\nEND\r\n")),
                (ReplyKind::Values, format!("VALUE a 0 {length}\r\n{data}\r\nEND\r\n")),
                (ReplyKind::MetaValue, format!("VA {length} f0 O0007\r\n{data}\r\n")),
            ] {
                for piece in [usize::MAX, 1] {
                    let replies = decode(reply_kind, stream.as_bytes(), piece);
                    let Reply::Value(0, value) = &replies[0].0 else { panic!("{replies:?}") };
                    assert_eq!(value, &data);
                    assert_eq!(matches!(value.data, ValueBytes::Inline(..)), is_inline, "{stream:?} in {piece}");
                }
            }
        }
    }

    #[test]
    fn a_value_without_memory_passes_by_and_what_follows_is_in_step() {
        // Room for more is needed once a mebibyte has come; some of what follows the value may be in it.
        for length in (FIRST - BEHIND - 1..FIRST + 2).chain([2 * FIRST]) {
            let value = |head: &str, end: &str| [head.as_bytes(), &vec![b'v'; length], end.as_bytes()].concat();
            let is_lost = length + DATA_END.len() > FIRST;
            let large = |index| match is_lost {
                true => Reply::NoMemory(index, length),
                false => Reply::Value(index, Value::new(vec![b'v'; length].into(), 3)),
            };
            let small = |index| Reply::Value(index, Value::new("x".into(), 0));
            let of_one = value(&format!("VALUE a 3 {length}\r\n"), "\r\nEND\r\n");
            let of_several =
                value(&format!("VALUE a 0 1\r\nx\r\nVALUE b 3 {length}\r\n"), "\r\nVALUE c 0 1\r\nx\r\nEND\r\n");
            let of_meta = value(&format!("VA {length} f3 O0007\r\n"), "\r\n");
            for piece in [usize::MAX, 1000, FIRST - 1] {
                assert!(decode(ReplyKind::Value, &of_one, piece) == [(large(0), true)], "{length}, {piece}");
                assert!(decode(ReplyKind::MetaValue, &of_meta, piece) == [(large(0), true)], "{length}, {piece}");
                let several = [(small(0), false), (large(1), false), (small(2), false), (Reply::End, true)];
                assert!(decode(ReplyKind::Values, &of_several, piece) == several, "{length}, {piece}");
            }
        }
    }
}
