//! Where the server is: within the process, or outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::task::{Context, Waker};
use std::time::Instant;

use memcached2_proto::Options;
use memcached2_testkit::{EmbeddedServer, Memcached};

use super::network::Network;
use super::subject::{Subject, turn};
use super::{LONG, PATIENT, SOCKETS, Server, Then, Woken};
use crate::certificates::{Files, TRUSTED, serve};

pub(super) enum Place {
    Within {
        network: Network,
        is_tls: bool,
    },
    Outside {
        server: Box<Memcached>,
        /// Removed at the end.
        _files: Option<Files>,
        /// How many connections it has of others.
        connections: usize,
    },
}

impl Place {
    /// `None` if this memcached has no TLS.
    pub(super) fn of(server: Server, is_tls: bool) -> Option<Self> {
        if server.name != SOCKETS.name {
            let setup = EmbeddedServer::with();
            let setup = match server.then {
                // The value of the target is too large, and some classic gets are refused.
                Then::Refuse => setup.item_size_max(59 + LONG + 6).out_of_response_memory(7, 3),
                _ => setup,
            };
            let network = Network::new(setup, is_tls.then(|| TRUSTED.sign(&["127.0.0.1"]).config()));
            return Some(Self::Within { network, is_tls });
        }
        if is_tls && Memcached::has_no_tls_for("a call may be dropped at every point by TLS") {
            return None;
        }
        let setup = Memcached::with().threads(1);
        let (server, files) = if is_tls {
            let (server, files) = serve(setup);
            (server, Some(files))
        } else {
            (setup.start(), None)
        };
        let mut place = Self::Outside { server: Box::new(server), _files: files, connections: 0 };
        let open = place.connections();
        if let Self::Outside { connections, .. } = &mut place {
            *connections = open;
        }
        Some(place)
    }

    pub(super) fn client<S: Subject>(&self, options: Options) -> S {
        match self {
            Self::Within { network, is_tls } => {
                S::over(network, if *is_tls { "memcacheds://127.0.0.1" } else { "127.0.0.1" }, options)
            }
            Self::Outside { server, .. } => S::at(&server.address(), options),
        }
    }

    pub(super) fn hold(&self, piece: Option<usize>) {
        if let Self::Within { network, .. } = self {
            network.hold(piece);
        }
    }

    /// Lets the next piece pass; from outside there is no step before the call is `woken` for the next time.
    pub(super) async fn step(&self, woken: &Woken, times: usize, mut meanwhile: impl FnMut(&mut Context<'_>)) {
        match self {
            Self::Within { network, .. } => {
                meanwhile(&mut Context::from_waker(Waker::noop()));
                network.step();
                turn().await;
            }
            Self::Outside { .. } => woken.more_than(times, meanwhile).await,
        }
    }

    pub(super) fn release(&self) {
        if let Self::Within { network, .. } = self {
            network.release();
        }
    }

    pub(super) fn cut(&self, by_reset: bool) {
        if let Self::Within { network, .. } = self {
            network.cut(by_reset);
        }
    }

    /// How many connections there are.
    fn connections(&self) -> usize {
        match self {
            Self::Within { network, .. } => network.open(),
            Self::Outside { server, .. } => {
                let mut stream = TcpStream::connect(server.plain_address()).unwrap();
                stream.write_all(b"stats\r\nquit\r\n").unwrap();
                let open = BufReader::new(stream).lines().find_map(|line| {
                    line.unwrap().strip_prefix("STAT curr_connections ").map(|open| open.parse().unwrap())
                });
                open.unwrap()
            }
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn empty(&self) {
        let before = if let Self::Outside { connections, .. } = self { *connections } else { 0 };
        let begun = Instant::now();
        while self.connections() > before {
            assert!(begun.elapsed() < PATIENT, "a connection is left");
            turn().await;
        }
    }
}
