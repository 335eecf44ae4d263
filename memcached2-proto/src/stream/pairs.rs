//! `name=value name=value`, with values in percent-encoding.

use bytes::Bytes;

/// The pairs of a line. A word without `=` belongs to the value before it, and a message goes to the end of the line.
pub(super) fn pairs(line: &[u8]) -> Vec<(&[u8], &[u8])> {
    /// Free text, which may hold anything.
    const TO_THE_END: [&[u8]; 2] = [b"msg", b"req"];
    let mut pairs: Vec<(&[u8], &[u8], usize)> = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let end = memchr::memchr(b' ', &line[at..]).map_or(line.len(), |found| at + found);
        match (memchr::memchr(b'=', &line[at..end]), pairs.last_mut()) {
            (Some(equals), _) => {
                let (name, value) = (&line[at..at + equals], at + equals + 1);
                if TO_THE_END.contains(&name) {
                    pairs.push((name, &line[value..], value));
                    break;
                }
                pairs.push((name, &line[value..end], value));
            }
            (None, Some((_, value, begun))) if end > at => *value = &line[*begun..end],
            (None, _) => {}
        }
        at = end + 1;
    }
    pairs.into_iter().map(|(name, value, _)| (name, value)).collect()
}

/// A key in percent-encoding. What is no code of a byte is kept as it is.
pub(super) fn decoded(text: &[u8]) -> Bytes {
    let Some(first) = memchr::memchr(b'%', text) else { return Bytes::copy_from_slice(text) };
    let (mut bytes, mut at) = (text[..first].to_vec(), first);
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(16 * high + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes.into()
}

pub(super) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn text(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_at_blanks_and_messages_are_not() {
        let line = b"a=1  b= c=x y =z e=m=n msg=p=q r ";
        let expected: [(&[u8], &[u8]); 6] =
            [(b"a", b"1"), (b"b", b""), (b"c", b"x y"), (b"", b"z"), (b"e", b"m=n"), (b"msg", b"p=q r ")];
        assert_eq!(pairs(line), expected);
        assert_eq!(pairs(b"word a=1 "), [(&b"a"[..], &b"1"[..])]);
        assert_eq!(pairs(b""), []);
    }

    #[test]
    fn a_code_that_is_none_is_kept() {
        for (text, expected) in [
            (&b"a%20b"[..], &b"a b"[..]),
            (b"%41%4a%fF", b"AJ\xff"),
            (b"%", b"%"),
            (b"a%z1%4", b"a%z1%4"),
            (b"%%41", b"%A"),
            (b"%+1", b"%+1"),
            (b"", b""),
        ] {
            assert_eq!(decoded(text), expected, "{}", text.escape_ascii());
        }
    }
}
