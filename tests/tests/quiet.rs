//! Quiet batches: what is made of replies that are left out, of error lines between, and of a connection that is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

mod core;

use std::io::IoSlice;

use memcached2_proto::call::Call;
use memcached2_proto::command::Quiet;
use memcached2_proto::command::meta::{MetaArithmetic, MetaDelete, MetaGet, MetaSet, MetaSetMode};
use memcached2_proto::connection::ConnectionOptions;
use memcached2_proto::operation::{DeleteMany, QuietBatch, SetMany};
use memcached2_proto::{BatchResult, Connection, Error, Expiry, Instant, Limits, Protocol, Router, Store};

use self::core::{kind, now, word};

/// The end of a batch that is the first request on its connection.
const END: &str = "MN\r\nNF O0000\r\n";

/// A server that reads this many bytes of a batch at most, says something in pieces of this size, and closes the connection if
/// that is not the whole reply.
struct Server {
    reads: usize,
    says: String,
    piece: usize,
}

/// What a batch sends, and its results in words.
fn run<C: Quiet>(batch: QuietBatch<C>, server: &Server, words: fn(C::Response) -> String) -> (String, Vec<String>) {
    let (router, mut connection) = (Router::parse(["server"]).unwrap(), Connection::new(Limits::default()));
    connection.set_protocol(Protocol::Meta);
    let mut call = Call::new(batch, &router, now());
    let mut requests = call.batch(0).unwrap();
    call.submit(&mut requests, &mut connection, now());
    let mut sent = Vec::new();
    write(&mut connection, server.reads, &mut sent);
    let mut talk = || {
        let mut says = server.says.as_bytes();
        while !says.is_empty() {
            let space = connection.read_buf();
            let (piece, rest) = says.split_at(says.len().min(server.piece).min(space.len()));
            space[..piece.len()].copy_from_slice(piece);
            connection.advance_read(piece.len())?;
            says = rest;
            if call.take_replies(&mut requests, &mut connection)? {
                return Ok(());
            }
            // After an error line, the connection may ask for a proof.
            write(&mut connection, usize::MAX, &mut Vec::new());
        }
        Err(connection.advance_read(0).unwrap_err())
    };
    let end: Result<(), Error> = talk();
    match end {
        Ok(()) => {
            let is_of_use = !server.says.contains("unauthenticated");
            assert_eq!(connection.is_idle(), is_of_use, "something is left of the reply");
        }
        Err(error) => {
            call.fail_on(&mut requests, &mut connection, &error, false);
        }
    }
    let _ = call.end_round(|| Instant::ZERO);
    let results: BatchResult<C::Response> = call.finish().unwrap();
    let in_words = |result: Result<C::Response, Error>| match result {
        Ok(response) => words(response),
        Err(Error::Refused { landed, line, .. }) => format!("{line}, {}", word(landed)),
        Err(error) => format!("{}, {}", kind(&error), word(error.landed())),
    };
    (String::from_utf8(sent).unwrap(), results.into_iter().map(in_words).collect())
}

fn write(connection: &mut Connection, most: usize, sent: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); 4];
    let count = connection.write_slices(&mut slices);
    let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    let n = offered.len().min(most);
    sent.extend(&offered[..n]);
    connection.advance_written(n);
}

/// The results of a batch whose server says this, the same in pieces of any size.
#[track_caller]
fn results<C: Quiet>(batch: &QuietBatch<C>, says: &str, words: fn(C::Response) -> String) -> Vec<String>
where
    QuietBatch<C>: Clone,
{
    let in_pieces = |piece| {
        let server = Server { reads: usize::MAX, says: says.to_owned(), piece };
        run(batch.clone(), &server, words).1
    };
    let whole = in_pieces(usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(in_pieces(piece), whole, "{says:?} in pieces of {piece}");
    }
    whole
}

fn gets(keys: &[&'static str]) -> QuietBatch<MetaGet<'static>> {
    QuietBatch::new(keys.iter().map(|key| MetaGet::new(*key).unwrap().value().return_key()).collect())
}

fn got(item: Option<memcached2_proto::command::meta::MetaItem>) -> String {
    item.map_or_else(
        || "miss".to_owned(),
        |item| {
            let value = item.value.expect("it was asked for");
            format!("{}={}", item.key.unwrap().escape_ascii(), value.data().escape_ascii())
        },
    )
}

const ITEMS: [(&str, &str); 4] = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];

fn sets() -> QuietBatch<Store<'static, 'static>> {
    SetMany::new(&ITEMS, Expiry::Never).unwrap().quiet()
}

fn set(says: &str) -> Vec<String> {
    results(&sets(), says, |()| "stored".to_owned())
}

fn delete(says: &str) -> Vec<String> {
    let batch = DeleteMany::new(&["a", "b", "c", "d"]).unwrap().quiet();
    results(&batch, says, |is_deleted| is_deleted.to_string())
}

#[test]
fn each_request_has_an_opaque_of_its_own_and_a_fence_follows_the_mn() {
    let server = Server { reads: usize::MAX, says: END.to_owned(), piece: usize::MAX };
    let fence = "mn\r\nmd AA== b C18446744073709551615 O0000\r\n";
    let (sent, stored) = run(sets(), &server, |()| "stored".to_owned());
    let set = |at: usize, (key, value): (&str, &str)| format!("ms {key} 1 q O00000{at}\r\n{value}\r\n");
    let requests: String = ITEMS.iter().enumerate().map(|(at, item)| set(at, *item)).collect();
    assert_eq!((sent, stored), (format!("{requests}{fence}"), vec!["stored".to_owned(); 4]));
    let counts = [MetaArithmetic::incr("n", 2).unwrap(), MetaArithmetic::decr("two words", 1).unwrap()];
    let (sent, _) = run(QuietBatch::new(counts.into()), &server, |_| String::new());
    assert_eq!(sent, format!("ma n MI D2 q O000000\r\nma dHdvIHdvcmRz b MD D1 q O000001\r\n{fence}"));
}

#[test]
fn what_is_left_out_before_the_end_has_succeeded_or_missed() {
    assert_eq!(set(END), ["stored"; 4]);
    assert_eq!(set(&format!("NS O000001\r\n{END}")), ["stored", "not stored, refused", "stored", "stored"]);
    assert_eq!(delete(END), ["true"; 4]);
    assert_eq!(delete(&format!("NF O000000\r\nNF O000003\r\n{END}")), ["false", "true", "true", "false"]);
    // A server that ignores the flag.
    let all = "HD O000000\r\nHD O000001\r\nNF O000002\r\nHD O000003\r\n";
    assert_eq!(delete(&format!("{all}{END}")), ["true", "true", "false", "true"]);
    let found = |says: &str| results(&gets(&["a", "b", "c", "two words"]), &format!("{says}{END}"), got);
    assert_eq!(found(""), ["miss"; 4]);
    let long = "x".repeat(20_000);
    let says = format!("VA 3 kb O000001\r\nM\r\n\r\nVA {} O000003\r\n{long}\r\n", long.len());
    assert_eq!(found(&says), ["miss".to_owned(), "b=M\\r\\n".into(), "miss".into(), format!("two words={long}")]);
    assert_eq!(found("VA 2 ka O000000\r\nhi\r\nEN O000002\r\n"), ["a=hi", "miss", "miss", "miss"]);
}

#[test]
fn an_error_line_is_that_of_a_request_if_it_can_be_of_no_other() {
    const LINE: &str = "SERVER_ERROR object too large for cache";
    let refused = format!("{LINE}, refused");
    let open = format!("{LINE}, unknown");
    let stored = || "stored".to_owned();
    // Between two replies there is one request.
    let says = format!("NS O000000\r\n{LINE}\r\nNS O000002\r\n{END}");
    assert_eq!(set(&says), ["not stored, refused".to_owned(), refused.clone(), "not stored, refused".into(), stored()]);
    assert_eq!(set(&format!("NS O000002\r\n{LINE}\r\n{END}"))[3], refused);
    // All have been refused.
    assert_eq!(set(&format!("{}{END}", format!("{LINE}\r\n").repeat(4))), vec![refused; 4]);
    // One of two has; the others are sure.
    let says = format!("{LINE}\r\nNS O000002\r\n{END}");
    assert_eq!(set(&says), [open.clone(), open.clone(), "not stored, refused".into(), stored()]);
    // Three of four have.
    assert_eq!(set(&format!("{}{END}", format!("{LINE}\r\n").repeat(3))), vec![open; 4]);
    // A read has had no effect in any case.
    let says = format!("SERVER_ERROR backend failure\r\n{END}");
    assert_eq!(results(&gets(&["a", "b"]), &says, got), ["SERVER_ERROR backend failure, not sent"; 2]);
}

#[test]
fn after_an_error_line_that_leaves_open_what_follows_the_connection_is_closed() {
    const LOST: [&str; 4] = ["protocol, unknown"; 4];
    for line in [
        "CLIENT_ERROR bad data chunk",
        "ERROR",
        "SERVER_ERROR out of memory writing get response",
        "CLIENT_ERROR cannot increment or decrement non-numeric value",
    ] {
        assert_eq!(set(&format!("{line}\r\n{END}")), LOST, "{line}");
    }
    // What was answered before stays.
    let says = format!("NF O000001\r\nSERVER_ERROR out of memory writing get response\r\n{END}");
    assert_eq!(delete(&says), ["protocol, unknown", "false", "protocol, unknown", "protocol, unknown"]);
    // A request without data leaves nothing to be read as commands.
    assert_eq!(delete(&format!("{}{END}", "ERROR\r\n".repeat(4))), ["ERROR, refused"; 4]);
    assert_eq!(set("CLIENT_ERROR unauthenticated\r\n"), ["CLIENT_ERROR unauthenticated, refused"; 4]);
    let says = "NS O000001\r\nCLIENT_ERROR unauthenticated\r\n";
    assert_eq!(set(says), ["protocol, unknown", "not stored, refused", "protocol, unknown", "protocol, unknown"]);
}

#[test]
fn a_reply_that_belongs_to_none_of_the_requests_ends_the_connection() {
    const LOST: [&str; 4] = ["protocol, unknown"; 4];
    for says in [
        // Of another request, of another batch, and of none.
        "NS O0000\r\n",
        "NS O000100\r\n",
        "NS O000004\r\n",
        "NS\r\n",
        "VA 1 O000000\r\nx\r\n",
        "MNO\r\n",
        "STORED\r\n",
        // The end comes, and its fence is that of another request, or is missing.
        "MN\r\nNF O0001\r\n",
        "MN\r\nMN\r\n",
        "MN\r\nHD O000003\r\n",
    ] {
        assert_eq!(set(&format!("{says}{END}")), LOST, "{says:?}");
    }
    for says in ["NS O000001\r\nNS O000001\r\n", "NS O000001\r\nNS O000000\r\n"] {
        let expected = ["protocol, unknown", "not stored, refused", "protocol, unknown", "protocol, unknown"];
        assert_eq!(set(&format!("{says}{END}")), expected, "{says:?}");
    }
    // More lines than requests.
    let line = "SERVER_ERROR out of memory storing object\r\n";
    assert_eq!(set(&format!("{}{END}", line.repeat(5))), LOST);
    assert_eq!(set(&format!("{line}NS O000000\r\n{END}")), LOST);
    let found = results(&gets(&["a", "b"]), &format!("NF O000000\r\n{END}"), got);
    assert_eq!(found, ["protocol, not sent"; 2]);
}

#[test]
fn what_was_not_answered_when_the_connection_is_lost_is_unknown_unless_it_is_a_read() {
    const LOST: &str = "disconnected, unknown";
    for says in ["", "MN\r\n", "MN\r\nNF O00"] {
        assert_eq!(set(says), [LOST; 4], "{says:?}");
        assert_eq!(results(&gets(&["a", "b"]), says, got), ["disconnected, not sent"; 2], "{says:?}");
    }
    assert_eq!(delete("NF O000001\r\nMN\r\n"), [LOST, "false", LOST, LOST]);
    let says = "VA 1 ka O000000\r\nx\r\nVA 1 kb O000001\r\n";
    assert_eq!(results(&gets(&["a", "b"]), says, got), ["a=x", "disconnected, not sent"]);
    // A read that changes something is no pure read.
    let touches = QuietBatch::new(vec![MetaGet::new("a").unwrap().touch(Expiry::Never)]);
    assert_eq!(results(&touches, "", |_| String::new()), [LOST]);
}

#[test]
fn nothing_has_landed_unless_the_first_request_was_written_whole() {
    let first = "ms a 1 q O000000\r\n1\r\n".len();
    for (reads, expected) in
        [(0, "not sent"), (first - 1, "not sent"), (first, "unknown"), (first + 5, "unknown"), (usize::MAX, "unknown")]
    {
        let server = Server { reads, says: String::new(), piece: 1 };
        let (_, stored) = run(sets(), &server, |()| "stored".to_owned());
        assert_eq!(stored, vec![format!("disconnected, {expected}"); 4], "{reads} bytes were written");
    }
}

#[test]
fn a_fence_that_is_refused_is_proven_by_an_mn() {
    // Behind a proxy, the server of the fence can be down.
    let says = "NS O000001\r\nMN\r\nSERVER_ERROR backend failure\r\nMN\r\n".to_owned();
    let server = Server { reads: usize::MAX, says, piece: 1 };
    let (_, stored) = run(sets(), &server, |()| "stored".to_owned());
    assert_eq!(stored, ["stored", "not stored, refused", "stored", "stored"]);
    assert_eq!(set("NS O000001\r\nMN\r\nSERVER_ERROR backend failure\r\n")[0], "disconnected, unknown");
}

#[test]
fn a_request_that_cannot_be_sent_fails_alone() {
    let commands = || {
        let late = Expiry::At(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40));
        let set = |key| MetaSet::new(key, "x").unwrap();
        vec![set("a"), set("b").expiry(late), set("c").cas(), set("d"), set("e").mode(MetaSetMode::Add)]
    };
    let words = |outcome: memcached2_proto::command::meta::MetaOutcome| format!("{:?}", outcome.status);
    let batch = QuietBatch::new(commands());
    // The places are those of what was sent.
    let set = results(&batch, &format!("NS O000001\r\n{END}"), words);
    assert_eq!(set, ["Done", "expiry, not sent", "argument, not sent", "NotStored", "Done"]);
    let set = results(&batch, "NS O000001\r\n", words);
    let lost = "disconnected, unknown";
    assert_eq!(set, [lost, "expiry, not sent", "argument, not sent", "NotStored", lost]);
    let line = "SERVER_ERROR out of memory storing object";
    let set = results(&batch, &format!("{}{END}", format!("{line}\r\n").repeat(3)), words);
    let refused = format!("{line}, refused");
    assert_eq!(set, [&*refused, "expiry, not sent", "argument, not sent", &refused, &refused]);
}

#[test]
fn what_a_hidden_reply_would_have_said_cannot_be_asked_for() {
    let server = Server { reads: usize::MAX, says: String::new(), piece: 1 };
    let (sent, counted) = run(
        QuietBatch::new(vec![
            MetaArithmetic::incr("n", 1).unwrap().value(),
            MetaArithmetic::incr("n", 1).unwrap().cas(),
            MetaArithmetic::incr("n", 1).unwrap().ttl(),
        ]),
        &server,
        |_| String::new(),
    );
    assert_eq!((&*sent, counted), ("", vec!["argument, not sent".to_owned(); 3]));
    let add = QuietBatch::new(vec![Store::add("a", "x").unwrap()]);
    assert_eq!(run(add, &server, |()| String::new()).1, ["argument, not sent"]);
}

#[test]
fn a_server_without_meta_is_sent_nothing() {
    let (router, mut connection) = (Router::parse(["server"]).unwrap(), Connection::new(Limits::default()));
    let batch = QuietBatch::new(vec![MetaDelete::new("a").unwrap(), MetaDelete::new("b").unwrap()]);
    let mut call = Call::new(batch, &router, now());
    let mut requests = call.batch(0).unwrap();
    call.submit(&mut requests, &mut connection, now());
    assert!(requests.is_done() && connection.is_idle());
    let results = call.finish().unwrap();
    assert!(results.iter().all(|result| matches!(result, Err(Error::NoMeta { .. }))), "{results:?}");
}

#[test]
fn a_prefix_counts_for_the_requests_of_a_batch() {
    let mut options = ConnectionOptions::default();
    options.prefix = Some(std::sync::Arc::from(&b"app:"[..]));
    options.protocol = Some(Protocol::Meta);
    let (router, mut connection) = (Router::parse(["server"]).unwrap(), Connection::with_options(&options));
    let long = "k".repeat(248);
    let keys = ["a", &long];
    let mut call = Call::new(DeleteMany::new(&keys).unwrap().quiet(), &router, now());
    let mut requests = call.batch(0).unwrap();
    call.submit(&mut requests, &mut connection, now());
    let mut sent = Vec::new();
    write(&mut connection, usize::MAX, &mut sent);
    assert!(sent.starts_with(b"md app:a q O000000\r\nmn\r\n"), "{}", sent.escape_ascii());
    connection.read_buf()[..END.len()].copy_from_slice(END.as_bytes());
    connection.advance_read(END.len()).unwrap();
    assert!(call.take_replies(&mut requests, &mut connection).unwrap());
    let results: Vec<_> = call.finish().unwrap().into_iter().collect();
    assert_eq!(results[0], Ok(true));
    assert!(matches!(results[1], Err(Error::Key { .. })), "{results:?}");
}
