//! From the text of a server to its address.

use std::ffi::OsString;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::options::ServerOptions;
use super::{Address, Server};
use crate::credentials::Credentials;
use crate::error::UriProblem;

const TCP: &str = "memcached";
pub(super) const TLS: &str = "memcacheds";
pub(super) const UNIX: &str = "memcached+unix";

pub(super) fn parse(text: &str) -> Result<Server, UriProblem> {
    if text.is_empty() {
        return Err(UriProblem::NoHost);
    }
    // The parser of URIs passes over some of them, wherever they stand.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UriProblem::Blank);
    }
    let is_uri = text.contains("://");
    let full = if is_uri { text.to_owned() } else { format!("{TCP}://{text}") };
    let (full, credentials) = without_credentials(full)?;
    let authority = authority(&full);
    if authority.contains(',') {
        return Err(UriProblem::List);
    }
    let bracketed = authority.starts_with('[');
    match authority.split(':').collect::<Vec<_>>()[..] {
        // An IPv6 address has seven colons, or two of them in a row.
        [host, port, _] if !bracketed && !host.is_empty() && !port.is_empty() => return Err(UriProblem::BehindPort),
        [_, _, _, ..] if !bracketed => return Err(UriProblem::Brackets),
        _ => {}
    }
    let (full, zone) = if bracketed { without_zone(full, is_uri)? } else { (full, String::new()) };
    let url = Url::parse(&full).map_err(explain)?;
    if url.fragment().is_some() {
        return Err(UriProblem::Fragment);
    }
    let address = match url.scheme() {
        TLS if !cfg!(feature = "tls") => return Err(UriProblem::Tls),
        TCP | TLS => tcp(&url, &zone)?,
        UNIX => unix(&url)?,
        _ => return Err(UriProblem::Scheme),
    };
    let (name, mut options) = ServerOptions::parse(&url)?;
    options.credentials = credentials;
    let is_tls = url.scheme() == TLS;
    if options.tls_name.is_some() && !is_tls {
        return Err(UriProblem::TlsName);
    }
    let mut server = Server { options, is_tls, ..Server::from(address) };
    if let Some(name) = name {
        (server.name, server.is_named) = (name, true);
    }
    Ok(server)
}

/// What stands between the scheme and the path of a URI.
fn authority(full: &str) -> &str {
    let rest = full.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The text without the credentials, and those. The parser of URIs never sees them; it knows none without a host.
fn without_credentials(full: String) -> Result<(String, Option<Credentials>), UriProblem> {
    let authority = authority(&full);
    let Some((userinfo, host)) = authority.rsplit_once('@') else { return Ok((full, None)) };
    if userinfo.contains('@') && userinfo.contains(',') {
        return Err(UriProblem::List);
    }
    let credentials = Credentials::from_userinfo(userinfo).map_err(UriProblem::Credentials)?;
    let begun = full.find(authority).unwrap_or_default();
    Ok((format!("{}{host}{}", &full[..begun], &full[begun + authority.len()..]), Some(credentials)))
}

/// The text without what may be credentials, for errors.
pub(crate) fn redacted(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme.trim_start()));
    let begun = scheme.map_or(0, |scheme| scheme.len() + "://".len());
    format!("{}***{}", &text[..begun.min(at)], &text[at..])
}

/// The text without the zone of an IPv6 address, which the parser of URIs does not know, and that with its `%`:
/// `[fe80::1%eth0]`, or `[fe80::1%25eth0]` as RFC 6874 has it. A number that is not in a URI is that of an interface: `[fe80::1%25]`.
fn without_zone(full: String, is_uri: bool) -> Result<(String, String), UriProblem> {
    let Some((begun, rest)) = full.split_once('[') else { return Ok((full, String::new())) };
    let Some((address, zone, end)) = rest
        .split_once(']')
        .and_then(|(inside, end)| inside.split_once('%').map(|(address, zone)| (address, zone, end)))
    else {
        return Ok((full, String::new()));
    };
    let is_encoded = is_uri || zone.bytes().any(|byte| !byte.is_ascii_digit());
    let zone = zone.strip_prefix("25").filter(|_| is_encoded).unwrap_or(zone);
    match !zone.is_empty() && zone.bytes().all(is_of_a_name) {
        true => Ok((format!("{begun}[{address}]{end}"), format!("%{zone}"))),
        false => Err(UriProblem::Host),
    }
}

fn tcp(url: &Url, zone: &str) -> Result<Address, UriProblem> {
    if !matches!(url.path(), "" | "/") {
        return Err(UriProblem::Path);
    }
    let host = match url.host() {
        None | Some(Host::Domain("")) => return Err(UriProblem::NoHost),
        Some(Host::Domain(name)) if !name.bytes().all(is_of_a_name) => return Err(UriProblem::Host),
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => format!("{ip}{zone}"),
    };
    match url.port() {
        Some(0) => Err(UriProblem::Port),
        port => Ok(Address::Tcp { host, port: port.unwrap_or(Server::PORT) }),
    }
}

fn unix(url: &Url) -> Result<Address, UriProblem> {
    // Without the slashes of an authority, a path may begin otherwise.
    let is_absolute = url.path().len() > 1 && url.path().starts_with('/');
    if url.host_str().is_some_and(|host| !host.is_empty()) || !is_absolute {
        return Err(UriProblem::SocketPath);
    }
    let path: Vec<u8> = percent_decode_str(url.path()).collect();
    if path.contains(&0) {
        return Err(UriProblem::SocketPath);
    }
    Ok(Address::Unix(native(path)?.into()))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "paths are not any bytes everywhere")]
fn native(path: Vec<u8>) -> Result<OsString, UriProblem> {
    use std::os::unix::ffi::OsStringExt;
    Ok(OsString::from_vec(path))
}

#[cfg(not(unix))]
fn native(path: Vec<u8>) -> Result<OsString, UriProblem> {
    String::from_utf8(path).map(OsString::from).map_err(|_| UriProblem::SocketPath)
}

/// Letters, digits, and the punctuation that host names are seen with; bytes of an internationalised name are already
/// percent-encoded here, and refused.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn explain(error: url::ParseError) -> UriProblem {
    match error {
        url::ParseError::EmptyHost => UriProblem::NoHost,
        url::ParseError::InvalidPort => UriProblem::Port,
        url::ParseError::InvalidIpv4Address
        | url::ParseError::InvalidIpv6Address
        | url::ParseError::InvalidDomainCharacter
        | url::ParseError::IdnaError => UriProblem::Host,
        _ => UriProblem::Malformed,
    }
}
