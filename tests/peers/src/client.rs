//! Who is measured, and what each of them can do.

use crate::job::{Operation, Workload};
use crate::python;

/// Who is measured; the table in the documentation of the program says what each one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Bare,
    Sync,
    Memcache,
    MemcacheExp,
    Pylibmc,
    Pymemcache,
    Tokio,
    Tokio2,
    Tokio4,
    Smol,
    MemcacheTokio,
    AsyncMemcached,
    MemcacheAsync,
    Deadpool,
    Bb8,
    Mcmc,
    Opendal,
    Ringline,
}

/// What a client is to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No client: what sockets and server take by themselves.
    Floor,
    /// A client of this project.
    Ours,
    /// A client of others.
    Rival,
}

impl Client {
    pub(crate) const ALL: [Self; 18] = [
        Self::Bare,
        Self::Sync,
        Self::Memcache,
        Self::MemcacheExp,
        Self::Pylibmc,
        Self::Pymemcache,
        Self::Tokio,
        Self::Tokio2,
        Self::Tokio4,
        Self::Smol,
        Self::MemcacheTokio,
        Self::AsyncMemcached,
        Self::MemcacheAsync,
        Self::Deadpool,
        Self::Bb8,
        Self::Mcmc,
        Self::Opendal,
        Self::Ringline,
    ];

    /// Finds the client of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }

    /// Returns the name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Sync => "sync",
            Self::Memcache => "memcache",
            Self::MemcacheExp => "memcache-exp",
            Self::Pylibmc => "pylibmc",
            Self::Pymemcache => "pymemcache",
            Self::Tokio => "tokio",
            Self::Tokio2 => "tokio-2",
            Self::Tokio4 => "tokio-4",
            Self::Smol => "smol",
            Self::MemcacheTokio => "memcache-exp-tokio",
            Self::AsyncMemcached => "async-memcached",
            Self::MemcacheAsync => "memcache-async",
            Self::Deadpool => "deadpool",
            Self::Bb8 => "bb8",
            Self::Mcmc => "mcmc-rs",
            Self::Opendal => "opendal",
            Self::Ringline => "ringline",
        }
    }

    /// Returns the name with which a reader finds it, and the version.
    pub(crate) fn title(self) -> String {
        let package = match self {
            Self::Bare => return "bare socket".to_owned(),
            Self::Sync => return "memcached2-sync".to_owned(),
            Self::Tokio => return "memcached2-tokio".to_owned(),
            Self::Tokio2 => return "memcached2-tokio, 2 connections".to_owned(),
            Self::Tokio4 => return "memcached2-tokio, 4 connections".to_owned(),
            Self::Smol => return "memcached2-async-std".to_owned(),
            Self::Pylibmc | Self::Pymemcache => return python::title(self.name()),
            Self::Memcache | Self::MemcacheExp | Self::MemcacheTokio => "memcache",
            Self::Deadpool => "deadpool-memcached",
            Self::Bb8 => "bb8-memcached",
            Self::Ringline => "ringline-memcache",
            other => other.name(),
        };
        let part = match self {
            Self::MemcacheExp => " exp",
            Self::MemcacheTokio => " exp, Tokio",
            _ => "",
        };
        format!("{package} {}{part}", version(package))
    }

    /// Returns what it is to a comparison.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Bare => Kind::Floor,
            Self::Sync | Self::Tokio | Self::Tokio2 | Self::Tokio4 | Self::Smol => Kind::Ours,
            _ => Kind::Rival,
        }
    }

    /// Returns whether its calls block. The bare sockets are compared with those whose workload it is.
    pub(crate) fn blocks(self, workload: &Workload) -> bool {
        match self {
            Self::Bare => workload.callers == 1,
            _ => {
                matches!(self, Self::Sync | Self::Memcache | Self::MemcacheExp | Self::Pylibmc | Self::Pymemcache)
            }
        }
    }

    /// Returns whether it takes part in a workload: it can do that, and it is there.
    pub(crate) fn does(self, workload: &Workload) -> bool {
        let operation = match self {
            Self::Memcache | Self::Mcmc if workload.operation == Operation::SetMany => false,
            // Its `set` does not wait for an answer.
            Self::MemcacheAsync | Self::Bb8 => matches!(workload.operation, Operation::Get | Operation::GetMany),
            Self::Opendal => matches!(workload.operation, Operation::Get | Operation::Set),
            Self::Tokio2 | Self::Tokio4 => workload.name == "conc64",
            _ => true,
        };
        let callers = workload.callers == 1 || !self.blocks(workload);
        let servers = workload.servers == 1
            || matches!(self, Self::Bare | Self::Tokio | Self::Smol | Self::MemcacheTokio | Self::Mcmc);
        operation && callers && servers && self.is_there()
    }

    /// Returns whether it was compiled in, or is installed.
    fn is_there(self) -> bool {
        match self {
            Self::Deadpool => cfg!(feature = "deadpool"),
            Self::Mcmc => cfg!(feature = "mcmc"),
            Self::Opendal => cfg!(feature = "opendal"),
            Self::Ringline => cfg!(feature = "ringline"),
            Self::Pylibmc | Self::Pymemcache => python::version(self.name()).is_some(),
            _ => true,
        }
    }
}

/// Returns the version of a package, the highest if there are two.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    lock.rsplit_once(&name).and_then(|(_, after)| after.split('"').next()).unwrap_or_default()
}
