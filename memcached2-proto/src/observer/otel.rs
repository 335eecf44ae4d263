//! Operations as spans and metrics of OpenTelemetry.

mod attributes;
mod pool;
mod ready;
mod series;

use std::sync::Weak;
use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, InstrumentationScope, global};

use self::attributes::{of_batch, of_failure, status_text};
use self::pool::{PoolMetrics, pool_of};
use self::ready::{Ready, ReadyMap};
use super::{Interest, ObservedClient, Observer, OperationEvent};
use crate::uri::Server;

/// Records operations as spans and metrics of OpenTelemetry, by the letter of its semantic conventions 1.44 for
/// [databases](https://opentelemetry.io/docs/specs/semconv/db/).
///
/// ```
/// use std::sync::Arc;
/// use memcached2_proto::Options;
/// use memcached2_proto::observer::OpenTelemetry;
///
/// let options = Options::default().observer(Arc::new(OpenTelemetry::new()));
/// ```
///
/// Each [operation](OperationEvent), so what a call asks of one server with all retries, is a span of kind `CLIENT`, whose
/// parent is the current span of the caller, and a record in the histogram `db.client.operation.duration`, in seconds. The span is
/// named `get cache1:11211`: the operation and the address of the server. It is made when the call has ended, with the times that
/// were measured; so nothing can be its child. That of a call that was cancelled ends there, with the `error.type` `cancelled`.
///
/// | attribute | value | of |
/// |---|---|---|
/// | `db.system.name` | `memcached` | both |
/// | `db.operation.name` | the command, `BATCH set` of a [batch](OperationEvent::batch) of two or more, `BATCH` of different ones | both |
/// | `db.operation.batch.size` | how many requests the batch has for this server | span |
/// | `server.address` | the host, or the path of the Unix socket, as the client was given it | both |
/// | `server.port` | the port, unless it is 11211 | both |
/// | `network.peer.address`, `network.peer.port` | what was connected to, as far as something was sent | both |
/// | `db.response.status_code` | the [first word](super::Failure::status_code) of an error line, such as `SERVER_ERROR` | both |
/// | `error.type` | the same, or a [word](super::Failure::error_type) for the error, such as `timeout`; none if the server has done what was asked | both |
///
/// A miss and a condition that was not met are no errors. A batch has the error of the first request that failed. Keys and values are
/// in none of it.
///
/// # Connections
///
/// These metrics have `db.client.connection.pool.name`, the address of the server (`cache1:11211`). All clients of one observer that
/// ask the same server count as one pool. They are there from the moment at which the client is made.
///
/// | metric | blocking client | shared connections |
/// |---|---|---|
/// | `db.client.connection.count` | open connections, by `db.client.connection.state`: `used` or `idle` | the same; `used` if a request on it has no answer yet |
/// | `db.client.connection.max`, `.idle.max` | `pool_connections` | `shared_connections` and `bulk_connections`, for each runtime |
/// | `db.client.connection.pending_requests` | callers that wait for a connection | callers that wait until a connection is open, or for room on it |
/// | `db.client.connection.create_time` | from the call that needs it until it is ready, TLS and probe included | the same |
/// | `db.client.connection.timeouts` | calls whose time was over before they had a connection | the same |
/// | `db.client.connection.wait_time`, `.use_time` | how long an operation waited for its connection, and then had it, unless it was repeated or failed | none: nobody gets a connection alone, so none is waited for, borrowed or returned |
/// | `memcached2_client_in_flight` | callers that have a connection | requests without an answer |
/// | `memcached2_server_up` | 1 if the server counts as up, else 0 | the same |
///
/// There is no `db.client.connection.idle.min`, since no connection is kept open that is not used.
///
/// # Bound instruments
///
/// With the feature `opentelemetry-bound` the histograms of operations that have not failed are bound to their attributes, so that the SDK
/// does not look them up for each record; the metrics are the same. This is what makes them cheap: see the guide
/// [performance](crate::guide::performance#what-an-observer-costs). It is a feature of its own, since bound instruments are experimental in
/// `opentelemetry` (its feature `experimental_metrics_bound_instruments`), and since the SDK has to have them, too: it would drop what is
/// recorded. So the feature also turns them on in `opentelemetry_sdk` of the same version. A provider that is none of that SDK's has to
/// implement `SyncInstrument::bind`, whose default drops everything.
#[derive(Debug)]
pub struct OpenTelemetry {
    /// `None` if no spans are made.
    tracer: Option<global::BoxedTracer>,
    /// Whether a span is made only within one that is sampled.
    requires_parent: bool,
    duration: Histogram<f64>,
    pool: PoolMetrics,
    ready: ReadyMap,
}

impl OpenTelemetry {
    /// Records with the providers of the process: those that were set before by `global::set_tracer_provider` and
    /// `global::set_meter_provider`. If none was set for traces, spans are not even prepared.
    #[must_use]
    pub fn new() -> Self {
        let observer = Self::with_providers(&global::tracer_provider(), &*global::meter_provider());
        Self { tracer: observer.tracer.filter(|tracer| !is_noop(tracer)), ..observer }
    }

    /// Records with these providers.
    #[must_use]
    pub fn with_providers(tracers: &dyn global::ObjectSafeTracerProvider, meters: &dyn MeterProvider) -> Self {
        let scope = InstrumentationScope::builder("memcached2")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
            .build();
        let tracer = global::BoxedTracer::new(tracers.boxed_tracer(scope.clone()));
        let meter = meters.meter_with_scope(scope);
        Self {
            tracer: Some(tracer),
            requires_parent: false,
            duration: seconds(&meter, "db.client.operation.duration", "Duration of database client operations."),
            pool: PoolMetrics::new(&meter),
            ready: ReadyMap::default(),
        }
    }

    /// Makes a span only for an operation whose caller has a current span that is sampled; for each operation unless set. Metrics are the
    /// same. `requireParentSpan` of OpenTelemetry's instrumentations for JavaScript does so for any current span.
    ///
    /// Where few requests are traced this saves nearly all that spans cost: a sampler is asked, and drops a span, only once that is made.
    /// See the guide [performance](crate::guide::performance#what-an-observer-costs).
    ///
    /// ```
    /// use memcached2_proto::observer::OpenTelemetry;
    ///
    /// let observer = OpenTelemetry::new().require_sampled_parent(true);
    /// ```
    #[must_use]
    pub fn require_sampled_parent(mut self, requires: bool) -> Self {
        self.requires_parent = requires;
        self
    }
}

impl Default for OpenTelemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenTelemetry {
    /// Records an operation.
    #[inline]
    fn record(&self, event: &OperationEvent<'_>, ready: &Ready) {
        if let Some(pool) = &ready.pool {
            self.pool.record(event, pool);
        }
        if event.failure.is_none() {
            ready.duration.record(&self.duration, event.time.as_secs_f64(), &ready.attributes);
        }
        let tracer = self.tracer.as_ref().filter(|_| !self.requires_parent || is_in_sampled_span());
        if event.failure.is_some() || tracer.is_some() {
            self.record_rest(event, ready, tracer);
        }
    }

    /// Records the duration of an operation if it has failed, and its span if spans are made.
    #[inline(never)]
    fn record_rest(&self, event: &OperationEvent<'_>, ready: &Ready, tracer: Option<&global::BoxedTracer>) {
        // Room for all that may be added.
        let mut attributes = Vec::with_capacity(ready.attributes.len() + 3);
        attributes.extend_from_slice(&ready.attributes);
        if let Some(failure) = event.failure {
            attributes.extend(of_failure(failure));
            self.duration.record(event.time.as_secs_f64(), &attributes);
        }
        let Some(tracer) = tracer else { return };
        attributes.extend(of_batch(event));
        let started = event.started();
        let span = SpanBuilder::from_name(ready.span_name.clone())
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes(attributes);
        let mut span = tracer.build(span);
        if let Some(failure) = event.failure {
            span.set_status(Status::error(status_text(failure)));
        }
        span.end_with_timestamp(started.checked_add(event.time).unwrap_or(started));
    }
}

impl Observer for OpenTelemetry {
    fn interest(&self) -> Interest {
        Interest::OPERATIONS
    }

    fn on_operation(&self, event: &OperationEvent<'_>) {
        let other;
        let ready = match self.ready.get(event) {
            Some(ready) => ready,
            None => {
                other = self.ready.get_other(event);
                &other
            }
        };
        self.record(event, ready);
    }

    fn on_connect(&self, server: &Server, time: Duration) {
        self.pool.create_time.record(time.as_secs_f64(), &[pool_of(server)]);
    }

    fn on_client(&self, client: &Weak<dyn ObservedClient>) {
        self.pool.add(client);
    }
}

/// Whether this is the tracer that there is as long as no provider is set. Its spans are their parents; others are empty where
/// telemetry is suppressed, so that none is recorded here.
fn is_noop(tracer: &global::BoxedTracer) -> bool {
    let (trace, span) = (TraceId::from(1), SpanId::from(1));
    let parent = SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::default());
    let context = Context::new().with_remote_span_context(parent.clone()).with_telemetry_suppressed();
    let span = tracer.build_with_context(SpanBuilder::from_name("none"), &context);
    !span.is_recording() && *span.span_context() == parent
}

/// Whether the caller has a current span that is sampled.
fn is_in_sampled_span() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// A histogram of times with the buckets of the conventions.
fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let buckets = vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    meter.f64_histogram(name).with_unit("s").with_description(description).with_boundaries(buckets).build()
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::noop::NoopTracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider};

    use super::*;

    fn looks_noop(tracers: &dyn global::ObjectSafeTracerProvider) -> bool {
        is_noop(&global::BoxedTracer::new(tracers.boxed_tracer(InstrumentationScope::default())))
    }

    #[test]
    fn only_a_tracer_without_a_provider_counts_as_noop_and_none_records_a_span_for_it() {
        assert!(looks_noop(&NoopTracerProvider::new()));
        // None is set in this process.
        assert!(looks_noop(&global::tracer_provider()) && OpenTelemetry::new().tracer.is_none());
        for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff, Sampler::ParentBased(Box::new(Sampler::AlwaysOn))] {
            let spans = InMemorySpanExporter::default();
            let tracers = SdkTracerProvider::builder().with_sampler(sampler.clone());
            let tracers = tracers.with_simple_exporter(spans.clone()).build();
            assert!(!looks_noop(&tracers), "{sampler:?}");
            assert!(spans.get_finished_spans().unwrap().is_empty(), "{sampler:?}");
        }
    }
}
