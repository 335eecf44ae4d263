//! What the tests of the protocol core share: a connection that is driven as a transport drives one, and the requests
//! that go over it.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]

mod arguments;
mod meta;
mod request;
mod words;

use memcached2_testkit::assert_matches;
use std::io::IoSlice;

use memcached2_proto::command::Version;
use memcached2_proto::{Connection, Error, Landed, Limits, Reply};

pub(crate) use self::request::{Request, now};
pub(crate) use self::words::{kind, word};

/// One connection, driven as a transport drives it: it writes what is offered, reads into the given space, takes
/// replies until there is none, and after a failure asks which requests may have taken effect. Or by completion, with
/// its own buffers.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) connection: Connection,
    /// The results of the requests so far, in order.
    pub(crate) results: Vec<String>,
    /// What ended the conversation, and whether that was the end of the stream.
    pub(crate) failed: Option<(Error, bool)>,
    /// Whether the server has answered `quit`.
    left: bool,
    /// How many bytes the connection took.
    pub(crate) accepted: usize,
    asked: Vec<Request>,
    replies: Vec<Reply>,
    /// Whether it is driven by completion: with `take_outgoing` and `feed`.
    by_completion: bool,
}

impl Default for Talk {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Talk {
    pub(crate) fn new(limits: Limits) -> Self {
        let connection = Connection::new(limits);
        let (results, asked, replies) = (Vec::new(), Vec::new(), Vec::new());
        Self { connection, results, failed: None, left: false, accepted: 0, asked, replies, by_completion: false }
    }

    /// A conversation that is driven with [`Connection::feed`] and [`Connection::take_outgoing`].
    pub(crate) fn by_completion() -> Self {
        Self { by_completion: true, ..Self::default() }
    }

    /// A conversation in which these bytes have been submitted and written.
    #[track_caller]
    pub(crate) fn said(bytes: &[u8]) -> Self {
        let mut talk = Self::default();
        talk.submit(bytes);
        assert_eq!(talk.write(usize::MAX).escape_ascii().to_string(), bytes.escape_ascii().to_string());
        talk
    }

    /// Submits the requests that these bytes stand for.
    #[track_caller]
    pub(crate) fn submit(&mut self, bytes: &[u8]) {
        for request in Request::parse(bytes, self.asked.len()) {
            let tag = u32::try_from(self.asked.len()).expect("few requests");
            request.submit(&mut self.connection, tag).expect("a request that can be submitted");
            if !matches!(request, Request::Quit) {
                self.asked.push(request);
            }
        }
    }

    /// Writes all that is offered, this many bytes at a time, and returns it.
    pub(crate) fn write(&mut self, most: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while self.write_once(most, &mut written) > 0 {}
        written
    }

    /// Writes at most this many bytes of what is offered.
    pub(crate) fn write_once(&mut self, most: usize, written: &mut Vec<u8>) -> usize {
        let before = written.len();
        if self.by_completion {
            written.extend(self.connection.take_outgoing().iter().flatten());
            return written.len() - before;
        }
        let mut slices = [IoSlice::new(&[]); 4];
        let count = self.connection.write_slices(&mut slices);
        for slice in &slices[..count] {
            assert!(!slice.is_empty(), "an empty slice is offered");
            let room = most - (written.len() - before);
            written.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let n = written.len() - before;
        self.connection.advance_written(n);
        n
    }

    /// Reads these bytes, as much at a time as there is space.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        if self.by_completion {
            if !bytes.is_empty() && self.failed.is_none() {
                self.feed(bytes);
            }
            return;
        }
        while !bytes.is_empty() && self.failed.is_none() {
            let space = self.connection.read_buf();
            let n = space.len().min(bytes.len());
            assert!(n > 0, "there is no space to read into");
            space[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.accepted += n;
            match self.connection.advance_read(n) {
                Ok(()) => self.take(),
                Err(error) => self.failed = Some((error, false)),
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut replies = Vec::new();
        let result = self.connection.feed(bytes, |tag, reply, last| replies.push((tag, reply, last)));
        replies.into_iter().for_each(|(tag, reply, last)| self.on_reply(tag, reply, last));
        match result {
            Ok(()) => self.left = bytes.is_empty(),
            Err(error) => self.failed = Some((error, bytes.is_empty())),
        }
    }

    /// Takes the replies that are complete.
    pub(crate) fn take(&mut self) {
        loop {
            match self.connection.next_reply() {
                Ok(None) => return,
                Err(error) => {
                    self.failed = Some((error, false));
                    return;
                }
                Ok(Some((tag, reply, last))) => self.on_reply(tag, reply, last),
            }
        }
    }

    fn on_reply(&mut self, tag: u32, reply: Reply, last: bool) {
        assert_eq!(tag as usize, self.results.len(), "{reply:?} is for another request");
        self.replies.push(reply);
        if last {
            let replies = std::mem::take(&mut self.replies);
            self.results.push(match replies.as_slice() {
                [Reply::Cancelled] => "cancelled".to_owned(),
                _ => self.asked[tag as usize].result(replies, Ok(())),
            });
        }
    }

    /// The server ends the stream.
    pub(crate) fn end(&mut self) {
        if self.by_completion && self.failed.is_none() {
            self.feed(&[]);
        } else if self.failed.is_none() {
            match self.connection.advance_read(0) {
                Ok(()) => self.left = true,
                Err(error) => self.failed = Some((error, true)),
            }
        }
    }

    /// Ends the conversation: all results, and the state of the connection in the words of the `R:` lines.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Vec<String> {
        if self.left {
            self.results.push("left".to_owned());
            assert_eq!(self.results.len(), self.asked.len() + 1, "the server left before it had answered");
            assert!(!self.connection.is_idle() && !self.connection.is_busy());
            assert_matches!(self.connection.submit(&Version, now(), 0), Err(Error::Closed { .. }));
            assert_eq!((self.connection.fail_pending().count(), self.connection.advance_read(0).is_ok()), (0, false));
            return self.results;
        }
        let Some((error, ended)) = self.failed.take() else {
            self.results.push(if self.connection.is_idle() { "in step" } else { "waiting" }.to_owned());
            assert_ne!(self.connection.is_idle(), self.connection.is_busy());
            return self.results;
        };
        if !ended {
            assert_spoilt(&mut self.connection);
        }
        let abandoned: Vec<_> = self.connection.fail_pending().collect();
        let expected: Vec<_> = (self.results.len()..self.asked.len()).collect();
        let tags: Vec<_> = abandoned.iter().map(|abandoned| abandoned.tag as usize).collect();
        assert_eq!(tags, expected, "each request without an answer is abandoned once");
        assert_spoilt(&mut self.connection);
        assert_eq!(self.connection.fail_pending().count(), 0);
        for abandoned in abandoned {
            let replies = std::mem::take(&mut self.replies);
            let request = &self.asked[abandoned.tag as usize];
            self.results.push(request.result(replies, Err((error.clone(), abandoned.landed))));
        }
        self.results.push(match ended {
            true => "closed".to_owned(),
            false => format!("broken: {}", kind(&error)),
        });
        self.results
    }
}

/// A connection that has failed accepts no request, returns no reply and is not used again.
#[track_caller]
pub(crate) fn assert_spoilt(connection: &mut Connection) {
    assert!(!connection.is_idle(), "a failed connection says that it can serve somebody else");
    assert!(connection.next_reply().is_err(), "a failed connection gives a reply");
    let error = connection.submit(&Version, now(), 0).expect_err("a failed connection takes a request");
    assert_eq!(error.landed(), Landed::NotSent);
}
