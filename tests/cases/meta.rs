//! The meta commands with all their flags, and the methods that are made of them.

use std::time::Duration;

use memcached2_proto::command::IfChanged;
use memcached2_proto::command::meta::{
    MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet, MetaSetMode, MetaStatus, Ttl,
};
use memcached2_proto::error::CasProblem;
use memcached2_proto::operation::{AllServers, Batch, RoutedBy};
use memcached2_proto::{Error, Expiry, Landed, OrMiss, Protocol, Store, Value};
use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session, assert_matches};

use super::servers::Kind;
use super::setting::{HOUR, PATIENT, client, forgetful, trusting};
use crate::subject::Client;

super::cases! {
    served {
        an_item_comes_with_what_was_asked_for since (1, 6, 18),
        a_store_in_each_mode_says_what_became_of_it since (1, 6, 18),
        a_delete_compares_versions since (1, 6, 10),
        a_number_is_made_and_counted since (1, 6, 18),
        keys_of_any_bytes_are_items_of_their_own since (1, 6, 18),
        a_stale_item_has_one_winner since (1, 6, 18),
        a_large_value_comes_with_its_flags since (1, 6, 18),
        a_server_says_what_it_knows_of_an_item since (1, 6, 18),
        a_flag_that_came_later_is_refused_and_takes_nothing_from_others since (1, 6, 18) until (1, 6, 26),
        many_commands_run_at_once_and_each_has_its_result since (1, 6, 18),
        an_item_exists_in_each_protocol,
        a_value_is_fetched_if_it_has_changed_in_each_protocol,
        a_number_is_stored_if_there_is_none_in_each_protocol,
        a_value_comes_with_the_time_that_is_left since (1, 6, 10),
        metadata_come_without_the_value since (1, 6, 10),
        an_item_is_deleted_if_it_has_not_changed since (1, 6, 10),
    }
    scripted {
        newer_flags_are_known_to_newer_servers,
        a_meta_command_is_not_sent_to_a_server_that_speaks_none,
        a_number_that_never_settles_is_given_up,
    }
}

/// A client for each protocol that the server speaks, each with its own server.
fn in_each_protocol(on: Kind, case: impl Fn(&Client)) {
    for &protocol in on.protocols() {
        let (_servers, addresses) = on.servers(1);
        let options = trusting().timeout(PATIENT).protocol(protocol);
        case(&Client::with_options(&addresses, options).expect("the address is right"));
    }
}

fn an_item_comes_with_what_was_asked_for(on: Kind) {
    on.on_each_socket(|client| {
        let get = || MetaGet::new("key").unwrap();
        assert_eq!(client.run(get().value().opaque("mine")), Ok(None));
        client.run(Store::set("key", "value").unwrap().flags(7).expiry(HOUR)).unwrap();
        let all = get().value().flags().cas().size().ttl().hit_before().last_access().return_key().opaque("mine");
        let item = client.run(all).unwrap().expect("a hit");
        let value = item.value.expect("it was asked for");
        assert_eq!((value.data(), value.flags, value.cas), (&b"value"[..], 7, item.cas));
        assert_eq!((item.flags, item.size, item.hit_before), (Some(7), Some(5), Some(false)));
        assert_matches!(item.ttl, Some(Ttl::Seconds(3590..=3601)));
        assert!(item.last_access < Some(Duration::from_secs(10)) && item.cas > Some(0));
        assert_eq!((item.key.as_deref(), item.opaque.as_deref()), (Some(&b"key"[..]), Some(&b"mine"[..])));
        assert!(!item.win && !item.stale && !item.already_won && item.unknown.is_empty());
        // Nothing was asked for but whether it is there.
        let item = client.run(get().no_bump()).unwrap().expect("a hit");
        assert_eq!((item.value, item.flags, item.hit_before), (None, None, None));
        assert_eq!(client.run(get().hit_before()).unwrap().expect("a hit").hit_before, Some(true));
        // In the order asked for: the old time to live, then the new one.
        let before = client.run(get().ttl().touch(2 * HOUR)).unwrap().expect("a hit");
        let after = client.run(get().touch(Expiry::Never).ttl()).unwrap().expect("a hit");
        assert_matches!((before.ttl, after.ttl), (Some(Ttl::Seconds(..=3601)), Some(Ttl::Never)));
        // One that has expired with its request has a wrapped time to live.
        let over = client.run(get().touch(Duration::ZERO).ttl().value()).unwrap().expect("a last hit");
        assert_eq!((over.ttl, over.value.map(|value| value.into_bytes())), (Some(Ttl::Expired), Some("value".into())));
        assert_eq!(client.run(get()), Ok(None));
    });
}

fn a_store_in_each_mode_says_what_became_of_it(on: Kind) {
    on.on_each_socket(|client| {
        let set = |mode| MetaSet::new("key", "b").unwrap().mode(mode).return_key().opaque("mine");
        let value = || client.get("key").unwrap().expect("a hit").into_bytes();
        for mode in [MetaSetMode::Replace, MetaSetMode::Append, MetaSetMode::Prepend] {
            let outcome = client.run(set(mode)).unwrap();
            assert_eq!((outcome.status, outcome.is_done()), (MetaStatus::NotStored, false));
            assert_eq!((outcome.key.as_deref(), outcome.opaque.as_deref()), (Some(&b"key"[..]), Some(&b"mine"[..])));
        }
        assert!(client.run(set(MetaSetMode::Add).flags(7).expiry(HOUR)).unwrap().is_done());
        assert_eq!(client.run(set(MetaSetMode::Add)).unwrap().status, MetaStatus::NotStored);
        assert!(client.run(set(MetaSetMode::Append)).unwrap().is_done());
        assert!(client.run(MetaSet::new("key", "a").unwrap().mode(MetaSetMode::Prepend)).unwrap().is_done());
        let item = client.run(MetaGet::new("key").unwrap().value().flags().ttl()).unwrap().expect("a hit");
        assert_eq!((item.value.map(|value| value.into_bytes()), item.flags), (Some("abb".into()), Some(7)));
        assert_matches!(item.ttl, Some(Ttl::Seconds(3590..=3601)));
        let stored = client.run(set(MetaSetMode::Replace).cas()).unwrap();
        let cas = stored.cas.expect("it was asked for");
        assert_eq!((value(), client.gets("key").unwrap().expect("a hit").cas), ("b".into(), Some(cas)));
        // With a version.
        let wrong = client.run(set(MetaSetMode::Set).compare_cas(cas + 1).cas()).unwrap();
        assert_eq!((wrong.status, wrong.cas), (MetaStatus::Exists, None));
        assert!(client.run(set(MetaSetMode::Set).compare_cas(cas)).unwrap().is_done());
        client.delete("key").unwrap();
        assert_eq!(client.run(set(MetaSetMode::Set).compare_cas(cas)).unwrap().status, MetaStatus::NotFound);
        // What is refused is an error.
        let large = vec![b'x'; 2 << 20];
        let error = client.run(MetaSet::new("key", &large).unwrap().cas()).unwrap_err();
        assert_matches!((&error, error.landed()), (Error::Refused { .. }, Landed::Refused));
        assert_eq!(error.command(), Some("ms"));
        assert!(client.run(set(MetaSetMode::Set)).unwrap().is_done());
    });
}

fn a_delete_compares_versions(on: Kind) {
    on.on_each_socket(|client| {
        let delete = || MetaDelete::new("key").unwrap();
        assert_eq!(client.run(delete()).unwrap().status, MetaStatus::NotFound);
        client.set("key", "value", Expiry::Never).unwrap();
        let cas = client.gets("key").unwrap().expect("a hit").cas.expect("it was asked for");
        assert_eq!(client.run(delete().compare_cas(cas + 1)).unwrap().status, MetaStatus::Exists);
        assert!(client.run(delete().compare_cas(cas)).unwrap().is_done());
        assert_eq!(client.get("key"), Ok(None));
    });
}

fn a_number_is_made_and_counted(on: Kind) {
    on.on_each_socket(|client| {
        let incr = || MetaArithmetic::incr("n", 2).unwrap();
        assert_eq!(client.run(incr().value()).unwrap().status, MetaStatus::NotFound);
        let made = client.run(incr().vivify(HOUR).initial(13).value().cas().ttl()).unwrap();
        assert_eq!((made.status, made.number), (MetaStatus::Done, Some(13)));
        let counted = client.run(incr().value().cas().ttl().return_key()).unwrap();
        assert_eq!((counted.number, counted.key.as_deref()), (Some(15), Some(&b"n"[..])));
        assert_matches!(counted.ttl, Some(Ttl::Seconds(3590..=3601)));
        let cas = counted.cas.expect("it was asked for");
        assert_eq!(client.run(incr().compare_cas(cas + 1)).unwrap().status, MetaStatus::Exists);
        assert_eq!(client.run(incr().compare_cas(cas).value()).unwrap().number, Some(17));
        let less = client.run(MetaArithmetic::decr("n", 100).unwrap().value().touch(Expiry::Never)).unwrap();
        assert_eq!(less.number, Some(0));
        assert_eq!(client.get_with_ttl("n").unwrap().expect("a hit").1, Ttl::Never);
        client.set("n", "word", Expiry::Never).unwrap();
        assert_matches!(client.run(incr()), Err(Error::NonNumeric { .. }));
    });
}

fn keys_of_any_bytes_are_items_of_their_own(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let with_prefix = forgetful(PATIENT).prefix("a:");
    for client in [client(&addresses), Client::with_options(&addresses, with_prefix).unwrap()] {
        let keys: [&[u8]; 7] = [b"two words", b"\r\n", b"\0", b"x\r\nflush_all\r\n", b"\x7f", &[b' '; 184], b"plain"];
        for key in keys {
            assert_eq!(client.run(MetaGet::new(key).unwrap()), Ok(None));
            assert!(client.run(MetaSet::new(key, key).unwrap()).unwrap().is_done());
        }
        for key in keys {
            let item = client.run(MetaGet::new(key).unwrap().value().return_key()).unwrap().expect("a hit");
            assert_eq!(
                (item.value.map(|value| value.into_bytes()), item.key),
                (Some(key.to_vec().into()), Some(key.to_vec().into()))
            );
            assert!(client.run(MetaDebug::new(key).unwrap()).unwrap().is_some());
            assert!(client.run(MetaDelete::new(key).unwrap().return_key()).unwrap().is_done());
        }
        // It is the server that forgets that the key of such an item is in base64.
        let made = client.run(MetaGet::new("a b").unwrap().vivify(HOUR).return_key()).unwrap().expect("it is made");
        assert_eq!((made.win, made.key), (true, Some("a b".into())));
        assert!(client.run(MetaDebug::new("a b").unwrap()).unwrap().is_some());
        client.set("plain", "text", Expiry::Never).unwrap();
        assert!(client.run(MetaGet::new("plain").unwrap().return_key()).unwrap().is_some());
        client.delete("plain").unwrap();
    }
    let client = client(&addresses);
    // What belongs together lies on one server.
    for key in ["cart 1", "cart 2"] {
        assert!(client.run(RoutedBy::new("user:42", MetaSet::new(key, "x").unwrap()).unwrap()).unwrap().is_done());
        assert!(client.run(RoutedBy::new("user:42", MetaGet::new(key).unwrap()).unwrap()).unwrap().is_some());
    }
    assert_matches!(MetaGet::new(&[b' '; 187]), Err(Error::Key { .. }));
}

fn a_stale_item_has_one_winner(on: Kind) {
    on.on_each_socket(|client| {
        let get = || MetaGet::new("key").unwrap().value().cas();
        let made = client.run(get().vivify(HOUR)).unwrap().expect("it is made");
        let other = client.run(get().vivify(HOUR)).unwrap().expect("it was made");
        assert!(made.win && !made.already_won && !other.win && other.already_won);
        let cas = made.cas.expect("it was asked for");
        assert!(client.run(MetaSet::new("key", "1").unwrap().expiry(HOUR).compare_cas(cas)).unwrap().is_done());
        // It expires within two hours, and not within half of one.
        assert!(!client.run(get().recache(HOUR / 2)).unwrap().expect("a hit").win);
        assert!(client.run(get().recache(2 * HOUR)).unwrap().expect("a hit").win);
        assert!(client.run(get().recache(2 * HOUR)).unwrap().expect("a hit").already_won);
        // Marked as stale, and once more while the winner is at work.
        let mark = || client.run(MetaDelete::new("key").unwrap().invalidate().expiry(HOUR)).unwrap();
        assert!(mark().is_done());
        let winner = client.run(get()).unwrap().expect("a hit");
        let other = client.run(get()).unwrap().expect("a hit");
        assert!(winner.win && winner.stale && other.stale && other.already_won && !other.win);
        assert!(mark().is_done());
        let late = MetaSet::new("key", "2").unwrap().compare_cas(winner.cas.expect("it was asked for"));
        assert_eq!(client.run(late.clone()).unwrap().status, MetaStatus::Exists);
        assert!(client.run(late.invalidate()).unwrap().is_done());
        let next = client.run(get()).unwrap().expect("a hit");
        assert!(next.stale && next.win && next.value.is_some_and(|value| value == "2"));
        client.set("key", "3", Expiry::Never).unwrap();
        let fresh = client.run(get()).unwrap().expect("a hit");
        assert!(!fresh.stale && !fresh.win && !fresh.already_won);
    });
}

fn a_large_value_comes_with_its_flags(on: Kind) {
    on.on_each_socket(|client| {
        let large = vec![b'v'; 900_000];
        assert!(client.run(MetaSet::new("key", &large).unwrap().flags(9)).unwrap().is_done());
        let item = client.run(MetaGet::new("key").unwrap().size().value().flags()).unwrap().expect("a hit");
        assert_eq!((item.size, item.flags), (Some(900_000), Some(9)));
        assert!(item.value.is_some_and(|value| value == large));
    });
}

fn a_server_says_what_it_knows_of_an_item(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.run(MetaDebug::new("key").unwrap()), Ok(None));
        client.set("key", "value", Expiry::Never).unwrap();
        let report = client.run(MetaDebug::new("key").unwrap()).unwrap().expect("a hit");
        assert_eq!(
            (report.text("exp"), report.number("cls"), report.boolean("fetch")),
            (Some("-1"), Some(1), Some(false))
        );
        assert!(report.number("size") > Some(8) && report.number("cas") == client.gets("key").unwrap().unwrap().cas);
        assert_eq!(client.run(AllServers(MetaNoop)).unwrap().into_result(), Ok(vec![()]));
    });
}

fn a_flag_that_came_later_is_refused_and_takes_nothing_from_others(on: Kind) {
    on.on_each_socket(|client| {
        client.set("key", "value", Expiry::Never).unwrap();
        for error in [
            client.run(MetaSet::new("key", "flush_all\r\n").unwrap().set_cas(5)).unwrap_err(),
            client.run(MetaDelete::new("key").unwrap().remove_value()).unwrap_err(),
        ] {
            assert_matches!((&error, error.landed()), (Error::Refused { .. }, Landed::Refused));
        }
        assert_eq!(client.get("key").unwrap().expect("a hit"), "value");
    });
}

fn many_commands_run_at_once_and_each_has_its_result(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let keys: Vec<String> = (0..2000).map(|number| format!("key {number}")).collect();
    let sets = keys.iter().enumerate().map(|(number, key)| {
        let mode = if number % 2 == 0 { MetaSetMode::Set } else { MetaSetMode::Replace };
        MetaSet::new(key, key).unwrap().mode(mode)
    });
    let stored = client.run(Batch::new(sets.collect())).unwrap().into_result().unwrap();
    assert!(stored.iter().enumerate().all(|(number, outcome)| outcome.is_done() == (number % 2 == 0)));
    let gets = keys.iter().map(|key| MetaGet::new(key).unwrap().value().return_key());
    let found = client.run(Batch::new(gets.collect())).unwrap().into_result().unwrap();
    for (number, (item, key)) in found.into_iter().zip(&keys).enumerate() {
        let value = item.and_then(|item| item.value.filter(|_| item.key.as_deref() == Some(key.as_bytes())));
        assert_eq!(value.map(|value| value.into_bytes()), (number % 2 == 0).then(|| key.clone().into()));
    }
    assert!(client.run(Batch::new(Vec::<MetaGet<'_>>::new())).unwrap().is_empty());
}

fn an_item_exists_in_each_protocol(on: Kind) {
    in_each_protocol(on, |client| {
        assert_eq!(client.exists("key"), Ok(false));
        client.set("key", "value", Expiry::Never).unwrap();
        assert_eq!(client.exists("key"), Ok(true));
        assert_matches!(client.exists("two words"), Err(Error::Key { .. }));
    });
}

fn a_value_is_fetched_if_it_has_changed_in_each_protocol(on: Kind) {
    in_each_protocol(on, |client| {
        assert_eq!(client.get_if_changed("key", 7), Ok(IfChanged::Missing));
        client.run(Store::set("key", "value").unwrap().flags(7)).unwrap();
        let known = client.gets("key").unwrap().expect("a hit");
        let cas = known.cas.expect("it was asked for");
        assert_eq!(client.get_if_changed("key", cas), Ok(IfChanged::Same));
        assert_eq!(client.get_if_changed("key", cas + 1), Ok(IfChanged::Changed(known)));
        assert_matches!(client.get_if_changed("key", 0), Err(Error::Cas { problem: CasProblem::Disabled, .. }));
    });
}

fn a_number_is_stored_if_there_is_none_in_each_protocol(on: Kind) {
    in_each_protocol(on, |client| {
        assert_eq!(client.incr_or("n", 1, 10, HOUR), Ok(10));
        assert_eq!(client.incr_or("n", 1, 10, Expiry::Never), Ok(11));
        assert_eq!(client.decr_or("n", 5, 10, HOUR), Ok(6));
        assert_eq!(client.decr_or("m", 5, 10, Expiry::Never), Ok(10));
        assert_eq!(client.get("m").unwrap().map(|value| value.into_bytes()), Some("10".into()));
        client.set("n", "word", Expiry::Never).unwrap();
        let error = client.incr_or("n", 1, 1, HOUR).unwrap_err();
        assert_matches!((&error, error.key()), (Error::NonNumeric { .. }, Some("n")));
    });
}

fn a_value_comes_with_the_time_that_is_left(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.get_with_ttl("key"), Ok(None));
        client.run(Store::set("key", "value").unwrap().flags(7).expiry(HOUR)).unwrap();
        let (value, ttl) = client.get_with_ttl("key").unwrap().expect("a hit");
        assert_eq!((value.data(), value.flags), (&b"value"[..], 7));
        assert!(ttl.remaining().is_some_and(|left| left <= HOUR + Duration::from_secs(1) && left > HOUR / 2));
        client.touch("key", Expiry::Never).unwrap();
        let (_, ttl) = client.get_with_ttl("key").unwrap().expect("a hit");
        assert_eq!((ttl, ttl.remaining()), (Ttl::Never, None));
    });
}

fn metadata_come_without_the_value(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.metadata("key"), Ok(None));
        client.run(Store::set("key", "value").unwrap().flags(7)).unwrap();
        for _ in 0..2 {
            let item = client.metadata("key").unwrap().expect("a hit");
            assert_eq!((item.size, item.flags, item.ttl), (Some(5), Some(7), Some(Ttl::Never)));
            // Asking for them is no hit.
            assert_eq!((item.hit_before, item.value), (Some(false), None));
        }
        client.get("key").unwrap();
        assert_eq!(client.metadata("key").unwrap().expect("a hit").hit_before, Some(true));
    });
}

fn an_item_is_deleted_if_it_has_not_changed(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.delete_cas("key", 7), Ok(false));
        client.set("key", "value", Expiry::Never).unwrap();
        let cas = client.gets("key").unwrap().expect("a hit").cas.expect("it was asked for");
        let error = client.delete_cas("key", cas + 1).unwrap_err();
        assert_matches!(
            (&error, error.landed(), error.command()),
            (Error::Exists { .. }, Landed::Refused, Some("delete_cas"))
        );
        assert_eq!(client.delete_cas("key", cas), Ok(true));
        assert_eq!(client.exists("key"), Ok(false));
        assert_matches!(client.delete_cas("key", 0), Err(Error::Cas { problem: CasProblem::Disabled, .. }));
    });
}

fn newer_flags_are_known_to_newer_servers() {
    let server = EmbeddedServer::with().version("1.6.45").start();
    let client = client(&[server.address()]);
    // A version of its own, and what it is compared with.
    let stored = client.run(MetaSet::new("key", "value").unwrap().set_cas(1000).cas().size()).unwrap();
    assert_eq!((stored.cas, stored.size), (Some(1000), Some(5)));
    let get = || MetaGet::new("key").unwrap().value().cas();
    assert_eq!(client.run(get().compare_cas(1000)).unwrap().expect("a hit").value, None);
    assert!(client.run(get().compare_cas(999)).unwrap().expect("a hit").value.is_some());
    assert_eq!(client.get_if_changed("key", 1000), Ok(IfChanged::Same));
    assert_matches!(client.get_if_changed("key", 999), Ok(IfChanged::Changed(Value { cas: Some(1000), .. })));
    // An item that is made by appending.
    let append = MetaSet::new("list", "x").unwrap().mode(MetaSetMode::Append).vivify(HOUR).size();
    assert_eq!([1, 2].map(|_| client.run(append.clone()).unwrap().size), [Some(1), Some(2)]);
    let counted = client.run(MetaArithmetic::incr("n", 1).unwrap().vivify(HOUR).set_cas(77).cas().value()).unwrap();
    assert_eq!((counted.cas, counted.number), (Some(77), Some(0)));
    let made = client.run(MetaGet::new("made").unwrap().vivify(HOUR).set_cas(55).cas()).unwrap().expect("it is made");
    assert_eq!((made.cas, made.win), (Some(55), true));
    // Without its value.
    let emptied = MetaDelete::new("key").unwrap().remove_value().invalidate().expiry(HOUR).set_cas(2000);
    assert!(client.run(emptied).unwrap().is_done());
    let item = client.run(get().size().flags()).unwrap().expect("a hit");
    assert_eq!((item.size, item.flags, item.cas, item.win), (Some(0), Some(0), Some(2000), true));
    // It needs something after the flag `b`.
    assert!(client.run(MetaSet::new("two words", "x").unwrap()).unwrap().is_done());
    let report = client.run(MetaDebug::new("two words").unwrap()).unwrap().expect("a hit");
    assert_eq!(report.text("exp"), Some("-1"));
}

fn a_meta_command_is_not_sent_to_a_server_that_speaks_none() {
    let not_spoken = |error: &Error| {
        let is_it = matches!(error, Error::NoMeta { .. });
        is_it && error.landed() == Landed::NotSent && !error.counts_as_miss() && error.server().is_some()
    };
    let embedded = EmbeddedServer::start();
    let options = forgetful(PATIENT).protocol(Protocol::Classic);
    let set = || MetaSet::new("key", "flush_all\r\n").unwrap();
    // One that is told to be spoken to in the classic protocol, and one that refuses the question.
    let probed = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
    let server = ScriptedServer::start([probed.expect("get key\r\n").send("END\r\n")]);
    for client in [Client::with_options([embedded.address()], options).unwrap(), client(&[server.address()])] {
        for error in [
            client.run(set()).unwrap_err(),
            client.run(MetaGet::new("key").unwrap()).unwrap_err(),
            client.run(MetaDebug::new("key").unwrap()).unwrap_err(),
            client.get_with_ttl("key").unwrap_err(),
            client.metadata("key").or_miss().unwrap_err(),
            client.delete_cas("key", 7).unwrap_err(),
        ] {
            assert!(not_spoken(&error), "{error}");
        }
        let results = client.run(AllServers(MetaNoop)).unwrap();
        assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| not_spoken(error))), "{results:?}");
        assert_eq!(client.exists("key"), Ok(false));
    }
    server.finish();
}

fn a_number_that_never_settles_is_given_up() {
    let mut session = Session::new();
    for _ in 0..8 {
        session =
            session.expect("incr n 1\r\n").send("NOT_FOUND\r\n").expect("add n 0 60 1\r\n5\r\n").send("NOT_STORED\r\n");
    }
    let server = ScriptedServer::start([session]);
    let options = forgetful(PATIENT).protocol(Protocol::Classic);
    let client = Client::with_options([server.address()], options).unwrap();
    let error = client.incr_or("n", 1, 5, Duration::from_secs(60)).unwrap_err();
    assert_matches!((&error, error.command(), error.key()), (Error::NotStored { .. }, Some("incr_or"), Some("n")));
    drop(client);
    server.finish();
}
