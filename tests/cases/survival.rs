//! Servers that attack their client: each call ends with an error, and memory stays within a bound. The guide `survival` has the table.
//!
//! Memory is that of a whole process, so each client runs all attacks in a process of its own, one after the other.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::command::Stats;
use memcached2_proto::operation::AllServers;
use memcached2_proto::{Credentials, Error, Expiry, Key, Options, Protocol};
use memcached2_testkit::EmbeddedServer;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use super::setting::{BRIEF, PATIENT, forgetful, kind};
use crate::subject::{Client, NAME};

super::cases! {
    served {}
    scripted {
        no_attack_takes_more_than_its_bound_or_keeps_a_caller,
    }
}

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;

/// Says that this process is the one that counts.
const COUNTS: &str = "SURVIVAL_COUNTS_MEMORY";

/// What a server does on each of its connections.
#[derive(Debug, Clone, Copy)]
struct Script {
    /// It waits for a request.
    is_asked: bool,
    /// What it says then.
    first: &'static str,
    /// What it says after that, again and again, with this pause. Nothing: it never reads nor writes any more.
    again: &'static str,
    pause: Duration,
}

const fn floods(first: &'static str, again: &'static str) -> Script {
    Script { is_asked: true, first, again, pause: Duration::ZERO }
}

const fn drips(first: &'static str, again: &'static str) -> Script {
    Script { is_asked: true, first, again, pause: Duration::from_millis(2) }
}

const SILENT: Script = Script { is_asked: false, first: "", again: "", pause: Duration::ZERO };

struct Attack {
    /// As the guide calls it.
    name: &'static str,
    script: Script,
    options: fn(Options) -> Options,
    /// A call about a key of the server that attacks.
    call: fn(&Client, &str) -> Result<(), Error>,
    /// What it ends with: see [`kind`].
    ends: &'static [&'static str],
    /// The most memory that is used meanwhile.
    mebibytes: usize,
}

/// By the classic protocol, so that the attack begins with the answer to the call.
fn classic(options: Options) -> Options {
    options.protocol(Protocol::Classic)
}

fn get(client: &Client, key: &str) -> Result<(), Error> {
    client.get(key).map(drop)
}

fn set(client: &Client, key: &str) -> Result<(), Error> {
    client.set(key, "x", Expiry::Never)
}

fn set_large(client: &Client, key: &str) -> Result<(), Error> {
    client.set(key, vec![b'x'; 16 * MIB], Expiry::Never)
}

/// Many callers at once, each with 100 kB.
fn crowd(client: &Client, key: &str) -> Result<(), Error> {
    let value = vec![b'x'; 100_000];
    let errors: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..100).map(|_| scope.spawn(|| client.set(key, &value, Expiry::Never))).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
    });
    errors.into_iter().collect()
}

fn stats(client: &Client, _: &str) -> Result<(), Error> {
    client.run(AllServers(Stats::general()))?.into_iter().next().expect("the first server").map(drop)
}

fn get_many(client: &Client, key: &str) -> Result<(), Error> {
    client.get_many(&[key, "other"])?.into_result().map(drop)
}

fn dump(client: &Client, _: &str) -> Result<(), Error> {
    client.metadump().idle_timeout(Some(BRIEF)).find_map(Result::err).map_or(Ok(()), Err)
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "a line that never ends",
        script: floods("", LINE),
        options: classic,
        call: get,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "a line that drips",
        script: drips("", "x"),
        options: classic,
        call: get,
        ends: &["timeout"],
        mebibytes: 1,
    },
    Attack {
        name: "a length above the limit",
        script: floods("VALUE k 0 999999999999\r\n", LINE),
        options: classic,
        call: get,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "a length that lies",
        script: drips("VALUE k 0 134217728\r\n", "x"),
        options: classic,
        call: get,
        ends: &["timeout"],
        mebibytes: 2,
    },
    Attack {
        name: "a value as long as the limit, without an end",
        script: floods("VALUE k 0 16777216\r\n", LINE),
        options: |options| classic(options).value_limit(16 * MIB),
        call: get,
        ends: &["protocol"],
        mebibytes: 24,
    },
    Attack {
        name: "values that nobody asked for",
        script: floods("VALUE k 0 1\r\nx\r\n", "VALUE k 0 1\r\nx\r\n"),
        options: classic,
        call: get_many,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "statistics that never end",
        script: floods("", "STAT some_counter 1234567890\r\n"),
        options: |options| classic(options).stats_limit(4 * MIB),
        call: stats,
        ends: &["protocol"],
        mebibytes: 12,
    },
    Attack {
        name: "a dump whose line never ends",
        script: floods("key=", LINE),
        options: classic,
        call: dump,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "answers before a request",
        script: Script { is_asked: false, ..floods("", "VALUE other 0 1\r\nx\r\nEND\r\n") },
        options: classic,
        call: get,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "answers without end",
        script: floods("END\r\n", "END\r\n"),
        options: classic,
        call: |client, key| (0..20).try_for_each(|_| get(client, key)),
        ends: &["", "protocol", "disconnected"],
        mebibytes: 1,
    },
    Attack {
        name: "noise in place of a protocol",
        script: floods("", LINE),
        options: |options| options,
        call: get,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "noise in place of a question for the password",
        script: floods("", LINE),
        options: |options| options.credentials(Credentials::new("user", "password").expect("both can be sent")),
        call: get,
        ends: &["protocol"],
        mebibytes: 1,
    },
    Attack {
        name: "no answer to anybody",
        script: SILENT,
        options: |options| classic(options).unsent_limit(4 * MIB as u64),
        call: crowd,
        ends: &["timeout", "disconnected"],
        mebibytes: 24,
    },
    Attack {
        name: "nothing is read",
        script: SILENT,
        options: classic,
        call: set_large,
        ends: &["timeout"],
        mebibytes: 40,
    },
    Attack {
        name: "no word after the connection is made",
        script: SILENT,
        options: |options| options,
        call: set,
        ends: &["timeout", "connect"],
        mebibytes: 1,
    },
];

/// What a line is made of that does not end.
const LINE: &str = match std::str::from_utf8(&[b'x'; 16 * 1024]) {
    Ok(line) => line,
    Err(_) => "",
};

/// A server that attacks, until it is dropped.
struct Attacker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Attacker {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, shared) = (listener.local_addr().expect("an address"), Arc::<Shared>::default());
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_listener.ended.load(Ordering::Relaxed) {
                    break;
                }
                let kept = stream.try_clone().expect("another handle");
                of_listener.streams.lock().expect("no panic").push(kept);
                if !(script.again.is_empty() && script.first.is_empty()) {
                    thread::spawn(move || play(stream, script));
                }
            }
        });
        Self { address, shared }
    }
}

fn play(mut stream: TcpStream, script: Script) -> std::io::Result<()> {
    if script.is_asked {
        // A request has more than that.
        stream.read_exact(&mut [0; 4])?;
    }
    stream.write_all(script.first.as_bytes())?;
    loop {
        stream.write_all(script.again.as_bytes())?;
        thread::sleep(script.pause);
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// How many bytes more were in use at one moment of `work` than before, as far as many looks have shown.
fn most_used<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, most, ended) = (in_use(), AtomicUsize::new(0), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(in_use(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let result = work();
        ended.store(true, Ordering::Relaxed);
        result
    });
    (result, most.into_inner().saturating_sub(before))
}

/// A key of one of the servers: a short one, which the answers of the scripts name if it is the first one's.
fn key_of(client: &Client, server: usize) -> String {
    let mut keys = ["k".to_owned()].into_iter().chain((0..1000).map(|at| format!("key{at}")));
    let router = client.router();
    keys.find(|key| router.route(Key::new(key).expect("a key")).is_ok_and(|id| id.index() == server)).expect("one")
}

impl Attack {
    fn run(&self, healthy: &EmbeddedServer) {
        let attacker = Attacker::start(self.script);
        // What ends by its limit has time for that on a busy machine.
        let patience = if self.ends.contains(&"timeout") { BRIEF } else { PATIENT };
        let options = (self.options)(forgetful(patience));
        let client = Client::with_options([attacker.address.to_string()], options).expect("an address");
        let begun = Instant::now();
        let (result, most) = most_used(|| (self.call)(&client, "k"));
        let took = begun.elapsed();
        let ended = result.as_ref().err().map_or("", kind);
        println!("{NAME}: {}: {} KiB, {} ms, {ended}", self.name, most >> 10, took.as_millis());
        assert!(self.ends.contains(&ended), "{}: {result:?}", self.name);
        assert!(most < self.mebibytes * MIB, "{}: {} KiB were in use", self.name, most >> 10);
        // Every call has a deadline of a second; on a busy machine it may be noticed late.
        assert!(took < PATIENT, "{}: the call took {took:?}", self.name);
        // Nobody else suffers.
        let addresses = [attacker.address.to_string(), healthy.address()];
        let both = Client::with_options(addresses, forgetful(PATIENT)).expect("both addresses");
        let key = key_of(&both, 1);
        both.set(&key, "fine", Expiry::Never).expect("a server that is healthy");
        assert_eq!(both.get(&key).expect("a server that is healthy").expect("a hit"), "fine");
    }
}

fn no_attack_takes_more_than_its_bound_or_keeps_a_caller() {
    const TEST: &str = "no_attack_takes_more_than_its_bound_or_keeps_a_caller";
    if std::env::var_os(COUNTS).is_none() {
        let name = format!("{}::on_script::{TEST}", module_path!().split_once("::").map_or("", |(_, path)| path));
        let test = std::env::current_exe().expect("the path of this test");
        let ran = Command::new(test).args(["--exact", &name, "--nocapture"]).env(COUNTS, "1").output();
        let ran = ran.expect("it can be run again");
        let (output, failed) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        println!("{output}");
        assert!(ran.status.success() && output.contains("1 passed"), "{output}\n{failed}");
        return;
    }
    let guide = include_str!("../../memcached2-proto/src/guide/survival.md");
    let healthy = EmbeddedServer::start();
    let client = Client::with_options([healthy.address()], forgetful(PATIENT)).expect("an address");
    // What is made once for all clients is not counted.
    client.get_many(&["a", "b"]).expect("keys").into_result().expect("a server that is healthy");
    for attack in ATTACKS {
        let row = format!("| {} |", attack.name);
        let row = guide.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("the guide has no {row}"));
        assert!(row.contains(&format!("| {} MiB |", attack.mebibytes)), "the guide says {row}");
        attack.run(&healthy);
    }
}
