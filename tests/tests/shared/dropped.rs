//! A call can be dropped at any moment without an effect on other calls.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::{Either, join_all, select};
use futures::task::AtomicWaker;
use memcached2_proto::routing::Journal;
use memcached2_proto::{Expiry, Key, Options};
use memcached2_testkit::EmbeddedServer;

use super::{PATIENT, Stats, check, names, some_polls};
use crate::subject::{AsyncClient, block_on, client_of, spawn};

/// How many tasks go on calling meanwhile.
const OTHERS: usize = 64;
/// More polls than any call takes, and more of what others get meanwhile, unless something is wrong.
const MOST: usize = 100_000;

/// Counts, and wakes the one task that waits for a number.
#[derive(Debug, Default)]
struct Counter {
    count: AtomicUsize,
    waiting: AtomicWaker,
}

impl Counter {
    fn add_one(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.waiting.wake();
    }

    /// Waits until it has counted this many more.
    async fn more(&self, count: usize) {
        let end = self.count.load(Ordering::SeqCst) + count;
        poll_fn(|cx| {
            self.waiting.register(cx.waker());
            if self.count.load(Ordering::SeqCst) < end { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// Drops a call before it is polled, and when others on the same connection have got 0, 1, 2, ... replies since, until it is ready
/// before. It is polled at each of their replies.
async fn drop_at_any_time<C, F>(call: C)
where
    C: Fn(AsyncClient, Vec<String>) -> F,
    F: Future<Output = ()>,
{
    let (server, client, names) = names(OTHERS).await;
    client.set("large", vec![b'x'; 1_000_000], Expiry::Never).await.unwrap();
    let mut stats = Stats::of(&server);
    let before = stats.connections();
    let (over, replies) = (Arc::new(AtomicBool::new(false)), Arc::new(Counter::default()));
    let others = names.iter().cloned().map(|name| {
        let (client, over, replies) = (client.clone(), Arc::clone(&over), Arc::clone(&replies));
        spawn(async move {
            while !over.load(Ordering::Relaxed) {
                check(&client, &name).await;
                replies.add_one();
            }
        })
    });
    let dropping = async {
        drop(call(client.clone(), names.clone()));
        // One more each time at first, where the states change, then in growing steps.
        let mut count = 0;
        while let Either::Right(_) = select(pin!(call(client.clone(), names.clone())), pin!(replies.more(count))).await
        {
            assert!(count < MOST, "the call is not ready after {count} replies to others");
            count += 1 + count / 16;
        }
        over.store(true, Ordering::Relaxed);
    };
    futures::join!(join_all(others), dropping);
    for name in &names {
        check(&client, name).await;
    }
    assert_eq!(stats.connections(), before);
}

#[test]
fn a_write_that_was_sent_and_dropped_is_kept_in_the_journal() {
    block_on(|| async {
        let (server, journal) = (EmbeddedServer::start(), Arc::new(Journal::new(10)));
        let options = Options::default().journal(Arc::clone(&journal));
        let client = client_of([server.address()], options).unwrap();
        let items = [("a", "old"), ("b", "old"), ("c", "old")];
        client.set_many(&items, Expiry::Never).await.unwrap().all_stored().unwrap();
        server.suspend();
        assert!(some_polls(client.delete("a"), 1).await.is_none());
        assert!(some_polls(client.delete_many(&["b", "c"]), 1).await.is_none());
        assert!(some_polls(client.get("d"), 1).await.is_none());
        assert_eq!(journal.len(), 3);
        server.resume();
        for (key, _) in items {
            assert_eq!(client.get(key).await, Ok(None));
        }
        assert!(journal.is_empty());
    });
}

/// Polls a future until it was woken this many times, and returns its output if it was ready.
async fn some_wakes<F: Future>(future: F, mut wakes: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if wakes == 0 => Poll::Ready(None),
        Poll::Pending => {
            wakes -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Also between two rounds, while what the journal has is deleted on a server that has answered.
#[test]
fn what_a_batch_deletes_for_a_server_that_is_down_is_kept_whenever_it_is_dropped() {
    block_on(|| async {
        let (mut down, up) = (EmbeddedServer::start(), EmbeddedServer::start());
        down.stop();
        let servers = [down.address(), up.address()];
        for wakes in 0..MOST {
            let journal = Arc::new(Journal::new(10));
            let options = Options::default().timeout(PATIENT).journal(Arc::clone(&journal));
            let client = client_of(servers.clone(), options).unwrap();
            let router = client.router();
            let home = |key: &String| router.route(Key::new(key).unwrap()).unwrap().index();
            let keys = [0, 1].map(|at| (0..).map(|number| number.to_string()).find(|key| home(key) == at).unwrap());
            journal.keep(&servers[1], b"old");
            let done = some_wakes(client.delete_many(&keys), wakes).await;
            assert_eq!(journal.forget(&servers[0]), 1, "dropped after it was woken {wakes} times");
            if done.is_some() {
                return assert!(journal.is_empty());
            }
        }
    });
}

#[test]
fn a_read_may_be_dropped_at_any_time() {
    block_on(|| {
        drop_at_any_time(|client, names| async move {
            check(&client, &names[7]).await;
        })
    });
}

#[test]
fn a_read_of_a_large_value_may_be_dropped_at_any_time() {
    block_on(|| {
        drop_at_any_time(|client, _| async move {
            assert_eq!(client.get("large").await.unwrap().expect("a hit").data().len(), 1_000_000);
        })
    });
}

#[test]
fn a_write_may_be_dropped_at_any_time() {
    block_on(|| {
        drop_at_any_time(|client, names| async move {
            client.set(&names[7], &names[7], Expiry::Never).await.unwrap();
            client.set("other", vec![b'x'; 500_000], Expiry::Never).await.unwrap();
        })
    });
}

#[test]
fn a_batch_may_be_dropped_at_any_time() {
    block_on(|| {
        drop_at_any_time(|client, names| async move {
            let hits = client.get_many(&names).await.unwrap().into_result().unwrap();
            assert!(hits.into_iter().zip(&names).all(|(hit, name)| hit.expect("a hit") == name.as_str()));
            let items: Vec<_> = (0..3000).map(|at| (format!("item{at}"), at.to_string())).collect();
            client.set_many(&items, Expiry::Never).await.unwrap().into_result().unwrap();
        })
    });
}
