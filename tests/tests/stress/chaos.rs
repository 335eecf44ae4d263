//! What happens to the servers.

use std::time::{Duration, Instant};

use memcached2_testkit::Memcached;

use super::traffic::Traffic;

/// Longer than anything takes.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// So many accidents.
const ACCIDENTS: usize = 12;

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
    pub(crate) fn run(mut self) {
        self.until("calls succeed", |traffic| traffic.succeeded(), 2000);
        for accident in 0..ACCIDENTS {
            let at = accident % self.servers.len();
            match accident % 4 {
                0 | 2 => {
                    self.servers[at].stop();
                    self.until("calls go to the others", |traffic| traffic.succeeded(), 2000);
                    self.servers[at].restart();
                }
                1 => self.servers[at].restart(),
                _ => {
                    self.servers[at].suspend();
                    self.until("calls run into it", |traffic| traffic.failed(), 10);
                    self.until("calls go to the others", |traffic| traffic.succeeded(), 2000);
                    self.servers[at].resume();
                }
            }
            self.until("calls succeed", |traffic| traffic.succeeded(), 2000);
        }
        self.recover();
        self.traffic.end();
    }

    /// Waits until so many more calls have ended like that.
    fn until(&self, what: &str, count: impl Fn(&Traffic) -> u64, more: u64) {
        let (begun, before) = (Instant::now(), count(self.traffic));
        while count(self.traffic) < before + more {
            let failed = self.traffic.failed();
            assert!(begun.elapsed() < PATIENT, "waited too long until {what}: {failed} have failed");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until no call fails any more.
    fn recover(&mut self) {
        let begun = Instant::now();
        loop {
            let failed = self.traffic.failed();
            self.until("calls succeed", |traffic| traffic.succeeded(), 5000);
            if self.traffic.failed() == failed {
                return;
            }
            assert!(begun.elapsed() < PATIENT, "calls fail still");
        }
    }
}
