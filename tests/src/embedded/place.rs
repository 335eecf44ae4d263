//! Where a server listens.

use std::env;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use super::core::Config;

#[derive(Debug, Clone, Copy)]
pub(super) enum Home {
    Ipv4,
    Ipv6,
    Unix,
}

/// Where a server listens.
#[derive(Debug)]
pub(super) enum Place {
    Tcp {
        address: SocketAddr,
        /// Keeps the port while the server is stopped: bound, but not listening. Not every system allows it.
        _reservation: Option<Socket>,
    },
    Unix(PathBuf),
}

impl Place {
    pub(super) fn domain(&self) -> Domain {
        match self {
            Self::Tcp { address, .. } => Domain::for_address(*address),
            Self::Unix(_) => Domain::UNIX,
        }
    }

    /// Fills in what statistics say of the process and where it listens.
    pub(super) fn describe(&self, config: &mut Config) {
        config.pid = std::process::id();
        (config.host, config.port, config.socket) = match self {
            Self::Tcp { address, .. } => (address.ip().to_string(), address.port(), None),
            Self::Unix(path) => (String::new(), 0, Some(path.display().to_string())),
        };
    }

    /// Binds a socket that is to connect to this place, so that it is known by its address; to the path that is returned, if any.
    pub(super) fn bind_guest(&self, socket: &Socket) -> io::Result<Option<PathBuf>> {
        match self {
            Self::Tcp { address, .. } => socket.bind(&SocketAddr::new(address.ip(), 0).into()).map(|()| None),
            Self::Unix(path) => {
                let path = path.with_extension("guest");
                socket.bind(&SockAddr::unix(&path)?)?;
                Ok(Some(path))
            }
        }
    }

    pub(super) fn address(&self) -> io::Result<SockAddr> {
        match self {
            Self::Tcp { address, .. } => Ok((*address).into()),
            Self::Unix(path) => SockAddr::unix(path),
        }
    }
}

impl Home {
    pub(super) fn listen(self) -> io::Result<(Socket, Place)> {
        static SOCKETS: AtomicU32 = AtomicU32::new(0);

        let any: SocketAddr = match self {
            Self::Ipv4 => (Ipv4Addr::LOCALHOST, 0).into(),
            Self::Ipv6 => (Ipv6Addr::LOCALHOST, 0).into(),
            Self::Unix => {
                let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
                let name = format!("memcached2-embedded-{}-{number}.sock", std::process::id());
                let place = Place::Unix(env::temp_dir().join(name));
                return Ok((listen(Domain::UNIX, &place.address()?)?, place));
            }
        };
        let domain = Domain::for_address(any);
        let reservation = bind(domain, &any.into())?;
        let address = reservation.local_addr()?;
        let (listener, reservation) = match listen(domain, &address) {
            Ok(listener) => (listener, Some(reservation)),
            Err(_) => (reservation, None),
        };
        if reservation.is_none() {
            listener.listen(BACKLOG)?;
        }
        let address = address.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
        Ok((listener, Place::Tcp { address, _reservation: reservation }))
    }
}

const BACKLOG: i32 = 1024;

fn bind(domain: Domain, address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if domain != Domain::UNIX {
        socket.set_reuse_address(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

pub(super) fn listen(domain: Domain, address: &SockAddr) -> io::Result<Socket> {
    let socket = bind(domain, address)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
