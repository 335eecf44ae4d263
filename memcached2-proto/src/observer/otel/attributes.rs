//! The attributes of operations, by the semantic conventions.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::KeyValue;

use super::super::{Failure, OperationEvent};
use crate::reply::error_line::known_text;

/// Those of spans and metrics alike, of operations that have not failed. Their texts are shared: a clone copies none.
pub(super) fn of_operation(event: &OperationEvent<'_>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(6);
    attributes.push(KeyValue::new("db.system.name", "memcached"));
    attributes.push(match event.name() {
        Cow::Borrowed(name) => KeyValue::new("db.operation.name", name),
        Cow::Owned(name) => shared("db.operation.name", &name),
    });
    if let Some(server) = event.server {
        let (address, port) = server.address_and_port();
        attributes.push(shared("server.address", &address));
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    if let Some(peer) = event.peer {
        let (address, port) = peer.address_and_port();
        attributes.push(shared("network.peer.address", &address));
        attributes.extend(port.map(|port| KeyValue::new("network.peer.port", i64::from(port))));
    }
    attributes
}

/// An attribute whose text is shared.
pub(super) fn shared(key: &'static str, text: &str) -> KeyValue {
    KeyValue::new(key, Arc::<str>::from(text))
}

/// Those which one that has failed has besides.
pub(super) fn of_failure(failure: Failure<'_>) -> impl Iterator<Item = KeyValue> {
    let code = failure.status_code().map(|code| KeyValue::new("db.response.status_code", code.to_owned()));
    code.into_iter().chain([KeyValue::new("error.type", failure.error_type().to_owned())])
}

/// That which a span has besides.
pub(super) fn of_batch(event: &OperationEvent<'_>) -> Option<KeyValue> {
    let size = event.batch.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    size.map(|size| KeyValue::new("db.operation.batch.size", size))
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
        Failure::Failed(_) | Failure::Cancelled => "",
    }
}
