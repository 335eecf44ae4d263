//! The attributes of operations, by the semantic conventions.

use opentelemetry::{KeyValue, Value};

use super::super::{Failure, OperationEvent};
use crate::reply::error_line::known_text;

/// Those of spans and metrics alike.
pub(super) fn of_operation(event: &OperationEvent<'_>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(10);
    attributes.push(KeyValue::new("db.system.name", "memcached"));
    attributes.push(KeyValue::new("db.operation.name", event.name()));
    if let Some(server) = event.server {
        let (address, port) = server.address_and_port();
        attributes.push(KeyValue::new("server.address", address.into_owned()));
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    if let Some(peer) = event.peer {
        let (address, port) = peer.address_and_port();
        attributes.push(KeyValue::new("network.peer.address", address));
        attributes.extend(port.map(|port| KeyValue::new("network.peer.port", i64::from(port))));
    }
    if let Some(failure) = &event.failure {
        let code = failure.status_code();
        attributes.extend(code.map(|code| KeyValue::new("db.response.status_code", code.to_owned())));
        attributes.push(KeyValue::new("error.type", failure.error_type().to_owned()));
    }
    attributes
}

/// Those of a span, which has more.
pub(super) fn of_span(event: &OperationEvent<'_>, mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    let size = event.batch.map(|size| Value::I64(i64::try_from(size).unwrap_or(i64::MAX)));
    attributes.extend(size.map(|size| KeyValue::new("db.operation.batch.size", size)));
    attributes
}

/// The operation and the address of the server.
pub(super) fn span_name(event: &OperationEvent<'_>) -> String {
    match event.server {
        Some(server) => format!("{} {}", event.name(), server.address()),
        None => event.name().into_owned(),
    }
}

/// What the status of a failed span says. The text of an error may name a key, so it is none of that.
pub(super) fn status_text(failure: Failure<'_>) -> &'static str {
    match failure {
        Failure::Refused(line) => known_text(line).unwrap_or_default(),
        Failure::Failed(_) => "",
    }
}
