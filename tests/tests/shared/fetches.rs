//! Tasks that fetch the same keys.

use std::future::pending;
use std::pin::pin;

use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::poll;
use memcached2_proto::Error;
use memcached2_proto::fetch::FetchPolicy;

use super::{PATIENT, names};
use crate::subject::block_on;

#[test]
fn a_call_of_many_keys_takes_the_place_of_a_dropped_caller_while_it_waits_for_another_key() {
    block_on(|| async {
        let (_server, client, _) = names(1).await;
        let policy = FetchPolicy::new(PATIENT * 10);
        let begun = [(); 2].map(|()| oneshot::channel());
        let mut computing = Vec::new();
        for (key, (sender, receiver)) in ["slow", "dropped"].into_iter().zip(begun) {
            let call = Box::pin(client.fetch(key, &policy, async move || {
                sender.send(()).unwrap();
                pending::<Result<u64, Error>>().await
            }));
            let Either::Right((_, call)) = select(call, receiver).await else { panic!("it computes") };
            computing.push(call);
        }
        let keys = ["slow", "dropped"];
        let mut many = pin!(client.fetch_many(&keys, &policy, async |keys: Vec<&&str>| {
            Ok::<_, Error>(keys.iter().map(|_| Some(1)).collect())
        }));
        assert!(poll!(many.as_mut()).is_pending());
        drop(computing.pop());
        assert!(poll!(many.as_mut()).is_pending());
        let other = pin!(client.fetch("dropped", &policy, async || Ok::<_, Error>(2)));
        let Either::Left((value, _)) = select(other, many).await else { panic!("the other key has no value yet") };
        assert_eq!(value.unwrap().parse::<u64>(), Ok(1));
    });
}
