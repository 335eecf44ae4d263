//! What becomes of a list of servers.

use super::{Router, ServerId};
use crate::uri::Server;

/// How a list of servers differs from the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerListChange {
    /// The servers that are new, as they are written, without credentials.
    pub added: Vec<String>,
    /// The servers that are gone.
    pub removed: Vec<String>,
}

impl ServerListChange {
    /// Whether the same servers are in both lists; their order may differ.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl Router {
    /// The place of the same server, which has the same name, address and options, in this list.
    #[must_use]
    pub fn place_of(&self, server: &Server) -> Option<ServerId> {
        let place = self.servers.iter().position(|known| known == server)?;
        u32::try_from(place).ok().map(ServerId)
    }

    /// How the list of servers of `newer` differs from this one.
    #[must_use]
    pub fn change_to(&self, newer: &Self) -> ServerListChange {
        let only_in = |one: &Self, other: &Self| {
            let is_missing = |server: &&Server| other.place_of(server).is_none();
            one.servers.iter().filter(is_missing).map(ToString::to_string).collect()
        };
        ServerListChange { added: only_in(newer, self), removed: only_in(self, newer) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::error::Error;
    use crate::routing::{ReconnectPolicy, RouterOptions};
    use crate::time::{Instant, Now};

    #[test]
    fn what_is_known_of_a_server_stays_when_the_list_changes() {
        let wait = Duration::from_secs(60);
        let options = RouterOptions { reconnect: ReconnectPolicy::After(wait), ..RouterOptions::default() };
        let router = Router::with_options(["a", "b", "c?weight=2"], options.clone()).unwrap();
        let router = router.for_client(1, || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH));
        let (down, now) = (ServerId(1), Instant::ZERO);
        router.report_failure(down, &Error::closed(), None, (now, now));
        assert!(router.claim(down, now).is_none() && !router.all_up());

        let newer = router.for_servers(["c", "d", "b"], options.clone()).unwrap();
        let change = router.change_to(&newer);
        assert_eq!(change.added, ["c:11211", "d:11211"]);
        assert_eq!(change.removed, ["a:11211", "c:11211?weight=2"]);
        assert_eq!(newer.place_of(&router.servers()[1]), Some(ServerId(2)));
        assert!(newer.claim(ServerId(2), now).is_none() && newer.claim(ServerId(2), now + wait).is_some());
        assert_eq!([0, 1].map(|place| newer.claim(ServerId(place), now)), [Some(None); 2]);

        let without = newer.for_servers(["c", "d"], options).unwrap();
        assert!(without.all_up() && without.all_up_unobserved());
        assert!(newer.change_to(&newer).is_empty());
    }
}
