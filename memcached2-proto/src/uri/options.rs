//! The options after the address of a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use url::Url;

use crate::credentials::Credentials;
use crate::error::UriProblem;

/// How one server is used, where that differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ServerOptions {
    pub(crate) weight: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) connections: Option<usize>,
    /// How long an item may stay: not an option of a URI, but of a server of a gutter.
    pub(crate) max_ttl: Option<Duration>,
    /// The name that its certificate must have.
    pub(crate) tls_name: Option<Arc<str>>,
    /// Those before the address.
    pub(crate) credentials: Option<Credentials>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            weight: 1,
            timeout: None,
            connect_timeout: None,
            connections: None,
            max_ttl: None,
            tls_name: None,
            credentials: None,
        }
    }
}

impl ServerOptions {
    /// The options of a URI, and the name that is among them.
    pub(super) fn parse(url: &Url) -> Result<(Option<Arc<str>>, Self), UriProblem> {
        let (mut name, mut options, mut seen) = (None, Self::default(), Vec::new());
        for (option, value) in url.query_pairs() {
            if seen.contains(&option) {
                return Err(UriProblem::Twice);
            }
            match &*option {
                "weight" => options.weight = number(&value, 1000).ok_or(UriProblem::Weight)?,
                "timeout" => options.timeout = Some(time(&value)?),
                "connect_timeout" => options.connect_timeout = Some(time(&value)?),
                "connections" => {
                    let connections = number(&value, u16::MAX.into()).ok_or(UriProblem::Connections)?;
                    options.connections = usize::try_from(connections).ok();
                }
                "tls_name" if is_host(&value) => options.tls_name = Some(Arc::from(&*value)),
                "tls_name" => return Err(UriProblem::TlsName),
                "name" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    name = Some(Arc::from(&*value));
                }
                "name" => return Err(UriProblem::Name),
                _ => return Err(UriProblem::Option),
            }
            seen.push(option);
        }
        Ok((name, options))
    }

    /// Writes the options as they are parsed, and the name among them.
    pub(super) fn write(&self, name: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let options = [
            ("weight", Some(self.weight).filter(|weight| *weight != 1).map(|weight| weight.to_string())),
            ("name", name.map(|name| percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string())),
            ("tls_name", self.tls_name.as_ref().map(ToString::to_string)),
            ("timeout", self.timeout.map(millis)),
            ("connect_timeout", self.connect_timeout.map(millis)),
            ("connections", self.connections.map(|connections| connections.to_string())),
        ];
        let mut before = '?';
        for (option, value) in options {
            if let Some(value) = value {
                write!(f, "{before}{option}={value}")?;
                before = '&';
            }
        }
        Ok(())
    }
}

/// A whole number from 1 to `most`, in digits alone.
fn number(text: &str, most: u32) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && (1..=most).contains(number))
}

/// Whether a text can be a host name or an IP address.
pub(crate) fn is_host(text: &str) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    !text.is_empty() && text.bytes().all(is_of_a_name)
}

fn time(text: &str) -> Result<Duration, UriProblem> {
    const LONGEST: u32 = 3600;
    let millis = |text| number(text, LONGEST * 1000).map(|millis| Duration::from_millis(millis.into()));
    let seconds = |text| number(text, LONGEST).map(|seconds| Duration::from_secs(seconds.into()));
    let time = match text.strip_suffix("ms") {
        Some(text) => millis(text),
        None => text.strip_suffix('s').and_then(seconds),
    };
    time.ok_or(UriProblem::Timeout)
}
