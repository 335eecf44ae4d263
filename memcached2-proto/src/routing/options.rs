//! What a router is made with.

use std::sync::Arc;

use super::{Gutter, Journal, ReconnectPolicy, Replicas, Selection};
use crate::incidents::Incidents;
use crate::observer::Observer;

/// How a router behaves: what of the options of a client concerns it. [`Router::with_options`](crate::Router::with_options)
/// also takes an [`&Options`](crate::Options).
///
/// ```
/// use memcached2_proto::routing::RouterOptions;
/// use memcached2_proto::{Router, Selection};
///
/// let mut options = RouterOptions::default();
/// options.selection = Selection::Ketama;
/// options.failover = false;
/// let router = Router::with_options(["cache1", "cache2"], options)?;
/// # assert_eq!(router.servers().len(), 2);
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    /// The rule by which keys find their servers.
    pub selection: Selection,
    /// When a server that is down is asked again.
    pub reconnect: ReconnectPolicy,
    /// How many times in a row a server must fail before it counts as down; once unless changed.
    pub failures: u32,
    /// Whether the keys of a server that is down go to others; they do unless changed.
    pub failover: bool,
    /// The servers that stand in for those that are down; none unless set. Then `failover` is not asked.
    pub gutter: Option<Gutter>,
    /// The replicas besides the servers of the router; none unless set. With replicas `failover` is not asked.
    pub replicas: Replicas,
    /// What is written before every key; nothing unless set. If it is longer than 249 bytes or contains a blank or control byte,
    /// there is no router, but [`Error::Key`](crate::Error::Key).
    pub prefix: Option<Arc<[u8]>>,
    /// Whether the prefix counts when the server of a key is chosen. `true` by default.
    pub route_by_prefix: bool,
    /// The observer of every request; none by default.
    pub observer: Option<Arc<dyn Observer>>,
    /// The keys of writes that have failed, until they are deleted on their servers; none by default.
    pub journal: Option<Arc<Journal>>,
    pub(crate) incidents: Incidents,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            selection: Selection::Default,
            reconnect: ReconnectPolicy::default(),
            failures: 1,
            failover: true,
            gutter: None,
            replicas: Replicas::default(),
            prefix: None,
            route_by_prefix: true,
            observer: None,
            journal: None,
            incidents: Incidents::default(),
        }
    }
}
