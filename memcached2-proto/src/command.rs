//! A request to one server and the type of its answer.
//!
//! For users who [run](crate::Operation) a command that has no method, for embedders who submit to a
//! [`Connection`](crate::Connection), and for authors of their own [`Command`].

mod admin;
mod change;
mod counter;
mod detach;
mod everyday;
pub mod meta;
mod noreply;
mod quiet;
mod retrieve;
mod stats;
mod store;

pub use self::admin::*;
pub use self::change::{Delete, Touch};
pub use self::counter::{Decr, Incr};
pub use self::detach::{Answer, Detach};
pub use self::everyday::{CountOr, DeleteCas, Exists, GetIfChanged, GetWithTtl, IfChanged, Metadata};
pub use self::noreply::NoReply;
pub use self::quiet::{Quiet, QuietPart};
#[cfg(feature = "routing")]
pub(crate) use self::retrieve::GetOptions;
pub use self::retrieve::{Get, GetPart, Gets};
pub use self::stats::*;
pub use self::store::Store;

use crate::error::Error;
use crate::key::Key;
pub use crate::key::RoutingKey;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::Request;
pub use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// The two sets of commands that memcached knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The classic text commands, which every server speaks.
    #[default]
    Classic,
    /// The meta commands, in the form that memcached speaks from 1.6.10 on. Their replies repeat an opaque number of the
    /// request, so that each is checked. memcached before 1.6.35 gathers the replies to many `mg` into one packet, and
    /// sends one for each `get`: many callers on one connection are served several times as fast.
    ///
    /// Set it only for servers that surely speak it: one before 1.6 answers an `ms` with `ERROR`, and reads the value
    /// as commands. A proxy refuses most requests about a whole server (`stats`, `flush_all`, `verbosity`), and some
    /// proxies close the connection for it, in either protocol.
    ///
    /// What a caller gets is the same in both. What else differs:
    ///
    /// * A `get`, `gets`, `gat` or `gats` of one key, or of the last of several, is an `mg`. If another client has
    ///   marked the item as stale (`md` or `ms` with flag `I`), the first `mg` takes the win: it uses up the sign that
    ///   tells such a client to compute the item again (`doc/protocol.txt` of memcached 1.6.45, "Meta Get", flag `W`).
    ///   A classic `get` does not, and `mg` has no flag to prevent it. If such clients read the same items, set
    ///   [`Protocol::Classic`].
    /// * `add`, `replace`, `append`, `prepend`, `cas`, `touch`, `flush_all`, `verbosity`, `version` and `stats` are classic
    ///   commands followed by a fence, an `md` that deletes nothing: an `ms` under a condition removes the old value if there is no room for the
    ///   new one, and an `mg` with `T` takes the win. Each counts as a miss in the server's `delete_misses`, and so does
    ///   the question for the protocol at the beginning of a connection.
    /// * `stats detail` counts classic commands only.
    /// * An error line carries no opaque, and before memcached 1.6.18 a miss does not either. It is reported when the next
    ///   reply has shown that it is that of its request; if no further request is under way, the connection asks an `mn`
    ///   for that, which takes one more round trip.
    Meta,
}

/// A request, and the type of its answer.
///
/// It is immutable, so that a retry just encodes it again, and borrows key and value: encoding copies them once.
pub trait Command {
    /// What the answer is to the caller.
    type Response;

    /// Appends the request to `out` and says where its reply ends.
    ///
    /// What it appends is one request, to which the server gives one reply of this kind, and its fence:
    ///
    /// * One line that ends in CR LF, and, where the command has one, a data block with another CR LF after it. Two lines have two replies,
    ///   and the second one is taken for that to the next request. That may be another caller's: only a reply that is checked, as all
    ///   are where [meta](Protocol::Meta) is spoken, closes the connection instead.
    /// * Nothing by which the server leaves out the reply: no `noreply`, and no flag `q`.
    /// * A key that the reply names by [`RequestBuffer::ask_key`], and any other by [`RequestBuffer::put_key`]. A reply that names a key
    ///   which was not asked for closes the connection.
    /// * The opaque, by [`RequestBuffer::end_with_opaque`], for a kind of reply that carries it.
    /// * A data block only if the kind of reply is [`ReplyKind::Stored`], [`ReplyKind::MetaStored`] or [`ReplyKind::MetaSet`], or a fence
    ///   follows. Else an error line is taken for all that comes, though the server may read the block as commands.
    /// * At most one fence ([`RequestBuffer::put_fence`], [`RequestBuffer::put_server_fence`]), as the last thing, and only where `protocol` is
    ///   [`Protocol::Meta`]. [`ReplyKind::FencedValues`] has one in it.
    ///
    /// The kinds of quiet batches are for a [`QuietPart`] only, and those of the probe for the connection itself.
    ///
    /// # Errors
    ///
    /// If the request cannot be encoded; what was appended before is removed, also if it panics. A request that has no bytes, or whose fence
    /// is not in its place, is refused after it was encoded; and, in a build with debug assertions, one that does not end in CR LF. What else
    /// is wrong of the above is not noticed before the reply comes.
    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error>;

    /// Reads the response from the last reply to the request. Of a request for several keys the replies before the last one go to
    /// [`Progress::take_reply`](crate::call::Progress::take_reply).
    ///
    /// # Errors
    ///
    /// Those of [`Reply::into_error`] for each reply that is no answer to this command: the refusal of the server, or
    /// [`Error::Protocol`].
    fn answer(&self, reply: Reply) -> Result<Self::Response, Error>;

    /// The name of the command in both protocols, for errors and an [`Observer`](crate::Observer).
    fn name(&self) -> &'static str {
        "command"
    }

    /// How many keys it asks for.
    fn keys(&self) -> usize {
        1
    }

    /// About how many bytes of values it moves, as far as that is known before it is sent: from 64 KiB on, all requests of a
    /// call to one server together, an asynchronous client sends it on a connection for
    /// [large transfers](crate::guide::sharing#large-transfers).
    fn transfer_size(&self) -> usize {
        0
    }

    /// Its key, if it has one and no other: what an error names.
    fn only_key(&self) -> Option<Key<'_>> {
        None
    }

    /// The key that it asks for at a place among [all of them](Command::keys).
    fn key_at(&self, place: usize) -> Option<Key<'_>> {
        self.only_key().filter(|_| place == 0)
    }

    /// Calls `act` with the key of each item that it writes: what a [journal](crate::Options::journal) keeps if it fails.
    fn for_each_written(&self, act: &mut dyn FnMut(Key<'_>)) {
        const WRITES: [&str; 12] =
            ["set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "ms", "md", "ma"];
        if let (true, Some(key)) = (WRITES.contains(&self.name()), self.only_key()) {
            act(key);
        }
    }

    /// Whether asking twice does no harm: true for pure reads only.
    fn repeatable(&self) -> bool {
        false
    }

    /// What becomes of it where each item has several copies. A pure read is asked of one, and everything else is refused unless
    /// this says that it is written to all.
    fn on_replicas(&self) -> OnReplicas {
        if self.repeatable() { OnReplicas::Read } else { OnReplicas::Refuse }
    }
}

/// What becomes of a command where each item has several copies: see the guide [replicas](crate::guide::replicas).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnReplicas {
    /// One replica is asked, and the next one if it fails.
    Read,
    /// Every replica is asked: the item is the same in all of them, whatever was there before.
    Write,
    /// It is refused: what it does depends on the copy, and would make them differ.
    Refuse,
}

impl RequestBuffer {
    /// Encodes the whole request of a command, or nothing of it.
    #[inline]
    pub(crate) fn request<C: Command + ?Sized>(
        &mut self,
        command: &C,
        protocol: Protocol,
        now: Now,
        tag: u32,
    ) -> Result<Request, Error> {
        self.encode(tag, |buffer| command.encode(protocol, now, buffer))
    }
}

/// A command about a single key, which decides the server.
///
/// For a command of your own, such as one that a vendor has added, implement it and [`Command`]: every client runs it, with
/// retry and failover. This one is answered as a `get` is:
///
/// ```
/// use memcached2_proto::command::{Command, Keyed, Protocol, RequestBuffer};
/// use memcached2_proto::reply::{Reply, ReplyKind};
/// use memcached2_proto::{Error, Key, Now, Value};
///
/// /// Fetches a part of a value: `getrange <key> <first> <last>`.
/// struct GetRange<'k> {
///     key: Key<'k>,
///     first: u64,
///     last: u64,
/// }
///
/// impl Command for GetRange<'_> {
///     type Response = Option<Value>;
///
///     fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
///         out.put(b"getrange ");
///         // With the prefix of the client. The reply must name this key; where it names none, it is `put_key`.
///         out.ask_key(self.key);
///         out.put(format!(" {} {}\r\n", self.first, self.last).as_bytes());
///         if protocol == Protocol::Meta {
///             // Proves that the reply belongs to this request.
///             out.put_fence(self.key);
///         }
///         Ok(ReplyKind::Value)
///     }
///
///     fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
///         match reply {
///             Reply::Value(_, value) => Ok(Some(value)),
///             Reply::Miss => Ok(None),
///             other => Err(other.into_error()),
///         }
///     }
///
///     fn name(&self) -> &'static str {
///         "getrange"
///     }
///
///     // Errors name it.
///     fn only_key(&self) -> Option<Key<'_>> {
///         Some(self.key)
///     }
///
///     // It only reads, so it is sent again if its connection turns out dead. A write keeps the default, which is `false`.
///     fn repeatable(&self) -> bool {
///         true
///     }
/// }
///
/// impl Keyed for GetRange<'_> {
///     fn key(&self) -> Key<'_> {
///         self.key
///     }
/// }
///
/// let range = GetRange { key: Key::new("greeting")?, first: 1, last: 3 };
/// // let part = client.run(range)?;
/// # let mut connection = memcached2_proto::Connection::new(memcached2_proto::Limits::default());
/// # let now = Now::fixed(memcached2_proto::Instant::ZERO, std::time::UNIX_EPOCH);
/// # connection.submit(&range, now, 1)?;
/// # assert_eq!(connection.take_outgoing().as_deref(), Some(&b"getrange greeting 1 3\r\n"[..]));
/// # let mut part = None;
/// # connection.feed(b"VALUE greeting 0 3\r\nell\r\nEND\r\n", |_, reply, _| part = Some(range.answer(reply)))?;
/// # assert!(part.unwrap()?.is_some_and(|part| part == "ell"));
/// # Ok::<(), Error>(())
/// ```
///
/// A command that writes and may be used with [replicas](crate::guide::replicas) also says so by [`Command::on_replicas`]; one for
/// a [`TypedConnection`](crate::connection::TypedConnection) implements [`Detach`]. A line about a whole server is a [`Raw`].
pub trait Keyed: Command {
    /// The key, as it is written: in base64, if it is the key of a [meta command](meta) that is no plain text.
    fn key(&self) -> Key<'_>;

    /// What decides the server: the key, or the bytes that its base64 stands for.
    #[inline]
    fn routing_key(&self) -> RoutingKey<'_> {
        self.key().into()
    }
}

/// The reply, unless it is a refusal.
#[inline]
fn accepted(reply: Reply) -> Result<Reply, Error> {
    match reply {
        refusal @ Reply::Refused(_) => Err(refusal.into_error()),
        reply => Ok(reply),
    }
}
