//! `stats`: what servers say of themselves.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use memcached2_sync::proto::stats::Statistic;
use memcached2_sync::{BatchResult, Client, Error, GroupedReport, PrefixCount, Report, SizeReport};
use serde_json::{Map, Value as Json, json};

use crate::args::duration;
use crate::fleet::{Fleet, answers};
use crate::output::{Failure, Outcome, Output, shown};
use crate::table::{Table, percent, rate};

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Which statistics
    #[arg(value_enum, default_value_t)]
    kind: Kind,
    /// Prints how much each counter grew per second, again and again after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    watch: Option<Duration>,
    /// How many times, with --watch; without end unless given
    #[arg(long, value_name = "NUMBER", requires = "watch")]
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Counters
    #[default]
    General,
    /// How the server was started
    Settings,
    /// Items, by slab class
    Items,
    /// Memory, by slab class
    Slabs,
    /// How many items there are of each size; needs `-o track_sizes`
    Sizes,
    /// Connections
    Conns,
    /// Pages of the storage on disk
    Extstore,
    /// Requests by prefix, once `stats detail on` counts them
    Detail,
}

/// Names and values, in the order of the server. Names have their group before them: `1:chunk_size`.
type Flat = Vec<(String, Json)>;

impl Stats {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        match self.watch {
            Some(every) => self.watch(&client, every, out),
            None => {
                let (servers, outcome) = self.kind.ask(&client)?;
                if out.is_json {
                    for (server, flat) in servers {
                        let values: Map<_, _> = flat.into_iter().collect();
                        out.json([("server", json!(server)), ("stats", Json::Object(values))])?;
                    }
                } else if !servers.is_empty() {
                    print(&servers, text, out)?;
                }
                Ok(outcome)
            }
        }
    }

    fn watch(&self, client: &Client, every: Duration, out: &mut Output) -> Result<Outcome, Failure> {
        let (mut before, mut outcome) = self.kind.ask(client)?;
        let mut asked = Instant::now();
        for number in 0..self.count.unwrap_or(u64::MAX) {
            std::thread::sleep(every);
            let (now, ended) = self.kind.ask(client)?;
            let elapsed = asked.elapsed().as_secs_f64();
            asked = Instant::now();
            outcome = outcome.and(ended);
            let rates: Vec<_> = now
                .iter()
                .filter_map(|(server, flat)| {
                    let (_, old) = before.iter().find(|(known, _)| known == server)?;
                    Some((server.clone(), growth(old, flat, elapsed)))
                })
                .collect();
            if out.is_json {
                for (server, rates) in &rates {
                    let rates: Map<_, _> = rates.iter().cloned().collect();
                    out.json([
                        ("server", json!(server)),
                        ("seconds", json!(elapsed)),
                        ("per_second", Json::Object(rates)),
                    ])?;
                }
            } else {
                out.clear(number == 0)?;
                hit_rates(&before, &now, out)?;
                print(&rates, |value| rate(value.as_f64().unwrap_or(0.0)), out)?;
            }
            out.flush()?;
            before = now;
        }
        Ok(outcome)
    }
}

impl Kind {
    fn ask(self, client: &Client) -> Result<(Vec<(String, Flat)>, Outcome), Error> {
        Ok(match self {
            Self::General => flat(client, client.stats()?, of_report),
            Self::Settings => flat(client, client.stats_settings()?, of_report),
            Self::Items => flat(client, client.stats_items()?, of_groups),
            Self::Slabs => flat(client, client.stats_slabs()?, of_groups),
            Self::Conns => flat(client, client.stats_conns()?, of_groups),
            Self::Extstore => flat(client, client.stats_extstore()?, of_groups),
            Self::Sizes => flat(client, client.stats_sizes()?, of_sizes),
            Self::Detail => flat(client, client.stats_detail_dump()?, |prefixes| of_prefixes(prefixes)),
        })
    }
}

fn flat<T>(client: &Client, results: BatchResult<T>, flatten: fn(&T) -> Flat) -> (Vec<(String, Flat)>, Outcome) {
    let (servers, outcome) = answers(client, results);
    (servers.into_iter().map(|(server, report)| (server, flatten(&report))).collect(), outcome)
}

fn of_report(report: &Report) -> Flat {
    report.iter().map(|(name, value)| (name.to_owned(), json(value))).collect()
}

fn of_groups(report: &GroupedReport) -> Flat {
    let groups = report.groups.iter().flat_map(|(group, report)| {
        of_report(report).into_iter().map(move |(name, value)| (format!("{group}:{name}"), value))
    });
    groups.chain(of_report(&report.totals)).collect()
}

fn of_sizes(report: &SizeReport) -> Flat {
    let sizes = report.sizes.iter().map(|(size, count)| (size.to_string(), (*count).into()));
    sizes.chain(of_report(&report.status)).collect()
}

fn of_prefixes(prefixes: &[PrefixCount]) -> Flat {
    let fields = |of: &PrefixCount| [("get", of.get), ("hit", of.hit), ("set", of.set), ("del", of.del)];
    let flat = |of: &PrefixCount| fields(of).map(|(name, count)| (format!("{}:{name}", of.prefix), count.into()));
    prefixes.iter().flat_map(flat).collect()
}

fn json(value: Statistic<'_>) -> Json {
    match value {
        Statistic::Number(number) => number.into(),
        Statistic::Float(number) => number.into(),
        Statistic::Boolean(is_on) => is_on.into(),
        Statistic::Text(text) => text.into(),
        _ => Json::Null,
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => shown(text.as_bytes()),
        Json::Bool(true) => "yes".into(),
        Json::Bool(false) => "no".into(),
        Json::Null => "-".into(),
        value => value.to_string(),
    }
}

/// A row for each name, a column for each server.
fn print(servers: &[(String, Flat)], text: impl Fn(&Json) -> String, out: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new(1, ["name"].into_iter().chain(servers.iter().map(|(server, _)| server.as_str())));
    let mut names: Vec<&str> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (name, _) in servers.iter().flat_map(|(_, flat)| flat) {
        if known.insert(name.as_str()) {
            names.push(name);
        }
    }
    let columns: Vec<std::collections::HashMap<_, _>> =
        servers.iter().map(|(_, flat)| flat.iter().map(|(name, value)| (name.as_str(), value)).collect()).collect();
    for name in names {
        let cells = columns.iter().map(|column| column.get(name).map_or_else(|| "-".into(), |value| text(value)));
        table.row(std::iter::once(shown(name.as_bytes())).chain(cells));
    }
    Ok(table.print(out)?)
}

/// How much the counters grew per second, those that did.
fn growth(before: &Flat, now: &Flat, seconds: f64) -> Flat {
    let before: std::collections::HashMap<_, _> = before.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let of_one = |(name, value): &(String, Json)| {
        let grown = value.as_u64()?.checked_sub(before.get(name.as_str())?.as_u64()?)?;
        let per_second = (100.0 * grown as f64 / seconds).round() / 100.0;
        (grown > 0 && is_counter(name)).then(|| (name.clone(), per_second.into()))
    };
    now.iter().filter_map(of_one).collect()
}

/// The share of keys that were found since, on all servers that answered then and now. One that was restarted counts from the next time on.
fn hit_rates(before: &[(String, Flat)], now: &[(String, Flat)], out: &mut Output) -> Result<(), Failure> {
    let count = |flat: &Flat, wanted: &str| flat.iter().find(|(name, _)| name == wanted)?.1.as_u64();
    let (mut hits, mut misses) = (0_u64, 0_u64);
    for (server, flat) in now {
        let Some((_, old)) = before.iter().find(|(known, _)| known == server) else { continue };
        let grown = |name| count(flat, name)?.checked_sub(count(old, name)?);
        if let (Some(more_hits), Some(more_misses)) = (grown("get_hits"), grown("get_misses")) {
            (hits, misses) = (hits.saturating_add(more_hits), misses.saturating_add(more_misses));
        }
    }
    let keys = hits.saturating_add(misses);
    if keys > 0 {
        out.line(&format!("found: {hits} of {keys} keys, {}", percent(hits, keys)))?;
    }
    Ok(())
}

/// Whether a statistic only grows: not a size, a number of what there is now, a setting or the time.
fn is_counter(name: &str) -> bool {
    const GAUGES: [&str; 33] = [
        "active_slabs",
        "bytes",
        "chunk_size",
        "chunks_per_page",
        "connection_structures",
        "evicted_time",
        "extstore_bytes_fragmented",
        "extstore_bytes_used",
        "extstore_io_queue",
        "extstore_limit_maxbytes",
        "extstore_objects_used",
        "extstore_pages_free",
        "extstore_pages_used",
        "log_watchers",
        "mem_requested",
        "pid",
        "pointer_size",
        "read_buf_bytes",
        "read_buf_bytes_free",
        "read_buf_count",
        "reserved_fds",
        "response_obj_bytes",
        "response_obj_count",
        "response_obj_free",
        "slab_global_page_pool",
        "threads",
        "time",
        "total_chunks",
        "total_malloced",
        "total_pages",
        "unexpected_napi_ids",
        "uptime",
        "used_chunks",
    ];
    const GROUPS: [&str; 7] = ["age", "curr_", "free_", "hash_", "limit_", "max_", "number"];
    let name = name.rsplit(':').next().unwrap_or(name);
    !GAUGES.contains(&name) && !GROUPS.iter().any(|group| name.starts_with(group))
}
