//! ringline-memcache: `io_uring`, on a thread of ringline's.
//!
//! Many callers are requests under way on one connection: half of them are one send, and two halves are under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, RinglineBuilder};
use ringline_memcache::{Client, CompletedOp};

use crate::figures::{Figures, Meter};
use crate::items::Items;
use crate::job::{Job, Operation};

/// The turn that the next thread of ringline takes: its handler is made without arguments.
static JOB: Mutex<Option<Job>> = Mutex::new(None);
/// What the turn has shown.
static FIGURES: Mutex<Option<Figures>> = Mutex::new(None);

/// Does a job on a thread of ringline.
pub(crate) fn measure(job: &Job) -> Figures {
    *JOB.lock().expect("no panic") = Some(job.clone());
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build().expect("a configuration");
    let (_shutdown, threads) = RinglineBuilder::new(config).launch::<Handler>().expect("io_uring");
    for thread in threads {
        thread.join().expect("a thread that does not panic").expect("a thread that ends well");
    }
    FIGURES.lock().expect("no panic").take().expect("a turn")
}

struct Handler;

impl AsyncEventHandler for Handler {
    #[expect(clippy::manual_async_fn, reason = "the future is not to borrow")]
    fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static {
        async {}
    }

    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        let job = JOB.lock().expect("no panic").take()?;
        Some(Box::pin(async move {
            let figures = turn(&job).await;
            *FIGURES.lock().expect("no panic") = Some(figures);
            ringline::request_shutdown().expect("a thread of ringline");
        }))
    }

    fn create_for_worker(_: usize) -> Self {
        Self
    }
}

/// Warms the client up and measures it.
async fn turn(job: &Job) -> Figures {
    let server = job.server().parse().expect("an address");
    let connection = ringline::connect(server).expect("a socket").await.expect("memcached runs there");
    let callers = job.workload.callers;
    let mut client = Client::builder(connection).max_batch_size(callers.max(100)).build();
    let items = Items::of(job.workload.size);
    work(job, &mut client, &items, job.workload.warm_up()).await;
    let meter = Meter::start(&job.servers);
    let latencies = work(job, &mut client, &items, job.count).await;
    meter.stop(job.count, latencies)
}

/// Does this many operations and returns the latency of each.
async fn work(job: &Job, client: &mut Client, items: &Items, count: usize) -> Vec<Duration> {
    if job.workload.callers > 1 {
        return gets(client, items, count, job.workload.callers / 2).await;
    }
    let mut latencies = Vec::with_capacity(count);
    for at in 0..count {
        let started = Instant::now();
        match job.workload.operation {
            Operation::Get => {
                let value = client.get(items.key(at)).await.expect("an answer");
                latencies.push(started.elapsed());
                items.check(at, value.map(|value| value.data));
                continue;
            }
            Operation::GetMany => {
                let keys: Vec<_> = items.keys.iter().map(String::as_bytes).collect();
                items.check_all(client.gets(&keys).await.expect("values").into_iter().map(|value| value.data));
            }
            Operation::Set => client.set(items.key(at), items.value(at)).await.expect("stored"),
            Operation::SetMany => {
                for (key, value) in items.pairs() {
                    client.fire_set(key.as_bytes(), value, 0, 0, 0).expect("a request");
                }
                for _ in &items.keys {
                    let stored = client.recv().await.expect("an answer");
                    assert!(matches!(stored, CompletedOp::Set { result: Ok(()), .. }), "stored");
                }
            }
        }
        latencies.push(started.elapsed());
    }
    latencies
}

/// Does gets, two times `half` of them under way.
async fn gets(client: &mut Client, items: &Items, count: usize, half: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(count);
    let mut sent = Vec::with_capacity(count);
    while latencies.len() < count {
        let fired = sent.len();
        for at in fired..count.min(fired + half) {
            client.fire_get(items.key(at).as_bytes(), 0).expect("a request");
            sent.push(Instant::now());
        }
        client.flush().expect("a connection");
        let until = if sent.len() < count { fired } else { count };
        for started in &sent[latencies.len()..until] {
            let at = latencies.len();
            let CompletedOp::Get { result, .. } = client.recv().await.expect("an answer") else { panic!("a get") };
            latencies.push(started.elapsed());
            items.check(at, result.expect("an answer").map(|value| value.data));
        }
    }
    latencies
}
