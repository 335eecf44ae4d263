//! Batches larger than the buffers on the way: a socket that is not read takes 4 MiB on Linux, and we encode 256 KiB ahead. They take
//! time, and with a password nothing is different once a connection is open.

use memcached2_proto::Expiry;

use super::servers::{Kind, Server};
use super::setting::{PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        ten_thousand_sets_in_one_call_do_not_deadlock not_over [TlsWithPassword],
        three_thousand_large_values_in_one_call_arrive not_over [TlsWithPassword],
        more_keys_than_any_buffer_holds_do_not_deadlock not_over [TlsWithPassword],
        many_large_values_in_one_call_are_stored not_over [TlsWithPassword],
    }
    scripted {}
}

fn large(on: Kind) -> (Server, Client) {
    let server = on.start_large();
    // By TLS, without optimisation, on a busy machine: batches take seconds there.
    let options = trusting().timeout(PATIENT * 4);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    (server, client)
}

fn ten_thousand_sets_in_one_call_do_not_deadlock(on: Kind) {
    let (_server, client) = large(on);
    let items: Vec<_> = (0..10_000).map(|at| (format!("key{at}"), at.to_string())).collect();
    let stored = client.set_many(&items, Expiry::Never).unwrap();
    assert_eq!(stored.into_result().map(|all| all.len()), Ok(items.len()));
    let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
    for (value, (_, stored)) in client.get_many(&keys).unwrap().into_result().unwrap().into_iter().zip(&items) {
        assert_eq!(value.expect("a hit"), stored.as_str());
    }
}

fn three_thousand_large_values_in_one_call_arrive(on: Kind) {
    const LENGTH: usize = 10 * 1024;
    let (_server, client) = large(on);
    let keys: Vec<_> = (0..3_000).map(|at| format!("key{at}")).collect();
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
    // 7.5 MB out and 38 MB back: a client that writes all before it reads waits for a server that waits for the client.
    let (_server, client) = large(on);
    let (key, value) = ("k".repeat(250), vec![b'x'; 1000]);
    client.set(&key, &value, Expiry::Never).unwrap();
    let hits = client.get_many(&vec![key; 30_000]).unwrap().into_result().unwrap();
    assert_eq!(hits.len(), 30_000);
    assert!(hits.into_iter().all(|hit| hit.is_some_and(|hit| hit == value[..])));
}

fn many_large_values_in_one_call_are_stored(on: Kind) {
    let (_server, client) = large(on);
    let items: Vec<_> = (0..24_u8).map(|at| (format!("key{at}"), vec![at; 1_000_000])).collect();
    client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
    let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
    for (hit, (key, value)) in client.get_many(&keys).unwrap().into_result().unwrap().into_iter().zip(&items) {
        assert!(hit.unwrap_or_else(|| panic!("{key} is there")) == value[..], "{key}");
    }
}
