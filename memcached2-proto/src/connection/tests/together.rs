//! Replies that come together are taken together: what is left afterwards is the same as if each had come alone.

use super::*;
use crate::command::{Delete, Keyed, Store};
use crate::key::Key;

/// A store by meta whose reply names its key, as a command of one's own may ask for.
struct NamedStore<'k>(Key<'k>);

impl Command for NamedStore<'_> {
    type Response = ();

    fn name(&self) -> &'static str {
        "named store"
    }

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"ms ");
        out.ask_key(self.0);
        out.put(b" 0");
        out.end_with_opaque();
        out.put(b"\r\n");
        Ok(ReplyKind::MetaStored)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        if reply == Reply::Stored { Ok(()) } else { Err(Error::closed()) }
    }
}

impl Keyed for NamedStore<'_> {
    fn key(&self) -> Key<'_> {
        self.0
    }
}

/// A meta command with a fence behind it, though its reply has an opaque of its own.
struct Fenced(ReplyKind);

impl Command for Fenced {
    type Response = ();

    fn name(&self) -> &'static str {
        "fenced"
    }

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(if self.0 == ReplyKind::MetaValue { b"mg key v f" } else { b"md key" });
        out.end_with_opaque();
        out.put_server_fence();
        Ok(self.0)
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Delete,
    Get,
    NamedStore,
    FencedDelete,
    FencedGet,
    /// Its caller is gone when it has been written.
    Cancelled,
}

const KINDS: [Kind; 7] =
    [Kind::Set, Kind::Delete, Kind::Get, Kind::NamedStore, Kind::FencedDelete, Kind::FencedGet, Kind::Cancelled];

fn submit(connection: &mut Connection, kind: Kind, tag: u32) -> u64 {
    match kind {
        Kind::Delete => connection.submit(&Delete::new("key").unwrap(), now(), tag),
        Kind::Get => connection.submit(&Get::new("key").unwrap(), now(), tag),
        Kind::NamedStore => connection.submit(&NamedStore(Key::new("key").unwrap()), now(), tag),
        Kind::FencedDelete => connection.submit(&Fenced(ReplyKind::MetaDeleted), now(), tag),
        Kind::FencedGet => connection.submit(&Fenced(ReplyKind::MetaValue), now(), tag),
        Kind::Set | Kind::Cancelled => connection.submit(&Store::set("key", "value").unwrap(), now(), tag),
    }
    .unwrap()
}

/// The replies to requests of these kinds, and to a classic `get` after them, if at most `at_once` bytes come together.
fn replies(kinds: &[Kind], at_once: usize) -> Vec<(u32, Reply, bool)> {
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(Protocol::Meta);
    let (mut replies, mut said) = (Vec::new(), Vec::new());
    for (tag, kind) in (0..).zip(kinds) {
        let ticket = submit(&mut connection, *kind, tag);
        write(&mut connection);
        if *kind == Kind::Cancelled {
            assert!(!connection.cancel(ticket), "it was written");
        }
        let opaque = *Opaque::from_ticket(ticket).as_line_end();
        said.extend(match kind {
            Kind::Get | Kind::FencedGet => [b"VA 1 f0", &opaque[..], b"v\r\n"].concat(),
            _ => [b"HD", &opaque[..]].concat(),
        });
        if matches!(kind, Kind::FencedDelete | Kind::FencedGet) {
            said.extend([b"NF", &opaque[..]].concat());
        }
    }
    let mut take = |connection: &mut Connection, bytes: &[u8]| {
        for piece in bytes.chunks(at_once) {
            connection.feed(piece, |tag, reply, last| replies.push((tag, reply, last))).unwrap();
        }
        assert!(connection.is_idle(), "{kinds:?}");
    };
    take(&mut connection, &said);
    connection.set_protocol(Protocol::Classic);
    connection.submit(&Get::new("last").unwrap(), now(), 99).unwrap();
    write(&mut connection);
    take(&mut connection, b"VALUE last 0 1\r\nv\r\nEND\r\n");
    replies
}

#[test]
fn replies_that_come_together_are_those_that_come_one_by_one() {
    let mut sequence = [0; 4];
    for number in 0..KINDS.len().pow(4) {
        let mut rest = number;
        for place in &mut sequence {
            (*place, rest) = (rest % KINDS.len(), rest / KINDS.len());
        }
        let kinds = sequence.map(|kind| KINDS[kind]);
        let together = replies(&kinds, usize::MAX);
        assert_eq!(together, replies(&kinds, 1), "{kinds:?}");
        let tags: Vec<u32> = together.iter().map(|(tag, ..)| *tag).collect();
        assert_eq!(tags, [0, 1, 2, 3, 99], "{kinds:?}");
    }
}
