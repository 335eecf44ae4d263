//! The sockets of a lookup of SRV records.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use memcached2_proto::topology::{NAME_SERVERS_FILE, SrvAsk, SrvLookup, SrvQuestion, SrvRecord, name_servers};

use crate::stream::now;

/// The SRV records of a name. It takes the time of its name servers.
pub(crate) fn srv_records(question: SrvQuestion) -> io::Result<Vec<SrvRecord>> {
    let system = match question.wants_system() {
        true => addresses(name_servers(&fs::read_to_string(NAME_SERVERS_FILE)?)),
        false => Vec::new(),
    };
    let mut lookup = question.begin(RandomState::new().hash_one(()), system)?;
    while let Some(ask) = lookup.next_ask(now()) {
        if let Err(error) = exchange(&mut lookup, ask) {
            lookup.on_error(error);
        }
    }
    lookup.finish()
}

/// The addresses of name servers. One whose zone this machine does not have is left out.
fn addresses(name_servers: Vec<(String, u16)>) -> Vec<SocketAddr> {
    // No name is looked up.
    let address = |(host, port): (String, u16)| (host, port).to_socket_addrs().ok()?.next();
    name_servers.into_iter().filter_map(address).collect()
}

/// Asks one name server.
fn exchange(lookup: &mut SrvLookup, ask: SrvAsk) -> io::Result<()> {
    // To a socket, zero is no timeout.
    let left = || (ask.deadline - now()).max(Duration::from_millis(1));
    let mut space = [0; SrvLookup::DATAGRAM];
    if ask.by_tcp {
        let mut socket = TcpStream::connect_timeout(&ask.server, left())?;
        socket.set_write_timeout(Some(left()))?;
        socket.write_all(lookup.message())?;
        loop {
            socket.set_read_timeout(Some(left()))?;
            let read = uninterrupted(|| socket.read(&mut space))?;
            if lookup.on_received(&space[..read], now()) {
                return Ok(());
            }
        }
    }
    let socket = UdpSocket::bind(ask.local())?;
    socket.connect(ask.server)?;
    socket.send(lookup.message())?;
    loop {
        socket.set_read_timeout(Some(left()))?;
        let read = uninterrupted(|| socket.recv(&mut space))?;
        if lookup.on_received(&space[..read], now()) {
            return Ok(());
        }
    }
}

/// Reads again after a signal: with a timeout the operating system does not.
fn uninterrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn a_signal_is_no_failure_of_a_name_server() {
        let mut results =
            [Err(io::ErrorKind::Interrupted.into()), Err(io::ErrorKind::TimedOut.into()), Ok(3)].into_iter();
        let mut read = || uninterrupted(|| results.next().unwrap()).map_err(|error| error.kind());
        assert_eq!([read(), read()], [Err(io::ErrorKind::TimedOut), Ok(3)]);
    }

    #[test]
    fn a_name_server_is_asked_through_the_interface_of_its_zone() {
        let loopback: u32 = fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse().unwrap();
        let text = "nameserver fe80::1%lo\nnameserver fe80::2%no-such-zone\nnameserver 10.0.0.53\n";
        let linked = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, loopback);
        assert_eq!(addresses(name_servers(text)), [linked.into(), SocketAddr::from(([10, 0, 0, 53], 53))]);
    }
}
