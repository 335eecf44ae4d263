//! `memcached2`: memcached from the command line, for people who run servers.
//!
//! A file for each subject; `args` has the options that all commands share, and `output` what they print with.

mod args;
mod fleet;
mod hot;
mod items;
mod output;
mod ping;
mod progress;
mod record;
mod ring;
mod scan;
mod stats;
mod table;
mod top;
mod transfer;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser as _, Subcommand};

use self::args::Cli;
use self::output::{Failure, Outcome, Output};

/// What is asked for.
#[derive(Debug, Subcommand)]
enum Command {
    /// Connects to each server: is it up, which version, which protocol, how long does an answer take
    Ping,
    /// Prints statistics of each server, or how fast its counters grow
    Stats(stats::Stats),
    /// Fetches values, and writes their bytes as they are
    Get(items::Keys),
    /// Stores a value, of the standard input unless it is given
    Set(items::Set),
    /// Deletes items
    Delete(items::Keys),
    /// Gives items a new time to live
    Touch(items::Touch),
    /// Asks whether items exist: the exit code says so
    Exists(items::Keys),
    /// Adds to numbers, and prints the sums
    Incr(items::Count),
    /// Subtracts from numbers, and prints the differences, which are never below 0
    Decr(items::Count),
    /// Lists all items of all servers: key, time to live in seconds, bytes in memory, flags
    Dump(transfer::Dump),
    /// Stores what `dump --values` wrote; items expire when they would have
    Load(transfer::Load),
    /// Copies all items to other servers; they expire when they would have
    Copy(transfer::Copy),
    /// Copies the items that are missing on other servers
    Warm(transfer::Copy),
    /// Prints what happens in servers: keys fetched, stored, evicted and more
    Watch(watch::Watch),
    /// Prints which server has a key, or how many keys move to another server with another list or rule
    Ring(ring::Ring),
    /// Prints which keys are fetched most, after watching all servers for a time
    Hot(hot::Hot),
    /// Prints the slab classes of each server, what is evicted from them and what hits them, again and again
    Top(top::Top),
}

impl Command {
    /// How long a request may take, unless the user says so: many items with their values take longer.
    fn timeout(&self) -> Duration {
        match self {
            Self::Dump(_) | Self::Load(_) | Self::Copy(_) | Self::Warm(_) => Duration::from_secs(10),
            _ => Duration::from_secs(1),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Output::new(cli.shared.json);
    let ended = match (run(&cli, &mut out), out.flush().map_err(Failure::from)) {
        // All was done, so it is known what has come of it, though nobody reads that.
        (Ok(outcome), Ok(()) | Err(Failure::ClosedPipe)) => Ok(outcome),
        (Ok(_), Err(failure)) | (Err(failure), _) => Err(failure),
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Missing) => ExitCode::from(1),
        Ok(Outcome::Failed) => ExitCode::from(2),
        // Whoever reads has seen enough.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(Failure::Because(reason)) => {
            output::complain(&reason);
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli, out: &mut Output) -> Result<Outcome, Failure> {
    let fleet = cli.shared.fleet(cli.command.timeout())?;
    match &cli.command {
        Command::Ping => ping::ping(&fleet, out),
        Command::Stats(stats) => stats.run(&fleet, out),
        Command::Get(keys) => keys.get(&fleet, out),
        Command::Set(set) => set.run(&fleet, out),
        Command::Delete(keys) => keys.delete(&fleet, out),
        Command::Touch(touch) => touch.run(&fleet, out),
        Command::Exists(keys) => keys.exists(&fleet, out),
        Command::Incr(count) => count.incr(&fleet, out),
        Command::Decr(count) => count.decr(&fleet, out),
        Command::Dump(dump) => dump.run(&fleet, out),
        Command::Load(load) => load.run(&fleet, out),
        Command::Copy(copy) => copy.copy(&fleet, out),
        Command::Warm(copy) => copy.warm(&fleet, out),
        Command::Watch(watch) => watch.run(&fleet, out),
        Command::Ring(ring) => ring.run(&fleet, out),
        Command::Hot(hot) => hot.run(&fleet, out),
        Command::Top(top) => top.run(&fleet, out),
    }
}
