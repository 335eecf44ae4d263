//! A client in the making.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use crate::command::Protocol;
use crate::credentials::{Credentials, ProviderError};
use crate::error::Error;
use crate::incidents::Incidents;
use crate::observer::Observer;
use crate::options::{Options, options};
use crate::replaceable::Replaceable;
use crate::routing::{Journal, MigrationStage, ReconnectPolicy, Router, Selection, ServerListChange, WriteTo};
use crate::shared::{Spawner, TakesSpawner, Task};

/// A builder of a client: its servers and options.
///
/// `Client::builder()` of a transport returns one. Each method states its default.
#[derive(Debug, Clone)]
pub struct Builder<C> {
    servers: Vec<String>,
    options: Options,
    spawner: Option<Spawner>,
    make: Make<C>,
}

impl<C> Builder<C> {
    /// A builder that calls `make` with the router and the options: for `Client::builder()` of a transport.
    #[must_use]
    pub fn new(make: impl Fn(Router, &Options) -> C + Send + Sync + 'static) -> Self {
        Self::from_make(move |router, options, _| Ok(make(router, options)))
    }

    fn from_make(make: impl Fn(Router, &Options, Option<Spawner>) -> Result<C, Error> + Send + Sync + 'static) -> Self {
        Self { servers: Vec::new(), options: Options::default(), spawner: None, make: Make(Arc::new(make)) }
    }

    /// Adds a server; [`Server`](crate::Server) says how one is written. Without a server, calls fail with
    /// [`Error::NoServers`], and dumps and watches are empty.
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// Adds servers. The order may decide where keys go: give all clients the same list in the same order.
    #[must_use]
    pub fn servers(mut self, servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.servers.extend(servers.into_iter().map(Into::into));
        self
    }

    /// Sets all options at once.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Makes the client. It connects when it is used, so its servers may be down now.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`] for the first text that is no address of a server, whose credentials cannot be sent, or that names a server for
    /// the second time.
    /// [`Error::Key`] if the prefix is longer than 249 bytes or contains a blank or control byte. [`Error::Tls`] if a certificate
    /// is not usable, or no authority is trusted.
    /// [`Error::Argument`] if a replica has no server, there is no nearest one, or there are replicas and a migration.
    /// [`Error::NoRuntime`] if the client needs a [spawner](Builder::spawner) and has none.
    pub fn build(mut self) -> Result<C, Error> {
        self.options.incidents = Incidents::default();
        let router = Router::with_options(&self.servers, &self.options)?;
        self.options.check_tls(&router)?;
        (self.make.0)(router, &self.options, self.spawner)
    }
}

impl Options {
    /// Replaces the list of servers, and returns what has changed: for `Client::set_servers` of a transport. `with` is what calls use from
    /// then on, by a new router and what they have used until then, of which `router_of` is the router.
    ///
    /// What a near cache asks meanwhile may be of a server of either list. What it knows counts on, unless a key may have another server.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`] and of [`Replaceable::replace`]. Nothing has changed then.
    #[doc(hidden)]
    pub fn replace_servers<S>(
        &self,
        current: &Replaceable<S>,
        router_of: impl Fn(&S) -> &Router,
        servers: impl IntoIterator<Item = impl AsRef<str>>,
        with: impl FnOnce(&S, Router) -> S,
    ) -> Result<ServerListChange, Error> {
        let changing = self.incidents.begin();
        let mut is_same = true;
        let replaced = current.replace(|before| {
            let known = router_of(before);
            let router = known.for_servers(servers, self)?;
            self.check_tls(&router)?;
            is_same = router.servers() == known.servers();
            let change = known.change_to(&router);
            Ok((with(before, router), change))
        });
        if is_same {
            changing.cancel();
        }
        replaced
    }

    fn check_tls(&self, router: &Router) -> Result<(), Error> {
        #[cfg(feature = "tls")]
        if router.servers().iter().any(crate::uri::Server::is_tls) {
            self.tls.client_config()?;
        }
        let _ = router;
        Ok(())
    }
}

impl<C: TakesSpawner> Builder<C> {
    /// A builder that also gives `make` the spawner: for a transport that does not know its executor.
    #[must_use]
    pub fn with_spawner(
        make: impl Fn(Router, &Options, Option<Spawner>) -> Result<C, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::from_make(make)
    }

    /// Sets how the client starts the task of a connection, such as `|task| smol::spawn(task).detach()`. The executor must
    /// run the task to its end: a handle that cancels the task when it is dropped has to be detached. Default: async-std, if
    /// the crate of the client has that feature, else building the client fails.
    #[must_use]
    pub fn spawner(mut self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.spawner = Some(Spawner::new(spawn));
        self
    }
}

/// What makes a client of all that was set.
struct Make<C>(Arc<MakeFn<C>>);

type MakeFn<C> = dyn Fn(Router, &Options, Option<Spawner>) -> Result<C, Error> + Send + Sync;

impl<C> Clone for Make<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Debug for Make<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* fn $name:ident($self:ident $(, $value:ident: $type:ty)*) $body:block)*) => {
        impl<C> Builder<C> {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self $(, $value: $type)*) -> Self {
                    self.options = self.options.$name($($value),*);
                    self
                }
            )*
        }
    };
}

options!(methods);

#[cfg(all(test, feature = "near-cache"))]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_an_incident_if_a_key_may_have_another_server_after_it() {
        let options = Options::default();
        let servers = Replaceable::new(Router::with_options(["a", "b:1"], &options).unwrap());
        let replace = |list: &[&str]| {
            let before = options.incidents.count().unwrap();
            let replaced = options.replace_servers(&servers, |router| router, list, |_, router| router);
            (replaced, options.incidents.count().unwrap() - before)
        };
        let same = ServerListChange::default();
        assert_eq!(replace(&["a:11211", "b:1"]), (Ok(same.clone()), 0));
        assert!(matches!(replace(&["a", "b:port"]), (Err(Error::Uri { .. }), 0)));
        // A server is chosen by its place.
        assert_eq!(replace(&["b:1", "a"]), (Ok(same), 1));
        assert!(matches!(replace(&["b:1", "a?weight=2"]), (Ok(_), 1)));
        servers.close();
        assert_eq!(replace(&["a"]), (Err(Error::closed()), 0));
    }
}
