//! Bytes in and out in buffers of the caller: for completion-based I/O, such as `io_uring`.

use std::io::IoSlice;

use bytes::Bytes;

use super::Connection;
use crate::error::Error;
use crate::reply::Reply;

impl Connection {
    /// Takes bytes that were read into a buffer of the caller's, any number of them, and calls `on_reply` with each reply
    /// that they complete: the tag of its request, the reply, and whether it is the last one to that request. No bytes are
    /// the end of the stream.
    ///
    /// It copies into [`Connection::read_buf`] and takes the replies as [`Connection::next_reply`] does; a transport that can
    /// choose where it reads to uses those, and saves the copy. There may be something to write afterwards even if nothing
    /// was submitted: call [`Connection::take_outgoing`].
    ///
    /// ```
    /// use std::time::{Instant, SystemTime};
    /// use memcached2_proto::{Connection, Get, Limits, Now, Reply};
    ///
    /// let mut connection = Connection::new(Limits::default());
    /// connection.submit(&Get::new("greeting")?, Now::new(Instant::now(), SystemTime::now), 7)?;
    /// assert_eq!(connection.take_outgoing().as_deref(), Some(&b"get greeting\r\n"[..]));
    /// assert_eq!(connection.take_outgoing(), None);
    ///
    /// let mut replies = Vec::new();
    /// for received in ["VALUE greeting 0 5\r\nhel", "lo\r\nEND\r\n"] {
    ///     connection.feed(received.as_bytes(), |tag, reply, _is_last| replies.push((tag, reply)))?;
    /// }
    /// assert!(matches!(&replies[..], [(7, Reply::Value(_, value))] if *value == "hello"));
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] at the end of the stream, unless it answers [`Connection::quit`], and
    /// [`Error::Protocol`] or another error of [`Connection::next_reply`] if the server breaks the protocol. The
    /// replies that came before were taken. [`Connection::fail_pending`] says which of the other requests may have
    /// taken effect.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_reply: impl FnMut(u32, Reply, bool)) -> Result<(), Error> {
        if bytes.is_empty() {
            let ended = self.advance_read(0);
            return self.drain(&mut on_reply).and(ended);
        }
        while !bytes.is_empty() {
            let space = self.read_buf();
            // There is no space if the caller has left replies untaken.
            let (fitting, rest) = bytes.split_at(bytes.len().min(space.len()));
            space[..fitting.len()].copy_from_slice(fitting);
            if !fitting.is_empty() {
                self.advance_read(fitting.len())?;
            }
            self.drain(&mut on_reply)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Takes all replies that are there.
    #[inline]
    pub(crate) fn drain(&mut self, on_reply: &mut impl FnMut(u32, Reply, bool)) -> Result<(), Error> {
        while let Some((tag, reply, is_last)) = self.next_reply()? {
            let is_success = matches!(reply, Reply::Stored | Reply::Deleted);
            on_reply(tag, reply, is_last);
            if !is_last {
                self.take_values(&mut |at, value| on_reply(tag, Reply::Value(at, value), false));
            } else if is_success {
                self.take_successes(|tag, kind| on_reply(tag, kind.success(), true));
            }
        }
        Ok(())
    }

    /// Takes the next bytes to write, in their own buffer; `None` if nothing may be written now. Call it until it
    /// returns `None`, and write the buffers in order.
    ///
    /// They are what [`Connection::write_slices`] offers, and count as written. If the write fails, [`Connection::fail_pending`]
    /// does not know how much of them was written, and reports requests as [`Unknown`](crate::Landed::Unknown) that may
    /// not have been sent.
    ///
    /// A large value that is [shared](crate::Data) has its own buffer, and is not copied. All else is copied: a
    /// transport that can write borrowed bytes saves that with [`Connection::write_slices`].
    #[must_use = "what is taken is not offered again"]
    pub fn take_outgoing(&mut self) -> Option<Bytes> {
        let mut slices = [IoSlice::new(&[])];
        let length = match self.write_slices(&mut slices) {
            0 => return None,
            _ => slices[0].len(),
        };
        let bytes = self.sending.next_bytes(length);
        self.advance_written(length);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::command::{Get, Store};
    use crate::data::Data;
    use crate::error::Landed;
    use crate::limits::Limits;
    use crate::time::{Instant, Now};

    fn now() -> Now {
        Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_large_shared_value_is_taken_without_a_copy_and_in_its_place() {
        let large = Bytes::from(vec![b'v'; Data::SHARED_MIN]);
        let mut connection = Connection::new(Limits::default());
        connection.submit(&Store::set("a", &large).unwrap(), now(), 0).unwrap();
        connection.submit(&Store::set("b", "small").unwrap(), now(), 1).unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| connection.take_outgoing()).collect();
        assert_eq!(taken, [&b"set a 0 0 16384\r\n"[..], &large, b"\r\nset b 0 0 5\r\nsmall\r\n"]);
        assert_eq!(taken[1].as_ptr(), large.as_ptr());
        assert!(connection.is_flushed());
    }

    #[test]
    fn taken_bytes_count_as_written() {
        let mut connection = Connection::new(Limits::default());
        connection.submit(&Store::set("a", "x").unwrap(), now(), 0).unwrap();
        assert!(connection.take_outgoing().is_some());
        connection.submit(&Store::set("b", "x").unwrap(), now(), 1).unwrap();
        let landed: Vec<_> = connection.fail_pending().map(|abandoned| abandoned.landed).collect();
        assert_eq!(landed, [Landed::Unknown, Landed::NotSent]);
    }

    #[test]
    fn no_more_is_sent_than_a_server_accepts_while_its_replies_are_not_read() {
        let mut connection = Connection::new(Limits::default());
        for tag in 0..20_000 {
            connection.submit(&Get::new("a_key").unwrap(), now(), tag).unwrap();
        }
        let (mut written, mut missed) = (0, 0);
        while missed < 20_000 {
            let before = written;
            while let Some(bytes) = connection.take_outgoing() {
                written += bytes.len() / b"get a_key\r\n".len();
            }
            assert!((written - missed) * b"get a_key\r\n".len() <= 64 * 1024);
            connection
                .feed(&b"END\r\n".repeat(written - before), |tag, reply, is_last| {
                    assert_eq!((tag, reply, is_last), (missed as u32, Reply::Miss, true));
                    missed += 1;
                })
                .unwrap();
        }
        assert!(connection.is_idle());
    }

    #[test]
    fn replies_that_were_left_untaken_come_first() {
        let mut connection = Connection::new(Limits::default());
        for tag in 0..8_000 {
            connection.submit(&Get::new("k").unwrap(), now(), tag).unwrap();
        }
        let mut tags = Vec::new();
        let mut owed = 0;
        while connection.is_busy() {
            while let Some(bytes) = connection.take_outgoing() {
                owed += bytes.len() / b"get k\r\n".len();
            }
            let mut replies = &b"END\r\n".repeat(owed)[..];
            owed = 0;
            // The buffer is filled to its end, and no reply is taken.
            while !connection.read_buf().is_empty() && !replies.is_empty() {
                let space = connection.read_buf();
                let n = space.len().min(replies.len());
                space[..n].copy_from_slice(&replies[..n]);
                connection.advance_read(n).unwrap();
                replies = &replies[n..];
            }
            match replies.is_empty() {
                true => connection.drain(&mut |tag, _, _| tags.push(tag)).unwrap(),
                false => connection.feed(replies, |tag, _, _| tags.push(tag)).unwrap(),
            }
        }
        assert!(tags.into_iter().eq(0..8_000));
    }

    #[test]
    fn the_end_of_the_stream_is_an_error_unless_it_answers_quit() {
        let mut connection = Connection::new(Limits::default());
        connection.submit(&Get::new("k").unwrap(), now(), 0).unwrap();
        assert!(connection.take_outgoing().is_some());
        let mut count = 0;
        let error = connection.feed(b"", |_, _, _| count += 1).unwrap_err();
        assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");

        let mut connection = Connection::new(Limits::default());
        connection.submit(&Get::new("k").unwrap(), now(), 0).unwrap();
        connection.quit();
        assert_eq!(connection.take_outgoing().as_deref(), Some(&b"get k\r\nquit\r\n"[..]));
        connection.feed(b"END\r\n", |_, _, _| count += 1).unwrap();
        connection.feed(b"", |_, _, _| count += 1).unwrap();
        assert_eq!(count, 1);
    }
}
