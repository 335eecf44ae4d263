//! One reply after another, cut in two ways.

use memcached2_proto::Reply;
use memcached2_proto::reply::{Decoder, Expected, ExpectedKeys, Opaque, ReplyKind};

use super::limits;

pub(super) const KINDS: [ReplyKind; 31] = [
    ReplyKind::Stored,
    ReplyKind::Deleted,
    ReplyKind::Number,
    ReplyKind::Version,
    ReplyKind::Value,
    ReplyKind::Values,
    ReplyKind::MetaValue,
    ReplyKind::Stats,
    ReplyKind::Stat,
    ReplyKind::Prefixes,
    ReplyKind::Items,
    ReplyKind::Reset,
    ReplyKind::Touched,
    ReplyKind::Ok,
    ReplyKind::FencedValues,
    ReplyKind::MetaStored,
    ReplyKind::MetaDeleted,
    ReplyKind::MetaNumber,
    ReplyKind::ProbeKey,
    ReplyKind::ProbeEnd,
    ReplyKind::MetaGet,
    ReplyKind::MetaSet,
    ReplyKind::MetaDelete,
    ReplyKind::MetaArithmetic,
    ReplyKind::MetaDebug,
    ReplyKind::MetaNoop,
    ReplyKind::QuietGet,
    ReplyKind::QuietSet,
    ReplyKind::QuietDelete,
    ReplyKind::QuietArithmetic,
    ReplyKind::Config,
];

/// Decodes `data` as replies of one kind: in one piece and in small ones it must be the same replies.
///
/// The first byte chooses the kind of reply and whether there is a fence, the second one the size of the pieces.
pub fn decoder(data: &[u8]) {
    let [kind, piece, stream @ ..] = data else { return };
    let mut expected = Expected::new(KINDS[usize::from(*kind & 0x7f) % KINDS.len()], Opaque::from_ticket(7));
    expected.is_fenced = *kind & 0x80 != 0;
    let whole = decode(stream, expected, usize::MAX);
    let pieces = decode(stream, expected, usize::from(*piece) + 1);
    assert_eq!(whole, pieces, "replies depend on how the bytes were cut");
}

/// The replies in a stream, and whether it ended in an error.
fn decode(mut stream: &[u8], expected: Expected, piece: usize) -> (Vec<(Reply, bool)>, bool) {
    let mut decoder = Decoder::new(limits());
    let mut keys = ExpectedKeys::default();
    let mut replies = Vec::new();
    ask(&mut keys);
    decoder.expect(expected);
    loop {
        match decoder.decode(&mut keys, true) {
            Err(_) => return (replies, true),
            Ok(Some((reply, last))) => {
                replies.push((reply, last));
                if last {
                    keys.close();
                    ask(&mut keys);
                }
            }
            Ok(None) if stream.is_empty() => return (replies, false),
            Ok(None) => {
                let space = decoder.read_buf();
                assert!(!space.is_empty(), "no room for what comes next");
                let n = space.len().min(stream.len()).min(piece);
                space[..n].copy_from_slice(&stream[..n]);
                decoder.advance_read(n);
                stream = &stream[n..];
            }
        }
    }
}

fn ask(keys: &mut ExpectedKeys) {
    let names: [&[u8]; 4] = [b"a", b"bb", b"a", b"ccc"];
    names.iter().for_each(|key| keys.push(key));
    keys.open(keys.size());
}
