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
        // The 64 characters from `0` on, without a blank among them; the eight bytes as one number, the first byte highest. Its 24 bits
        // are spread in halves: to twelve in each sixteen, then to six in each eight.
        let halves = (ticket & 0xFFF) | ((ticket & 0xFF_F000) << 4);
        let digits = (halves & 0x003F_003F) | ((halves & 0x0FC0_0FC0) << 2);
        Self((u64::from_be_bytes(*b" O0000\r\n") + (digits << 16)).to_be_bytes())
    }

    /// The flag with a blank before it, and the end of the line.
    #[must_use]
    #[inline]
    pub fn as_line_end(&self) -> &[u8; 8] {
        &self.0
    }

    /// The flag with a blank before it.
    #[inline]
    pub(crate) fn as_flag(&self) -> &[u8] {
        &self.0[..6]
    }

    /// How many requests can be answered together.
    pub(crate) const PARTS: usize = 1 << 12;

    /// What follows the four characters for one of several requests that are answered together: two more. So it is the opaque of
    /// no other request.
    pub(crate) fn part(at: u32) -> [u8; 2] {
        let digit = |place: u32| b'0' + ((at >> (6 * place)) & 63) as u8;
        [digit(1), digit(0)]
    }

    /// The place among several requests that follows this opaque in the flag `O` of a reply.
    pub(crate) fn part_in(&self, flag: &[u8]) -> Option<u32> {
        let digit = |byte: u8| byte.checked_sub(b'0').filter(|digit| *digit < 64).map(u32::from);
        match *flag.strip_prefix(&self.as_flag()[1..])? {
            [high, low] => Some(digit(high)? << 6 | digit(low)?),
            _ => None,
        }
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

    #[test]
    fn each_of_several_requests_has_an_opaque_that_no_other_request_has() {
        let opaque = Opaque::from_ticket(10);
        for (at, expected) in [(0, "O000:00"), (9, "O000:09"), (64, "O000:10"), (4095, "O000:oo")] {
            let flag = [&opaque.as_flag()[1..], &Opaque::part(at)].concat();
            assert_eq!(flag, expected.as_bytes());
            assert_eq!(opaque.part_in(&flag), Some(at));
            assert_eq!(Opaque::from_ticket(11).part_in(&flag), None);
        }
        for wrong in ["O000:", "O000:0", "O000:000", "O000:0p", "O000:0 ", "O000;00", "000:00", ""] {
            assert_eq!(opaque.part_in(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
