//! Requests as events of `tracing`.

use super::{Attempt, Event, Interest, Observer, RequestOutcome, ServerEvent};
use crate::destination::Destination;
use crate::error::Error;
use crate::uri::Server;

/// Logs each request as an event of the `tracing` crate, with the target `memcached2`. The level is `DEBUG`, or `WARN`
/// if a server has refused the request or failed.
///
/// A server that goes down is logged at `WARN`, with the `failures` in a row and the `wait_us` until its retry; a
/// server that is back at `INFO`.
///
/// The fields of a request have the names of OpenTelemetry where it has some: `db.system.name`, `db.operation.name`, `server.address`,
/// `server.port` (unless it is 11211), `network.peer.address` and `network.peer.port`, `db.response.status_code` and `error.type`
/// of one that has failed. The others are `outcome`, `attempt` (where it is not the first), `sent`, `received`, `time_us`, `wait_us`,
/// and `error`. Keys and values are not among them.
///
/// An event has no duration of its own, and no children. For spans see the feature `opentelemetry`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing;

impl Observer for Tracing {
    fn interest(&self) -> Interest {
        Interest::REQUESTS
    }

    fn on_request(&self, event: &Event<'_>) {
        let server = || event.server.map(Server::address_and_port);
        let peer = || event.peer.map(Destination::address_and_port);
        let failure = || event.outcome.failure();
        macro_rules! tell {
            ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {
                tracing::event!(
                    target: "memcached2",
                    tracing::Level::$level,
                    db.system.name = "memcached",
                    db.operation.name = event.command,
                    server.address = server().as_ref().map(|(address, _)| &**address),
                    server.port = server().and_then(|(_, port)| port),
                    network.peer.address = peer().as_ref().map(|(address, _)| &**address),
                    network.peer.port = peer().and_then(|(_, port)| port),
                    db.response.status_code = failure().and_then(|failure| failure.status_code()),
                    "error.type" = failure().map(|failure| failure.error_type()),
                    outcome = event.outcome.as_str(),
                    attempt = word(event.attempt),
                    sent = event.sent,
                    received = event.received,
                    time_us = micros(event.time),
                    wait_us = micros(event.wait),
                    $($field = $value,)*
                    $message
                )
            };
        }
        match event.outcome {
            RequestOutcome::Refused(line) => tell!(WARN, "request refused", error = line),
            // While a server is down this is said by every call.
            RequestOutcome::Failed(error @ (Error::NoServers { .. } | Error::Down { .. } | Error::AllDown { .. })) => {
                tell!(DEBUG, "no server to ask", error = tracing::field::display(error));
            }
            RequestOutcome::Failed(error) => tell!(WARN, "request failed", error = tracing::field::display(error)),
            _ => tell!(DEBUG, "request answered"),
        }
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        match event {
            ServerEvent::Down { failures, wait } => {
                tracing::warn!(target: "memcached2", server = server.name(), failures, wait_us = micros(wait), "server down");
            }
            ServerEvent::Up => tracing::info!(target: "memcached2", server = server.name(), "server up"),
        }
    }
}

fn word(attempt: Attempt) -> Option<&'static str> {
    match attempt {
        Attempt::First => None,
        Attempt::Retry => Some("retry"),
        Attempt::Failover => Some("failover"),
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
