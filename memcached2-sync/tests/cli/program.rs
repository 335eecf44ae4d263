//! Runs the program.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use memcached2_sync::{Client, Options};
use memcached2_testkit::{Clock, EmbeddedServer};
use serde_json::Value as Json;

/// The program with its environment.
pub(crate) struct Program(Vec<(&'static str, OsString)>);

/// Servers within the process, and the program that asks them. Their clock stands still, so that no time to live gets shorter.
pub(crate) fn servers(count: usize) -> (Vec<EmbeddedServer>, Program) {
    let clock = Clock::manual(1_500_000_000);
    let servers: Vec<_> = (0..count).map(|_| EmbeddedServer::with().clock(clock.clone()).start()).collect();
    let addresses: Vec<_> = servers.iter().map(EmbeddedServer::address).collect();
    (servers, Program::new(&addresses))
}

/// A client of these servers, which is patient: a busy machine is slow.
pub(crate) fn client(addresses: impl IntoIterator<Item = String>) -> Client {
    Client::with_options(addresses, Options::default().timeout(PATIENT).connect_timeout(PATIENT)).unwrap()
}

const PATIENT: Duration = Duration::from_secs(20);

impl Program {
    pub(crate) fn new<S: AsRef<str>>(servers: &[S]) -> Self {
        let servers: Vec<_> = servers.iter().map(AsRef::as_ref).collect();
        Self(vec![("MEMCACHED_SERVERS", servers.join(",").into())])
    }

    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memcached2"));
        for name in ["MEMCACHED_SERVERS", "MEMCACHED_USER", "MEMCACHED_PASSWORD"] {
            command.env_remove(name);
        }
        command.envs(self.0.iter().cloned());
        // A busy machine is slow.
        command.args(arguments).args(["--timeout", "20s"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it prints with this input.
    pub(crate) fn start(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        // It may end without reading.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    /// The same, with this exit code.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8], code: i32) -> Output {
        let output = self.start(arguments, input);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown}");
        output
    }

    pub(crate) fn feed_text(&self, arguments: &[&str], input: &[u8], code: i32) -> (String, String) {
        let output = self.feed(arguments, input, code);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> (String, String) {
        self.feed_text(arguments, b"", code)
    }

    /// The lines of JSON that it prints.
    pub(crate) fn json(&self, arguments: &[&str], code: i32) -> Vec<Json> {
        let (out, _) = self.run(&[arguments, &["--json"]].concat(), code);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Its first line, after which the output is closed; its exit code, and what it has said of it.
    pub(crate) fn first_line(&self, arguments: &[&str], input: Vec<u8>) -> (String, Option<i32>, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let (mut first, mut err) = (String::new(), String::new());
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        feeder.join().unwrap();
        (first, child.wait().unwrap().code(), err)
    }

    /// Its exit code, and what it has said, if nobody reads what it prints.
    pub(crate) fn unread(&self, arguments: &[&str], input: &[u8]) -> (Option<i32>, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        // It prints nothing before it has got this.
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}
