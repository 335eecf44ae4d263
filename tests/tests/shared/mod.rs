//! What tasks that share a connection may rely on: written once, for every asynchronous client.

mod bounded;
mod bulk;
mod cancelled;
mod closed;
mod crowd;
mod dropped;
mod fetches;
mod health;
mod idle;
mod opening;
mod retry;
mod slow;
mod stalled;
mod tasks;
mod unpolled;
mod wrappers;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use memcached2_proto::{Expiry, Options};
use memcached2_testkit::Memcached;

use crate::subject::{AsyncClient, client_of};

/// Longer than anything takes.
const PATIENT: Duration = Duration::from_secs(30);

/// The statistics of a server, asked on one connection, so that asking changes none of them.
#[derive(Debug)]
struct Stats(BufReader<TcpStream>);

impl Stats {
    fn of(server: &Memcached) -> Self {
        let stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
        Self(BufReader::new(stream))
    }

    /// How many connections the server has ever had.
    fn connections(&mut self) -> u64 {
        self.ask("total_connections")
    }

    /// How many connections the server has.
    fn open(&mut self) -> u64 {
        self.ask("curr_connections")
    }

    fn ask(&mut self, name: &str) -> u64 {
        self.0.get_mut().write_all(b"stats\r\n").expect("the server reads");
        let lines = self.0.by_ref().lines().map(|line| line.expect("the server answers"));
        let stats: HashMap<_, _> = lines
            .take_while(|line| line != "END")
            .filter_map(|line| line.strip_prefix("STAT ")?.split_once(' ').map(|(k, v)| (k.to_owned(), v.to_owned())))
            .collect();
        stats[name].parse().expect("a number")
    }
}

/// A server whose every key `name0`, `name1`, ... has its own name as value, and a client of it.
async fn names(count: usize) -> (Memcached, AsyncClient, Vec<String>) {
    let server = Memcached::start();
    let client = patient(&server);
    let names: Vec<_> = (0..count).map(|at| format!("name{at}")).collect();
    let items: Vec<_> = names.iter().map(|name| (name, name)).collect();
    client.set_many(&items, Expiry::Never).await.unwrap().into_result().unwrap();
    (server, client, names)
}

fn patient(server: &Memcached) -> AsyncClient {
    client_of([server.address()], Options::default().timeout(PATIENT)).expect("the address is right")
}

async fn check(client: &AsyncClient, name: &str) {
    assert_eq!(client.get(name).await.unwrap().expect("a hit"), name);
}

/// Polls a future at most this many times, whether it was woken or not, and returns its output if it was ready.
fn some_polls<F: Future>(future: F, polls: usize) -> SomePolls<F> {
    SomePolls { future: Box::pin(future), left: polls }
}

struct SomePolls<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for SomePolls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
