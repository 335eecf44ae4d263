//! The meta commands, with all their flags: `mg`, `ms`, `md`, `ma`, `mn`, `me`.
//!
//! For users who need more of an item than its value: how long it stays, whether it was fetched before, its size without
//! its value; who want one client of many to compute a value again; or whose keys are any bytes. `client.run(..)` sends
//! each of them. The guide [`meta`](crate::guide::meta) has the tables and recipes.
//!
//! ```
//! use memcached2_proto::command::meta::MetaGet;
//! use std::time::Duration;
//!
//! // The value, and how long it stays. If it stays for less than a minute, one client wins, and stores it again.
//! let request = MetaGet::new("page:1")?.value().ttl().recache(Duration::from_secs(60));
//! // if let Some(item) = client.run(request)? {
//! //     if item.win { .. }
//! # Ok::<(), memcached2_proto::Error>(())
//! ```
//!
//! * They are sent only to a server that has shown that it speaks meta as memcached does from 1.6.10 on. Else they are
//!   [`Error::NoMeta`], and nothing is sent: an older server would read the value of an `ms` as commands. A
//!   flag that came later is refused by older servers ([`Error::Refused`]), or ignored; the guide has
//!   the versions.
//! * A key may be of any bytes. One that is empty or too long is [`Error::Key`]. One that other
//!   commands cannot send, with a blank or control byte in it, is sent in base64, and must not have more than 186 bytes; a
//!   prefix counts. It is the same item as one of the same bytes that was stored by a classic command.
//! * Flags that do not go together are [`Error::Argument`]; nothing is sent then. Each flag is sent once, in
//!   the order in which it was asked for: `t` before `T` is the old time to live, and after it the new one.
//! * The connection sends an opaque of its own in each request, by which it knows the reply, so `O` is not for users. An opaque
//!   that is given to a request is not sent; it is kept, and returned with the response.
//! * [`Batch`](crate::operation::Batch) sends many at once; each is answered, and each answer checked. With
//!   [`Batch::quiet`](crate::operation::Batch::quiet) those that succeed are not answered, flag `q`, and the batch ends with an `mn`.

mod arithmetic;
mod debug;
mod delete;
mod flags;
mod get;
mod noop;
mod set;

pub use self::arithmetic::MetaArithmetic;
pub use self::debug::MetaDebug;
pub use self::delete::MetaDelete;
pub use self::get::MetaGet;
pub use self::noop::MetaNoop;
pub use self::set::{MetaSet, MetaSetMode};
pub use crate::reply::{MetaItem, MetaStatus, Ttl};

use bytes::Bytes;

use self::flags::{Argument, Flags};
use super::Protocol;
use crate::error::{CasProblem, Error};
use crate::key::WireKey;
use crate::reply::{MetaReply, Reply};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// What became of an `ms`, `md` or `ma`, and what it says of the item: each field that was asked for, unless the server left it
/// out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaOutcome {
    /// Whether it was carried out.
    pub status: MetaStatus,
    /// Flag `v` of `ma`: the number that is stored now.
    pub number: Option<u64>,
    /// Flag `c`: the version that the item has now, if the request was carried out.
    pub cas: Option<u64>,
    /// Flag `s` of `ms`: the length of the stored value in bytes.
    pub size: Option<u64>,
    /// Flag `t` of `ma`: how long the item stays.
    pub ttl: Option<Ttl>,
    /// Flag `k`: the key.
    pub key: Option<Bytes>,
    /// The opaque of the request, if it was given one; it is not sent.
    pub opaque: Option<Bytes>,
    /// Flags of the reply that this crate does not know, each with what follows its letter.
    pub unknown: Vec<(u8, Bytes)>,
}

impl MetaOutcome {
    /// Whether the request was carried out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status == MetaStatus::Done
    }
}

/// What all commands with flags have.
#[derive(Debug, Clone)]
struct Meta<'k> {
    key: WireKey<'k>,
    flags: Flags,
    opaque: Option<Bytes>,
}

/// What of a request is to come back with its response.
#[derive(Debug, Clone)]
struct Returned {
    key: Option<Bytes>,
    opaque: Option<Bytes>,
}

impl<'k> Meta<'k> {
    fn new(key: &'k [u8]) -> Result<Self, Error> {
        Ok(Self::of(WireKey::new(key)?))
    }

    fn of(key: WireKey<'k>) -> Self {
        Self { key, flags: Flags::default(), opaque: None }
    }

    /// Appends command and key, and the length of the data if there is some.
    fn begin(&self, verb: &[u8], length: Option<usize>, quiet: Option<u32>, out: &mut RequestBuffer) {
        out.put(verb);
        // The opaques of a quiet batch say which request a reply belongs to.
        let is_asked = self.flags.has(b'k') && !self.key.is_encoded() && quiet.is_none();
        out.put_wire_key(&self.key, is_asked);
        if let Some(length) = length {
            out.put(b" ");
            out.put_number(length as u64);
        }
    }

    /// Appends the flags, and ends the line. The server is not asked for a key in base64: memcached 1.6.45 returns its bytes as
    /// they are if the item was made by an `mg`, an `ma` or an append, and a line end in them would be taken for one.
    fn end(&self, now: Now, quiet: Option<u32>, out: &mut RequestBuffer) -> Result<(), Error> {
        if self.key.is_encoded() {
            out.put(b" b");
        }
        self.flags.put(if self.key.is_encoded() { Some(b'k') } else { None }, now, out)?;
        match quiet {
            None => out.end_with_opaque(),
            Some(at) => out.end_quietly(at),
        }
        Ok(())
    }

    /// Checks what holds for all of them.
    fn check(&self, protocol: Protocol) -> Result<(), Error> {
        if protocol == Protocol::Classic {
            return Err(Error::no_meta());
        }
        let is_zero = |letter| matches!(self.flags.get(letter), Some(Argument::Number(0)));
        // In some commands it would mean "any version", and no item has it.
        match is_zero(b'C') || is_zero(b'E') {
            true => Err(Error::cas(CasProblem::Disabled)),
            false => Ok(()),
        }
    }

    fn returned(&self) -> Returned {
        let key = self.flags.has(b'k').then(|| Bytes::copy_from_slice(self.key.bytes()));
        Returned { key, opaque: self.opaque.clone() }
    }
}

impl Returned {
    fn item(self, reply: Reply) -> Result<Option<MetaItem>, Error> {
        match reply {
            Reply::Meta(reply) if reply.status == MetaStatus::Done => {
                Ok(Some(MetaItem { key: self.key, opaque: self.opaque, ..reply.item }))
            }
            Reply::Miss => Ok(None),
            other => Err(other.into_error()),
        }
    }

    fn outcome(self, reply: Reply) -> Result<MetaOutcome, Error> {
        let MetaReply { status, item } = match reply {
            Reply::Meta(reply) => *reply,
            other => return Err(other.into_error()),
        };
        let number = item.value.map(|value| value.parse()).transpose();
        Ok(MetaOutcome {
            status,
            number: number.map_err(|_| Error::protocol("got a number that is none"))?,
            // The others say 0, or repeat what was compared (memcached before 1.6.13).
            cas: item.cas.filter(|_| status == MetaStatus::Done),
            size: item.size,
            ttl: item.ttl,
            key: self.key,
            opaque: self.opaque,
            unknown: item.unknown,
        })
    }
}

/// Refuses flags that do not go together.
fn refuse_if(is_wrong: bool, problem: &'static str) -> Result<(), Error> {
    if is_wrong { Err(Error::argument(problem)) } else { Ok(()) }
}

/// The traits of a command with flags, whose `encode` and `check` are its own, and the methods that all of them have.
macro_rules! meta_command {
    (
        $command:ident $lifetimes:tt $name:literal $kind:ident -> $response:ty = $read:ident, repeatable: $repeatable:expr,
        quiet: $quiet:ident without $lost:literal, hides $hidden:expr
    ) => {
        meta_command!(@traits $command $lifetimes $name $kind $response, $read, $repeatable, $quiet, $lost, $hidden);
    };
    (
        @traits $command:ident [$($lifetime:lifetime)*] $name:literal $kind:ident $response:ty, $read:ident, $repeatable:expr,
        $quiet:ident, $lost:literal, $hidden:expr
    ) => {
        impl crate::command::Quiet for $command<$($lifetime),*> {
            fn encode_quiet(
                &self,
                at: u32,
                now: crate::time::Now,
                out: &mut crate::request_buffer::RequestBuffer,
            ) -> Result<crate::reply::ReplyKind, crate::error::Error> {
                let is_lost = $lost.iter().any(|letter| self.meta.flags.has(*letter));
                refuse_if(is_lost, "what a request returns is lost in a quiet batch, where its success is not answered")?;
                self.meta.check(crate::command::Protocol::Meta)?;
                self.check()?;
                self.put(now, Some(at), out)?;
                Ok(crate::reply::ReplyKind::$quiet)
            }

            fn hidden(&self) -> crate::reply::Reply {
                $hidden
            }
        }

        impl crate::command::Keyed for $command<$($lifetime),*> {
            fn key(&self) -> crate::key::Key<'_> {
                self.meta.key.key()
            }

            fn routing_key(&self) -> crate::key::RoutingKey<'_> {
                self.meta.key.routing()
            }
        }

        impl crate::command::Command for $command<$($lifetime),*> {
            type Response = $response;

            fn name(&self) -> &'static str {
                $name
            }

            fn only_key(&self) -> Option<crate::key::Key<'_>> {
                Some(self.meta.key.key())
            }

            fn encode(
                &self,
                protocol: crate::command::Protocol,
                now: crate::time::Now,
                out: &mut crate::request_buffer::RequestBuffer,
            ) -> Result<crate::reply::ReplyKind, crate::error::Error> {
                self.meta.check(protocol)?;
                self.check()?;
                self.put(now, None, out)?;
                Ok(crate::reply::ReplyKind::$kind)
            }

            fn answer(&self, reply: crate::reply::Reply) -> Result<$response, crate::error::Error> {
                self.meta.returned().$read(reply)
            }

            fn on_replicas(&self) -> crate::command::OnReplicas {
                match self.repeatable() {
                    true => crate::command::OnReplicas::Read,
                    false if self.is_same_everywhere() => crate::command::OnReplicas::Write,
                    false => crate::command::OnReplicas::Refuse,
                }
            }

            fn repeatable(&self) -> bool {
                let repeatable: fn(&Self) -> bool = $repeatable;
                repeatable(self)
            }
        }

        impl crate::command::Detach for $command<$($lifetime),*> {
            fn detach(&self) -> crate::command::Answer<$response> {
                let returned = self.meta.returned();
                crate::command::Answer::new(move |reply| returned.$read(reply))
            }
        }

        impl $command<$($lifetime),*> {
            /// Returns the key with the response, as it was given: flag `k`. The server's is compared with it, unless it is sent
            /// in base64.
            #[must_use]
            pub fn return_key(mut self) -> Self {
                self.meta.flags.set(b'k', Argument::None);
                self
            }

            /// Returns these bytes with the response, unless there is none. They are not sent: flag `O` is the connection's own.
            #[must_use]
            pub fn opaque(mut self, opaque: impl Into<bytes::Bytes>) -> Self {
                self.meta.opaque = Some(opaque.into());
                self
            }

            /// Sends a hint to a proxy, which memcached ignores: flag `P` with 1 to 128 bytes, none of them a blank or control
            /// byte.
            #[must_use]
            pub fn hint_p(mut self, hint: impl AsRef<[u8]>) -> Self {
                self.meta.flags.set(b'P', Argument::Text(hint.as_ref().into()));
                self
            }

            /// Sends a hint to a proxy, which memcached ignores: flag `L`, as [`hint_p`](Self::hint_p).
            #[must_use]
            pub fn hint_l(mut self, hint: impl AsRef<[u8]>) -> Self {
                self.meta.flags.set(b'L', Argument::Text(hint.as_ref().into()));
                self
            }
        }
    };
}
use meta_command;

/// Methods that ask for a flag without an argument.
macro_rules! flag_methods {
    ($($(#[$doc:meta])* $name:ident = $letter:literal;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self) -> Self {
            self.meta.flags.set($letter, Argument::None);
            self
        })*
    };
}
use flag_methods;

#[cfg(test)]
mod tests;
