//! The lookup of SRV records by an asynchronous transport.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use super::AsyncTimer;
use crate::time::Instant;
use crate::topology::{SrvAsk, SrvLookup, SrvQuestion, SrvRecord};

/// The sockets of a transport for name servers.
#[doc(hidden)]
pub trait SrvSockets {
    /// Asks one name server: sends the [message](SrvLookup::message), and hands on what [comes](SrvLookup::on_received) until nothing else
    /// is waited for. It is dropped at the deadline.
    fn exchange(lookup: &mut SrvLookup, ask: SrvAsk) -> impl Future<Output = io::Result<()>> + Send;
}

/// The SRV records of a name, by these sockets: see [`SrvQuestion::begin`]. It takes the time of the name servers. `system` finds those of
/// the system, and is polled if none were given.
///
/// # Errors
///
/// When there is no such name, or no name server has answered.
#[doc(hidden)]
pub async fn look_up_srv<S: SrvSockets>(
    question: SrvQuestion,
    random: u64,
    system: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    timer: &mut impl AsyncTimer,
) -> io::Result<Vec<SrvRecord>> {
    let system = if question.wants_system() { system.await? } else { Vec::new() };
    let mut lookup = question.begin(random, system)?;
    while let Some(ask) = lookup.next_ask(timer.now()) {
        if let Err(error) = before(timer, ask.deadline, S::exchange(&mut lookup, ask)).await {
            lookup.on_error(error);
        }
    }
    lookup.finish()
}

/// What comes of it before a deadline.
async fn before(
    timer: &mut impl AsyncTimer,
    deadline: Instant,
    exchange: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut exchange = pin!(exchange);
    poll_fn(|cx| match exchange.as_mut().poll(cx) {
        Poll::Ready(exchanged) => Poll::Ready(exchanged),
        Poll::Pending => timer.poll_until(cx, deadline).map(|_| Err(io::ErrorKind::TimedOut.into())),
    })
    .await
}
