//! How long this process had no processor: a thread that only sleeps looks how late it wakes up, as late as any other one may be.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(2);
/// Less is usual.
const NOTED: Duration = Duration::from_millis(1);
/// How many late beats are known.
const KEPT: usize = 4096;

#[derive(Debug)]
struct Beats {
    last: Instant,
    /// When a late beat came, and how late.
    late: VecDeque<(Instant, Duration)>,
}

static BEATS: LazyLock<Mutex<Beats>> =
    LazyLock::new(|| Mutex::new(Beats { last: Instant::now(), late: VecDeque::new() }));

fn beats() -> MutexGuard<'static, Beats> {
    BEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread, which goes on to the end of the process.
pub(crate) fn start() {
    drop(beats());
    thread::spawn(|| {
        loop {
            let begun = Instant::now();
            thread::sleep(BEAT);
            let late = begun.elapsed().saturating_sub(BEAT);
            let mut beats = beats();
            beats.last = Instant::now();
            if late >= NOTED {
                if beats.late.len() == KEPT {
                    beats.late.pop_front();
                }
                let last = beats.last;
                beats.late.push_back((last, late));
            }
        }
    });
}

/// For how long this thread has waited for a processor since it began, as far as the system tells.
pub(crate) fn waited() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').nth(1).and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// For how long of this time the process had no processor, as far as the thread has seen.
pub(crate) fn starved(from: Instant, until: Instant) -> Duration {
    let beats = beats();
    let within = beats.late.iter().filter(|(at, late)| *at >= from && *at - *late <= until);
    let now = beats.last.elapsed().saturating_sub(BEAT);
    within.map(|(_, late)| *late).sum::<Duration>() + now
}
