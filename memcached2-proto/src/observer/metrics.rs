//! Requests as counters and histograms of `metrics`.

use std::sync::Arc;

use metrics::{Label, SharedString, counter, gauge, histogram};

use super::{Attempt, Event, Observer, RequestOutcome, ServerEvent};
use crate::uri::Server;

/// Counts requests with the `metrics` crate.
///
/// | name | kind | labels |
/// |---|---|---|
/// | `memcached2_requests_total` | counter | `command`, `server`, `outcome` ([`RequestOutcome::as_str`]) |
/// | `memcached2_request_seconds` | histogram: [`Event::time`] | `command`, `server` |
/// | `memcached2_wait_seconds` | histogram: [`Event::wait`], where it is not zero | `server` |
/// | `memcached2_hits_total`, `memcached2_misses_total` | counter: keys | `server` |
/// | `memcached2_sent_bytes_total`, `memcached2_received_bytes_total` | counter: [`Event::sent`], [`Event::received`] | `server` |
/// | `memcached2_retries_total`, `memcached2_failovers_total` | counter: [`Attempt`] | `server` |
/// | `memcached2_server_up` | gauge: 0 while it is down, 1 when it is up again; from its first failure on | `server` |
///
/// The server is its name, or `none` where there was none to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

impl Observer for Metrics {
    fn on_request(&self, event: &Event<'_>) {
        let server = match event.server {
            Some(server) => SharedString::from(Arc::clone(server.shared_name())),
            None => SharedString::const_str("none"),
        };
        let by_server = || vec![Label::new("server", server.clone())];
        let by_command = || {
            let mut labels = by_server();
            labels.push(Label::from_static_parts("command", event.command));
            labels
        };
        let mut labels = by_command();
        labels.push(Label::from_static_parts("outcome", event.outcome.as_str()));
        counter!("memcached2_requests_total", labels).increment(1);
        histogram!("memcached2_request_seconds", by_command()).record(event.time);
        if !event.wait.is_zero() {
            histogram!("memcached2_wait_seconds", by_server()).record(event.wait);
        }
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

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        let up = if event == ServerEvent::Up { 1.0 } else { 0.0 };
        gauge!("memcached2_server_up", "server" => Arc::clone(server.shared_name())).set(up);
    }
}
