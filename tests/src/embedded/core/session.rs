//! A connection without its socket: bytes in, writes out.

use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

use super::Core;
use super::authentication::Request;
use super::dispatch::{Answer, Next, Pin, Takeover, Upload};
use super::requests::Request as Asked;
use super::saboteur::{Deed, Saboteur};
use super::store::Moment;
use super::watch::Kind;

/// How many bytes a server reads at once.
const BUFFER: usize = 16 * 1024;
/// A line may be longer only as a `get`.
const LINE: usize = 2048;
/// Of a shorter line a server of 1.6.44 or later that wants credentials closes the connection.
const SHORTEST: usize = 6;
/// How many requests are served before the answers are sent.
const REQUESTS: i32 = 20;
/// How many replies a saboteur spares at the beginning of a connection, and after each that it spoils.
const SPARED: u64 = 3;
/// The first byte of the binary protocol.
const BINARY: u8 = 0x80;

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Block(Upload, Vec<u8>),
    Swallow(usize, Answer),
    /// A user and password of this length, and a line end.
    Credentials(usize),
}

/// Is one connection to a [`Core`]: takes bytes of the client in pieces of any size, and returns the replies.
///
/// Call it with the core that it was made by. See [the module](crate::embedded) for an example.
#[derive(Debug, Default)]
pub struct Session {
    input: Vec<u8>,
    state: State,
    /// The answers that are not sent yet.
    queue: Vec<u8>,
    pins: Vec<Pin>,
    budget: i32,
    begun: bool,
    /// Whether the client has given a user and password, where it has to.
    is_authenticated: bool,
    /// How many answers there were since the connection began, or since one was spoilt.
    unspoilt: u64,
    /// An answer that the next one overtakes.
    overtaken: Vec<u8>,
    /// The queue is not to be sent before the next read.
    delayed: bool,
    /// What is sent and not taken yet, one write each.
    writes: VecDeque<Vec<u8>>,
    is_closed: bool,
    /// Its file descriptor in logs.
    descriptor: u64,
    /// Its number as a watcher.
    watching: Option<u64>,
    /// How long the answers wait.
    delay: Duration,
    served: Served,
}

/// What a connection was served since faults were set.
#[derive(Debug, Default)]
struct Served {
    /// How often they were set.
    faults_set: u64,
    requests: u64,
    bytes: u64,
    /// The last request is one that counts.
    counts: bool,
    /// An answer was cut.
    is_cut: bool,
}

impl Session {
    pub(super) fn new(descriptor: u64) -> Self {
        Self { descriptor, ..Self::default() }
    }

    /// Whether it watches what happens in the server: it is no longer served, and has [events](Session::take_events) to be written.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.watching.is_some()
    }

    /// Returns the events that are to be written to a connection that [watches](Session::is_watching), if there are any.
    #[must_use = "what is taken is not returned again"]
    pub fn take_events(&self, core: &mut Core) -> Option<Vec<u8>> {
        core.store.log.take(self.watching?)
    }

    /// Serves bytes of the client, which come at this unix time, in seconds.
    ///
    /// One call is one read of the server, or several if there are more than 16 KiB. Requests may be cut anywhere: their
    /// replies are the same, but for the few things that memcached decides by what it has read and not sent yet:
    ///
    /// * which replies share a write, and `conn_yields`, `bytes_read` and `bytes_written` in `stats`;
    /// * an unfinished line of more than 2 KiB closes the connection, unless it is a `get`;
    /// * a counter that gets shorter is padded with blanks, unless a reply with its old value is not sent yet;
    /// * a `get` that finds no memory for its reply, or whose key is too long, throws away the replies that are not sent yet, and so
    ///   does a line that closes the connection, such as one of HTTP.
    ///
    /// A closed session ignores what it is fed.
    pub fn feed(&mut self, core: &mut Core, mut bytes: &[u8], unix_seconds: u64) {
        let now = core.store.moment(unix_seconds);
        (core.store.log.now, core.store.log.connection) = (unix_seconds, self.descriptor);
        self.delay = Duration::ZERO;
        while !bytes.is_empty() && !self.is_closed {
            let (read, rest) = bytes.split_at(bytes.len().min(self.room()));
            self.read(read, core, now);
            bytes = rest;
        }
    }

    /// Returns the bytes of the next write of the server; `None` if there is nothing to write before it is fed again.
    #[must_use = "what is taken is not returned again"]
    pub fn take_outgoing(&mut self) -> Option<Vec<u8>> {
        self.writes.pop_front()
    }

    /// Returns how long the answers wait to what was fed last, by [`Faults::delay`](crate::Faults::delay). Whoever writes
    /// them sees to it.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Whether one side has closed the connection. What is still to be taken is written before it ends.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closes the connection from the side of the client: it is no longer counted as open.
    pub fn close(&mut self, core: &mut Core) {
        if !self.is_closed {
            self.is_closed = true;
            core.open_connections -= 1;
            self.watching.take().into_iter().for_each(|id| core.store.log.unwatch(id));
            let number = self.descriptor;
            core.store.log.add(Kind::Connection, |_| {
                format!("type=conn_close rip=127.0.0.1 rport=0 transport=tcp reason=normal cfd={number}")
            });
        }
    }

    /// Returns how many bytes to read next: what follows a block belongs to another read.
    pub(in crate::embedded) fn room(&self) -> usize {
        match &self.state {
            State::Line if self.input.len() < BUFFER => BUFFER - self.input.len(),
            State::Line => BUFFER,
            State::Credentials(_) => BUFFER - self.input.len(),
            State::Block(upload, block) => (upload.length + 2 - block.len()).min(64 * 1024),
            State::Swallow(left, _) => (*left).min(BUFFER),
        }
    }

    /// Takes the bytes of one read.
    fn read(&mut self, bytes: &[u8], core: &mut Core, now: Moment) {
        core.store.counts.bytes_read += bytes.len() as u64;
        self.input.extend_from_slice(bytes);
        self.budget = REQUESTS;
        self.delayed = false;
        let binary = !self.begun && self.input.first() == Some(&BINARY);
        self.begun = true;
        if binary || self.work(core, now) {
            self.close(core);
        }
    }

    /// Serves all complete requests and returns whether the connection ends.
    fn work(&mut self, core: &mut Core, now: Moment) -> bool {
        if self.is_watching() {
            // Whatever comes is ignored.
            self.input.clear();
            return false;
        }
        let mut input = take(&mut self.input);
        let mut used = 0;
        let close = loop {
            if self.served.is_cut {
                self.delayed = false;
                self.send(core);
                break true;
            }
            let rest = &input[used..];
            match take(&mut self.state) {
                State::Line => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        if rest.len() > LINE && (!self.is_served(core) || !is_get(rest)) {
                            break true;
                        }
                        self.send(core);
                        break false;
                    };
                    used += end + 1;
                    let line =
                        if end > 1 { rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]) } else { &rest[..end] };
                    if !self.is_served(core) {
                        // What is stacked is thrown away with the connection.
                        if end < SHORTEST && core.is_since((1, 6, 44)) {
                            self.queue.clear();
                            break true;
                        }
                        match Core::before_authentication(line) {
                            Request::Credentials(length) => self.state = State::Credentials(length),
                            Request::Refused(answer) => self.answer(answer, core),
                        }
                        continue;
                    }
                    if self.ends_at(line, core) {
                        self.delayed = false;
                        self.send(core);
                        break true;
                    }
                    match core.execute(line, now) {
                        Next::Answer(answer) => self.answer(answer, core),
                        Next::Block(upload) => self.state = State::Block(upload, Vec::new()),
                        Next::Swallow(left, answer) => self.state = State::Swallow(left, answer),
                        Next::Takeover(takeover) if !self.queue.is_empty() => {
                            let command = match takeover {
                                Takeover::Dump(true, _) => "metadump",
                                Takeover::Dump(false, _) => "mgdump",
                                Takeover::Watch(_) => "watch",
                            };
                            let refusal = format!("ERROR cannot pipeline other commands before {command}");
                            self.answer(Answer::line(&refusal), core);
                        }
                        Next::Takeover(Takeover::Dump(_, bytes)) => {
                            self.queue.extend(bytes);
                            self.send(core);
                        }
                        Next::Takeover(Takeover::Watch(kinds)) => {
                            self.watching = Some(core.store.log.watch(kinds));
                            used = input.len();
                            break false;
                        }
                        Next::Quit => {
                            self.delayed = false;
                            self.send(core);
                            break true;
                        }
                        Next::Close => break true,
                    }
                }
                State::Credentials(length) => {
                    let Some(block) = rest.get(..length + 2) else {
                        self.state = State::Credentials(length);
                        self.send(core);
                        // They have to fit the buffer.
                        break rest.len() >= BUFFER;
                    };
                    let (is_authenticated, answer) = core.authenticate(block);
                    used += block.len();
                    self.is_authenticated = is_authenticated;
                    self.answer(answer, core);
                }
                State::Block(upload, mut block) => {
                    let taken = rest.len().min(upload.length + 2 - block.len());
                    block.extend_from_slice(&rest[..taken]);
                    used += taken;
                    if block.len() < upload.length + 2 {
                        self.state = State::Block(upload, block);
                        break false;
                    }
                    let answer = core.complete(upload, block, now);
                    self.answer(answer, core);
                }
                State::Swallow(left, answer) => {
                    let taken = rest.len().min(left);
                    used += taken;
                    if taken < left {
                        self.state = State::Swallow(left - taken, answer);
                        break false;
                    }
                    self.answer(answer, core);
                }
            }
        };
        input.drain(..used);
        self.input = input;
        close
    }

    /// Whether the client is served, and needs no authentication.
    fn is_served(&self, core: &Core) -> bool {
        self.is_authenticated || !core.asks_for_credentials()
    }

    fn answer(&mut self, answer: Answer, core: &mut Core) {
        if answer.alone {
            self.queue.clear();
            self.pins.clear();
        }
        let bytes = self.cut(answer.bytes, core);
        self.enqueue(bytes, core.config.saboteur.as_mut());
        self.pins.extend(answer.pins);
        self.budget -= 1;
        if answer.urgent || self.budget < 0 {
            self.send(core);
        }
        if self.budget < 0 {
            core.store.counts.conn_yields += 1;
            self.budget = REQUESTS - 1;
        }
    }

    /// Logs a request, and returns whether a fault closes the connection in its place.
    fn ends_at(&mut self, line: &[u8], core: &mut Core) -> bool {
        let requests = Asked::read(line);
        let count = requests.len() as u64;
        let delays = requests.first().map(|request| core.faults.delay_to(request.command()));
        self.delay = self.delay.max(delays.unwrap_or_default());
        let counts = core.requests.add(requests);
        if self.served.faults_set != core.faults_set {
            self.served = Served { faults_set: core.faults_set, ..Served::default() };
        }
        self.served.counts = counts;
        if !counts {
            return false;
        }
        let is_over = core.faults.close_after.is_some_and(|limit| self.served.requests >= limit);
        self.served.requests += count;
        is_over
    }

    /// Cuts an answer where a fault closes the connection.
    fn cut(&mut self, mut bytes: Vec<u8>, core: &Core) -> Vec<u8> {
        let Some(limit) = core.faults.close_after_bytes.filter(|_| self.served.counts) else { return bytes };
        let left = usize::try_from(limit.saturating_sub(self.served.bytes)).unwrap_or(usize::MAX);
        self.served.bytes += bytes.len() as u64;
        self.served.is_cut = bytes.len() >= left;
        bytes.truncate(left);
        bytes
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

    fn send(&mut self, core: &mut Core) {
        if self.delayed {
            return;
        }
        self.pins.clear();
        if !self.queue.is_empty() {
            core.store.counts.bytes_written += self.queue.len() as u64;
            self.writes.push_back(take(&mut self.queue));
        }
    }
}

/// Returns whether an unfinished line may go on beyond the limit.
fn is_get(line: &[u8]) -> bool {
    let blanks = line.iter().take_while(|byte| **byte == b' ').count();
    blanks <= 100 && (line[blanks..].starts_with(b"get ") || line[blanks..].starts_with(b"gets "))
}
