mod gate;
mod off_thread;
mod play;
mod session;

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub use self::gate::Gate;
pub use self::session::Session;

/// Bounds every wait of the kit's servers and gates.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays one [`Session`] per connection, in the order of acceptance, on a free
/// port of 127.0.0.1.
///
/// Dropping the server checks the scripts as [`finish`](Self::finish) does,
/// which blocks the thread; in a single-threaded async runtime await
/// [`finished`](Self::finished). While the thread is panicking, the drop does
/// not wait and prints what has gone wrong so far.
#[derive(Debug)]
#[must_use = "a server that is dropped at once waits for clients which cannot come"]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    patience: Duration,
    finished: bool,
}

impl ScriptedServer {
    /// Starts to listen; clients can connect from now on.
    ///
    /// # Panics
    ///
    /// When 127.0.0.1 has no free port.
    #[track_caller]
    pub fn start(sessions: impl IntoIterator<Item = Session>) -> Self {
        Self::patient(sessions, PATIENCE)
    }

    #[track_caller]
    fn patient(sessions: impl IntoIterator<Item = Session>, patience: Duration) -> Self {
        let sessions: Vec<Session> = sessions.into_iter().collect();
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = match listener {
            Ok(bound) => bound,
            Err(error) => panic!("the scripted server cannot listen on 127.0.0.1: {error}"),
        };
        let shared = Arc::new(Shared::new(sessions.len()));
        let of_the_acceptor = Arc::clone(&shared);
        thread::spawn(move || accept(listener, sessions, patience, &of_the_acceptor));
        Self { address, shared, patience, finished: false }
    }

    /// Returns the address in the form `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the address the server listens on.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        self.address
    }

    /// Counts the connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until every session is over and stops the server.
    ///
    /// A session whose script leaves the end to the peer is over when the peer
    /// has closed, so the client has to be dropped before.
    ///
    /// # Panics
    ///
    /// If a script was not followed, a session has not started or ended within ten seconds, or there were more
    /// connections than sessions.
    #[track_caller]
    pub fn finish(mut self) {
        if let Err(what) = self.verdict() {
            panic!("{what}");
        }
    }

    /// Does the same as [`finish`](Self::finish) without blocking the thread.
    ///
    /// # Panics
    ///
    /// When [`finish`](Self::finish) would.
    pub async fn finished(mut self) {
        if let Err(what) = off_thread::off_thread(move || self.verdict()).await {
            panic!("{what}");
        }
    }

    fn verdict(&mut self) -> Result<(), String> {
        self.finished = true;
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, self.patience, |state| !state.is_over())
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        self.stop();
        let failures = self.shared.lock().failures(self.patience);
        if failures.is_empty() {
            return Ok(());
        }
        Err(self.report(&failures))
    }

    fn report(&self, failures: &[String]) -> String {
        let mut text = format!("the script of {} was not followed:", self.address);
        for failure in failures {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  {failure}");
        }
        text
    }

    /// Ends the acceptor with a last connection, which arrives after all others, so that all are counted.
    fn stop(&self) {
        let stopped = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
            let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
            socket.bind(&any.into())?;
            self.shared.lock().last = socket.local_addr()?.as_socket();
            socket.connect_timeout(&self.address.into(), self.patience)
        });
        let mut state = self.shared.lock();
        if let Err(error) = stopped {
            // An acceptor that has failed does not listen any more.
            if state.accepting {
                let failure = format!("the server cannot be stopped: {error}");
                state.troubles.push(failure);
            }
            return;
        }
        let (mut state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, self.patience, |state| state.accepting)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let failure = format!("the server has not stopped within {:?}", self.patience);
            state.troubles.push(failure);
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if thread::panicking() {
            let troubles = self.shared.lock().known_failures();
            if !troubles.is_empty() {
                eprintln!("{}", self.report(&troubles));
            }
            self.stop();
        } else if let Err(what) = self.verdict() {
            panic!("{what}");
        }
    }
}

fn accept(listener: TcpListener, sessions: Vec<Session>, patience: Duration, shared: &Arc<Shared>) {
    let count = sessions.len();
    let mut sessions = sessions.into_iter().enumerate();
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                continue;
            }
            Err(error) => {
                let failure = format!("the server cannot accept any more: {error}");
                shared.change(|state| state.troubles.push(failure));
                break;
            }
        };
        if shared.lock().last == Some(peer) {
            break;
        }
        shared.change(|state| state.connections += 1);
        if let Some((index, session)) = sessions.next() {
            let shared = Arc::clone(shared);
            thread::spawn(move || host(index, &session, stream, patience, &shared));
        } else {
            let number = shared.lock().connections;
            let failure = format!("connection {number} was opened, the script has {count}");
            shared.change(|state| state.troubles.push(failure));
        }
    }
    // After the server was seen to stop, connecting must fail.
    drop(listener);
    shared.change(|state| state.accepting = false);
}

fn host(index: usize, session: &Session, stream: TcpStream, patience: Duration, shared: &Shared) {
    // A connection that refuses the option is dead; the next step shows it.
    let _ = stream.set_nodelay(true);
    let mut connection = Some(stream);
    let result = play::play(session, &mut connection, patience, |place| {
        shared.change(|state| state.sessions[index] = Progress::At(place));
    });
    shared.change(|state| {
        let place = match &state.sessions[index] {
            Progress::At(place) => place.as_str(),
            _ => "the beginning",
        };
        state.sessions[index] = match result {
            Ok(()) => Progress::Followed,
            Err(what) => Progress::Failed(format!("{place}: {what}")),
        };
    });
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn new(sessions: usize) -> Self {
        Self {
            state: Mutex::new(State {
                sessions: (0..sessions).map(|_| Progress::Unbegun).collect(),
                troubles: Vec::new(),
                connections: 0,
                accepting: true,
                last: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

#[derive(Debug)]
struct State {
    sessions: Vec<Progress>,
    /// Failures that belong to no session.
    troubles: Vec<String>,
    connections: usize,
    accepting: bool,
    /// The peer whose connection stops the acceptor.
    last: Option<SocketAddr>,
}

#[derive(Debug)]
enum Progress {
    Unbegun,
    At(String),
    Followed,
    Failed(String),
}

impl State {
    /// A failure also ends the wait: its consequences are not interesting.
    fn is_over(&self) -> bool {
        let followed = |progress: &Progress| matches!(progress, Progress::Followed);
        !self.known_failures().is_empty() || self.sessions.iter().all(followed)
    }

    fn known_failures(&self) -> Vec<String> {
        let of_sessions = (1..).zip(&self.sessions).filter_map(|(number, progress)| {
            let Progress::Failed(what) = progress else {
                return None;
            };
            Some(format!("session {number}, {what}"))
        });
        of_sessions.chain(self.troubles.iter().cloned()).collect()
    }

    fn failures(&self, patience: Duration) -> Vec<String> {
        let mut failures = self.known_failures();
        // Once something has failed, others may not have had their time.
        if failures.is_empty() {
            failures.extend((1..).zip(&self.sessions).filter_map(|(number, progress)| match progress {
                Progress::Unbegun => Some(format!("session {number} never began")),
                Progress::At(place) => {
                    Some(format!("session {number}, {place}: not done {patience:?} after the test's end"))
                }
                Progress::Followed | Progress::Failed(_) => None,
            }));
        }
        failures
    }
}

#[cfg(test)]
mod tests;
