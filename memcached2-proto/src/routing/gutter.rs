//! A second set of servers, for the keys of servers that are down.

use std::sync::Arc;
use std::time::Duration;

use super::{Group, Router, Selection, ServerId, parse_servers};
use crate::error::Error;
use crate::key::Key;
use crate::time::Instant;
use crate::uri::Server;

/// Servers that stand in for those that are down, each item for a limited time: see
/// [`Options::gutter`](crate::Options::gutter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gutter {
    servers: Arc<[String]>,
    max_ttl: Duration,
}

impl Gutter {
    /// A gutter of these servers, whose items stay for `max_ttl` at most: whole seconds, rounded down, and one at least.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>, max_ttl: Duration) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            max_ttl: Duration::from_secs(max_ttl.as_secs().max(1)),
        }
    }

    /// How long an item stays at most.
    #[must_use]
    pub fn max_ttl(&self) -> Duration {
        self.max_ttl
    }
}

impl Gutter {
    /// Appends its servers to those that there are.
    pub(super) fn group(&self, servers: &mut Vec<Server>, selection: &Selection) -> Result<Group, Error> {
        let first = servers.len();
        parse_servers(&*self.servers, servers)?;
        for server in &mut servers[first..] {
            server.set_max_ttl(self.max_ttl);
        }
        Ok(Group::new(first, servers, selection))
    }
}

impl Router {
    /// Whether a server belongs to the [gutter](Gutter).
    #[must_use]
    pub fn is_in_gutter(&self, server: ServerId) -> bool {
        self.gutter.as_ref().is_some_and(|gutter| gutter.places().contains(&server.index()))
    }

    /// The server of the gutter for a key, if one can be asked.
    pub(crate) fn route_in_gutter(&self, key: Key<'_>, now: Instant) -> Option<ServerId> {
        let gutter = self.gutter.as_ref()?;
        self.choose_in(gutter, key, &|place| self.health.may_try(place, now)).ok()
    }

    /// The server of a key while all are up if it can be asked, else one of the gutter.
    pub(super) fn route_or_gutter(
        &self,
        key: Key<'_>,
        gutter: &Group,
        is_up: &dyn Fn(usize) -> bool,
    ) -> Result<ServerId, Error> {
        let server = self.route(key)?;
        match is_up(server.index()) {
            true => Ok(server),
            false => self.choose_in(gutter, key, is_up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::RouterOptions;

    fn router(gutter: &[&str]) -> Result<Router, Error> {
        let gutter = Some(Gutter::new(gutter.iter().copied(), Duration::from_millis(10_900)));
        Router::with_options(["a", "b", "c"], RouterOptions { gutter, ..RouterOptions::default() })
    }

    #[test]
    fn a_key_goes_to_the_gutter_only_while_its_server_is_down() {
        let (router, alone) = (router(&["d", "e"]).unwrap(), Router::parse(["a", "b", "c"]).unwrap());
        let of_gutter = Router::parse(["d", "e"]).unwrap();
        let group = router.gutter.clone().unwrap();
        for key in (0..100).map(|at| format!("key{at}")) {
            let key = Key::new(&key).unwrap();
            let server = router.route(key).unwrap();
            assert_eq!(Ok(server), alone.route(key));
            assert_eq!(router.route_or_gutter(key, &group, &|_| true), Ok(server));
            // The rule is that of a client of the gutter's servers alone.
            let place = of_gutter.route(key).unwrap().index() + 3;
            let found = router.route_or_gutter(key, &group, &|at| at != server.index()).unwrap();
            assert_eq!((found.index(), router.is_in_gutter(found), router.is_in_gutter(server)), (place, true, false));
            // And the same one is next, if that of the gutter is down, too.
            let next = router.route_or_gutter(key, &group, &|at| at > 2 && at != place).unwrap();
            assert!(router.is_in_gutter(next) && next != found);
            assert_eq!(router.route_or_gutter(key, &group, &|_| false), Err(Error::no_servers()));
        }
    }

    #[test]
    fn servers_of_a_gutter_have_a_longest_time_to_live_and_are_no_others() {
        let servers = router(&["d"]).unwrap();
        let max_ttls: Vec<_> = servers.servers().iter().map(|server| server.options().max_ttl).collect();
        assert_eq!(max_ttls, [None, None, None, Some(Duration::from_secs(10))]);
        assert!(matches!(router(&["b"]), Err(Error::Uri { .. })));
        assert!(matches!(router(&["d:x"]), Err(Error::Uri { .. })));
        assert_eq!(Gutter::new(["d"], Duration::ZERO).max_ttl(), Duration::from_secs(1));
    }
}
