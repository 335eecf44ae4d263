use super::classic::is_in_own_words;
use super::*;
use crate::reply::Opaque;

#[test]
fn numbers_are_decimal_and_fit_64_bits() {
    for (text, expected) in [
        ("0", Some((0, ""))),
        ("12 x", Some((12, " x"))),
        ("18446744073709551615", Some((u64::MAX, ""))),
        ("18446744073709551616", None),
        ("99999999999999999999", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("x1", None),
        ("\u{661}", None),
    ] {
        let expected = expected.map(|(number, rest)| (number, rest.as_bytes()));
        assert_eq!(digits(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(digits(&[b'0'; 400]), Some((0, &[][..])));
    assert_eq!(digits(&[b'9'; 400]), None);
}

#[test]
fn a_server_may_refuse_in_its_own_words_but_not_in_those_of_another_reply() {
    let (longest, longer) = ("x".repeat(256), "x".repeat(257));
    for line in ["NOT SUPPORTED", "x", "-ERR unknown command", "Error: no", "ENOTSUP", "HDX", &longest] {
        assert!(is_in_own_words(line.as_bytes()), "{line}");
    }
    for line in [
        "",
        " x",
        "a\tb",
        "\u{e4}",
        "OK",
        "OKAY",
        "VERSION1.6",
        "version 1.6",
        "stored",
        "STORED x",
        "NOT_FOUND",
        "12",
        "0 ",
        "-1",
        "EN",
        "HD O1",
        "VA 3 f0",
        "STAT",
        "END",
        "CLIENT_ERRORS",
        "HTTP/1.1 400 Bad Request",
        &longer,
    ] {
        assert!(!is_in_own_words(line.as_bytes()), "{line}");
    }
}

#[test]
fn flags_have_32_bits_if_there_is_a_sign_and_else_64() {
    for (text, expected) in [
        ("0", Some(0)),
        ("4294967295", Some(u64::from(u32::MAX))),
        ("4294967296", Some(1 << 32)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-1", Some(u64::from(u32::MAX))),
        ("-2147483648", Some(1 << 31)),
        ("-2147483649", None),
        ("-", None),
    ] {
        assert_eq!(flags(text.as_bytes()).map(|(flags, _)| flags), expected, "{text}");
    }
}

fn reply(line: Result<ReplyLine, Error>) -> Option<Reply> {
    match line {
        Ok(ReplyLine::Reply(reply)) => Some(reply),
        _ => None,
    }
}

#[test]
fn each_code_of_a_meta_store_is_its_own_reply_if_the_opaque_is_that_of_the_request() {
    let opaque = Opaque::from_ticket(7);
    let codes = [("HD", Reply::Stored), ("NS", Reply::NotStored), ("EX", Reply::Exists), ("NF", Reply::NotFound)];
    for (code, expected) in codes {
        assert_eq!(reply(meta_stored(format!("{code} O0007").as_bytes(), opaque)), Some(expected));
        for other in [" O0008", "", " O0007 O0007", "O0007"] {
            assert!(meta_stored(format!("{code}{other}").as_bytes(), opaque).is_err(), "{code}{other}");
        }
    }
    assert!(meta_stored(b"EN O0007", opaque).is_err());
}

#[test]
fn a_meta_reply_names_one_key() {
    let opaque = Opaque::from_ticket(7);
    assert!(meta_value(b"VA 1 ka f0 O0007", opaque).is_ok());
    assert!(meta_value(b"VA 1 ka kb f0 O0007", opaque).is_err());
    for (words, is_one) in
        [(" ka O0007", true), (" ka kb O0007", false), (" ka O0007 O0007", false), (" ka O0007 O0008", false)]
    {
        assert_eq!(meta_item::meta_item(words.as_bytes(), None).is_some(), is_one, "{words}");
    }
}

#[test]
fn a_fence_is_answered_by_its_code_or_by_a_line_that_leaves_the_connection_in_step() {
    let opaque = Opaque::from_ticket(7);
    for (line, expected) in [
        ("NF O0007", Some(true)),
        ("EX O0007", Some(true)),
        ("NF O0008", None),
        ("HD O0007", None),
        ("SERVER_ERROR backend failure", Some(false)),
        ("SERVER_ERROR out of memory", None),
        ("ERROR", None),
    ] {
        assert_eq!(fence(line.as_bytes(), opaque).ok(), expected, "{line}");
    }
}

#[test]
fn a_version_may_be_empty_and_a_configuration_may_be_none() {
    assert_eq!(reply(version(b"VERSION")), Some(Reply::Version("".into())));
    assert_eq!(reply(version(b"VERSION 1.6")), Some(Reply::Version("1.6".into())));
    for may_be_words in [false, true] {
        assert_eq!(reply(config(b"END", may_be_words)), Some(Reply::End));
        let in_other_words = reply(config(b"unknown command", may_be_words));
        assert_eq!(in_other_words, may_be_words.then(|| Reply::Refused("unknown command".into())));
    }
}
