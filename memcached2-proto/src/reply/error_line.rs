//! What an error line means for its request, and for others on the connection.
//!
//! The table comes from the sources of memcached 1.4.39, 1.5.22, 1.6.18 and 1.6.45 with its proxy, of twemproxy 0.5, mcrouter
//! and Arcus. Each line that memcached and twemproxy can be made to send was seen.

use std::sync::Arc;

use crate::error::{Error, Landed, TOO_LARGE, UNAUTHENTICATED};

/// The error that an error line is to the caller.
#[cold]
pub(crate) fn refusal(line: &Arc<str>) -> Error {
    match &**line {
        NON_NUMERIC => Error::non_numeric(),
        text if proves_refusal(text) => Error::refused(line, Landed::Refused),
        _ => Error::refused(line, Landed::Unknown),
    }
}

/// An error line and what it means. A line that is not in the table means what [`fallback`] says.
struct ErrorLine {
    text: &'static str,
    meaning: u8,
}

/// Nothing was done of what the request asked for.
const REFUSED: u8 = 1;
/// The data block after the request was read as data, so that what comes next is the reply to the next request.
const SWALLOWED: u8 = 1 << 1;
/// The server may have thrown away replies to earlier requests, and says this line in the place of all of them.
const SEVERAL: u8 = 1 << 2;
/// In the reply to a `get` of several keys it takes the place of one key, and `END` still follows.
const INLINE: u8 = 1 << 3;
/// In the reply to a `get` of several keys it is the whole reply. The replies to what was written before still come,
/// and then the server closes the connection.
const CLOSES: u8 = 1 << 4;
/// It is the answer to everything, also to a fence.
const TO_ALL: u8 = 1 << 5;
/// In the reply to a `get` of several keys it stands in the place of `END`. Other proxies may say it in the place of a key: so it
/// is not believed, and one key is asked for at a time.
const NO_END: u8 = 1 << 6;

/// The stored text is no number.
pub(crate) const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";

const TABLE: [ErrorLine; 31] = [
    // A `get` that finds no memory for its reply frees all replies that were not sent yet: `process_get_command` of
    // 1.6.18, `process_get_command_err` of 1.6.45. One with a key that is too long does the same, and says
    // "CLIENT_ERROR bad command line format"; no request here has such a key. 1.6.45 copies the line without its end,
    // so that anything may follow it: "...writing get responseing get response" was seen.
    line("SERVER_ERROR out of memory writing get response", REFUSED | SEVERAL),
    // The buffer for the next request: the reply to the last one may have been overwritten (`try_read_network`).
    line("SERVER_ERROR out of memory reading request", SEVERAL),
    // A server with `-Y` says it once for all commands that it has in its buffer (`try_read_command_asciiauth`).
    line(UNAUTHENTICATED, REFUSED | SEVERAL | TO_ALL),
    // One reply each, before anything was changed.
    line(TOO_LARGE, REFUSED | SWALLOWED),
    line("SERVER_ERROR out of memory storing object", REFUSED | SWALLOWED),
    line("SERVER_ERROR Out of memory during read", REFUSED | SWALLOWED),
    line("SERVER_ERROR out of memory", REFUSED),
    line("SERVER_ERROR Out of memory allocating new item", REFUSED),
    line("SERVER_ERROR Out of memory incrementing value", REFUSED),
    line("SERVER_ERROR refcount overflow during fetch", REFUSED),
    // An `ms` with a flag that came later than the server, from 1.6.10 on.
    line("CLIENT_ERROR invalid flag", REFUSED | SWALLOWED),
    // 1.4 and 1.5 send each reply before they read the next request.
    line("SERVER_ERROR out of memory preparing response", REFUSED),
    line("SERVER_ERROR out of memory making CAS suffix", REFUSED),
    // memcached's proxy, about the server behind it, which may have done what was asked.
    line("SERVER_ERROR backend failure", SWALLOWED | INLINE),
    // About itself: before it begins, and after its Lua code has failed (`proto_proxy.c` of 1.6.45).
    line("SERVER_ERROR active request limit reached", REFUSED | SWALLOWED | INLINE),
    line("SERVER_ERROR lua start failure", REFUSED | SWALLOWED | INLINE),
    line("SERVER_ERROR lua failure", SWALLOWED | INLINE),
    line("SERVER_ERROR bad response", SWALLOWED | INLINE),
    // twemproxy likewise: the error number of the system in words (`rsp_make_error`). It reads a request whole before
    // it sends it on, and closes once a `get` of several keys has failed.
    line("SERVER_ERROR Connection refused", SWALLOWED | CLOSES),
    line("SERVER_ERROR Connection timed out", SWALLOWED | CLOSES),
    line("SERVER_ERROR Connection reset by peer", SWALLOWED | CLOSES),
    line("SERVER_ERROR Host is down", SWALLOWED | CLOSES),
    // The server behind the proxy has closed the connection, which has no error number.
    line("SERVER_ERROR unknown", SWALLOWED | CLOSES),
    // mcrouter likewise (`errorResultStr` of `AsciiSerialized.cpp`, and `MultiOpParent.cpp`).
    line("SERVER_ERROR timeout", SWALLOWED | NO_END),
    line("SERVER_ERROR connection timeout", SWALLOWED | NO_END),
    line("SERVER_ERROR connection error", SWALLOWED | NO_END),
    line("SERVER_ERROR unavailable", SWALLOWED | NO_END),
    line("SERVER_ERROR 307 busy", SWALLOWED | NO_END),
    line("SERVER_ERROR local error", SWALLOWED | NO_END),
    line("SERVER_ERROR remote error", SWALLOWED | NO_END),
    // Arcus, for a key whose value is a list, a set, a map or a tree.
    line(TYPE_MISMATCH, REFUSED | SWALLOWED),
];

const TYPE_MISMATCH: &str = "TYPE_MISMATCH";

/// How memcached begins a refusal of a command about a whole server, which changes nothing then: `doc/protocol.txt`, "Slabs Reassign",
/// and `process_memlimit_command`, `process_watch_command` and `refresh_certs` of 1.6.18. The texts after it differ by version.
const WORDS: [&str; 12] = [
    "BADCLASS",
    "BUSY",
    "Error",
    "MEMLIMIT_ADJUST_FAILED",
    "MEMLIMIT_TOO_SMALL",
    "NOSPARE",
    "NOTFULL",
    "NOTSTARTED",
    "SAME",
    "UNSAFE",
    "WATCHER_FAILED",
    "WATCHER_TOO_MANY",
];

/// Whether a line begins with one of those words.
pub(crate) fn is_refusal_word(line: &str) -> bool {
    line.split(' ').next().is_some_and(|word| WORDS.contains(&word))
}

const fn line(text: &'static str, meaning: u8) -> ErrorLine {
    ErrorLine { text, meaning }
}

/// What every other line means: `ERROR` and `CLIENT_ERROR` that the request was not understood, `SERVER_ERROR` and the own
/// words of another server nothing that is sure.
fn fallback(line: &str) -> u8 {
    match is_error_line(line.as_bytes()) {
        true if line.starts_with("SERVER_ERROR: shutdown not enabled") => REFUSED,
        true if line.starts_with("SERVER_ERROR") => 0,
        is_error => {
            if is_error || is_refusal_word(line) {
                REFUSED
            } else {
                0
            }
        }
    }
}

/// The first word of an error line, if servers are known to say it: one of few, whatever a server sends.
#[cfg(feature = "routing")]
pub(crate) fn status_code(line: &str) -> Option<&str> {
    let word = line.split([' ', ':']).next()?;
    (refuses(word.as_bytes()) || is_refusal_word(word)).then_some(word)
}

/// Other lines of memcached about a request for an item, whose meaning is that of [`fallback`]: those of 1.6.45.
#[cfg(any(feature = "opentelemetry", feature = "tracing"))]
const OTHER_TEXTS: [&str; 14] = [
    "CLIENT_ERROR bad command line format",
    "CLIENT_ERROR bad data chunk",
    "CLIENT_ERROR bad token in command line format",
    "CLIENT_ERROR error decoding key",
    "CLIENT_ERROR flush_all not allowed",
    "CLIENT_ERROR invalid exptime argument",
    "CLIENT_ERROR invalid numeric delta argument",
    "CLIENT_ERROR invalid or duplicate flag",
    "CLIENT_ERROR opaque token too long",
    "CLIENT_ERROR options flags are too long",
    NON_NUMERIC,
    "ERROR Too many open connections",
    "SERVER_ERROR out of memory writing stats",
    "SERVER_ERROR output line too long",
];

/// What stands before an error line in the text of an error. What comes after it is for the caller alone, and is not logged.
pub(crate) const AFTER_LINE: &str = " after it answered ";

/// The text of an error line as far as servers are known to say it: nothing that a request has said.
#[cfg(any(feature = "opentelemetry", feature = "tracing"))]
pub(crate) fn known_text(line: &str) -> Option<&'static str> {
    let known = || TABLE.iter().map(|row| row.text).chain(OTHER_TEXTS);
    known().find(|text| *text == line).or_else(|| known().find(|text| line.starts_with(text)))
}

/// Whether a line is no reply to a request, but refuses it.
pub(crate) fn refuses(line: &[u8]) -> bool {
    is_error_line(line) || line == TYPE_MISMATCH.as_bytes()
}

/// Whether memcached would say a line when it refuses a request.
pub(crate) fn is_error_line(line: &[u8]) -> bool {
    [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"]
        .iter()
        .any(|word| matches!(line.strip_prefix(*word), Some([] | [b' ' | b':', ..])))
}

#[cold]
fn means(line: &str, meaning: u8) -> bool {
    let is_it = |row: &&ErrorLine| row.text == line || (row.meaning & SEVERAL != 0 && line.starts_with(row.text));
    let row = TABLE.iter().find(is_it);
    row.map_or_else(|| fallback(line), |row| row.meaning) & meaning != 0
}

/// Whether the line answers an `incr` or a `decr`, and nothing else.
#[cold]
pub(crate) fn is_about_a_number(line: &str) -> bool {
    line == NON_NUMERIC
}

/// Whether the line proves that nothing was done of what the request asked for.
pub(crate) fn proves_refusal(line: &str) -> bool {
    means(line, REFUSED)
}

/// Whether the data block of the request was certainly not read as commands.
pub(crate) fn swallows_data(line: &str) -> bool {
    means(line, SWALLOWED)
}

/// Whether the line may stand in the place of the replies to several requests.
pub(crate) fn may_replace_several(line: &str) -> bool {
    means(line, SEVERAL)
}

/// Whether the line stands in the place of one key of several, so that more of them and `END` follow.
pub(crate) fn is_inline(line: &str) -> bool {
    means(line, INLINE)
}

/// Whether the server says it to every request, and once for several, so that no fence is answered.
pub(crate) fn is_said_to_all(line: &str) -> bool {
    means(line, TO_ALL)
}

/// Whether the server closes the connection after the pending replies.
pub(crate) fn announces_close(line: &str) -> bool {
    means(line, CLOSES)
}

/// Whether a `get` of several keys costs its connection, if a server behind this proxy does not answer.
pub(crate) fn costs_connection(line: &str) -> bool {
    means(line, CLOSES | NO_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_error_lines_prove_something() {
        for (line, meaning) in [
            ("ERROR", REFUSED),
            ("ERROR unknown command", REFUSED),
            ("CLIENT_ERROR bad data chunk", REFUSED),
            ("NOT SUPPORTED", 0),
            ("BUSY currently processing reassign request", REFUSED),
            ("NOTSTARTED", REFUSED),
            ("Error TLS not enabled", REFUSED),
            ("BUSYBOX", 0),
            ("SERVER_ERROR: shutdown not enabled", REFUSED),
            ("SERVER_ERROR", 0),
            ("SERVER_ERROR out of memory writing stats", 0),
            ("SERVER_ERROR timeout", SWALLOWED | NO_END),
            ("SERVER_ERROR timeout 1", 0),
            ("TYPE_MISMATCH", REFUSED | SWALLOWED),
            ("SERVER_ERROR out of memory", REFUSED),
            ("SERVER_ERROR out of memory and more", 0),
            ("SERVER_ERROR out of memory writing get response", REFUSED | SEVERAL),
            ("SERVER_ERROR out of memory writing get responseing get response", REFUSED | SEVERAL),
        ] {
            for one in [REFUSED, SWALLOWED, SEVERAL, INLINE, CLOSES, TO_ALL, NO_END] {
                assert_eq!(means(line, one), meaning & one != 0, "{line}");
            }
        }
    }

    #[test]
    fn each_line_is_in_the_table_once() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE[at + 1..].iter().all(|other| other.text != row.text), "{}", row.text);
        }
        #[cfg(any(feature = "opentelemetry", feature = "tracing"))]
        assert!(TABLE.iter().all(|row| !OTHER_TEXTS.contains(&row.text)));
    }
}
