//! A network that does what networks do: it delays, cuts into bytes, breaks, stands still and swallows.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use memcached2_testkit::Rng;
use socket2::SockRef;

/// How long a direction waits at most before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Stands between clients and a server, and passes on what both say.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    /// One piece in this many has a fault, while it is faulty.
    one_in: usize,
    faulty: AtomicBool,
    ended: AtomicBool,
    /// How many faults there were.
    faults: AtomicU64,
}

impl Relay {
    pub(crate) fn start(server: &str, seed: u64, one_in: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, server) = (listener.local_addr().expect("an address"), server.to_owned());
        let (faulty, ended, faults) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let state = Arc::new(State { one_in, faulty, ended, faults });
        let own = Arc::clone(&state);
        let thread = thread::spawn(move || accept(&listener, &server, &own, seed));
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set_faulty(&self, faulty: bool) {
        self.state.faulty.store(faulty, Ordering::SeqCst);
    }

    pub(crate) fn faults(&self) -> u64 {
        self.state.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

fn accept(listener: &TcpListener, server: &str, state: &Arc<State>, mut seed: u64) {
    let mut directions: Vec<JoinHandle<()>> = Vec::new();
    for client in listener.incoming() {
        if state.ended.load(Ordering::SeqCst) {
            break;
        }
        let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { continue };
        let pair = Arc::new((client, server, AtomicBool::new(false)));
        for to_server in [true, false] {
            seed += 1;
            let (pair, state, rng) = (Arc::clone(&pair), Arc::clone(state), Rng::new(seed));
            directions.push(thread::spawn(move || pass_on(&pair, to_server, &state, rng)));
        }
        directions.retain(|direction| !direction.is_finished());
    }
    directions.into_iter().for_each(|direction| direction.join().expect("no panic"));
}

/// One direction of a connection; the last field says that the connection is at its end.
fn pass_on(pair: &(TcpStream, TcpStream, AtomicBool), to_server: bool, state: &State, mut rng: Rng) {
    let (mut from, mut to) = if to_server { (&pair.0, &pair.1) } else { (&pair.1, &pair.0) };
    let is_over = || pair.2.load(Ordering::SeqCst) || state.ended.load(Ordering::SeqCst);
    from.set_read_timeout(Some(LOOK)).expect("a valid timeout");
    // What the other end does not read must not keep this from its end.
    to.set_write_timeout(Some(Duration::from_secs(5))).expect("a valid timeout");
    to.set_nodelay(true).expect("a socket");
    let (mut bytes, mut swallows) = ([0; 16 * 1024], false);
    while !is_over() {
        let piece = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) if swallows => continue,
            Ok(n) => &bytes[..n],
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(_) => break,
        };
        let mut size = piece.len();
        if state.faulty.load(Ordering::SeqCst) && rng.once_in(state.one_in) {
            state.faults.fetch_add(1, Ordering::SeqCst);
            match rng.below(6) {
                0 => thread::sleep(Duration::from_millis(rng.below(30) as u64)),
                1 => size = 1,
                // It ends in the middle of a piece, in order.
                2 => {
                    let _ = to.write_all(&piece[..rng.below(piece.len())]);
                    break;
                }
                // Or with a reset, which comes when both directions let go.
                3 => {
                    [from, to].iter().for_each(|end| drop(SockRef::from(*end).set_linger(Some(Duration::ZERO))));
                    pair.2.store(true, Ordering::SeqCst);
                    return;
                }
                4 => thread::sleep(Duration::from_millis(200 + rng.below(500) as u64)),
                _ => {
                    swallows = true;
                    continue;
                }
            }
        }
        if piece.chunks(size).any(|part| to.write_all(part).is_err()) {
            break;
        }
    }
    pair.2.store(true, Ordering::SeqCst);
    let _ = to.shutdown(Shutdown::Both);
}
