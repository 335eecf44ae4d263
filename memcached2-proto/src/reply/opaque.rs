//! The number by which a reply is known to be that of its request.

/// The opaque of a request, flag `O` of the meta commands: the server repeats it in the reply.
///
/// It is the number of the request on its connection in four characters, so that it is written and compared in one step,
/// and comes again only after 2^24 requests: no reply is that late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opaque([u8; 8]);

impl Opaque {
    /// The opaque of the request with this number.
    #[must_use]
    #[inline]
    pub fn from_ticket(ticket: u64) -> Self {
        // The 64 characters from `0` on, without a blank among them; the eight bytes as one number, the first byte highest.
        let digit = |place: u32| (ticket >> (6 * place) & 63) << (8 * (place + 2));
        let digits = digit(3) | digit(2) | digit(1) | digit(0);
        Self((u64::from_be_bytes(*b" O0000\r\n") + digits).to_be_bytes())
    }

    /// The flag with a blank before it, and the end of the line.
    #[must_use]
    #[inline]
    pub fn as_line_end(&self) -> &[u8; 8] {
        &self.0
    }

    /// The flag with a blank before it.
    #[inline]
    pub(super) fn as_flag(&self) -> &[u8] {
        &self.0[..6]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_has_four_characters_and_comes_again_after_many_requests() {
        for (ticket, expected) in
            [(0, " O0000"), (9, " O0009"), (10, " O000:"), (64, " O0010"), ((1 << 24) - 1, " Ooooo")]
        {
            let opaque = Opaque::from_ticket(ticket);
            assert_eq!(opaque.as_flag(), expected.as_bytes());
            assert_eq!(opaque.as_line_end()[..], format!("{expected}\r\n").into_bytes());
        }
        assert_eq!(Opaque::from_ticket(1 << 24), Opaque::from_ticket(0));
    }
}
