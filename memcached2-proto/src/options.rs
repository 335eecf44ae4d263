//! The options of a client, the same for all transports.

mod list;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::list::options;
use crate::command::Protocol;
use crate::connection::ConnectionOptions;
use crate::credentials::{Credentials, CredentialsSource, ProviderError};
use crate::incidents::Incidents;
use crate::limits::Limits;
use crate::observer::{Both, ObservedClient, Observer};
use crate::pool::PoolLimits;
use crate::routing::{Gutter, Journal, MigrationStage, ReconnectPolicy, Replicas, RouterOptions, Selection, WriteTo};
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;
use crate::uri::Server;

/// How a client behaves. Every option has a default that suits production; change what you must.
///
/// A client's `builder()` has the same methods. An `Options` is for programs that make several clients in the same way.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::Options;
///
/// let options = Options::default().timeout(Duration::from_millis(250)).prefix("shop:");
/// assert_eq!(options.connect_timeout, Duration::from_millis(500));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// See [`Options::timeout`].
    pub timeout: Duration,
    /// See [`Options::connect_timeout`].
    pub connect_timeout: Duration,
    /// See [`Options::prefix`].
    pub prefix: Option<Arc<[u8]>>,
    /// See [`Options::route_by_prefix`].
    pub route_by_prefix: bool,
    /// See [`Options::selection`].
    pub selection: Selection,
    /// See [`Options::reconnect`].
    pub reconnect: ReconnectPolicy,
    /// See [`Options::failures`].
    pub failures: u32,
    /// See [`Options::failover`].
    pub failover: bool,
    /// See [`Options::gutter`].
    pub gutter: Option<Gutter>,
    /// See [`Options::replica`], [`Options::write_to`], [`Options::nearest`], [`Options::read_next_on_miss`] and [`Options::migrate_to`].
    pub replicas: Replicas,
    /// See [`Options::observer`].
    pub observer: Option<Arc<dyn Observer>>,
    /// See [`Options::journal`].
    pub journal: Option<Arc<Journal>>,
    /// See [`Options::shared_connections`].
    pub shared_connections: usize,
    /// See [`Options::bulk_connections`].
    pub bulk_connections: usize,
    /// See [`Options::wait_at_limit`].
    pub wait_at_limit: bool,
    /// See [`Options::keepalive`].
    pub keepalive: Option<Duration>,
    /// See [`Options::max_age`].
    pub max_age: Option<Duration>,
    /// See [`Options::protocol`].
    pub protocol: Option<Protocol>,
    /// See [`Options::credentials`] and [`Options::credentials_provider`].
    pub credentials: Option<CredentialsSource>,
    /// How many connections the blocking client opens, and how long it keeps them.
    pub pool: PoolLimits,
    /// What is sent and what is accepted.
    pub limits: Limits,
    /// What has happened to the client that was built with them.
    pub(crate) incidents: Incidents,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsOptions,
}

impl Default for Options {
    fn default() -> Self {
        let RouterOptions {
            selection,
            reconnect,
            failures,
            failover,
            gutter,
            replicas,
            prefix,
            route_by_prefix,
            observer,
            journal,
            incidents,
        } = RouterOptions::default();
        let ConnectionOptions { limits, protocol, max_age, .. } = ConnectionOptions::default();
        Self {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            prefix,
            route_by_prefix,
            selection,
            reconnect,
            failures,
            failover,
            gutter,
            replicas,
            observer,
            journal,
            shared_connections: 1,
            bulk_connections: 1,
            wait_at_limit: true,
            keepalive: Some(Duration::from_secs(60)),
            max_age,
            protocol,
            credentials: None,
            pool: PoolLimits::default(),
            limits,
            incidents,
            #[cfg(feature = "tls")]
            tls: TlsOptions::default(),
        }
    }
}

impl From<&Options> for ConnectionOptions {
    fn from(options: &Options) -> Self {
        Self {
            prefix: options.prefix.clone(),
            limits: options.limits,
            protocol: options.protocol,
            // The same time is left to connect again.
            probe_timeout: options.connect_timeout.min(options.timeout) / 2,
            max_age: options.max_age,
            max_ttl: None,
        }
    }
}

impl From<&Options> for RouterOptions {
    fn from(options: &Options) -> Self {
        Self {
            selection: options.selection.clone(),
            reconnect: options.reconnect.clone(),
            failures: options.failures,
            failover: options.failover,
            gutter: options.gutter.clone(),
            replicas: options.replicas.clone(),
            prefix: options.prefix.clone(),
            route_by_prefix: options.route_by_prefix,
            observer: options.observer.clone(),
            journal: options.journal.clone(),
            incidents: options.incidents.clone(),
        }
    }
}

impl Options {
    /// The same options for a client of other servers, without those that these name: for a transport that asks a
    /// [source](crate::topology::ServerSource) of servers.
    #[must_use]
    pub fn of_other_servers(&self) -> Self {
        Self { gutter: None, replicas: Replicas::default(), ..self.clone() }
    }

    /// Tells the observer of a client about it, when it was made or has got another list of servers: for authors of a transport.
    pub fn announce<C: ObservedClient + 'static>(&self, client: &Arc<C>) {
        if let Some(observer) = &self.observer {
            let client: Arc<dyn ObservedClient> = Arc::<C>::clone(client);
            observer.on_client(&Arc::downgrade(&client));
        }
    }

    /// The options for one server, whose URI may set some of them; see [`Server`].
    #[must_use]
    pub fn towards(&self, server: &Server) -> Self {
        let (mut options, of_server) = (self.clone(), server.options());
        options.timeout = of_server.timeout.unwrap_or(self.timeout);
        options.connect_timeout = of_server.connect_timeout.unwrap_or(self.connect_timeout);
        options.shared_connections = of_server.connections.unwrap_or(self.shared_connections);
        options.credentials = of_server.credentials.clone().map(Into::into).or(options.credentials);
        options.pool.connections = of_server.connections.unwrap_or(self.pool.connections);
        options.keepalive = self.keepalive.map(whole_seconds);
        options
    }
}

/// A time that operating systems take for TCP keepalive: they refuse others, and no connection could be made.
fn whole_seconds(idle: Duration) -> Duration {
    /// The most that Linux takes: `MAX_TCP_KEEPIDLE`.
    const MOST: u64 = 32_767;
    Duration::from_secs(idle.as_secs().saturating_add(u64::from(idle.subsec_nanos() > 0)).clamp(1, MOST))
}

macro_rules! methods {
    ($($(#[$doc:meta])* fn $name:ident($self:ident $(, $value:ident: $type:ty)*) $body:block)*) => {
        impl Options {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut $self $(, $value: $type)*) -> Self {
                    $body
                    $self
                }
            )*
        }
    };
}

options!(methods);
