//! What a turn has shown, and the clocks that measure it.

use std::time::{Duration, Instant};

use memcached2_sync::BatchResult;

use crate::items::options;

/// What a turn has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Operations per second.
    pub(crate) rate: f64,
    /// The latency of an operation.
    pub(crate) latency: Latency,
    /// The time of the processor that an operation took of the client, in microseconds.
    pub(crate) client_cpu: f64,
    /// The same of the servers.
    pub(crate) server_cpu: f64,
    /// How much of a core the servers used, in percent. A server with one worker can use one.
    pub(crate) server_load: f64,
}

/// The latency that half of the operations, 99 of 100, and 999 of 1,000 did not exceed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

impl Latency {
    /// Finds the percentiles of latencies; there are none of no operations.
    pub(crate) fn of(mut latencies: Vec<Duration>) -> Option<Self> {
        latencies.sort_unstable();
        let percentile = |permille: usize| latencies.get(latencies.len() * permille / 1000).copied();
        Some(Self { p50: percentile(500)?, p99: percentile(990)?, p999: percentile(999)? })
    }
}

/// The clocks, read before a turn.
#[derive(Debug)]
pub(crate) struct Meter {
    servers: Vec<String>,
    server_cpu: f64,
    client_cpu: Duration,
    started: Instant,
}

impl Meter {
    /// Reads the clocks.
    pub(crate) fn start(servers: &[String]) -> Self {
        let server_cpu = server_cpu(servers);
        Self { servers: servers.to_vec(), server_cpu, client_cpu: client_cpu(), started: Instant::now() }
    }

    /// Reads the clocks again and returns the figures of this many operations.
    pub(crate) fn stop(self, count: usize, latencies: Vec<Duration>) -> Figures {
        let (elapsed, cpu) = (self.started.elapsed(), client_cpu().saturating_sub(self.client_cpu));
        self.figures(count, elapsed, cpu, Latency::of(latencies).expect("operations"))
    }

    /// Returns the figures of operations of another process, which has read its own clocks.
    pub(crate) fn figures(self, count: usize, elapsed: Duration, cpu: Duration, latency: Latency) -> Figures {
        let server_cpu = server_cpu(&self.servers) - self.server_cpu;
        Figures {
            rate: count as f64 / elapsed.as_secs_f64(),
            latency,
            client_cpu: cpu.as_secs_f64() * 1e6 / count as f64,
            server_cpu: server_cpu * 1e6 / count as f64,
            server_load: server_cpu / elapsed.as_secs_f64() * 100.0,
        }
    }
}

/// Returns the time of the processor that this process has used.
pub(crate) fn client_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the time of the processor that servers have used, in seconds.
fn server_cpu(servers: &[String]) -> f64 {
    let client = memcached2_sync::Client::with_options(servers, options()).expect("servers");
    let reports = client.stats().and_then(BatchResult::into_result).expect("memcached runs there");
    let number = |report: &memcached2_sync::Report, name| report.float(name).unwrap_or_default();
    reports.iter().map(|report| number(report, "rusage_user") + number(report, "rusage_system")).sum()
}
