//! Where the records of TLS begin and end.

use std::io::IoSlice;

use super::{Connection, InFlight};
use crate::reply::ReplyKind;

/// Requests without a data block share a record up to this size, which fits the smallest buffer that memcached reads into.
const SHARED: u64 = 2 * 1024;
/// A long request is encrypted in pieces of this size: four full records.
const PIECE: u64 = 64 * 1024;

/// What has bytes to be encrypted and written: a connection, or what comes before it.
pub(crate) trait RecordSource {
    /// Fills `slices` with what to write next in one record, or in several if that is long, and returns how many were filled.
    fn record_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize;

    /// Says that `n` bytes of that were encrypted.
    fn advance_written(&mut self, n: usize);

    /// Says that the socket takes nothing, or takes something again.
    fn set_write_blocked(&mut self, is_blocked: bool);
}

impl RecordSource for Connection {
    /// memcached before 1.6.39 reads the data block of a store out of the middle of a record if it has to, and then waits until
    /// the socket has more, which it does not: what follows in the record has been read from there already. So whatever may end
    /// with a data block begins a record, and so does what follows it.
    fn record_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if !self.wants_write() {
            return 0;
        }
        let written = self.sending.written();
        // A store that was refused before all of it was written is answered, and its data block goes on.
        let rest = Some(self.sending.answered_until()).filter(|end| *end > written);
        let until = rest.or_else(|| end_of_record(written, self.in_flight.range(self.written_count..)));
        let until = until.unwrap_or_else(|| self.end_of_part());
        let until = until.min(written + PIECE);
        self.sending.slices_up_to(until, slices)
    }

    fn advance_written(&mut self, n: usize) {
        Self::advance_written(self, n);
    }

    fn set_write_blocked(&mut self, is_blocked: bool) {
        Self::set_write_blocked(self, is_blocked);
    }
}

impl Connection {
    /// How far the next record goes, if it begins behind the first request of a quiet batch of stores.
    #[cold]
    fn end_of_part(&mut self) -> u64 {
        let written = self.sending.written();
        let mut unwritten = self.in_flight.iter().enumerate().skip(self.written_count);
        let Some((at, batch)) = unwritten.find(|(_, request)| request.end > written) else { return written };
        let begun = match at.checked_sub(1) {
            Some(before) => self.in_flight[before].end,
            None => self.sending.answered_until(),
        };
        let skip = self.in_flight.range(..at).map(|request| request.keys as usize).sum();
        let (mut place, keys, end) = (begun, batch.keys as usize, batch.end);
        for length in self.sending.keys().part_lengths(skip, keys) {
            place += length;
            if place > written {
                return place;
            }
        }
        end
    }
}

/// How far the next record goes; `None` if it begins behind the first request of a quiet batch of stores.
fn end_of_record<'w>(written: u64, unwritten: impl Iterator<Item = &'w InFlight>) -> Option<u64> {
    let mut end = written;
    for request in unwritten.filter(|request| request.end > written) {
        let is_first = end == written;
        match request.reply_kind.has_data() {
            true if !is_first => break,
            // The fence of a store follows its data block.
            true if written < request.carried_out => return Some(request.carried_out),
            true if request.reply_kind == ReplyKind::QuietSet => return None,
            true => return Some(request.end),
            false if !is_first && request.end > written + SHARED => break,
            false => end = request.end,
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::command::{Get, Store};
    use crate::limits::Limits;
    use crate::time::{Instant, Now};

    /// The length of the next record, which is encrypted.
    fn next(connection: &mut Connection) -> usize {
        let mut slices = [IoSlice::new(&[])];
        let length = match connection.record_slices(&mut slices) {
            0 => 0,
            _ => slices[0].len(),
        };
        RecordSource::advance_written(connection, length);
        length
    }

    #[test]
    fn the_rest_of_a_data_block_ends_a_record_though_its_store_was_refused_before_all_of_it_was_written() {
        let mut connection = Connection::new(Limits::default());
        let now = Now::fixed(Instant::ZERO, UNIX_EPOCH);
        let value = vec![b'x'; 100_000];
        connection.submit(&Store::set("a", &value).unwrap(), now, 0).unwrap();
        let piece = usize::try_from(PIECE).unwrap();
        assert_eq!(next(&mut connection), piece);
        let mut refused = false;
        let line = b"SERVER_ERROR object too large for cache\r\n";
        connection.feed(line, |_, _, last| refused = last).unwrap();
        assert!(refused);
        connection.submit(&Get::new("a").unwrap(), now, 0).unwrap();
        assert_eq!(next(&mut connection), "set a 0 0 100000\r\n\r\n".len() + value.len() - piece);
        assert_eq!(next(&mut connection), "get a\r\n".len());
    }
}
