//! The rounds, and the table that is made of them.

use std::collections::BTreeSet;
use std::fmt;

use memcached2_testkit::Memcached;

use crate::client::{Client, Kind};
use crate::figures::Figures;
use crate::items;
use crate::job::{Job, Workload};
use crate::plot::{Bar, Group, Shade};

/// About how many seconds a turn takes.
const TURN: f64 = 0.3;

/// The turns of a round, and the figures of all rounds so far.
#[derive(Debug)]
pub(crate) struct Contest {
    turns: Vec<Job>,
    /// One of each turn.
    rounds: Vec<Vec<Figures>>,
    _servers: Vec<Memcached>,
    version: String,
}

impl Contest {
    /// Starts the servers, stores the items, and finds out how many operations a turn has.
    ///
    /// `only` names workloads and clients: those that are not named take no turn. If no workload is named all of them are
    /// measured, and the same for clients.
    pub(crate) fn new(only: &[&str]) -> Self {
        let is_named = |name: &str| only.contains(&name);
        let are_workloads_named = Workload::ALL.iter().any(|workload| is_named(workload.name));
        let are_clients_named = Client::ALL.iter().any(|client| is_named(client.name()));
        let workloads = const { &Workload::ALL }.iter();
        let workloads: Vec<_> = workloads.filter(|workload| !are_workloads_named || is_named(workload.name)).collect();
        let start = |_| Memcached::with().threads(1).args(["-m", "1024", "-c", "2048"]).start();
        let servers: Vec<_> =
            (0..workloads.iter().map(|workload| workload.servers).max().unwrap_or(1)).map(start).collect();
        let addresses: Vec<_> = servers.iter().map(Memcached::address).collect();
        let sizes: BTreeSet<_> = workloads.iter().map(|workload| (workload.servers, workload.size)).collect();
        for (count, size) in sizes {
            items::fill(&addresses[..count], size);
        }
        let mut turns = Vec::new();
        for workload in workloads {
            for client in workload.clients().filter(|client| !are_clients_named || is_named(client.name())) {
                let servers = addresses[..workload.servers].to_vec();
                let mut job = Job { workload, client, count: 5 * workload.warm_up(), servers };
                job.count = ((job.measure().rate * TURN) as usize).clamp(workload.warm_up(), 1_000_000);
                turns.push(job);
            }
        }
        Self { turns, rounds: Vec::new(), version: items::version(&addresses[0]), _servers: servers }
    }

    /// Gives every client a turn under every workload.
    pub(crate) fn round(&mut self) {
        self.rounds.push(self.turns.iter().map(Job::measure).collect());
    }

    /// Returns a plot of the table: the more operations per second, the longer is a bar.
    pub(crate) fn svg(&self) -> String {
        let lines = self.lines();
        let group = |workload: &Workload| Group {
            title: title(workload),
            bars: lines.iter().filter(|line| line.workload.name == workload.name).map(Line::bar).collect(),
        };
        let groups: Vec<_> = Workload::ALL.iter().map(group).filter(|group: &Group| !group.bars.is_empty()).collect();
        let title =
            format!("Operations per second, memcached {}: medians of {} rounds", self.version, self.rounds.len());
        crate::plot::svg(&title, &groups)
    }

    fn lines(&self) -> Vec<Line> {
        (0..self.turns.len()).map(|turn| self.line(turn)).collect()
    }

    /// Summarizes the rounds of one client under one workload.
    fn line(&self, turn: usize) -> Line {
        let Job { workload, client, .. } = self.turns[turn];
        let rates = self.all(turn, |figures| figures.rate);
        let micros = |time: fn(&Figures) -> std::time::Duration| {
            median(self.all(turn, |figures| time(figures).as_secs_f64() * 1e6))
        };
        Line {
            workload,
            client,
            low: rates.iter().copied().fold(f64::INFINITY, f64::min),
            high: rates.iter().copied().fold(0.0, f64::max),
            ratio: self.best_rival(turn).map(|rival| {
                let others = self.all(rival, |figures| figures.rate);
                let ratios = rates.iter().zip(others).map(|(own, other)| own / other).collect();
                (median(ratios), self.turns[rival].client)
            }),
            rate: median(rates),
            p50: micros(|figures| figures.latency.p50),
            p99: micros(|figures| figures.latency.p99),
            p999: micros(|figures| figures.latency.p999),
            client_cpu: median(self.all(turn, |figures| figures.client_cpu)),
            server_cpu: median(self.all(turn, |figures| figures.server_cpu)),
            server_load: median(self.all(turn, |figures| figures.server_load)),
        }
    }

    /// Finds the fastest client of others among those that block, or among those that do not, as that of this turn does.
    fn best_rival(&self, turn: usize) -> Option<usize> {
        let Job { workload, client, .. } = self.turns[turn];
        let is_rival = |rival: &usize| {
            let job = &self.turns[*rival];
            job.workload.name == workload.name
                && job.client.kind() == Kind::Rival
                && job.client.blocks(workload) == client.blocks(workload)
        };
        let rate = |rival: &usize| median(self.all(*rival, |figures| figures.rate));
        (0..self.turns.len()).filter(is_rival).max_by(|one, other| rate(one).total_cmp(&rate(other)))
    }

    /// Returns a figure of a turn, one of each round.
    fn all(&self, turn: usize, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.rounds.iter().map(|round| figure(&round[turn])).collect()
    }
}

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memcached {}, one worker, medians of {} rounds", self.version, self.rounds.len())?;
        write!(f, "{:<9}{:<18}{:>9}{:>9}{:>9}", "workload", "client", "ops/s", "lowest", "highest")?;
        write!(f, "{:>7} {:<18}{:>9}{:>9}{:>9}", "ratio", "to", "p50 us", "p99 us", "p999 us")?;
        writeln!(f, "{:>10}{:>10}{:>9}", "client us", "server us", "server %")?;
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    workload: &'static Workload,
    client: Client,
    rate: f64,
    low: f64,
    high: f64,
    ratio: Option<(f64, Client)>,
    p50: f64,
    p99: f64,
    p999: f64,
    client_cpu: f64,
    server_cpu: f64,
    server_load: f64,
}

impl Line {
    fn bar(&self) -> Bar {
        let rate = if self.rate < 9999.5 { format!("{:.0}", self.rate) } else { format!("{:.0}k", self.rate / 1000.0) };
        let ratio = self.ratio.filter(|(_, rival)| *rival != self.client);
        let digits = |ratio: f64| if ratio < 1.0 { 2 } else { 1 };
        let ratio = ratio.map(|(ratio, _)| format!(", {ratio:.*}\u{d7}", digits(ratio))).unwrap_or_default();
        let shade = match self.client.kind() {
            Kind::Floor => Shade::Floor,
            Kind::Ours => Shade::Ours,
            Kind::Rival => Shade::Other,
        };
        Bar { label: self.client.title(), value: self.rate, text: rate + &ratio, shade }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, client, rate, low, high, ratio, p50, p99, p999, .. } = self;
        write!(f, "{:<9}{:<18}{rate:>9.0}{low:>9.0}{high:>9.0}", workload.name, client.name())?;
        match ratio {
            Some((ratio, to)) => write!(f, "{ratio:>7.2} {:<18}", to.name())?,
            None => write!(f, "{:>7} {:<18}", "-", "-")?,
        }
        write!(f, "{p50:>9.1}{p99:>9.1}{p999:>9.1}")?;
        write!(f, "{:>10.2}{:>10.2}{:>9.0}", self.client_cpu, self.server_cpu, self.server_load)
    }
}

/// Says in words what a workload is.
fn title(workload: &Workload) -> String {
    let what = match workload.name {
        "get10" => "get of 10 bytes",
        "get1k" => "get of 1 KiB",
        "get100k" => "get of 100 KiB",
        "get1m" => "get of 1 MB",
        "set1k" => "set of 1 KiB",
        "mget100" => "get_many of 100 keys",
        "mset100" => "set_many of 100 keys",
        "conc64" => "get by each of 64 tasks",
        "conc512" => "get by each of 512 tasks",
        _ => "get by each of 64 tasks, 8 servers",
    };
    format!("{}: {what}", workload.name)
}

/// Returns the middle one of some figures, the upper one of two; 0 of none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
