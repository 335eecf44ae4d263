use std::time::{Duration, SystemTime};

use super::*;
use crate::command::{Command, Keyed};
use crate::connection::ConnectionOptions;
use crate::reply::ReplyKind;
use crate::time::{Expiry, Instant};

fn encode<C: Command>(command: &C, protocol: Protocol, prefix: Option<&str>) -> Result<(String, ReplyKind), Error> {
    let mut out = RequestBuffer::new(prefix.map(|prefix| prefix.as_bytes().into()), 1000);
    let now = Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
    let request = out.request(command, protocol, now, 0)?;
    Ok((out.bytes.escape_ascii().to_string(), request.reply_kind))
}

fn sent<C: Command>(command: Result<C, Error>) -> String {
    let (text, _) = command.and_then(|command| encode(&command, Protocol::Meta, None)).unwrap();
    text.replace("\\r\\n", "\n")
}

#[test]
fn with_a_longest_time_to_live_no_item_stays_longer() {
    let options = ConnectionOptions { max_ttl: Some(Duration::from_secs(10)), ..ConnectionOptions::default() };
    let cut = |command: &dyn Fn(&mut RequestBuffer, Now) -> Result<(), Error>| {
        let mut out = options.request_buffer();
        command(&mut out, Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)).unwrap();
        out.bytes.escape_ascii().to_string().replace("\\r\\n", "\n").replace(" O0000", "")
    };
    macro_rules! cut {
        ($command:expr) => {
            cut(&|out, now| out.request(&$command?, Protocol::Meta, now, 0).map(drop))
        };
    }
    for (text, expected) in [
        (cut!(MetaSet::new("a", "hi")), "ms a 2 T10\nhi\n"),
        (cut!(MetaSet::new("a", "hi").map(|set| set.expiry(MINUTE))), "ms a 2 T10\nhi\n"),
        (cut!(MetaSet::new("a", "hi").map(|set| set.mode(MetaSetMode::Append))), "ms a 2 MA\nhi\n"),
        (cut!(MetaSet::new("a", "hi").map(|set| set.mode(MetaSetMode::Prepend).vivify(MINUTE))), "ms a 2 MP N10\nhi\n"),
        (cut!(MetaGet::new("a").map(|get| get.touch(MINUTE).vivify(MINUTE).recache(MINUTE))), "mg a T10 N10 R5\n"),
        (cut!(MetaGet::new("a").map(|get| get.recache(Duration::from_secs(2)))), "mg a R2\n"),
        (cut!(MetaDelete::new("a")), "md a\n"),
        (cut!(MetaDelete::new("a").map(MetaDelete::invalidate)), "md a I\n"),
        (cut!(MetaDelete::new("a").map(|md| md.invalidate().expiry(MINUTE))), "md a I T10\n"),
        (cut!(MetaDelete::new("a").map(MetaDelete::remove_value)), "md a T10 x\n"),
        (cut!(MetaArithmetic::incr("a", 1).map(|ma| ma.vivify(Expiry::Never))), "ma a MI D1 N10\n"),
    ] {
        assert_eq!(text, expected);
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn each_flag_is_sent_once_in_the_order_asked_for() {
    let get = |key: &'static str| MetaGet::new(key);
    for (text, expected) in [
        (sent(get("a")), "mg a O0000\n"),
        (sent(get("a").map(|get| get.value().cas().flags().ttl())), "mg a v c f t O0000\n"),
        (sent(get("a").map(|get| get.touch(MINUTE).ttl().touch(Expiry::Never))), "mg a T0 t O0000\n"),
        (
            sent(get("a").map(|get| get.size().hit_before().last_access().no_bump().return_key().opaque("mine"))),
            "mg a s h l u k O0000\n",
        ),
        (
            sent(
                get("a")
                    .map(|get| get.vivify(MINUTE).recache(MINUTE).compare_cas(7).set_cas(8).hint_p("x").hint_l("y")),
            ),
            "mg a N60 R60 C7 E8 Px Ly O0000\n",
        ),
        (sent(MetaSet::new("a", "hi").map(|set| set.expiry(MINUTE).flags(1))), "ms a 2 F1 T60 O0000\nhi\n"),
        (
            sent(
                MetaSet::new("a", "")
                    .map(|set| set.compare_cas(7).invalidate().cas().size().mode(MetaSetMode::Replace)),
            ),
            "ms a 0 MR C7 I c s O0000\n\n",
        ),
        (
            sent(MetaSet::new("a", "x").map(|set| set.mode(MetaSetMode::Append).vivify(MINUTE).set_cas(9))),
            "ms a 1 MA N60 E9 O0000\nx\n",
        ),
        (sent(MetaSet::new("a", "x").map(|set| set.mode(MetaSetMode::Add))), "ms a 1 ME O0000\nx\n"),
        (sent(MetaSet::new("a", "x").map(|set| set.mode(MetaSetMode::Prepend))), "ms a 1 MP O0000\nx\n"),
        (sent(MetaDelete::new("a")), "md a O0000\n"),
        (sent(MetaDelete::new("a").map(|md| md.invalidate().expiry(MINUTE).set_cas(5))), "md a I T60 E5 O0000\n"),
        (sent(MetaDelete::new("a").map(|md| md.remove_value().compare_cas(3).return_key())), "md a x C3 k O0000\n"),
        (
            sent(MetaArithmetic::decr("n", 10).map(|ma| ma.vivify(MINUTE).initial(13).value())),
            "ma n MD D10 N60 J13 v O0000\n",
        ),
        (
            sent(MetaArithmetic::incr("n", 1).map(|ma| ma.cas().ttl().touch(MINUTE).compare_cas(2).set_cas(3))),
            "ma n MI D1 c t T60 C2 E3 O0000\n",
        ),
        (sent(MetaDebug::new("a")), "me a\nmd AA== b C18446744073709551615 O0000\n"),
        (sent(Ok(MetaNoop)), "mn\nmd AA== b C18446744073709551615 O0000\n"),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn a_key_of_any_bytes_is_sent_in_base64_and_routed_by_its_bytes() {
    for (text, expected) in [
        (sent(MetaSet::new(b"\x01\x02", "x")), "ms AQI= 1 b O0000\nx\n"),
        // The key does not come back: the server could send its bytes.
        (sent(MetaGet::new("two words").map(|get| get.value().return_key())), "mg dHdvIHdvcmRz b v O0000\n"),
        (sent(MetaDebug::new("\r\n")), "me DQo= b b\nmd AA== b C18446744073709551615 O0000\n"),
    ] {
        assert_eq!(text, expected);
    }
    let get = MetaGet::new(" ").unwrap();
    assert_eq!(Keyed::key(&get).as_bytes(), b"IA==");
    assert_eq!(get.routing_key().unchecked().as_bytes(), b" ");
    // The prefix is a part of the key.
    assert_eq!(encode(&get, Protocol::Meta, Some("a:")).unwrap().0, "mg YTog b O0000\\r\\n");
    let long = [b' '; 186];
    assert!(encode(&MetaGet::new(&long).unwrap(), Protocol::Meta, None).is_ok());
    let too_long = encode(&MetaGet::new(&long).unwrap(), Protocol::Meta, Some("a:"));
    assert!(matches!(too_long, Err(Error::Key { .. })), "{too_long:?}");
}

#[test]
fn nothing_is_sent_to_a_server_that_has_not_spoken_meta() {
    let not_spoken = |sent: Result<(String, ReplyKind), Error>| matches!(sent, Err(Error::NoMeta { .. }));
    assert!(not_spoken(encode(&MetaGet::new("a").unwrap(), Protocol::Classic, None)));
    assert!(not_spoken(encode(&MetaSet::new("a", "flush_all\r\n").unwrap(), Protocol::Classic, None)));
    assert!(not_spoken(encode(&MetaDelete::new("a").unwrap(), Protocol::Classic, None)));
    assert!(not_spoken(encode(&MetaArithmetic::incr("a", 1).unwrap(), Protocol::Classic, None)));
    assert!(not_spoken(encode(&MetaDebug::new("a").unwrap(), Protocol::Classic, None)));
    assert!(not_spoken(encode(&MetaNoop, Protocol::Classic, None)));
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    fn refused<C: Command>(command: Result<C, Error>) -> Error {
        command.and_then(|command| encode(&command, Protocol::Meta, None)).unwrap_err()
    }
    let set = |mode| MetaSet::new("a", "x").map(|set| set.mode(mode));
    for error in [
        refused(MetaGet::new("a").map(|get| get.set_cas(1))),
        refused(set(MetaSetMode::Set).map(|set| set.vivify(MINUTE))),
        refused(set(MetaSetMode::Append).map(|set| set.expiry(MINUTE))),
        refused(set(MetaSetMode::Set).map(|set| set.invalidate())),
        refused(set(MetaSetMode::Prepend).map(|set| set.compare_cas(1).invalidate())),
        refused(set(MetaSetMode::Add).map(|set| set.compare_cas(1))),
        refused(MetaDelete::new("a").map(|md| md.expiry(MINUTE))),
        refused(MetaDelete::new("a").map(|md| md.set_cas(1))),
        refused(MetaArithmetic::incr("a", 1).map(|ma| ma.initial(1))),
    ] {
        assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    }
    for hint in ["", "two words", "x\r\n", &"x".repeat(129)] {
        let error = refused(MetaGet::new("a").map(|get| get.hint_p(hint)));
        assert!(matches!(error, Error::Argument { .. }), "{hint:?}");
    }
    // In an `ma` a version of 0 would be any.
    for error in [
        refused(MetaArithmetic::incr("a", 1).map(|ma| ma.compare_cas(0))),
        refused(MetaDelete::new("a").map(|md| md.invalidate().set_cas(0))),
    ] {
        assert!(matches!(error, Error::Cas { problem: CasProblem::Disabled, .. }), "{error:?}");
    }
    assert!(matches!(refused(MetaSet::new("a", &vec![b'x'; 1001])), Error::TooLarge { .. }));
}

#[test]
fn all_flags_at_once_are_as_many_as_memcached_takes() {
    let hint = "h".repeat(128);
    let get = MetaGet::new(&[b'k'; 250]).unwrap();
    let get = get.value().flags().cas().size().ttl().hit_before().last_access().no_bump().return_key();
    let get = get.touch(Expiry::Never).vivify(MINUTE).recache(MINUTE).compare_cas(u64::MAX).set_cas(u64::MAX);
    let (text, _) = encode(&get.hint_p(&hint).hint_l(&hint), Protocol::Meta, None).unwrap();
    // Words of a line: the command, the key, and 17 flags.
    assert!(text.split(' ').count() <= 2 + 17 && text.len() <= 1024, "{text}");
    let set = MetaSet::new(&[b' '; 186], "x").unwrap().mode(MetaSetMode::Append).cas().size().return_key();
    let set = set.flags(u32::MAX).vivify(MINUTE).compare_cas(u64::MAX).set_cas(u64::MAX).hint_p(&hint).hint_l(&hint);
    let (text, _) = encode(&set, Protocol::Meta, None).unwrap();
    assert!(text.split(' ').count() <= 3 + 16 && text.len() <= 1024, "{text}");
}
