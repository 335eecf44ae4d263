//! The one hook for metrics and traces.
//!
//! For those who log, trace and count requests.

mod arrival;
mod event;
mod interest;
#[cfg(feature = "metrics")]
mod metrics;
mod operation;
#[cfg(feature = "opentelemetry")]
mod otel;
mod status;
mod tally;
#[cfg(feature = "tracing")]
mod tracing;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(crate) use self::arrival::Arrival;
pub use self::event::{Attempt, Event, RequestOutcome};
pub use self::interest::Interest;
#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::operation::{Failure, OperationEvent};
pub(crate) use self::operation::{Moment, StoredFailure};
#[cfg(feature = "opentelemetry")]
pub use self::otel::OpenTelemetry;
pub use self::status::{ObservedClient, ServerStatus};
pub(crate) use self::tally::Tally;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
use crate::time::Now;
use crate::uri::Server;

/// Is called for every request of a client: see [`Options::observer`](crate::Options::observer).
///
/// A call to several servers is several [operations](OperationEvent), one for each server, and an operation is one
/// [request](Event) or more: those of a batch, and those that were repeated. A trace has a span for each operation; a counter of
/// what goes over the network counts requests.
///
/// It is called in the thread or the task of the caller, after the answers and before the call returns, so it must not
/// wait. Of a call that was cancelled, since its future was dropped, it is called while that is dropped, unless by a panic.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use memcached2_proto::observer::{Event, RequestOutcome};
/// use memcached2_proto::Observer;
///
/// #[derive(Debug, Default)]
/// struct HitRatio { hits: AtomicU64, misses: AtomicU64 }
///
/// impl Observer for HitRatio {
///     fn on_request(&self, event: &Event<'_>) {
///         if let RequestOutcome::Read { hits, misses } = event.outcome {
///             self.hits.fetch_add(hits as u64, Ordering::Relaxed);
///             self.misses.fetch_add(misses as u64, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: fmt::Debug + Send + Sync {
    /// Which of the events that each call makes it wants; all of them unless implemented. It is asked while a client is made, and
    /// not again. An event that no observer of the client wants is not made, so a call costs less. What is rare comes in any case:
    /// servers, connections and clients.
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// Takes note of a request that has ended; nothing unless implemented.
    fn on_request(&self, _event: &Event<'_>) {}

    /// Takes note of what a call has asked of one server, with all retries, once the call has ended; nothing unless implemented.
    fn on_operation(&self, _event: &OperationEvent<'_>) {}

    /// Takes note of a server that has failed, or has answered again; nothing unless implemented.
    fn on_server_event(&self, _server: &Server, _event: ServerEvent) {}

    /// Takes note that a connection to a server is ready, and how long it took to open it; nothing unless implemented. It is called
    /// where the connection is opened: in the thread of a caller, or in the task that drives a shared connection.
    fn on_connect(&self, _server: &Server, _time: Duration) {}

    /// Takes note of a client that was made with this observer, or has got another list of servers; nothing unless implemented. It can
    /// be asked for its [status](ObservedClient::server_status) until it is dropped.
    fn on_client(&self, _client: &Weak<dyn ObservedClient>) {}
}

/// A change of a server. There is none with [`ReconnectPolicy::Immediately`](crate::ReconnectPolicy), where servers
/// never count as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// It has failed.
    Down {
        /// How many times in a row it has failed, counted from the failure with which it counts as down.
        failures: u32,
        /// How long it is not tried.
        wait: Duration,
    },
    /// It has answered, after it had failed.
    Up,
}

/// Calls one observer, then another.
#[derive(Debug)]
pub(crate) struct Both([(Arc<dyn Observer>, Interest); 2]);

impl Both {
    pub(crate) fn new(first: Arc<dyn Observer>, second: Arc<dyn Observer>) -> Self {
        Self([first, second].map(|observer| {
            let interest = observer.interest();
            (observer, interest)
        }))
    }
}

impl Observer for Both {
    fn interest(&self) -> Interest {
        let Self([(_, first), (_, second)]) = self;
        first.or(*second)
    }

    fn on_request(&self, event: &Event<'_>) {
        let interested = self.0.iter().filter(|(_, interest)| interest.has_requests());
        interested.for_each(|(observer, _)| observer.on_request(event));
    }

    fn on_operation(&self, event: &OperationEvent<'_>) {
        let interested = self.0.iter().filter(|(_, interest)| interest.has_operations());
        interested.for_each(|(observer, _)| observer.on_operation(event));
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        self.0.iter().for_each(|(observer, _)| observer.on_server_event(server, event));
    }

    fn on_connect(&self, server: &Server, time: Duration) {
        self.0.iter().for_each(|(observer, _)| observer.on_connect(server, time));
    }

    fn on_client(&self, client: &Weak<dyn ObservedClient>) {
        self.0.iter().for_each(|(observer, _)| observer.on_client(client));
    }
}

/// What looks at each request: an observer with clocks for its durations and moments, or replicas.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// `None` if it wants neither requests nor operations.
    observer: Option<Arc<dyn Observer>>,
    interest: Interest,
    has_replicas: bool,
    pub(crate) clock: fn() -> Now,
}

impl Watch {
    /// What looks at each request of a client, if something does.
    pub(crate) fn new(observer: Option<&Arc<dyn Observer>>, has_replicas: bool, clock: fn() -> Now) -> Option<Self> {
        let interest = observer.map_or(Interest::NONE, |observer| observer.interest());
        let observer = observer.filter(|_| interest != Interest::NONE).cloned();
        (observer.is_some() || has_replicas).then_some(Self { observer, interest, has_replicas, clock })
    }

    /// The observer, if there is one.
    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }

    /// The observer, if it wants requests.
    #[inline]
    pub(crate) fn of_requests(&self) -> Option<&dyn Observer> {
        self.observer.as_deref().filter(|_| self.interest.has_requests())
    }

    /// The observer, if it wants operations.
    #[inline]
    pub(crate) fn of_operations(&self) -> Option<&dyn Observer> {
        self.observer.as_deref().filter(|_| self.interest.has_operations())
    }

    /// Whether requests may be copies, or be asked of other servers if they have not all values.
    #[inline]
    pub(crate) fn has_replicas(&self) -> bool {
        self.has_replicas
    }

    /// Whether the values of a request among many are counted, so that each is shown by itself.
    #[inline]
    pub(crate) fn counts_values(&self) -> bool {
        self.has_replicas || self.interest.has_requests()
    }
}
