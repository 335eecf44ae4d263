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
            id: $crate::routing::ServerId,
        }

        impl Client {
            /// One of the servers, by its name (`host:port`, the path of its socket, or its option `name`), or written as in the
            /// list of servers.
            ///
            /// # Errors
            ///
            /// [`Error::Argument`](memcached2_proto::Error::Argument) if none of the servers is that.
            pub fn on(&self, server: &str) -> Result<OneServer, $crate::Error> {
                let id = self.router().find(server)?;
                Ok(OneServer { client: self.clone(), id })
            }
        }

        impl OneServer {
            /// Its place in the list of servers.
            #[must_use]
            pub fn id(&self) -> $crate::routing::ServerId {
                self.id
            }

            /// Runs any command on it, also one whose key belongs to another server.
            ///
            /// # Errors
            ///
            /// The errors of the command, and those of every call; [`Error::Down`](memcached2_proto::Error::Down) if its retry is
            /// not due yet.
            pub $($async)* fn run<C: $crate::command::Command>(&self, command: C) -> Result<C::Response, $crate::Error> {
                self.client.run($crate::operation::OnServer::new(self.id, command))$($await)*
            }

            $crate::__administer!([$($async)*] [$($await)*] __on_one_server);
        }
    };
}
