//! What stands around callers and driver in the models: a server, a clock.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::Mutex;
use memcached2_proto::Instant;
use memcached2_proto::shared::{AsyncStream, AsyncTimer};

/// An honest server in memory: it answers `get KEY` and `mg KEY` by the key.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    received: Vec<u8>,
    said: Vec<u8>,
    /// The keys that it was asked for.
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    /// How many bytes come at once; then the driver has to sleep a little.
    piece: usize,
    paused: bool,
    /// After this many answers it closes, or says nothing more.
    answers: usize,
    stays: bool,
}

impl Server {
    pub(crate) fn new() -> Self {
        let (received, said, asked) = (Vec::new(), Vec::new(), Arc::default());
        Self { received, said, asked, piece: usize::MAX, paused: false, answers: usize::MAX, stays: false }
    }

    /// One whose answers come in two pieces.
    pub(crate) fn slow() -> Self {
        Self { piece: 15, ..Self::new() }
    }

    /// One that closes after this many answers.
    pub(crate) fn closing_after(answers: usize) -> Self {
        Self { answers, ..Self::new() }
    }

    /// One that says nothing after this many answers.
    pub(crate) fn silent_after(answers: usize) -> Self {
        Self { answers, stays: true, ..Self::new() }
    }

    fn has_closed(&self) -> bool {
        self.answers == 0 && !self.stays
    }

    pub(crate) fn was_asked(&self, key: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == key)
    }

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
            self.asked.lock().unwrap().push(words.get(1).copied().unwrap_or_default().to_owned());
            if self.answers > 0 {
                self.answers -= 1;
                self.said.extend(answer.bytes());
            }
        }
    }
}

impl AsyncStream for Server {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.said.is_empty() {
            return if self.has_closed() { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.said.len().min(self.piece).min(space.len());
        self.said.drain(..n).zip(space).for_each(|(byte, place)| *place = byte);
        self.paused = true;
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| self.received.extend_from_slice(slice));
        self.paused = false;
        self.answer();
        if !self.said.is_empty() || self.has_closed() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn has_unread(&self) -> bool {
        !self.said.is_empty()
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
