//! Calls that are dropped: no call ever returns the value of another key, and an observer hears of them.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use memcached2_proto::observer::{Event, OperationEvent};
use memcached2_proto::{Expiry, Key, Observer, Options};
use memcached2_testkit::{EmbeddedServer, Rng};

use super::{PATIENT, Stats, names, some_polls};
use crate::subject::{AsyncClient, block_on, client_of, spawn, yield_now};

/// Calls by chance, half of them dropped after a random number of polls.
async fn call_and_drop(client: AsyncClient, names: Vec<String>, seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut answered = 0;
    for _ in 0..200 {
        let polls = rng.once_in(2).then(|| rng.below(12));
        let name = &names[rng.below(names.len())];
        let call = async {
            match rng.below(8) {
                0 => client.set(name, name, Expiry::Never).await.unwrap(),
                1 => {
                    let from = rng.below(names.len() - 10);
                    let some = &names[from..from + 10];
                    let hits = client.get_many(some).await.unwrap().into_result().unwrap();
                    let texts: Vec<_> = hits.iter().map(|hit| hit.as_ref().expect("a hit").data()).collect();
                    assert_eq!(texts, some.iter().map(String::as_bytes).collect::<Vec<_>>());
                }
                2 => assert_eq!(client.get("nothing").await, Ok(None)),
                3 => assert_eq!(client.delete("nothing").await, Ok(false)),
                _ => assert_eq!(client.get(name).await.unwrap().expect("a hit"), name.as_str()),
            }
        };
        let is_answered = match polls {
            Some(polls) => some_polls(call, polls).await.is_some(),
            None => {
                call.await;
                true
            }
        };
        answered += usize::from(is_answered);
    }
    answered
}

#[test]
fn no_get_returns_the_value_of_another_key() {
    block_on(|| async {
        let (server, _, names) = names(100).await;
        let mut stats = Stats::of(&server);
        for connections in [1, 3] {
            let options = Options::default().timeout(PATIENT).shared_connections(connections);
            let client = client_of([server.address()], options).unwrap();
            let before = stats.connections();
            let tasks = (1..=48).map(|seed| spawn(call_and_drop(client.clone(), names.clone(), seed)));
            let answered: usize = join_all(tasks).await.into_iter().sum();
            assert!(answered > 48 * 50, "{answered} calls were answered");
            assert_eq!(stats.connections() - before, connections as u64);
        }
    });
}

/// Writes a line for each event.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn on_request(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", event.command, event.outcome.as_str()));
    }

    fn on_operation(&self, event: &OperationEvent<'_>) {
        let failure = event.failure.map_or("done", |failure| failure.error_type());
        self.0.lock().unwrap().push(format!("{} of {:?}: {failure}", event.name(), event.batch.unwrap_or(1)));
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn an_observer_is_called_for_a_call_that_is_dropped() {
    block_on(|| async {
        let (servers, log) = ([EmbeddedServer::start(), EmbeddedServer::start()], Arc::new(Log::default()));
        let observer: Arc<dyn Observer> = Arc::<Log>::clone(&log);
        let options = Options::default().timeout(PATIENT).observer(observer);
        let client = client_of(servers.each_ref().map(EmbeddedServer::address), options).unwrap();
        let router = client.router();
        let is_on = |key: &String, at| router.route(Key::new(key).unwrap()).unwrap().index() == at;
        let names = (0..20).map(|number| number.to_string());
        let (first, second): (Vec<_>, Vec<_>) = names.partition(|key| is_on(key, 0));
        // Connections are made.
        client.delete_many(&[&first[0], &second[0]]).await.unwrap().into_result().unwrap();
        log.take();
        servers[1].suspend();
        // Not before it has begun.
        drop(client.get(&second[0]));
        assert!(some_polls(client.get(&second[0]), 1).await.is_none());
        assert_eq!(log.take(), ["get cancelled", "get of 1: cancelled"]);
        // What the other server has done is known, and reported as that.
        let keys = [&first[0], &first[1], &second[0], &second[1], &second[2]];
        let mut call = Box::pin(client.delete_many(&keys));
        while log.0.lock().unwrap().len() < 2 {
            assert!(futures::poll!(&mut call).is_pending());
            yield_now().await;
        }
        drop(call);
        let mut heard = log.take();
        heard.sort();
        let deletes =
            ["delete cancelled", "delete cancelled", "delete cancelled", "delete not_done", "delete not_done"];
        assert_eq!(heard[..2], ["BATCH delete of 2: done", "BATCH delete of 3: cancelled"]);
        assert_eq!(heard[2..], deletes);
        servers[1].resume();
    });
}
