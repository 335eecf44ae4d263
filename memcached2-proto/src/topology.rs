//! Service discovery: lists of servers that change, from DNS or from the configuration endpoint of a cluster.
//!
//! For users whose servers come and go: `client.follow_servers(..)` asks a [`ServerSource`] once in every period. If you have the list
//! from elsewhere, call `client.set_servers(..)` when it changes.

mod srv;

use std::net::SocketAddr;
use std::str::FromStr;

#[doc(hidden)]
pub use self::srv::{NAME_SERVERS_FILE, SrvAsk, SrvLookup, SrvQuestion, SrvRecord, name_servers};
use crate::command::{ClusterConfig, Node};
use crate::error::Error;
use crate::uri::{Address, Server, in_uri, is_host};

/// Where the list of servers comes from.
///
/// ```
/// use memcached2_proto::topology::ServerSource;
///
/// // The configuration endpoint of a cluster on Amazon ElastiCache, or of Memorystore.
/// let nodes = ServerSource::cluster("cache.cfg.use1.cache.amazonaws.com:11211")?;
/// // Every address of a name, such as that of a headless service of Kubernetes.
/// let pods = ServerSource::dns("memcached.default.svc.cluster.local:11211")?;
/// // As a line of a configuration.
/// let pods: ServerSource = "dns+memcached.default.svc.cluster.local:11211".parse()?;
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerSource {
    kind: Kind,
    server: Server,
    /// The number of the newest list that a client has taken.
    version: Option<u64>,
    /// That of the list that was returned last.
    offered: Option<u64>,
    /// Who is asked for SRV records; those of the system if there are none.
    #[cfg(feature = "srv")]
    name_servers: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cluster,
    Dns,
    #[cfg(feature = "srv")]
    Srv,
}

/// What a transport asks for a new list, and reports to the [source](ServerSource).
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `config get cluster`, of this server. Next: [`ServerSource::on_config`].
    Cluster(String),
    /// The addresses of this name. Next: [`ServerSource::on_addresses`].
    Addresses(String, u16),
    /// The SRV records of a name. Next: [`ServerSource::on_records`].
    Records(SrvQuestion),
}

impl ServerSource {
    /// The nodes that a server of a cluster names: `config get cluster`, of Amazon ElastiCache and Google Memorystore.
    ///
    /// `endpoint` is written as a [`Server`]: `memcacheds://` also stands for the nodes, each of which needs a certificate for its own
    /// name. Credentials for all of them are an option of the client. A node keeps its keys when its address changes, because its
    /// name on a ring is its host name. Of two lists the one with the higher number counts, so a node that has not heard of the last
    /// change does no harm.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] if the text is no address of a server. [`Error::Argument`] if there are credentials in it.
    pub fn cluster(endpoint: &str) -> Result<Self, Error> {
        Self::new(Kind::Cluster, endpoint)
    }

    /// Every address that a name has, as a server of its own: `name:port`, the port is 11211 unless given.
    ///
    /// A server is known by its address, so one that gets another address also gets other keys.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] if the text is no address of a server. [`Error::Argument`] if it is a Unix socket, or there are credentials in it.
    pub fn dns(name: &str) -> Result<Self, Error> {
        let source = Self::new(Kind::Dns, name)?;
        match source.server.address() {
            Address::Tcp { .. } => Ok(source),
            Address::Unix(_) => Err(Error::argument("a Unix socket has no addresses to look up")),
        }
    }

    /// The servers that the SRV records of a name list, each with its host, port and weight: `_memcached._tcp.cache.example`, say.
    ///
    /// Only those of the lowest priority are servers. A weight counts by the rules that honour
    /// [weights](crate::Selection); 0 is the smallest. A server is known by its host and port, so it keeps its keys when its address changes.
    /// `memcacheds://` before the name stands for all servers.
    ///
    /// It asks the name servers of `/etc/resolv.conf`, by UDP, and by TCP if the answer is long; 3 seconds each, and all of them twice.
    /// A name server with a zone, such as `fe80::1%eth0`, is asked through that interface. On a system without this file give it
    /// [`name_servers`](Self::name_servers). The name is asked for as it is: no search domain is appended.
    ///
    /// ```
    /// use memcached2_proto::topology::ServerSource;
    ///
    /// let source = ServerSource::srv("_memcached._tcp.memcached.default.svc.cluster.local")?;
    /// // The same, in the words of Thanos and others.
    /// let source: ServerSource = "dnssrv+_memcached._tcp.memcached.default.svc.cluster.local".parse()?;
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] or [`Error::Argument`] if the text is no name. [`Error::Argument`] if there is a port: those are in the records; or
    /// if there are credentials.
    #[cfg(feature = "srv")]
    pub fn srv(name: &str) -> Result<Self, Error> {
        let source = Self::new(Kind::Srv, name)?;
        let has_port = name.rsplit(':').next().is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        match source.server.address() {
            Address::Tcp { host, .. } if !has_port && srv::is_name(host) => Ok(source),
            _ => Err(Error::argument("the source of SRV records is a name, without a port")),
        }
    }

    /// Sets which name servers are asked for SRV records, in this order. They are those of the system unless set.
    #[cfg(feature = "srv")]
    #[must_use]
    pub fn name_servers(mut self, name_servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.name_servers = name_servers.into_iter().collect();
        self
    }

    fn new(kind: Kind, text: &str) -> Result<Self, Error> {
        let server: Server = text.parse()?;
        if server.options().credentials.is_some() {
            return Err(Error::argument(
                "credentials in the text of a source would be sent to none of its servers; set them by the option \
                 `credentials`, for all servers",
            ));
        }
        Ok(Self {
            kind,
            server,
            version: None,
            offered: None,
            #[cfg(feature = "srv")]
            name_servers: Vec::new(),
        })
    }

    /// What to ask.
    #[doc(hidden)]
    #[must_use]
    pub fn question(&self) -> Question {
        match (self.kind, self.server.address()) {
            (Kind::Dns, Address::Tcp { host, port }) => Question::Addresses(host.clone(), *port),
            #[cfg(feature = "srv")]
            (Kind::Srv, Address::Tcp { host, .. }) => {
                Question::Records(SrvQuestion { name: host.clone(), name_servers: self.name_servers.clone() })
            }
            _ => Question::Cluster(self.server.to_string()),
        }
    }

    /// Takes what a cluster has answered. Returns the servers, if the list is newer than the last one that was [taken](Self::on_taken).
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] if the cluster names no nodes, or one whose name is no host.
    #[doc(hidden)]
    pub fn on_config(&mut self, config: Option<ClusterConfig>) -> Result<Option<Vec<String>>, Error> {
        let config = config.filter(|config| !config.nodes.is_empty());
        let config = config.ok_or_else(|| Error::protocol("the cluster names no nodes"))?;
        if self.version.is_some_and(|newest| config.version <= newest) {
            return Ok(None);
        }
        // Anything else would be read as options of the server.
        if let Some(wrong) = config.nodes.iter().find(|node| !is_host(&node.host)) {
            let shown: String = wrong.host.chars().take(64).collect();
            return Err(Error::protocol(format!("the cluster names the node {shown:?}, which is no host")));
        }
        self.offered = Some(config.version);
        Ok(Some(config.nodes.iter().map(|node| self.text(node)).collect()))
    }

    /// Notes that a client uses the servers that were returned last. Until then the same list is returned again.
    #[doc(hidden)]
    pub fn on_taken(&mut self) {
        self.version = self.offered.take().or(self.version);
    }

    /// Takes the addresses of the name. Returns the servers, if there are any.
    #[doc(hidden)]
    #[must_use]
    pub fn on_addresses(&self, addresses: &[SocketAddr]) -> Option<Vec<String>> {
        // The order of an answer says nothing, and must not move keys.
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        let text = |address: &SocketAddr| match (self.server.is_tls(), self.server.address()) {
            (true, Address::Tcp { host, .. }) => {
                // A zone says which way an address is, and no certificate has one.
                let tls_name = host.split('%').next().unwrap_or_default();
                format!("memcacheds://{}?tls_name={tls_name}", in_uri(address))
            }
            _ => address.to_string(),
        };
        (!addresses.is_empty()).then(|| addresses.iter().map(text).collect())
    }

    /// Takes the SRV records of the name. Returns the servers, if there are any.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] if a record names no host.
    #[doc(hidden)]
    pub fn on_records(&self, records: &[SrvRecord]) -> Result<Option<Vec<String>>, Error> {
        srv::servers(records, self.scheme())
    }

    fn scheme(&self) -> &'static str {
        if self.server.is_tls() { "memcacheds" } else { "memcached" }
    }

    /// A node, as a server is written.
    fn text(&self, node: &Node) -> String {
        let (host, port, scheme) = (&node.host, node.port, self.scheme());
        match node.ip {
            None => format!("{scheme}://{}", Address::Tcp { host: host.clone(), port }),
            Some(ip) => {
                let tls_name = if self.server.is_tls() { format!("&tls_name={host}") } else { String::new() };
                format!("{scheme}://{}?name={host}:{port}{tls_name}", SocketAddr::new(ip, port))
            }
        }
    }
}

/// `dns+name:port`, and with the feature `srv` `dnssrv+name` and `dnssrvnoa+name`, which here mean the same. Else it is the endpoint of
/// a cluster.
impl FromStr for ServerSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let srv = text.strip_prefix("dnssrv+").or_else(|| text.strip_prefix("dnssrvnoa+"));
        match (text.strip_prefix("dns+"), srv) {
            (Some(name), _) => Self::dns(name),
            #[cfg(feature = "srv")]
            (None, Some(name)) => Self::srv(name),
            #[cfg(not(feature = "srv"))]
            (None, Some(_)) => Err(Error::argument("SRV records need the feature `srv`")),
            (None, None) => Self::cluster(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn config(version: u64, nodes: &str) -> Option<ClusterConfig> {
        Some(ClusterConfig::parse(format!("{version}\n{nodes}\n").as_bytes()).unwrap())
    }

    #[test]
    fn of_two_lists_the_one_with_the_higher_number_counts() {
        let mut source = ServerSource::cluster("cfg.example").unwrap();
        assert_eq!(source.question(), Question::Cluster("cfg.example:11211".into()));
        let first = source.on_config(config(2, "a.example|10.0.0.1|11211 b.example||11212")).unwrap().unwrap();
        assert_eq!(first, ["memcached://10.0.0.1:11211?name=a.example:11211", "memcached://b.example:11212"]);
        assert_eq!(first[0].parse::<Server>().unwrap().name(), "a.example:11211");
        // A node may be known by its address alone.
        let nodes = source.on_config(config(2, "2001:db8::1||11211 2001:db8::2|2001:db8::2|11211")).unwrap().unwrap();
        let names = nodes.iter().map(|node| node.parse::<Server>().map(|server| server.name().to_owned()));
        assert_eq!(names.collect::<Vec<_>>(), ["[2001:db8::1]:11211", "2001:db8::2:11211"].map(|name| Ok(name.into())));
        // No client has taken it.
        assert_eq!(source.on_config(config(2, "a.example||1")).unwrap().unwrap(), ["memcached://a.example:1"]);
        source.on_taken();
        source.on_taken();
        assert_eq!(source.on_config(config(1, "old.example||1")), Ok(None));
        assert_eq!(source.on_config(config(2, "a.example||1")), Ok(None));
        for empty in [None, config(3, "")] {
            assert!(matches!(source.on_config(empty), Err(Error::Protocol { .. })));
        }
        assert_eq!(source.on_config(config(3, "x||1")).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn a_cluster_adds_no_options_to_its_nodes() {
        let mut source = ServerSource::cluster("cfg.example").unwrap();
        for host in
            ["a?timeout=1ms", "a&timeout=1ms", "a&connections=65535", "a%26", "u:p@b", "a/b", "a#b", "[x]", "\u{1b}[2J"]
        {
            for ip in ["", "10.0.0.1"] {
                let error = source.on_config(config(7, &format!("{host}|{ip}|11211"))).unwrap_err();
                assert!(matches!(error, Error::Protocol { .. }), "{host}: {error}");
                assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
            }
        }
        // The number of a list that was refused says nothing of the next one.
        assert_eq!(source.on_config(config(7, "a.example||1")).unwrap().unwrap(), ["memcached://a.example:1"]);
    }

    #[test]
    fn each_address_of_a_name_is_a_server_in_an_order_of_its_own() {
        let source = ServerSource::dns("cache.example:11212").unwrap();
        assert_eq!(source.question(), Question::Addresses("cache.example".into(), 11212));
        let found = ["10.0.0.2:11212", "[::1]:11212", "10.0.0.1:11212", "10.0.0.2:11212"];
        let found = found.map(|address| address.parse().unwrap());
        let servers = source.on_addresses(&found).unwrap();
        assert_eq!(servers, ["10.0.0.1:11212", "10.0.0.2:11212", "[::1]:11212"]);
        // The numbers of interfaces are zones, also those that begin as an encoded `%` does.
        for zone in [2, 25, 251] {
            let found = SocketAddrV6::new("fe80::1".parse().unwrap(), 11212, 0, zone);
            let servers = source.on_addresses(&[found.into()]).unwrap();
            let Address::Tcp { host, .. } = servers[0].parse::<Server>().unwrap().address().clone() else { panic!() };
            assert_eq!(host, format!("fe80::1%{zone}"));
        }
        assert_eq!(source.on_addresses(&[]), None);
    }

    #[test]
    fn a_source_has_no_credentials_of_its_own() {
        for text in ["web:s3cret@cfg.example", "memcached://web:s3cret@cfg.example", "dns+web:s3cret@cache.example"] {
            let error = text.parse::<ServerSource>().unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{error:?}");
            assert!(error.to_string().contains("`credentials`") && !error.to_string().contains("s3cret"), "{error}");
        }
        assert!(matches!(ServerSource::dns("memcached+unix:///run/m.sock"), Err(Error::Argument { .. })));
    }

    #[test]
    fn a_source_is_a_line_of_a_configuration() {
        let question = |text: &str| text.parse::<ServerSource>().map(|source| source.question());
        assert_eq!(question("dns+cache.example"), Ok(Question::Addresses("cache.example".into(), 11211)));
        assert_eq!(question("cfg.example"), Ok(Question::Cluster("cfg.example:11211".into())));
        for text in ["dnssrv+_memcached._tcp.cache.example", "dnssrvnoa+_memcached._tcp.cache.example"] {
            let name = "_memcached._tcp.cache.example".to_owned();
            match cfg!(feature = "srv") {
                true => assert_eq!(question(text), Ok(Question::Records(SrvQuestion { name, name_servers: vec![] }))),
                false => assert!(matches!(question(text), Err(Error::Argument { .. }))),
            }
        }
    }

    #[cfg(feature = "srv")]
    #[test]
    fn a_source_of_records_is_a_name_without_a_port() {
        for wrong in ["cache.example:11211", "[::1]", "unix:///run/m.sock", &"x".repeat(64), ""] {
            let error = ServerSource::srv(wrong).unwrap_err();
            assert!(matches!(error, Error::Argument { .. } | Error::Uri { .. }), "{wrong}: {error}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn servers_of_a_source_with_tls_have_certificates_for_its_names() {
        let mut tls = ServerSource::cluster("memcacheds://cfg.example").unwrap();
        let servers = tls.on_config(config(1, "a.example|fe80::1|11211")).unwrap().unwrap();
        assert_eq!(servers, ["memcacheds://[fe80::1]:11211?name=a.example:11211&tls_name=a.example"]);
        assert!(servers[0].parse::<Server>().is_ok_and(|server| server.is_tls()));
        let found: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 11212, 0, 25).into();
        let zoned = ServerSource::dns("memcacheds://[fe80::1%25eth0]").unwrap().on_addresses(&[found]).unwrap();
        assert_eq!(zoned, ["memcacheds://[fe80::1%2525]:11212?tls_name=fe80::1"]);
        assert_eq!(zoned[0].parse::<Server>().unwrap().name(), "[fe80::1%25]:11212");
        let tls = ServerSource::dns("memcacheds://cache.example").unwrap();
        assert_eq!(
            tls.on_addresses(&["10.0.0.1:11212".parse().unwrap()]).unwrap(),
            ["memcacheds://10.0.0.1:11212?tls_name=cache.example"]
        );
    }
}
