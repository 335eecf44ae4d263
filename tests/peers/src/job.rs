//! What is measured: workloads, clients, and the figures that come out.

use std::time::Duration;

use crate::{asynchronous, blocking};

/// What the clients are made to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Gets of 100 bytes by 64 tasks on one thread.
    Conc64,
    /// Gets of 10 bytes, one after the other.
    Serial,
    /// Calls for 100 keys of 100 bytes each.
    Mget100,
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::Conc64, Self::Serial, Self::Mget100];

    /// Finds the workload of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Returns the name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Conc64 => "conc64",
            Self::Serial => "serial",
            Self::Mget100 => "mget100",
        }
    }

    /// Returns who takes part, in the order of their turns.
    pub(crate) fn clients(self) -> &'static [Client] {
        match self {
            Self::Conc64 => &[Client::Tokio, Client::Tokio2, Client::Tokio4, Client::AsyncMemcached],
            Self::Serial | Self::Mget100 => {
                &[Client::Sync, Client::Memcache, Client::MemcacheExp, Client::Tokio, Client::AsyncMemcached]
            }
        }
    }

    /// Returns the size of the values.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Serial => 10,
            Self::Conc64 | Self::Mget100 => 100,
        }
    }

    /// Returns how many tasks do the work.
    pub(crate) fn callers(self) -> usize {
        match self {
            Self::Conc64 => 64,
            Self::Serial | Self::Mget100 => 1,
        }
    }

    /// Returns how many operations a turn has: about a second of them.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Conc64 => 64 * 4_000,
            Self::Serial => 20_000,
            Self::Mget100 => 4_000,
        }
    }

    /// Returns how many operations go before the measured ones: they open the connections.
    pub(crate) fn warm_up(self) -> usize {
        match self {
            Self::Conc64 => 64 * 20,
            Self::Serial => 200,
            Self::Mget100 => 20,
        }
    }
}

/// Who is measured; the table in the documentation of the program says what each one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Sync,
    Tokio,
    Tokio2,
    Tokio4,
    Memcache,
    MemcacheExp,
    AsyncMemcached,
}

impl Client {
    const ALL: [Self; 7] =
        [Self::Sync, Self::Tokio, Self::Tokio2, Self::Tokio4, Self::Memcache, Self::MemcacheExp, Self::AsyncMemcached];

    /// Finds the client of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }

    /// Returns the name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Tokio => "tokio",
            Self::Tokio2 => "tokio-2",
            Self::Tokio4 => "tokio-4",
            Self::Memcache => "memcache",
            Self::MemcacheExp => "memcache-exp",
            Self::AsyncMemcached => "async-memcached",
        }
    }

    /// Returns the client whose rate is 1 in the column of ratios.
    pub(crate) fn reference(self) -> Self {
        match self {
            Self::Sync | Self::Memcache | Self::MemcacheExp => Self::Memcache,
            Self::Tokio | Self::Tokio2 | Self::Tokio4 | Self::AsyncMemcached => Self::AsyncMemcached,
        }
    }
}

/// One turn: a client does this many operations of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) workload: Workload,
    pub(crate) client: Client,
    pub(crate) count: usize,
    pub(crate) server: &'a str,
}

impl Job<'_> {
    /// Does the operations and returns how fast they were.
    pub(crate) fn measure(&self) -> Figures {
        match self.client {
            Client::Sync | Client::Memcache | Client::MemcacheExp => blocking::measure(self),
            Client::Tokio | Client::Tokio2 | Client::Tokio4 | Client::AsyncMemcached => asynchronous::measure(self),
        }
    }
}

/// What a turn has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Operations per second.
    pub(crate) rate: f64,
    /// The latency of a get, where it was measured.
    pub(crate) latency: Option<Latency>,
}

impl Figures {
    /// Returns the figures of `count` operations that took `elapsed` together.
    pub(crate) fn of(count: usize, elapsed: Duration) -> Self {
        Self { rate: count as f64 / elapsed.as_secs_f64(), latency: None }
    }
}

/// The latency that half of the gets, and that 99 of 100, did not exceed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Latency {
    /// Finds the percentiles of latencies; there are none of no gets.
    pub(crate) fn of(mut gets: Vec<Duration>) -> Option<Self> {
        gets.sort_unstable();
        let percentile = |percent: usize| gets.get(gets.len() * percent / 100).copied();
        Some(Self { p50: percentile(50)?, p99: percentile(99)? })
    }
}
