//! Shows which server has a key: by the rule of any client, with servers down, and compared with another rule.
//!
//! ```text
//! cargo run -p memcached2-proto --example ring -- --selector ketama --servers 10.0.0.1?weight=2,10.0.0.2 < keys
//! ```
//!
//! It reads a key from each line and prints `key<TAB>place of its server`, counted from 0, or `-` when the rule finds no
//! server that is up. `--down 0,2` takes servers for down. `--against NAME` adds the place under a second rule, and
//! ends with the share of keys that move.
#![expect(clippy::print_stderr, reason = "an example talks")]

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use memcached2_proto::command::RoutingKey;
use memcached2_proto::{Error, Router, Selection, Server};

const USAGE: &str = "usage: ring --selector NAME --servers URL,URL,... [--down I,J] [--against NAME] < keys";

/// What the command line asks for.
pub(crate) struct Request {
    rule: Router,
    against: Option<Router>,
    down: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        eprintln!("{USAGE}\nselectors: {}", Selection::NAMES.join(", "));
        return ExitCode::SUCCESS;
    }
    let told = Request::parse(&arguments).and_then(|request| request.answer(io::stdin().lock(), io::stdout().lock()));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ring: {problem}");
            ExitCode::from(2)
        }
    }
}

impl Request {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut selector, mut servers, mut down, mut against) = (None, None, None, None);
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let place = match option.as_str() {
                "--selector" => &mut selector,
                "--servers" => &mut servers,
                "--down" => &mut down,
                "--against" => &mut against,
                _ => return Err(format!("unknown option {option}; {USAGE}")),
            };
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value; {USAGE}"))?;
            if place.replace(value.as_str()).is_some() {
                return Err(format!("{option} stands there twice; {USAGE}"));
            }
        }
        let servers = servers.ok_or_else(|| format!("--servers is missing; {USAGE}"))?;
        let servers: Vec<Server> = servers
            .split(',')
            .map(|server| server.parse().map_err(|error: Error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let rule = |name: &str| -> Result<Router, String> {
            let selection: Selection =
                name.parse().map_err(|error: memcached2_proto::routing::UnknownSelection| error.to_string())?;
            Ok(Router::with_selection(servers.clone(), &selection))
        };
        let down = down.map_or(Ok(Vec::new()), |down| {
            let place = |text: &str| match text.parse::<usize>() {
                Ok(place) if place < servers.len() => Ok(place),
                _ => Err(format!(
                    "--down {text}: there is no such server; they are numbered from 0 to {}",
                    servers.len() - 1
                )),
            };
            down.split(',').map(place).collect()
        })?;
        let selector = selector.ok_or_else(|| format!("--selector is missing; {USAGE}"))?;
        Ok(Self { rule: rule(selector)?, against: against.map(rule).transpose()?, down })
    }

    pub(crate) fn answer(&self, keys: impl BufRead, out: impl Write) -> Result<(), String> {
        let mut out = io::BufWriter::new(out);
        let failed = |error: io::Error| format!("cannot go on: {error}");
        let (mut moved, mut count) = (0_u64, 0_u64);
        for (line, number) in keys.split(b'\n').zip(1_u64..) {
            let line = line.map_err(failed)?;
            let key = line.strip_suffix(b"\r").unwrap_or(&line);
            let checked = RoutingKey::new(key).map_err(|error| format!("line {number}: {error}"))?;
            let place = |router: &Router| router.route_among(checked, &|place| !self.down.contains(&place)).ok();
            let shown = |place: Option<memcached2_proto::routing::ServerId>| {
                place.map_or_else(|| "-".to_owned(), |place| place.index().to_string())
            };
            let here = place(&self.rule);
            out.write_all(key).map_err(failed)?;
            write!(out, "\t{}", shown(here)).map_err(failed)?;
            if let Some(against) = &self.against {
                let there = place(against);
                write!(out, "\t{}", shown(there)).map_err(failed)?;
                moved += u64::from(here != there);
            }
            count += 1;
            writeln!(out).map_err(failed)?;
        }
        if self.against.is_some() {
            let share = if count == 0 { 0.0 } else { 100.0 * moved as f64 / count as f64 };
            writeln!(out, "{moved} of {count} keys move: {share:.2} %").map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}
