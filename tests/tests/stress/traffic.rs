//! What callers do, and what they check.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memcached2_proto::{Error, Value};
use memcached2_testkit::Rng;

/// How many keys there are.
pub(crate) const KEYS: usize = 500;

/// What all callers have in common.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    ended: AtomicBool,
    /// How many calls have succeeded.
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Traffic {
    pub(crate) fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes note of how a call has ended. While servers come and go it may fail, but never as one that is out of step.
    pub(crate) fn note<T>(&self, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(output) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                Some(output)
            }
            Err(Error::Connect { .. } | Error::Disconnected { .. } | Error::Timeout { .. } | Error::AllDown { .. }) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The value of a key: its name, and as many bytes after it as give values of all lengths.
pub(crate) fn value(key: &str, rng: &mut Rng) -> String {
    format!("{key}={}", "x".repeat(rng.below(3000)))
}

/// A value is that of its key, whole.
pub(crate) fn check(key: &str, found: Option<&Value>) {
    if let Some(value) = found {
        let text = value.as_str().expect("text");
        let rest = text.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        assert!(rest.is_some_and(|rest| rest.bytes().all(|byte| byte == b'x')), "{key} has the value {text}");
    }
}

/// One call by chance; `[.await]` for clients whose calls are futures.
macro_rules! call {
    ($client:expr, $traffic:expr, $rng:expr, [$($await:tt)*]) => {{
        use $crate::stress::traffic::{KEYS, check, value};
        let key = format!("key{}", $rng.below(KEYS));
        match $rng.below(10) {
            0 | 1 => {
                let value = value(&key, &mut $rng);
                $traffic.note($client.set(&key, value, memcached2_proto::Expiry::Never)$($await)*);
            }
            2 => {
                let keys: Vec<_> = (0..20).map(|_| format!("key{}", $rng.below(KEYS))).collect();
                for (key, found) in keys.iter().zip($client.get_many(&keys)$($await)*.expect("good keys")) {
                    check(key, $traffic.note(found).flatten().as_ref());
                }
            }
            3 => {
                let keys: Vec<_> = (0..10).map(|_| format!("key{}", $rng.below(KEYS))).collect();
                let items: Vec<_> = keys.iter().map(|key| (key, value(key, &mut $rng))).collect();
                let stored = $client.set_many(&items, memcached2_proto::Expiry::Never)$($await)*.expect("good keys");
                for stored in stored {
                    $traffic.note(stored);
                }
            }
            4 => {
                $traffic.note($client.delete(&key)$($await)*);
            }
            _ => check(&key, $traffic.note($client.get(&key)$($await)*).flatten().as_ref()),
        }
    }};
}
pub(crate) use call;
