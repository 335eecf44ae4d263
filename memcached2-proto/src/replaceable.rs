//! Something that many calls use, and that is replaced as a whole while they do.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::error::Error;

/// What the calls of a client use, such as its servers, and what can take its place.
///
/// A call takes what is [current](Replaceable::get), and keeps it until its end. As long as nothing was replaced, that costs neither
/// a lock nor a count.
#[derive(Debug)]
pub struct Replaceable<T> {
    first: Arc<T>,
    newest: OnceLock<RwLock<Arc<T>>>,
    /// Locked while it is replaced: whether nothing may be replaced any more.
    is_closed: Arc<Mutex<bool>>,
}

/// Whether something that can be replaced [was closed](Replaceable::close), for those that may outlive it.
#[derive(Debug, Clone)]
pub struct ClosedFlag(Arc<Mutex<bool>>);

impl ClosedFlag {
    /// Whether it was closed.
    #[must_use]
    pub fn get(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was current when the call began.
#[derive(Debug)]
pub enum Current<'r, T> {
    /// It has never been replaced.
    First(&'r T),
    /// The one that stood then.
    Newest(Arc<T>),
}

impl<T> Deref for Current<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::First(first) => first,
            Self::Newest(newest) => newest,
        }
    }
}

impl<T> Replaceable<T> {
    /// One that was never replaced.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self { first: Arc::new(first), newest: OnceLock::new(), is_closed: Arc::default() }
    }

    /// What is current.
    #[inline]
    pub fn get(&self) -> Current<'_, T> {
        match self.newest.get() {
            None => Current::First(&self.first),
            Some(newest) => Current::Newest(Arc::clone(&newest.read().unwrap_or_else(PoisonError::into_inner))),
        }
    }

    /// Puts what `make` returns in the place of what is current, and returns the rest of what it returns.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Error::Closed`] after [`Replaceable::close`]. Nothing is replaced then.
    pub fn replace<R>(&self, make: impl FnOnce(&T) -> Result<(T, R), Error>) -> Result<R, Error> {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return Err(Error::closed());
        }
        let (made, rest) = make(&self.get())?;
        let made = Arc::new(made);
        let newest = self.newest.get_or_init(|| RwLock::new(Arc::clone(&made)));
        *newest.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(rest)
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for one that may outlive it.
    #[must_use]
    pub fn closed_flag(&self) -> ClosedFlag {
        ClosedFlag(Arc::clone(&self.is_closed))
    }

    /// Refuses to be replaced from now on, and returns what is current.
    pub fn close(&self) -> Current<'_, T> {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_keeps_what_was_current_when_it_began() {
        let servers = Replaceable::new(vec!["a"]);
        let before = servers.get();
        assert_eq!(servers.replace(|old| Ok(([&old[..], &["b"]].concat(), old.len()))), Ok(1));
        let between = servers.get();
        assert_eq!(servers.replace(|old| Ok(([&old[..], &["c"]].concat(), old.len()))), Ok(2));
        assert_eq!((before.len(), between.len(), servers.get().len()), (1, 2, 3));
        assert_eq!(servers.replace(|_| Err::<(_, ()), _>(Error::expiry())), Err(Error::expiry()));
        let is_closed = servers.closed_flag();
        assert!(!is_closed.get());
        assert_eq!(servers.close().len(), 3);
        assert!(is_closed.get() && servers.is_closed());
        assert_eq!(servers.replace(|_| Ok((Vec::new(), ()))), Err(Error::closed()));
        assert_eq!(servers.get().len(), 3);
    }
}
