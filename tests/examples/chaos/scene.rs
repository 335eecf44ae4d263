//! A scene: one client on servers of one kind, and what becomes of both.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use memcached2_proto::routing::Journal;
use memcached2_proto::{Options, ReconnectPolicy};
use memcached2_testkit::{Memcached, Rng};

use crate::caller::{Caller, OWN, Shared};
use crate::certificates::{TRUSTED, serve};
use crate::faults::Faults;
use crate::ledger::{Freshness, Ledger};
use crate::relay::Relay;
use crate::subject::Subject;
use crate::tally::{TIMEOUT, Tally, Violation};

/// Longer than anything takes.
const PATIENT: Duration = Duration::from_secs(20);
/// What libraries may keep for the next time.
const SLACK: usize = 256 * 1024;
/// While the network is faulty, one piece in this many has a fault.
const ONE_IN: usize = 20;

/// Which servers a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    One,
    Failover,
    Gutter,
    Replicas,
    Journal,
}

impl Topology {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::One, "one"),
        (Self::Failover, "failover"),
        (Self::Gutter, "gutter"),
        (Self::Replicas, "replicas"),
        (Self::Journal, "journal"),
    ];

    fn servers(self) -> usize {
        match self {
            Self::One => 1,
            Self::Failover | Self::Journal => 3,
            Self::Gutter | Self::Replicas => 4,
        }
    }

    fn freshness(self, is_strict: bool) -> Freshness {
        match self {
            Self::Journal => Freshness::Tried,
            Self::One => Freshness::Done,
            _ if is_strict => Freshness::Done,
            Self::Failover | Self::Gutter | Self::Replicas => Freshness::No,
        }
    }
}

/// What is played, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) topology: Topology,
    pub(crate) is_tls: bool,
    /// Whether old values count as stale where nothing is promised.
    pub(crate) is_strict: bool,
    /// Whether libraries take what they keep for the next time, which is no leak.
    pub(crate) is_warm_up: bool,
    /// Whether a full server refuses, and does not evict.
    pub(crate) refuses: bool,
    /// Whether the client is closed in the end, or dropped.
    pub(crate) is_closed: bool,
    pub(crate) seed: u64,
    pub(crate) operations: u64,
    pub(crate) faults: u64,
}

/// How many panics there were in this process.
pub(crate) static PANICS: AtomicU64 = AtomicU64::new(0);

/// What there is of this process: open files, tasks, bytes.
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    tasks: usize,
    memory: usize,
}

impl Held {
    fn now<S: Subject>() -> Self {
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self { files, tasks: S::tasks(), memory: crate::memory() }
    }

    /// How much more there is than before: files, tasks, and bytes that are not explained by what libraries keep.
    fn beyond(self, before: Self) -> [usize; 3] {
        [
            self.files.saturating_sub(before.files),
            self.tasks.saturating_sub(before.tasks),
            self.memory.saturating_sub(before.memory + SLACK),
        ]
    }
}

/// Plays a scene, and returns what came of it.
pub(crate) fn play<S: Subject>(scene: &Scene) -> Tally {
    let (before, panics) = (Held::now::<S>(), PANICS.load(Ordering::SeqCst));
    let tally = perform::<S>(scene);
    let begun = Instant::now();
    let mut beyond = Held::now::<S>().beyond(before);
    let remains = |beyond: [usize; 3]| if scene.is_warm_up { beyond[1] > 0 } else { beyond != [0; 3] };
    while remains(beyond) && begun.elapsed() < PATIENT {
        thread::sleep(Duration::from_millis(5));
        beyond = Held::now::<S>().beyond(before);
    }
    for (kind, count) in [Violation::Sockets, Violation::Tasks, Violation::Memory].into_iter().zip(beyond) {
        tally.violations(kind, count as u64, || format!("{count} more than before"));
    }
    let panics = PANICS.load(Ordering::SeqCst) - panics;
    tally.violations(Violation::Panic, panics, || "see above".into());
    tally
}

fn perform<S: Subject>(scene: &Scene) -> Tally {
    let setup = |at| {
        let setup = Memcached::with().args(["-m", "16"]);
        if scene.refuses && at == 0 { setup.args(["-M"]) } else { setup }
    };
    let started = (0..scene.topology.servers()).map(|at| match scene.is_tls {
        true => {
            let (server, files) = serve(setup(at));
            (server, Some(files))
        }
        false => (setup(at).start(), None),
    });
    let (mut servers, _files): (Vec<_>, Vec<_>) = started.unzip();
    let bare = |address: String| address.trim_start_matches("memcacheds://").to_owned();
    let direct: Vec<_> = servers.iter().map(|server| bare(server.address())).collect();
    let relays: Vec<_> = (0..)
        .zip(&direct)
        .map(|(at, address)| Relay::start(address, scene.seed.wrapping_add(at * 1_000_000), ONE_IN))
        .collect();
    let relayed: Vec<_> = relays.iter().map(Relay::address).collect();
    let journal = Arc::new(Journal::new(100_000));
    // One client is in reach of the servers, another one has the network in between.
    let clients: [S; 2] = [direct, relayed].map(|addresses| connect(scene, &addresses, &journal));
    let (threads, each) = S::CALLERS;
    let shared = Shared {
        ledger: Ledger::new(scene.topology.freshness(scene.is_strict), threads * each * OWN),
        tally: Tally::default(),
        has_conditions: scene.topology != Topology::Replicas,
    };
    let tally = &shared.tally;
    let goes_on = || {
        tally.answered.load(Ordering::Relaxed) < scene.operations || tally.faults.load(Ordering::Relaxed) < scene.faults
    };
    let is_calm = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (clients, shared, goes_on, is_calm) = (&clients, &shared, &goes_on, &is_calm);
            scope.spawn(move || {
                let callers = (thread * each..(thread + 1) * each).map(|number| {
                    let caller = Caller::new(clients[number % 2].clone(), shared, number, scene.seed);
                    act(caller, goes_on, is_calm)
                });
                S::block_on(join_all(callers));
            });
        }
        let faults = Faults { servers: &mut servers, relays: &relays, rng: Rng::new(scene.seed), tally };
        faults.run(goes_on);
        is_calm.store(true, Ordering::SeqCst);
    });
    tally.violations(Violation::Stale, journal.dropped(), || "the journal is full".into());
    if scene.is_closed {
        for client in clients {
            if !S::block_on(client.close(PATIENT)) {
                tally.violation(Violation::Stuck, || "the client cannot be closed".into());
            }
        }
    }
    drop(servers);
    let Shared { tally, .. } = shared;
    tally
}

/// Calls until the scene ends; then all that was written is read, once the servers are up.
async fn act<S: Subject>(mut caller: Caller<'_, S>, goes_on: impl Fn() -> bool, is_calm: &AtomicBool) {
    while goes_on() {
        caller.call().await;
    }
    while !is_calm.load(Ordering::SeqCst) {
        S::pause(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    while !caller.read_all().await {
        if begun.elapsed() > PATIENT {
            let what = || format!("a caller cannot read {PATIENT:?} after the last fault");
            return caller.shared().tally.violation(Violation::Stuck, what);
        }
        S::pause(Duration::from_millis(20)).await;
    }
}

fn connect<S: Subject>(scene: &Scene, addresses: &[String], journal: &Arc<Journal>) -> S {
    let scheme = if scene.is_tls { "memcacheds" } else { "memcached" };
    let named = |(at, address): (usize, &String)| format!("{scheme}://{address}?name=server{at}");
    let mut servers: Vec<_> = addresses.iter().enumerate().map(named).collect();
    let (min_delay, max_delay) = (Duration::from_millis(20), Duration::from_millis(200));
    let reconnect = ReconnectPolicy::Backoff { min_delay, max_delay };
    let options = Options::default().timeout(TIMEOUT).connect_timeout(TIMEOUT / 2).reconnect(reconnect);
    let options =
        options.tls_built_in_root_certs(false).add_root_certificate(TRUSTED.certificate()).pool_connections(6);
    let options = match scene.topology {
        Topology::One | Topology::Failover => options,
        Topology::Gutter => options.gutter([servers.remove(3)], Duration::from_secs(60)),
        Topology::Replicas => options.replica(servers.split_off(2)),
        Topology::Journal => options.failover(false).journal(Arc::clone(journal)),
    };
    S::connect(&servers, options)
}
