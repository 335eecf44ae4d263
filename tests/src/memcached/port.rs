use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports which the kernel hands out by itself: a scripted server or a client could get one of those between the
/// choice of a port and the start of its server, or while the server is stopped.
const PORTS: Range<u16> = 12_000..32_000;

/// Holds a TCP port of this machine for a server that a test starts, stops and starts again.
///
/// The other users of the kit, in this process and in others, get other ports while it lives. It is held by the UDP port of the
/// same number, so the server can listen.
///
/// ```
/// use std::net::TcpListener;
///
/// use memcached2_testkit::ReservedPort;
///
/// let port = ReservedPort::new();
/// let server = TcpListener::bind(port.address())?;
/// assert_ne!(ReservedPort::new().address(), server.local_addr()?);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _reservation: UdpSocket,
}

impl ReservedPort {
    /// Reserves a port of 127.0.0.1 on which nobody listens.
    ///
    /// # Panics
    ///
    /// When none of the ports from 12,000 to 31,999 is free.
    #[expect(clippy::new_without_default, reason = "a default has no side effects")]
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// Returns the address and the port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[track_caller]
    pub(super) fn on(ip: IpAddr) -> Self {
        static RESERVED: AtomicU32 = AtomicU32::new(0);

        // Processes with neighbouring ids begin far from each other.
        let first = std::process::id().wrapping_mul(997).wrapping_add(RESERVED.fetch_add(1, Ordering::Relaxed));
        let skipped = first as usize % PORTS.len();
        for port in PORTS.skip(skipped).chain(PORTS.take(skipped)) {
            let address = SocketAddr::new(ip, port);
            let Ok(reservation) = UdpSocket::bind(address) else { continue };
            if TcpListener::bind(address).is_ok() {
                return Self { address, _reservation: reservation };
            }
        }
        panic!("there is no free port on {ip} from {} to {}", PORTS.start, PORTS.end - 1);
    }
}
