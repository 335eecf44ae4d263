//! One server of a client.

/// Expands the type `OneServer`, and the method of `Client` that makes it.
#[doc(hidden)]
#[macro_export]
macro_rules! one_server {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        /// One server of a client: what the client's methods ask every server, these ask one.
        ///
        /// [`Client::on`] makes it. It uses the connections and the timeout of that client.
        ///
        $(#[$example])*
        #[derive(Debug, Clone)]
        pub struct OneServer {
            client: Client,
            server: $crate::Server,
        }

        impl Client {
            /// One of the servers, by its name (`host:port`, the path of its socket, or its option `name`), or written as in the
            /// list of servers.
            ///
            /// # Errors
            ///
            /// [`Error::Argument`](memcached2_proto::Error::Argument) if none of the servers is that.
            pub fn on(&self, server: &str) -> Result<OneServer, $crate::Error> {
                let router = self.router();
                let found = $crate::__named!(on router.find(server)?);
                let server = router.server(found).ok_or_else($crate::Error::no_servers)?;
                Ok(OneServer { client: self.clone(), server: server.clone() })
            }

            /// Runs a command on the server of a key. While that one is down no other takes its place: it would not know what the
            /// first one knows. A [journal](memcached2_proto::Options::journal) keeps nothing of it: a lock is not deleted when another one
            /// has it.
            $($async)* fn run_at_home<C: $crate::command::Command>(
                &self,
                begun: $crate::Instant,
                key: &[u8],
                command: C,
            ) -> Result<C::Response, $crate::Error> {
                let router = self.router();
                let home = $crate::Key::new(key).and_then(|key| router.route_home(key));
                let home = home.map_err(|error| error.of_method(command.name(), Some(key)))?;
                let server = router.server(home).ok_or_else($crate::Error::no_servers)?;
                self.run_since(begun, $crate::operation::OnServer::new(server, command).without_journal())$($await)*
            }

            /// Adds to the number of a key on its server, or stores another number that expires then.
            $($async)* fn count_at_home(
                &self,
                begun: $crate::Instant,
                key: &[u8],
                (by, initial): (u64, u64),
                expiry: $crate::Expiry,
            ) -> Result<u64, $crate::Error> {
                let count = $crate::command::CountOr::incr(key, by, initial, expiry)?;
                match self.run_at_home(begun, key, count)$($await)* {
                    Err($crate::Error::NoMeta { .. }) => {}
                    counted => return counted,
                }
                let incr = || $crate::command::Incr::new(key, by);
                if let Some(number) = self.run_at_home(begun, key, incr()?)$($await)*? {
                    return Ok(number);
                }
                match self.run_at_home(begun, key, $crate::Store::add(key, &initial)?.expiry(expiry))$($await)* {
                    Ok(()) => Ok(initial),
                    // Another client was faster.
                    Err(error @ $crate::Error::NotStored { .. }) => {
                        self.run_at_home(begun, key, incr()?)$($await)*?.ok_or(error)
                    }
                    Err(error) => Err(error),
                }
            }
        }

        impl OneServer {
            /// The server.
            #[must_use]
            pub fn server(&self) -> &$crate::Server {
                &self.server
            }

            /// Runs any command on it, also one whose key belongs to another server.
            ///
            /// # Errors
            ///
            /// The errors of the command, and those of every call; [`Error::Down`](memcached2_proto::Error::Down) if its retry is
            /// not due yet, [`Error::Argument`](memcached2_proto::Error::Argument) if it is no server of the client any more.
            pub $($async)* fn run<C: $crate::command::Command>(&self, command: C) -> Result<C::Response, $crate::Error> {
                self.client.run($crate::operation::OnServer::new(&self.server, command))$($await)*
            }

            $crate::__administer!([$($async)*] [$($await)*] __on_one_server);
        }
    };
}
