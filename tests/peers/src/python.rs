//! The clients for Python, by a script that is run with the Python of `$PYTHON`, `python3` otherwise.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::figures::{Figures, Latency, Meter};
use crate::job::{Job, Operation};

const SCRIPT: &str = include_str!("../peers.py");

/// Returns the version of a client, if it is installed.
pub(crate) fn version(client: &str) -> Option<&'static str> {
    static VERSIONS: OnceLock<HashMap<String, String>> = OnceLock::new();
    let versions = VERSIONS.get_or_init(|| {
        let output = python().arg("versions").stderr(Stdio::null()).output();
        let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let line =
            |line: &str| line.split_once(' ').map(|(name, version)| (name.to_owned(), version.trim().to_owned()));
        output.lines().filter_map(line).collect()
    });
    versions.get(client).map(String::as_str)
}

/// Returns the name and the version of a client.
pub(crate) fn title(client: &str) -> String {
    format!("{client} {}", version(client).unwrap_or_default())
}

/// Does a job with the script: it warms up and says `ready`, waits for a line, does the operations, and prints its figures.
pub(crate) fn measure(job: &Job) -> Figures {
    let operation = match job.workload.operation {
        Operation::Get => "get",
        Operation::GetMany => "get_many",
        Operation::Set => "set",
        Operation::SetMany => "set_many",
    };
    let numbers = [job.workload.size, job.workload.warm_up(), job.count].map(|number| number.to_string());
    let mut command = python();
    command.args([job.client.name(), operation]).args(numbers).arg(job.server());
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
    let mut input = script.stdin.take().expect("a pipe");
    let mut output = BufReader::new(script.stdout.take().expect("a pipe"));
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line of the script");
        line
    };
    assert_eq!(line().trim(), "ready", "the script");
    let meter = Meter::start(&job.servers);
    input.write_all(b"\n").expect("the script reads");
    let seconds = |word: &str| Duration::from_secs_f64(word.parse().expect("seconds"));
    let figures: Vec<_> = line().split_whitespace().map(seconds).collect();
    let [elapsed, cpu, p50, p99, p999] = figures[..] else { panic!("the figures of the script") };
    let figures = meter.figures(job.count, elapsed, cpu, Latency { p50, p99, p999 });
    assert!(script.wait().expect("a process").success(), "the script");
    figures
}

/// Returns the command that runs the script.
fn python() -> Command {
    let mut command = Command::new(env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    command.args(["-c", SCRIPT]);
    command
}
