//! What a test wants of a server: a client of it, and what that asked.

use std::fmt::Debug;

use super::core::Request;
use super::difference::difference;
use super::server::EmbeddedServer;

impl EmbeddedServer {
    /// Starts a server, and returns it with a client of it: the first line of a test.
    ///
    /// `connect` makes the client from the [address](EmbeddedServer::address): of this project's clients, blocking or not, it is
    /// `|address| Client::new([address])`. Any other will do. [`EmbeddedSetup::with_client`](crate::EmbeddedSetup::with_client) is the
    /// same for a server with a setup.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use memcached2_testkit::EmbeddedServer;
    ///
    /// let (server, mut socket) = EmbeddedServer::with_client(TcpStream::connect);
    /// socket.write_all(b"get user:1\r\n")?;
    /// socket.read_exact(&mut [0; 5])?;
    /// server.assert_asked(["get user:1"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no client, or 127.0.0.1 has no free port.
    #[track_caller]
    pub fn with_client<C, E: Debug>(connect: impl FnOnce(String) -> Result<C, E>) -> (Self, C) {
        Self::with().with_client(connect)
    }

    /// Returns what clients have asked, all connections together, in the order in which it came: the last 10,000
    /// requests, over restarts too.
    ///
    /// What a client asks of its own accord is left out: `version`, `mn`, `quit`, and the deletion of a key of one NUL, by
    /// which the clients of this project learn the protocol of a server. A request is there before it is answered, and
    /// also if a [fault](crate::Faults) keeps it from being carried out: one that was repeated is there twice.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use memcached2_testkit::EmbeddedServer;
    ///
    /// let (server, mut socket) = EmbeddedServer::with_client(TcpStream::connect);
    /// socket.write_all(b"version\r\ngets a b\r\nincr a 1\r\n")?;
    /// socket.read_exact(&mut [0; 32])?;
    /// assert_eq!(server.asked(), ["get a", "get b", "incr a"]);
    /// assert_eq!(server.asked_of("get").len(), 2);
    ///
    /// server.clear_asked();
    /// assert!(server.asked().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        self.shared.lock().core.asked()
    }

    /// Returns what clients have asked by one command, named as in [`Request::command`].
    #[must_use]
    pub fn asked_of(&self, command: &str) -> Vec<Request> {
        let mut asked = self.asked();
        asked.retain(|request| request.command() == command);
        asked
    }

    /// Forgets what was asked so far.
    pub fn clear_asked(&self) {
        self.shared.lock().core.clear_asked();
    }

    /// Asserts that [`EmbeddedServer::asked`] is exactly this, each written as a command, a blank and a key.
    ///
    /// # Panics
    ///
    /// If it is not. The message shows both lists as one: what is missing behind a `-`, what came besides behind a `+`.
    ///
    /// ```should_panic
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use memcached2_testkit::EmbeddedServer;
    ///
    /// let (server, mut socket) = EmbeddedServer::with_client(TcpStream::connect);
    /// socket.write_all(b"get a\r\nget a\r\ndelete b\r\n")?;
    /// socket.read_exact(&mut [0; 21])?;
    /// //   get a
    /// // + get a
    /// //   delete b
    /// server.assert_asked(["get a", "delete b"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn assert_asked(&self, expected: impl IntoIterator<Item = impl ToString>) {
        let expected: Vec<_> = expected.into_iter().map(|request| request.to_string()).collect();
        let asked: Vec<_> = self.asked().iter().map(ToString::to_string).collect();
        if expected != asked {
            let address = self.address();
            panic!("{address} was not asked what was expected:{}", difference(&expected, &asked));
        }
    }
}
