//! What happens to servers and to the network before them.

use std::io::{BufWriter, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use memcached2_testkit::{Memcached, Rng};

use crate::relay::Relay;
use crate::tally::{TIMEOUT, Tally};

/// One fault after the other, until the callers end.
#[derive(Debug)]
pub(crate) struct Faults<'s> {
    pub(crate) servers: &'s mut [Memcached],
    pub(crate) relays: &'s [Relay],
    pub(crate) rng: Rng,
    pub(crate) tally: &'s Tally,
}

impl Faults<'_> {
    pub(crate) fn run(mut self, goes_on: impl Fn() -> bool) {
        let mut kinds: Vec<usize> = Vec::new();
        while goes_on() {
            self.wait(20, 150);
            // Each kind once before any comes again.
            if kinds.is_empty() {
                kinds = (0..6).collect();
            }
            let kind = kinds.swap_remove(self.rng.below(kinds.len()));
            let at = self.rng.below(self.servers.len());
            match kind {
                0 => {
                    self.tally.fault("killed", 1);
                    self.servers[at].restart();
                }
                1 => {
                    self.tally.fault("killed", 1);
                    self.servers[at].stop();
                    self.wait(20, 300);
                    self.servers[at].restart();
                }
                2 => self.suspend(at, TIMEOUT / 20, TIMEOUT * 3 / 4),
                3 => self.suspend(at, TIMEOUT * 5 / 4, TIMEOUT * 2),
                4 => {
                    self.tally.fault("filled", 1);
                    // The first one may be one that refuses when it is full.
                    let _ = fill(&self.servers[0].plain_address());
                }
                _ => self.weather(),
            }
            self.tally.faults.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn wait(&mut self, least: usize, most: usize) {
        thread::sleep(Duration::from_millis((least + self.rng.below(most - least)) as u64));
    }

    fn suspend(&mut self, at: usize, least: Duration, most: Duration) {
        let kind = if most < TIMEOUT { "stopped shortly" } else { "stopped" };
        self.tally.fault(kind, 1);
        self.servers[at].suspend();
        let [least, most] = [least, most].map(|time| usize::try_from(time.as_millis()).expect("a short time"));
        self.wait(least, most);
        self.servers[at].resume();
    }

    /// The networks delay, cut, reset, swallow and send bytewise.
    fn weather(&mut self) {
        let faults = |relays: &[Relay]| relays.iter().map(Relay::faults).sum::<u64>();
        let before = faults(self.relays);
        self.relays.iter().for_each(|relay| relay.set_faulty(true));
        self.wait(100, 500);
        self.relays.iter().for_each(|relay| relay.set_faulty(false));
        self.tally.fault("network", faults(self.relays) - before);
    }
}

/// Stores more than there is room for, small and large. It expires soon, for a server that does not evict.
fn fill(address: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let mut stream = BufWriter::with_capacity(64 * 1024, stream);
    let value = vec![b'x'; 500_000];
    for at in 0..80_000 {
        let length = if at < 40 { value.len() } else { at % 250 };
        write!(stream, "set fill:{at} 0 1 {length} noreply\r\n")?;
        stream.write_all(&value[..length])?;
        stream.write_all(b"\r\n")?;
    }
    stream.flush()
}
