//! The observer of the feature `opentelemetry`, compared with the tables of the semantic conventions 1.44 for databases, on calls for
//! which the test is the transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, Fault};
use memcached2_proto::command::Version;
use memcached2_proto::observer::{ObservedClient, OpenTelemetry, ServerStatus};
use memcached2_proto::operation::{AllServers, Batch, DeleteMany, GetMany, SetMany};
use memcached2_proto::{
    Error, Expiry, Get, Instant, Landed, Now, Observer as _, Operation, Options, ReconnectPolicy, Reply, Router, Store,
    Value,
};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};

/// What was recorded.
struct Recorded {
    spans: InMemorySpanExporter,
    metrics: InMemoryMetricExporter,
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Recorded {
    fn new() -> (Self, Arc<OpenTelemetry>) {
        let (spans, metrics) = (InMemorySpanExporter::default(), InMemoryMetricExporter::default());
        let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(metrics.clone()).build()).build();
        let observer = Arc::new(OpenTelemetry::with_providers(&tracers, &meters));
        (Self { spans, metrics, tracers, meters }, observer)
    }

    /// The spans since the last time.
    fn take_spans(&self) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        self.spans.reset();
        spans
    }

    /// The names of the spans since the last time, each with its attributes.
    fn take(&self) -> Vec<String> {
        self.take_spans().iter().map(|span| format!("{}:{}", span.name, listed(&span.attributes))).collect()
    }

    fn metrics(&self) -> ResourceMetrics {
        self.meters.force_flush().unwrap();
        self.metrics.get_finished_metrics().unwrap().pop().unwrap()
    }
}

/// Attributes in the order of their names.
fn listed(attributes: &[KeyValue]) -> String {
    let mut listed: Vec<_> = attributes.iter().map(|one| format!(" {}={}", one.key, one.value.as_str())).collect();
    listed.sort();
    listed.concat()
}

/// The moment at which all calls begin.
const START: Instant = Instant::ZERO;
const TIME: Duration = Duration::from_millis(2);

/// A client of these servers, whose calls are reported 3 ms after they began.
fn router(servers: &[&str], observer: &Arc<OpenTelemetry>) -> Router {
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(1)));
    let options = options.observer(Arc::<OpenTelemetry>::clone(observer));
    Router::with_options(servers, &options).unwrap().for_client(0, || at(START + TIME))
}

/// A moment, which for people is as long after 1970, and a day.
fn at(monotonic: Instant) -> Now {
    Now::fixed(monotonic, SystemTime::UNIX_EPOCH + Duration::from_secs(86_400) + (monotonic - START))
}

/// Answers each request of an operation, in each round.
fn run<O: Operation>(
    operation: O,
    router: &Router,
    mut answer: impl FnMut(&mut Call<'_, O>, usize),
) -> Result<O::Output, Error> {
    let mut call = Call::new(operation, router, at(START));
    loop {
        while let Some(place) = call.sub_requests().iter().position(|next| next.is_open()) {
            answer(&mut call, place);
        }
        if !call.end_round(|| START + TIME) {
            return call.finish();
        }
    }
}

fn reply<O: Operation>(reply: Reply) -> impl FnMut(&mut Call<'_, O>, usize) {
    move |call, place| call.answer(place, reply.clone(), true)
}

fn failure<O: Operation>(error: Error) -> impl FnMut(&mut Call<'_, O>, usize) {
    move |call, place| call.fail(place, &error, Fault::of(&error))
}

fn value() -> Reply {
    Reply::Value(0, Value::new("12345".into(), 0))
}

#[test]
fn a_span_has_the_name_the_kind_the_times_and_the_parent_of_the_conventions() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["memcached://web:s3cret@cache1"], &observer);
    let tracer = recorded.tracers.tracer("program");
    let parent = Context::current_with_span(tracer.start("checkout"));
    let parent_id = parent.span().span_context().span_id();
    {
        let _guard = parent.attach();
        run(Get::new("a").unwrap(), &router, reply(value())).unwrap();
    }
    let spans = recorded.take_spans();
    let [span, _] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*span.name, &span.span_kind, &span.status), ("get cache1:11211", &SpanKind::Client, &Status::Unset));
    assert_eq!((span.start_time, span.end_time), (at(START).wall(), at(START + TIME).wall()));
    assert_eq!((span.parent_span_id, span.events.len(), span.links.len()), (parent_id, 0, 0));
    let scope = &span.instrumentation_scope;
    assert_eq!((scope.name(), scope.schema_url()), ("memcached2", Some("https://opentelemetry.io/schemas/1.44.0")));
}

#[test]
fn where_a_parent_is_required_only_calls_within_a_sampled_span_have_one_and_all_are_counted() {
    let (recorded, _) = Recorded::new();
    let observer = OpenTelemetry::with_providers(&recorded.tracers, &recorded.meters).require_sampled_parent(true);
    let observer = Arc::new(observer);
    let calls = || {
        // A new one, where the server is not down.
        let router = router(&["cache1"], &observer);
        run(Get::new("a").unwrap(), &router, reply(value())).unwrap();
        run(Get::new("a").unwrap(), &router, failure(Error::timeout(Landed::Unknown))).unwrap_err();
    };
    calls();
    let unsampled = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    for (tracers, spans) in [(&unsampled, 0), (&recorded.tracers, 2)] {
        let _guard = Context::current_with_span(tracers.tracer("program").start("checkout")).attach();
        calls();
        assert_eq!(recorded.take_spans().len(), spans);
    }
    let counted = numbers(&recorded.metrics());
    let durations = counted.iter().filter(|one| one.starts_with("db.client.operation.duration"));
    // Three of each, 2 ms long.
    let of = |rest: &str| {
        format!("db.client.operation.duration histogram s db.operation.name=get db.system.name=memcached {rest}")
    };
    let expected = [of("error.type=timeout server.address=cache1: 0.006"), of("server.address=cache1: 0.006")];
    assert!(durations.eq(&expected), "{counted:?}");
}

#[test]
fn a_span_has_the_attributes_of_the_conventions_and_no_key() {
    const NAMED: &str = "db.system.name=memcached";
    let (recorded, observer) = Recorded::new();
    let get = || Get::new("secret-key").unwrap();
    let refused = |line: &str| Reply::Refused(line.into());
    let at_one = |server: &str, outcome: Result<Reply, Error>| {
        let router = router(&[server], &observer);
        let _ = match outcome {
            Ok(answer) => run(get(), &router, reply(answer)),
            Err(error) => run(get(), &router, failure(error)),
        };
        recorded.take().join("; ")
    };
    for (server, outcome, name, attributes) in [
        ("cache1", Ok(value()), "cache1:11211", "server.address=cache1"),
        ("cache1", Ok(Reply::Miss), "cache1:11211", "server.address=cache1"),
        ("cache1:11212?name=one", Ok(value()), "cache1:11212", "server.address=cache1 server.port=11212"),
        ("[::1]:7", Ok(value()), "[::1]:7", "server.address=::1 server.port=7"),
        ("memcached+unix:///run/m.sock", Ok(value()), "/run/m.sock", "server.address=/run/m.sock"),
        (
            "cache1",
            Ok(refused("SERVER_ERROR out of memory")),
            "cache1:11211",
            "db.response.status_code=SERVER_ERROR error.type=SERVER_ERROR server.address=cache1",
        ),
        ("cache1", Ok(refused("secret-key")), "cache1:11211", "error.type=_OTHER server.address=cache1"),
        ("cache1", Err(Error::timeout(Landed::Unknown)), "cache1:11211", "error.type=timeout server.address=cache1"),
        (
            "cache1",
            Err(Error::connect(&std::io::ErrorKind::ConnectionRefused.into())),
            "cache1:11211",
            "error.type=connect server.address=cache1",
        ),
    ] {
        let mut expected: Vec<_> = attributes.split(' ').chain([NAMED, "db.operation.name=get"]).collect();
        expected.sort_unstable();
        assert_eq!(at_one(server, outcome), format!("get {name}: {}", expected.join(" ")));
    }
}

#[test]
fn a_failed_span_says_the_error_line_and_no_key() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1"], &observer);
    let get = || Get::new("secret-key").unwrap();
    for (line, text) in [
        ("SERVER_ERROR out of memory storing object", "SERVER_ERROR out of memory storing object"),
        (
            "SERVER_ERROR out of memory writing get response for secret-key",
            "SERVER_ERROR out of memory writing get response",
        ),
        ("SERVER_ERROR no secret-key here", ""),
    ] {
        run(get(), &router, reply(Reply::Refused(line.into()))).unwrap_err();
        assert_eq!(recorded.take_spans()[0].status, Status::error(text), "{line}");
    }
    let error = run(get(), &router, failure(Error::timeout(Landed::Unknown))).unwrap_err();
    assert!(error.to_string().contains("secret-key"), "{error}");
    assert_eq!(recorded.take_spans()[0].status, Status::error(""));
}

#[test]
fn a_call_to_several_servers_is_a_span_for_each() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1", "cache2", "cache3"], &observer);
    run(AllServers(Version), &router, reply(Reply::Version("1.6.18".into()))).unwrap().into_result().unwrap();
    let of = |name: &str| {
        format!("version {name}:11211: db.operation.name=version db.system.name=memcached server.address={name}")
    };
    assert_eq!(recorded.take(), ["cache1", "cache2", "cache3"].map(of));
}

#[test]
fn a_batch_is_one_span_for_each_server_and_a_request_for_many_keys_is_no_batch() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1"], &observer);
    let names = || {
        let size = |span: &SpanData| {
            let size = span.attributes.iter().find(|one| one.key.as_str() == "db.operation.batch.size");
            size.map_or_else(|| "none".into(), |one| one.value.to_string())
        };
        recorded.take_spans().iter().map(|span| format!("{}, {}", span.name, size(span))).collect::<Vec<_>>()
    };
    let items = [("a", "1"), ("b", "2"), ("c", "3")];
    let set = |count: usize| SetMany::new(&items[..count], Expiry::Never).unwrap();
    run(set(3), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    run(set(2), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    run(set(1), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    run(set(0), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    let expected = ["BATCH set cache1:11211, 3", "BATCH set cache1:11211, 2", "set cache1:11211, none", "BATCH, 0"];
    assert_eq!(names(), expected);

    run(DeleteMany::new(&["a", "b"]).unwrap(), &router, reply(Reply::Deleted)).unwrap().into_result().unwrap();
    run(Batch::new(vec![Get::new("a").unwrap(), Get::new("b").unwrap()]), &router, reply(value()))
        .unwrap()
        .into_result()
        .unwrap();
    let mixed = vec![Store::set("a", "1").unwrap(), Store::add("b", "1").unwrap()];
    run(SetMany::from_stores(mixed), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    run(GetMany::new(&["a", "b", "c"]).unwrap(), &router, reply(Reply::End)).unwrap().into_result().unwrap();
    let expected = [
        "BATCH delete cache1:11211, 2",
        "BATCH get cache1:11211, 2",
        "BATCH cache1:11211, 2",
        "get cache1:11211, none",
    ];
    assert_eq!(names(), expected);

    // Its first failure is that of the batch.
    let mut replies = [Reply::Stored, Reply::Refused("SERVER_ERROR out of memory".into()), Reply::Stored].into_iter();
    let _ = run(set(3), &router, |call, place| call.answer(place, replies.next().unwrap(), true));
    assert_eq!(
        recorded.take(),
        ["BATCH set cache1:11211: db.operation.batch.size=3 db.operation.name=BATCH set \
          db.response.status_code=SERVER_ERROR db.system.name=memcached error.type=SERVER_ERROR server.address=cache1"]
    );
}

#[test]
fn a_span_covers_all_retries_and_names_the_server_that_was_asked_last() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1", "cache2"], &observer);
    let lost = Error::lost(&std::io::ErrorKind::ConnectionReset.into(), Landed::NotSent);
    let mut faults = [Some(Fault::Connection), Some(Fault::Server), None].into_iter();
    let mut asked = Vec::new();
    run(Get::new("a").unwrap(), &router, |call, place| {
        asked.push(router.server(call.sub_requests()[place].server()).unwrap().name().to_owned());
        match faults.next().unwrap() {
            Some(fault) => call.fail(place, &lost, fault),
            None => call.answer(place, value(), true),
        }
    })
    .unwrap();
    assert_eq!((asked.len(), asked[0] == asked[2]), (3, false));
    let spans = recorded.take_spans();
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((span.name.to_string(), &span.status), (format!("get {}", asked[2]), &Status::Unset));
    assert_eq!((span.start_time, span.end_time), (at(START).wall(), at(START + TIME).wall()));
}

/// A client that says this of its servers.
#[derive(Debug)]
struct Pools(Vec<ServerStatus>);

impl ObservedClient for Pools {
    fn server_status(&self) -> Vec<ServerStatus> {
        self.0.clone()
    }
}

/// The numbers of all metrics, each with its name, its unit and its attributes.
fn numbers(metrics: &ResourceMetrics) -> Vec<String> {
    let mut numbers = Vec::new();
    for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
        let mut add = |kind: &str, value: String, attributes: &mut dyn Iterator<Item = &KeyValue>| {
            let attributes: Vec<_> = attributes.cloned().collect();
            numbers.push(format!("{} {kind} {}{}: {value}", metric.name(), metric.unit(), listed(&attributes)));
        };
        match metric.data() {
            AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                assert!(!sum.is_monotonic());
                sum.data_points().for_each(|one| add("up-down", one.value().to_string(), &mut one.attributes()));
            }
            AggregatedMetrics::I64(MetricData::Gauge(gauge)) => {
                gauge.data_points().for_each(|one| add("gauge", one.value().to_string(), &mut one.attributes()));
            }
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic());
                sum.data_points().for_each(|one| add("counter", one.value().to_string(), &mut one.attributes()));
            }
            AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                histogram.data_points().for_each(|one| add("histogram", one.sum().to_string(), &mut one.attributes()));
            }
            other => panic!("{other:?}"),
        }
    }
    numbers.sort();
    numbers
}

#[test]
fn connections_are_metrics_from_the_start_with_the_names_and_units_of_the_conventions() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1", "cache2"], &observer);
    let statuses = |used, idle| {
        let status = |id| {
            let mut status = router.status(id).unwrap();
            (status.used_connections, status.idle_connections, status.max_connections) = (used, idle, 64);
            (status.in_flight, status.waiting) = (used, 1);
            status
        };
        router.ids().map(status).collect()
    };
    let (one, other) = (Arc::new(Pools(statuses(2, 3))), Arc::new(Pools(statuses(1, 0))));
    let options = Options::default().observer(Arc::<OpenTelemetry>::clone(&observer));
    // The second time because its list of servers has changed.
    [&one, &other, &one].into_iter().for_each(|client| options.announce(client));
    drop(other);
    observer.on_connect(&router.servers()[0], TIME);
    let of = |server: &str| {
        let pool = format!("db.client.connection.pool.name={server}:11211");
        [
            format!("db.client.connection.count up-down {{connection}} {pool} db.client.connection.state=idle: 3"),
            format!("db.client.connection.count up-down {{connection}} {pool} db.client.connection.state=used: 2"),
            format!("db.client.connection.idle.max up-down {{connection}} {pool}: 64"),
            format!("db.client.connection.max up-down {{connection}} {pool}: 64"),
            format!("db.client.connection.pending_requests up-down {{request}} {pool}: 1"),
            format!("memcached2_client_in_flight up-down {{request}} {pool}: 2"),
            format!("memcached2_server_up gauge 1 {pool}: 1"),
        ]
    };
    let created = "db.client.connection.create_time histogram s db.client.connection.pool.name=cache1:11211: 0.002";
    let mut expected = [&of("cache1")[..], &of("cache2"), &[created.to_owned()]].concat();
    expected.sort();
    assert_eq!(numbers(&recorded.metrics()), expected);
}

#[test]
fn a_call_that_had_no_connection_in_time_counts_as_a_timeout_of_the_pool() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1"], &observer);
    run(Get::new("a").unwrap(), &router, failure(Error::timeout(Landed::NotSent))).unwrap_err();
    let counted = "db.client.connection.timeouts counter {timeout} db.client.connection.pool.name=cache1:11211: 1";
    assert!(numbers(&recorded.metrics()).contains(&counted.to_owned()));
}

#[test]
fn the_duration_is_a_histogram_with_the_unit_the_buckets_and_the_attributes_of_the_conventions() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1:11212"], &observer);
    let items = [("a", "1"), ("b", "2")];
    run(Get::new("a").unwrap(), &router, reply(value())).unwrap();
    run(Get::new("b").unwrap(), &router, reply(Reply::Miss)).unwrap();
    run(SetMany::new(&items, Expiry::Never).unwrap(), &router, reply(Reply::Stored)).unwrap().into_result().unwrap();
    run(Get::new("a").unwrap(), &router, reply(Reply::Refused("ERROR".into()))).unwrap_err();
    let metrics = recorded.metrics();
    let metric = metrics.scope_metrics().flat_map(|scope| scope.metrics());
    let metric = metric.into_iter().find(|metric| metric.name() == "db.client.operation.duration").unwrap();
    assert_eq!((metric.unit(), metric.description()), ("s", "Duration of database client operations."));
    let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else { panic!("{metric:?}") };
    let mut points = Vec::new();
    for point in histogram.data_points() {
        assert_eq!(point.bounds().collect::<Vec<_>>(), [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]);
        assert_eq!((point.min(), point.max()), (Some(TIME.as_secs_f64()), Some(TIME.as_secs_f64())));
        let attributes: Vec<_> = point.attributes().cloned().collect();
        points.push(format!("{}{}", point.count(), listed(&attributes)));
    }
    points.sort();
    let of = |rest: &str, error: &str| {
        format!("{rest} db.system.name=memcached{error} server.address=cache1 server.port=11212")
    };
    assert_eq!(
        points,
        [
            of("1 db.operation.name=BATCH set", ""),
            of("1 db.operation.name=get db.response.status_code=ERROR", " error.type=ERROR"),
            of("2 db.operation.name=get", ""),
        ]
    );
}

#[test]
fn operations_that_have_all_failed_are_no_empty_series_of_successes() {
    let (recorded, observer) = Recorded::new();
    let router = router(&["cache1"], &observer);
    run(Get::new("a").unwrap(), &router, reply(Reply::Refused("ERROR".into()))).unwrap_err();
    let name = "db.client.operation.duration histogram s";
    let failed = format!(
        "{name} db.operation.name=get db.response.status_code=ERROR db.system.name=memcached error.type=ERROR \
         server.address=cache1: 0.002"
    );
    let series = |recorded: &Recorded| {
        let numbers = numbers(&recorded.metrics());
        numbers.into_iter().filter(|line| line.starts_with(name)).collect::<Vec<_>>()
    };
    assert_eq!(series(&recorded), [failed.as_str()]);
    run(Get::new("a").unwrap(), &router, reply(value())).unwrap();
    let done = format!("{name} db.operation.name=get db.system.name=memcached server.address=cache1: 0.002");
    assert_eq!(series(&recorded), [failed, done]);
}
