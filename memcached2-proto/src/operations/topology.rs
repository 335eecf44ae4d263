//! The methods that follow a list of servers.

/// Expands the methods of `Client` that follow a list of servers. The client has `beside`, a client of other servers; `addresses` and
/// `services` of a name; and `pause`, which waits for a time, or until the client is closed, and returns whether it is open, or why it cannot wait.
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
                    $crate::topology::Question::Records(question) => {
                        source.on_records(&self.services(question)$($await)*?)?
                    }
                    $crate::topology::Question::Cluster(endpoint) => {
                        let asker = self.beside(&endpoint)?;
                        let config = $crate::command::ConfigGetCluster::new();
                        let config = asker.run($crate::operation::AllServers(config))$($await)*?.into_result()?;
                        source.on_config(config.into_iter().next().flatten())?
                    }
                };
                let Some(servers) = servers else { return Ok(Default::default()) };
                let change = self.set_servers(servers)?;
                source.on_taken();
                Ok(change)
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
                let mut wait = std::time::Duration::ZERO;
                loop {
                    match self.pause(wait)$($await)* {
                        Ok(true) => {}
                        Ok(false) => return,
                        // There is no runtime.
                        Err(error) => return on_refresh(Err(error)),
                    }
                    match self.refresh_servers(&mut source)$($await)* {
                        // It was closed meanwhile.
                        Err($crate::Error::Closed { .. }) => return,
                        refreshed => on_refresh(refreshed),
                    }
                    wait = period;
                }
            }
        }
    };
}
