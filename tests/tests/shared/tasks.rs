//! Clients and their futures go wherever tasks go.

use memcached2_proto::{Expiry, Get, Store};

use super::names;
use crate::subject::{AsyncClient, block_on, spawn};

#[test]
fn a_client_goes_wherever_tasks_go() {
    fn goes_anywhere<C: Clone + Send + Sync + Unpin + 'static>() {}
    goes_anywhere::<AsyncClient>();
}

#[test]
fn the_future_of_every_method_can_be_sent() {
    fn is_send(_: &impl Send) {}
    let client = AsyncClient::new(["127.0.0.1:1"]).unwrap();
    is_send(&client.get("a"));
    is_send(&client.get_many(&["a"]));
    is_send(&client.set("a", "x", Expiry::Never));
    is_send(&client.set_many(&[("a", "x")], Expiry::Never));
    is_send(&client.delete("a"));
    is_send(&client.incr("a", 1));
    is_send(&client.version());
    is_send(&client.run(Get::new("a").unwrap()));
    is_send(&client.run(Store::set("a", &[1, 2, 3]).unwrap()));
}

#[test]
fn a_call_can_be_spawned_because_it_owns_all_it_needs() {
    fn is_spawnable<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    block_on(|| async {
        let (_server, client, names) = names(2).await;
        let calls = names.into_iter().map(|name| {
            let client = client.clone();
            spawn(is_spawnable(async move { client.get(&name).await.unwrap().expect("a hit") == name.as_str() }))
        });
        assert_eq!(futures::future::join_all(calls).await, [true, true]);
    });
}
