//! Tasks for clients that do not know their executor.

use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;
use std::sync::Arc;

/// A task that a client starts: one for each connection, which ends with it.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts tasks on the executor of a program: see [`Builder::spawner`](crate::Builder::spawner).
#[derive(Clone)]
pub struct Spawner(Arc<dyn Fn(Task) + Send + Sync>);

impl Spawner {
    /// A spawner that starts a task by this function.
    #[must_use]
    pub fn new(spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    /// Starts a task.
    pub fn spawn(&self, task: Task) {
        (self.0)(task);
    }
}

impl Debug for Spawner {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

/// A client that runs on any executor, and gets to know it by a [spawner](crate::Builder::spawner).
pub trait TakesSpawner {}
