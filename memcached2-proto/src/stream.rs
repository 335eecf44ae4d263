//! Answers that go on: all keys of a server, what happens in it.
//!
//! For users: the records of [`Metadump`], [`Mgdump`] and [`Watch`], which the clients' `metadump`, `mgdump` and `watch` return one by one. For
//! event loops of your own: [`RecordStream`].
//!
//! memcached takes a connection over for such a command: nothing may be asked on it before or after. So each has a connection of its own,
//! which closes with it.

mod dump;
mod pairs;
mod shutdown;
mod watch;

#[cfg(feature = "tls")]
use std::io::IoSlice;
use std::time::Duration;

pub use self::dump::{DumpedItem, DumpedKey, Metadump, Mgdump};
pub use self::shutdown::Shutdown;
pub use self::watch::{Watch, WatchEvent, WatchKind, Watcher};
#[cfg(feature = "tls")]
use crate::connection::RecordSource;
use crate::error::{Error, Landed};
use crate::limits::Limits;
use crate::reply::{error_line, unexpected};

/// A command that is answered by records, a line each, on a connection of its own.
pub trait StreamCommand: Clone + Unpin {
    /// What a line becomes.
    type Record: Unpin;

    /// Its name, for errors.
    fn name(&self) -> &'static str;

    /// The command without its line end.
    ///
    /// # Errors
    ///
    /// If it cannot be sent.
    fn line(&self) -> Result<String, Error>;

    /// Reads a line of the answer, without its line end; `None` if it is the last one, and no record.
    ///
    /// # Errors
    ///
    /// If it is neither.
    fn read(&self, line: &[u8]) -> Result<Option<Self::Record>, Error>;

    /// How long the server may be silent, unless the caller sets it; `None` for any time.
    fn idle_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    /// Whether the end of the connection is the answer.
    fn ends_in_close(&self) -> bool {
        false
    }
}

/// The state machine of a [`StreamCommand`]: bytes out, bytes in, records out. It does no I/O.
///
/// It holds one buffer of 64 KiB. While it is not read, the server waits: memcached holds a dump back, and drops log lines of a watcher
/// that is too slow ([`WatchKind::Skipped`]).
///
/// ```
/// use memcached2_proto::Limits;
/// use memcached2_proto::stream::{Metadump, RecordStream};
///
/// let mut stream = RecordStream::new(Metadump::all(), Limits::default())?;
/// assert_eq!(stream.unwritten(), b"lru_crawler metadump all\r\n");
/// stream.advance_written(26);
/// for piece in ["key=a%2", "0b exp=-1 la=1795726629 cas=1 fetch=no cls=1 size=67\nEND\r\n"] {
///     assert!(stream.next_record()?.is_none());
///     stream.read_buf()[..piece.len()].copy_from_slice(piece.as_bytes());
///     stream.advance_read(piece.len());
/// }
/// assert_eq!(&stream.next_record()?.unwrap().key[..], b"a b");
/// assert!(stream.next_record()?.is_none() && stream.has_ended());
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordStream<C: StreamCommand> {
    command: C,
    /// The command, and how much of it was written.
    out: Vec<u8>,
    written: usize,
    /// The bytes that are not read yet are those from `start` to `end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// How many of them hold no line end.
    searched: usize,
    /// Whether a line has come.
    has_begun: bool,
    /// Whether the server has closed the connection.
    is_closed: bool,
    has_ended: bool,
    line_max: usize,
}

/// A line may take half of it.
const BUFFER: usize = 64 * 1024;

impl<C: StreamCommand> RecordStream<C> {
    /// Begins with the command to be written, and accepts lines as long as the limits say.
    ///
    /// # Errors
    ///
    /// If the command cannot be sent.
    pub fn new(command: C, limits: Limits) -> Result<Self, Error> {
        let out = [command.line()?.as_bytes(), b"\r\n"].concat();
        Ok(Self {
            command,
            out,
            written: 0,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            searched: 0,
            has_begun: false,
            is_closed: false,
            has_ended: false,
            line_max: limits.line.min(BUFFER / 2),
        })
    }

    /// The command.
    #[must_use]
    pub fn command(&self) -> &C {
        &self.command
    }

    /// What is to be written.
    #[must_use]
    pub fn unwritten(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Says that `n` bytes of that were written.
    pub fn advance_written(&mut self, n: usize) {
        self.written = self.out.len().min(self.written + n);
    }

    /// The buffer for the next bytes; never empty, if all [records](RecordStream::next_record) were taken before.
    pub fn read_buf(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > BUFFER / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `n` bytes were put into the last [`RecordStream::read_buf`]; 0 is the end of the stream.
    pub fn advance_read(&mut self, n: usize) {
        self.end = self.buffer.len().min(self.end + n);
        self.is_closed |= n == 0;
    }

    /// The next record; `None` if more bytes are needed, or it [has ended](RecordStream::has_ended).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for an error line, [`Error::Protocol`] for a line that is no record or too long, [`Error::Disconnected`] if the
    /// server has closed the connection before the end. It has ended then.
    pub fn next_record(&mut self) -> Result<Option<C::Record>, Error> {
        if self.has_ended {
            return Ok(None);
        }
        self.take().map_err(|error| {
            self.has_ended = true;
            match &error {
                Error::Refused { landed: Landed::Refused, .. } => error,
                _ => error.with_landed(self.landed()),
            }
        })
    }

    fn take(&mut self) -> Result<Option<C::Record>, Error> {
        loop {
            let Some(line) = self.take_line()? else {
                if !self.is_closed {
                    return Ok(None);
                }
                self.has_ended = true;
                return match self.command.ends_in_close() && self.start == self.end {
                    true => Ok(None),
                    false => Err(Error::disconnected("the server closed it before the end")),
                };
            };
            let line = &self.buffer[line];
            let is_first = !std::mem::replace(&mut self.has_begun, true);
            if is_first && line == b"OK" {
                continue;
            }
            if let Some(refusal) = refusal(line) {
                return Err(refusal);
            }
            let record = self.command.read(line)?;
            self.has_ended = record.is_none();
            return Ok(record);
        }
    }

    /// The next line without its line end, which is LF, or CR LF.
    fn take_line(&mut self) -> Result<Option<std::ops::Range<usize>>, Error> {
        let from = self.start + self.searched;
        let found = memchr::memchr(b'\n', &self.buffer[from..self.end]);
        let end = found.map_or(self.end, |found| from + found);
        if end - self.start > self.line_max {
            let wanted = format!("a line of at most {} bytes", self.line_max);
            return Err(unexpected(&self.buffer[self.start..end], &wanted));
        }
        if found.is_none() {
            self.searched = end - self.start;
            return Ok(None);
        }
        let begun = std::mem::replace(&mut self.start, end + 1);
        self.searched = 0;
        let has_cr = end > begun && self.buffer[end - 1] == b'\r';
        Ok(Some(begun..if has_cr { end - 1 } else { end }))
    }

    /// Whether the server has said something.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the command may have taken effect if it fails now: never, if it only reads.
    #[must_use]
    pub fn landed(&self) -> Landed {
        match self.command.ends_in_close() && self.written > 0 {
            true => Landed::Unknown,
            false => Landed::NotSent,
        }
    }
}

/// The error of a line in which the server says that it does not go on, or has not begun.
fn refusal(line: &[u8]) -> Option<Error> {
    // Most lines are records, and begin with another letter.
    if !line.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let is_refusal = error_line::is_error_line(line) || error_line::is_refusal_word(&text);
    is_refusal.then(|| error_line::refusal(&text.into()))
}

/// What makes a line no record of a kind.
fn no_record(line: &[u8], wanted: &str) -> Error {
    unexpected(line, wanted)
}

#[cfg(feature = "tls")]
impl<C: StreamCommand> RecordSource for RecordStream<C> {
    fn record_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        match (self.unwritten(), slices) {
            ([], _) | (_, []) => 0,
            (unwritten, [first, ..]) => {
                *first = IoSlice::new(unwritten);
                1
            }
        }
    }

    fn advance_written(&mut self, n: usize) {
        Self::advance_written(self, n);
    }

    fn set_write_blocked(&mut self, _: bool) {}
}

#[cfg(test)]
mod tests;
