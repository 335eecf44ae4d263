//! Fetched items that remember where they came from.

use memcached2_proto::error::CasProblem;
use memcached2_proto::{Error, Expiry};
use memcached2_testkit::assert_matches;
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, ask, assert_hours_left};
use super::setting::{HOUR, PATIENT, client, text_client};

super::cases! {
    served {
        an_item_changes_its_item,
        an_item_is_deleted_on_every_server,
        an_item_with_its_version_is_stored_over_once,
        an_item_with_its_version_takes_no_change_that_would_not_look_at_it,
    }
    scripted {
        a_refresh_fails_if_another_client_has_stored,
    }
}

fn an_item_changes_its_item(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    assert!(client.item("foo").unwrap().is_none());
    client.set("foo", "bar", Expiry::Never).unwrap();
    let mut item = client.item("foo").unwrap().expect("a hit");
    assert_eq!((item.key(), item.value().data(), item.value().cas), (&b"foo"[..], &b"bar"[..], None));
    item.set("testing", Expiry::Never).unwrap();
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "testing");
    assert_eq!(item.value(), &"testing");
    item.append(">>>").unwrap();
    item.prepend("<<<").unwrap();
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "<<<testing>>>");
    assert_eq!((item.delete(), client.get("foo")), (Ok(true), Ok(None)));
    assert_eq!((item.delete(), item.touch(HOUR), item.incr(1)), (Ok(false), Ok(false), Ok(None)));

    client.set("foo", "1", Expiry::Never).unwrap();
    let item = client.item("foo").unwrap().expect("a hit");
    assert_eq!(
        (item.incr(1), item.incr(5), item.decr(1), item.decr(3)),
        (Ok(Some(2)), Ok(Some(7)), Ok(Some(6)), Ok(Some(3)))
    );
    assert_eq!(item.touch(HOUR), Ok(true));
    assert_hours_left(&server, "foo", 1);
}

fn an_item_is_deleted_on_every_server(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    client.set("foo", "bar", Expiry::Never).unwrap();
    let item = client.item("foo").unwrap().expect("a hit");
    for there_was_one in [true, false] {
        assert_eq!(item.delete_all().unwrap().into_result().unwrap().contains(&true), there_was_one);
    }
}

fn an_item_with_its_version_is_stored_over_once(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    client.set("foo", "testing", Expiry::Never).unwrap();
    let mut item = client.item_with_cas("foo").unwrap().expect("a hit");
    item.set("test2", HOUR).unwrap();
    assert_hours_left(&server, "foo", 1);
    assert_matches!(item.set("test3", Expiry::Never), Err(Error::Cas { problem: CasProblem::Spent, .. }));
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "test2");
    // As often as it is refreshed.
    for next in ["test3", "test4"] {
        item.refresh().unwrap();
        item.set(next, Expiry::Never).unwrap();
        assert_eq!(client.get("foo").unwrap().expect("a hit"), next);
    }
    // Another client changes it.
    item.refresh().unwrap();
    ask(&server, "touch foo 0");
    client.set("foo", "hacked", Expiry::Never).unwrap();
    assert_matches!(item.set("test5", Expiry::Never), Err(Error::Exists { .. }));
    assert_matches!(item.set("test5", Expiry::Never), Err(Error::Cas { problem: CasProblem::Spent, .. }));
    assert_matches!(item.refresh(), Err(Error::CasRefresh { .. }));
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "hacked");
    client.delete("foo").unwrap();
    assert_matches!(item.refresh(), Err(Error::CasRefresh { .. }));
}

fn an_item_with_its_version_takes_no_change_that_would_not_look_at_it(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    client.set("foo", "1", Expiry::Never).unwrap();
    let item = client.item_with_cas("foo").unwrap().expect("a hit");
    for refused in [
        item.append("x").err(),
        item.prepend("x").err(),
        item.incr(1).err(),
        item.decr(1).err(),
        item.delete().err(),
        item.touch(HOUR).err(),
        item.delete_all().err(),
    ] {
        assert_matches!(refused, Some(Error::Cas { problem: CasProblem::Unsupported, .. }));
    }
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "1");
}

fn a_refresh_fails_if_another_client_has_stored() {
    let session = Session::new()
        .expect("set foo 0 0 7\r\ntesting\r\n")
        .send("STORED\r\n")
        .expect("gets foo\r\n")
        .send("VALUE foo 0 7 3137\r\ntesting\r\nEND\r\n")
        .expect("cas foo 0 0 5 3137\r\ntest2\r\n")
        .send("STORED\r\n")
        .expect("gets foo\r\n")
        .send("VALUE foo 0 7 3173\r\nhacking\r\nEND\r\n");
    let server = ScriptedServer::start([session]);
    let client = text_client(&[&server], PATIENT);
    client.set("foo", "testing", Expiry::Never).unwrap();
    let mut item = client.item_with_cas("foo").unwrap().expect("a hit");
    item.set("test2", Expiry::Never).unwrap();
    assert_matches!(item.refresh(), Err(Error::CasRefresh { .. }));
    drop((item, client));
    server.finish();
}
