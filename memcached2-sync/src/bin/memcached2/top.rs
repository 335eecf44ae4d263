//! `top`: the slab classes of servers, again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::Args;
use memcached2_sync::{Client, GroupedReport, Report};
use serde_json::{Value as Json, json};

use crate::args::duration;
use crate::fleet::{Fleet, answers};
use crate::output::{Failure, Outcome, Output};
use crate::table::{Table, bytes, percent, rate};

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often it is asked
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    interval: Duration,
    /// How many times it is asked: without end on a terminal, else once, unless given
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

/// What there is of one server.
struct Seen {
    general: Report,
    slabs: GroupedReport,
    items: GroupedReport,
    at: Instant,
}

/// Counters of a slab class whose growth is shown, each by the name of its column.
const RATES: [(&str, &str); 3] = [("get_hits", "hits/s"), ("cmd_set", "sets/s"), ("evicted", "evicted/s")];

impl Top {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let client = fleet.client()?;
        let count = self.count.unwrap_or(if out.is_terminal { u64::MAX } else { 1 });
        let (mut before, mut outcome) = (HashMap::new(), Outcome::Done);
        for number in 0..count {
            if number > 0 {
                std::thread::sleep(self.interval);
            }
            let (seen, ended) = look(&client)?;
            outcome = outcome.and(ended);
            if !out.is_json {
                out.clear(number == 0)?;
            }
            for (server, now) in &seen {
                show(server, before.get(server), now, out)?;
            }
            out.flush()?;
            before = seen.into_iter().collect();
        }
        Ok(outcome)
    }
}

fn look(client: &Client) -> Result<(Vec<(String, Seen)>, Outcome), Failure> {
    let (general, outcome) = answers(client, client.stats()?);
    // A server that was down just now is not reported again.
    let of_each = |results: memcached2_sync::BatchResult<GroupedReport>| -> HashMap<String, GroupedReport> {
        let router = client.router();
        let names = router.servers().iter().map(|server| server.name().to_owned());
        names.zip(results).filter_map(|(name, result)| Some((name, result.ok()?))).collect()
    };
    let (mut slabs, mut items) = (of_each(client.stats_slabs()?), of_each(client.stats_items()?));
    let at = Instant::now();
    let seen = general.into_iter().map(|(server, general)| {
        let (slabs, items) = (slabs.remove(&server).unwrap_or_default(), items.remove(&server).unwrap_or_default());
        (server, Seen { general, slabs, items, at })
    });
    Ok((seen.collect(), outcome))
}

fn show(server: &str, before: Option<&Seen>, now: &Seen, out: &mut Output) -> Result<(), Failure> {
    let number = |name: &str| now.general.number(name).unwrap_or(0);
    let grown = |name: &str| before.map(|before| number(name).saturating_sub(before.general.number(name).unwrap_or(0)));
    let seconds = before.map_or(0.0, |before| now.at.duration_since(before.at).as_secs_f64());
    let per_second = |grown: Option<u64>| grown.map(|grown| grown as f64 / seconds);
    if !out.is_json {
        let speed = |name| per_second(grown(name)).map_or_else(|| "-".to_owned(), rate);
        out.line(&format!(
            "{server}: {} items, {} of {}; {} connections; hits {} now, {} since it was started; {} gets/s, {} sets/s, {} evictions/s",
            number("curr_items"),
            bytes(number("bytes")),
            bytes(number("limit_maxbytes")),
            number("curr_connections"),
            grown("get_hits").map_or_else(|| "-".to_owned(), |hits| percent(hits, grown("cmd_get").unwrap_or(0))),
            percent(number("get_hits"), number("cmd_get")),
            speed("cmd_get"),
            speed("cmd_set"),
            speed("evictions"),
        ))?;
    }
    let header = ["class", "chunk", "pages", "used", "free", "items", "age", "evicted", "out of memory"];
    let mut table = Table::new(0, header.into_iter().chain(RATES.map(|(_, column)| column)));
    for (class, slab) in &now.slabs.groups {
        let none = Report::default();
        let items = now.items.groups.get(class).unwrap_or(&none);
        let of = |report: &Report, name: &str| report.number(name).unwrap_or(0);
        let counters = |seen: &Seen, name| {
            let group = seen.slabs.groups.get(class).and_then(|group| group.number(name));
            group.or_else(|| seen.items.groups.get(class).and_then(|group| group.number(name))).unwrap_or(0)
        };
        let rates = RATES.map(|(name, column)| {
            let grown = before.map(|before| counters(now, name).saturating_sub(counters(before, name)));
            (column, per_second(grown))
        });
        let fields = [
            ("class", u64::from(*class)),
            ("chunk_size", of(slab, "chunk_size")),
            ("pages", of(slab, "total_pages")),
            ("used_chunks", of(slab, "used_chunks")),
            ("free_chunks", of(slab, "free_chunks")),
            ("items", of(items, "number")),
            ("age", of(items, "age")),
            ("evicted", of(items, "evicted")),
            ("outofmemory", of(items, "outofmemory")),
        ];
        if out.is_json {
            let rates = rates.map(|(name, rate)| (name.replace('/', "_per_"), rate.map_or(Json::Null, Json::from)));
            let fields = fields.map(|(name, value)| (name.to_owned(), json!(value)));
            out.json(std::iter::once(("server".to_owned(), json!(server))).chain(fields).chain(rates))?;
        } else {
            let rates = rates.map(|(_, speed)| speed.map_or_else(|| "-".to_owned(), rate));
            table.row(fields.map(|(_, value)| value.to_string()).into_iter().chain(rates));
        }
    }
    if !out.is_json {
        table.print(out)?;
    }
    Ok(())
}
