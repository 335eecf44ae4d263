//! Spans and metrics of OpenTelemetry, as far as a client has a part in them.

use std::sync::Arc;

use memcached2_proto::observer::OpenTelemetry;
use memcached2_proto::routing::Address;
use memcached2_proto::{Expiry, Server};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, global};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};

use super::servers::Kind;
use super::setting::{PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        the_span_of_a_call_is_a_child_of_the_span_of_its_caller,
        a_span_names_the_address_that_was_connected_to,
        connections_are_metrics,
    }
    scripted {}
}

/// Clients whose spans are kept.
struct Traced {
    spans: InMemorySpanExporter,
    tracers: SdkTracerProvider,
}

impl Traced {
    fn new() -> Self {
        let spans = InMemorySpanExporter::default();
        let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        Self { spans, tracers }
    }

    fn client(&self, servers: &[String]) -> Client {
        let observer = OpenTelemetry::with_providers(&self.tracers, &*global::meter_provider());
        Client::with_options(servers, forgetful(PATIENT).observer(Arc::new(observer))).expect("the addresses are right")
    }

    fn tracer(&self) -> SdkTracer {
        self.tracers.tracer("program")
    }

    /// The spans of clients, since the last time.
    fn take(&self) -> Vec<SpanData> {
        let mut spans = self.spans.get_finished_spans().expect("spans");
        self.spans.reset();
        spans.retain(|span| span.instrumentation_scope.name() == "memcached2");
        spans
    }
}

fn the_span_of_a_call_is_a_child_of_the_span_of_its_caller(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let traced = Traced::new();
    let client = traced.client(&addresses);
    let in_a_span = |call: &dyn Fn()| -> SpanContext {
        let parent = Context::current_with_span(traced.tracer().start("checkout"));
        let context = parent.span().span_context().clone();
        let _guard = parent.attach();
        call();
        context
    };
    let keys: Vec<_> = (0..50).map(|number| format!("key{number}")).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
    let calls: [(&dyn Fn(), usize); 3] = [
        (&|| client.set("a", "x", Expiry::Never).unwrap(), 1),
        (&|| assert_eq!(client.get_many(&keys).unwrap().into_result().unwrap().len(), 50), 2),
        (&|| client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap(), 2),
    ];
    for (call, count) in calls {
        let parent = in_a_span(call);
        let spans = traced.take();
        assert_eq!(spans.len(), count, "{spans:?}");
        for span in spans {
            assert_eq!((span.parent_span_id, span.span_context.trace_id()), (parent.span_id(), parent.trace_id()));
        }
    }
    client.get("a").unwrap();
    let [span] = &traced.take()[..] else { panic!("one span") };
    assert_eq!(span.parent_span_id, opentelemetry::SpanId::INVALID);
}

fn a_span_names_the_address_that_was_connected_to(on: Kind) {
    let server = on.start();
    let written: Server = server.address().parse().unwrap();
    let traced = Traced::new();
    let client = traced.client(&[server.address()]);
    client.get("a").unwrap();
    let [span] = &traced.take()[..] else { panic!("one span") };
    let attribute = |name: &str| {
        let attribute = span.attributes.iter().find(|one| one.key.as_str() == name);
        attribute.map(|one| one.value.to_string())
    };
    let (address, port) = match written.address() {
        Address::Tcp { host, port } => (host.clone(), Some(port.to_string())),
        Address::Unix(path) => (path.display().to_string(), None),
    };
    assert_eq!((attribute("server.address"), attribute("server.port")), (Some(address.clone()), port.clone()));
    assert_eq!((attribute("network.peer.address"), attribute("network.peer.port")), (Some(address), port));
    assert_eq!(span.name, format!("get {}", written.address()));
}

fn connections_are_metrics(on: Kind) {
    let server = on.start();
    let exporter = InMemoryMetricExporter::default();
    let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    let observer = OpenTelemetry::with_providers(&SdkTracerProvider::default(), &meters);
    let options = forgetful(PATIENT).observer(Arc::new(observer));
    let client = Client::with_options([server.address()], options).expect("the address is right");
    let names = || {
        exporter.reset();
        meters.force_flush().expect("metrics");
        let metrics = exporter.get_finished_metrics().expect("metrics").pop().expect("some");
        let metrics = metrics.scope_metrics().flat_map(|scope| scope.metrics());
        let mut names: Vec<_> = metrics.map(|metric| metric.name().to_owned()).collect();
        names.sort();
        names
    };
    let from_the_start = [
        "db.client.connection.count",
        "db.client.connection.idle.max",
        "db.client.connection.max",
        "db.client.connection.pending_requests",
        "memcached2_client_in_flight",
        "memcached2_server_up",
    ];
    assert_eq!(names(), from_the_start);
    let [status] = &client.server_status()[..] else { panic!("one server") };
    assert_eq!((status.is_up, status.used_connections, status.idle_connections), (true, 0, 0));

    client.get("a").unwrap();
    let [status] = &client.server_status()[..] else { panic!("one server") };
    assert_eq!((status.used_connections, status.idle_connections, status.in_flight), (0, 1, 0), "{status:?}");
    let of_calls = ["db.client.connection.create_time", "db.client.operation.duration"];
    // Nobody waits for a shared connection.
    let of_a_pool = ["db.client.connection.use_time", "db.client.connection.wait_time"];
    let is_pooled = crate::subject::NAME == "memcached2-sync";
    let mut expected: Vec<_> = from_the_start.into_iter().chain(of_calls).collect();
    expected.extend(of_a_pool.iter().filter(|_| is_pooled));
    expected.sort_unstable();
    assert_eq!(names(), expected);
    drop(client);
    assert!(!names().contains(&"db.client.connection.count".to_owned()));
}
