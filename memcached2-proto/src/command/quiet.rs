//! Requests of a quiet batch: those that succeed are not answered.

use std::cell::RefCell;

use super::store::Verb;
use super::{Command, Delete, Keyed, Protocol, Store, accepted};
use crate::error::{Error, Landed};
use crate::key::Key;
use crate::reply::{MetaStatus, Opaque, Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// A command that can be sent in a [quiet batch](crate::operation::QuietBatch), with flag `q` of the meta commands.
///
/// memcached 1.6.10 to 1.6.45 answers it as if it had no `q`, but says nothing to an `mg` that misses (`EN`), to an `ms` or `md` that is
/// carried out (`HD`), and to an `ma` that is (`HD`, `VA`; before 1.6.40 not if it makes the item).
pub trait Quiet: Keyed {
    /// Appends the request as the one at a place in its batch, with the flags that [`RequestBuffer::end_quietly`] writes, and says
    /// what may answer it: [`ReplyKind::QuietGet`], [`ReplyKind::QuietSet`], [`ReplyKind::QuietDelete`] or
    /// [`ReplyKind::QuietArithmetic`], the same for all commands of a batch.
    ///
    /// It ends in CR LF, and has no fence: the batch has one. Whatever else a command may append is said by [`Command::encode`]. A command
    /// that appends nothing, or a fence, or is of another kind than the first one, fails alone, by [`Error::Argument`].
    ///
    /// # Errors
    ///
    /// Those of [`Command::encode`], and [`Error::Argument`] if it asks for something that its success would return.
    fn encode_quiet(&self, at: u32, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error>;

    /// The reply that the server leaves out.
    fn hidden(&self) -> Reply;

    /// Reads the response from the reply to it, a [`Reply::Meta`] mostly, or from the one that was left out.
    ///
    /// # Errors
    ///
    /// Those of [`Command::answer`].
    fn answer_quiet(&self, reply: Reply) -> Result<Self::Response, Error> {
        self.answer(reply)
    }
}

/// A `set` alone: under a condition it is [`MetaSet`](super::meta::MetaSet).
impl Quiet for Store<'_, '_> {
    fn encode_quiet(&self, at: u32, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        match self.verb() {
            Verb::Set => self.put_meta_set(now, out, |out| out.end_quietly(at)).map(|()| ReplyKind::QuietSet),
            _ => Err(Error::argument("a store under a condition is no meta command; `MetaSet` is, in each mode")),
        }
    }

    fn hidden(&self) -> Reply {
        Reply::Stored
    }

    fn answer_quiet(&self, reply: Reply) -> Result<(), Error> {
        self.answer(in_classic_words(reply, Reply::Stored))
    }
}

impl Quiet for Delete<'_> {
    fn encode_quiet(&self, at: u32, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"md ");
        out.put_key(self.key());
        out.end_quietly(at);
        Ok(ReplyKind::QuietDelete)
    }

    fn hidden(&self) -> Reply {
        Reply::Deleted
    }

    fn answer_quiet(&self, reply: Reply) -> Result<bool, Error> {
        self.answer(in_classic_words(reply, Reply::Deleted))
    }
}

/// What a reply says, as the classic protocol says it.
fn in_classic_words(reply: Reply, done: Reply) -> Reply {
    match reply {
        Reply::Meta(meta) => match meta.status {
            MetaStatus::Done => done,
            MetaStatus::NotStored => Reply::NotStored,
            MetaStatus::Exists => Reply::Exists,
            MetaStatus::NotFound => Reply::NotFound,
        },
        reply => reply,
    }
}

/// Commands of a quiet batch that go to one server together, of which those that succeed are not answered: one request of a
/// [`QuietBatch`](crate::operation::QuietBatch), with a [`Reply::Quiet`] for each that is answered, and one at the end.
#[derive(Debug, Clone)]
pub struct QuietPart<C> {
    /// Each with its place in the whole batch.
    items: Vec<(usize, C)>,
    /// Which of them could not be encoded when it was sent last.
    unsent: RefCell<Vec<(usize, Error)>>,
}

impl<C: Quiet> QuietPart<C> {
    /// At most this many, so that the replies fit any socket's buffers if all are refused.
    pub(crate) const MOST: usize = 128;
    /// They are no more once they have this many bytes without values.
    pub(crate) const BYTES: usize = 8 * 1024;
    /// They are no more once their values have this many bytes.
    pub(crate) const VALUES: usize = 64 * 1024;

    /// A request of these commands, at most 4096, each with its place in the whole batch.
    #[must_use]
    pub fn new(items: Vec<(usize, C)>) -> Self {
        Self { items, unsent: RefCell::default() }
    }

    /// The command at a place in this request, and its place in the whole batch.
    pub(crate) fn item(&self, at: usize) -> Option<(usize, &C)> {
        self.items.get(at).map(|(place, command)| (*place, command))
    }

    /// All commands.
    pub(crate) fn items(&self) -> &[(usize, C)] {
        &self.items
    }

    /// Takes the commands out.
    pub(crate) fn take_items(&mut self) -> Vec<(usize, C)> {
        self.unsent.take();
        std::mem::take(&mut self.items)
    }

    /// Why the command at a place could not be encoded, if it could not.
    pub(crate) fn fault(&self, at: usize) -> Option<Error> {
        self.unsent.borrow().iter().find(|(unsent, _)| *unsent == at).map(|(_, error)| error.clone())
    }
}

impl<C: Quiet> Command for QuietPart<C> {
    /// The last reply; the others go where they belong as they come.
    type Response = Reply;

    fn name(&self) -> &'static str {
        self.items.first().map_or("mn", |(_, command)| command.name())
    }

    fn keys(&self) -> usize {
        self.items.len()
    }

    fn transfer_size(&self) -> usize {
        self.items.iter().map(|(_, command)| command.transfer_size()).fold(0, usize::saturating_add)
    }

    fn only_key(&self) -> Option<Key<'_>> {
        match &self.items[..] {
            [(_, command)] => command.only_key(),
            _ => None,
        }
    }

    fn for_each_written(&self, act: &mut dyn FnMut(Key<'_>)) {
        self.items.iter().for_each(|(_, command)| command.for_each_written(act));
    }

    fn repeatable(&self) -> bool {
        self.items.iter().all(|(_, command)| command.repeatable())
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        if protocol == Protocol::Classic {
            return Err(Error::no_meta());
        }
        if self.items.len() > Opaque::PARTS {
            return Err(Error::argument("a request of more than 4096 commands"));
        }
        let mut unsent = self.unsent.borrow_mut();
        unsent.clear();
        let (mut kind, mut others) = (None, 0);
        // The places of those that are sent follow each other.
        let mut next = 0;
        for (at, (_, command)) in self.items.iter().enumerate() {
            let encode = |out: &mut RequestBuffer| match command.encode_quiet(next, now, out)? {
                other if kind.is_some_and(|kind| kind != other) => {
                    Err(Error::argument("a quiet batch of commands that are not of one kind"))
                }
                reply_kind => Ok(reply_kind),
            };
            match out.put_part(encode) {
                Ok((reply_kind, length)) => {
                    next += 1;
                    others += if kind.is_none() { 0 } else { length };
                    kind = Some(reply_kind);
                }
                Err(error) => unsent.push((at, error)),
            }
        }
        let Some(kind) = kind else {
            let error = unsent.first().map(|(_, error)| error.clone());
            return Err(error.unwrap_or_else(|| Error::protocol("a batch of nothing").with_landed(Landed::NotSent)));
        };
        out.end_parts(others);
        Ok(kind)
    }

    fn answer(&self, reply: Reply) -> Result<Reply, Error> {
        accepted(reply)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::connection::Connection;
    use crate::limits::Limits;
    use crate::time::Instant;

    /// A command of one's own, in each form in which it can be wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Own {
        Good,
        /// Its key is asked for, though it is known by its opaque.
        Named,
        Empty,
        Endless,
        Fenced,
        Loud,
        /// It has another kind of reply than the others.
        Other,
        Broken,
    }

    impl Command for Own {
        type Response = ();

        fn encode(&self, _: Protocol, _: Now, _: &mut RequestBuffer) -> Result<ReplyKind, Error> {
            Err(Error::closed())
        }

        fn answer(&self, reply: Reply) -> Result<(), Error> {
            accepted(reply).map(drop)
        }
    }

    impl Keyed for Own {
        fn key(&self) -> Key<'_> {
            Key::new("key").unwrap()
        }
    }

    impl Quiet for Own {
        fn encode_quiet(&self, at: u32, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
            match self {
                Self::Empty => return Ok(ReplyKind::QuietDelete),
                Self::Named => {
                    out.put(b"md ");
                    out.ask_key(self.key());
                }
                _ => out.put(b"md key"),
            }
            match self {
                Self::Endless => out.put(b" q"),
                _ => out.end_quietly(at),
            }
            match self {
                Self::Fenced => out.put_server_fence(),
                Self::Broken => return Err(Error::expiry()),
                _ => {}
            }
            Ok(match self {
                Self::Loud => ReplyKind::MetaDelete,
                Self::Other => ReplyKind::QuietSet,
                _ => ReplyKind::QuietDelete,
            })
        }

        fn hidden(&self) -> Reply {
            Reply::Deleted
        }
    }

    #[test]
    fn a_command_that_cannot_be_sent_quietly_is_left_out_and_fails_alone() {
        use Own::{Broken, Empty, Endless, Fenced, Good, Loud, Named, Other};
        // Only a build with debug assertions looks at the end of a line.
        let endless = if cfg!(debug_assertions) { Endless } else { Empty };
        let commands = [Named, Empty, endless, Good, Fenced, Loud, Other, Broken, Named];
        let part = QuietPart::new(commands.into_iter().enumerate().collect());
        let mut connection = Connection::new(Limits::default());
        connection.set_protocol(Protocol::Meta);
        connection.submit(&part, Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH), 7).unwrap();
        let sent = "md key q O000000\r\nmd key q O000001\r\nmd key q O000002\r\n\
            mn\r\nmd AA== b C18446744073709551615 O0000\r\n";
        assert_eq!(connection.take_outgoing().unwrap(), sent);
        let sent: Vec<_> = (0..commands.len()).filter(|at| part.fault(*at).is_none()).collect();
        assert_eq!(sent, [0, 3, 8]);
        let mut replies = Vec::new();
        let come = b"NF O000002\r\nMN\r\nNF O0000\r\n";
        connection.feed(come, |tag, reply, last| replies.push((tag, reply, last))).unwrap();
        let [(7, Reply::Quiet(one), false), (7, Reply::Quiet(end), true)] = &replies[..] else {
            panic!("{replies:?}");
        };
        assert_eq!((one.at, end.at, end.reply.is_none(), connection.is_idle()), (2, 3, true, true));
    }

    #[test]
    fn a_quiet_batch_of_more_bytes_than_can_be_counted_is_refused() {
        let value = bytes::Bytes::from(vec![b'v'; (1 << 20) + 4096]);
        let stores = (0..Opaque::PARTS).map(|at| (at, Store::set("key", &value).unwrap())).collect();
        let part = QuietPart::new(stores);
        let mut connection = Connection::new(Limits::default());
        connection.set_protocol(Protocol::Meta);
        let error = connection.submit(&part, Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH), 0).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
        assert_eq!((connection.unsent(), connection.in_flight()), (0, 0));
    }
}
