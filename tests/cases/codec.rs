//! Values in the form of a client of another language, which is chosen once.

use std::fmt::Debug;
use std::time::Duration;

use memcached2_proto::values::{Codec, FromPlain, Plain, PyLibmc, ToPlain};
use memcached2_proto::{Error, Expiry, Landed, OrMiss, Store, Value};
use memcached2_testkit::assert_matches;

use super::servers::Kind;
use super::setting::HOUR;
use crate::subject::{Client, Values};

super::cases! {
    served {
        each_codec_stores_and_reads_in_its_form,
        a_long_value_is_compressed_as_the_other_client_does_or_as_set,
        what_the_other_client_serialized_is_an_error_with_key_and_flags,
        the_calls_of_a_codec_are_those_of_its_client,
        a_codec_gives_a_new_expiry_with_a_fetch since (1, 5, 3),
    }
    scripted {}
}

fn each_codec_stores_and_reads_in_its_form(on: Kind) {
    fn assert_form<T>(client: &Client, values: &Values, stored: T, form: (&[u8], u64))
    where
        T: ToPlain + FromPlain + PartialEq + Debug,
    {
        values.set("key", &stored, HOUR).unwrap();
        let value = client.get("key").unwrap().expect("a hit");
        assert_eq!((value.data(), value.flags), form, "{stored:?} by {values:?}");
        assert_eq!(values.get_as("key"), Ok(Some(stored)));
    }
    // The flags of bytes, text, and the integer 300; how `true` is stored.
    let codecs = [
        (Codec::Raw, [0, 0], (&b"300"[..], 0), (&b"true"[..], 0)),
        (Codec::PyLibmc, [0, 16], (b"300", 4), (b"1", 2)),
        (Codec::PyMemcache, [0, 16], (b"300", 2), (b"I01\n.", 1)),
        (Codec::PythonMemcached, [0, 16], (b"300", 2), (b"I01\n.", 1)),
        (Codec::Dalli, [0, 4], (b"300", 0), (b"\x04\x08T", 1)),
        (Codec::PhpMemcached, [0, 0], (b"300", 1), (b"1", 3)),
        (Codec::SpyMemcached, [0x800, 0], (b"\x01\x2c", 0x300), (b"1", 0x100)),
    ];
    on.on_each_socket(|client| {
        for (codec, [bytes, text], integer, truth) in codecs {
            let values = client.values(codec);
            assert_form(client, &values, b"\0\r\n\xff".to_vec(), (b"\0\r\n\xff", bytes));
            assert_form(client, &values, "caf\u{e9}".to_owned(), (b"caf\xc3\xa9", text));
            assert_form(client, &values, 300_u64, integer);
            assert_form(client, &values, true, truth);
            assert_eq!(values.get_as::<u64>("nothing"), Ok(None));
            assert_matches!(values.get_as::<u64>("two words"), Err(Error::Key { .. }));
        }
        // A wrapper, for one value, has the same form.
        client.values(Codec::PyLibmc).set("wrapped", "text", HOUR).unwrap();
        assert_eq!(client.get_as("wrapped"), Ok(Some(PyLibmc("text".to_owned()))));
        for (codec, form) in [
            (Codec::Raw, (&b"0.1"[..], 0)),
            (Codec::PhpMemcached, (b"1e-1", 2)),
            (Codec::SpyMemcached, (b"\x3f\xb9\x99\x99\x99\x99\x99\x9a", 0x700)),
        ] {
            assert_form(client, &client.values(codec), 0.1, form);
        }
    });
}

fn a_long_value_is_compressed_as_the_other_client_does_or_as_set(on: Kind) {
    let text = |length: usize| "x".repeat(length);
    on.on_each_socket(|client| {
        let is_compressed = |values: &Values, length| {
            values.set("long", text(length), HOUR).unwrap();
            assert_eq!(values.get_as("long"), Ok(Some(text(length))));
            client.get("long").unwrap().expect("a hit").data().len() < length
        };
        for (codec, longest) in [
            (Codec::Raw, usize::MAX),
            (Codec::PyLibmc, usize::MAX),
            (Codec::PyMemcache, usize::MAX),
            (Codec::PythonMemcached, usize::MAX),
            (Codec::Dalli, 4095),
            (Codec::PhpMemcached, 1999),
            (Codec::SpyMemcached, 16_384),
        ] {
            let (values, set) = (client.values(codec), client.values(codec).compress_from(100));
            assert!(!is_compressed(&values, longest.min(100_000)), "{codec}");
            assert!(longest == usize::MAX || is_compressed(&values, longest + 1), "{codec}");
            assert!(!is_compressed(&set, 99), "{codec}");
            assert_eq!(is_compressed(&set, 100), codec != Codec::Raw, "{codec}");
            assert!(!is_compressed(&set.compress_from(usize::MAX), 100_000), "{codec}");
        }
    });
}

fn what_the_other_client_serialized_is_an_error_with_key_and_flags(on: Kind) {
    let serialized = [
        (Codec::PyLibmc, 1, &b"(lp0\n."[..], "it is a pickle of Python"),
        (Codec::Dalli, 1, b"\x04\x08[\x06i\x06", "it was serialized by Marshal of Ruby"),
        (Codec::PhpMemcached, 4, b"a:1:{i:0;i:1;}", "it was serialized by PHP"),
        (Codec::SpyMemcached, 1, b"\xac\xed", "it was serialized by Java"),
    ];
    on.on_each_socket(|client| {
        for (codec, flags, bytes, reason) in serialized {
            let values = client.values(codec);
            client.run(Store::set("list", bytes).unwrap().flags(flags)).unwrap();
            values.set("visits", 7, HOUR).unwrap();
            let many = values.get_many_as::<u64>(&["visits", "list", "nothing"]).unwrap();
            let mut many = many.into_iter();
            assert_eq!(many.next(), Some(Ok(Some(7))));
            let of_many = many.next().expect("a result").unwrap_err();
            assert_eq!(many.next(), Some(Ok(None)));
            for error in [
                of_many,
                values.get_as::<u64>("list").unwrap_err(),
                values.gets_as::<u64>("list").unwrap_err(),
                values.cache("list", HOUR, || Ok::<u64, Error>(1)).unwrap_err(),
                // It is none of the cache.
                values.get_as::<u64>("list").or_miss().unwrap_err(),
            ] {
                assert_matches!(error, Error::Value { .. });
                assert_eq!((error.key(), error.landed()), (Some("list"), Landed::NotSent));
                let (text, read) = (error.to_string(), format!("flags {flags} cannot be read as u64: {reason}"));
                assert!(text.contains(&read), "{text}");
            }
            // Unless it shall count as a miss; and it can be stored over.
            assert_eq!(values.get_as::<Option<u64>>("list"), Ok(Some(None)));
            let (read, cas) = values.gets_as::<Option<u64>>("list").unwrap().expect("a hit");
            assert_eq!((read, values.cas("list", 8, HOUR, cas)), (None, Ok(())));
            assert_eq!(values.get_as("list"), Ok(Some(8)));
        }
        // What it has no form for is not sent.
        let values = client.values(Codec::PyMemcache);
        for error in [
            values.set("half", 0.5, HOUR).unwrap_err(),
            values.set_many(&[("one", 1.0), ("half", 0.5)], HOUR).unwrap_err(),
        ] {
            assert_eq!(error.landed(), Landed::NotSent);
            assert!(error.to_string().contains("is no value that pymemcache has"), "{error}");
        }
        assert_eq!((client.get("one"), client.get("half")), (Ok(None), Ok(None)));
    });
}

fn the_calls_of_a_codec_are_those_of_its_client(on: Kind) {
    on.on_each_socket(|client| {
        let values = client.values(Codec::PyLibmc);
        let flags = |key| client.get(key).unwrap().map(|value: Value| value.flags);
        assert_matches!(values.replace("a", "x", HOUR), Err(Error::NotStored { .. }));
        assert_eq!(values.add("a", "x", HOUR), Ok(()));
        assert_matches!(values.add("a", "y", HOUR), Err(Error::NotStored { .. }));
        assert_eq!((flags("a"), values.replace("a", 5, HOUR), flags("a")), (Some(16), Ok(()), Some(4)));
        let (number, cas) = values.gets_as::<u64>("a").unwrap().expect("a hit");
        assert_eq!((number, values.cas("a", "z", HOUR, cas)), (5, Ok(())));
        assert_matches!(values.cas("a", "w", HOUR, cas), Err(Error::Exists { .. }));
        assert_eq!((flags("a"), values.get_as("a")), (Some(16), Ok(Some("z".to_owned()))));
        // A number that was stored is one for the server.
        values.set("n", 9, Expiry::Never).unwrap();
        assert_eq!((values.incr("n", 2), values.decr("n", 3)), (Ok(Some(11)), Ok(Some(8))));
        assert_eq!((values.get_as::<i32>("n"), flags("n")), (Ok(Some(8)), Some(4)));
        assert_eq!((values.touch("n", HOUR), values.exists("n")), (Ok(true), Ok(true)));
        assert_eq!(values.set_many(&[("b", "1"), ("c", "2")], HOUR).unwrap().all_stored(), Ok(()));
        assert_eq!((flags("b"), flags("c")), (Some(16), Some(16)));
        let many = values.get_many_as::<Plain<'static>>(&["c", "none", "n"]).unwrap().into_result();
        assert_eq!(many, Ok(vec![Some(Plain::Text("2".into())), None, Some(Plain::Int(8))]));
        assert_eq!(values.cache("d", HOUR, || Ok::<_, Error>("computed".to_owned())), Ok("computed".to_owned()));
        assert_eq!(flags("d"), Some(16));
        assert_eq!(values.cache("d", HOUR, || Err::<String, _>(Error::no_servers())), Ok("computed".to_owned()));
        assert_eq!(values.delete_many(&["b", "none"]).unwrap().into_result(), Ok(vec![true, false]));
        assert_eq!((values.delete("a"), values.client().get("a")), (Ok(true), Ok(None)));
    });
}

fn a_codec_gives_a_new_expiry_with_a_fetch(on: Kind) {
    on.on_each_socket(|client| {
        let values = client.values(Codec::PyLibmc);
        values.set("a", 7, HOUR).unwrap();
        assert_eq!(values.gat_as::<u64>("a", Duration::ZERO), Ok(Some(7)));
        client.set("text", "seven", Expiry::Never).unwrap();
        assert_eq!(values.get_as::<u64>("text").unwrap_err().landed(), Landed::NotSent);
        let error = values.gat_as::<u64>("text", Duration::ZERO).unwrap_err();
        assert_eq!((error.landed(), client.get("text")), (Landed::Unknown, Ok(None)));
        assert_eq!((values.get_as::<u64>("a"), values.gat_as::<u64>("a", HOUR)), (Ok(None), Ok(None)));
    });
}
