//! What an attacker would like to see in a key, a value, a password.

use memcached2_testkit::Rng;

use super::world::WITNESS;

/// What ends words and lines, whole commands, and what has a meaning in a request.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"  ",
    b"\t",
    b"\x0b",
    b"\x1b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"k",
    b"key:1",
    b"noreply",
    b" noreply",
    b" noreply ",
    b"0",
    b" 0 0 1",
    b"-1",
    b"flush_all",
    b"\r\nflush_all\r\n",
    b"\r\nset pwned 0 0 1\r\nx\r\n",
    b"\nms pwned 1 q\nx\n",
    b"\r\nmd ~witness~ q\r\n",
    b" ~witness~",
    b" b",
    b" q",
    b" O0000",
    b" C18446744073709551615",
    b"AA==",
    b"\r\nEND\r\n",
    b"\r\nHD O0000\r\n",
    b"set",
    b"set ",
    b"ms ",
    b"watch",
    b"quit\r\n",
    b"shutdown",
    b"lru_crawler  metadump all",
    b"verbosity 1",
    b":",
    b"@",
    b"%",
    b"%0d%0aflush_all%0d%0a",
    b"%00",
    b"?",
    b"#",
    "\u{2028}".as_bytes(),
    "\u{ff0d}\u{ff0a}".as_bytes(),
    // UTF-8 of a line end with a byte too many.
    b"\xc0\x8d\xc0\x8a",
];

/// Pieces in a row, sometimes very many, sometimes with any bytes between them.
pub(crate) fn nasty(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.below(6) {
        match rng.below(8) {
            0 => bytes.extend((0..rng.below(20)).map(|_| rng.below(256) as u8)),
            1 => bytes.extend(vec![b'a'; rng.pick(&[1, 180, 186, 187, 240, 249, 250, 251, 2000, 20_000])]),
            _ => bytes.extend(rng.pick(PIECES)),
        }
    }
    bytes
}

/// The same, but in one of two cases what can be a key, so that not everything is refused. It is not that of the witness.
pub(crate) fn key(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = nasty(rng);
    if rng.once_in(2) {
        bytes.retain(|byte| is_of_a_key(*byte));
        bytes.truncate(rng.pick(&[20, 200, 250]));
    }
    if bytes == WITNESS {
        bytes.push(b'2');
    }
    bytes
}

fn is_of_a_key(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// The rule of `doc/protocol.txt` of memcached 1.6.45, "Keys".
pub(crate) fn is_key(bytes: &[u8]) -> bool {
    (1..=250).contains(&bytes.len()) && bytes.iter().all(|byte| is_of_a_key(*byte))
}
