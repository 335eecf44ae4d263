use super::Gate;

/// The script of one connection, seen from the server.
///
/// Steps are played in the order they are written. A script without an end ends as if
/// [`expect_close`](Self::expect_close) were its last step. No step waits for its peer longer than ten seconds.
///
/// After a step that ends the connection only [`open`](Self::open) and
/// [`wait`](Self::wait) may follow; any other step panics.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Expect(Vec<u8>),
    /// Each piece is one write.
    Send(Vec<Vec<u8>>),
    SendRepeated(Vec<u8>, usize),
    Wait(Gate),
    Open(Gate),
    Stall,
    Ignore,
    Close,
    Reset,
    ExpectClose,
}

impl Step {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Expect(_) => "expect",
            Self::Send(_) => "send",
            Self::SendRepeated(..) => "send_repeated",
            Self::Wait(_) => "wait",
            Self::Open(_) => "open",
            Self::Stall => "stall",
            Self::Ignore => "ignore",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::ExpectClose => "expect_close",
        }
    }

    fn ends_the_connection(&self) -> bool {
        matches!(self, Self::Stall | Self::Ignore | Self::Close | Self::Reset | Self::ExpectClose)
    }
}

impl Session {
    /// Creates an empty script: the peer may connect and must say nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads exactly these bytes.
    #[must_use]
    #[track_caller]
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Expect(bytes.as_ref().to_vec()))
    }

    /// Reads what a client of memcached2 asks on a new connection: whether the server speaks meta. One that does not answers
    /// `ERROR` to each of the two lines.
    ///
    /// Nothing is asked by a client that was given its protocol (`Options::protocol`).
    #[must_use]
    #[track_caller]
    pub fn expect_probe(self) -> Self {
        self.expect("md AA== b C18446744073709551615 O0000\r\nmn    \r\n")
    }

    /// Sends the bytes in one write.
    #[must_use]
    #[track_caller]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(vec![bytes.as_ref().to_vec()]))
    }

    /// Sends the bytes in two writes, the second one beginning at `at`.
    ///
    /// The peer most likely sees two pieces, but the kernel may join them. Only
    /// a [`wait`](Self::wait) between two sends makes sure.
    ///
    /// # Panics
    ///
    /// If `at` is after the end of the bytes.
    #[must_use]
    #[track_caller]
    pub fn send_split(self, bytes: impl AsRef<[u8]>, at: usize) -> Self {
        let bytes = bytes.as_ref();
        let Some((head, tail)) = bytes.split_at_checked(at) else {
            panic!("{} bytes cannot be split at {at}", bytes.len());
        };
        self.then(Step::Send(vec![head.to_vec(), tail.to_vec()]))
    }

    /// Sends every byte in a separate write.
    ///
    /// The kernel may join some of them, as in [`send_split`](Self::send_split).
    #[must_use]
    #[track_caller]
    pub fn send_byte_by_byte(self, bytes: impl AsRef<[u8]>) -> Self {
        let pieces = bytes.as_ref().iter().map(|byte| vec![*byte]).collect();
        self.then(Step::Send(pieces))
    }

    /// Sends the bytes this many times, or until the peer closes.
    #[must_use]
    #[track_caller]
    pub fn send_repeated(self, bytes: impl AsRef<[u8]>, times: usize) -> Self {
        self.then(Step::SendRepeated(bytes.as_ref().to_vec(), times))
    }

    /// Stops until the test opens the gate.
    #[must_use]
    #[track_caller]
    pub fn wait(self, gate: &Gate) -> Self {
        self.then(Step::Wait(gate.clone()))
    }

    /// Opens the gate, so that the test knows that the server got here.
    #[must_use]
    #[track_caller]
    pub fn open(self, gate: &Gate) -> Self {
        self.then(Step::Open(gate.clone()))
    }

    /// Says nothing until the peer closes; bytes from the peer fail the script.
    #[must_use]
    #[track_caller]
    pub fn stall(self) -> Self {
        self.then(Step::Stall)
    }

    /// Says nothing until the peer closes and swallows whatever it sends.
    #[must_use]
    #[track_caller]
    pub fn ignore(self) -> Self {
        self.then(Step::Ignore)
    }

    /// Closes the connection in an orderly way.
    ///
    /// Bytes that have come before are discarded. The kernel answers later bytes with a reset.
    #[must_use]
    #[track_caller]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Resets the connection; the peer may lose bytes it has not read yet.
    #[must_use]
    #[track_caller]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Waits until the peer closes or resets; bytes from it fail the script.
    #[must_use]
    #[track_caller]
    pub fn expect_close(self) -> Self {
        self.then(Step::ExpectClose)
    }

    #[track_caller]
    fn then(mut self, step: Step) -> Self {
        let end = self.steps.iter().find(|step| step.ends_the_connection());
        if let (Some(end), false) = (end, matches!(step, Step::Open(_) | Step::Wait(_))) {
            panic!("`{}` ends the connection, `{}` cannot follow it", end.name(), step.name());
        }
        self.steps.push(step);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "`close` ends the connection, `send` cannot follow it")]
    fn nothing_can_be_sent_after_the_end() {
        let _ = Session::new().close().send("END\r\n");
    }

    #[test]
    #[should_panic(expected = "5 bytes cannot be split at 6")]
    fn a_split_lies_within_the_bytes() {
        let _ = Session::new().send_split("END\r\n", 6);
    }
}
