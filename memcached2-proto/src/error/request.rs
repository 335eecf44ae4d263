//! The request that an error is about.

use std::fmt;
use std::sync::Arc;

/// The request that has failed: its command, key and server, as far as they are known where it fails.
///
/// It stands in every error of a call, and at the beginning of its text: `get "user:42": cache1:11211 did not answer in time`.
/// [`Error::command`](crate::Error::command), [`Error::key`](crate::Error::key) and [`Error::server`](crate::Error::server)
/// read it. An error that is about no request, such as one of a connection, has an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedRequest(Option<Box<Parts>>);

/// Boxed: an error is moved through many hands, and seldom made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    command: Option<&'static str>,
    key: Option<Box<str>>,
    server: Option<Arc<str>>,
}

impl FailedRequest {
    /// At most this many bytes of a key are shown.
    const SHOWN: usize = 64;

    /// The name of the command or of the client's method: `get`, `set_many`.
    #[must_use]
    pub fn command(&self) -> Option<&'static str> {
        self.0.as_ref()?.command
    }

    /// The key, with escapes for bytes that do not print, cut at 64 bytes.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.as_ref()?.key.as_deref()
    }

    /// The name of the server.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.0.as_ref()?.server.as_deref()
    }

    pub(super) fn server_or_default(&self) -> &str {
        self.server().unwrap_or("the server")
    }

    /// Notes what is not known yet.
    pub(super) fn note(&mut self, command: Option<&'static str>, key: Option<&[u8]>, server: Option<&Arc<str>>) {
        if command.is_none() && key.is_none() && server.is_none() {
            return;
        }
        let parts = self.0.get_or_insert_default();
        parts.command = parts.command.or(command);
        if parts.key.is_none() {
            parts.key = key.map(|key| shown(key).into());
        }
        if parts.server.is_none() {
            parts.server = server.cloned();
        }
    }
}

fn shown(key: &[u8]) -> String {
    match key.get(..FailedRequest::SHOWN) {
        Some(start) if key.len() > start.len() => format!("{}...", start.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}

impl fmt::Display for FailedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.command(), self.key()) {
            (Some(command), Some(key)) => write!(f, "{command} \"{key}\": "),
            (Some(command), None) => write!(f, "{command}: "),
            (None, Some(key)) => write!(f, "\"{key}\": "),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_as_far_as_it_is_known_with_its_key_escaped_and_cut() {
        let long = [b'k'; 250];
        for (command, key, expected) in [
            (None, None, String::new()),
            (Some("get"), None, "get: ".into()),
            (None, Some(&b"a"[..]), "\"a\": ".into()),
            (Some("get"), Some(b"caf\xe9\""), "get \"caf\\xe9\\\"\": ".into()),
            (Some("set"), Some(&long[..64]), format!("set \"{}\": ", "k".repeat(64))),
            (Some("set"), Some(&long[..]), format!("set \"{}...\": ", "k".repeat(64))),
        ] {
            let mut request = FailedRequest::default();
            request.note(command, key, None);
            assert_eq!(request.to_string(), expected);
        }
    }

    #[test]
    fn what_was_noted_first_stays() {
        let mut request = FailedRequest::default();
        request.note(None, Some(b"a"), Some(&Arc::from("cache1")));
        request.note(Some("get"), Some(b"b"), Some(&Arc::from("cache2")));
        assert_eq!((request.command(), request.key(), request.server()), (Some("get"), Some("a"), Some("cache1")));
    }
}
