//! Writing under a condition.

use memcached2_testkit::assert_matches;
use std::time::Duration;

use memcached2_proto::{Error, Expiry, Landed, Store};

use super::servers::{Kind, assert_hours_left};
use super::setting::{HOUR, client};

super::cases! {
    served {
        an_add_stores_only_what_is_missing,
        a_replace_stores_only_over_what_is_there,
        an_add_and_a_replace_have_an_expiry,
        append_and_prepend_change_a_value,
        append_and_prepend_to_a_missing_key_fail,
        append_and_prepend_keep_flags_and_expiry,
        a_value_that_would_become_too_large_stays_as_it_is,
        a_cas_stores_over_the_version_that_was_fetched,
        a_cas_fails_when_the_item_has_changed_or_is_gone,
        a_cas_has_an_expiry,
    }
    scripted {}
}

fn an_add_stores_only_what_is_missing(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.add("key", "first", Expiry::Never), Ok(()));
        let error = client.add("key", "second", Expiry::Never).unwrap_err();
        assert_matches!((&error, error.landed()), (Error::NotStored { .. }, Landed::Refused));
        assert_eq!(client.get("key").unwrap().expect("a hit"), "first");
        assert_eq!(client.delete("key"), Ok(true));
        client.run(Store::add("key", "third").unwrap().flags(7)).unwrap();
        let hit = client.get("key").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"third"[..], 7));
    });
}

fn a_replace_stores_only_over_what_is_there(on: Kind) {
    on.on_each_socket(|client| {
        let error = client.replace("key", "first", Expiry::Never).unwrap_err();
        assert_matches!((&error, error.landed()), (Error::NotStored { .. }, Landed::Refused));
        assert_eq!(client.get("key"), Ok(None));
        client.run(Store::set("key", "second").unwrap().flags(7)).unwrap();
        assert_eq!(client.replace("key", "third", Expiry::Never), Ok(()));
        let hit = client.get("key").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"third"[..], 0));
    });
}

fn an_add_and_a_replace_have_an_expiry(on: Kind) {
    let (servers, addresses) = on.servers(1);
    let client = client(&addresses);
    client.add("key", "value", HOUR).unwrap();
    assert_hours_left(&servers[0], "key", 1);
    client.replace("key", "value", 2 * HOUR).unwrap();
    assert_hours_left(&servers[0], "key", 2);
    client.replace("key", "value", Expiry::Never).unwrap();
    assert_eq!(servers[0].seconds_left("key"), None);
}

fn append_and_prepend_change_a_value(on: Kind) {
    on.on_each_socket(|client| {
        client.set("key", "b", Expiry::Never).unwrap();
        for (before, behind) in [("a", "c"), ("", ""), ("\r\n", "END\r\n")] {
            assert_eq!(client.append("key", behind), Ok(()));
            assert_eq!(client.prepend("key", before), Ok(()));
        }
        assert_eq!(client.get("key").unwrap().expect("a hit"), "\r\nabcEND\r\n");
        // memcached keeps more than half a megabyte in several chunks.
        let large: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        client.set("large", &large, Expiry::Never).unwrap();
        assert_eq!(client.append("large", &large), Ok(()));
        assert_eq!(client.prepend("large", &large[..100_000]), Ok(()));
        assert!(client.get("large").unwrap().expect("a hit") == [&large[..100_000], &large, &large].concat()[..]);
    });
}

fn append_and_prepend_to_a_missing_key_fail(on: Kind) {
    on.on_each_socket(|client| {
        for result in [client.append("key", "x"), client.prepend("key", "x")] {
            assert_matches!(result, Err(Error::NotStored { .. }));
        }
        assert_eq!(client.get("key"), Ok(None));
    });
}

fn append_and_prepend_keep_flags_and_expiry(on: Kind) {
    let (servers, addresses) = on.servers(1);
    let client = client(&addresses);
    client.run(Store::set("key", "b").unwrap().flags(7).expiry(HOUR)).unwrap();
    client.append("key", "c").unwrap();
    client.prepend("key", "a").unwrap();
    // Even if they are given.
    client.run(Store::append("key", "d").unwrap().flags(9).expiry(9 * HOUR)).unwrap();
    client.run(Store::prepend("key", "_").unwrap().flags(9).expiry(Duration::ZERO)).unwrap();
    let hit = client.get("key").unwrap().expect("a hit");
    assert_eq!((hit.data(), hit.flags), (&b"_abcd"[..], 7));
    assert_hours_left(&servers[0], "key", 1);
}

fn a_value_that_would_become_too_large_stays_as_it_is(on: Kind) {
    on.on_each_socket(|client| {
        let value = vec![b'v'; 900_000];
        client.set("key", &value, Expiry::Never).unwrap();
        for result in [client.append("key", &value), client.prepend("key", &value)] {
            assert_matches!(result, Err(Error::NotStored { .. }));
        }
        assert!(client.get("key").unwrap().expect("a hit") == value[..]);
    });
}

fn a_cas_stores_over_the_version_that_was_fetched(on: Kind) {
    on.on_each_socket(|client| {
        client.run(Store::set("key", "first").unwrap().flags(7)).unwrap();
        let fetched = client.gets("key").unwrap().expect("a hit").cas.expect("a cas");
        client.run(Store::cas("key", "second", fetched).unwrap().flags(8)).unwrap();
        let hit = client.gets("key").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"second"[..], 8));
        assert_ne!(hit.cas, Some(fetched));
        assert_eq!(client.cas("key", "third", Expiry::Never, hit.cas.expect("a cas")), Ok(()));
        assert_eq!(client.get("key").unwrap().expect("a hit"), "third");
    });
}

fn a_cas_fails_when_the_item_has_changed_or_is_gone(on: Kind) {
    on.on_each_socket(|client| {
        client.set("key", "first", Expiry::Never).unwrap();
        let fetched = client.gets("key").unwrap().expect("a hit").cas.expect("a cas");
        client.set("key", "second", Expiry::Never).unwrap();
        for cas in [fetched, u64::MAX] {
            let error = client.cas("key", "third", Expiry::Never, cas).unwrap_err();
            assert_matches!((&error, error.landed()), (Error::Exists { .. }, Landed::Refused));
        }
        assert_eq!(client.get("key").unwrap().expect("a hit"), "second");
        assert_eq!(client.delete("key"), Ok(true));
        let error = client.cas("key", "third", Expiry::Never, fetched).unwrap_err();
        assert_matches!((&error, error.landed()), (Error::NotFound { .. }, Landed::Refused));
        assert_eq!(client.get("key"), Ok(None));
    });
}

fn a_cas_has_an_expiry(on: Kind) {
    let (servers, addresses) = on.servers(1);
    let client = client(&addresses);
    client.set("key", "value", Expiry::Never).unwrap();
    let cas = client.gets("key").unwrap().expect("a hit").cas.expect("a cas");
    client.cas("key", "value", HOUR, cas).unwrap();
    assert_hours_left(&servers[0], "key", 1);
}
