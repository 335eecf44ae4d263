use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::PATIENCE;
use super::off_thread::off_thread;

/// Marks a moment which one thread reaches and another one awaits.
///
/// Clones are the same gate. An open gate stays open.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    name: String,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Creates a closed gate; its name is in the error "the gate … was not opened".
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(Arc::new(Inner { name: name.into(), open: Mutex::new(false), opened: Condvar::new() }))
    }

    /// Opens the gate and lets everybody who waits at it go on.
    pub fn open(&self) {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.opened.notify_all();
    }

    /// Returns whether the gate was opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the gate is open.
    ///
    /// It blocks the thread: in a single-threaded async runtime, where that
    /// stops the client too, await [`opened`](Self::opened) instead.
    ///
    /// # Panics
    ///
    /// If the gate is not opened within ten seconds.
    #[track_caller]
    pub fn wait(&self) {
        if let Err(what) = self.wait_at_most(PATIENCE) {
            panic!("{what}");
        }
    }

    /// Waits until the gate is open, without blocking the thread.
    ///
    /// # Panics
    ///
    /// If the gate is not opened within ten seconds.
    pub async fn opened(&self) {
        let gate = self.clone();
        if let Err(what) = off_thread(move || gate.wait_at_most(PATIENCE)).await {
            panic!("{what}");
        }
    }

    pub(super) fn wait_at_most(&self, patience: Duration) -> Result<(), String> {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, _) =
            self.0.opened.wait_timeout_while(open, patience, |open| !*open).unwrap_or_else(PoisonError::into_inner);
        if *open { Ok(()) } else { Err(format!("the gate {:?} was not opened within {patience:?}", self.0.name)) }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("name", &self.0.name).field("open", &self.is_open()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_clone_is_the_same_gate() {
        let gate = Gate::new("the clone has been opened");
        let clone = gate.clone();
        assert!(!gate.is_open());
        let opener = thread::spawn(move || clone.open());
        gate.wait();
        assert!(gate.is_open());
        opener.join().expect("the opener cannot panic");
    }

    #[test]
    fn a_gate_that_is_not_opened_names_itself() {
        let what = Gate::new("pigs fly").wait_at_most(Duration::from_millis(1));
        assert_eq!(what, Err("the gate \"pigs fly\" was not opened within 1ms".to_owned()));
    }
}
