//! The sockets of a lookup of SRV records.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;

use async_io::Async;
use memcached2_proto::shared::{SrvSockets, look_up_srv};
use memcached2_proto::topology::{NAME_SERVERS_FILE, SrvAsk, SrvLookup, SrvQuestion, SrvRecord, name_servers};

use crate::executor::{Timer, now};
use crate::stream::look_up;

/// The SRV records of a name. It takes the time of its name servers.
pub(crate) async fn srv_records(question: SrvQuestion) -> io::Result<Vec<SrvRecord>> {
    let system = async { look_up(&Arc::default(), system_name_servers).await.map(|found| found.to_vec()) };
    look_up_srv::<NameServers>(question, RandomState::new().hash_one(()), system, &mut Timer::new()).await
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
            let socket = Async::<TcpStream>::connect(ask.server).await?;
            let mut unsent = lookup.message();
            while !unsent.is_empty() {
                match socket.write_with(|mut socket| socket.write(unsent)).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => unsent = &unsent[written..],
                }
            }
            loop {
                let read = socket.read_with(|mut socket| socket.read(&mut space)).await?;
                if lookup.on_received(&space[..read], now()) {
                    return Ok(());
                }
            }
        }
        let socket = Async::<UdpSocket>::bind(ask.local())?;
        socket.get_ref().connect(ask.server)?;
        socket.send(lookup.message()).await?;
        loop {
            let read = socket.recv(&mut space).await?;
            if lookup.on_received(&space[..read], now()) {
                return Ok(());
            }
        }
    }
}
