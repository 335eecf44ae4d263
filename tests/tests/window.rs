//! A batch cannot deadlock: how much a connection writes before it reads, against a server with small buffers.
#![allow(clippy::panic, clippy::expect_used)]

mod core;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use memcached2_proto::{Connection, Get, Limits, Reply, Store};

use self::core::now;

const KIB: usize = 1024;
/// How many bytes of requests may be unanswered.
const WINDOW: usize = 64 * KIB;
/// How many short answers fit any buffer.
const LINES: usize = 256;

/// A server that reads nothing more while this many bytes of its answers are unread.
const PATIENCE: usize = 32 * KIB;

/// A server whose sockets buffer [`WINDOW`] bytes. It answers a get with a value of `value` bytes.
#[derive(Debug)]
struct Peer {
    /// What was written and not read.
    requests: VecDeque<u8>,
    /// How many bytes of the block of a set are still to be read, and the length of that request.
    block: Option<usize>,
    answers: VecDeque<u8>,
    value: Vec<u8>,
}

impl Peer {
    fn new(value: usize) -> Self {
        Self { requests: VecDeque::new(), block: None, answers: VecDeque::new(), value: vec![b'v'; value] }
    }

    /// Takes bytes as a blocking write gives them: it returns when all of them fit the buffers.
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8 * KIB) {
            self.requests.extend(piece);
            self.work();
            assert!(self.requests.len() <= WINDOW, "a deadlock: both sides write and nobody reads");
        }
    }

    /// Gives as many bytes of answers as a read takes.
    fn read(&mut self, space: &mut [u8]) -> usize {
        let n = space.len().min(self.answers.len());
        for (to, from) in space.iter_mut().zip(self.answers.drain(..n)) {
            *to = from;
        }
        self.work();
        n
    }

    fn work(&mut self) {
        while self.answers.len() <= PATIENCE {
            if let Some(left) = self.block {
                let there = left.min(self.requests.len());
                self.requests.drain(..there);
                self.block = Some(left - there);
                if left > there {
                    return;
                }
                self.block = None;
                self.answers.extend(b"STORED\r\n");
                continue;
            }
            let Some(end) = self.requests.iter().position(|byte| *byte == b'\n') else { return };
            let line: Vec<u8> = self.requests.drain(..=end).collect();
            let line = String::from_utf8(line).expect("a line of text");
            let words: Vec<_> = line.trim_end().split(' ').collect();
            match words[..] {
                ["get", key] => {
                    self.answers.extend(format!("VALUE {key} 0 {}\r\n", self.value.len()).as_bytes());
                    self.answers.extend(&self.value);
                    self.answers.extend(b"\r\nEND\r\n");
                }
                ["set", _, _, _, length] => {
                    self.block = Some(length.parse::<usize>().expect("a length") + 2);
                }
                _ => panic!("no request: {line:?}"),
            }
        }
    }
}

/// A request of a batch: its length on the wire, and whether its answer is one short line.
#[derive(Debug, Clone, Copy)]
struct Asked {
    length: usize,
    is_line: bool,
}

/// How a batch went.
#[derive(Debug, Default)]
struct Course {
    writes: usize,
    written: usize,
    answers: usize,
    /// How many bytes of the requests before the last one that was begun were unanswered at most, while an answer
    /// among theirs was no short line or there were many.
    risked: usize,
}

#[derive(Debug)]
struct Batch {
    connection: Connection,
    asked: Vec<Asked>,
}

impl Batch {
    fn new() -> Self {
        Self { connection: Connection::new(Limits::default()), asked: Vec::new() }
    }

    fn set(&mut self, data: impl Into<Bytes>) {
        let (key, data) = (self.key(), data.into());
        let length = format!("set {key} 0 0 {}\r\n\r\n", data.len()).len() + data.len();
        let set = Store::set(&key, &data).expect("a set");
        self.connection.submit(&set, now(), self.tag()).expect("a request");
        self.asked.push(Asked { length, is_line: true });
    }

    fn get(&mut self) {
        let key = self.key();
        self.connection.submit(&Get::new(&key).expect("a get"), now(), self.tag()).expect("a request");
        self.asked.push(Asked { length: format!("get {key}\r\n").len(), is_line: false });
    }

    fn key(&self) -> String {
        format!("key:{:06}", self.asked.len())
    }

    fn tag(&self) -> u32 {
        u32::try_from(self.asked.len()).expect("a batch of fewer requests")
    }

    /// Drives the batch as a blocking transport does: it writes while there is something to write, then reads.
    #[track_caller]
    fn drive(&mut self, peer: &mut Peer, most_read: usize) -> Course {
        let mut course = Course::default();
        // The end of the answered requests in the stream, the first request not begun, and the end of those begun.
        let (mut answered, mut begun, mut begun_end) = (0, 0, 0);
        let mut lines_open = 0;
        while course.answers < self.asked.len() {
            loop {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = self.connection.write_slices(&mut slices);
                if count == 0 {
                    break;
                }
                slices[..count].iter().for_each(|slice| peer.write(slice));
                let n = slices[..count].iter().map(|slice| slice.len()).sum::<usize>();
                self.connection.advance_written(n);
                course.writes += 1;
                course.written += n;
                while begun < self.asked.len() && begun_end < course.written {
                    let only_lines = lines_open == begun - course.answers && lines_open <= LINES;
                    if !only_lines {
                        course.risked = course.risked.max(begun_end - answered);
                    }
                    begun_end += self.asked[begun].length;
                    lines_open += usize::from(self.asked[begun].is_line);
                    begun += 1;
                }
            }
            let space = self.connection.read_buf();
            let room = space.len().min(most_read);
            let n = peer.read(&mut space[..room]);
            assert!(n > 0, "a deadlock: both sides read and nobody writes");
            self.connection.advance_read(n).expect("the stream goes on");
            while let Some((tag, reply, last)) = self.connection.next_reply().expect("an answer") {
                let asked = self.asked[course.answers];
                assert_eq!((tag as usize, last), (course.answers, true));
                assert_eq!(matches!(reply, Reply::Stored), asked.is_line, "{reply:?}");
                assert_eq!(matches!(reply, Reply::Value(..)), !asked.is_line, "{reply:?}");
                answered += asked.length;
                lines_open -= usize::from(asked.is_line);
                course.answers += 1;
            }
        }
        assert_eq!(course.written, self.asked.iter().map(|asked| asked.length).sum::<usize>());
        assert!(self.connection.is_idle() && self.connection.is_flushed());
        self.asked.clear();
        course
    }
}

#[test]
fn a_batch_of_any_kind_is_answered_and_never_risks_a_deadlock() {
    type Fill = fn(&mut Batch, usize);
    let cases: [(&str, usize, usize, Fill); 6] = [
        ("small sets", 100_000, 0, |batch, number| batch.set(vec![b'x'; number % 200])),
        ("gets of small values", 10_000, 10, |batch, _| batch.get()),
        ("gets of large values", 10_000, 4 * KIB, |batch, _| batch.get()),
        ("sets and gets in turn", 20_000, 1000, |batch, number| match number % 2 {
            0 => batch.set(vec![b'x'; 100]),
            _ => batch.get(),
        }),
        ("large sets before many gets", 3000, 4 * KIB, |batch, number| match number % 300 {
            0 => batch.set(vec![b'x'; 300 * KIB]),
            _ => batch.get(),
        }),
        ("sets longer than a window", 600, 0, |batch, _| batch.set(vec![b'x'; 70 * KIB])),
    ];
    for (name, requests, value, fill) in cases {
        for most_read in [usize::MAX, 1000] {
            let mut batch = Batch::new();
            (0..requests).for_each(|number| fill(&mut batch, number));
            let course = batch.drive(&mut Peer::new(value), most_read);
            assert_eq!(course.answers, requests, "{name}");
            assert!(course.risked <= WINDOW, "{name}, reads of {most_read}: {course:?}");
            let per_write = course.written / course.writes;
            // A batch of fewer bytes than that has only one write.
            assert!(
                per_write >= 8 * KIB.min(course.written),
                "{name}, reads of {most_read}: {per_write} bytes a write"
            );
        }
    }
}

#[test]
fn batch_after_batch_goes_over_one_connection() {
    let (mut batch, mut peer) = (Batch::new(), Peer::new(1000));
    for round in 1..50 {
        (0..round * 10).for_each(|_| batch.get());
        (0..round).for_each(|_| batch.set(vec![b'x'; 20 * KIB]));
        let course = batch.drive(&mut peer, usize::MAX);
        assert_eq!(course.answers, round * 11);
        assert!(course.risked <= WINDOW, "{course:?}");
    }
}

#[test]
fn a_large_value_is_written_from_where_it_lies() {
    let value: Bytes = (0..10 * KIB * KIB).map(|number| (number % 251) as u8).collect::<Vec<_>>().into();
    for most in [usize::MAX, 100 * KIB, 4099] {
        let mut connection = Connection::new(Limits::default());
        connection.submit(&Store::set("a", &value).expect("a set"), now(), 0).expect("a request");
        connection.submit(&Get::new("b").expect("a get"), now(), 1).expect("a request");
        let expected = [b"set a 0 0 10485760\r\n", &value[..], b"\r\nget b\r\n"].concat();
        let place = value.as_ptr() as usize;
        let mut written = 0;
        let mut shared = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let count = connection.write_slices(&mut slices);
            let mut n = 0;
            for slice in &slices[..count] {
                let slice = &slice[..slice.len().min(most - n)];
                assert!(slice == &expected[written + n..][..slice.len()], "other bytes at {}", written + n);
                // Where the bytes lie, they were not copied to.
                let offset = (slice.as_ptr() as usize).wrapping_sub(place);
                if offset < value.len() {
                    assert_eq!(offset + b"set a 0 0 10485760\r\n".len(), written + n);
                    shared += slice.len();
                }
                n += slice.len();
            }
            if n == 0 {
                break;
            }
            connection.advance_written(n);
            written += n;
        }
        assert_eq!((written, shared), (expected.len(), value.len()), "{most} bytes a write");
        let answers = b"STORED\r\nEND\r\n";
        connection.read_buf()[..answers.len()].copy_from_slice(answers);
        connection.advance_read(answers.len()).expect("the stream goes on");
        assert_eq!(connection.next_reply(), Ok(Some((0, Reply::Stored, true))));
        assert_eq!(connection.next_reply(), Ok(Some((1, Reply::Miss, true))));
        assert!(connection.is_idle() && connection.is_flushed());
    }
}

#[test]
fn a_single_request_is_written_whole_however_long_it_is() {
    for length in [0, WINDOW - 100, WINDOW, WINDOW + 1, 10 * KIB * KIB] {
        let mut batch = Batch::new();
        batch.set(vec![b'x'; length]);
        let course = batch.drive(&mut Peer::new(0), usize::MAX);
        assert_eq!((course.answers, course.writes), (1, 1), "{length} bytes");
    }
}
