//! The methods that follow a list of servers.

/// Expands the methods of `Client` that follow a list of servers. The client has `beside`, a client of other servers; `addresses` and
/// `services` of a name; and `pause`, which waits for a time, or until the client is closed, and returns whether it is open, or why it cannot wait.
#[doc(hidden)]
#[macro_export]
macro_rules! topology {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        /// The SRV records of a name. It takes the time of its name servers, and so is called where that delays nobody.
        pub(crate) fn srv_records(
            question: &$crate::topology::SrvQuestion,
        ) -> std::io::Result<Vec<$crate::topology::SrvRecord>> {
            use std::hash::BuildHasher as _;

            let system = || std::fs::read_to_string("/etc/resolv.conf");
            let [.., high, low] = std::hash::RandomState::new().hash_one(()).to_be_bytes();
            question.look_up(u16::from_be_bytes([high, low]), system, ask_name_server)
        }

        /// Sends a question to a name server, and waits for its answer.
        fn ask_name_server(ask: &$crate::topology::SrvAsk<'_>) -> std::io::Result<Vec<u8>> {
            use std::io::{Read as _, Write as _};

            /// No answer by UDP is longer, since none was asked for that is.
            const DATAGRAM: usize = 512;
            let end = std::time::Instant::now() + ask.within;
            let left = || end.saturating_duration_since(std::time::Instant::now()).max(std::time::Duration::from_millis(1));
            if ask.by_tcp {
                let mut socket = std::net::TcpStream::connect_timeout(&ask.server, left())?;
                socket.set_write_timeout(Some(left()))?;
                socket.set_read_timeout(Some(left()))?;
                let length = u16::try_from(ask.message.len()).unwrap_or(u16::MAX).to_be_bytes();
                socket.write_all(&[&length, ask.message].concat())?;
                let mut length = [0; 2];
                socket.read_exact(&mut length)?;
                let mut answer = vec![0; u16::from_be_bytes(length).into()];
                return socket.read_exact(&mut answer).map(|()| answer);
            }
            let any: std::net::IpAddr = match ask.server.is_ipv4() {
                true => std::net::Ipv4Addr::UNSPECIFIED.into(),
                false => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = std::net::UdpSocket::bind((any, 0))?;
            socket.connect(ask.server)?;
            socket.send(ask.message)?;
            let mut answer = [0; DATAGRAM];
            loop {
                socket.set_read_timeout(Some(left()))?;
                let length = socket.recv(&mut answer)?;
                // Others come late, of earlier questions.
                if answer[..length].starts_with(&ask.id) {
                    return Ok(answer[..length].to_vec());
                }
                if std::time::Instant::now() >= end {
                    return Err(std::io::ErrorKind::TimedOut.into());
                }
            }
        }

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
