//! What is measured: the workloads.

use crate::client::Client;
use crate::figures::Figures;
use crate::{asynchronous, bare, blocking, python};

/// What a call of a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    GetMany,
    Set,
    SetMany,
}

/// What the clients are made to do.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) operation: Operation,
    /// The size of the values, in bytes.
    pub(crate) size: usize,
    /// How many tasks do the work.
    pub(crate) callers: usize,
    /// Over how many servers the keys are spread.
    pub(crate) servers: usize,
}

impl Workload {
    pub(crate) const ALL: [Self; 10] = [
        Self::serial("get10", Operation::Get, 10),
        Self::serial("get1k", Operation::Get, 1024),
        Self::serial("get100k", Operation::Get, 100 * 1024),
        Self::serial("get1m", Operation::Get, 1_000_000),
        Self::serial("set1k", Operation::Set, 1024),
        Self::serial("mget100", Operation::GetMany, 100),
        Self::serial("mset100", Operation::SetMany, 100),
        Self::gets("conc64", 64, 1),
        Self::gets("conc512", 512, 1),
        Self::gets("eight", 64, 8),
    ];

    /// Calls one after the other.
    const fn serial(name: &'static str, operation: Operation, size: usize) -> Self {
        Self { name, operation, size, callers: 1, servers: 1 }
    }

    /// Gets of 100 bytes by many tasks.
    const fn gets(name: &'static str, callers: usize, servers: usize) -> Self {
        Self { name, operation: Operation::Get, size: 100, callers, servers }
    }

    /// Finds the workload of a name.
    pub(crate) fn parse(name: &str) -> Option<&'static Self> {
        const { &Self::ALL }.iter().find(|workload| workload.name == name)
    }

    /// Returns who takes part, in the order of their turns.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Client> {
        Client::ALL.into_iter().filter(|client| client.does(self))
    }

    /// Returns how many operations go before the measured ones: they open the connections.
    pub(crate) fn warm_up(&self) -> usize {
        match self.callers {
            1 => 20,
            callers => callers * 10,
        }
    }
}

/// One turn: a client does this many operations of a workload.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) workload: &'static Workload,
    pub(crate) client: Client,
    pub(crate) count: usize,
    /// The addresses of as many servers as the workload needs.
    pub(crate) servers: Vec<String>,
}

impl Job {
    /// Does the operations and returns what they cost.
    pub(crate) fn measure(&self) -> Figures {
        match self.client {
            Client::Bare => bare::measure(self),
            Client::Sync | Client::Memcache | Client::MemcacheExp => blocking::measure(self),
            Client::Pylibmc | Client::Pymemcache => python::measure(self),
            #[cfg(feature = "ringline")]
            Client::Ringline => crate::ring::measure(self),
            _ => asynchronous::measure(self),
        }
    }

    /// Returns the address of the one server.
    pub(crate) fn server(&self) -> &str {
        &self.servers[0]
    }
}
