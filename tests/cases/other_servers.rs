//! Proxies and other servers that speak a part of the protocol: what they answer, and what their users get.
//!
//! The answers are those of the sources: memcached 1.6.45 `proxy_request.c` and `proto_proxy.c`, mcrouter `AsciiSerialized.cpp` and
//! `MultiOpParent.cpp`, twemproxy 0.5 `nc_response.c`, Dragonfly `memcache_parser.cc`, Infinispan `TextOpDecoder.java`, Arcus
//! `memcached.c`; the user guide of Amazon `ElastiCache`.

use std::fmt::Debug;
use std::time::Duration;

use memcached2_proto::{Error, Expiry, Options};
use memcached2_testkit::{ScriptedServer, Session};

use super::setting::{PATIENT, kind};
use crate::subject::Client;

super::cases! {
    served {}
    scripted {
        the_proxy_of_memcached_is_asked_in_meta_and_closes_on_admin_commands,
        mcrouter_is_asked_in_the_classic_protocol_and_ends_a_get_of_many_with_an_error_line,
        twemproxy_is_asked_in_the_classic_protocol_and_closes_on_unknown_commands,
        elasticache_serverless_is_asked_in_meta_and_refuses_some_admin_commands,
        dragonfly_is_asked_in_the_classic_protocol,
        infinispan_is_asked_in_the_classic_protocol,
        arcus_is_asked_in_the_classic_protocol_and_refuses_in_words_of_its_own,
    }
}

/// Requests, each with the answer to it, the call that they are made by, and what the caller gets.
struct Row {
    turns: Vec<(String, String)>,
    call: fn(&Client) -> String,
    gets: String,
}

fn row(asked: impl Into<String>, says: impl Into<String>, call: fn(&Client) -> String, gets: impl Into<String>) -> Row {
    Row { turns: Vec::new(), call, gets: gets.into() }.and(asked, says)
}

impl Row {
    fn and(mut self, asked: impl Into<String>, says: impl Into<String>) -> Self {
        self.turns.push((asked.into(), says.into()));
        self
    }
}

/// What is said on one connection, and whether the server closes it then.
struct Talk {
    session: Session,
    rows: Vec<Row>,
    closes: bool,
}

impl Talk {
    /// The server is asked for its protocol first, and answers that.
    fn probed(answer: &str, rows: impl IntoIterator<Item = Row>) -> Self {
        let session = Session::new().expect_probe().send(answer);
        Self { session, rows: rows.into_iter().collect(), closes: false }
    }

    /// It is not asked again for its protocol.
    fn unprobed(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { session: Session::new(), rows: rows.into_iter().collect(), closes: false }
    }

    fn and_closes(self) -> Self {
        Self { closes: true, ..self }
    }
}

/// Makes all calls, one after the other, and checks what each caller gets, with options that let a server count as down.
fn play(talks: impl IntoIterator<Item = Talk>) {
    let (mut sessions, mut rows) = (Vec::new(), Vec::new());
    for talk in talks {
        let turns = talk.rows.iter().flat_map(|row| &row.turns);
        let session =
            turns.fold(talk.session, |session, (asked, says)| session.expect(asked.as_str()).send(says.as_str()));
        sessions.push(if talk.closes { session.close() } else { session });
        rows.extend(talk.rows);
    }
    let server = ScriptedServer::start(sessions);
    let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    for Row { turns, call, gets } in rows {
        assert_eq!(call(&client), gets, "{turns:?}");
    }
    drop(client);
    server.finish();
}

/// A result in words.
fn outcome<T>(result: Result<T, Error>, word: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => word(value),
        Err(Error::Refused { line, landed, .. }) => format!("{line}, {landed:?}"),
        Err(error) => format!("{}, {:?}", kind(&error), error.landed()),
    }
}

fn shown(value: impl Debug) -> String {
    format!("{value:?}")
}

fn found(value: Option<memcached2_proto::Value>) -> String {
    value.map_or_else(|| "-".into(), |value| String::from_utf8_lossy(value.data()).into_owned())
}

fn get(client: &Client) -> String {
    outcome(client.get("a"), found)
}

fn get_many(client: &Client) -> String {
    let results = client.get_many(&["a", "b", "c"]).unwrap().into_iter();
    results.map(|result| outcome(result, found)).collect::<Vec<_>>().join(" | ")
}

fn set(client: &Client) -> String {
    outcome(client.set("a", "x", Expiry::Never), shown)
}

fn incr(client: &Client) -> String {
    outcome(client.incr("a", 1), shown)
}

fn touch(client: &Client) -> String {
    outcome(client.touch("a", Expiry::Never), shown)
}

fn version(client: &Client) -> String {
    outcome(client.version().unwrap().into_result(), |versions| versions[0].to_string())
}

fn stats(client: &Client) -> String {
    outcome(client.stats().unwrap().into_result(), |stats| shown(stats[0].len()))
}

fn stats_settings(client: &Client) -> String {
    outcome(client.stats_settings().unwrap().into_result(), |stats| shown(stats[0].len()))
}

fn flush_all(client: &Client) -> String {
    outcome(client.flush_all().unwrap().into_result(), shown)
}

fn flush_all_later(client: &Client) -> String {
    outcome(client.flush_all_at(Duration::from_secs(60)).unwrap().into_result(), shown)
}

fn verbosity(client: &Client) -> String {
    outcome(client.verbosity(1).unwrap().into_result(), shown)
}

const META: &str = "NF O0000\r\nMN\r\n";
const SET: &str = "set a 0 0 1\r\nx\r\n";
const HIT: &str = "VALUE a 0 3\r\none\r\nEND\r\n";
/// The hits are not in the order of the request.
const SWAPPED: &str = "VALUE c 0 5\r\nthree\r\nVALUE a 0 3\r\none\r\nEND\r\n";
/// A command that does nothing, whose answer shows where that of the one before ends.
const FENCE: &str = "md AA== b C18446744073709551615 O";

/// An admin command of a client that speaks meta, and the answer to it.
fn fenced(asked: &str, says: &str, ticket: &str, call: fn(&Client) -> String, gets: &str) -> Row {
    row(format!("{asked}\r\n{FENCE}{ticket}\r\n"), format!("{says}\r\nNF O{ticket}\r\n"), call, gets)
}

fn the_proxy_of_memcached_is_asked_in_meta_and_closes_on_admin_commands() {
    const DOWN: &str = "SERVER_ERROR backend failure";
    let hit =
        |ticket: &str| row(format!("mg a f v O{ticket}\r\n"), format!("VA 3 f0 O{ticket}\r\none\r\n"), get, "one");
    // The answer to the `md` comes from a server behind it, which may be down; it answers the `mn` itself.
    for answer in [META, "SERVER_ERROR backend failure\r\nMN\r\n"] {
        let many = row(
            "get a b\r\nmg c k f v O0003\r\n",
            format!("VALUE a 0 3\r\none\r\n{DOWN}\r\nEND\r\nVA 5 kc f0 O0003\r\nthree\r\n"),
            get_many,
            format!("one | {DOWN}, NotSent | three"),
        );
        let mut rows = vec![hit("0002"), many];
        for (ticket, line, landed) in [
            ("0004", DOWN, "Unknown"),
            ("0005", "SERVER_ERROR active request limit reached", "Refused"),
            ("0006", "SERVER_ERROR lua start failure", "Refused"),
            ("0007", "SERVER_ERROR lua failure", "Unknown"),
            ("0008", "SERVER_ERROR bad response", "Unknown"),
        ] {
            // An error line has no number: the answer to an `mn` shows that it is that to this request.
            rows.push(
                row(format!("ms a 1 O{ticket}\r\nx\r\n"), format!("{line}\r\n"), set, format!("{line}, {landed}"))
                    .and("mn\r\n", "MN\r\n"),
            );
        }
        rows.push(hit("0009"));
        rows.push(fenced("version", "VERSION 1.6.45", "000:", version, "1.6.45"));
        rows.push(row(format!("flush_all\r\n{FENCE}000;\r\n"), "", flush_all, "disconnected, Unknown"));
        let again =
            [hit("0002"), row(format!("verbosity 1\r\n{FENCE}0003\r\n"), "", verbosity, "disconnected, Unknown")];
        // On a connection that has served nothing, too.
        let first = [row(format!("flush_all\r\n{FENCE}0002\r\n"), "", flush_all, "disconnected, Unknown")];
        play([
            Talk::probed(answer, rows).and_closes(),
            Talk::probed(answer, again).and_closes(),
            Talk::probed(answer, first).and_closes(),
            Talk::probed(answer, [hit("0002")]),
        ]);
    }
}

fn mcrouter_is_asked_in_the_classic_protocol_and_ends_a_get_of_many_with_an_error_line() {
    const DOWN: &str = "SERVER_ERROR unavailable";
    let refused = format!("{DOWN}, NotSent");
    let one_by_one = "get a\r\nget b\r\nget c\r\n";
    play([
        Talk::probed("CLIENT_ERROR malformed request\r\n", []).and_closes(),
        Talk::unprobed([
            row("get a\r\n", HIT, get, "one"),
            row(SET, "STORED\r\n", set, "()"),
            row("get a b c\r\n", SWAPPED, get_many, "one | - | three"),
            row("version\r\n", "VERSION 41.0.0 mcrouter\r\n", version, "41.0.0 mcrouter"),
            row(
                "flush_all\r\n",
                "SERVER_ERROR Command disabled\r\n",
                flush_all,
                "SERVER_ERROR Command disabled, Unknown",
            ),
            row("stats\r\n", "STAT version mcrouter 41.0.0\r\nEND\r\n", stats, "1"),
            row("get a\r\n", format!("{DOWN}\r\n"), get, refused.as_str()),
            row(SET, format!("{DOWN}\r\n"), set, format!("{DOWN}, Unknown")),
            row(SET, "SERVER_ERROR timeout\r\n", set, "SERVER_ERROR timeout, Unknown"),
            // Since it has answered so, it is asked for one key at a time.
            row(
                one_by_one,
                format!("{DOWN}\r\nEND\r\n{HIT}").replace("VALUE a", "VALUE c"),
                get_many,
                format!("{refused} | - | one"),
            ),
            row("get a\r\n", HIT, get, "one"),
            row(
                "stats settings\r\n",
                "CLIENT_ERROR bad stats command\r\n",
                stats_settings,
                "CLIENT_ERROR bad stats command, Refused",
            ),
        ]),
    ]);
    // An error of a server behind it comes first among many keys: whether END follows is not known.
    play([
        Talk::probed("CLIENT_ERROR malformed request\r\n", []).and_closes(),
        Talk::unprobed([row(
            "get a b c\r\n",
            format!("VALUE b 0 3\r\ntwo\r\n{DOWN}\r\n"),
            get_many,
            format!("{refused} | two | {refused}"),
        )]),
        Talk::unprobed([
            row(one_by_one, format!("{HIT}{DOWN}\r\nEND\r\n"), get_many, format!("one | {refused} | -")),
            row("get a\r\n", HIT, get, "one"),
        ]),
    ]);
}

fn twemproxy_is_asked_in_the_classic_protocol_and_closes_on_unknown_commands() {
    const DOWN: &str = "SERVER_ERROR Connection refused";
    let refused = format!("{DOWN}, NotSent");
    play([
        Talk::probed("", []).and_closes(),
        Talk::unprobed([
            row("get a\r\n", HIT, get, "one"),
            row(SET, "STORED\r\n", set, "()"),
            row("get a b c\r\n", SWAPPED, get_many, "one | - | three"),
            row("version\r\n", "VERSION 1.6.18\r\n", version, "1.6.18"),
            row("flush_all\r\n", "", flush_all, "disconnected, Unknown"),
        ])
        .and_closes(),
        // It does not count as down for that, though it has answered nothing on this connection.
        Talk::unprobed([row("stats\r\n", "", stats, "disconnected, NotSent")]).and_closes(),
        Talk::unprobed([
            row("get a\r\n", format!("{DOWN}\r\n"), get, refused.as_str()),
            row(SET, format!("{DOWN}\r\n"), set, format!("{DOWN}, Unknown")),
            row(
                "get a\r\nget b\r\nget c\r\n",
                format!("{DOWN}\r\nEND\r\nEND\r\n"),
                get_many,
                format!("{refused} | - | -"),
            ),
        ]),
    ]);
}

fn elasticache_serverless_is_asked_in_meta_and_refuses_some_admin_commands() {
    const LINE: usize = 16 * 1024;
    fn get_hundreds(client: &Client) -> String {
        let keys: Vec<_> = (0..200).map(|at| format!("{at:0250}")).collect();
        let found = client.get_many(&keys).unwrap().into_result().unwrap();
        found.iter().flatten().count().to_string()
    }
    let keys: Vec<_> = (0..200).map(|at| format!("{at:0250}")).collect();
    let mut hundreds = Row { turns: Vec::new(), call: get_hundreds, gets: "0".into() };
    for (at, keys) in keys.chunks(32).enumerate() {
        let (last, others) = keys.split_last().unwrap();
        let line = format!("get {}\r\n", others.join(" "));
        assert!(line.len() <= LINE);
        let ticket = format!("{:04x}", at + 3);
        hundreds = hundreds.and(format!("{line}mg {last} k f v O{ticket}\r\n"), format!("END\r\nEN O{ticket}\r\n"));
    }
    let refusal = "CLIENT_ERROR bad command line format";
    let refused = format!("{refusal}, Refused");
    play([Talk::probed(
        META,
        [
            row("mg a f v O0002\r\n", "VA 3 f0 O0002\r\none\r\n", get, "one"),
            hundreds,
            fenced("flush_all 60", refusal, "000:", flush_all_later, &refused),
            fenced("flush_all", "OK", "000;", flush_all, "[()]"),
            fenced("stats settings", refusal, "000<", stats_settings, &refused),
            fenced("stats", "STAT version 1.6.99\r\nEND", "000=", stats, "1"),
            fenced("verbosity 1", "ERROR", "000>", verbosity, "ERROR, Refused"),
            row("ms a 1 O000?\r\nx\r\n", "HD O000?\r\n", set, "()"),
        ],
    )]);
}

fn dragonfly_is_asked_in_the_classic_protocol() {
    // It knows `md` and the flag `b`, and neither `C` nor `O`; the line for that differs by version.
    for answer in [
        "CLIENT_ERROR bad data chunk\r\nMN\r\n",
        "ERROR\r\nMN\r\n",
        "ERROR\r\nCLIENT_ERROR bad command line format\r\n",
    ] {
        play([Talk::probed(
            answer,
            [
                row("get a\r\n", HIT, get, "one"),
                row(SET, "STORED\r\n", set, "()"),
                row("get a b c\r\n", "VALUE c 0 5\r\nthree\r\nEND\r\n", get_many, "- | - | three"),
                row("version\r\n", "VERSION 1.6.0 DF\r\n", version, "1.6.0 DF"),
                row("touch a 0\r\n", "ERROR\r\n", touch, "ERROR, Refused"),
                row("verbosity 1\r\n", "ERROR\r\n", verbosity, "ERROR, Refused"),
                row(
                    "flush_all 60\r\n",
                    "CLIENT_ERROR bad data chunk\r\n",
                    flush_all_later,
                    "CLIENT_ERROR bad data chunk, Refused",
                ),
                row("stats\r\n", "STAT pid 1\r\nSTAT version 1.35.0\r\nEND\r\n", stats, "2"),
                row(
                    "stats settings\r\n",
                    "CLIENT_ERROR bad data chunk\r\n",
                    stats_settings,
                    "CLIENT_ERROR bad data chunk, Refused",
                ),
                row("get a\r\n", HIT, get, "one"),
            ],
        )]);
    }
}

fn infinispan_is_asked_in_the_classic_protocol() {
    // It knows the names of the meta commands, of which it answers only the `mn`.
    play([Talk::probed(
        "ERROR\r\nMN\r\n",
        [
            row("get a\r\n", HIT, get, "one"),
            row(SET, "STORED\r\n", set, "()"),
            row("get a b c\r\n", SWAPPED, get_many, "one | - | three"),
            row("incr a 1\r\n", "NOT_FOUND\r\n", incr, "None"),
            row("touch a 0\r\n", "TOUCHED\r\n", touch, "true"),
            row("version\r\n", "VERSION 15.0.11.Final\r\n", version, "15.0.11.Final"),
            row("flush_all 60\r\n", "OK\r\n", flush_all_later, "[()]"),
            row("verbosity 1\r\n", "ERROR\r\n", verbosity, "ERROR, Refused"),
            row("get a\r\n", HIT, get, "one"),
        ],
    )]);
}

fn arcus_is_asked_in_the_classic_protocol_and_refuses_in_words_of_its_own() {
    let mismatch = "TYPE_MISMATCH";
    play([Talk::probed(
        "ERROR unknown command\r\nERROR unknown command\r\n",
        [
            row("get a\r\n", HIT, get, "one"),
            // The key is that of a list or a tree.
            row(SET, format!("{mismatch}\r\n"), set, format!("{mismatch}, Refused")),
            row("incr a 1\r\n", format!("{mismatch}\r\n"), incr, format!("{mismatch}, Refused")),
            row("get a b c\r\n", SWAPPED, get_many, "one | - | three"),
            row("version\r\n", "VERSION 1.13.4\r\n", version, "1.13.4"),
            row("flush_all\r\n", "OK\r\n", flush_all, "[()]"),
            row("get a\r\n", HIT, get, "one"),
        ],
    )]);
}
