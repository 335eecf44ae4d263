//! Looks a name up once for all callers that need its addresses.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The addresses of a name, or an error of the operating system, which can be cloned for several callers.
pub type Addresses = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// Looks up the name of one server, once at a time. A lookup has no time limit, and callers that come meanwhile wait
/// for the same answer. So a resolver that hangs holds one thread, however many connections are made.
#[derive(Debug, Default)]
pub struct Lookup(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of the look-up under way, or of the last one.
    number: u64,
    is_under_way: bool,
    /// The answer to the last one, with its number.
    answer: Option<(u64, Addresses)>,
    waiting: Vec<Waker>,
}

impl Lookup {
    /// The addresses of the name, by [`Lookup::poll`].
    ///
    /// # Errors
    ///
    /// What the look-up has failed with.
    pub async fn addresses(&self, begin: impl FnOnce()) -> io::Result<Arc<[SocketAddr]>> {
        let (mut joined, mut begin) = (None, Some(begin));
        let begin_once =
            |cx: &mut Context<'_>| self.poll(&mut joined, cx, || begin.take().into_iter().for_each(|begin| begin()));
        poll_fn(begin_once).await.map_err(|error| io::Error::new(error.kind(), error))
    }

    /// The address of a host that is one, and needs no look-up.
    pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
    }

    /// Waits for the addresses. If no lookup is under way, it calls `begin`, which must make sure that
    /// [`Lookup::finish`] is called, from a thread for example. `joined` is `None` at first, and is kept from one poll
    /// to the next.
    pub fn poll(&self, joined: &mut Option<u64>, cx: &Context<'_>, begin: impl FnOnce()) -> Poll<Addresses> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = joined.is_none() && !state.is_under_way;
        if begins {
            state.number += 1;
            state.is_under_way = true;
        }
        let number = *joined.get_or_insert(state.number);
        if let Some((_, addresses)) = state.answer.as_ref().filter(|(answered, _)| *answered >= number) {
            return Poll::Ready(addresses.clone());
        }
        if !state.waiting.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        drop(state);
        if begins {
            begin();
        }
        Poll::Pending
    }

    /// Ends the lookup with this result, for all waiting callers.
    pub fn finish(&self, addresses: io::Result<Vec<SocketAddr>>) {
        let addresses = match addresses {
            Ok(found) if found.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            // The system has no kind for it.
            Err(error) => Err(io::Error::new(io::ErrorKind::NotFound, format!("the name is not found: {error}"))),
            found => found,
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_under_way = false;
        state.answer = Some((state.number, addresses.map(Arc::from).map_err(Arc::new)));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
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
        let (lookup, cx) = (Lookup::default(), Context::from_waker(Waker::noop()));
        let mut begun = 0;
        let mut waiting = [None; 100];
        for joined in &mut waiting {
            assert!(lookup.poll(joined, &cx, || begun += 1).is_pending());
        }
        assert_eq!(begun, 1);
        lookup.finish(Ok(vec![address(1)]));
        // Later callers look the name up again.
        let mut late = None;
        assert!(lookup.poll(&mut late, &cx, || begun += 1).is_pending());
        for joined in &mut waiting {
            let Poll::Ready(Ok(found)) = lookup.poll(joined, &cx, || begun += 1) else { panic!("no answer") };
            assert_eq!(*found, [address(1)]);
        }
        lookup.finish(Err(io::Error::other("no such host")));
        let Poll::Ready(Err(error)) = lookup.poll(&mut late, &cx, || begun += 1) else { panic!("no answer") };
        assert_eq!((error.kind(), begun), (io::ErrorKind::NotFound, 2));
        assert!(lookup.poll(&mut None, &cx, || begun += 1).is_pending());
        lookup.finish(Ok(Vec::new()));
        assert_eq!(begun, 3);
    }
}
