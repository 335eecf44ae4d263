//! How far a long command is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::table::bytes;

/// A line on the standard error that is written over, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    begun: Instant,
    drawn: Option<Instant>,
    /// How many items there may be, if that is known.
    pub(crate) total: u64,
    items: u64,
    bytes: u64,
}

impl Progress {
    /// Of a command that prints its results meanwhile, or not: both in one terminal would get mixed up.
    pub(crate) fn new(prints_to_terminal: bool) -> Self {
        let is_shown = io::stderr().is_terminal() && !prints_to_terminal;
        Self { is_shown, begun: Instant::now(), drawn: None, total: 0, items: 0, bytes: 0 }
    }

    pub(crate) fn add(&mut self, items: u64, bytes: u64) {
        self.items += items;
        self.bytes = self.bytes.saturating_add(bytes);
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= Duration::from_millis(100));
        if self.is_shown && is_due {
            self.drawn = Some(Instant::now());
            drop(write!(io::stderr(), "\r\x1b[K{}", self.line()));
        }
    }

    fn line(&self) -> String {
        const WIDTH: u64 = 24;
        let per_second = self.items as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let of = match self.total {
            0 => String::new(),
            total => {
                // The number of items changes while they are listed.
                let done = (WIDTH * self.items / total).min(WIDTH) as usize;
                format!("[{}{}] ", "#".repeat(done), " ".repeat(WIDTH as usize - done))
            }
        };
        let total = if self.total == 0 { String::new() } else { format!(" of {}", self.total) };
        format!("{of}{}{total} items, {}, {per_second:.0} items/s", self.items, bytes(self.bytes))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}
