//! Requests whose outcome is not reported, in place of `noreply`.

use super::{Command, Keyed, OnReplicas, Protocol, accepted};
use crate::error::Error;
use crate::key::{Key, RoutingKey};
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// A request whose outcome is not reported: `Ok` only means that the server has read it.
///
/// The word `noreply` is not sent. To stay in step, a client needs a reply to every request, and the reply to the
/// request itself is the shortest one: `incr hits 1` takes 13 bytes and its reply 3. With `noreply` it would take 8
/// bytes more, and a `version` after it another 9 bytes and 16 for its reply. It is also safer: servers before 1.6 read
/// the value of a store with `noreply` as commands if they refuse it.
///
/// A condition that is not met, a missing item and a value that is no number are `Ok`, as with `noreply`. Any other error
/// line is [`Error::Refused`].
///
/// ```
/// # use memcached2_proto::Error;
/// use memcached2_proto::command::NoReply;
/// use memcached2_proto::Delete;
///
/// let request = NoReply(Delete::new("session:42")?);
/// // client.run(request)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NoReply<C>(pub C);

impl<C: Keyed> Keyed for NoReply<C> {
    fn key(&self) -> Key<'_> {
        self.0.key()
    }

    fn routing_key(&self) -> RoutingKey<'_> {
        self.0.routing_key()
    }
}

impl<C: Command> Command for NoReply<C> {
    type Response = ();

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        self.0.encode(protocol, now, out)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        read(reply)
    }

    fn transfer_size(&self) -> usize {
        self.0.transfer_size()
    }

    fn keys(&self) -> usize {
        self.0.keys()
    }

    fn only_key(&self) -> Option<Key<'_>> {
        self.0.only_key()
    }

    fn key_at(&self, place: usize) -> Option<Key<'_>> {
        self.0.key_at(place)
    }

    fn for_each_written(&self, act: &mut dyn FnMut(Key<'_>)) {
        self.0.for_each_written(act);
    }

    fn on_replicas(&self) -> OnReplicas {
        self.0.on_replicas()
    }

    fn repeatable(&self) -> bool {
        self.0.repeatable()
    }
}

pub(super) fn read(reply: Reply) -> Result<(), Error> {
    match accepted(reply) {
        Ok(_) | Err(Error::NonNumeric { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that writes two items, whose keys it names itself.
    struct Rename<'k>([Key<'k>; 2]);

    impl Command for Rename<'_> {
        type Response = ();

        fn encode(&self, _: Protocol, _: Now, _: &mut RequestBuffer) -> Result<ReplyKind, Error> {
            Ok(ReplyKind::Ok)
        }

        fn answer(&self, _: Reply) -> Result<(), Error> {
            Ok(())
        }

        fn keys(&self) -> usize {
            self.0.len()
        }

        fn key_at(&self, place: usize) -> Option<Key<'_>> {
            self.0.get(place).copied()
        }

        fn for_each_written(&self, act: &mut dyn FnMut(Key<'_>)) {
            self.0.into_iter().for_each(act);
        }
    }

    #[test]
    fn a_command_whose_outcome_nobody_wants_says_the_same_of_its_keys() {
        let command = NoReply(Rename(["a", "b"].map(|key| Key::new(key).unwrap())));
        let mut written = Vec::new();
        command.for_each_written(&mut |key| written.push(key.as_bytes().to_vec()));
        assert_eq!(written, [b"a", b"b"]);
        assert_eq!(command.keys(), 2);
        assert_eq!(command.key_at(1).unwrap().as_bytes(), b"b");
    }
}
