//! The metrics of connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};

use super::super::{ObservedClient, OperationEvent, ServerStatus};
use super::attributes::shared;
use super::seconds;
use super::series::Series;
use crate::uri::Server;

/// The instruments of connections.
#[derive(Debug)]
pub(super) struct PoolMetrics {
    clients: Clients,
    wait_time: Histogram<f64>,
    use_time: Histogram<f64>,
    pub(super) create_time: Histogram<f64>,
    timeouts: Counter<u64>,
}

/// The series of operations that have the connection of a pool.
#[derive(Debug)]
pub(super) struct PoolSeries {
    pub(super) attributes: [KeyValue; 1],
    wait_time: Series,
    use_time: Series,
}

impl PoolSeries {
    pub(super) fn new(pool: KeyValue) -> Self {
        Self { attributes: [pool], wait_time: Series::default(), use_time: Series::default() }
    }
}

/// The clients that are observed, as far as they still are.
#[derive(Debug, Clone, Default)]
struct Clients(Arc<Mutex<Vec<Weak<dyn ObservedClient>>>>);

impl PoolMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let clients = Clients::default();
        let observe = |name: &'static str, unit: &'static str, description: &'static str, values: Values| {
            let clients = clients.clone();
            let instrument = meter.i64_observable_up_down_counter(name).with_unit(unit).with_description(description);
            let _ = instrument.with_callback(move |to| clients.observe(to, values)).build();
        };
        let connections = "{connection}";
        observe(
            "db.client.connection.count",
            connections,
            "The number of connections that are currently in state described by the `state` attribute.",
            |status| vec![(status.used_connections, Some("used")), (status.idle_connections, Some("idle"))],
        );
        let max = |status: &ServerStatus| vec![(status.max_connections, None)];
        observe("db.client.connection.max", connections, "The maximum number of open connections allowed.", max);
        let text = "The maximum number of idle open connections allowed.";
        observe("db.client.connection.idle.max", connections, text, max);
        let text = "The number of current pending requests for an open connection.";
        observe("db.client.connection.pending_requests", "{request}", text, |status| vec![(status.waiting, None)]);
        let text = "The number of requests that have no answer yet.";
        observe("memcached2_client_in_flight", "{request}", text, |status| vec![(status.in_flight, None)]);
        let gauge = meter.i64_observable_gauge("memcached2_server_up").with_unit("1");
        let gauge = gauge.with_description("1 if the server counts as up, and 0 if it counts as down.");
        let all = clients.clone();
        let is_up = move |to: &dyn AsyncInstrument<i64>| {
            all.observe(to, |status| vec![(usize::from(status.is_up), None)]);
        };
        let _ = gauge.with_callback(is_up).build();
        Self {
            wait_time: seconds(
                meter,
                "db.client.connection.wait_time",
                "The time it took to obtain an open connection from the pool.",
            ),
            use_time: seconds(
                meter,
                "db.client.connection.use_time",
                "The time between borrowing a connection and returning it to the pool.",
            ),
            create_time: seconds(
                meter,
                "db.client.connection.create_time",
                "The time it took to create a new connection.",
            ),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_unit("{timeout}")
                .with_description(
                    "The number of connection timeouts that have occurred trying to obtain a connection from the pool.",
                )
                .build(),
            clients,
        }
    }

    /// Observes a client, unless that is done already.
    pub(super) fn add(&self, client: &Weak<dyn ObservedClient>) {
        let mut clients = self.clients.lock();
        clients.retain(|known| known.strong_count() > 0);
        let is_it = |known: &Weak<dyn ObservedClient>| std::ptr::addr_eq(known.as_ptr(), client.as_ptr());
        if !clients.iter().any(is_it) {
            clients.push(Weak::clone(client));
        }
    }

    /// Records how long the connection of an operation was waited for and used, or that there was none in time.
    #[inline]
    pub(super) fn record(&self, event: &OperationEvent<'_>, pool: &PoolSeries) {
        if let Some(wait) = event.wait {
            let used = event.time.saturating_sub(wait);
            pool.wait_time.record(&self.wait_time, wait.as_secs_f64(), &pool.attributes);
            pool.use_time.record(&self.use_time, used.as_secs_f64(), &pool.attributes);
        }
        if event.failure.is_some() && event.had_no_connection() {
            self.timeouts.add(1, &pool.attributes);
        }
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn ObservedClient>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows these numbers of each pool.
    fn observe(&self, to: &dyn AsyncInstrument<i64>, values: Values) {
        for (pool, status) in self.status() {
            for (value, state) in values(&status) {
                let mut attributes = vec![KeyValue::new(POOL, pool.clone())];
                attributes.extend(state.map(|state| KeyValue::new("db.client.connection.state", state)));
                to.observe(i64::try_from(value).unwrap_or(i64::MAX), &attributes);
            }
        }
    }

    /// The status of all servers by the names of their pools. Clients that have the same server have one pool.
    fn status(&self) -> BTreeMap<String, ServerStatus> {
        // A client may be dropped here, which must not be done while they are locked.
        let clients: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let mut pools = BTreeMap::<String, ServerStatus>::new();
        for status in clients.iter().flat_map(|client| client.server_status()) {
            match pools.get_mut(&status.server.address().to_string()) {
                Some(pool) => pool.add(&status),
                None => _ = pools.insert(status.server.address().to_string(), status),
            }
        }
        pools
    }
}

/// What an instrument shows of a server, each number with the state of its connections.
type Values = fn(&ServerStatus) -> Vec<(usize, Option<&'static str>)>;

const POOL: &str = "db.client.connection.pool.name";

/// The pool of a server.
pub(super) fn pool_of(server: &Server) -> KeyValue {
    shared(POOL, &server.address().to_string())
}
