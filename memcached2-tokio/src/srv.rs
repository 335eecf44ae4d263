//! The sockets of a lookup of SRV records.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use memcached2_proto::Error;
use memcached2_proto::shared::{SrvSockets, look_up_srv};
use memcached2_proto::topology::{NAME_SERVERS_FILE, SrvAsk, SrvLookup, SrvQuestion, SrvRecord, name_servers};
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};

use crate::stream::{Timer, current_runtime, look_up, now};

/// The SRV records of a name. It takes the time of its name servers.
pub(crate) async fn srv_records(question: SrvQuestion) -> Result<Vec<SrvRecord>, Error> {
    current_runtime()?;
    let system = async { look_up(&Arc::default(), system_name_servers).await.map(|found| found.to_vec()) };
    let found = look_up_srv::<NameServers>(question, RandomState::new().hash_one(()), system, &mut Timer::new()).await;
    found.map_err(|error| Error::connect(&error))
}

/// The name servers of the system, but those whose zone it does not have.
fn system_name_servers() -> io::Result<Vec<SocketAddr>> {
    let text = fs::read_to_string(NAME_SERVERS_FILE)?;
    // No name is looked up.
    let address = |(host, port): (String, u16)| (host, port).to_socket_addrs().ok()?.next();
    Ok(name_servers(&text).into_iter().filter_map(address).collect())
}

struct NameServers;

impl SrvSockets for NameServers {
    async fn exchange(lookup: &mut SrvLookup, ask: SrvAsk) -> io::Result<()> {
        let mut space = [0; SrvLookup::DATAGRAM];
        if ask.by_tcp {
            let socket = TcpStream::connect(ask.server).await?;
            let mut unsent = lookup.message();
            while !unsent.is_empty() {
                match socket.async_io(Interest::WRITABLE, || socket.try_write(unsent)).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => unsent = &unsent[written..],
                }
            }
            loop {
                let read = socket.async_io(Interest::READABLE, || socket.try_read(&mut space)).await?;
                if lookup.on_received(&space[..read], now()) {
                    return Ok(());
                }
            }
        }
        let socket = UdpSocket::bind(ask.local()).await?;
        socket.connect(ask.server).await?;
        socket.send(lookup.message()).await?;
        loop {
            let read = socket.recv(&mut space).await?;
            if lookup.on_received(&space[..read], now()) {
                return Ok(());
            }
        }
    }
}
