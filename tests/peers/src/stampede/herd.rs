//! The programs that fetch together, as the one that starts them sees them: lines to their standard input, and lines from
//! their standard output.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Kind, PROGRAM, PROGRAMS};

/// How long a program may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The programs; they are killed on drop.
#[derive(Debug)]
pub(super) struct Herd {
    programs: Vec<Option<(Child, ChildStdin)>>,
    /// The lines of all, each with its program.
    lines: Receiver<(usize, String)>,
    computations: usize,
}

impl Herd {
    /// Starts the programs and waits until their connections are open.
    pub(super) fn start(kind: Kind, server: &str) -> Self {
        let (sender, lines) = channel();
        let program = |at| {
            let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
                .args([PROGRAM, kind.name(), server])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("this program starts again");
            let (stdin, stdout) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
            let sender = sender.clone();
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.map(|line| (at, line)).try_for_each(|line| sender.send(line))
            });
            Some((child, stdin))
        };
        let mut herd = Self { programs: (0..PROGRAMS).map(program).collect(), lines, computations: 0 };
        herd.hear_all("open");
        herd
    }

    /// How often a program has begun to compute.
    pub(super) fn computations(&self) -> usize {
        self.computations
    }

    fn tell(&mut self, program: usize, line: &str) {
        let Some((_, stdin)) = &mut self.programs[program] else { return };
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the program runs");
    }

    pub(super) fn tell_all(&mut self, line: &str) {
        (0..PROGRAMS).for_each(|program| self.tell(program, line));
    }

    /// The next line, but those that say that a program computes.
    fn hear(&mut self) -> String {
        loop {
            let (_, line) = self.lines.recv_timeout(PATIENCE).expect("a program says something");
            match line.as_str() {
                "computes" => self.computations += 1,
                _ => return line,
            }
        }
    }

    /// Waits until each program has said this.
    fn hear_all(&mut self, expected: &str) {
        (0..self.running()).for_each(|_| assert_eq!(self.hear(), expected));
    }

    fn running(&self) -> usize {
        self.programs.iter().flatten().count()
    }

    pub(super) fn ask(&mut self, program: usize, line: &str, answer: &str) {
        self.tell(program, line);
        assert_eq!(self.hear(), answer);
    }

    pub(super) fn ask_all(&mut self, line: &str, answer: &str) {
        self.tell_all(line);
        self.hear_all(answer);
    }

    /// Kills the first program that says that it computes, while it does so, and returns when that was.
    pub(super) fn kill_the_first_that_computes(&mut self) -> Instant {
        let (program, line) = self.lines.recv_timeout(PATIENCE).expect("a program says something");
        assert_eq!(line, "computes");
        self.computations += 1;
        let (mut child, _) = self.programs[program].take().expect("it runs");
        child.kill().and_then(|()| child.wait()).expect("it is killed");
        Instant::now()
    }

    /// Waits for the latencies of those who did not compute, and for the number of wrong values.
    pub(super) fn results(&mut self) -> (Vec<Duration>, usize) {
        let (mut latencies, mut wrong) = (Vec::new(), 0);
        for _ in 0..self.running() {
            let line = self.hear();
            let mut numbers = line
                .strip_prefix("done")
                .expect("results")
                .split_whitespace()
                .map(|number| number.parse::<u64>().expect("a number"));
            wrong += numbers.next().expect("the number of wrong values") as usize;
            latencies.extend(numbers.map(Duration::from_micros));
        }
        (latencies, wrong)
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for (child, _) in self.programs.iter_mut().flatten() {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}
