//! Clients and their futures go wherever tasks go.

use std::sync::Arc;

use memcached2_proto::observer::OpenTelemetry;
use memcached2_proto::{Expiry, Get, Options, Store};
use memcached2_testkit::EmbeddedServer;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

use super::names;
use crate::subject::{AsyncClient, block_on, client_of, spawn};

#[test]
fn a_client_goes_wherever_tasks_go() {
    fn goes_anywhere<C: Clone + Send + Sync + Unpin + 'static>() {}
    goes_anywhere::<AsyncClient>();
}

#[test]
fn the_future_of_every_method_can_be_sent() {
    fn is_send(_: &impl Send) {}
    let client = AsyncClient::new(["127.0.0.1:1"]).unwrap();
    is_send(&client.get("a"));
    is_send(&client.get_many(&["a"]));
    is_send(&client.set("a", "x", Expiry::Never));
    is_send(&client.set_many(&[("a", "x")], Expiry::Never));
    is_send(&client.delete("a"));
    is_send(&client.incr("a", 1));
    is_send(&client.version());
    is_send(&client.run(Get::new("a").unwrap()));
    is_send(&client.run(Store::set("a", &[1, 2, 3]).unwrap()));
}

#[test]
fn a_call_can_be_spawned_because_it_owns_all_it_needs() {
    fn is_spawnable<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    block_on(|| async {
        let (_server, client, names) = names(2).await;
        let calls = names.into_iter().map(|name| {
            let client = client.clone();
            spawn(is_spawnable(async move { client.get(&name).await.unwrap().expect("a hit") == name.as_str() }))
        });
        assert_eq!(futures::future::join_all(calls).await, [true, true]);
    });
}

#[test]
fn the_span_of_a_call_is_a_child_of_the_span_of_its_task() {
    block_on(|| async {
        let server = EmbeddedServer::start();
        let spans = InMemorySpanExporter::default();
        let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let observer = OpenTelemetry::with_providers(&tracers, &*global::meter_provider());
        let client = client_of([server.address()], Options::default().observer(Arc::new(observer))).unwrap();
        let calls = (0..50).map(|number| {
            let context = Context::new().with_span(tracers.tracer("program").start("task"));
            let parent = context.span().span_context().span_id();
            let client = client.clone();
            let task = async move { client.get(format!("key{number}")).await.unwrap() };
            let task = spawn(task.with_context(context));
            async move {
                task.await;
                parent.to_bytes()
            }
        });
        let mut parents = futures::future::join_all(calls).await;
        let finished = spans.get_finished_spans().unwrap();
        let calls = finished.iter().filter(|span| span.instrumentation_scope.name() == "memcached2");
        let mut found: Vec<_> = calls.map(|span| span.parent_span_id.to_bytes()).collect();
        found.sort_unstable();
        parents.sort_unstable();
        assert_eq!(found, parents);
    });
}
