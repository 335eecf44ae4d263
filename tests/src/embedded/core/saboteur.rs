//! A server whose replies go astray.

use crate::Rng;

/// Lets an [`EmbeddedServer`](crate::EmbeddedServer) spoil replies at random, as no memcached does. It discards a
/// reply, sends it twice, lets the next one overtake it, holds it until the next request, or sends an error line
/// instead. Every request is still carried out, so an error line of such a server proves nothing.
///
/// It spares the first three replies of a connection, so that a client can find out which protocol the server speaks,
/// and three after each spoilt one. The check of one request shows that its reply was lost, or that another one has
/// overtaken it, but not both at once.
#[derive(Debug, Clone)]
pub struct Saboteur {
    rng: Rng,
    one_in: usize,
}

/// What is said in the place of a reply.
const LINES: [&str; 5] = [
    "SERVER_ERROR out of memory writing get response",
    "SERVER_ERROR out of memory storing object",
    "SERVER_ERROR backend failure",
    "CLIENT_ERROR bad command line format",
    "ERROR",
];

/// What happens to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Discard,
    Double,
    /// The next reply goes first.
    Swap,
    /// It waits, with all that comes before it, until more is asked.
    Delay,
    Replace(&'static str),
}

impl Saboteur {
    /// Spoils one reply of `one_in`, chosen by `seed`.
    #[must_use]
    pub fn new(seed: u64, one_in: u32) -> Self {
        Self { rng: Rng::new(seed), one_in: one_in.max(1) as usize }
    }

    /// What to do to the next reply.
    pub(super) fn deed(&mut self) -> Option<Deed> {
        if !self.rng.once_in(self.one_in) {
            return None;
        }
        Some(match self.rng.below(5) {
            0 => Deed::Discard,
            1 => Deed::Double,
            2 => Deed::Swap,
            3 => Deed::Delay,
            _ => Deed::Replace(self.rng.pick(&LINES)),
        })
    }
}
