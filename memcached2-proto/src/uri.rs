//! Where a server is: the text a person writes, parsed.

mod options;
mod parse;

use std::fmt;
#[cfg(feature = "ketama")]
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

pub(crate) use self::options::{ServerOptions, is_host};
pub(crate) use self::parse::redacted;
use self::parse::{TLS, UNIX, parse};
use crate::error::Error;

/// One memcached server: its name and its address.
///
/// | text | address |
/// |---|---|
/// | `cache1`, `cache1:11212`, `10.0.0.1:11211` | TCP; the port is 11211 unless given |
/// | `[::1]`, `[::1]:11212`, `[fe80::1%eth0]` | TCP over IPv6, also through one interface |
/// | `memcached://cache1:11211/` | the same as a URI |
/// | `memcacheds://cache1:11211` | the same by TLS, with the feature `tls` |
/// | `memcached+unix:///run/memcached.sock` | a Unix socket |
///
/// Before the host, or the path of a Unix socket, may stand `user:password@`, [credentials](crate::Credentials) for a server
/// with ASCII authentication (`-Y`): `memcached://web:s3cret@cache1`, `memcached+unix://web:s3cret@/run/memcached.sock`.
/// In them `@`, `:`, `/`, `?`, `#` and `%` are percent-encoded (`%40` for an `@`), as are all bytes that do not print. They
/// are never shown: an error shows `***` in their place.
///
/// Options follow a `?`, separated by `&`:
///
/// | option | meaning |
/// |---|---|
/// | `weight=2` | how many keys it should have, compared with others; 1 to 1000, and 1 unless given. Not every [rule](crate::Selection) honours it. |
/// | `name=cache1` | its name in errors, and what its points on a ring are placed by in place of its address |
/// | `tls_name=cache.example` | the name that its certificate must have, in place of the host: see `Options::tls_server_name` |
/// | `timeout=250ms` | how long a call may take that asks it, in place of [`Options::timeout`](crate::Options::timeout): a whole number of `ms` or `s`, more than 0 and at most `3600s` |
/// | `connect_timeout=1s` | how long connecting to it may take, in place of [`Options::connect_timeout`](crate::Options::connect_timeout) |
/// | `connections=4` | how many connections to it there are at most: of the pool of a blocking client, in place of [`Options::pool_connections`](crate::Options::pool_connections), or shared by tasks, in place of [`Options::shared_connections`](crate::Options::shared_connections); 1 to 65535 |
///
/// ```
/// use memcached2_proto::routing::Address;
/// use memcached2_proto::Server;
///
/// let server: Server = "memcached://[::1]/".parse()?;
/// assert_eq!(server.address(), &Address::Tcp { host: "::1".into(), port: 11211 });
/// assert_eq!(server.name(), "[::1]:11211");
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    name: Arc<str>,
    /// Whether the name is other than the address.
    is_named: bool,
    options: ServerOptions,
    address: Address,
    is_tls: bool,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP. The host is a name, which is looked up at each connect, or an IP address without brackets.
    Tcp {
        /// Name or IP address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Server {
    /// The default port of memcached.
    pub const PORT: u16 = 11211;

    /// Its name in errors and reports: the `name` of its URI, else `host:port`, or the path of its socket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many keys it should have, compared with others.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.options.weight
    }

    /// Limits how long its items stay.
    pub(crate) fn set_max_ttl(&mut self, max_ttl: Duration) {
        self.options.max_ttl = Some(max_ttl);
    }

    /// The options after its address.
    pub(crate) fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// The name of its points on a ring: its name, if it has one, else its address, without the default port if that is
    /// to be left out. Other clients know an IPv6 address without the brackets that it is written in.
    pub(crate) fn point_name(&self, omit_port: bool) -> String {
        match &self.address {
            Address::Tcp { host, port: Self::PORT } if omit_port && !self.is_named => host.clone(),
            Address::Tcp { host, port } if !self.is_named => format!("{host}:{port}"),
            _ => self.name.to_string(),
        }
    }

    /// The same as Java writes a socket address since version 14: an IPv6 address in full, and in brackets.
    #[cfg(feature = "ketama")]
    pub(crate) fn java_name(&self) -> String {
        let Address::Tcp { host, port } = &self.address else { return self.name.to_string() };
        let (ip, zone) = host.split_at(host.find('%').unwrap_or(host.len()));
        match ip.parse::<Ipv6Addr>() {
            Ok(ip) if !self.is_named => match ip.to_ipv4_mapped() {
                Some(ip) => format!("{ip}:{port}"),
                None => format!("[{}{zone}]:{port}", ip.segments().map(|segment| format!("{segment:x}")).join(":")),
            },
            _ => self.name.to_string(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where it listens, as metrics and traces say it: the host or the path, and the port unless that is the default.
    #[cfg(any(feature = "metrics", feature = "opentelemetry", feature = "tracing"))]
    pub(crate) fn address_and_port(&self) -> (std::borrow::Cow<'_, str>, Option<u16>) {
        match &self.address {
            Address::Tcp { host, port } => (host.into(), (*port != Self::PORT).then_some(*port)),
            Address::Unix(path) => (path.to_string_lossy(), None),
        }
    }

    /// Whether it is connected to by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl From<Address> for Server {
    fn from(address: Address) -> Self {
        let name = Arc::from(address.to_string());
        Self { name, is_named: false, options: ServerOptions::default(), address, is_tls: false }
    }
}

/// As a person writes it: what is shown is parsed to the same server, but for its credentials, which are left out, and the limit that a
/// [gutter](crate::routing::Gutter) sets.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            tcp @ Address::Tcp { .. } if self.is_tls => write!(f, "{TLS}://{}", in_uri(tcp))?,
            tcp @ Address::Tcp { .. } => write!(f, "{tcp}")?,
            Address::Unix(path) => {
                write!(f, "{UNIX}://{}", percent_encode(path.as_os_str().as_encoded_bytes(), PATH))?;
            }
        }
        let name = self.is_named.then_some(&*self.name);
        self.options.write(name, f)
    }
}

/// An address as a URI has it, where the `%` before the zone of an IPv6 address is encoded (RFC 6874).
pub(crate) fn in_uri(address: &impl fmt::Display) -> String {
    address.to_string().replacen('%', "%25", 1)
}

/// What a path of a URI says in another way, or may not hold.
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"').add(b'<').add(b'>').add(b'`').add(b'\\');

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Server {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match parse(text.trim()) {
            Ok(server) => Ok(server),
            Err(problem) => Err(Error::Uri { uri: redacted(text).into(), problem }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;
    use crate::error::UriProblem;

    #[test]
    fn a_server_is_written_in_many_ways() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (text, address, name) in [
            ("cache1", tcp("cache1", 11211), "cache1:11211"),
            ("cache1:11212", tcp("cache1", 11212), "cache1:11212"),
            ("localhost", tcp("localhost", 11211), "localhost:11211"),
            ("127.0.0.1:11211", tcp("127.0.0.1", 11211), "127.0.0.1:11211"),
            (" my_host.example \n", tcp("my_host.example", 11211), "my_host.example:11211"),
            ("[::1]", tcp("::1", 11211), "[::1]:11211"),
            ("[2001:db8::1]:1234", tcp("2001:db8::1", 1234), "[2001:db8::1]:1234"),
            ("[fe80::1%eth0]", tcp("fe80::1%eth0", 11211), "[fe80::1%eth0]:11211"),
            ("[fe80::1%25]:1", tcp("fe80::1%25", 1), "[fe80::1%25]:1"),
            ("[fe80::1%251]:1", tcp("fe80::1%251", 1), "[fe80::1%251]:1"),
            ("[fe80::1%25eth0]:1", tcp("fe80::1%eth0", 1), "[fe80::1%eth0]:1"),
            ("memcached://[fe80::1%251]:1", tcp("fe80::1%1", 1), "[fe80::1%1]:1"),
            ("memcached://[fe80::1%2]:1", tcp("fe80::1%2", 1), "[fe80::1%2]:1"),
            ("memcached://[fe80::1%25eth0.1]:1/?weight=2", tcp("fe80::1%eth0.1", 1), "[fe80::1%eth0.1]:1"),
            ("memcached://cache1", tcp("cache1", 11211), "cache1:11211"),
            ("memcached://cache1/", tcp("cache1", 11211), "cache1:11211"),
            ("memcached://cache1:11211/", tcp("cache1", 11211), "cache1:11211"),
            ("memcached://[::1]:1/", tcp("::1", 1), "[::1]:1"),
            ("memcached+unix:///run/m.sock", Address::Unix("/run/m.sock".into()), "/run/m.sock"),
            ("memcached+unix:///run/a%20b", Address::Unix("/run/a b".into()), "/run/a b"),
            ("memcached+unix:///run/[a%20b]", Address::Unix("/run/[a b]".into()), "/run/[a b]"),
        ] {
            let server: Server = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((server.address(), server.name()), (&address, name), "{text}");
        }
    }

    #[test]
    fn the_display_of_a_server_is_parsed_to_the_same_server() {
        for text in [
            "cache1:11212",
            "[2001:db8::1]:1234",
            "[fe80::1%eth0]:1234",
            "[fe80::1%25]:1234?weight=2",
            "memcached://[fe80::1%2525]",
            #[cfg(feature = "tls")]
            "memcacheds://[fe80::1%25251]",
            "memcached+unix:///run/m.sock",
            "memcached+unix:///run/a%20b%23%3F%25%FF",
            "cache1:11211?weight=2&name=a%26b%23%2B&timeout=250ms&connect_timeout=2s&connections=4",
            "memcached+unix:///run/m.sock?weight=3",
        ] {
            let server: Server = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            let shown = server.to_string();
            assert_eq!(shown.parse(), Ok(server), "{text} is shown as {shown}");
        }
        let server: Server = "cache1".parse().unwrap();
        assert_eq!(server.to_string(), "cache1:11211");
    }

    #[test]
    fn credentials_stand_before_the_host_and_are_not_shown() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (text, address) in [
            ("web:s3cret@cache1", tcp("cache1", 11211)),
            #[cfg(feature = "tls")]
            ("memcacheds://web:s3cret@cache1/", tcp("cache1", 11211)),
            ("web:s3cret@cache1:11212?weight=2", tcp("cache1", 11212)),
            ("memcached://web:s3cret@10.0.0.1/", tcp("10.0.0.1", 11211)),
            ("memcached://%77eb:s3cre%74@[::1]:1/", tcp("::1", 1)),
            ("web:s3cret@[fe80::1%eth0]", tcp("fe80::1%eth0", 11211)),
            ("memcached+unix://web:s3cret@/run/m.sock?weight=3", Address::Unix("/run/m.sock".into())),
        ] {
            let server: Server = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(server.address(), &address, "{text}");
            assert_eq!(server.options.credentials, Credentials::new("web", "s3cret").ok(), "{text}");
            for shown in [format!("{server:?}"), server.to_string(), server.name().into(), server.point_name(false)] {
                assert!(!shown.contains("web") && !shown.contains("s3cret"), "{shown}");
            }
            let shown: Server = server.to_string().parse().unwrap();
            assert_eq!(
                (shown.address(), shown.weight(), &shown.options.credentials),
                (&address, server.weight(), &None)
            );
        }
    }

    #[test]
    fn a_blank_in_a_password_is_encoded_as_its_error_says() {
        let error = "web:s3 cret@cache1".parse::<Server>().unwrap_err().to_string();
        assert!(error.contains("%20 for a blank in a password"), "{error}");
        let server: Server = "web:s3%20cret@cache1".parse().unwrap();
        assert_eq!(server.options.credentials, Credentials::new("web", "s3 cret").ok());
    }

    #[test]
    fn an_error_about_a_text_does_not_show_its_credentials() {
        use crate::error::CredentialsProblem::{NoPassword, NoUser, NotEncoded, User};
        for (text, shown, problem) in [
            ("web@cache1", "***@cache1", UriProblem::Credentials(NoPassword)),
            ("memcached://@cache1", "memcached://***@cache1", UriProblem::Credentials(NoUser)),
            ("memcached://web:s3@cret@cache1", "memcached://***@cache1", UriProblem::Credentials(NotEncoded)),
            ("memcached://web:s3cret%@cache1", "memcached://***@cache1", UriProblem::Credentials(NotEncoded)),
            ("memcached://w%3Ab:s3cret@cache1", "memcached://***@cache1", UriProblem::Credentials(User)),
            ("memcached://web:s3cret@cache1:0", "memcached://***@cache1:0", UriProblem::Port),
            ("memcached://web:s3cret@", "memcached://***@", UriProblem::NoHost),
            ("memcached+unix://web:s3cret@host/path", "memcached+unix://***@host/path", UriProblem::SocketPath),
            ("memcached://web:s3/cret@cache1", "memcached://***@cache1", UriProblem::Port),
            ("web:s3://cret@cache1", "***@cache1", UriProblem::Credentials(NoPassword)),
            ("memcached://web:s3 cret@cache1", "memcached://***@cache1", UriProblem::Blank),
            ("http://web:s3cret@cache1", "http://***@cache1", UriProblem::Scheme),
            ("web:s3cret@cache1,web:s3cret@cache2", "***@cache2", UriProblem::List),
        ] {
            let error = text.parse::<Server>().unwrap_err();
            assert!(!format!("{error:?} {error}").contains("s3"), "{error}");
            assert!(
                matches!(&error, Error::Uri { uri, problem: is } if **uri == *shown && *is == problem),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_server_has_a_weight_and_a_name() {
        for (text, name, weight, point, point_with_port) in [
            ("cache1", "cache1:11211", 1, "cache1", "cache1:11211"),
            ("cache1:11212?weight=2", "cache1:11212", 2, "cache1:11212", "cache1:11212"),
            ("memcached://cache1/?name=a&weight=1000", "a", 1000, "a", "a"),
            ("10.0.0.1?name=10.0.0.9:11211", "10.0.0.9:11211", 1, "10.0.0.9:11211", "10.0.0.9:11211"),
            ("[::1]?weight=7", "[::1]:11211", 7, "::1", "::1:11211"),
            ("[::1]:11212", "[::1]:11212", 1, "::1:11212", "::1:11212"),
            ("[::1]?name=[::1]:11211", "[::1]:11211", 1, "[::1]:11211", "[::1]:11211"),
            ("memcached+unix:///run/m.sock?weight=3", "/run/m.sock", 3, "/run/m.sock", "/run/m.sock"),
        ] {
            let server: Server = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((server.name(), server.weight()), (name, weight), "{text}");
            assert_eq!((server.point_name(true), server.point_name(false)), (point.into(), point_with_port.into()));
        }
    }

    /// As `new InetSocketAddress(host, port).toString()` of Java 17 says it, without the slash before it.
    #[test]
    #[cfg(feature = "ketama")]
    fn java_writes_ipv6_addresses_in_full() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1:11211"),
            ("[::1]:11212", "[0:0:0:0:0:0:0:1]:11212"),
            ("[2001:DB8::a:0:1]", "[2001:db8:0:0:0:a:0:1]:11211"),
            ("[fe80::1%eth0]", "[fe80:0:0:0:0:0:0:1%eth0]:11211"),
            ("[::ffff:10.0.0.1]", "10.0.0.1:11211"),
            ("[::1]?name=a", "a"),
            ("10.0.0.1?name=cache1/10.0.0.1:11211", "cache1/10.0.0.1:11211"),
            ("memcached+unix:///run/m.sock", "/run/m.sock"),
        ] {
            let server: Server = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(server.java_name(), expected, "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        for (text, expected) in [
            ("", UriProblem::NoHost),
            ("memcached://", UriProblem::NoHost),
            ("memcached://:11211", UriProblem::NoHost),
            (":11211", UriProblem::NoHost),
            ("http://cache1/", UriProblem::Scheme),
            ("redis://cache1", UriProblem::Scheme),
            ("::1", UriProblem::Brackets),
            ("[fe80::1%]", UriProblem::Host),
            ("[fe80::1%a/b]", UriProblem::Host),
            ("::1:11211", UriProblem::Brackets),
            ("cache1:0", UriProblem::Port),
            ("cache1:65536", UriProblem::Port),
            ("cache1:http", UriProblem::Port),
            ("[::g]", UriProblem::Host),
            ("two words", UriProblem::Blank),
            ("cache1\ncache2", UriProblem::Blank),
            ("c\tache1", UriProblem::Blank),
            ("memcached\r://cache1", UriProblem::Blank),
            ("memcached+unix:///run/a b", UriProblem::Blank),
            ("cache1,cache2", UriProblem::List),
            ("cache1:11211,cache2:11211", UriProblem::List),
            ("cache1:11211:2", UriProblem::BehindPort),
            ("2001:db8::1", UriProblem::Brackets),
            ("k\u{e4}se", UriProblem::Host),
            ("cache1/path", UriProblem::Path),
            ("memcached+unix://", UriProblem::SocketPath),
            ("memcached+unix:///", UriProblem::SocketPath),
            ("memcached+unix://host/path", UriProblem::SocketPath),
            ("memcached+unix:run/://m.sock", UriProblem::SocketPath),
            ("memcached+unix:///a%00b", UriProblem::SocketPath),
            ("memcached://cache1?wait=2", UriProblem::Option),
            ("cache1?weight=2&weight=2", UriProblem::Twice),
            ("cache1?weight=", UriProblem::Weight),
            ("cache1?weight=0", UriProblem::Weight),
            ("cache1?weight=1001", UriProblem::Weight),
            ("cache1?weight=+1", UriProblem::Weight),
            ("cache1?weight=1.5", UriProblem::Weight),
            ("cache1?timeout=", UriProblem::Timeout),
            ("cache1?timeout=250", UriProblem::Timeout),
            ("cache1?timeout=0s", UriProblem::Timeout),
            ("cache1?timeout=3601s", UriProblem::Timeout),
            ("cache1?timeout=1.5s", UriProblem::Timeout),
            ("cache1?timeout=-1s", UriProblem::Timeout),
            ("cache1?connect_timeout=2m", UriProblem::Timeout),
            ("cache1?connections=0", UriProblem::Connections),
            ("cache1?connections=65536", UriProblem::Connections),
            ("cache1?connections=many", UriProblem::Connections),
            ("cache1?name=", UriProblem::Name),
            ("cache1?name=two%20words", UriProblem::Name),
            ("memcached://cache1#x", UriProblem::Fragment),
        ] {
            match text.parse::<Server>() {
                Err(Error::Uri { uri, problem, .. }) => assert_eq!((&*uri, problem), (text, expected)),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
