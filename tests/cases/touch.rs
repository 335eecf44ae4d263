//! Versions of items, and a new expiry for what is there.

use std::time::Duration;

use memcached2_proto::{Expiry, Store};

use super::servers::{Kind, Server, ask, assert_hours_left};
use super::setting::{HOUR, PATIENT, client, trusting};
use crate::subject::Client;

super::cases! {
    served {
        a_gets_returns_the_version_of_the_item,
        a_gat_returns_the_value_and_changes_its_expiry since (1, 5, 3),
        a_gats_returns_the_version_and_changes_the_expiry since (1, 5, 3),
        a_gat_with_an_expiry_that_has_passed_is_the_last_hit since (1, 5, 3),
        a_touch_returns_whether_there_is_an_item_and_changes_its_expiry,
    }
    scripted {}
}

/// Runs a case in each protocol that the server speaks, each with its own server.
fn in_each_protocol(on: Kind, case: impl Fn(&Client, &Server)) {
    for &protocol in on.protocols() {
        let (servers, addresses) = on.servers(1);
        let options = trusting().timeout(PATIENT).protocol(protocol);
        case(&Client::with_options(&addresses, options).expect("the address is right"), &servers[0]);
    }
}

fn a_gets_returns_the_version_of_the_item(on: Kind) {
    on.on_each_socket(|client| assert_eq!(client.gets("key"), Ok(None)));
    in_each_protocol(on, |client, server| {
        assert_eq!(client.gets("key"), Ok(None));
        client.run(Store::set("key", "value").unwrap().flags(7)).unwrap();
        let hit = client.gets("key").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"value"[..], 7));
        assert_eq!(ask(server, "gets key"), format!("VALUE key 7 5 {}", hit.cas.expect("a cas")));
        assert_eq!(client.gets("key").unwrap().expect("a hit").cas, hit.cas);
        client.set("key", "value", Expiry::Never).unwrap();
        assert_ne!(client.gets("key").unwrap().expect("a hit").cas, hit.cas);
        // To count makes a new version, too.
        client.set("n", "1", Expiry::Never).unwrap();
        let cas = client.gets("n").unwrap().expect("a hit").cas;
        assert_eq!(client.incr("n", 1), Ok(Some(2)));
        assert_ne!(client.gets("n").unwrap().expect("a hit").cas, cas);
    });
}

fn a_gat_returns_the_value_and_changes_its_expiry(on: Kind) {
    on.on_each_socket(|client| assert_eq!(client.gat("key", HOUR), Ok(None)));
    in_each_protocol(on, |client, server| {
        assert_eq!(client.gat("key", HOUR), Ok(None));
        client.run(Store::set("key", "value").unwrap().flags(7)).unwrap();
        assert_eq!(server.seconds_left("key"), None);
        for hours in [1, 24, 31 * 24] {
            let hit = client.gat("key", hours * HOUR).unwrap().expect("a hit");
            assert_eq!((hit.data(), hit.flags, hit.cas), (&b"value"[..], 7, None));
            assert_hours_left(server, "key", hours);
        }
        assert_eq!(client.gat("key", Expiry::Never).unwrap().expect("a hit"), "value");
        assert_eq!(server.seconds_left("key"), None);
    });
}

fn a_gats_returns_the_version_and_changes_the_expiry(on: Kind) {
    on.on_each_socket(|client| assert_eq!(client.gats("key", HOUR), Ok(None)));
    in_each_protocol(on, |client, server| {
        assert_eq!(client.gats("key", HOUR), Ok(None));
        client.set("key", "value", Expiry::Never).unwrap();
        let hit = client.gats("key", HOUR).unwrap().expect("a hit");
        assert_eq!(hit, "value");
        assert_hours_left(server, "key", 1);
        // To give an expiry makes no new version.
        let cas = hit.cas.expect("a cas");
        assert_eq!(client.cas("key", "new", Expiry::Never, cas), Ok(()));
        assert_eq!(client.get("key").unwrap().expect("a hit"), "new");
    });
}

fn a_gat_with_an_expiry_that_has_passed_is_the_last_hit(on: Kind) {
    in_each_protocol(on, |client, _| {
        client.set("key", "value", Expiry::Never).unwrap();
        assert_eq!(client.gat("key", Duration::ZERO).unwrap().expect("a hit"), "value");
        assert_eq!(client.get("key"), Ok(None));
    });
}

fn a_touch_returns_whether_there_is_an_item_and_changes_its_expiry(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.touch("key", HOUR), Ok(false));
        client.set("key", "value", Expiry::Never).unwrap();
        assert_eq!(client.touch("key", HOUR), Ok(true));
        assert_eq!(client.get("key").unwrap().expect("a hit"), "value");
        assert_eq!(client.touch("key", Duration::ZERO), Ok(true));
        assert_eq!(client.get("key"), Ok(None));
        assert_eq!(client.touch("key", HOUR), Ok(false));
    });
    let (servers, addresses) = on.servers(1);
    let client = client(&addresses);
    client.set("key", "value", Expiry::Never).unwrap();
    for hours in [1, 31 * 24] {
        assert_eq!(client.touch("key", hours * HOUR), Ok(true));
        assert_hours_left(&servers[0], "key", hours);
    }
    assert_eq!(client.touch("key", Expiry::Never), Ok(true));
    assert_eq!(servers[0].seconds_left("key"), None);
}
