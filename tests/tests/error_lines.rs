//! What each error line of a server means, alone and followed by other requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

mod core;

use memcached2_proto::command::{Command as _, FlushAll};
use memcached2_proto::{Delete, Landed, Reply};

use self::core::Talk;

/// What follows the line in the reply to a `get` of several keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The outcome is unknown.
    Unknown,
    /// `END`, as if nothing had been.
    End,
    /// The replies to what was written, and the end of the connection.
    Close,
}

/// A line; whether it proves that nothing was done; whether the data of a store was read as data; whether it may stand
/// for several requests; and what follows it among several keys.
const LINES: [(&str, Landed, bool, bool, Then); 34] = [
    ("SERVER_ERROR out of memory writing get response", Landed::Refused, false, true, Then::Unknown),
    ("SERVER_ERROR out of memory writing get responseing get response", Landed::Refused, false, true, Then::Unknown),
    ("SERVER_ERROR out of memory reading request", Landed::Unknown, false, true, Then::Unknown),
    ("CLIENT_ERROR unauthenticated", Landed::Refused, false, true, Then::Unknown),
    ("SERVER_ERROR object too large for cache", Landed::Refused, true, false, Then::Unknown),
    ("SERVER_ERROR out of memory storing object", Landed::Refused, true, false, Then::Unknown),
    ("SERVER_ERROR Out of memory during read", Landed::Refused, true, false, Then::Unknown),
    ("SERVER_ERROR out of memory", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR Out of memory allocating new item", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR Out of memory incrementing value", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR refcount overflow during fetch", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR out of memory preparing response", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR out of memory making CAS suffix", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR backend failure", Landed::Unknown, true, false, Then::End),
    ("SERVER_ERROR active request limit reached", Landed::Refused, true, false, Then::End),
    ("SERVER_ERROR lua start failure", Landed::Refused, true, false, Then::End),
    ("SERVER_ERROR lua failure", Landed::Unknown, true, false, Then::End),
    ("SERVER_ERROR bad response", Landed::Unknown, true, false, Then::End),
    ("SERVER_ERROR Connection refused", Landed::Unknown, true, false, Then::Close),
    ("SERVER_ERROR Connection timed out", Landed::Unknown, true, false, Then::Close),
    ("SERVER_ERROR Connection reset by peer", Landed::Unknown, true, false, Then::Close),
    ("SERVER_ERROR Host is down", Landed::Unknown, true, false, Then::Close),
    ("SERVER_ERROR timeout", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR connection timeout", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR connection error", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR unavailable", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR 307 busy", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR local error", Landed::Unknown, true, false, Then::Unknown),
    ("SERVER_ERROR remote error", Landed::Unknown, true, false, Then::Unknown),
    ("TYPE_MISMATCH", Landed::Refused, true, false, Then::Unknown),
    ("ERROR", Landed::Refused, false, false, Then::Unknown),
    ("CLIENT_ERROR bad data chunk", Landed::Refused, false, false, Then::Unknown),
    ("SERVER_ERROR busy", Landed::Unknown, false, false, Then::Unknown),
    ("SERVER_ERROR", Landed::Unknown, false, false, Then::Unknown),
];

/// The results of requests that are all written, and answered by `line` and what follows it.
fn talk(asked: &str, line: &str, rest: &str) -> Vec<String> {
    let mut talk = Talk::said(asked.as_bytes());
    talk.read(format!("{line}\r\n{rest}").as_bytes());
    talk.finish()
}

#[test]
fn an_error_line_proves_that_nothing_was_done_or_not() {
    for (line, landed, ..) in LINES {
        let delete = Delete::new("a").unwrap();
        let error = delete.answer(Reply::Refused(line.into())).unwrap_err();
        assert_eq!(error.landed(), landed, "{line}");
    }
}

#[test]
fn a_line_that_no_memcached_says_proves_nothing() {
    for line in ["NOT SUPPORTED", "ERRORS", "-ERR unknown command 'flush_all'", "x"] {
        let error = FlushAll::now().answer(Reply::Refused(line.into())).unwrap_err();
        assert_eq!(error.landed(), Landed::Unknown, "{line}");
    }
}

#[test]
fn an_error_line_to_the_only_request_is_its_answer() {
    for (line, ..) in LINES {
        let told = talk("delete a\r\n", line, "");
        let end = if line == "CLIENT_ERROR unauthenticated" { "broken: disconnected" } else { "in step" };
        assert_eq!(told, [format!("refused {line}"), end.to_owned()]);
    }
}

#[test]
fn an_error_line_that_may_answer_several_requests_is_attributed_to_none() {
    for (line, _, _, stands_for_several, _) in LINES {
        let told = talk("delete a\r\ndelete b\r\n", line, "DELETED\r\n");
        let refused = format!("refused {line}");
        let expected = match stands_for_several {
            true => ["disconnected, unknown", "disconnected, unknown", "broken: disconnected"],
            false => [&*refused, "deleted", "in step"],
        };
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn after_a_refused_store_the_connection_is_in_step_if_its_data_was_read_as_data() {
    for (line, _, is_swallowed, stands_for_several, _) in LINES {
        let told = talk("set a 0 0 1\r\nx\r\nget b\r\n", line, "END\r\n");
        let refused = format!("refused {line}");
        let expected = match (stands_for_several, is_swallowed) {
            (true, _) => ["disconnected, unknown", "disconnected, unknown", "broken: disconnected"],
            (false, true) => [&*refused, "miss", "in step"],
            (false, false) => [&*refused, "disconnected, unknown", "broken: disconnected"],
        };
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn after_an_error_line_among_several_keys_the_connection_goes_on_where_that_is_known() {
    for (line, _, _, stands_for_several, then) in LINES {
        let rest = if then == Then::End { "END\r\nEND\r\n" } else { "END\r\n" };
        let told = talk("get a b\r\nget c\r\n", line, rest);
        let refused = format!("refused {line} | refused {line}");
        let expected = match (stands_for_several, then) {
            (true, _) => ["disconnected | disconnected", "disconnected, unknown", "broken: disconnected"],
            (false, Then::End) => [&*refused, "miss", "in step"],
            (false, Then::Close) => [&*refused, "miss", "broken: disconnected"],
            (false, Then::Unknown) => [&*refused, "disconnected, unknown", "broken: disconnected"],
        };
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn a_fence_shows_that_the_line_before_it_is_that_of_its_request() {
    const FENCE: &str = "md a C18446744073709551615 O0000\r\n";
    for (line, ..) in LINES {
        let told = talk(&format!("add a 0 0 1\r\nx\r\n{FENCE}md b O0001\r\n"), line, "NF O0000\r\nHD O0001\r\n");
        // To this one no fence is answered.
        let expected = match line == "CLIENT_ERROR unauthenticated" {
            true => ["disconnected, unknown", "disconnected, unknown", "broken: disconnected"].map(str::to_owned),
            false => [format!("refused {line}"), "deleted".to_owned(), "in step".to_owned()],
        };
        assert_eq!(told, expected, "{line}");
    }
}
