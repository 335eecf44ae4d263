//! Writing.

use memcached2_testkit::assert_matches;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memcached2_proto::{Bytes, Data, Error, Expiry, Landed, Store};
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, ask, assert_seconds_left};
use super::setting::{BRIEF, client, text_client};

super::cases! {
    served {
        a_set_replaces_value_and_flags,
        an_expiry_reaches_the_server,
        an_expired_item_is_a_miss,
        a_value_too_large_is_refused_and_the_client_goes_on,
        shared_and_borrowed_values_of_any_length_arrive_whole,
        a_delete_returns_whether_there_was_an_item,
        a_key_named_noreply_is_deleted,
        a_key_named_noreply_is_fetched since (1, 6, 10),
    }
    scripted {
        an_expiry_beyond_the_protocol_fails_before_anything_is_sent,
    }
}

fn a_set_replaces_value_and_flags(on: Kind) {
    on.on_each_socket(|client| {
        client.run(Store::set("key", "a longer first value").unwrap().flags(7)).unwrap();
        client.set("key", "second", Expiry::Never).unwrap();
        let hit = client.get("key").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"second"[..], 0));
    });
}

fn an_expiry_reaches_the_server(on: Kind) {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    let (servers, addresses) = on.servers(1);
    let client = client(&addresses);
    let after = |seconds| Expiry::After(Duration::from_secs(seconds));
    for (expiry, seconds) in [
        (after(HOUR), HOUR),
        (after(30 * DAY), 30 * DAY),
        // The server takes a larger number for a moment in Unix time.
        (after(31 * DAY), 31 * DAY),
        (Expiry::At(SystemTime::now() + Duration::from_secs(DAY)), DAY),
    ] {
        client.run(Store::set("key", "value").unwrap().flags(7).expiry(expiry)).unwrap();
        assert_seconds_left(&servers[0], "key", seconds);
        assert_eq!(ask(&servers[0], "get key"), "VALUE key 7 5");
    }
    client.set("key", "value", Expiry::Never).unwrap();
    assert_eq!(servers[0].seconds_left("key"), None);
}

fn an_expired_item_is_a_miss(on: Kind) {
    on.on_each_socket(|client| {
        let past = SystemTime::now() - Duration::from_secs(100);
        for expiry in [Expiry::After(Duration::ZERO), Expiry::At(past), Expiry::At(UNIX_EPOCH)] {
            client.set("key", "value", Expiry::Never).unwrap();
            client.set("key", "value", expiry).unwrap();
            assert_eq!(client.get("key"), Ok(None), "{expiry:?}");
            assert_eq!(client.add("key", "another", expiry), Ok(()), "{expiry:?}");
            assert_eq!(client.get("key"), Ok(None), "{expiry:?}");
        }
    });
}

fn an_expiry_beyond_the_protocol_fails_before_anything_is_sent() {
    let server = ScriptedServer::start([Session::new().expect("get key\r\n").send("END\r\n")]);
    let client = text_client(&[&server], BRIEF);
    let beyond = Expiry::After(Duration::from_secs(100 * 365 * 24 * 3600));
    let error = client.set("key", "value", beyond).unwrap_err();
    assert_matches!((&error, error.landed()), (Error::Expiry { .. }, Landed::NotSent));
    assert_matches!(client.set_many(&[("key", "value")], beyond).unwrap().into_result(), Err(Error::Expiry { .. }));
    // The connection was not closed because of a timeout of a request that was never sent.
    assert_eq!(client.get("key"), Ok(None));
    assert_eq!(server.connections(), 1);
    drop(client);
    server.finish();
}

fn a_value_too_large_is_refused_and_the_client_goes_on(on: Kind) {
    on.on_each_socket(|client| {
        client.set("small", "s", Expiry::Never).unwrap();
        for length in [1024 * 1024 + 1, 5_000_000] {
            // memcached removes it, so that nobody reads it instead of the new value.
            client.set("large", "an older value", Expiry::Never).unwrap();
            let error = client.set("large", vec![b'x'; length], Expiry::Never).unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{error:?}");
            assert_eq!(error.landed(), Landed::Refused);
            assert!(error.server().is_some(), "{error:?}");
            assert_eq!(client.get("large"), Ok(None));
            assert_eq!(client.get("small").unwrap().expect("a hit"), "s");
        }
    });
}

fn shared_and_borrowed_values_of_any_length_arrive_whole(on: Kind) {
    on.on_each_socket(|client| {
        for length in [0, 1, 2, 1023, 1024, 4095, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000] {
            let value: Vec<u8> = (0..length).map(|at: usize| (at % 253) as u8).collect();
            client.set("borrowed", &value, Expiry::Never).unwrap();
            client.set("shared", Bytes::from(value.clone()), Expiry::Never).unwrap();
            client.set("given", Data::from(value.clone()), Expiry::Never).unwrap();
            for hit in client.get_many(&["borrowed", "shared", "given"]).unwrap().into_result().unwrap() {
                assert!(hit.expect("a hit") == value[..], "{length}");
            }
            for key in ["borrowed", "shared", "given"] {
                assert!(client.get(key).unwrap().expect("a hit") == value[..], "{length}");
            }
        }
    });
}

fn a_delete_returns_whether_there_was_an_item(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.delete("key"), Ok(false));
        client.set("key", "value", Expiry::Never).unwrap();
        assert_eq!(client.delete("key"), Ok(true));
        assert_eq!(client.delete("key"), Ok(false));
        assert_eq!(client.get("key"), Ok(None));
    });
}

fn a_key_named_noreply_is_deleted(on: Kind) {
    on.on_each_socket(|client| {
        client.set("noreply", "value", Expiry::Never).unwrap();
        assert_eq!(client.delete("noreply"), Ok(true));
        assert_eq!(client.delete("noreply"), Ok(false));
    });
}

fn a_key_named_noreply_is_fetched(on: Kind) {
    on.on_each_socket(|client| {
        client.set("noreply", "value", Expiry::Never).unwrap();
        assert_eq!(client.get("noreply").unwrap().expect("a hit"), "value");
        assert_eq!(client.delete("noreply"), Ok(true));
        assert_eq!(client.get("noreply"), Ok(None));
    });
}
