//! Operations and requests as counters, gauges and histograms of `metrics`.

use std::sync::Weak;
use std::time::Duration;

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::{Attempt, Event, ObservedClient, Observer, OperationEvent, RequestOutcome, ServerEvent, ServerStatus};
use crate::uri::Server;

/// Counts operations and requests with the `metrics` crate, by the names of OpenTelemetry where it has some.
///
/// | name | kind | labels |
/// |---|---|---|
/// | `db.client.operation.duration` | histogram in seconds: [`OperationEvent::time`] | those of the server, `db.system.name`, `db.operation.name`; of one that has failed `error.type`, `db.response.status_code` |
/// | `db.client.connection.create_time` | histogram in seconds: how long a connection took to be opened | `db.client.connection.pool.name` |
/// | `db.client.connection.wait_time` | histogram in seconds: [`OperationEvent::wait`] | the same |
/// | `db.client.connection.use_time` | histogram in seconds: how long an operation then had its connection, as far as it is one of a pool | the same |
/// | `db.client.connection.timeouts` | counter: operations that had no connection in time | the same |
/// | `memcached2_requests_total` | counter | those of the server, `db.operation.name`, `outcome` ([`RequestOutcome::as_str`]) |
/// | `memcached2_hits_total`, `memcached2_misses_total` | counter: keys | those of the server |
/// | `memcached2_sent_bytes_total`, `memcached2_received_bytes_total` | counter in bytes: [`Event::sent`], [`Event::received`] | those of the server |
/// | `memcached2_retries_total`, `memcached2_failovers_total` | counter: [`Attempt`] | those of the server |
/// | `memcached2_server_up` | gauge: 1 while it counts as up, else 0; from the moment at which a client is made | `db.client.connection.pool.name` |
///
/// Those of the server are `server.address`, and `server.port` unless it is 11211; none where there was none to ask. The name of a
/// pool is the address with the port. An exporter for Prometheus writes `db_client_operation_duration`. Units and descriptions are
/// given to the recorder when a client is made: set it before.
///
/// The gauges of connections have to be [set](Metrics::set_gauges) by the program.
///
/// The crate `metrics` takes no gauge back: those of a server that has left the list stay as they were set last, `memcached2_server_up`
/// too. An exporter can leave out what has not been set for a time, such as by `idle_timeout` of `metrics-exporter-prometheus`, as long
/// as the program sets the gauges more often. `OpenTelemetry` shows only the servers of the list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

impl Metrics {
    /// Sets gauges to the status of servers: call it from time to time, such as before each export.
    ///
    /// | gauge | what it is |
    /// |---|---|
    /// | `db.client.connection.count` | open connections, by `db.client.connection.state`: `used` or `idle` |
    /// | `db.client.connection.max`, `.idle.max` | [`ServerStatus::max_connections`]: all of them may be idle |
    /// | `db.client.connection.pending_requests` | [`ServerStatus::waiting`] |
    /// | `memcached2_client_in_flight` | [`ServerStatus::in_flight`] |
    /// | `memcached2_server_up` | [`ServerStatus::is_up`] |
    ///
    /// All have the label `db.client.connection.pool.name`.
    ///
    /// ```
    /// use memcached2_proto::observer::{Metrics, ServerStatus};
    ///
    /// // Of `client.server_status()`.
    /// fn before_export(status: &[ServerStatus]) {
    ///     Metrics.set_gauges(status);
    /// }
    /// ```
    pub fn set_gauges(self, status: &[ServerStatus]) {
        for status in status {
            let pool = || pool_of(&status.server);
            let state =
                |state: &'static str| vec![pool(), Label::from_static_parts("db.client.connection.state", state)];
            set("db.client.connection.count", state("used"), status.used_connections);
            set("db.client.connection.count", state("idle"), status.idle_connections);
            set("db.client.connection.max", vec![pool()], status.max_connections);
            set("db.client.connection.idle.max", vec![pool()], status.max_connections);
            set("db.client.connection.pending_requests", vec![pool()], status.waiting);
            set("memcached2_client_in_flight", vec![pool()], status.in_flight);
            set_up(&status.server, status.is_up);
        }
    }
}

impl Observer for Metrics {
    fn on_request(&self, event: &Event<'_>) {
        let by_server = || of_server(event.server);
        let mut labels = by_server();
        labels.push(Label::from_static_parts("db.operation.name", event.command));
        labels.push(Label::from_static_parts("outcome", event.outcome.as_str()));
        counter!("memcached2_requests_total", labels).increment(1);
        if let RequestOutcome::Read { hits, misses } = event.outcome {
            counter!("memcached2_hits_total", by_server()).increment(hits as u64);
            counter!("memcached2_misses_total", by_server()).increment(misses as u64);
        }
        counter!("memcached2_sent_bytes_total", by_server()).increment(event.sent);
        counter!("memcached2_received_bytes_total", by_server()).increment(event.received);
        match event.attempt {
            Attempt::First => {}
            Attempt::Retry => counter!("memcached2_retries_total", by_server()).increment(1),
            Attempt::Failover => counter!("memcached2_failovers_total", by_server()).increment(1),
        }
    }

    fn on_operation(&self, event: &OperationEvent<'_>) {
        let mut labels = of_server(event.server);
        labels.push(Label::from_static_parts("db.system.name", "memcached"));
        labels.push(Label::new("db.operation.name", event.name()));
        if let Some(failure) = &event.failure {
            labels.push(Label::new("error.type", failure.error_type().to_owned()));
            let code = failure.status_code();
            labels.extend(code.map(|code| Label::new("db.response.status_code", code.to_owned())));
        }
        histogram!("db.client.operation.duration", labels).record(event.time);
        let Some(server) = event.server else { return };
        if let Some(wait) = event.wait {
            histogram!("db.client.connection.wait_time", vec![pool_of(server)]).record(wait);
            let used = event.time.saturating_sub(wait);
            histogram!("db.client.connection.use_time", vec![pool_of(server)]).record(used);
        }
        if event.had_no_connection() {
            counter!("db.client.connection.timeouts", vec![pool_of(server)]).increment(1);
        }
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        set_up(server, event == ServerEvent::Up);
    }

    fn on_connect(&self, server: &Server, time: Duration) {
        histogram!("db.client.connection.create_time", vec![pool_of(server)]).record(time);
    }

    fn on_client(&self, client: &Weak<dyn ObservedClient>) {
        describe();
        let status = client.upgrade().map_or_else(Vec::new, |client| client.server_status());
        status.iter().for_each(|status| set_up(&status.server, status.is_up));
    }
}

fn set(name: &'static str, labels: Vec<Label>, value: usize) {
    // A number of connections or callers is far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    gauge!(name, labels).set(value as f64);
}

fn set_up(server: &Server, is_up: bool) {
    gauge!("memcached2_server_up", vec![pool_of(server)]).set(if is_up { 1.0 } else { 0.0 });
}

/// The name of the pool of a server.
fn pool_of(server: &Server) -> Label {
    Label::new("db.client.connection.pool.name", server.address().to_string())
}

/// The labels of a server.
fn of_server(server: Option<&Server>) -> Vec<Label> {
    let Some(server) = server else { return Vec::new() };
    let (address, port) = server.address_and_port();
    let address = Label::new("server.address", address.into_owned());
    [address].into_iter().chain(port.map(|port| Label::new("server.port", port.to_string()))).collect()
}

/// Says what the metrics are.
fn describe() {
    let seconds = [
        ("db.client.operation.duration", "Duration of database client operations."),
        ("db.client.connection.create_time", "The time it took to create a new connection."),
        ("db.client.connection.wait_time", "The time it took to obtain an open connection from the pool."),
        ("db.client.connection.use_time", "The time between borrowing a connection and returning it to the pool."),
    ];
    seconds.into_iter().for_each(|(name, text)| describe_histogram!(name, Unit::Seconds, text));
    let counts = [
        ("db.client.connection.timeouts", "Operations that had no connection in time."),
        ("memcached2_requests_total", "Requests, by their outcome."),
        ("memcached2_hits_total", "Keys that were asked for and found."),
        ("memcached2_misses_total", "Keys that were asked for and not found."),
        ("memcached2_retries_total", "Requests that were sent again, since the connection before was dead."),
        ("memcached2_failovers_total", "Requests that went to another server, since the one before is down."),
    ];
    counts.into_iter().for_each(|(name, text)| describe_counter!(name, Unit::Count, text));
    describe_counter!("memcached2_sent_bytes_total", Unit::Bytes, "Bytes of requests.");
    describe_counter!("memcached2_received_bytes_total", Unit::Bytes, "Bytes of values and statistics.");
    let gauges = [
        ("db.client.connection.count", "Open connections, by whether they are used or idle."),
        ("db.client.connection.max", "The maximum number of open connections allowed."),
        ("db.client.connection.idle.max", "The maximum number of idle open connections allowed."),
        ("db.client.connection.pending_requests", "Callers that wait for a connection, or for room on one."),
        ("memcached2_client_in_flight", "Requests that have no answer yet."),
        ("memcached2_server_up", "1 if the server counts as up, and 0 if it counts as down."),
    ];
    gauges.into_iter().for_each(|(name, text)| describe_gauge!(name, Unit::Count, text));
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::super::Moment;
    use super::*;
    use crate::time::{Instant, Now};
    use crate::uri::Address;

    #[test]
    fn how_long_a_connection_was_waited_for_and_used_is_recorded() {
        let recorder = DebuggingRecorder::new();
        let server = Server::from(Address::Tcp { host: "cache1".into(), port: 11211 });
        let clock = || Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH);
        let moment = Moment { clock, begun: Instant::ZERO };
        let ended = Instant::ZERO + Duration::from_millis(5);
        let wait = Some(Duration::from_millis(1));
        let event =
            OperationEvent { command: Some("get"), server: Some(&server), wait, ..OperationEvent::new(moment, ended) };
        metrics::with_local_recorder(&recorder, || Metrics.on_operation(&event));
        let recorded = recorder.snapshotter().snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
            let DebugValue::Histogram(times) = value else { return None };
            let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
            Some(format!("{} {} {times:?}", key.key().name().strip_prefix("db.client.connection.")?, labels.concat()))
        });
        let mut recorded: Vec<_> = recorded.collect();
        recorded.sort();
        assert_eq!(recorded, ["use_time cache1:11211 [0.004]", "wait_time cache1:11211 [0.001]"]);
    }
}
