//! The methods whose answers go on, each on a connection of its own.

/// Expands the methods of `Client` and `OneServer` that return `Records`; a transport has `records_of`.
#[doc(hidden)]
#[macro_export]
macro_rules! streams {
    ([$($async:tt)*] [$($await:tt)*]) => {
        impl Client {
            /// The records of any [`StreamCommand`](memcached2_proto::stream::StreamCommand), of all servers, one server after the other.
            pub fn records<C: $crate::stream::StreamCommand>(&self, command: C) -> Records<C> {
                self.records_of(self.router().servers().to_vec(), command)
            }

            /// All items of all servers, without their values, one server after the other. [`Records::server`] says which one
            /// it is. See [`Metadump`](memcached2_proto::stream::Metadump) for what a server needs for it.
            pub fn metadump(&self) -> Records<$crate::stream::Metadump> {
                self.records($crate::stream::Metadump::all())
            }

            /// All keys of all servers, one server after the other. [`Records::server`] says which one it is. See
            /// [`Mgdump`](memcached2_proto::stream::Mgdump) for what a server needs for it.
            pub fn mgdump(&self) -> Records<$crate::stream::Mgdump> {
                self.records($crate::stream::Mgdump::all())
            }

            /// What happens in each server from now on: one stream for each, in the order of the servers. See
            /// [`Watch`](memcached2_proto::stream::Watch).
            pub fn watch(
                &self,
                watchers: impl IntoIterator<Item = $crate::stream::Watcher>,
            ) -> Vec<Records<$crate::stream::Watch>> {
                let watch = $crate::stream::Watch::new(watchers);
                self.router().servers().iter().map(|server| self.records_of(vec![server.clone()], watch.clone())).collect()
            }

            /// Ends all servers, one after the other, and with them all that they have stored; the results come in the order of
            /// the servers. They must have been started with `-A`. To close the client is another method, `close`.
            ///
            /// # Errors
            ///
            /// [`Error::NoServers`](memcached2_proto::Error::NoServers) if the client has none. All other errors are in the results:
            /// [`Error::Refused`](memcached2_proto::Error::Refused) of a server that does not allow it. A server that closes the connection
            /// has accepted it.
            pub $($async)* fn shutdown_servers(
                &self,
                how: $crate::stream::Shutdown,
            ) -> Result<$crate::BatchResult<()>, $crate::Error> {
                let mut results = Vec::new();
                for server in self.router().servers() {
                    let ended = self.records_of(vec![server.clone()], how).next()$($await)*;
                    results.push(ended.unwrap_or(Ok(())));
                }
                if results.is_empty() { Err($crate::Error::no_servers()) } else { Ok(results.into()) }
            }
        }

        impl OneServer {
            /// The records of any [`StreamCommand`](memcached2_proto::stream::StreamCommand).
            pub fn records<C: $crate::stream::StreamCommand>(&self, command: C) -> Records<C> {
                self.client.records_of(vec![self.server.clone()], command)
            }

            /// All its items, without their values. See [`Metadump`](memcached2_proto::stream::Metadump).
            pub fn metadump(&self) -> Records<$crate::stream::Metadump> {
                self.records($crate::stream::Metadump::all())
            }

            /// All its keys. See [`Mgdump`](memcached2_proto::stream::Mgdump).
            pub fn mgdump(&self) -> Records<$crate::stream::Mgdump> {
                self.records($crate::stream::Mgdump::all())
            }

            /// What happens in it from now on. See [`Watch`](memcached2_proto::stream::Watch).
            pub fn watch(
                &self,
                watchers: impl IntoIterator<Item = $crate::stream::Watcher>,
            ) -> Records<$crate::stream::Watch> {
                self.records($crate::stream::Watch::new(watchers))
            }

            /// Ends the server, and with it all that it has stored. It must have been started with `-A`.
            ///
            /// # Errors
            ///
            /// Those of every call; [`Error::Refused`](memcached2_proto::Error::Refused) if it does not allow it. A server that closes the
            /// connection has accepted it.
            pub $($async)* fn shutdown(&self, how: $crate::stream::Shutdown) -> Result<(), $crate::Error> {
                self.records(how).next()$($await)*.unwrap_or(Ok(()))
            }
        }
    };
}
