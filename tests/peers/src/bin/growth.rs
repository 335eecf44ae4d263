//! What one more costs: a key of a batch, a byte of a value, a server, an idle client or connection, a waiting task.
//!
//! ```text
//! cargo run --release --manifest-path tests/peers/Cargo.toml --bin growth [-- --svg FILE]
//! ```
//!
//! Where a figure stays the same from a small number to a large one, the whole grows no faster than the number. It needs
//! `memcached` in the `PATH` or in `$MEMCACHED`. Times are those of the processor that this program used, without the
//! server's, medians of five; memory is what the heap holds, without the kernel's buffers.
//!
//! | part | what is measured |
//! |---|---|
//! | keys | a `get_many` of 1 to 10,000 keys with values of 100 bytes, each call on a connection that is open |
//! | bytes | a `get` of 1 KiB to 100 MB |
//! | large | a `get` of 100 MB beside a socket without a client, in turn: milliseconds of the clock on the wall |
//! | pieces | the reply to a `get`, fed to a connection without a socket: whole, in pieces of a packet, byte by byte |
//! | servers | a lookup of a key among 10 to 10,000 servers, by the router alone |
//! | clients, connections | a client that has not connected, and one that has done a get, a thousand and a hundred of each |
//! | tasks | gets by 10 to 100,000 tasks of one client while the server is suspended, and until all are answered |

use std::alloc::System;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use memcached2_proto::{Connection, Get, Key, Limits, Now, Router, Selection, Server};
use memcached2_sync::{BatchResult, Expiry, Options};
use memcached2_testkit::Memcached;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Runtime;

use self::plot::{Bar, Group, Shade};

#[path = "../plot.rs"]
#[expect(dead_code, reason = "the bars of a comparison have more colours")]
mod plot;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a time is measured.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = match &arguments[..] {
        [] => None,
        [flag, file] if flag == "--svg" => Some(file),
        _ => {
            eprintln!("usage: growth [--svg FILE]");
            std::process::exit(2)
        }
    };
    let server = Memcached::with().threads(1).args(["-m", "1024", "-I", "128m"]).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let blocking = blocking(&server);
    let tasks = runtime.block_on(async { shared(&server) });
    let mut groups = Vec::new();
    let mut show = |group: Group| {
        println!("{}", group.title);
        group.bars.iter().for_each(|bar| println!("{:>30} {}", bar.label, bar.text));
        groups.push(group);
    };
    keys(&blocking, &runtime, &tasks).into_iter().for_each(&mut show);
    bytes(&blocking, &runtime, &tasks).into_iter().for_each(&mut show);
    show(large(&server, &blocking, &runtime, &tasks));
    pieces().into_iter().for_each(&mut show);
    servers().into_iter().for_each(&mut show);
    show(clients(&server, &runtime));
    waiting(&server, &runtime).into_iter().for_each(&mut show);
    if let Some(file) = file {
        std::fs::write(file, plot::svg("What one more costs", &groups)).expect("a file that can be written");
    }
}

/// A client that gives a call the time that a suspended server needs.
fn options() -> Options {
    Options::default().timeout(Duration::from_secs(60)).connect_timeout(Duration::from_secs(10))
}

fn blocking(server: &Memcached) -> memcached2_sync::Client {
    memcached2_sync::Client::with_options([server.address()], options()).expect("a server")
}

fn shared(server: &Memcached) -> memcached2_tokio::Client {
    memcached2_tokio::Client::with_options([server.address()], options()).expect("a server")
}

/// A figure for a number of something.
fn bar(label: &str, value: f64, unit: &str) -> Bar {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    Bar { label: label.to_owned(), value, text: format!("{value:.digits$} {unit}"), shade: Shade::Ours }
}

/// Makes a plot of figures, one for each number.
fn group(title: &str, unit: &str, numbers: &[usize], mut figure: impl FnMut(usize) -> f64) -> Group {
    Group {
        title: title.to_owned(),
        bars: numbers.iter().map(|number| bar(&number.to_string(), figure(*number), unit)).collect(),
    }
}

/// Returns the nanoseconds of the processor that a call takes, the median of some rounds of this many calls.
fn nanoseconds(calls: usize, mut call: impl FnMut()) -> f64 {
    call();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = cpu();
            (0..calls).for_each(|_| call());
            (cpu() - before).as_secs_f64() * 1e9 / calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Returns the time of the processor that this process has used.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns how many bytes the heap holds.
fn held() -> f64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

fn keys(blocking: &memcached2_sync::Client, runtime: &Runtime, tasks: &memcached2_tokio::Client) -> [Group; 2] {
    const COUNTS: [usize; 5] = [1, 10, 100, 1000, 10_000];
    let keys: Vec<_> = (0..10_000).map(|at| format!("key:{at:06}")).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, [b'x'; 100])).collect();
    blocking.set_many(&items, Expiry::Never).and_then(BatchResult::into_result).expect("stored");
    let calls = |count: usize| (50_000 / count).clamp(5, 5000);
    let check = |values: Result<BatchResult<_>, memcached2_sync::Error>, count: usize| {
        assert_eq!(values.and_then(BatchResult::into_result).expect("values").iter().flatten().count(), count);
    };
    [
        group("get_many, blocking: a key", "ns", &COUNTS, |count| {
            nanoseconds(calls(count), || check(blocking.get_many(&keys[..count]), count)) / count as f64
        }),
        group("get_many, Tokio: a key", "ns", &COUNTS, |count| {
            nanoseconds(calls(count), || check(runtime.block_on(tasks.get_many(&keys[..count])), count)) / count as f64
        }),
    ]
}

fn bytes(blocking: &memcached2_sync::Client, runtime: &Runtime, tasks: &memcached2_tokio::Client) -> [Group; 2] {
    const SIZES: [usize; 6] = [1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    for size in SIZES {
        blocking.set(format!("size:{size}"), vec![b'x'; size], Expiry::Never).expect("stored");
    }
    let calls = |size: usize| (100_000_000 / size).clamp(2, 5000);
    let is_whole = |value: Option<memcached2_sync::Value>, size| {
        assert_eq!(value.map(|value| value.data().len()), Some(size));
    };
    [
        group("get, blocking: 1,000 bytes", "ns", &SIZES, |size| {
            let key = format!("size:{size}");
            nanoseconds(calls(size), || is_whole(blocking.get(&key).expect("an answer"), size)) * 1e3 / size as f64
        }),
        group("get, Tokio: 1,000 bytes", "ns", &SIZES, |size| {
            let key = format!("size:{size}");
            let get = || is_whole(runtime.block_on(tasks.get(&key)).expect("an answer"), size);
            nanoseconds(calls(size), get) * 1e3 / size as f64
        }),
    ]
}

fn large(
    server: &Memcached,
    blocking: &memcached2_sync::Client,
    runtime: &Runtime,
    tasks: &memcached2_tokio::Client,
) -> Group {
    const KEY: &str = "size:100000000";
    let head = format!("VALUE {KEY} 0 100000000\r\n");
    let mut socket = TcpStream::connect(server.address()).expect("memcached runs there");
    let mut calls: [(&str, &mut dyn FnMut()); 3] = [
        ("a bare socket", &mut || {
            socket.write_all(format!("get {KEY}\r\n").as_bytes()).expect("the server reads");
            // Memory of its own for each value, as a program has that keeps them.
            let mut reply = vec![0; head.len() + 100_000_000 + "\r\nEND\r\n".len()];
            socket.read_exact(&mut reply).expect("the server answers");
            assert!(reply.starts_with(head.as_bytes()) && reply.ends_with(b"\r\nEND\r\n"));
        }),
        ("blocking", &mut || drop(blocking.get(KEY).expect("an answer").expect("the value"))),
        ("Tokio", &mut || drop(runtime.block_on(tasks.get(KEY)).expect("an answer").expect("the value"))),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..4 * ROUNDS {
        for ((_, call), times) in calls.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            call();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let bars = calls.iter().zip(&mut times).map(|((name, _), times)| {
        times.sort_by(f64::total_cmp);
        bar(name, times[times.len() / 2], "ms")
    });
    Group { title: "get of 100 MB: on the wall".to_owned(), bars: bars.collect() }
}

fn pieces() -> [Group; 3] {
    let of_piece = |name: &str, piece: usize| {
        group(&format!("a reply, fed {name}: 1,000 bytes"), "ns", &[1000, 10_000, 100_000, 1_000_000], |size| {
            let reply = [format!("VALUE a 0 {size}\r\n").as_bytes(), &vec![b'x'; size], b"\r\nEND\r\n"].concat();
            let get = Get::new("a").expect("a key");
            let mut connection = Connection::new(Limits::default());
            let take = || {
                connection.submit(&get, Now::new(Instant::now(), SystemTime::now), 0).expect("it is open");
                drop(connection.take_outgoing());
                for piece in reply.chunks(piece) {
                    connection.feed(piece, |_, reply, _| drop(black_box(reply))).expect("a part of a reply");
                }
                assert!(connection.is_idle());
            };
            nanoseconds((10_000_000 / size).clamp(5, 5000), take) * 1e3 / size as f64
        })
    };
    [of_piece("whole", usize::MAX), of_piece("by 1,460 bytes", 1460), of_piece("byte by byte", 1)]
}

fn servers() -> Vec<Group> {
    let keys: Vec<_> = (0..1000).map(|at| format!("key:{at}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| Key::new(key).expect("a key")).collect();
    let of_rule = |name: &str| {
        let selection: Selection = name.parse().expect("a rule");
        group(&format!("servers, by {name}: a lookup"), "ns", &[10, 100, 1000, 10_000], |count| {
            let server = |at| format!("10.0.{}.{}:11211", at / 250, at % 250 + 1).parse::<Server>().expect("a server");
            let router = Router::with_selection((0..count).map(server).collect(), &selection);
            let look_up = || keys.iter().for_each(|key| drop(black_box(router.route(*key))));
            nanoseconds((10_000 / count).clamp(1, 20), look_up) / keys.len() as f64
        })
    };
    ["default", "ketama", "jump", "rendezvous"].into_iter().map(of_rule).collect()
}

fn clients(server: &Memcached, runtime: &Runtime) -> Group {
    /// Returns the bytes of one of many.
    fn each<T>(count: usize, make: impl FnMut(usize) -> T) -> f64 {
        let mut all = Vec::with_capacity(count);
        let before = held();
        all.extend((0..count).map(make));
        (held() - before) / count as f64
    }
    blocking(server).set("a", "b", Expiry::Never).expect("stored");
    let get = |client: memcached2_sync::Client| {
        client.get("a").expect("an answer");
        client
    };
    let get_by_task = |client: memcached2_tokio::Client| {
        runtime.block_on(client.get("a")).expect("an answer");
        client
    };
    let shared = || runtime.block_on(async { shared(server) });
    let bars = vec![
        bar("blocking, not connected", each(1000, |_| blocking(server)), "bytes"),
        bar("Tokio, not connected", each(1000, |_| shared()), "bytes"),
        bar("blocking, connected", each(100, |_| get(blocking(server))), "bytes"),
        bar("Tokio, connected", each(100, |_| get_by_task(shared())), "bytes"),
    ];
    Group { title: "an idle client: heap".to_owned(), bars }
}

fn waiting(server: &Memcached, runtime: &Runtime) -> [Group; 2] {
    const COUNTS: [usize; 5] = [10, 100, 1000, 10_000, 100_000];
    let figures = COUNTS.map(|count| runtime.block_on(wait(server, count)));
    let of = |count| &figures[COUNTS.iter().position(|number| *number == count).expect("one of them")];
    [
        group("waiting tasks, Tokio: heap of one", "bytes", &COUNTS, |count| of(count).0),
        group("waiting tasks, Tokio: a get", "ns", &COUNTS, |count| of(count).1),
    ]
}

/// Lets this many tasks wait for a suspended server. Returns the bytes and the nanoseconds of each.
async fn wait(server: &Memcached, count: usize) -> (f64, f64) {
    let client = shared(server);
    client.get("a").await.expect("an answer");
    let mut tasks = Vec::with_capacity(count);
    server.suspend();
    let (before, started) = (held(), cpu());
    for _ in 0..count {
        let client = client.clone();
        tasks.push(tokio::spawn(async move { client.get("a").await.map(|value| value.is_some()) }));
    }
    // Each task is polled once before this one goes on, and then the one that writes their requests.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let bytes = (held() - before) / count as f64;
    server.resume();
    for task in tasks {
        assert_eq!(task.await.expect("a task that does not panic"), Ok(true));
    }
    (bytes, (cpu() - started).as_secs_f64() * 1e9 / count as f64)
}
