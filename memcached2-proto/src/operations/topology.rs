//! The methods that follow a list of servers.

/// Expands the methods of `Client` that follow a list of servers. The client has `beside`, a client of other servers; `addresses` of a
/// name; and `pause`, which returns whether the client is still open after a time.
#[doc(hidden)]
#[macro_export]
macro_rules! topology {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        impl Client {
            /// Asks `source` for the list of servers once, and uses it from now on: see [`Client::set_servers`]. Returns what has
            /// changed; nothing, if the list is older than the last one.
            ///
            /// # Errors
            ///
            /// Those of the call to the source; the last list stays. Those of [`Client::set_servers`].
            pub $($async)* fn refresh_servers(
                &self,
                source: &mut $crate::topology::ServerSource,
            ) -> Result<$crate::routing::ServerListChange, $crate::Error> {
                let servers = match source.question() {
                    $crate::topology::Question::Addresses(host, port) => {
                        source.on_addresses(&self.addresses(host, port)$($await)*?)
                    }
                    $crate::topology::Question::Cluster(endpoint) => {
                        let asker = self.beside(&endpoint)?;
                        let config = $crate::command::ConfigGetCluster::new();
                        let config = asker.run($crate::operation::AllServers(config))$($await)*?.into_result()?;
                        source.on_config(config.into_iter().next().flatten())?
                    }
                };
                servers.map_or_else(|| Ok(Default::default()), |servers| self.set_servers(servers))
            }

            /// Asks `source` for the list of servers once in every `period`, until the client is closed. `on_refresh` gets what
            /// has changed, or why there is no new list, each time.
            ///
            $(#[$example])*
            pub $($async)* fn follow_servers(
                &self,
                mut source: $crate::topology::ServerSource,
                period: std::time::Duration,
                mut on_refresh: impl FnMut(Result<$crate::routing::ServerListChange, $crate::Error>),
            ) {
                while self.pause(std::time::Duration::ZERO)$($await)* {
                    match self.refresh_servers(&mut source)$($await)* {
                        // It was closed meanwhile.
                        Err($crate::Error::Closed { .. }) => return,
                        refreshed => on_refresh(refreshed),
                    }
                    self.pause(period)$($await)*;
                }
            }
        }
    };
}
