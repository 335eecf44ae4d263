//! What happens to the servers.

use std::time::{Duration, Instant};

use memcached2_testkit::Memcached;

use super::relay::Relay;
use super::traffic::Traffic;

/// Longer than anything takes.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// The number of faults.
const ACCIDENTS: usize = 8;

/// One accident after the other, each as long as it takes for calls to run into it.
#[derive(Debug)]
pub(crate) struct Chaos<'c> {
    servers: &'c mut [Memcached],
    traffic: &'c Traffic,
}

impl<'c> Chaos<'c> {
    pub(crate) fn new(servers: &'c mut [Memcached], traffic: &'c Traffic) -> Self {
        Self { servers, traffic }
    }

    /// Lets it all happen, then ends the traffic once all servers are found again.
    pub(crate) fn run(self) {
        until(self.traffic, "calls succeed", |traffic| traffic.succeeded(), 2000);
        for accident in 0..ACCIDENTS {
            let at = accident % self.servers.len();
            match accident % 4 {
                0 | 2 => {
                    self.servers[at].stop();
                    until(self.traffic, "calls go to the others", |traffic| traffic.succeeded(), 2000);
                    self.servers[at].restart();
                }
                1 => self.servers[at].restart(),
                _ => {
                    self.servers[at].suspend();
                    until(self.traffic, "calls run into it", |traffic| traffic.failed(), 10);
                    until(self.traffic, "calls go to the others", |traffic| traffic.succeeded(), 2000);
                    self.servers[at].resume();
                }
            }
            until(self.traffic, "calls succeed", |traffic| traffic.succeeded(), 2000);
        }
        recover(self.traffic);
        self.traffic.end();
    }
}

/// Lets the networks before the servers do their worst for a while.
pub(crate) fn weather(relays: &[Relay], traffic: &Traffic) {
    const FAULTS: u64 = 40;
    until(traffic, "calls succeed", Traffic::succeeded, 2000);
    relays.iter().for_each(|relay| relay.set_faulty(true));
    until(traffic, "faults come", |_| relays.iter().map(Relay::faults).sum(), FAULTS);
    relays.iter().for_each(|relay| relay.set_faulty(false));
    recover(traffic);
    traffic.end();
}

/// Waits until this many more were counted.
fn until(traffic: &Traffic, what: &str, count: impl Fn(&Traffic) -> u64, more: u64) {
    let (begun, before) = (Instant::now(), count(traffic));
    while count(traffic) < before + more {
        let failed = traffic.failed();
        assert!(begun.elapsed() < PATIENT, "waited too long until {what}: {failed} have failed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until no call fails any more.
fn recover(traffic: &Traffic) {
    let begun = Instant::now();
    loop {
        let failed = traffic.failed();
        until(traffic, "calls succeed", |traffic| traffic.succeeded(), 5000);
        if traffic.failed() == failed {
            return;
        }
        assert!(begun.elapsed() < PATIENT, "calls fail still");
    }
}
