use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::session::{Session, Step};

/// Long enough for a peer on the same machine to wake up and read, short enough to send thousands of pieces. No event
/// could be awaited instead: a TCP sender does not learn that the peer has read.
const BETWEEN_PIECES: Duration = Duration::from_micros(100);

/// Plays the steps one after another and calls `reached` before each of them.
///
/// A connection which the script ends is taken out and closed. One whose peer
/// did not follow the script stays, so that the failure can be recorded before
/// the peer notices that anything is wrong.
pub(super) fn play(
    session: &Session,
    connection: &mut Option<TcpStream>,
    patience: Duration,
    mut reached: impl FnMut(String),
) -> Result<(), String> {
    for (index, step) in session.steps.iter().enumerate() {
        let (number, count) = (index + 1, session.steps.len());
        reached(format!("step {number} of {count} (`{}`)", step.name()));
        match (step, connection.as_mut()) {
            (Step::Wait(gate), _) => gate.wait_at_most(patience)?,
            (Step::Open(gate), _) => gate.open(),
            (step, Some(stream)) => {
                if play_on(step, &mut Peer { stream, patience })? {
                    *connection = None;
                }
            }
            (_, None) => return Err("the connection has ended before".to_owned()),
        }
    }
    if let Some(stream) = connection.as_mut() {
        reached("the end of the script".to_owned());
        Peer { stream, patience }.expect_close()?;
    }
    Ok(())
}

/// Returns whether the connection must be closed now.
fn play_on(step: &Step, peer: &mut Peer<'_>) -> Result<bool, String> {
    match step {
        Step::Expect(bytes) => peer.expect(bytes)?,
        Step::Send(pieces) => peer.send(pieces)?,
        Step::SendRepeated(bytes, times) => peer.send_repeated(bytes, *times)?,
        Step::Stall | Step::ExpectClose => {
            peer.expect_close()?;
            return Ok(true);
        }
        Step::Ignore => {
            peer.ignore()?;
            return Ok(true);
        }
        Step::Close => {
            peer.discard()?;
            return Ok(true);
        }
        Step::Reset => {
            SockRef::from(&*peer.stream)
                .set_linger(Some(Duration::ZERO))
                .map_err(|error| format!("cannot prepare the reset: {error}"))?;
            return Ok(true);
        }
        Step::Wait(_) | Step::Open(_) => {}
    }
    Ok(false)
}

struct Peer<'a> {
    stream: &'a mut TcpStream,
    patience: Duration,
}

impl Peer<'_> {
    fn expect(&mut self, expected: &[u8]) -> Result<(), String> {
        let deadline = self.deadline();
        let mut buffer = vec![0; expected.len().min(64 * 1024)];
        let mut matched = 0;
        while matched < expected.len() {
            let rest = &expected[matched..];
            let room = rest.len().min(buffer.len());
            let size = self
                .read(&mut buffer[..room], deadline)
                .map_err(|error| missing(&expected[..matched], expected, &self.explain(&error)))?;
            if size == 0 {
                let why = "then the peer closed the connection";
                return Err(missing(&expected[..matched], expected, why));
            }
            let got = &buffer[..size];
            if !rest.starts_with(got) {
                return Err(mismatch(expected, &[&expected[..matched], got].concat()));
            }
            matched += size;
        }
        Ok(())
    }

    fn send(&mut self, pieces: &[Vec<u8>]) -> Result<(), String> {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                thread::sleep(BETWEEN_PIECES);
            }
            self.write(piece).map_err(|error| {
                let sent: usize = pieces[..index].iter().map(Vec::len).sum();
                let why = self.explain(&error);
                format!("{sent} bytes sent, then {} failed: {why}", shown(piece))
            })?;
        }
        Ok(())
    }

    fn send_repeated(&mut self, bytes: &[u8], times: usize) -> Result<(), String> {
        let at_once = (64 * 1024 / bytes.len().max(1)).clamp(1, times.max(1));
        let chunk = bytes.repeat(at_once);
        let mut left = times;
        while left > 0 {
            let now = left.min(at_once);
            match self.write(&chunk[..now * bytes.len()]) {
                Ok(()) => left -= now,
                Err(error) if is_close(&error) => return Ok(()),
                Err(error) => {
                    let why = self.explain(&error);
                    return Err(format!("{} of {times} times sent: {why}", times - left));
                }
            }
        }
        Ok(())
    }

    fn expect_close(&mut self) -> Result<(), String> {
        let mut buffer = [0; 4096];
        match self.read(&mut buffer, self.deadline()) {
            Ok(0) => Ok(()),
            Ok(size) => {
                Err(format!("expected nothing but the close of the connection, got {}", shown(&buffer[..size])))
            }
            Err(error) if is_timeout(&error) => {
                Err(format!("the peer has kept the connection open for {:?}; was the client dropped?", self.patience))
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn ignore(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buffer, self.deadline()) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err(format!(
                        "the peer was silent for {:?} and kept the connection open; \
                         was the client dropped?",
                        self.patience
                    ));
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// Empties the receive buffer: the kernel turns the close of a connection
    /// with unread bytes into a reset.
    fn discard(&mut self) -> Result<(), String> {
        let deadline = self.deadline();
        let mut buffer = vec![0; 64 * 1024];
        self.stream.set_nonblocking(true).map_err(|error| format!("cannot prepare the close: {error}"))?;
        while Instant::now() < deadline {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Returns 0 when the peer has closed or reset the connection.
    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let result = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(buffer));
            match result {
                Err(error) if is_close(&error) => return Ok(0),
                // A socket's timeout may end a little early; the deadline decides.
                Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.patience))?;
        self.stream.write_all(bytes)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    fn explain(&self, error: &io::Error) -> String {
        if is_timeout(error) {
            format!("then nothing happened for {:?}", self.patience)
        } else if is_close(error) {
            "the peer has closed the connection".to_owned()
        } else {
            format!("the connection failed: {error}")
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            // macOS sets no option on a socket whose peer is gone.
            | ErrorKind::InvalidInput
    )
}

fn missing(got: &[u8], expected: &[u8], why: &str) -> String {
    format!("expected {}, got {}, {why}", shown(expected), shown(got))
}

fn mismatch(expected: &[u8], got: &[u8]) -> String {
    let at = expected.iter().zip(got).take_while(|(expected, got)| expected == got).count();
    let around = |bytes: &[u8]| {
        let end = bytes.len().min(at + 32);
        shown(&bytes[at.saturating_sub(16)..end])
    };
    let mut text = format!("expected {}, got {}", shown(expected), shown(got));
    if expected.len() > SHOWN_WHOLE {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            ", they differ from byte {at} on (around it: expected {}, got {})",
            around(expected),
            around(got)
        );
    }
    text
}

const SHOWN_WHOLE: usize = 200;

fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_WHOLE {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (head, tail) = (&bytes[..140], &bytes[bytes.len() - 40..]);
    format!("\"{}\" … \"{}\" ({} bytes)", head.escape_ascii(), tail.escape_ascii(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_escaped() {
        assert_eq!(shown(b"get a\r\n\0\xff"), r#""get a\r\n\x00\xff""#);
    }

    #[test]
    fn a_long_mismatch_shows_where_it_is() {
        let expected = vec![b'x'; 1000];
        let mut got = expected.clone();
        got[500] = b'y';
        let text = mismatch(&expected, &got);
        assert!(text.contains("differ from byte 500 on"), "{text}");
        assert!(text.contains("got \"xxxxxxxxxxxxxxxxyxxx"), "{text}");
        assert!(text.len() < 1200, "{text}");
    }
}
