//! Large transfers, which get connections of their own.

/// A call that moves at least this many bytes of values to or from one server is a large transfer: on a gigabit network it
/// takes half a millisecond, longer than a small request takes as a whole.
pub(super) const LARGE: usize = 64 * 1024;

/// Which connection suits a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// One for small requests.
    Small,
    /// The same, but one for large transfers if it is idle: the other one is in the middle of a large reply.
    Aside,
    /// One for large transfers.
    Large,
}
