//! The observers of the features `tracing` and `metrics`, on calls for which the test is the transport.
#![allow(clippy::disallowed_methods, reason = "the test is the transport, and needs some moment")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "observers/interest.rs"]
mod interest;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, Fault};
use memcached2_proto::command::Version;
use memcached2_proto::observer::{
    Event, Interest, Metrics, ObservedClient, OperationEvent, RequestOutcome, ServerEvent, ServerStatus, Tracing,
};
use memcached2_proto::operation::{AllServers, GetMany, SetMany};
use memcached2_proto::{
    Connection, Delete, Error, Expiry, Get, Instant, Landed, Limits, Now, Observer, Operation, Options, Protocol,
    ReconnectPolicy, Reply, Router, Server, Store, Value,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// On a server with credentials, which no observer shows: a hit, a refusal, a call that fails, and one without a server that is up.
fn calls(observer: Arc<dyn Observer>) {
    let begun = start();
    let clock: fn() -> Now = || at(start() + Duration::from_millis(2));
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(1))).observer(observer);
    let router = Router::with_options(["memcached://web:s3cret@cache1"], &options).unwrap().for_client(0, clock);
    let run = |operation: Get<'_>, outcome: Result<Reply, Error>| end(operation, &router, begun, &outcome);
    let get = || Get::new("a").unwrap();
    run(get(), Ok(Reply::Value(0, Value::new("12345".into(), 0))));
    run(get(), Ok(Reply::Refused("SERVER_ERROR out of memory".into())));
    end(Delete::new("a").unwrap(), &router, begun, &Ok(Reply::NotFound));
    run(get(), Err(Error::connect(&std::io::ErrorKind::ConnectionRefused.into())));
    run(get(), Ok(Reply::Miss));
}

/// The moment at which all calls begin.
fn start() -> Instant {
    Instant::ZERO
}

/// A moment, which for people is as long after 1970.
fn at(monotonic: Instant) -> Now {
    Now::fixed(monotonic, SystemTime::UNIX_EPOCH + (monotonic - start()))
}

fn end<O: Operation>(operation: O, router: &Router, start: Instant, outcome: &Result<Reply, Error>) {
    let mut call = Call::new(operation, router, Now::new(start, SystemTime::now));
    if call.batch(0).is_some() {
        match outcome {
            Ok(reply) => call.answer(0, reply.clone(), true),
            Err(error) => call.fail(0, error, Fault::of(error)),
        }
    }
    assert!(!call.end_round(|| start + Duration::from_millis(2)));
    let _ = call.finish();
}

#[test]
fn requests_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || calls(Arc::new(Metrics)));
    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let told = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(level) => level.to_string(),
            DebugValue::Histogram(values) => values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" "),
        };
        counted.insert(format!("{} {}", key.key().name(), labels.join(" ")), told);
    }
    let counted: Vec<_> = counted.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        counted,
        [
            "db.client.operation.duration db.system.name=memcached db.operation.name=get error.type=no_server: 0.002",
            "db.client.operation.duration server.address=cache1 db.system.name=memcached db.operation.name=delete: 0.002",
            "db.client.operation.duration server.address=cache1 db.system.name=memcached db.operation.name=get: 0.002",
            "db.client.operation.duration server.address=cache1 db.system.name=memcached db.operation.name=get error.type=SERVER_ERROR db.response.status_code=SERVER_ERROR: 0.002",
            "db.client.operation.duration server.address=cache1 db.system.name=memcached db.operation.name=get error.type=connect: 0.002",
            "memcached2_hits_total server.address=cache1: 1",
            "memcached2_misses_total server.address=cache1: 0",
            "memcached2_received_bytes_total : 0",
            "memcached2_received_bytes_total server.address=cache1: 5",
            "memcached2_requests_total db.operation.name=get outcome=failed: 1",
            "memcached2_requests_total server.address=cache1 db.operation.name=delete outcome=not_done: 1",
            "memcached2_requests_total server.address=cache1 db.operation.name=get outcome=failed: 1",
            "memcached2_requests_total server.address=cache1 db.operation.name=get outcome=hit: 1",
            "memcached2_requests_total server.address=cache1 db.operation.name=get outcome=refused: 1",
            "memcached2_sent_bytes_total : 0",
            "memcached2_sent_bytes_total server.address=cache1: 0",
            "memcached2_server_up db.client.connection.pool.name=cache1:11211: 0",
        ]
    );
}

/// Writes events down.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A client that says this of its servers.
struct Pool(ServerStatus);

impl ObservedClient for Pool {
    fn server_status(&self) -> Vec<ServerStatus> {
        vec![self.0.clone()]
    }
}

#[test]
fn connections_are_gauges_and_a_server_is_up_from_the_start() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let router = Router::parse(["cache1"]).unwrap();
    let mut status = router.status(router.ids().next().unwrap()).unwrap();
    (status.used_connections, status.idle_connections, status.max_connections, status.waiting) = (2, 3, 64, 1);
    let seen = || {
        let seen = snapshotter.snapshot().into_vec().into_iter().map(|(key, unit, text, value)| {
            assert!(text.is_some(), "{key:?}");
            let labels: Vec<_> = key.key().labels().map(|label| format!(" {}", label.value())).collect();
            let value = match value {
                DebugValue::Gauge(level) => level.to_string(),
                DebugValue::Histogram(values) => format!("{values:?}"),
                DebugValue::Counter(count) => count.to_string(),
            };
            format!("{}{} {}: {value}", key.key().name(), labels.concat(), unit.unwrap().as_canonical_label())
        });
        let mut seen: Vec<_> = seen.collect();
        seen.sort();
        seen
    };
    metrics::with_local_recorder(&recorder, || {
        let client = Arc::new(Pool(status.clone()));
        Options::default().observer(Arc::new(Metrics)).announce(&client);
        assert_eq!(seen(), ["memcached2_server_up cache1:11211 : 1"]);
        Metrics.set_gauges(&client.server_status());
        Metrics.on_connect(&router.servers()[0], Duration::from_millis(2));
        assert_eq!(
            seen(),
            [
                "db.client.connection.count cache1:11211 idle : 3",
                "db.client.connection.count cache1:11211 used : 2",
                "db.client.connection.create_time cache1:11211 s: [0.002]",
                "db.client.connection.idle.max cache1:11211 : 64",
                "db.client.connection.max cache1:11211 : 64",
                "db.client.connection.pending_requests cache1:11211 : 1",
                "memcached2_client_in_flight cache1:11211 : 0",
                "memcached2_server_up cache1:11211 : 1",
            ]
        );
    });
}

#[test]
fn the_tracing_observer_logs_requests_as_events() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || calls(Arc::new(Tracing)));
    let answered = "sent=0 received=0 time_us=2000 wait_us=0";
    let of = |command: &str| {
        format!("db.system.name=\"memcached\" db.operation.name=\"{command}\" server.address=\"cache1\"")
    };
    let (get, delete) = (of("get"), of("delete"));
    assert_eq!(
        *log.0.lock().unwrap(),
        [
            format!(
                "DEBUG memcached2 message=request answered {get} outcome=\"hit\" sent=0 received=5 time_us=2000 wait_us=0"
            ),
            format!(
                "WARN memcached2 message=request refused {get} db.response.status_code=\"SERVER_ERROR\" error.type=\"SERVER_ERROR\" outcome=\"refused\" {answered} error=\"SERVER_ERROR out of memory\""
            ),
            format!("DEBUG memcached2 message=request answered {delete} outcome=\"not_done\" {answered}"),
            format!(
                "WARN memcached2 message=request failed {get} error.type=\"connect\" outcome=\"failed\" {answered} error=cannot connect to the server: connection refused; is memcached running there?"
            ),
            "WARN memcached2 message=server down server=\"cache1:11211\" failures=1 wait_us=1000000".to_owned(),
            format!(
                "DEBUG memcached2 message=no server to ask db.system.name=\"memcached\" db.operation.name=\"get\" error.type=\"no_server\" outcome=\"failed\" {answered} error=cache1:11211 is down, and its retry is not due yet (cannot connect to it: connection refused)"
            ),
        ]
    );
}

/// What is logged of a request for `secret` that ends so.
fn logged(outcome: &Result<Reply, Error>) -> String {
    let log = Log::default();
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(1)));
    let options = options.observer(Arc::new(Tracing));
    let router = Router::with_options(["cache1"], &options).unwrap().for_client(0, || at(start()));
    tracing::subscriber::with_default(log.clone(), || {
        end(Get::new("secret").unwrap(), &router, start(), outcome);
        // The server may be down then.
        end(Get::new("secret").unwrap(), &router, start(), outcome);
    });
    let lines = log.0.lock().unwrap().join("\n");
    assert!(!lines.contains("secret"), "{lines}");
    lines
}

#[test]
fn what_the_tracing_observer_logs_of_a_failure_repeats_no_key_and_no_value() {
    for (line, text) in [
        ("SERVER_ERROR out of memory storing object", Some("SERVER_ERROR out of memory storing object")),
        // Servers of memcached 1.6.45 copy this line without its end.
        (
            "SERVER_ERROR out of memory writing get responseVALUE secret 0 5",
            Some("SERVER_ERROR out of memory writing get response"),
        ),
        ("CLIENT_ERROR bad data chunk", Some("CLIENT_ERROR bad data chunk")),
        ("SERVER_ERROR no memory for secret", None),
    ] {
        let logged = logged(&Ok(Reply::Refused(line.into())));
        let (code, _) = line.split_once(' ').unwrap();
        assert!(logged.contains(&format!("db.response.status_code={code:?}")), "{logged}");
        assert_eq!(logged.contains(" error="), text.is_some(), "{logged}");
        assert!(text.is_none_or(|text| logged.contains(&format!(" error={text:?}"))), "{logged}");
    }
    let broken = Reply::Value(0, Value::new("secret".into(), 0)).into_error();
    assert!(broken.to_string().contains("secret"), "{broken}");
    let logged = logged(&Err(broken));
    assert!(logged.contains("error.type=\"protocol\"") && logged.contains("broke the protocol"), "{logged}");
}

#[test]
fn the_tracing_observer_logs_nothing_of_the_line_before_the_end_of_a_connection() {
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(Protocol::Meta);
    connection.submit(&Get::new("key").unwrap(), at(start()), 0).unwrap();
    assert!(connection.take_outgoing().is_some());
    connection.feed(b"SERVER_ERROR no memory for secret\r\n", |_, reply, _| panic!("{reply:?}")).unwrap();
    let lost = connection.feed(b"", |_, reply, _| panic!("{reply:?}")).unwrap_err();
    assert!(lost.to_string().contains("secret"), "{lost}");
    let logged = logged(&Err(lost));
    assert!(!logged.contains("secret") && logged.contains("the server closed it"), "{logged}");
}

/// Writes down how many hits and misses each request had.
#[derive(Debug, Default)]
struct Hits(Mutex<Vec<(usize, usize)>>);

impl Observer for Hits {
    fn on_request(&self, event: &Event<'_>) {
        if let RequestOutcome::Read { hits, misses } = event.outcome {
            self.0.lock().unwrap().push((hits, misses));
        }
    }
}

#[test]
fn values_of_an_answer_that_was_cut_off_are_not_counted_when_it_is_sent_again() {
    let observer = Arc::new(Hits::default());
    let options = Options::default().observer(Arc::<Hits>::clone(&observer));
    let router = Router::with_options(["cache1"], &options).unwrap().for_client(0, || at(start()));
    let mut call = Call::new(GetMany::new(&["a", "b"]).unwrap(), &router, Now::new(start(), SystemTime::now));
    call.answer(0, Reply::Value(0, Value::new("x".into(), 0)), false);
    let lost = Error::lost(&std::io::ErrorKind::ConnectionReset.into(), Landed::NotSent);
    call.fail(0, &lost, Fault::Connection);
    assert!(call.end_round(start));
    call.answer(0, Reply::Value(0, Value::new("x".into(), 0)), false);
    call.answer(0, Reply::End, true);
    assert!(!call.end_round(start));
    assert_eq!(observer.0.lock().unwrap()[..], [(1, 1)]);
}
