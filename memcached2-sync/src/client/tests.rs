//! Calls while the list of servers changes, and after a fork.

use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

use memcached2_proto::{Expiry, Key, Now, Options};
use memcached2_testkit::EmbeddedServer;

use super::{Arc, Client};
use crate::stream::Deadline;

#[test]
fn calls_that_began_with_two_orders_of_servers_do_not_wait_for_each_other() {
    let servers = [(); 2].map(|()| EmbeddedServer::start());
    let [one, other] = [0, 1].map(|at| servers[at].address());
    let options = Options::default().pool_connections(1).timeout(Duration::from_secs(5));
    let client = Client::with_options([&one, &other], options).unwrap();
    let keys: Vec<_> = (0..50).map(|number| format!("key{number}")).collect();
    let pools = client.shared.servers.get().server_pools.clone();
    let are_waiting = |count| {
        let begun = Client::now();
        while pools.iter().map(|pool| pool.lock().waiting()).sum::<usize>() < count {
            assert!(Client::now() - begun < Duration::from_secs(5), "they do not wait");
            thread::yield_now();
        }
    };
    let now = Now::new(Client::now(), SystemTime::now);
    let mut deadline = Deadline::new(now.monotonic, Duration::from_secs(5));
    let held = [0, 1].map(|at| pools[at].checkout(false, now, &mut deadline).unwrap());
    thread::scope(|scope| {
        let first = scope.spawn(|| client.get_many(&keys));
        are_waiting(1);
        client.set_servers([&other, &one]).unwrap();
        assert!(Arc::ptr_eq(&client.shared.servers.get().server_pools[0], &pools[1]));
        let second = scope.spawn(|| client.get_many(&keys));
        are_waiting(2);
        drop(held);
        for call in [first, second] {
            assert_eq!(call.join().unwrap().unwrap().into_result().map(|values| values.len()), Ok(keys.len()));
        }
    });
}

/// It comes after one whose name is looked up, which does not end in time.
#[test]
fn a_name_that_is_looked_up_for_long_costs_no_server_its_time_that_is_connected() {
    let server = EmbeddedServer::start();
    let options = Options::default().connect_timeout(Duration::from_secs(1)).failover(false);
    let client = Client::with_options(["memcached.invalid", &server.address()], options).unwrap();
    let keys = keys_of_each(&client);
    client.set(&keys[1], "x", Expiry::Never).unwrap();
    // One is under way that never ends.
    let current = client.shared.servers.get();
    let begun = current.server_pools[0].endpoint.lookup().wait().poll(&Context::from_waker(Waker::noop()), || {});
    assert!(begun.is_pending());
    let found: Vec<_> = client.get_many(&keys).unwrap().into_iter().collect();
    assert!(matches!(&found[..], [Err(_), Ok(Some(_))]), "{found:?}");
}

/// None is connected. Without poll(2), one name is looked up after the other.
#[cfg(unix)]
#[test]
fn a_name_that_is_looked_up_for_long_costs_its_own_keys_alone() {
    let servers = [(); 2].map(|()| EmbeddedServer::start());
    let second = Duration::from_secs(1);
    let options = Options::default().timeout(second).connect_timeout(second).failover(false);
    let addresses = ["memcached.invalid:1", &servers[0].address(), "memcached.invalid:2"];
    let client = Client::with_options(addresses, options).unwrap();
    let keys = keys_of_each(&client);
    // Those of both names are under way, and one of them never ends.
    let current = client.shared.servers.get();
    let [endless, _, slow] = [0, 1, 2].map(|at| current.server_pools[at].endpoint.lookup());
    for lookup in [endless, slow] {
        assert!(lookup.wait().poll(&Context::from_waker(Waker::noop()), || {}).is_pending());
    }
    let found: Vec<_> = thread::scope(|scope| {
        let before = Arc::strong_count(slow);
        let call = scope.spawn(|| client.get_many(&keys).unwrap().into_iter().collect());
        while Arc::strong_count(slow) == before && !call.is_finished() {
            thread::yield_now();
        }
        slow.finish(Ok(vec![servers[1].address().parse().unwrap()]));
        call.join().unwrap()
    });
    assert!(matches!(&found[..], [Err(_), Ok(None), Ok(None)]), "{found:?}");
}

/// One key of each server, in the order of the servers.
fn keys_of_each(client: &Client) -> Vec<String> {
    let router = client.router();
    let key = |id| {
        let mut names = (0..).map(|number: u32| number.to_string());
        names.find(|key| router.route(Key::new(key).unwrap()) == Ok(id)).unwrap()
    };
    router.ids().map(key).collect()
}

#[test]
fn after_a_fork_the_connections_of_the_parent_are_left_to_it() {
    let server = EmbeddedServer::start();
    let options = Options::default().pool_trusted(Duration::ZERO);
    let client = Client::with_options([server.address()], options).unwrap();
    let opened = || client.stats().unwrap().into_result().unwrap()[0].number("total_connections").unwrap();
    client.set("a", "x", Expiry::Never).unwrap();
    let before = opened();
    assert_eq!(opened(), before);
    // As in a child: the connections were made by another process.
    client.shared.servers.get().server_pools[0].process.store(0, Ordering::Relaxed);
    assert!(opened() > before);
    assert_eq!(client.get("a").unwrap().unwrap(), "x");
}
