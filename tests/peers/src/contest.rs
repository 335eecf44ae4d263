//! The rounds, and the table that is made of them.

use std::fmt;
use std::time::Duration;

use crate::job::{Client, Figures, Job, Latency, Workload};

/// The figures of all rounds so far.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    rounds: Vec<Round>,
}

/// The figures of one round, in the order of the turns.
type Round = Vec<(Workload, Client, Figures)>;

impl Contest {
    /// Gives every client a turn under every workload.
    pub(crate) fn round(&mut self, server: &str) {
        let measure = |(workload, client): (Workload, Client)| {
            let job = Job { workload, client, count: workload.count(), server };
            (workload, client, job.measure())
        };
        self.rounds.push(turns().map(measure).collect());
    }

    /// Summarizes the rounds of one client under one workload.
    fn line(&self, workload: Workload, client: Client) -> Line {
        let figures = self.figures(workload, client);
        let reference = self.figures(workload, client.reference());
        let mut rates: Vec<f64> = figures.iter().map(|figures| figures.rate).collect();
        rates.sort_by(f64::total_cmp);
        let ratios = figures.iter().zip(&reference).map(|(own, other)| own.rate / other.rate).collect();
        let latencies: Vec<Latency> = figures.iter().filter_map(|figures| figures.latency).collect();
        Line {
            workload,
            client,
            low: rates[0],
            high: rates[rates.len() - 1],
            rate: median(rates),
            ratio: median(ratios),
            p50: median_time(latencies.iter().map(|latency| latency.p50)),
            p99: median_time(latencies.iter().map(|latency| latency.p99)),
        }
    }

    /// Returns the figures of one client under one workload, one of each round.
    fn figures(&self, workload: Workload, client: Client) -> Vec<Figures> {
        let of_round =
            |round: &Round| round.iter().find(|turn| (turn.0, turn.1) == (workload, client)).map(|turn| turn.2);
        self.rounds.iter().filter_map(of_round).collect()
    }
}

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<9}{:<17}{:>10}{:>10}{:>10}{:>8} {:<19}{:>10}{:>10}",
            "workload", "client", "ops/s", "lowest", "highest", "ratio", "to", "p50 us", "p99 us"
        )?;
        turns().try_for_each(|(workload, client)| writeln!(f, "{}", self.line(workload, client)))
    }
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    workload: Workload,
    client: Client,
    rate: f64,
    low: f64,
    high: f64,
    ratio: f64,
    p50: Option<f64>,
    p99: Option<f64>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, client, rate, low, high, ratio, p50, p99 } = self;
        write!(f, "{:<9}{:<17}{rate:>10.0}{low:>10.0}{high:>10.0}", workload.name(), client.name())?;
        write!(f, "{ratio:>8.2} {:<19}", client.reference().name())?;
        for micros in [p50, p99] {
            match micros {
                Some(micros) => write!(f, "{micros:>10.0}")?,
                None => write!(f, "{:>10}", "-")?,
            }
        }
        Ok(())
    }
}

/// Lists the turns of a round.
fn turns() -> impl Iterator<Item = (Workload, Client)> {
    Workload::ALL.into_iter().flat_map(|workload| workload.clients().iter().map(move |client| (workload, *client)))
}

/// Returns the middle one of some figures, the upper one of two; 0 of none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Returns the middle one of some times, in microseconds.
fn median_time(times: impl Iterator<Item = Duration>) -> Option<f64> {
    let micros: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e6).collect();
    (!micros.is_empty()).then(|| median(micros))
}
