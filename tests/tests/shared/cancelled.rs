//! Many tasks, some of whose calls are dropped at random: no call ever returns the value of another key.

use futures::future::join_all;
use memcached2_proto::{Expiry, Options};
use memcached2_testkit::Rng;

use super::{PATIENT, Stats, names, some_polls};
use crate::subject::{AsyncClient, block_on, client_of, spawn};

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
                    let texts: Vec<_> = hits.iter().map(|hit| &hit.as_ref().expect("a hit").data[..]).collect();
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
