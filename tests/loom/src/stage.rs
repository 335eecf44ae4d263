//! What stands around callers and driver in the models: a server, a clock.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::Mutex;
use memcached2_proto::Instant;
use memcached2_proto::shared::{AsyncStream, AsyncTimer, DirectWriter};

/// An honest server in memory: it answers `get KEY` and `mg KEY` by the key.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Behind a lock of the standard library, as what a kernel does is one step.
    wire: Arc<std::sync::Mutex<Wire>>,
    /// How many bytes come at once; then the driver has to sleep a little.
    piece: usize,
    stays: bool,
    /// Whether callers can write.
    is_direct: bool,
}

#[derive(Debug)]
struct Wire {
    received: Vec<u8>,
    said: Vec<u8>,
    /// The keys that it was asked for.
    asked: Vec<String>,
    paused: bool,
    /// After this many answers it closes, or says nothing more.
    answers: usize,
    /// Who waits for an answer.
    reader: Option<Waker>,
    /// How many requests callers have written.
    written_directly: usize,
}

impl Server {
    pub(crate) fn new() -> Self {
        let wire = Wire {
            received: Vec::new(),
            said: Vec::new(),
            asked: Vec::new(),
            paused: false,
            answers: usize::MAX,
            reader: None,
            written_directly: 0,
        };
        Self { wire: Arc::new(std::sync::Mutex::new(wire)), piece: usize::MAX, stays: false, is_direct: false }
    }

    /// One whose answers come in two pieces.
    pub(crate) fn slow() -> Self {
        Self { piece: 15, ..Self::new() }
    }

    /// One that closes after this many answers.
    pub(crate) fn closing_after(answers: usize) -> Self {
        let server = Self::new();
        server.wire().answers = answers;
        server
    }

    /// One that says nothing after this many answers.
    pub(crate) fn silent_after(answers: usize) -> Self {
        Self { stays: true, ..Self::closing_after(answers) }
    }

    /// The same, and callers can write to it.
    pub(crate) fn direct(self) -> Self {
        Self { is_direct: true, ..self }
    }

    fn wire(&self) -> std::sync::MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }

    pub(crate) fn was_asked(&self, key: &str) -> bool {
        self.wire().asked.iter().any(|asked| asked == key)
    }

    /// How many requests callers have written.
    pub(crate) fn written_directly(&self) -> usize {
        self.wire().written_directly
    }

    /// Answers; returns whom to wake, if there is something to be read.
    fn receive(&self, slices: &[&[u8]]) -> Option<Waker> {
        let mut wire = self.wire();
        slices.iter().for_each(|slice| wire.received.extend_from_slice(slice));
        wire.paused = false;
        wire.answer();
        if self.has_news(&wire) { wire.reader.take() } else { None }
    }

    /// Whether there is something to be read.
    fn has_news(&self, wire: &Wire) -> bool {
        !wire.said.is_empty() || self.has_closed(wire)
    }

    fn has_closed(&self, wire: &Wire) -> bool {
        wire.answers == 0 && !self.stays
    }
}

impl Wire {
    fn answer(&mut self) {
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let words: Vec<_> = std::str::from_utf8(&line).unwrap().split_whitespace().collect();
            let answer = match words[..] {
                ["get", key] => format!("VALUE {key} 0 {}\r\n{key}\r\nEND\r\n", key.len()),
                ["mg", key, "f", "v", opaque] => format!("VA {} f0 {opaque}\r\n{key}\r\n", key.len()),
                ["md", "AA==", .., opaque] => format!("NF {opaque}\r\n"),
                ["mn"] => "MN\r\n".to_owned(),
                _ => panic!("{words:?} is no request of these models"),
            };
            self.asked.push(words.get(1).copied().unwrap_or_default().to_owned());
            if self.answers > 0 {
                self.answers -= 1;
                self.said.extend(answer.bytes());
            }
        }
    }
}

impl AsyncStream for Server {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        // Neither is a waker cloned nor woken under the lock, which may be a step of loom's.
        let reader = cx.waker().clone();
        let mut wire = self.wire();
        if wire.said.is_empty() {
            if self.has_closed(&wire) {
                return Poll::Ready(Ok(0));
            }
            let old = wire.reader.replace(reader);
            drop(wire);
            drop(old);
            return Poll::Pending;
        }
        if std::mem::take(&mut wire.paused) {
            drop(wire);
            reader.wake();
            return Poll::Pending;
        }
        let n = wire.said.len().min(self.piece).min(space.len());
        wire.said.drain(..n).zip(space).for_each(|(byte, place)| *place = byte);
        wire.paused = true;
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let parts: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        drop(self.receive(&parts));
        if self.has_news(&self.wire()) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn has_unread(&self) -> bool {
        !self.wire().said.is_empty()
    }

    fn direct_writer(&self) -> Option<Arc<dyn DirectWriter>> {
        self.is_direct.then(|| Arc::new(self.clone()) as _)
    }
}

impl DirectWriter for Server {
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.wire().written_directly += 1;
        let reader = self.receive(&[bytes]);
        reader.into_iter().for_each(Waker::wake);
        Ok(bytes.len())
    }
}

/// A clock that is moved by hand.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<(Instant, Option<Waker>)>>);

impl Clock {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new((now, None))))
    }

    pub(crate) fn turn_to(&self, now: Instant) {
        let mut clock = self.0.lock().unwrap();
        clock.0 = now;
        let sleeper = clock.1.take();
        drop(clock);
        sleeper.into_iter().for_each(Waker::wake);
    }
}

impl AsyncTimer for Clock {
    fn now(&self) -> Instant {
        self.0.lock().unwrap().0
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let mut clock = self.0.lock().unwrap();
        if clock.0 >= deadline {
            return Poll::Ready(clock.0);
        }
        let old = clock.1.replace(cx.waker().clone());
        drop(clock);
        drop(old);
        Poll::Pending
    }
}

/// A timer for models in which no time passes.
#[derive(Debug)]
pub(crate) struct Never;

impl AsyncTimer for Never {
    fn now(&self) -> Instant {
        super::now().monotonic
    }

    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<Instant> {
        Poll::Pending
    }
}
