//! A meter for the clients: one workload, one client, one line of figures.
//!
//! ```text
//! cargo run --release -p memcached2-testkit --example ops -- <sync|threads|turns|tokio|async-std|smol> <workload> <n> <server>
//! ```
//!
//! It stores 100 keys `bench:key:000000` to `bench:key:000099`, does the workload `n` times with one client, and prints
//! `<client> <workload> <operations per second> <CPU microseconds per operation>`, and per operation of the server, by its
//! `stats`, `<bytes read> <bytes written> <CPU microseconds>`. `THREADS` sets the workers of the
//! Tokio runtime (1 unless set), `CONNECTIONS` how many connections an asynchronous client shares, and `PROTOCOL`, `classic`
//! or `meta`, what is spoken (what the server speaks unless set). `OBSERVER` adds one: `none` does nothing, `api` records by
//! OpenTelemetry for nobody, `metrics` makes metrics and `sdk` spans, too, none of which are exported; `parents` would make spans within
//! sampled ones, of which there are none. With `memcacheds://host:port` it connects by TLS; `CA` names a
//! file in PEM with an authority to trust.
//!
//! | workload | an operation |
//! |---|---|
//! | `get10`, `get1k`, `get100k` | a get of a value of that size, one after the other over all keys |
//! | `set1k` | a set of 1 KiB |
//! | `mget100`, `mset100` | one call for all 100 keys, of 100 bytes each |
//! | `batch100` | the same gets as of `mget100`, each a request of its own; `sync` only |
//! | `mset100q` | `mset100` as a quiet batch; `sync` only |
//! | `mdel100`, `mdel100q` | a store of all 100 keys and a `delete_many`, or a quiet batch of deletes; `sync` only |
//! | `conc64` | a get of 100 bytes, by 64 threads or tasks that share the client |
//! | `open` | a get of 10 bytes by a new client, so on a new connection; `sync` only |
//! | `fill` | a set of an item of 10 bytes under a key of its own |
//! | `metadump` | an item of a dump of the server; `n` is how many it has. `raw` as the client only reads the bytes. |
//!
//! `threads` are threads that wait for the calls of one Tokio client, whose connection is driven by a thread of its own. `turns` are
//! threads that wait for the calls of one client on smol, whose connection is driven by those who wait. Both have `get10` and `conc64`.
//!
//! For `metadump`, the most memory that the process has had is printed, too, in KiB (on Linux).
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for developers")]

use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use memcached2_proto::observer::OpenTelemetry;
use memcached2_proto::operation::{Batch, DeleteMany, SetMany};
use memcached2_proto::tls::Certificate;
use memcached2_proto::{Expiry, Get, Observer, Options, Protocol};
use opentelemetry::global;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

/// How many threads or tasks share the client in `conc64`.
const CALLERS: usize = 64;

/// What records until it is dropped: it never is.
static PROVIDERS: OnceLock<(SdkTracerProvider, SdkMeterProvider)> = OnceLock::new();

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client, workload, count, server] = &arguments[..] else { usage() };
    let (Ok(count), Some(size)) = (count.parse::<usize>(), size(workload)) else { usage() };
    let job = Job { workload, count, size, server };
    match workload.as_str() {
        "fill" => return fill(&job),
        "metadump" => return metadump(client, &job),
        _ => {}
    }
    let before = server_usage(&job);
    let (elapsed, cpu) = match client.as_str() {
        "sync" => blocking(&job),
        "threads" if matches!(workload.as_str(), "get10" | "conc64") => threads(&job),
        "turns" if matches!(workload.as_str(), "get10" | "conc64") => turns(&job),
        _ if matches!(workload.as_str(), "open" | "batch100" | "mset100q" | "mdel100" | "mdel100q") => usage(),
        "tokio" => tokio(&job),
        "async-std" => async_std::task::block_on(async_std(&job)),
        "smol" => smol::block_on(smol(&job)),
        _ => usage(),
    };
    let (rate, cpu) = (count as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64);
    let after = server_usage(&job);
    let [read, written, of_server] = [0, 1, 2].map(|at| (after[at] - before[at]) / count as f64);
    println!("{client} {workload} {rate:.0} {cpu:.3} {read:.1} {written:.1} {of_server:.3}");
}

fn usage() -> ! {
    println!("usage: ops <sync|threads|turns|tokio|async-std|smol> <workload> <n> <server>");
    println!(
        "workloads: get10 get1k get100k set1k mget100 mset100 conc64 fill metadump, and batch100 mset100q mdel100 mdel100q open of sync"
    );
    std::process::exit(2)
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
struct Job<'a> {
    workload: &'a str,
    count: usize,
    size: usize,
    server: &'a str,
}

/// The size of the values of a workload.
fn size(workload: &str) -> Option<usize> {
    Some(match workload {
        "get10" | "open" => 10,
        "get1k" | "set1k" => 1024,
        "get100k" => 100 * 1024,
        "mget100" | "mset100" | "mset100q" | "mdel100" | "mdel100q" | "batch100" | "conc64" => 100,
        "fill" | "metadump" => 10,
        _ => return None,
    })
}

fn keys() -> Vec<String> {
    (0..100).map(|number| format!("bench:key:{number:06}")).collect()
}

fn options() -> Options {
    let options = Options::default().timeout(Duration::from_secs(30)).connect_timeout(Duration::from_secs(30));
    let options = match std::env::var("CA") {
        Ok(file) => {
            let authority = std::fs::read(file).ok().and_then(|pem| Certificate::from_pem(pem).ok());
            options.tls_built_in_root_certs(false).add_root_certificate(authority.expect("certificates in PEM"))
        }
        Err(_) => options,
    };
    let options = match std::env::var("PROTOCOL").as_deref() {
        Ok("classic") => options.protocol(Protocol::Classic),
        Ok("meta") => options.protocol(Protocol::Meta),
        Ok(_) => usage(),
        Err(_) => options,
    };
    let options = match std::env::var("OBSERVER").as_deref() {
        Ok("none") => options.observer(Arc::new(Nothing)),
        Ok("api") => options.observer(Arc::new(OpenTelemetry::new())),
        Ok(kind @ ("metrics" | "sdk" | "parents")) => {
            let (tracers, meters) = PROVIDERS.get_or_init(|| {
                let reader = PeriodicReader::builder(InMemoryMetricExporter::default()).build();
                let meters = SdkMeterProvider::builder().with_reader(reader).build();
                global::set_meter_provider(meters.clone());
                (SdkTracerProvider::default(), meters)
            });
            options.observer(Arc::new(match kind {
                "metrics" => OpenTelemetry::new(),
                _ => OpenTelemetry::with_providers(tracers, meters).require_sampled_parent(kind == "parents"),
            }))
        }
        Ok(_) => usage(),
        Err(_) => options,
    };
    match std::env::var("CONNECTIONS").ok().and_then(|text| text.parse().ok()) {
        Some(connections) => options.shared_connections(connections),
        None => options,
    }
}

/// An observer that does nothing.
#[derive(Debug)]
struct Nothing;

impl Observer for Nothing {}

/// The time and the CPU time, user and system, that the process takes to do something.
struct Meter(Instant, Duration);

impl Meter {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn stop(self) -> (Duration, Duration) {
        (self.0.elapsed(), cpu().saturating_sub(self.1))
    }
}

#[cfg(unix)]
#[expect(clippy::cast_sign_loss, reason = "a clock that does not go back")]
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time of the processor is not measured there.
#[cfg(not(unix))]
fn cpu() -> Duration {
    Duration::ZERO
}

/// How many bytes the server has read and written, and its CPU time in microseconds.
fn server_usage(job: &Job<'_>) -> [f64; 3] {
    let client = memcached2_sync::Client::with_options([job.server], options()).expect("a server");
    let stats = client.stats().and_then(memcached2_sync::BatchResult::into_result).expect("memcached runs there");
    let number = |name| stats[0].float(name).unwrap_or_default();
    let cpu = number("rusage_user") + number("rusage_system");
    [number("bytes_read"), number("bytes_written"), cpu * 1e6]
}

/// Stores items, a thousand at once.
fn fill(job: &Job<'_>) {
    let client = memcached2_sync::Client::with_options([job.server], options()).expect("a server");
    for first in (0..job.count).step_by(1000) {
        let items: Vec<_> =
            (first..job.count.min(first + 1000)).map(|at| (format!("dump:key:{at:08}"), [b'x'; 10])).collect();
        client.set_many(&items, Expiry::Never).and_then(|many| many.all_stored()).expect("memcached runs there");
    }
}

/// Counts the items of a dump, or the lines of its bytes.
fn metadump(client: &str, job: &Job<'_>) {
    let meter = Meter::start();
    let count = match client {
        "sync" => {
            let client = memcached2_sync::Client::with_options([job.server], options()).expect("a server");
            client.metadump().inspect(|item| assert!(item.is_ok(), "{item:?}")).count()
        }
        "tokio" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = memcached2_tokio::Client::with_options([job.server], options()).expect("a server");
                count(client.metadump()).await
            })
        }
        "async-std" => async_std::task::block_on(async {
            let client = memcached2_async_std::Client::with_options([job.server], options()).expect("a server");
            count(client.metadump()).await
        }),
        "raw" => raw_dump(job.server),
        _ => usage(),
    };
    let (elapsed, cpu) = meter.stop();
    // The server may miss some that it moves meanwhile.
    assert!(count > job.count / 10 * 9, "{count} items");
    let (rate, cpu) = (count as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!("{client} metadump {rate:.0} {cpu:.3} {peak}");
}

async fn count(mut dump: memcached2_proto::shared::Records<memcached2_proto::stream::Metadump>) -> usize {
    let mut count = 0;
    while let Some(item) = dump.next().await {
        item.expect("an item");
        count += 1;
    }
    count
}

/// What the socket alone takes: reads the dump, and counts its lines.
fn raw_dump(server: &str) -> usize {
    let mut socket = std::net::TcpStream::connect(server).expect("memcached runs there");
    socket.write_all(b"lru_crawler metadump all\r\n").expect("the server reads");
    let (mut buffer, mut count, mut last) = (vec![0; 64 * 1024], 0, [0; 5]);
    while &last != b"END\r\n" {
        let n = socket.read(&mut buffer).expect("the server answers");
        count += buffer[..n].iter().filter(|byte| **byte == b'\n').count();
        for byte in &buffer[n.saturating_sub(5)..n] {
            last.rotate_left(1);
            last[4] = *byte;
        }
    }
    count - 1
}

fn blocking(job: &Job<'_>) -> (Duration, Duration) {
    let options = options();
    let new = || memcached2_sync::Client::with_options([job.server], options.clone()).expect("a server");
    let client = new();
    let (keys, value) = (keys(), vec![b'x'; job.size]);
    let items: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
    client
        .set_many(&items, Expiry::Never)
        .and_then(memcached2_sync::BatchResult::into_result)
        .expect("memcached runs there");
    let get = |at: usize| assert!(client.get(&keys[at % keys.len()]).expect("an answer").is_some());
    let meter = Meter::start();
    match job.workload {
        "set1k" => {
            for at in 0..job.count {
                client.set(&keys[at % keys.len()], &value, Expiry::Never).expect("stored");
            }
        }
        "mget100" => {
            for _ in 0..job.count {
                assert_eq!(client.get_many(&keys).expect("an answer").len(), keys.len());
            }
        }
        "batch100" => {
            for _ in 0..job.count {
                let gets = keys.iter().map(Get::new).collect::<Result<_, _>>().expect("keys");
                let values = client.run(Batch::new(gets)).and_then(memcached2_sync::BatchResult::into_result);
                assert_eq!(values.expect("an answer").len(), keys.len());
            }
        }
        "mset100" => {
            for _ in 0..job.count {
                client
                    .set_many(&items, Expiry::Never)
                    .and_then(memcached2_sync::BatchResult::into_result)
                    .expect("stored");
            }
        }
        "mset100q" => {
            for _ in 0..job.count {
                let batch = SetMany::new(&items, Expiry::Never).expect("keys").quiet();
                client.run(batch).and_then(memcached2_sync::BatchResult::into_result).expect("stored");
            }
        }
        "mdel100" | "mdel100q" => {
            for _ in 0..job.count {
                client.set_many(&items, Expiry::Never).and_then(|many| many.all_stored()).expect("stored");
                let deleted = match job.workload {
                    "mdel100" => client.delete_many(&keys),
                    _ => client.run(DeleteMany::new(&keys).expect("keys").quiet()),
                };
                assert!(deleted.expect("an answer").iter().all(|deleted| deleted == Ok(&true)));
            }
        }
        "open" => {
            for at in 0..job.count {
                assert!(new().get(&keys[at % keys.len()]).expect("an answer").is_some());
            }
        }
        "conc64" => std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                scope.spawn(move || (0..job.count / CALLERS).for_each(|at| get(at + caller)));
            }
        }),
        _ => (0..job.count).for_each(get),
    }
    meter.stop()
}

/// The workloads of an asynchronous client; each runs in a task, as it would in a server.
macro_rules! run {
    ($client:ident, $job:ident, |$task:ident| $spawn:expr) => {{
        let (keys, value) = (keys(), vec![b'x'; $job.size]);
        let items: Vec<_> = keys.iter().map(|key| (key.clone(), value.clone())).collect();
        $client
            .set_many(&items, Expiry::Never)
            .await
            .and_then(|many| many.into_result())
            .expect("memcached runs there");
        let (count, workload) = ($job.count, $job.workload.to_owned());
        let callers = if workload == "conc64" { CALLERS } else { 1 };
        let meter = Meter::start();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (client, keys, value, items, workload) =
                    ($client.clone(), keys.clone(), value.clone(), items.clone(), workload.clone());
                let $task = async move {
                    for at in 0..count / callers {
                        let key = &keys[(at + caller) % keys.len()];
                        match workload.as_str() {
                            "set1k" => client.set(key, &value, Expiry::Never).await.expect("stored"),
                            "mget100" => {
                                assert_eq!(client.get_many(&keys).await.expect("an answer").len(), keys.len());
                            }
                            "mset100" => {
                                let stored = client.set_many(&items, Expiry::Never).await;
                                stored.and_then(|many| many.into_result()).expect("stored");
                            }
                            _ => assert!(client.get(key).await.expect("an answer").is_some()),
                        }
                    }
                };
                $spawn
            })
            .collect();
        futures::future::join_all(tasks).await;
        meter.stop()
    }};
}

fn tokio(job: &Job<'_>) -> (Duration, Duration) {
    let threads = std::env::var("THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    };
    runtime.expect("a runtime").block_on(async {
        let client = memcached2_tokio::Client::with_options([job.server], options()).expect("a server");
        run!(client, job, |task| tokio::spawn(task))
    })
}

/// Threads that share the connection of a Tokio client.
fn threads(job: &Job<'_>) -> (Duration, Duration) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let client = memcached2_tokio::Client::with_options([job.server], options()).expect("a server");
    let (keys, value) = (keys(), vec![b'x'; job.size]);
    let items: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
    let stored = runtime.block_on(client.set_many(&items, Expiry::Never));
    stored.and_then(|many| many.into_result()).expect("memcached runs there");
    let callers = if job.workload == "conc64" { CALLERS } else { 1 };
    let meter = Meter::start();
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let (client, keys, runtime) = (&client, &keys, &runtime);
            scope.spawn(move || {
                let _entered = runtime.enter();
                for at in 0..job.count / callers {
                    let value = smol::block_on(client.get(&keys[(at + caller) % keys.len()]));
                    assert!(value.expect("an answer").is_some());
                }
            });
        }
    });
    meter.stop()
}

fn turns(job: &Job<'_>) -> (Duration, Duration) {
    let executor = Arc::new(smol::Executor::new());
    let spawner = Arc::clone(&executor);
    let builder = memcached2_async_std::Client::builder().server(job.server).options(options());
    let client = builder.spawner(move |task| spawner.spawn(task).detach()).build().expect("a server");
    let (keys, value) = (keys(), vec![b'x'; job.size]);
    let items: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
    let stored = smol::block_on(executor.run(client.set_many(&items, Expiry::Never)));
    stored.and_then(|many| many.into_result()).expect("memcached runs there");
    let callers = if job.workload == "conc64" { CALLERS } else { 1 };
    let meter = Meter::start();
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let (client, keys, executor) = (&client, &keys, &executor);
            scope.spawn(move || {
                for at in 0..job.count / callers {
                    let value = smol::block_on(executor.run(client.get(&keys[(at + caller) % keys.len()])));
                    assert!(value.expect("an answer").is_some());
                }
            });
        }
    });
    meter.stop()
}

async fn async_std(job: &Job<'_>) -> (Duration, Duration) {
    let client = memcached2_async_std::Client::with_options([job.server], options()).expect("a server");
    run!(client, job, |task| async_std::task::spawn(task))
}

async fn smol(job: &Job<'_>) -> (Duration, Duration) {
    let builder = memcached2_async_std::Client::builder().server(job.server).options(options());
    let client = builder.spawner(|task| smol::spawn(task).detach()).build().expect("a server");
    run!(client, job, |task| smol::spawn(task))
}
