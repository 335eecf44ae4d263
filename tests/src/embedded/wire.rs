//! A connection without its socket: bytes in, batches of answers out.

use std::mem::take;

use super::engine::{Answer, Engine, Next, Pin, Upload};
use super::saboteur::{Deed, Saboteur};
use super::store::Moment;

/// How many bytes a server reads at once.
const BUFFER: usize = 16 * 1024;
/// A line may be longer only as a `get`.
const LINE: usize = 2048;
/// How many requests are served before the answers are sent.
const REQUESTS: i32 = 20;
/// How many replies a saboteur spares at the beginning of a connection, and behind each that it spoils.
const SPARED: u64 = 3;
/// The first byte of the binary protocol.
const BINARY: u8 = 0x80;

/// What is to be written after some bytes were read.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// One write each.
    pub(super) batches: Vec<Vec<u8>>,
    pub(super) close: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Block(Upload, Vec<u8>),
    Swallow(usize, Answer),
}

/// Cuts a stream into requests and has an engine serve them.
#[derive(Debug)]
pub(super) struct Connection {
    input: Vec<u8>,
    state: State,
    /// The answers that are not sent yet.
    queue: Vec<u8>,
    pins: Vec<Pin>,
    budget: i32,
    begun: bool,
    /// How many answers there were since the connection began, or since one was spoilt.
    unspoilt: u64,
    /// An answer that the next one overtakes.
    overtaken: Vec<u8>,
    /// The queue is not to be sent before the next read.
    delayed: bool,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self {
            input: Vec::new(),
            state: State::Line,
            queue: Vec::new(),
            pins: Vec::new(),
            budget: 0,
            begun: false,
            unspoilt: 0,
            overtaken: Vec::new(),
            delayed: false,
        }
    }

    /// Tells how many bytes to read next: what follows a block belongs to another read.
    pub(super) fn room(&self) -> usize {
        match &self.state {
            State::Line if self.input.len() < BUFFER => BUFFER - self.input.len(),
            State::Line => BUFFER,
            State::Block(upload, block) => (upload.length + 2 - block.len()).min(64 * 1024),
            State::Swallow(left, _) => (*left).min(BUFFER),
        }
    }

    /// Takes the bytes of one read.
    pub(super) fn read(&mut self, bytes: &[u8], engine: &mut Engine, now: Moment) -> Outcome {
        let mut outcome = Outcome::default();
        engine.store.counts.bytes_read += bytes.len() as u64;
        self.input.extend_from_slice(bytes);
        self.budget = REQUESTS;
        self.delayed = false;
        let binary = !self.begun && self.input.first() == Some(&BINARY);
        self.begun = true;
        outcome.close = binary || self.work(engine, now, &mut outcome.batches);
        outcome
    }

    /// Serves all requests that are there and tells whether the connection ends.
    fn work(&mut self, engine: &mut Engine, now: Moment, batches: &mut Vec<Vec<u8>>) -> bool {
        let mut input = take(&mut self.input);
        let mut used = 0;
        let close = loop {
            let rest = &input[used..];
            match take(&mut self.state) {
                State::Line => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        if rest.len() > LINE && !is_get(rest) {
                            break true;
                        }
                        self.send(engine, batches);
                        break false;
                    };
                    used += end + 1;
                    let line =
                        if end > 1 { rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]) } else { &rest[..end] };
                    match engine.execute(line, now) {
                        Next::Answer(answer) => self.answer(answer, engine, batches),
                        Next::Block(upload) => self.state = State::Block(upload, Vec::new()),
                        Next::Swallow(left, answer) => self.state = State::Swallow(left, answer),
                        Next::Quit => {
                            self.delayed = false;
                            self.send(engine, batches);
                            break true;
                        }
                        Next::Close => break true,
                    }
                }
                State::Block(upload, mut block) => {
                    let taken = rest.len().min(upload.length + 2 - block.len());
                    block.extend_from_slice(&rest[..taken]);
                    used += taken;
                    if block.len() < upload.length + 2 {
                        self.state = State::Block(upload, block);
                        break false;
                    }
                    let answer = engine.complete(upload, block, now);
                    self.answer(answer, engine, batches);
                }
                State::Swallow(left, answer) => {
                    let taken = rest.len().min(left);
                    used += taken;
                    if taken < left {
                        self.state = State::Swallow(left - taken, answer);
                        break false;
                    }
                    self.answer(answer, engine, batches);
                }
            }
        };
        input.drain(..used);
        self.input = input;
        close
    }

    fn answer(&mut self, answer: Answer, engine: &mut Engine, batches: &mut Vec<Vec<u8>>) {
        if answer.alone {
            self.queue.clear();
            self.pins.clear();
        }
        self.enqueue(answer.bytes, engine.saboteur.as_mut());
        self.pins.extend(answer.pins);
        self.budget -= 1;
        if answer.urgent || self.budget < 0 {
            self.send(engine, batches);
        }
        if self.budget < 0 {
            engine.store.counts.conn_yields += 1;
            self.budget = REQUESTS - 1;
        }
    }

    /// Puts an answer where it waits to be sent, or what a saboteur makes of it.
    fn enqueue(&mut self, bytes: Vec<u8>, saboteur: Option<&mut Saboteur>) {
        if bytes.is_empty() {
            return;
        }
        self.unspoilt += 1;
        let overtaken = take(&mut self.overtaken);
        let saboteur = saboteur.filter(|_| self.unspoilt > SPARED);
        let deed = saboteur.and_then(Saboteur::deed);
        if deed.is_some() {
            self.unspoilt = 0;
        }
        match deed {
            None => self.queue.extend(bytes),
            Some(Deed::Discard) => {}
            Some(Deed::Double) => self.queue.extend(bytes.repeat(2)),
            Some(Deed::Swap) => self.overtaken = bytes,
            Some(Deed::Delay) => {
                self.queue.extend(bytes);
                self.delayed = true;
            }
            Some(Deed::Replace(line)) => self.queue.extend([line.as_bytes(), b"\r\n"].concat()),
        }
        self.queue.extend(overtaken);
    }

    fn send(&mut self, engine: &mut Engine, batches: &mut Vec<Vec<u8>>) {
        if self.delayed {
            return;
        }
        self.pins.clear();
        if !self.queue.is_empty() {
            engine.store.counts.bytes_written += self.queue.len() as u64;
            batches.push(take(&mut self.queue));
        }
    }
}

/// Tells whether an unfinished line may go on beyond the limit.
fn is_get(line: &[u8]) -> bool {
    let blanks = line.iter().take_while(|byte| **byte == b' ').count();
    blanks <= 100 && (line[blanks..].starts_with(b"get ") || line[blanks..].starts_with(b"gets "))
}
