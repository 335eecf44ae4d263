//! Batches larger than any buffer on the way. They take time, and with a password nothing is different once a connection is open.

use memcached2_proto::Expiry;

use super::servers::{Kind, Server};
use super::setting::{PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        tens_of_thousands_of_sets_in_one_call_do_not_deadlock not_over [TlsWithPassword],
        ten_thousand_large_values_in_one_call_arrive not_over [TlsWithPassword],
        more_keys_than_any_buffer_holds_do_not_deadlock not_over [TlsWithPassword],
        many_large_values_in_one_call_are_stored not_over [TlsWithPassword],
    }
    scripted {}
}

fn large(on: Kind) -> (Server, Client) {
    let server = on.start_large();
    // By TLS, without optimisation, on a busy machine: tens of thousands of sets take ten seconds there.
    let options = trusting().timeout(PATIENT * 4);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    (server, client)
}

fn tens_of_thousands_of_sets_in_one_call_do_not_deadlock(on: Kind) {
    let (_server, client) = large(on);
    let items: Vec<_> = (0..30_000).map(|at| (format!("key{at}"), at.to_string())).collect();
    let stored = client.set_many(&items, Expiry::Never).unwrap();
    assert_eq!(stored.into_result().map(|all| all.len()), Ok(items.len()));
    for (part, keys) in items.chunks(10_000).zip((0..).step_by(10_000)) {
        let asked: Vec<_> = part.iter().map(|(key, _)| key).collect();
        for (value, at) in client.get_many(&asked).unwrap().into_result().unwrap().into_iter().zip(keys..) {
            assert_eq!(value.expect("a hit"), at.to_string().as_str());
        }
    }
}

fn ten_thousand_large_values_in_one_call_arrive(on: Kind) {
    const LENGTH: usize = 10 * 1024;
    let (_server, client) = large(on);
    let keys: Vec<_> = (0..10_000).map(|at| format!("key{at}")).collect();
    let value = |key: &str| {
        let mut value = key.as_bytes().repeat(LENGTH / key.len() + 1);
        value.truncate(LENGTH);
        value
    };
    for part in keys.chunks(1000) {
        let items: Vec<_> = part.iter().map(|key| (key, value(key))).collect();
        client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
    }
    let values = client.get_many(&keys).unwrap().into_result().unwrap();
    assert_eq!(values.len(), keys.len());
    for (key, hit) in keys.iter().zip(values) {
        assert!(hit.unwrap_or_else(|| panic!("{key} is there")) == value(key)[..], "{key}");
    }
}

fn more_keys_than_any_buffer_holds_do_not_deadlock(on: Kind) {
    // 15 MB out and 75 MB back: a client that writes all before it reads waits for a server that waits for the client.
    let (_server, client) = large(on);
    let (key, value) = ("k".repeat(250), vec![b'x'; 1000]);
    client.set(&key, &value, Expiry::Never).unwrap();
    let hits = client.get_many(&vec![key; 60_000]).unwrap().into_result().unwrap();
    assert_eq!(hits.len(), 60_000);
    assert!(hits.into_iter().all(|hit| hit.is_some_and(|hit| hit == value[..])));
}

fn many_large_values_in_one_call_are_stored(on: Kind) {
    let (_server, client) = large(on);
    let items: Vec<_> = (0..64_u8).map(|at| (format!("key{at}"), vec![at; 1_000_000])).collect();
    client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
    let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
    for (hit, (key, value)) in client.get_many(&keys).unwrap().into_result().unwrap().into_iter().zip(&items) {
        assert!(hit.unwrap_or_else(|| panic!("{key} is there")) == value[..], "{key}");
    }
}
