//! Any bytes to the embedded server.

use memcached2_testkit::embedded::Core;

/// When the server starts, in Unix time.
const START: u64 = 1_800_000_000;

/// Sends `data` to the embedded server, whole and in pieces: the replies are the same.
///
/// The first byte is the size of the pieces. What depends on the pieces, as it does in memcached, is left out.
pub fn embedded(data: &[u8]) {
    let [piece, requests @ ..] = data else { return };
    let (whole, is_closed) = replies(requests, usize::MAX);
    let (pieces, _) = replies(requests, usize::from(*piece) + 1);
    let longest = |ends: &[u8]| requests.split(|byte| ends.contains(byte)).map(<[u8]>::len).max().unwrap_or_default();
    let (line, word) = (longest(b"\n"), longest(b"\n "));
    let depends = |word: &[u8]| requests.windows(word.len()).any(|words| words == word);
    // Statistics count reads, a counter that gets shorter is padded unless its reply is under way, a long line ends the connection unless
    // it is whole, a `get` of a key that is too long takes the replies before it that are not sent, what leaves the mode of requests must be alone, and a connection that is closed takes replies with it.
    let depends = [&b"stats"[..], b"incr", b"decr", b"ma ", b"dump", b"watch"].into_iter().any(depends);
    if !depends && !is_closed && line < 1024 && word <= 250 {
        // Which replies before a data block that is incomplete are not sent yet depends on the pieces, too.
        let [whole, pieces] = [whole, pieces].map(|replies| replies.escape_ascii().to_string());
        let is_same = pieces.starts_with(&whole) || whole.starts_with(&pieces);
        assert!(is_same, "{whole} in one piece, {pieces} in several");
    }
}

/// What the server replies, and whether it has closed the connection.
fn replies(requests: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut core = Core::new(START);
    let mut session = core.connect();
    let mut replies = Vec::new();
    for piece in requests.chunks(piece) {
        session.feed(&mut core, piece, START);
        replies.extend(std::iter::from_fn(|| session.take_outgoing()).flatten());
    }
    let is_closed = session.is_closed();
    session.close(&mut core);
    (replies, is_closed)
}
