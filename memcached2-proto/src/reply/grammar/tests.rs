use super::classic::is_in_own_words;
use super::*;

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
