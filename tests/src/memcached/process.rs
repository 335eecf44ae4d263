use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::Place;

/// Bounds every wait for the process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds one question put to the process; it is asked again.
const ONE_ANSWER: Duration = Duration::from_secs(1);

/// How many lines of the standard error are kept, the last ones.
const LINES: usize = 50;

/// A running memcached, killed on drop.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stderr: Stderr,
}

impl Process {
    #[track_caller]
    pub(super) fn spawn(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        match child {
            Ok(mut child) => Self { stderr: Stderr::of(child.stderr.take()), child },
            Err(error) if error.kind() == ErrorKind::NotFound => panic!(
                "there is no {}: install it (`apt-get install -y memcached`, `brew install \
                 memcached`) or set MEMCACHED=/path/to/memcached",
                command.get_program().to_string_lossy()
            ),
            Err(error) => panic!("cannot run {command:?}: {error}"),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this very process answers: a stranger may have taken the port.
    pub(super) fn answers_at(&mut self, place: &Place) -> Result<(), String> {
        let mut last_answer = String::new();
        until(|| {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(Err(format!("it has ended with {status}"))),
                Err(error) => return Some(Err(format!("it cannot be watched: {error}"))),
            }
            match ask_for_pid(place) {
                Ok(Some(pid)) if pid != self.id() => {
                    last_answer = format!("process {pid} has answered");
                    None
                }
                Ok(_) => Some(Ok(())),
                Err(error) => {
                    last_answer = error.to_string();
                    None
                }
            }
        })
        .unwrap_or_else(|| Err(format!("it has not answered within {PATIENCE:?}: {last_answer}")))
    }

    /// Stops the process with SIGSTOP and waits until all its threads stand still.
    #[cfg(unix)]
    #[track_caller]
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
        let frozen = until(|| {
            // The status is left in place, for a process frozen twice.
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            match waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
                Ok(status) => status.map(|_| Ok(())),
                Err(error) => Some(Err(error)),
            }
        });
        match frozen {
            Some(Ok(())) => {}
            Some(Err(error)) => panic!("memcached {} is gone: {error}", self.id()),
            None => panic!("memcached {} runs on after SIGSTOP", self.id()),
        }
    }

    #[cfg(unix)]
    #[track_caller]
    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    #[cfg(not(unix))]
    #[track_caller]
    pub(super) fn freeze(&self) {
        panic!("memcached {} cannot be suspended: this system has no SIGSTOP", self.id());
    }

    #[cfg(not(unix))]
    #[track_caller]
    pub(super) fn thaw(&self) {
        panic!("memcached {} cannot be resumed: this system has no SIGCONT", self.id());
    }

    /// Kills the process and returns what it wrote to its standard error.
    pub(super) fn last_words(mut self) -> String {
        self.end();
        self.stderr.text()
    }

    #[cfg(unix)]
    #[track_caller]
    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(Pid::from_child(&self.child), signal) {
            panic!("cannot signal memcached {}: {error}", self.id());
        }
    }

    fn end(&mut self) {
        // Both fail only for a process that has ended before, which is the aim.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads the standard error all the time: a full pipe would block the process.
#[derive(Debug)]
struct Stderr {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stderr {
    fn of(stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let filled = Arc::clone(&lines);
        let reader = stderr.map(|stderr| {
            thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n') {
                    let Ok(line) = line else { break };
                    let mut lines = filled.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() == LINES {
                        lines.pop_front();
                    }
                    lines.push_back(String::from_utf8_lossy(&line).into_owned());
                }
            })
        });
        Self { lines, reader }
    }

    /// Returns the last lines of a process that has ended.
    fn text(&self) -> String {
        if let Some(reader) = &self.reader {
            // A process that inherited the pipe may hold it open; only what has come until now is shown.
            let _ = until(|| reader.is_finished().then_some(()));
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.make_contiguous().join("\n")
    }
}

/// Returns no id when the server answers but wants a password first.
fn ask_for_pid(place: &Place) -> io::Result<Option<u32>> {
    match place {
        Place::Tcp { port, plain } => {
            let address = plain.as_ref().unwrap_or(port).address();
            let stream = TcpStream::connect_timeout(&address, ONE_ANSWER)?;
            stream.set_read_timeout(Some(ONE_ANSWER))?;
            stream.set_write_timeout(Some(ONE_ANSWER))?;
            converse(stream)
        }
        #[cfg(not(unix))]
        Place::Unix(_) => Err(ErrorKind::Unsupported.into()),
        #[cfg(unix)]
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ONE_ANSWER))?;
            stream.set_write_timeout(Some(ONE_ANSWER))?;
            converse(stream)
        }
    }
}

fn converse(stream: impl Read + Write) -> io::Result<Option<u32>> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.get_mut().write_all(b"version\r\n")?;
    stream.read_line(&mut line)?;
    if line.starts_with("CLIENT_ERROR unauthenticated") {
        return Ok(None);
    }
    if !line.starts_with("VERSION ") {
        return Err(io::Error::other(format!("{line:?} answers `version`")));
    }
    stream.get_mut().write_all(b"stats\r\n")?;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 || line.starts_with("END") {
            return Err(io::Error::other("`stats` tells no pid"));
        }
        if let Some(pid) = line.strip_prefix("STAT pid ") {
            return pid.trim().parse().map(Some).map_err(io::Error::other);
        }
    }
}

/// Polls, because the kernel reports none of these events.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
