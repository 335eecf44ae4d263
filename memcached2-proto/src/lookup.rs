//! Looks a name up once for all callers that need what is found under it.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What is found under a name, mostly its addresses, or an error of the operating system, which can be cloned for several callers.
pub type Addresses<T = SocketAddr> = Result<Arc<[T]>, Arc<io::Error>>;

/// Looks up one name, once at a time. A lookup has no time limit, and callers that come meanwhile wait
/// for the same answer. So a resolver that hangs holds one thread, however many connections are made.
#[derive(Debug)]
pub struct Lookup<T = SocketAddr>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    /// The number of the look-up under way, or of the last one.
    number: u64,
    is_under_way: bool,
    /// The answer to the last one, with its number.
    answer: Option<(u64, Addresses<T>)>,
    /// Those who wait, each with a number of its own.
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

/// A caller that waits for a [`Lookup`], until it is dropped: a resolver that hangs keeps nothing of callers that gave up.
#[derive(Debug)]
pub struct Waiting<T = SocketAddr> {
    lookup: Arc<Lookup<T>>,
    /// The number of the lookup that it waits for, and its own.
    joined: Option<(u64, u64)>,
}

impl<T> Default for Lookup<T> {
    fn default() -> Self {
        Self(Mutex::new(State { number: 0, is_under_way: false, answer: None, waiting: Vec::new(), next: 0 }))
    }
}

impl Lookup {
    /// The address of a host that is one, and needs no look-up.
    pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
    }
}

impl<T> Lookup<T> {
    /// What is found under the name, by [`Waiting::poll`].
    ///
    /// # Errors
    ///
    /// What the look-up has failed with.
    pub async fn addresses(self: &Arc<Self>, begin: impl FnOnce()) -> io::Result<Arc<[T]>> {
        let (mut waiting, mut begin) = (self.wait(), Some(begin));
        let begin_once = |cx: &mut Context<'_>| waiting.poll(cx, || begin.take().into_iter().for_each(|begin| begin()));
        poll_fn(begin_once).await.map_err(|error| io::Error::new(error.kind(), error))
    }

    /// A caller that waits for what is found, by [`Waiting::poll`].
    #[must_use]
    pub fn wait(self: &Arc<Self>) -> Waiting<T> {
        Waiting { lookup: Arc::clone(self), joined: None }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the look-up that [`Waiting::poll`] wants: `spawn` runs what it gets in a thread, where `ask` asks the operating system.
    pub fn begin(
        self: &Arc<Self>,
        ask: impl FnOnce() -> io::Result<Vec<T>> + Send + 'static,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) where
        T: Send + Sync + 'static,
    {
        let own = Arc::clone(self);
        if let Err(error) = spawn(Box::new(move || own.finish(ask()))) {
            self.finish(Err(error));
        }
    }

    /// Ends the lookup with this result, for all waiting callers.
    pub fn finish(&self, addresses: io::Result<Vec<T>>) {
        let addresses = match addresses {
            Ok(found) if found.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            // The system has no kind for it.
            Err(error) => Err(io::Error::new(io::ErrorKind::NotFound, format!("the name is not found: {error}"))),
            found => found,
        };
        let mut state = self.lock();
        state.is_under_way = false;
        state.answer = Some((state.number, addresses.map(Arc::from).map_err(Arc::new)));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T> Waiting<T> {
    /// Waits for the addresses. If no lookup is under way at first, it calls `begin`, which must make sure that
    /// [`Lookup::finish`] is called, from a thread for example.
    pub fn poll(&mut self, cx: &Context<'_>, begin: impl FnOnce()) -> Poll<Addresses<T>> {
        let mut state = self.lookup.lock();
        let begins = self.joined.is_none() && !state.is_under_way;
        if begins {
            state.number += 1;
            state.is_under_way = true;
        }
        let (number, own) = *self.joined.get_or_insert_with(|| {
            state.next += 1;
            (state.number, state.next)
        });
        if let Some((_, addresses)) = state.answer.as_ref().filter(|(answered, _)| *answered >= number) {
            return Poll::Ready(addresses.clone());
        }
        let old = match state.waiting.iter_mut().find(|(waiting, _)| *waiting == own) {
            Some((_, waker)) if waker.will_wake(cx.waker()) => None,
            Some((_, waker)) => Some(std::mem::replace(waker, cx.waker().clone())),
            None => {
                state.waiting.push((own, cx.waker().clone()));
                None
            }
        };
        // Not while the lock is held: dropping a waker can drop a task, and with it another one that waits.
        drop(state);
        drop(old);
        if begins {
            begin();
        }
        Poll::Pending
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let Some((_, own)) = self.joined else { return };
        let mut state = self.lookup.lock();
        let at = state.waiting.iter().position(|(waiting, _)| *waiting == own);
        let gone = at.map(|at| state.waiting.swap_remove(at));
        drop(state);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_name_is_looked_up_once_for_all_who_ask_meanwhile() {
        let (lookup, cx) = (Arc::new(Lookup::default()), Context::from_waker(Waker::noop()));
        let mut begun = 0;
        let mut waiting: Vec<_> = (0..100).map(|_| lookup.wait()).collect();
        for waiting in &mut waiting {
            assert!(waiting.poll(&cx, || begun += 1).is_pending());
        }
        assert_eq!(begun, 1);
        lookup.finish(Ok(vec![address(1)]));
        // Later callers look the name up again.
        let mut late = lookup.wait();
        assert!(late.poll(&cx, || begun += 1).is_pending());
        for waiting in &mut waiting {
            let Poll::Ready(Ok(found)) = waiting.poll(&cx, || begun += 1) else { panic!("no answer") };
            assert_eq!(*found, [address(1)]);
        }
        lookup.finish(Err(io::Error::other("no such host")));
        let Poll::Ready(Err(error)) = late.poll(&cx, || begun += 1) else { panic!("no answer") };
        assert_eq!((error.kind(), begun), (io::ErrorKind::NotFound, 2));
        assert!(lookup.wait().poll(&cx, || begun += 1).is_pending());
        lookup.finish(Ok(Vec::new()));
        assert_eq!(begun, 3);
    }

    #[test]
    fn a_lookup_that_cannot_begin_is_answered_by_why() {
        let (lookup, cx) = (Arc::new(Lookup::default()), Context::from_waker(Waker::noop()));
        let mut waiting = lookup.wait();
        let no_thread = |_| Err(io::Error::other("no more threads"));
        assert!(waiting.poll(&cx, || lookup.begin(|| Ok(vec![address(1)]), no_thread)).is_pending());
        let Poll::Ready(Err(error)) = waiting.poll(&cx, || {}) else { panic!("no answer") };
        assert!(error.to_string().contains("no more threads"), "{error}");
    }

    #[test]
    fn a_lookup_that_never_ends_keeps_nothing_of_callers_that_gave_up() {
        struct Task;

        impl std::task::Wake for Task {
            fn wake(self: Arc<Self>) {}
        }

        let lookup = Arc::new(Lookup::default());
        let mut patient = lookup.wait();
        let tasks: Vec<_> = (0..100).map(|_| Arc::new(Task)).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            // Polled by two tasks in turn, it belongs to the second one.
            let mut waiting = lookup.wait();
            assert!(waiting.poll(&Context::from_waker(Waker::noop()), || {}).is_pending());
            assert!(waiting.poll(&Context::from_waker(&waker), || {}).is_pending());
            drop(waker);
            assert_eq!(Arc::strong_count(task), 2);
            drop(waiting);
            assert_eq!(Arc::strong_count(task), 1);
        }
        assert!(patient.poll(&Context::from_waker(Waker::noop()), || panic!("it is under way")).is_pending());
        lookup.finish(Ok(vec![address(1)]));
        assert!(patient.poll(&Context::from_waker(Waker::noop()), || {}).is_ready());
    }
}
