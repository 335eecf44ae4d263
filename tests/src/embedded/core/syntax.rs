//! Words, numbers and base64 as memcached reads them.

/// How many words of a line are split off at once; what follows stays one piece.
const WORDS: usize = 23;

/// A request line, split at its blanks.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) words: Vec<&'a [u8]>,
    /// What follows the last word that fits.
    pub(super) rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// Splits a line, which ends at its first NUL.
    pub(super) fn split(line: &'a [u8]) -> Self {
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut words = Vec::new();
        let mut start = 0;
        for (at, byte) in line.iter().enumerate() {
            if *byte != b' ' {
                continue;
            }
            if start < at {
                words.push(&line[start..at]);
                if words.len() == WORDS {
                    return Self { words, rest: &line[at + 1..] };
                }
            }
            start = at + 1;
        }
        if start < line.len() {
            words.push(&line[start..]);
        }
        Self { words, rest: &[] }
    }

    /// Returns whether the last word is `noreply`.
    pub(super) fn noreply(&self) -> bool {
        self.words.last().is_some_and(|word| *word == b"noreply")
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads the sign and the digits that `strtoull` would; white space or a NUL may follow.
fn digits(text: &[u8]) -> Option<(bool, u64)> {
    let mut text = text.trim_ascii_start();
    // Rust counts no vertical tab among the white space.
    while let [first, rest @ ..] = text {
        if !is_space(*first) {
            break;
        }
        text = rest;
    }
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(count);
    if number.is_empty() || rest.first().is_some_and(|byte| !is_space(*byte) && *byte != 0) {
        return None;
    }
    let step = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    number.iter().try_fold(0, step).map(|number| (negative, number))
}

/// Reads a number of 64 bits; a small negative one wraps.
pub(super) fn u64_of(text: &[u8]) -> Option<u64> {
    let (negative, number) = digits(text)?;
    let number = if negative { number.wrapping_neg() } else { number };
    let too_large_for_a_sign = number > i64::MAX as u64 && text.contains(&b'-');
    (!too_large_for_a_sign).then_some(number)
}

/// Reads a number of 64 bits and keeps the lower 32.
pub(super) fn u32_of(text: &[u8]) -> Option<u32> {
    u64_of(text).map(|number| number as u32)
}

/// Reads a signed number of 64 bits and keeps the lower 32.
pub(super) fn i32_of(text: &[u8]) -> Option<i32> {
    let (negative, number) = digits(text)?;
    let number = if negative { -i128::from(number) } else { i128::from(number) };
    i64::try_from(number).ok().map(|number| number as i32)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes in base64, with padding.
pub(super) fn to_base64(bytes: &[u8], text: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let padding = place > chunk.len();
            text.push(if padding { b'=' } else { ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] });
        }
    }
}

/// Reads base64; bytes outside of the alphabet are skipped.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'=' => Some(0),
        _ => ALPHABET.iter().position(|letter| *letter == byte),
    };
    let letters: Vec<_> = text.iter().filter_map(|byte| Some((*byte, value(*byte)?))).collect();
    if letters.is_empty() || letters.len() % 4 != 0 {
        return None;
    }
    let mut bytes = Vec::new();
    for block in letters.chunks(4) {
        let bits = block.iter().fold(0, |bits, (_, value)| bits << 6 | value);
        let padding = block.iter().filter(|(letter, _)| *letter == b'=').count();
        if padding > 2 {
            return None;
        }
        bytes.extend([bits >> 16, bits >> 8, bits].map(|byte| byte as u8).into_iter().take(3 - padding));
        if padding > 0 {
            break;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_blanks_up_to_its_limit() {
        let many = "k ".repeat(30);
        let cases: [(&[u8], usize, usize); 6] = [
            (b"", 0, 0),
            (b"  get   a  ", 2, 0),
            (b"get\ta", 1, 0),
            (b"get a\0b c", 2, 0),
            (many.as_bytes(), 23, 14),
            (&many.as_bytes()[..45], 23, 0),
        ];
        for (line, words, rest) in cases {
            let split = Line::split(line);
            assert_eq!((split.words.len(), split.rest.len()), (words, rest), "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn numbers_are_read_as_in_c() {
        let cases = [
            ("0", Some(0), Some(0)),
            ("+5", Some(5), Some(5)),
            ("-5", None, Some(-5)),
            ("\t7", Some(7), Some(7)),
            ("1 2", Some(1), Some(1)),
            ("1x", None, None),
            ("", None, None),
            ("-", None, None),
            ("4294967296", Some(4_294_967_296), Some(0)),
            ("18446744073709551615", Some(u64::MAX), None),
            ("-18446744073709551615", Some(1), None),
            ("18446744073709551616", None, None),
            ("00000000000000000000000000001", Some(1), Some(1)),
        ];
        for (text, unsigned, signed) in cases {
            assert_eq!((u64_of(text.as_bytes()), i32_of(text.as_bytes())), (unsigned, signed), "{text:?}");
        }
    }

    #[test]
    fn base64_comes_back() {
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"foob", b"\0\xff\r\n "] {
            let mut text = Vec::new();
            to_base64(bytes, &mut text);
            assert_eq!(from_base64(&text).unwrap_or_default(), bytes);
        }
        for wrong in [&b"Zm9"[..], b"=", b"!!!!", b"Z===", b"===="] {
            assert_eq!(from_base64(wrong), None);
        }
    }
}
