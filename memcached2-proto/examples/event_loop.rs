//! A hand-written event loop over one connection, by TLS and with a password if the address says so.
//!
//! ```text
//! cargo run -p memcached2-proto --example event_loop [HOST:PORT]
//! cargo run -p memcached2-proto --features tls --example event_loop memcacheds://USER:PASSWORD@HOST
//! ```
//!
//! One thread, one non-blocking socket, `poll(2)`: no client, no runtime. Thousands of requests are pipelined, and the
//! answers come back as typed responses. Without an address it starts a memcached.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the transport's side")]
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::command::{Command, Incr};
use memcached2_proto::opening::{Destination, Endpoint, Opened, Opening, Step};
use memcached2_proto::{Error, Expiry, Get, Instant, Landed, Now, Options, Reply, Server, Store, Value};
use memcached2_testkit::Memcached;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long opening may take as a whole, and how long the server may be silent after that.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The tags: any numbers that tell the caller which request a reply belongs to.
const STORED: u32 = 0;
const COUNTED: u32 = 1;
const FETCHED: u32 = 2;

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let memcached = std::env::args().nth(1).is_none().then(Memcached::start);
    let address = memcached.as_ref().map_or_else(|| std::env::args().nth(1), |server| Some(server.address()));
    // The user and password of the address are in the options of the server, which the endpoint adds to these.
    let ones = run(&address.unwrap_or_default().parse()?, &Options::default())?;
    println!("fetched {ones} ones");
    Ok(())
}

pub(crate) fn run(server: &Server, options: &Options) -> Result<usize, AnyError> {
    // 0. Connect: TLS and the password, if there are any, and which protocol the server speaks.
    let (mut socket, mut opened) = open(&Arc::new(Endpoint::new(0, server, options)))?;

    // 1. Submit requests. Nothing is sent yet; the tag comes back with the reply.
    let keys: Vec<String> = (0..1000).map(|number| format!("event-loop:{number}")).collect();
    let gets = keys.iter().map(Get::new).collect::<Result<Vec<_>, _>>()?;
    let now = Now::new(now(), SystemTime::now);
    for key in &keys {
        opened.connection.submit(&Store::set(key, "0")?.expiry(Expiry::After(Duration::from_secs(60))), now, STORED)?;
    }
    for key in keys.iter().step_by(2) {
        opened.connection.submit(&Incr::new(key, 1)?, now, COUNTED)?;
    }
    for (tag, get) in (FETCHED..).zip(&gets) {
        opened.connection.submit(get, now, tag)?;
    }

    // 2. Let the loop carry it, and take the replies as they come. A command reads its own answer.
    let (mut stored, mut counted) = (0, 0);
    let mut values: Vec<Result<Option<Value>, Error>> = vec![Ok(None); gets.len()];
    while opened.connection.is_busy() {
        let wants_write = opened.wants_write();
        if !wait(&socket, wants_write, TIMEOUT)? {
            // The connection knows which requests may have taken effect; here the worst case is reported.
            let unknown = opened.connection.fail_pending().any(|abandoned| abandoned.landed == Landed::Unknown);
            return Err(Error::timeout(if unknown { Landed::Unknown } else { Landed::NotSent }).into());
        }
        opened.exchange(&mut socket, |tag, reply, _is_last| match tag {
            STORED => stored += usize::from(reply == Reply::Stored),
            COUNTED => counted += usize::from(matches!(reply, Reply::Number(_))),
            _ => {
                let at = (tag - FETCHED) as usize;
                values[at] = gets[at].answer(reply);
            }
        })?;
    }

    // 3. Every byte belongs to a reply: the connection can be used again.
    assert!(opened.connection.is_idle(), "a reply is missing");
    println!("{stored} values stored, {counted} counted up");
    let values = values.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(values.iter().flatten().filter(|value| **value == "1").count())
}

/// Does what the opening says: each step has its deadline.
pub(crate) fn open(endpoint: &Arc<Endpoint>) -> Result<(TcpStream, Opened), AnyError> {
    let mut opening = Opening::new(endpoint, Now::new(now(), SystemTime::now), Some(now() + TIMEOUT));
    let mut socket = None;
    loop {
        let left = opening.deadline().map_or(TIMEOUT, |by| by.saturating_duration_since(now()));
        match (opening.step()?, &mut socket) {
            // A name is looked up for as long as the system likes: a loop with other things to do has a thread for that.
            (Step::Resolve { host, port }, _) => {
                opening.resolved((host, port).to_socket_addrs().map(Iterator::collect), now());
            }
            (Step::Connect(Destination::Tcp(address)), _) => {
                let connected = connect(&address, left).map(|stream| socket = Some(stream));
                opening.connected(connected, now());
            }
            (Step::Exchange, Some(socket)) => {
                wait(socket, opening.wants_write(), left)?;
                opening.exchange(socket, now());
            }
            (Step::Ready, _) => break,
            _ => return Err("Unix sockets are left out here".into()),
        }
    }
    Ok((socket.ok_or("there is no socket")?, opening.finish()))
}

fn connect(address: &std::net::SocketAddr, left: Duration) -> io::Result<TcpStream> {
    // The system refuses a timeout of zero.
    let stream = TcpStream::connect_timeout(address, left.max(Duration::from_millis(1)))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Waits until a socket can be read, or written if that is wanted; `false` if that takes too long.
fn wait(socket: &TcpStream, wants_write: bool, within: Duration) -> io::Result<bool> {
    let wants = if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    Ok(poll(&mut [PollFd::new(socket, wants)], Timespec::try_from(within).ok().as_ref())? > 0)
}

fn now() -> Instant {
    std::time::Instant::now().into()
}
