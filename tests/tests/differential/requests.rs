//! Random requests: right ones, wrong ones, and those in between.

use memcached2_testkit::Rng;

use super::draw::Draw;

/// A part of a request.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// A cas that has appeared, counted from the last one, and what is added to it.
    Cas(usize, i64),
}

impl<T: Into<Vec<u8>>> From<T> for Piece {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

pub(crate) type Command = Vec<Piece>;

/// Requests that are sent before their answers are read.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) commands: Vec<Command>,
    /// The lengths of the writes but the last one.
    pub(crate) cuts: Vec<usize>,
    /// The server hangs up.
    pub(crate) ends: bool,
}

impl Batch {
    pub(crate) fn whole(commands: Vec<Command>) -> Self {
        Self { commands, cuts: Vec::new(), ends: false }
    }
}

/// Which requests are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    /// Right ones, wrong ones, and those in between.
    Any,
    /// Those that a client sends which checks what it sends: all versions read them in the same way.
    Right,
}

/// Draws this many commands, or some more, which use their own keys.
pub(crate) fn sequence(
    rng: &mut Rng,
    prefix: &str,
    count: usize,
    item_size_max: usize,
    requests: Requests,
) -> Vec<Batch> {
    let mut draw = Draw { rng, prefix, item_size_max, is_right: requests == Requests::Right };
    let mut batches = Vec::new();
    let mut drawn = 0;
    while drawn < count {
        let batch = draw.batch();
        drawn += batch.commands.len();
        batches.push(batch);
    }
    let ends: [&[u8]; 4] = [b"quit\r\n", b"quit now\r\n", b"hello HTTP/1.1\r\n", &[b'x'; 3000]];
    let get = draw.get();
    let end = if draw.is_right { ends[0] } else { draw.rng.pick(&ends) };
    let commands = vec![draw.end(get), vec![Piece::from(end)]];
    batches.push(Batch { ends: true, ..Batch::whole(commands) });
    batches
}
