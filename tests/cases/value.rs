//! Values of all types.

use std::collections::HashMap;

use memcached2_proto::values::{Json, Postcard, Zlib, Zstd};
use memcached2_proto::{Bytes, Data, Error, Expiry, FromValue, Landed, Options, Store, ToValue, Value};
use memcached2_testkit::assert_matches;
use serde::{Deserialize, Serialize};

use super::servers::Kind;
use super::setting::{PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        each_type_comes_back_as_it_was_stored,
        a_value_that_cannot_be_converted_is_an_error,
        a_value_that_cannot_be_read_is_a_miss_if_asked_for,
        what_serde_serializes_comes_back,
        what_was_compressed_comes_back,
        a_value_keeps_its_flags_when_it_is_stored_again,
        refresh_cas_fetches_the_version_only_of_the_same_value,
        a_prefix_separates_the_keys_of_several_clients,
        a_batch_that_was_not_all_stored_has_a_result_for_each_item,
    }
    scripted {}
}

/// A type of a user.
#[derive(Debug, Clone, PartialEq)]
struct Point(i32, i32);

impl ToValue for Point {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        match self {
            Self(0, 0) => Err(Error::value("nobody stores the origin")),
            Self(x, y) => Ok(Data::from(format!("{x},{y}")).with_flags(7)),
        }
    }
}

impl FromValue for Point {
    fn from_value(value: Value) -> Result<Self, Error> {
        let (x, y) = value.as_str()?.split_once(',').ok_or_else(|| Error::value("no comma"))?;
        Ok(Self(x.parse().map_err(Error::value)?, y.parse().map_err(Error::value)?))
    }
}

fn each_type_comes_back_as_it_was_stored(on: Kind) {
    fn assert_kept<T: ToValue + FromValue + PartialEq + std::fmt::Debug>(client: &Client, value: T) {
        client.set("key", &value, Expiry::Never).unwrap();
        assert_eq!(client.get_as::<T>("key"), Ok(Some(value)));
    }
    on.on_each_socket(|client| {
        assert_kept(client, b"\0\r\n\xff".to_vec());
        assert_kept(client, Bytes::from_static(b""));
        assert_kept(client, "caf\u{e9}".to_owned());
        assert_kept(client, u64::MAX);
        assert_kept(client, i64::MIN);
        assert_kept(client, true);
        assert_kept(client, u128::MAX);
        assert_kept(client, 0.1_f32);
        assert_kept(client, f64::MIN_POSITIVE);
        assert_kept(client, '\u{e9}');
        assert_kept(client, Point(3, -4));
        assert_eq!(client.get("key").unwrap().expect("a hit").flags, 7);
        assert_eq!(client.get_as::<u64>("nothing"), Ok(None));
    });
}

fn a_value_that_cannot_be_converted_is_an_error(on: Kind) {
    on.on_each_socket(|client| {
        client.set("word", "word", Expiry::Never).unwrap();
        client.set("bytes", b"\xff", Expiry::Never).unwrap();
        for error in [
            client.get_as::<u64>("word").unwrap_err(),
            client.get_as::<bool>("word").unwrap_err(),
            client.get_as::<String>("bytes").unwrap_err(),
            client.get_as::<Point>("word").unwrap_err(),
            client.set("origin", Point(0, 0), Expiry::Never).unwrap_err(),
            client.set_many(&[("a", Point(1, 1)), ("b", Point(0, 0))], Expiry::Never).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Value { .. }), "{error:?}");
            assert_eq!(error.landed(), Landed::NotSent);
        }
        assert_eq!(client.get("a"), Ok(None));
    });
}

fn a_value_that_cannot_be_read_is_a_miss_if_asked_for(on: Kind) {
    on.on_each_socket(|client| {
        client.set("word", "word", Expiry::Never).unwrap();
        client.set("number", 7, Expiry::Never).unwrap();
        for (key, expected) in [("word", None), ("number", Some(7)), ("nothing", None)] {
            assert_eq!(client.get_as::<Option<u64>>(key).unwrap().flatten(), expected);
        }
        assert!(matches!(client.get_as::<Option<u64>>("two words"), Err(Error::Key { .. })));
    });
}

/// A type that serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u8,
}

fn what_serde_serializes_comes_back(on: Kind) {
    on.on_each_socket(|client| {
        let user = User { name: "Ada".to_owned(), age: 36 };
        client.set("json", Json(&user), Expiry::Never).unwrap();
        client.set("postcard", Postcard(&user), Expiry::Never).unwrap();
        assert_eq!(client.get("json").unwrap().expect("a hit"), r#"{"name":"Ada","age":36}"#);
        assert_eq!(client.get("postcard").unwrap().expect("a hit"), b"\x03Ada\x24");
        assert_eq!(client.get_as("json"), Ok(Some(Json(user.clone()))));
        assert_eq!(client.get_as("postcard"), Ok(Some(Postcard(user))));
        assert_eq!(client.get_as::<Json<User>>("nothing"), Ok(None));
        // Of another type, and of an older version of the program.
        assert_eq!(client.get_as::<Option<Json<u8>>>("json"), Ok(Some(None)));
        let error = client.get_as::<Json<Vec<User>>>("json").unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error:?}");
        assert_eq!(error.landed(), Landed::NotSent);
        let text = error.to_string();
        let words = ["json", "23 bytes with flags 0 cannot be read as Json<Vec<User>>: invalid type: map"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        client.append("postcard", "!").unwrap();
        let text = client.get_as::<Postcard<User>>("postcard").unwrap_err().to_string();
        assert!(text.contains("1 bytes follow it"), "{text}");
        // A key of a map in JSON must be a text.
        let error = client.set("map", Json(HashMap::from([((1, 2), 3)])), Expiry::Never).unwrap_err();
        assert_eq!((error.key(), error.landed()), (Some("map"), Landed::NotSent));
        assert!(error.to_string().contains("HashMap<(i32, i32), i32> cannot be written as JSON"), "{error}");
    });
}

fn what_was_compressed_comes_back(on: Kind) {
    on.on_each_socket(|client| {
        let users = vec![User { name: "Ada".to_owned(), age: 36 }; 1000];
        let plain = "x".repeat(3_000_000);
        client.set("zlib", Zlib(Json(&users)), Expiry::Never).unwrap();
        client.set("zstd", Zstd(Postcard(&users)), Expiry::Never).unwrap();
        // Longer than the server takes if it were not compressed.
        client.set_many(&[("large", Zlib(&plain))], Expiry::Never).unwrap().all_stored().unwrap();
        client.set("short", Zstd("short"), Expiry::Never).unwrap();
        let stored = |key| client.get(key).unwrap().expect("a hit");
        assert_eq!(["zlib", "zstd", "large", "short"].map(|key| stored(key).flags), [8, 64, 8, 0]);
        assert!(stored("zlib").data().len() < 1000 && stored("zstd").data().len() < 1000);
        assert_eq!(client.get_as("zlib"), Ok(Some(Zlib(Json(users.clone())))));
        assert_eq!(client.get_as("zstd"), Ok(Some(Zstd(Postcard(users)))));
        assert_eq!(client.get_as("large"), Ok(Some(Zlib(plain))));
        assert_eq!(client.get_as("short"), Ok(Some(Zlib(Zstd("short".to_owned())))));
        client.append("zlib", "!").unwrap();
        let error = client.get_as::<Zlib<Json<Vec<User>>>>("zlib").unwrap_err();
        assert_eq!(error.key(), Some("zlib"));
        let text = error.to_string();
        assert!(
            text.contains("flags 8 cannot be read as Zlib<Json<Vec<User>>>: 1 bytes follow what was compressed"),
            "{text}"
        );
    });
}

fn a_value_keeps_its_flags_when_it_is_stored_again(on: Kind) {
    on.on_each_socket(|client| {
        client.run(Store::set("a", "x").unwrap().flags(9)).unwrap();
        let value = client.get("a").unwrap().expect("a hit");
        client.set("b", &value, Expiry::Never).unwrap();
        assert_eq!(client.get("b").unwrap().expect("a hit").flags, 9);
        let computed = client.cache("c", Expiry::Never, || Ok::<_, Error>(Point(1, 2))).unwrap();
        assert_eq!((computed.flags, computed.data()), (7, &b"1,2"[..]));
        let kept = client.cache("c", Expiry::Never, || Ok::<Point, Error>(unreachable())).unwrap();
        assert_eq!(kept, computed);
    });
}

fn unreachable<T>() -> T {
    panic!("it is there already")
}

fn refresh_cas_fetches_the_version_only_of_the_same_value(on: Kind) {
    on.on_each_socket(|client| {
        client.set("a", "x", Expiry::Never).unwrap();
        let value = client.get("a").unwrap().expect("a hit");
        let fresh = client.refresh_cas("a", &value).unwrap();
        client.cas("a", "y", Expiry::Never, fresh.cas.expect("a cas")).unwrap();
        assert_matches!(client.refresh_cas("a", &value), Err(Error::CasRefresh { .. }));
        client.delete("a").unwrap();
        assert_matches!(client.refresh_cas("a", &fresh), Err(Error::CasRefresh { .. }));
    });
}

fn a_prefix_separates_the_keys_of_several_clients(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = |options: Options| Client::with_options(&addresses, options.timeout(PATIENT)).expect("right");
    let plain = client(trusting());
    let shop = client(trusting().prefix("shop:"));
    let apart = client(trusting().prefix("apart:").route_by_prefix(false));
    let keys: Vec<_> = (0..30).map(|at| format!("key{at}")).collect();
    for (client, value) in [(&plain, "plain"), (&shop, "shop"), (&apart, "apart")] {
        let items: Vec<_> = keys.iter().map(|key| (key, value)).collect();
        client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    }
    for (client, value) in [(&plain, "plain"), (&shop, "shop"), (&apart, "apart")] {
        assert!(
            client
                .get_many(&keys)
                .unwrap()
                .into_result()
                .unwrap()
                .into_iter()
                .all(|hit| hit.is_some_and(|hit| hit == value))
        );
        assert_eq!(client.get("key7").unwrap().expect("a hit"), value);
    }
    // With its name as it is on the server a key is where a client without a prefix looks for it.
    assert_eq!(plain.get("shop:key7").unwrap().expect("a hit"), "shop");
    assert_eq!(shop.delete("key7"), Ok(true));
    assert_eq!(plain.get("key7").unwrap().expect("a hit"), "plain");
    let too_long = "k".repeat(246);
    assert!(matches!(shop.get(&too_long), Err(Error::Key { .. })));
    let mixed = shop.get_many(&["key1", &too_long, "key2"]).unwrap();
    assert_eq!(mixed.iter().map(|result| result.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    let refused = Client::with_options(&addresses, trusting().prefix("two words"));
    assert!(matches!(refused.map(drop), Err(Error::Key { .. })));
}

fn a_batch_that_was_not_all_stored_has_a_result_for_each_item(on: Kind) {
    let server = on.start();
    let client = super::setting::client(&[server.address()]);
    let (small, large) = ("x".to_owned(), "x".repeat(2 << 20));
    let items = [("a", &small), ("b", &large), ("c", &small)];
    let error = client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap_err();
    let Error::MultiStorage { results, .. } = &error else { panic!("{error:?}") };
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(error.landed(), Landed::Unknown);
    assert!(error.to_string().starts_with("1 of 3 items were not stored; the first error: "), "{error}");
}
