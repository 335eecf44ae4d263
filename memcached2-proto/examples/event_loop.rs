//! A hand-written event loop over a [`Connection`].
//!
//! ```text
//! cargo run -p memcached2-proto --example event_loop [HOST:PORT]
//! ```
//!
//! One thread, one non-blocking socket, `poll(2)`: no client, no runtime. A thousand requests are pipelined, and the
//! answers come back as typed responses. Without an address it starts a memcached.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the transport's side")]
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::command::{Command, Incr};
use memcached2_proto::opening::{Destination, Endpoint, Opening, Step};
use memcached2_proto::{Connection, Error, Expiry, Get, Instant, Landed, Now, Options, Reply, Store, Value};
use memcached2_testkit::Memcached;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn now() -> Instant {
    std::time::Instant::now().into()
}

/// How long the server may say nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest time to connect that the system accepts.
const MOMENT: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memcached = std::env::args().nth(1).is_none().then(Memcached::start);
    let address = memcached.as_ref().map_or_else(|| std::env::args().nth(1), |server| Some(server.address()));
    let server = address.unwrap_or_default().parse()?;
    let now = Now::new(now(), SystemTime::now);

    // 0. Connect, and ask which protocol the server speaks: in meta each reply carries the number of its request.
    let (mut socket, mut connection) =
        open(Opening::new(&Arc::new(Endpoint::new(0, &server, &Options::default())), now, None))?;

    // 1. Submit requests. Nothing is sent yet; the tag comes back with the reply.
    let keys: Vec<String> = (0..1000).map(|number| format!("event-loop:{number}")).collect();
    for key in &keys {
        connection.submit(&Store::set(key, "0")?.expiry(Expiry::After(Duration::from_secs(60))), now, STORED)?;
    }
    for key in keys.iter().step_by(2) {
        connection.submit(&Incr::new(key, 1)?, now, COUNTED)?;
    }
    let gets = keys.iter().map(Get::new).collect::<Result<Vec<_>, _>>()?;
    for (tag, get) in (FETCHED..).zip(&gets) {
        connection.submit(get, now, tag)?;
    }

    // 2. Let the loop carry it, and take the replies as they come.
    let mut answers = Answers { values: vec![None; gets.len()], ..Answers::default() };
    while connection.is_busy() {
        turn(&mut socket, &mut connection)?;
        while let Some((tag, reply, _last)) = connection.next_reply()? {
            answers.take(tag, reply, &gets)?;
        }
    }

    // 3. Every byte belongs to a reply: the connection can be used again.
    assert!(connection.is_idle(), "a reply is missing");
    let ones = answers.values.iter().flatten().filter(|value| **value == "1").count();
    println!("{} values stored, {} counted up; fetched {ones} ones", answers.stored, answers.counted);
    Ok(())
}

/// Does what the opening says: each step knows its deadline.
fn open(mut opening: Opening) -> Result<(TcpStream, Connection), Box<dyn std::error::Error>> {
    let mut socket = None;
    loop {
        match (opening.step()?, &mut socket) {
            // A name is looked up for as long as the system likes: a loop with other things to do has a thread for that.
            (Step::Resolve { host, port }, _) => {
                opening.resolved((host, port).to_socket_addrs().map(Iterator::collect), now());
            }
            (Step::Connect(Destination::Tcp(address)), _) => {
                let left = opening.deadline().map_or(PATIENCE, |by| by.saturating_duration_since(now()));
                let connected = TcpStream::connect_timeout(&address, left.max(MOMENT)).and_then(|stream| {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    socket = Some(stream);
                    Ok(())
                });
                opening.connected(connected, now());
            }
            (Step::Exchange, Some(socket)) => {
                opening.write_with(|slices| {
                    unless_blocked(socket.write_vectored(slices)).map(Option::unwrap_or_default)
                })?;
                let by = opening.deadline().map(|by| by.saturating_duration_since(now()));
                wait(socket, PollFlags::IN, by.unwrap_or(PATIENCE))?;
                match unless_blocked(socket.read(opening.read_buf())) {
                    Ok(Some(n)) => opening.advance_read(n, now()),
                    Ok(None) => _ = opening.on_deadline(now()),
                    Err(error) => opening.failed(Error::lost(&error, Landed::NotSent), now()),
                }
            }
            (Step::Ready, Some(_)) => break,
            _ => return Err("only TCP is spoken here".into()),
        }
    }
    Ok((socket.ok_or("there is no socket")?, opening.finish().connection))
}

/// The tags: any number the caller finds useful.
const STORED: u32 = 0;
const COUNTED: u32 = 1;
const FETCHED: u32 = 2;

/// What came back.
#[derive(Debug, Default)]
struct Answers {
    stored: usize,
    counted: usize,
    values: Vec<Option<Value>>,
}

impl Answers {
    /// Takes one reply. Its command knows how to read it.
    fn take(&mut self, tag: u32, reply: Reply, gets: &[Get<'_>]) -> Result<(), Error> {
        match tag {
            STORED => self.stored += usize::from(reply == Reply::Stored),
            COUNTED => self.counted += usize::from(matches!(reply, Reply::Number(_))),
            _ => {
                let at = (tag - FETCHED) as usize;
                self.values[at] = gets[at].answer(reply)?;
            }
        }
        Ok(())
    }
}

/// One turn of the loop: waits until the socket is ready for something, writes, reads.
fn turn(socket: &mut TcpStream, connection: &mut Connection) -> Result<(), Box<dyn std::error::Error>> {
    // Offers nothing while replies must be read first: then there is nothing to wait for but those.
    let wants = match connection.write_slices(&mut [IoSlice::new(&[])]) {
        0 => PollFlags::IN,
        _ => PollFlags::IN | PollFlags::OUT,
    };
    let events = wait(socket, wants, PATIENCE)?;
    if events.is_empty() {
        // The connection knows which requests may have taken effect; here the worst case is reported.
        let unknown = connection.fail_pending().any(|abandoned| abandoned.landed == Landed::Unknown);
        return Err(Error::timeout(if unknown { Landed::Unknown } else { Landed::NotSent }).into());
    }
    if events.contains(PollFlags::OUT) {
        connection.write_with(|slices| unless_blocked(socket.write_vectored(slices)).map(Option::unwrap_or_default))?;
    }
    if !(events - PollFlags::OUT).is_empty() {
        if let Some(n) = unless_blocked(socket.read(connection.read_buf()))? {
            connection.advance_read(n)?;
        }
    }
    Ok(())
}

/// Waits until a socket is ready, and returns for what it is; for nothing, if that takes too long.
fn wait(socket: &TcpStream, wants: PollFlags, within: Duration) -> io::Result<PollFlags> {
    let mut ready = [PollFd::new(socket, wants)];
    poll(&mut ready, Timespec::try_from(within).ok().as_ref())?;
    Ok(ready[0].revents())
}

/// A socket that was ready need not be any more.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
