//! `ring`: which server has a key, and how many keys move.

use clap::Args;
use memcached2_sync::proto::command::RoutingKey;
use memcached2_sync::proto::routing::ServerId;
use memcached2_sync::{Router, Selection};
use serde_json::{Value as Json, json};

use crate::args::selection;
use crate::fleet::Fleet;
use crate::items::{input_failure, input_lines};
use crate::output::{Failure, Outcome, Output, bytes_field, complain, shown};
use crate::table::{Table, percent};

/// Prints each key, which may be of any bytes, and its server; with --to or --to-selection also its server then, and the share of keys that move
#[derive(Debug, Args)]
#[command(after_help = rules())]
pub(crate) struct Ring {
    /// The keys; without any they are read from the standard input, a line each
    #[arg(value_name = "KEY", conflicts_with = "sample")]
    keys: Vec<String>,
    /// Makes up this number of keys, and prints only how many each server has
    #[arg(long, value_name = "NUMBER")]
    sample: Option<u64>,
    /// The servers to compare with
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    to: Vec<String>,
    /// The rule to compare with
    #[arg(long, value_name = "RULE", value_parser = selection)]
    to_selection: Option<Selection>,
    /// Takes this server for down, so that its keys go to others; may be repeated
    #[arg(long, value_name = "SERVER")]
    down: Vec<String>,
    /// Prints only how many keys each server has, and how many move
    #[arg(long)]
    summary: bool,
}

fn rules() -> String {
    format!("Rules: {}", Selection::NAMES.join(", "))
}

/// A list of servers with its rule, and what it was asked.
struct Side {
    router: Router,
    is_down: Vec<bool>,
    /// How many keys each server has, and at the end how many have none.
    counts: Vec<u64>,
}

impl Side {
    fn new(fleet: &Fleet, down: &[String]) -> Result<Self, Failure> {
        let router = fleet.router()?;
        let down: Vec<_> = down.iter().filter_map(|server| router.find(server).ok()).collect();
        let is_down = router.ids().map(|id| down.contains(&id)).collect();
        Ok(Self { counts: vec![0; router.servers().len() + 1], router, is_down })
    }

    /// The server of a key; `None` if none that is up has it.
    fn place(&mut self, key: RoutingKey<'_>) -> Option<&str> {
        let is_down = &self.is_down;
        let id = self.router.route_among(key, &|place| !is_down.get(place).copied().unwrap_or(false)).ok();
        let at = id.map_or(self.is_down.len(), ServerId::index);
        self.counts[at] += 1;
        self.router.server(id?).map(|server| server.name())
    }

    fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.router.servers().iter().map(|server| server.name());
        names.chain(std::iter::once("-")).zip(self.counts.iter().copied())
    }
}

impl Ring {
    pub(crate) fn run(&self, fleet: &Fleet, out: &mut Output) -> Result<Outcome, Failure> {
        let mut here = Side::new(fleet, &self.down)?;
        let mut there = match (&self.to[..], &self.to_selection) {
            ([], None) => None,
            (servers, rule) => {
                let mut fleet = fleet.or_servers(servers);
                if let Some(rule) = rule {
                    fleet.options = fleet.options.selection(rule.clone());
                }
                Some(Side::new(&fleet, &self.down)?)
            }
        };
        for server in &self.down {
            let is_known = |side: &Side| side.router.find(server).is_ok();
            if !is_known(&here) && !there.as_ref().is_some_and(is_known) {
                here.router.find(server)?;
            }
        }
        let (mut keys, mut moved, mut outcome) = (0_u64, 0_u64, Outcome::Done);
        let with_keys = self.sample.is_none() && !self.summary;
        self.each_key(|key| {
            let checked = match RoutingKey::new(key) {
                Ok(checked) => checked,
                Err(error) => {
                    complain(&error.to_string());
                    outcome = Outcome::Missing;
                    return Ok(());
                }
            };
            keys += 1;
            let before = here.place(checked);
            let after = there.as_mut().map(|there| there.place(checked));
            moved += u64::from(after.is_some_and(|after| after != before));
            if !with_keys {
                return Ok(());
            }
            if out.is_json {
                let after = after.map(|after| ("to".to_owned(), json!(after)));
                out.json([bytes_field("key", key), ("server".into(), json!(before))].into_iter().chain(after))?;
            } else {
                let after = after.map(|after| format!("\t{}", after.unwrap_or("-"))).unwrap_or_default();
                out.line(&format!("{}\t{}{after}", shown(key), before.unwrap_or("-")))?;
            }
            Ok(())
        })?;
        if !with_keys || there.is_some() {
            summarize(&here, there.as_ref(), keys, moved, out)?;
        }
        Ok(outcome)
    }

    fn each_key(&self, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(count) = self.sample {
            // The golden ratio in 64 bits: the keys share no beginning, and are the same in each run.
            return (1..=count)
                .try_for_each(|number| each(format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes()));
        }
        if self.keys.is_empty() {
            return input_lines().try_for_each(|key| each(&key.map_err(|error| input_failure(&error))?));
        }
        self.keys.iter().try_for_each(|key| each(key.as_bytes()))
    }
}

/// How many keys each server has, and how many move.
fn summarize(here: &Side, there: Option<&Side>, keys: u64, moved: u64, out: &mut Output) -> Result<(), Failure> {
    // A server of both lists has one row.
    let mut rows: Vec<(&str, u64, u64)> = here.names().map(|(name, count)| (name, count, 0)).collect();
    for (name, count) in there.into_iter().flat_map(Side::names) {
        match rows.iter_mut().find(|(known, ..)| *known == name) {
            Some((.., to)) => *to = count,
            None => rows.push((name, 0, count)),
        }
    }
    rows.retain(|(name, before, after)| *name != "-" || before + after > 0);
    if out.is_json {
        let servers = rows.iter().map(|(name, before, after)| match there {
            Some(_) => json!({"server": name, "keys": before, "keys_then": after}),
            None => json!({"server": name, "keys": before}),
        });
        let mut fields = vec![("keys", json!(keys)), ("servers", Json::Array(servers.collect()))];
        if there.is_some() {
            let share = if keys == 0 { 0.0 } else { moved as f64 / keys as f64 };
            fields.extend([("moved", json!(moved)), ("moved_share", json!(share))]);
        }
        return Ok(out.json(fields)?);
    }
    let header = ["server", "keys", "share", "keys then", "share then"];
    let columns = if there.is_some() { 5 } else { 3 };
    let mut table = Table::new(1, header.into_iter().take(columns));
    for (name, before, after) in rows {
        let cells = [name.into(), before.to_string(), percent(before, keys), after.to_string(), percent(after, keys)];
        table.row(cells.into_iter().take(columns));
    }
    table.print(out)?;
    if there.is_some() {
        out.line(&format!("{moved} of {keys} keys move: {}", percent(moved, keys)))?;
    }
    Ok(())
}
