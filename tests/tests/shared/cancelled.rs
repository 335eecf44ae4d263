//! Many tasks, some of whose calls are dropped at random: nobody ever sees the value of another key.

use futures::future::join_all;
use memcached2_proto::{Expiry, Options};

use super::{PATIENT, Stats, names, some_polls};
use crate::subject::{AsyncClient, block_on, spawn};

/// A small generator, seeded by the number of the task: a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides
    }
}

/// Calls by chance, each dropped after a random number of polls; half of those numbers are more than any call takes.
async fn call_and_drop(client: AsyncClient, names: Vec<String>, seed: u64) -> usize {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut heard = 0;
    for _ in 0..200 {
        let polls = if dice.roll(2) == 0 { dice.roll(12) } else { usize::MAX };
        let name = &names[dice.roll(names.len())];
        let call = async {
            match dice.roll(8) {
                0 => client.set(name, name, Expiry::Never).await.unwrap(),
                1 => {
                    let from = dice.roll(names.len() - 10);
                    let some = &names[from..from + 10];
                    let hits = client.get_many(some).await.unwrap().all().unwrap();
                    let texts: Vec<_> = hits.iter().map(|hit| &hit.as_ref().expect("a hit").data[..]).collect();
                    assert_eq!(texts, some.iter().map(String::as_bytes).collect::<Vec<_>>());
                }
                2 => assert_eq!(client.get("nothing").await, Ok(None)),
                3 => assert_eq!(client.delete("nothing").await, Ok(false)),
                _ => assert_eq!(client.get(name).await.unwrap().expect("a hit"), name.as_str()),
            }
        };
        heard += usize::from(some_polls(call, polls).await.is_some());
    }
    heard
}

#[test]
fn nobody_ever_sees_the_value_of_another_key() {
    block_on(|| async {
        let (server, _, names) = names(100).await;
        let mut stats = Stats::of(&server);
        for connections in [1, 3] {
            let options = Options::default().timeout(PATIENT).shared_connections(connections);
            let client = AsyncClient::with_options([server.address()], options).unwrap();
            let before = stats.connections();
            let tasks = (1..=48).map(|seed| spawn(call_and_drop(client.clone(), names.clone(), seed)));
            let heard: usize = join_all(tasks).await.into_iter().sum();
            assert!(heard > 48 * 50, "{heard} calls were heard to the end");
            assert_eq!(stats.connections() - before, connections as u64);
        }
    });
}
