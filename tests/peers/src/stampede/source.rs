//! A program that takes part: it does what it reads from its standard input.

use std::io::{Write as _, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};
use tokio::sync::Barrier;

use super::clients::{Client, Kind};
use super::{COMPUTATION, TASKS};

/// What the source has now, and what it had.
pub(super) const NEW: &str =
    "the value that the source has now, of a hundred bytes or so, as a small page or a row of a table is....";
pub(super) const OLD: &str =
    "the value that the source had before, of a hundred bytes or so, as a small page or a row is ...........";

/// What is computed.
#[derive(Debug, Default)]
struct Source {
    /// How many computations are under way.
    running: AtomicUsize,
}

impl Source {
    async fn compute(&self, computes: &AtomicBool) -> &'static str {
        self.running.fetch_add(1, Ordering::SeqCst);
        computes.store(true, Ordering::SeqCst);
        say("computes");
        tokio::time::sleep(COMPUTATION).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        NEW
    }
}

fn say(line: &str) {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("someone reads");
}

/// Runs such a program.
pub(crate) fn program(client: &str, server: &str) {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let client = runtime.block_on(Client::new(Kind::parse(client).expect("a client"), server));
    let source = Arc::new(Source::default());
    runtime.block_on(warm_up(&client));
    say("open");
    let mut prepared = None;
    for line in stdin().lines().map_while(Result::ok) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["store", key] => {
                runtime.block_on(client.store(key, OLD));
                say("stored");
            }
            ["invalidate", key] => {
                runtime.block_on(client.invalidate(key));
                say("invalidated");
            }
            ["prepare", key, has_old] => {
                prepared = Some(Tasks::spawn(&runtime, &client, &source, key, has_old == "true"));
                say("ready");
            }
            ["go"] => say(&runtime.block_on(prepared.take().expect("it was prepared").run())),
            ["end"] => {
                while source.running.load(Ordering::SeqCst) > 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                say("ended");
            }
            _ => panic!("a strange line: {line}"),
        }
    }
}

/// Opens what connections the client keeps.
async fn warm_up(client: &Client) {
    let get = |_| {
        let client = client.clone();
        tokio::spawn(async move { client.get("warm").await })
    };
    for task in (0..TASKS).map(get).collect::<Vec<_>>() {
        task.await.expect("a task that does not panic");
    }
}

/// Tasks that fetch as soon as they may.
struct Tasks {
    barrier: Arc<Barrier>,
    tasks: Vec<tokio::task::JoinHandle<(bool, Option<Duration>)>>,
}

impl Tasks {
    fn spawn(runtime: &Runtime, client: &Client, source: &Arc<Source>, key: &str, has_old: bool) -> Self {
        let barrier = Arc::new(Barrier::new(TASKS + 1));
        let task = |_| {
            let (client, source, barrier, key) = (client.clone(), source.clone(), barrier.clone(), key.to_owned());
            runtime.spawn(async move {
                let computes = Arc::new(AtomicBool::new(false));
                barrier.wait().await;
                let begun = Instant::now();
                let own = computes.clone();
                let compute = async move { source.compute(&own).await.to_owned() };
                let value = client.fetch(&key, compute).await;
                let latency = begun.elapsed();
                let is_right = value == NEW || has_old && value == OLD;
                // A caller that gets the old value has not waited, even if it lets the new one be computed.
                let waited_for_itself = value == NEW && computes.load(Ordering::SeqCst);
                (is_right, (!waited_for_itself).then_some(latency))
            })
        };
        Self { tasks: (0..TASKS).map(task).collect(), barrier }
    }

    /// Lets them fetch, and returns their results.
    async fn run(self) -> String {
        self.barrier.wait().await;
        let (mut wrong, mut latencies) = (0, String::new());
        for task in self.tasks {
            let (is_right, latency) = task.await.expect("a task that does not panic");
            wrong += usize::from(!is_right);
            if let Some(latency) = latency {
                latencies.push_str(&format!(" {}", latency.as_micros()));
            }
        }
        format!("done {wrong}{latencies}")
    }
}
