//! Requests as events of `tracing`.

use std::borrow::Cow;

use super::{Attempt, Event, Interest, Observer, RequestOutcome, ServerEvent};
use crate::destination::Destination;
use crate::error::Error;
use crate::reply::error_line::{AFTER_LINE, known_text};
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
/// and `error`. Keys and values are in none of them: what a server has said is logged only as far as it is a text that servers are known
/// to say. The error that the caller gets has all of it.
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
            RequestOutcome::Refused(line) => tell!(WARN, "request refused", error = known_text(line)),
            // While a server is down this is said by every call.
            RequestOutcome::Failed(error @ (Error::NoServers { .. } | Error::Down { .. } | Error::AllDown { .. })) => {
                tell!(DEBUG, "no server to ask", error = tracing::field::display(text_of(error)));
            }
            RequestOutcome::Failed(error) => {
                tell!(WARN, "request failed", error = tracing::field::display(text_of(error)));
            }
            RequestOutcome::Cancelled => tell!(DEBUG, "request cancelled"),
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

/// The text of an error without what may be a key, or what the server has said, which may be anything.
fn text_of(error: &Error) -> Cow<'static, str> {
    match error {
        Error::Key { problem, .. } => format!("invalid key: {problem}").into(),
        Error::Protocol { .. } => "the server broke the protocol; the error of the call says how".into(),
        Error::Refused { line, .. } => known_text(line).unwrap_or("the server refused the request").into(),
        Error::Down { cause: Some(cause), .. } | Error::AllDown { cause: Some(cause), .. } if quotes(cause) => {
            format!("no server is up that can be asked; the last failure: {}", text_of(cause)).into()
        }
        other => {
            let text = other.to_string();
            text.split_once(AFTER_LINE).map(|(before, _)| before.to_owned()).unwrap_or(text).into()
        }
    }
}

/// Whether an error shows what a server has said.
fn quotes(error: &Error) -> bool {
    matches!(error, Error::Protocol { .. } | Error::Refused { .. } | Error::Key { .. })
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

#[cfg(test)]
mod tests {
    use std::fmt::{self, Write as _};
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber};

    use super::*;
    use crate::call::Call;
    use crate::command::Get;
    use crate::routing::{Router, RouterOptions};
    use crate::time::{Instant, Now};

    /// The fields of all events, as text.
    #[derive(Default)]
    struct Log(Arc<Mutex<String>>);

    struct Fields<'l>(&'l mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            writeln!(self.0, "{field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut Fields(&mut self.0.lock().unwrap()));
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn the_event_of_a_key_that_is_too_long_with_its_prefix_does_not_show_the_key() {
        let log = Arc::default();
        tracing::subscriber::with_default(Log(Arc::clone(&log)), || {
            let prefix = Some("p".repeat(200).into_bytes().into());
            let options = RouterOptions { observer: Some(Arc::new(Tracing)), prefix, ..RouterOptions::default() };
            let now = || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
            let router = Router::with_options(["cache1", "cache2"], options).unwrap().for_client(0, now);
            let key = "session-of-anna".repeat(4);
            let mut call = Call::new(Get::new(&key).unwrap(), &router, now());
            while call.end_round(|| Instant::ZERO) {}
            assert!(matches!(call.finish(), Err(Error::Key { .. })));
        });
        let log = log.lock().unwrap();
        assert!(log.contains("request failed") && log.contains("it has 260 bytes and 250 are allowed"), "{log}");
        assert!(!log.contains("anna"), "{log}");
    }
}
