//! What a driver does before its connection is ready for requests, and when a deadline passes.

use std::future::{self, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::wire::write;
use super::{AsyncStream, AsyncTimer, Driver, Left, Next, aborted};
use crate::call::Fault;
use crate::error::{Error, Landed};
use crate::opening::{Destination, Endpoint, Opening, Step};
use crate::time::Instant;

/// What a transport does while a [`Driver`] opens its connection.
pub trait Connector: Send + Sync {
    /// Its sockets.
    type Stream: AsyncStream;

    /// Looks up the name of a server.
    ///
    /// A connector that needs the [name](Endpoint::address) and no address leaves it out. Then [`Connector::connect`] is called
    /// once, with an address that says nothing.
    fn resolve(
        &self,
        endpoint: &Arc<Endpoint>,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Arc<[SocketAddr]>>> + Send {
        let _ = (endpoint, host);
        future::ready(Ok([SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))].into()))
    }

    /// Connects a socket to one of its addresses.
    fn connect(
        &self,
        endpoint: &Arc<Endpoint>,
        destination: Destination,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Driver {
    /// Connects, then serves the callers until the connection ends: all that a driver's task does.
    pub async fn run<C: Connector>(mut self, connector: C, mut alarm: impl AsyncTimer) {
        self.report(|opening| opening.start(alarm.now()));
        while let Some(mut socket) = self.connect(&connector, &mut alarm).await {
            // What is kept across this point is paid for at each poll.
            poll_fn(|cx| self.poll(cx, &mut socket, &mut alarm)).await;
        }
    }

    /// Looks names up and connects, until there is a socket; none if the driver has ended.
    async fn connect<C: Connector>(&mut self, connector: &C, alarm: &mut impl AsyncTimer) -> Option<C::Stream> {
        let endpoint = Arc::clone(&self.endpoint);
        while !self.ended {
            match self.opening.as_ref().map_or(Ok(Step::Ready), |opening| opening.step()) {
                Err(error) => self.end_opening(&error, alarm.now()),
                Ok(Step::Resolve { host, port }) => {
                    if let Some(found) = self.meanwhile(connector.resolve(&endpoint, host, port), alarm).await {
                        self.report(|opening| opening.resolved(found, alarm.now()));
                    }
                }
                Ok(Step::Connect(destination)) => {
                    match self.meanwhile(connector.connect(&endpoint, destination), alarm).await {
                        Some(Ok(socket)) => {
                            self.report(|opening| opening.connected(Ok(()), alarm.now()));
                            return Some(socket);
                        }
                        Some(Err(error)) => self.report(|opening| opening.connected(Err(error), alarm.now())),
                        None => {}
                    }
                }
                Ok(Step::Exchange | Step::Ready) => return None,
            }
        }
        None
    }

    /// Waits for a step, and keeps the deadlines meanwhile. `None`: the step is over without it, or the driver has ended.
    async fn meanwhile<T>(&mut self, step: impl Future<Output = T>, alarm: &mut impl AsyncTimer) -> Option<T> {
        let mut step = pin!(step);
        poll_fn(|cx| match step.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.watch_opening(cx, alarm).map(|()| None),
        })
        .await
    }

    fn report(&mut self, what: impl FnOnce(&mut Opening)) {
        if let Some(opening) = &mut self.opening {
            what(opening);
        }
    }

    /// Opens the connection, as far as the socket lets it. `Ready(None)` when it is ready for requests.
    #[cold]
    pub(super) fn poll_opening(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut impl AsyncStream,
        alarm: &mut impl AsyncTimer,
    ) -> Poll<Option<Next>> {
        // The caller of poll has connected the socket.
        self.report(|opening| opening.connected(Ok(()), alarm.now()));
        loop {
            let Some(opening) = self.opening.as_deref_mut() else { return Poll::Ready(None) };
            match opening.step() {
                Ok(Step::Exchange) => {}
                Ok(Step::Resolve { .. } | Step::Connect(_)) => return Poll::Ready(Some(Next::Connect)),
                Ok(Step::Ready) => {
                    self.open(alarm.now());
                    if self.is_plain {
                        self.shared.lock().direct.writer = socket.direct_writer();
                    }
                    continue;
                }
                Err(error) => {
                    // It makes no difference whether the server gets to know why.
                    let _ = opening.write_with(|slices| write(socket, cx, slices));
                    self.end_opening(&error, alarm.now());
                    return Poll::Ready(Some(Next::Over));
                }
            }
            if exchange(opening, cx, socket, alarm).is_pending() {
                ready!(self.watch_opening(cx, alarm));
                if self.ended {
                    return Poll::Ready(Some(Next::Over));
                }
            }
        }
    }

    /// Keeps the deadlines while the connection is opened. `Ready` when the step under way is over, or the driver has
    /// ended, because the client was dropped and no call waits.
    fn watch_opening(&mut self, cx: &mut Context<'_>, alarm: &mut impl AsyncTimer) -> Poll<()> {
        loop {
            match self.take_over(Some(cx.waker())) {
                Left::More => continue,
                Left::Closed | Left::Quit if !self.connection.is_busy() => self.end(&Error::closed()),
                Left::Aborted => self.end_at(&aborted(), Fault::Nobody, None),
                Left::Wait | Left::Closed | Left::Quit => break,
            }
            return Poll::Ready(());
        }
        loop {
            let step_by = self.opening.as_ref().and_then(|opening| opening.deadline());
            let Some(next) = self.deadline.into_iter().chain(step_by).min() else { return Poll::Pending };
            let now = ready!(alarm.poll_until(cx, next));
            if self.opening.as_deref_mut().is_some_and(|opening| opening.on_deadline(now)) {
                return Poll::Ready(());
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) && self.on_deadline(cx, now).is_ready() {
                return Poll::Ready(());
            }
        }
    }

    /// A deadline has passed. `Ready` when the driver has ended.
    #[cold]
    pub(super) fn on_deadline(&mut self, cx: &Context<'_>, now: Instant) -> Poll<()> {
        if self.expire(now).is_ready() {
            return Poll::Ready(());
        }
        if self.retired_at.is_some_and(|at| at <= now) {
            self.shared.close();
        }
        if self.shared.has_ended() {
            // There may be no call left to wait for.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection is ready: lets the callers encode what they ask, unless they could before.
    #[cold]
    fn open(&mut self, now: Instant) {
        let Some(opening) = self.opening.take() else { return };
        let opened = opening.finish();
        if let Some(peer) = opened.connection.peer() {
            let _ = self.shared.peer.set(Arc::clone(peer));
        }
        (self.is_plain, self.tls) = (opened.tls.is_none(), opened.tls);
        self.retired_at = self.endpoint.known().age(self.endpoint.connection_options()).map(|age| now + age);
        let mut inner = self.shared.lock();
        inner.is_open = true;
        inner.deadline = inner.deadline.into_iter().chain(self.retired_at).min();
        if inner.protocol.is_none() {
            self.connection = opened.connection;
            inner.protocol = Some(self.connection.protocol());
            inner.buffer.ticket = self.connection.next_ticket();
        }
        let callers = inner.slots.let_encode();
        drop(inner);
        callers.into_iter().for_each(Waker::wake);
    }
}

/// Writes and reads once, as far as the socket lets it.
pub(in crate::shared) fn exchange(
    opening: &mut Opening,
    cx: &mut Context<'_>,
    socket: &mut impl AsyncStream,
    alarm: &impl AsyncTimer,
) -> Poll<()> {
    let result = match opening.write_with(|slices| write(socket, cx, slices)) {
        Ok(_) => ready!(socket.poll_read(cx, opening.read_buf())),
        Err(error) => Err(error),
    };
    match result {
        Ok(n) => opening.advance_read(n, alarm.now()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => opening.failed(Error::lost(&error, Landed::NotSent), alarm.now()),
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::options::Options;
    use crate::time::Now;

    #[test]
    fn connections_that_are_made_together_are_not_replaced_together() {
        let most = Duration::from_secs(1000);
        let endpoint = Arc::new(Endpoint::new(0, &"127.0.0.1".parse().unwrap(), &Options::default().max_age(most)));
        let now = Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
        let mut retired_after = [(); 3].map(|()| {
            let (mut driver, _) = Driver::new(&endpoint, now);
            driver.open(now.monotonic);
            driver.retired_at.map(|at| at - now.monotonic)
        });
        retired_after.sort();
        assert!(retired_after[0] >= Some(most * 9 / 10) && retired_after[2] <= Some(most), "{retired_after:?}");
        assert!(retired_after[0] < retired_after[1] && retired_after[1] < retired_after[2], "{retired_after:?}");
    }
}
