//! A future that is kept and not polled delays no other call. On a runtime of several threads it may be ready at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{FutureExt as _, maybe_done, ready};
use futures::stream::{self, StreamExt as _};
use futures::{poll, select_biased};
use memcached2_proto::Expiry;

use super::{check, names, patient};
use crate::subject::{AsyncClient, block_on, spawn};

#[test]
fn a_call_held_unpolled_does_not_hold_up_the_same_task() {
    block_on(|| async {
        let (_server, client, names) = names(4).await;
        let mut held = pin!(maybe_done(client.get(&names[0])));
        let _ = poll!(held.as_mut());
        for name in &names[1..] {
            check(&client, name).await;
        }
        held.as_mut().await;
        assert_eq!(held.take_output().unwrap().unwrap().expect("a hit"), names[0].as_str());
    });
}

#[test]
fn the_first_call_on_a_connection_may_be_held_unpolled() {
    block_on(|| async {
        let (server, _client, names) = names(2).await;
        let client = patient(&server);
        let mut held = pin!(maybe_done(client.get(&names[0])));
        let _ = poll!(held.as_mut());
        check(&client, &names[1]).await;
        held.as_mut().await;
        assert_eq!(held.take_output().unwrap().unwrap().expect("a hit"), names[0].as_str());
    });
}

#[test]
fn a_call_held_unpolled_does_not_hold_up_another_task() {
    block_on(|| async {
        let (_server, client, names) = names(2).await;
        let mut held = pin!(maybe_done(client.get(&names[0])));
        let _ = poll!(held.as_mut());
        let (other, name) = (client.clone(), names[1].clone());
        spawn(async move { check(&other, &name).await }).await;
        held.as_mut().await;
        assert_eq!(held.take_output().unwrap().unwrap().expect("a hit"), names[0].as_str());
    });
}

#[test]
fn a_batch_held_unpolled_does_not_hold_up_others() {
    block_on(|| async {
        let (_server, client, names) = names(5000).await;
        let items: Vec<_> = names.iter().map(|name| (name, name)).collect();
        let mut reads = pin!(maybe_done(client.get_many(&names)));
        let mut writes = pin!(maybe_done(client.set_many(&items, Expiry::Never)));
        let _ = (poll!(reads.as_mut()), poll!(writes.as_mut()));
        for name in &names[..100] {
            check(&client, name).await;
        }
        futures::join!(reads.as_mut(), writes.as_mut());
        assert_eq!(reads.take_output().unwrap().unwrap().into_result().unwrap().len(), names.len());
        assert_eq!(writes.take_output().unwrap().unwrap().into_result().unwrap().len(), names.len());
    });
}

#[test]
fn a_branch_of_select_may_call_while_the_other_call_is_held() {
    block_on(|| async {
        let (_server, client, names) = names(2).await;
        let mut held = pin!(client.get(&names[0]).fuse());
        let mut now = ready(()).fuse();
        let hit = loop {
            select_biased! {
                hit = held.as_mut() => break hit,
                () = now => check(&client, &names[1]).await,
            }
        };
        assert_eq!(hit.unwrap().expect("a hit"), names[0].as_str());
    });
}

#[test]
fn calls_buffered_in_a_stream_do_not_hold_up_its_consumer() {
    block_on(|| async {
        let (_server, client, names) = names(60).await;
        let mut hits = stream::iter(&names).map(|name| client.get(name)).buffered(8).zip(stream::iter(&names));
        while let Some((hit, name)) = hits.next().await {
            assert_eq!(hit.unwrap().expect("a hit"), name.as_str());
            // Meanwhile the eight that follow are not polled.
            check(&client, &names[0]).await;
        }
    });
}

#[test]
fn a_task_whose_calls_fail_at_once_lets_others_run() {
    block_on(|| async {
        let client = AsyncClient::new([] as [&str; 0]).unwrap();
        for keys in [&["a"][..], &["a", "b"]] {
            let stop = Arc::new(AtomicBool::new(false));
            let failing = async {
                for _ in 0..1_000_000 {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    assert!(client.get_many(keys).await.unwrap().into_result().is_err());
                }
                panic!("nobody else has run");
            };
            let stopping = spawn({
                let stop = stop.clone();
                async move { stop.store(true, Ordering::Relaxed) }
            });
            futures::join!(failing, stopping);
        }
    });
}
