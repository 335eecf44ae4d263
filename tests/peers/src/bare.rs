//! Sockets without a client: the floor, since it writes texts made before, and reads as many bytes as it knows will come.
//!
//! A call is one write and one read. For many callers the requests of half of them are one write; two such halves are
//! under way on each socket, so that the server has work while the other replies are read.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::figures::{Figures, Meter};
use crate::items::{Items, is_same};
use crate::job::{Job, Operation, Workload};

/// Does a job with sockets.
pub(crate) fn measure(job: &Job) -> Figures {
    let mut floor = Floor::new(job);
    floor.run(job.workload.warm_up());
    let meter = Meter::start(&job.servers);
    let latencies = floor.run(job.count);
    meter.stop(latencies.len() * floor.calls, latencies)
}

struct Floor {
    sockets: Vec<TcpStream>,
    /// Requests, and the replies to them.
    talks: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many calls of a client each of these is.
    calls: usize,
    /// How many of them are under way at a time.
    window: usize,
    buffer: Vec<u8>,
}

impl Floor {
    fn new(job: &Job) -> Self {
        let Workload { operation, size, callers, servers, .. } = job.workload;
        let items = Items::of(*size);
        let calls = if *callers == 1 { 1 } else { callers / 2 / servers };
        let talks = match operation {
            Operation::GetMany | Operation::SetMany => vec![talk(*operation, &mut items.pairs())],
            _ => {
                let talk = |at| talk(*operation, &mut (at..at + calls).map(|at| (items.key(at), items.value(at))));
                (0..items.keys.len()).map(talk).collect()
            }
        };
        let connect = |server: &String| {
            let socket = TcpStream::connect(server).expect("memcached runs there");
            socket.set_nodelay(true).expect("a socket");
            socket
        };
        let buffer = vec![0; talks.iter().map(|(_, reply)| reply.len()).max().unwrap_or_default()];
        let window = if *callers == 1 { 1 } else { 2 * servers };
        Self { sockets: job.servers.iter().map(connect).collect(), talks, calls, window, buffer }
    }

    /// Does about this many operations, and returns the latencies: the same for all that are one write.
    fn run(&mut self, count: usize) -> Vec<Duration> {
        let mut latencies = Vec::with_capacity(count / self.calls);
        let mut under_way = VecDeque::with_capacity(self.window);
        for at in 0..count.div_ceil(self.calls) {
            if under_way.len() == self.window {
                latencies.extend(under_way.pop_front().map(|sent| self.read(sent)));
            }
            under_way.push_back((at, Instant::now()));
            let socket = at % self.sockets.len();
            self.sockets[socket].write_all(&self.talks[at % self.talks.len()].0).expect("the server reads");
        }
        latencies.extend(under_way.into_iter().map(|sent| self.read(sent)));
        latencies
    }

    fn read(&mut self, (at, sent): (usize, Instant)) -> Duration {
        let (socket, reply) = (at % self.sockets.len(), &self.talks[at % self.talks.len()].1);
        let read = &mut self.buffer[..reply.len()];
        self.sockets[socket].read_exact(read).expect("the server answers");
        let latency = sent.elapsed();
        assert!(is_same(read, reply), "a wrong reply");
        latency
    }
}

/// Makes the request for some items, and the reply to it.
fn talk<'a>(operation: Operation, items: &mut dyn Iterator<Item = (&'a str, &'a [u8])>) -> (Vec<u8>, Vec<u8>) {
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    if operation == Operation::GetMany {
        request.extend(b"get");
    }
    for (key, value) in items {
        let size = value.len();
        match operation {
            Operation::Get => {
                request.extend(format!("mg {key} v\r\n").bytes());
                reply.extend([format!("VA {size}\r\n").as_bytes(), value, b"\r\n"].concat());
            }
            Operation::GetMany => {
                request.extend(format!(" {key}").bytes());
                reply.extend([format!("VALUE {key} 0 {size}\r\n").as_bytes(), value, b"\r\n"].concat());
            }
            Operation::Set | Operation::SetMany => {
                request.extend([format!("ms {key} {size}\r\n").as_bytes(), value, b"\r\n"].concat());
                reply.extend(b"HD\r\n");
            }
        }
    }
    if operation == Operation::GetMany {
        request.extend(b"\r\n");
        reply.extend(b"END\r\n");
    }
    (request, reply)
}
