//! Reading.

use memcached2_testkit::assert_matches;
use std::time::Duration;

use memcached2_proto::{Error, Expiry, Store};
use memcached2_testkit::ScriptedServer;

use super::servers::{Kind, ask};
use super::setting::{PATIENT, client, text_client};

super::cases! {
    served {
        a_hit_returns_the_value_and_its_flags,
        a_miss_is_none,
        an_empty_value_is_a_hit,
        a_value_may_contain_anything,
        a_value_of_almost_a_megabyte_comes_back,
        a_key_may_hold_every_byte_from_0x80_up,
        a_key_may_have_1_to_250_bytes,
        a_key_may_be_a_word_of_the_protocol,
        version_returns_the_version_of_every_server,
        cache_computes_a_missing_value_once_and_stores_it,
    }
    scripted {
        an_invalid_key_fails_before_anything_is_sent,
    }
}

fn a_hit_returns_the_value_and_its_flags(on: Kind) {
    on.on_each_socket(|client| {
        for flags in [0, 7, 65_536, u32::MAX] {
            client.run(Store::set("key", "value").unwrap().flags(flags)).unwrap();
            let hit = client.get("key").unwrap().expect("a hit");
            assert_eq!((hit.data(), hit.flags, hit.cas), (&b"value"[..], u64::from(flags), None));
        }
    });
}

fn a_miss_is_none(on: Kind) {
    on.on_each_socket(|client| {
        for _ in 0..3 {
            assert_eq!(client.get("nobody stored this".replace(' ', "-")), Ok(None));
        }
    });
}

fn an_empty_value_is_a_hit(on: Kind) {
    on.on_each_socket(|client| {
        client.set("empty", "", Expiry::Never).unwrap();
        assert_eq!(client.get("empty").unwrap().expect("a hit"), "");
        assert_eq!(client.get("other"), Ok(None));
    });
}

fn a_value_may_contain_anything(on: Kind) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    on.on_each_socket(|client| {
        let values: [&[u8]; 8] = [
            b"\r\n",
            b"END\r\n",
            b"first\r\nEND\r\nsecond\r\n",
            b"VALUE key 0 1\r\nx\r\nEND\r\n",
            b"VA 1 kkey f0\r\nx\r\nEN\r\nMN\r\n",
            b"\r",
            b"ERROR\r\nSERVER_ERROR out of memory\r\n",
            &every_byte,
        ];
        for value in values {
            client.set("key", value, Expiry::Never).unwrap();
            assert_eq!(client.get("key").unwrap().expect("a hit"), value);
            assert_eq!(
                client.get_many(&["key", "none"]).unwrap().into_result().unwrap()[0].as_ref().expect("a hit"),
                &value
            );
        }
    });
}

fn a_value_of_almost_a_megabyte_comes_back(on: Kind) {
    // The limit of 1 MiB holds for the item, of which the value is a part.
    let value: Vec<u8> = (0..1_048_000_u32).map(|at| (at % 251) as u8).collect();
    on.on_each_socket(|client| {
        client.set("large", &value, Expiry::Never).unwrap();
        client.set("small", "s", Expiry::Never).unwrap();
        for _ in 0..3 {
            assert!(client.get("large").unwrap().expect("a hit") == value[..]);
            assert_eq!(client.get("small").unwrap().expect("a hit"), "s");
        }
    });
}

fn a_key_may_hold_every_byte_from_0x80_up(on: Kind) {
    let key: Vec<u8> = (0x80..=u8::MAX).collect();
    on.on_each_socket(|client| {
        client.set(&key, "binary", Expiry::Never).unwrap();
        assert_eq!(client.get(&key).unwrap().expect("a hit"), "binary");
        assert_eq!(client.get(&key[1..]), Ok(None));
        assert_eq!(
            client.get_many(&[&key[1..], &key]).unwrap().into_result().unwrap()[1].as_ref().expect("a hit"),
            &"binary"
        );
        assert_eq!(client.delete(&key), Ok(true));
    });
}

fn a_key_may_have_1_to_250_bytes(on: Kind) {
    let lengths = (1..20).chain([31, 63, 64, 65, 127, 128, 129, 249, 250]);
    let keys: Vec<_> = lengths.map(|length| "k".repeat(length)).collect();
    on.on_each_socket(|client| {
        for key in &keys {
            client.set(key, "9", Expiry::Never).unwrap();
            assert_eq!(client.incr(key, key.len() as u64), Ok(Some(9 + key.len() as u64)));
        }
        let found = client.get_many(&keys).unwrap().into_result().unwrap();
        for (key, hit) in keys.iter().zip(found) {
            assert_eq!(hit.expect("a hit"), (9 + key.len()).to_string().as_str());
            assert_eq!(client.get(key).unwrap().expect("a hit"), (9 + key.len()).to_string().as_str());
            assert_eq!(client.delete(key), Ok(true));
        }
    });
}

fn a_key_may_be_a_word_of_the_protocol(on: Kind) {
    on.on_each_socket(|client| {
        for key in ["END", "VALUE", "get", "0", "ERROR", "version", "-1", "k", "\u{e9}"] {
            client.set(key, key, Expiry::Never).unwrap();
            assert_eq!(client.get(key).unwrap().expect("a hit"), key);
        }
    });
}

fn an_invalid_key_fails_before_anything_is_sent() {
    let server = ScriptedServer::start([]);
    let client = text_client(&[&server], PATIENT);
    let long = "k".repeat(251);
    for key in ["", " ", "two words", "a\r\nflush_all", "tab\t", "nul\0", "del\x7f", &long] {
        let errors = [
            client.get(key).unwrap_err(),
            client.set(key, "value", Expiry::Never).unwrap_err(),
            client.delete(key).unwrap_err(),
            client.incr(key, 1).unwrap_err(),
            client.get_many(&["good", key]).unwrap_err(),
            client.set_many(&[("good", "value"), (key, "value")], Expiry::Never).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::Key { .. }), "{key:?}: {error:?}");
        }
    }
    assert_eq!(server.connections(), 0);
    drop(client);
    server.finish();
}

fn version_returns_the_version_of_every_server(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let versions = client(&addresses).version().unwrap().into_result().unwrap();
    assert_eq!(versions.len(), 3);
    for (server, version) in servers.iter().zip(versions) {
        assert_eq!(ask(server, "version"), format!("VERSION {version}"));
    }
    on.on_each_socket(|client| assert_eq!(client.version().unwrap().into_result().unwrap().len(), 1));
}

fn cache_computes_a_missing_value_once_and_stores_it(on: Kind) {
    on.on_each_socket(|client| {
        let computed = std::cell::Cell::new(0);
        let compute = || {
            computed.set(computed.get() + 1);
            Ok::<_, Error>("costly")
        };
        for _ in 0..2 {
            assert_eq!(client.cache("computed", Duration::from_secs(60), compute).unwrap(), "costly");
        }
        assert_eq!(computed.get(), 1);
        // What fails is not stored.
        let failed = client.cache("failed", Expiry::Never, || Err::<&str, _>(Error::not_stored()));
        assert_matches!(failed, Err(Error::NotStored { .. }));
        assert_eq!(client.get("failed"), Ok(None));
    });
}
