use std::path::Path;

use super::*;
use crate::{EmbeddedServer, EmbeddedSetup};

const START: u64 = 1_700_000_000;

/// One client of a core, and the time.
struct Guest {
    core: Core,
    session: Session,
    now: u64,
}

impl Guest {
    fn of(setup: EmbeddedSetup) -> Self {
        let mut core = setup.core(START);
        let session = core.connect();
        Self { core, session, now: START }
    }

    fn new() -> Self {
        Self::of(EmbeddedServer::with())
    }

    /// Sends bytes and returns the writes that they lead to, in one.
    fn ask(&mut self, request: &[u8]) -> String {
        self.session.feed(&mut self.core, request, self.now);
        let writes = std::iter::from_fn(|| self.session.take_outgoing());
        writes.flatten().flat_map(std::ascii::escape_default).map(char::from).collect()
    }

    #[track_caller]
    fn expect(&mut self, request: &str, answer: &str) {
        assert_eq!(self.ask(request.as_bytes()), answer.escape_default().to_string(), "{request}");
    }

    fn stat(&mut self, name: &str) -> String {
        let stats = self.core.connect_and_ask(b"stats\r\n", self.now);
        let start = format!("STAT {name} ");
        stats.lines().find_map(|line| line.strip_prefix(&start)).expect("the statistic is there").to_owned()
    }
}

impl Core {
    /// What another client is answered.
    fn connect_and_ask(&mut self, request: &[u8], now: u64) -> String {
        let mut session = self.connect();
        session.feed(self, request, now);
        let answer = std::iter::from_fn(|| session.take_outgoing()).flatten().collect();
        session.close(self);
        String::from_utf8(answer).expect("the answer is text")
    }
}

#[test]
fn a_client_has_to_give_a_user_and_password_first() {
    let setup = EmbeddedServer::with().credentials("web", "s3cret").credentials("ops", "other");
    let mut guest = Guest::of(setup.clone());
    for (request, answer) in [
        ("version\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("get a\r\nmd AA== b\r\nmn\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("set a 0 0 x\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("set a 0 0 10\r\nweb wrong1\r\n", "CLIENT_ERROR authentication failure\r\n"),
        ("set a 0 0 4\r\nweb \r\n", "CLIENT_ERROR bad authentication token format\r\n"),
        ("set a 0 0 4\r\nweb s3", "CLIENT_ERROR bad command line termination\r\n"),
        ("cret\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("version\r\nset a 0 -1 10\r\nweb s3cret\r\nversion\r\nget a\r\n", "STORED\r\nVERSION 1.6.18\r\nEND\r\n"),
    ] {
        guest.expect(request, answer);
    }
    // Newer ones close the connection for a line that is shorter than 6 bytes, and throw away what was to be answered.
    for (request, closes) in [("md AA== b\r\nmn\r\n", true), ("\r\n", true), ("mn   \r\n", false)] {
        let mut guest = Guest::of(setup.clone().version("1.6.44"));
        let answer = guest.ask(request.as_bytes());
        assert_eq!((answer.is_empty(), guest.session.is_closed()), (closes, closes), "{request}: {answer}");
    }
    // Where a password ends.
    let (stored, wrong) = ("STORED\r\n", "CLIENT_ERROR authentication failure\r\n");
    let format = "CLIENT_ERROR bad authentication token format\r\n";
    for (version, whole, more, empty) in [("1.6.39", wrong, stored, format), ("1.6.40", stored, wrong, wrong)] {
        for (request, answer) in [
            ("set a 0 0 12\r\nweb two word\r\n", whole),
            ("set a 0 0 13\r\nweb s3cret  x\r\n", more),
            ("set a 0 0 11\r\nweb  s3cret\r\n", more),
            ("set a 0 0 4\r\nweb \r\n", empty),
            ("set a 0 0 3\r\nweb\r\n", format),
        ] {
            Guest::of(setup.clone().credentials("web", "two word").version(version)).expect(request, answer);
        }
    }
    // What a real one reads at once.
    for (length, closes) in [(16_382, false), (16_383, true)] {
        let mut guest = Guest::of(setup.clone());
        guest.ask(format!("set a 0 0 {length}\r\n").as_bytes());
        let answer = guest.ask(format!("{}\r\n", "x".repeat(length)).as_bytes());
        assert_eq!((answer.is_empty(), guest.session.is_closed()), (closes, closes), "{answer}");
    }
}

/// What a new core answers to the pieces of one connection, and whether it closes it.
fn replies<'a>(setup: &EmbeddedSetup, pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, bool) {
    let mut guest = Guest::of(setup.clone());
    let replies: String = pieces.into_iter().map(|piece| guest.ask(piece)).collect();
    // These statistics count what was read and written so far.
    let counts = ["STAT bytes_read ", "STAT bytes_written ", "STAT conn_yields "];
    let lines = replies.split_inclusive("\\r\\n").filter(|line| !counts.iter().any(|count| line.starts_with(count)));
    (lines.collect(), guest.session.is_closed())
}

#[track_caller]
fn assert_cuts_make_no_difference(title: &str, setup: &EmbeddedSetup, requests: &[u8]) {
    // Everywhere, unless there is much; then near its ends and at some places between.
    const EDGE: usize = 128;
    let step = if requests.len() < 4096 { 1 } else { requests.len() / 64 };
    let whole = replies(setup, [requests]);
    assert_eq!(replies(setup, requests.chunks(1)), whole, "{title}, byte by byte");
    for at in (0..=requests.len()).filter(|at| *at < EDGE || requests.len() - at < EDGE || at % step == 0) {
        assert_eq!(replies(setup, [&requests[..at], &requests[at..]]), whole, "{title}, cut after {at} bytes");
    }
}

#[test]
fn requests_are_answered_the_same_wherever_they_are_cut() {
    let large = format!("set large 0 0 600\r\n{}", "x".repeat(600));
    let requests = [
        "set a 5 0 3\r\nabc",
        "get a",
        "gets a b",
        "add a 0 0 1\r\nx",
        "add b 0 0 1\r\n7",
        "incr b 5",
        "replace a 0 0 0\r\n",
        "append a 0 0 2\r\n\r\n",
        "prepend a 0 0 1\r\nx",
        "cas a 0 0 1 1\r\nx",
        "gat 100 a b",
        "set q 0 0 1 noreply\r\nx",
        "get q",
        "delete q noreply",
        "decr b 100",
        "touch a 50",
        "touch none 1",
        "set bad 0 0 1\r\nabc",
        &large,
        "mn",
        "version",
        "verbosity 1",
        "nonsense",
        "",
        "\nms c 2 T0 F7 c k Oabc",
        "hi",
        "mg c v f t s k q Oabc",
        "mg none v q",
        "mg none",
        "ms YmI= 1 b\r\nx",
        "ma n N0 J9 v",
        "ma n v D3 MI",
        "ma n MD q",
        "md c q",
        "md none k O1",
        "mg n v N30 R10",
        "md n I T30",
        "mg n v",
        "ms c 2\r\nlonger",
        "mn",
        "mg",
        "ms x",
        "flush_all",
        "get a",
        "quit",
        "mn",
        "",
    ]
    .join("\r\n")
    .into_bytes();
    let setup = EmbeddedServer::with().item_size_max(500);
    let (replies, is_closed) = replies(&setup, [&requests[..]]);
    assert!(is_closed && replies.ends_with("OK\\r\\nEND\\r\\n"), "{replies}");
    assert_cuts_make_no_difference("all commands", &setup, &requests);
}

#[test]
fn the_requests_of_every_transcript_are_answered_the_same_wherever_they_are_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = folder.read_dir().expect("the transcripts are part of the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    paths.sort();
    for transcript in paths.iter().flat_map(crate::load) {
        let requests: Vec<_> = transcript.turns.iter().flat_map(|turn| &turn.client).copied().collect();
        assert_cuts_make_no_difference(&transcript.title, &EmbeddedServer::with(), &requests);
    }
}

#[test]
fn items_expire_by_the_time_that_is_given() {
    let mut guest = Guest::new();
    guest.expect("set a 0 10 1\r\nx\r\nset b 0 1700000005 1\r\nx\r\nset c 0 0 1\r\nx\r\nms d 1 T20\r\nx\r\n", {
        "STORED\r\nSTORED\r\nSTORED\r\nHD\r\n"
    });
    // A time that goes back is none that the server has missed.
    for (now, left) in [(4, "abcd"), (5, "acd"), (9, "acd"), (10, "cd"), (19, "cd"), (20, "c"), (0, "c"), (100, "c")] {
        guest.now = START + now;
        for key in ["a", "b", "c", "d"] {
            let hit = format!("VALUE {key} 0 1\r\nx\r\nEND\r\n");
            guest.expect(&format!("get {key}\r\n"), if left.contains(key) { &hit } else { "END\r\n" });
        }
    }
    guest.expect("mg c t\r\nflush_all 5\r\n", "HD t-1\r\nOK\r\n");
    guest.now += 3;
    guest.expect("mg c\r\n", "HD\r\n");
    guest.now += 1;
    guest.expect("mg c\r\n", "EN\r\n");
    assert_eq!((guest.stat("time"), guest.stat("uptime")), ((START + 104).to_string(), "106".to_owned()));
}

#[test]
fn open_connections_are_counted_until_one_side_closes_them() {
    let mut guest = Guest::new();
    let mut other = guest.core.connect();
    assert_eq!(guest.stat("curr_connections"), "3");
    other.close(&mut guest.core);
    other.close(&mut guest.core);
    assert_eq!(guest.stat("curr_connections"), "2");
    guest.expect("version\r\nquit\r\nversion\r\n", "VERSION 1.6.18\r\n");
    assert!(guest.session.is_closed());
    guest.expect("version\r\n", "");
    guest.session.close(&mut guest.core);
    assert_eq!((guest.stat("curr_connections"), guest.stat("total_connections")), ("1".to_owned(), "6".to_owned()));
}

#[test]
fn recaching_and_stale_items_have_one_winner() {
    let mut guest = Guest::new();
    guest.expect("set a 0 60 1\r\nx\r\nmg a R30 t\r\n", "STORED\r\nHD t60\r\n");
    guest.now += 31;
    guest.expect("mg a R30 t\r\nmg a R30 t\r\n", "HD t29 W\r\nHD t29 Z\r\n");
    guest.expect("md a I T90\r\nmg a t v\r\nmg a v\r\n", "HD\r\nVA 1 t90 X W\r\nx\r\nVA 1 Z X\r\nx\r\n");
    guest.expect("mg b N30 t\r\nmg b t\r\n", "HD t30 W\r\nHD t30 Z\r\n");
}

#[test]
fn newer_flags_of_meta_commands_are_known_from_their_versions_on() {
    let mut guests = BTreeMap::new();
    // What memcached 1.6.18 and 1.6.45 answer, but for the first cas, which is 2 there.
    for (request, old, new) in [
        ("ms a 2 c s\r\nhi\r\n", "HD c1\r\n", "HD c1 s2\r\n"),
        ("ms a 3 MA s c\r\nabc\r\n", "HD c2\r\n", "HD s5 c2\r\n"),
        ("ms v 1 MA N60 s\r\nx\r\nmg v v t\r\n", "NS\r\nEN\r\n", "HD s1\r\nVA 1 t60\r\nx\r\n"),
        ("ms a 2 E1000 c\r\nhi\r\n", "CLIENT_ERROR invalid flag\r\n", "HD c1000\r\n"),
        ("mg a C1000 c v f O1\r\n", "VA 5 c2 f0 O1\r\nhiabc\r\n", "HD c1000 f0 O1\r\n"),
        ("mg a C999 c v f O1\r\n", "VA 5 c2 f0 O1\r\nhiabc\r\n", "VA 2 c1000 f0 O1\r\nhi\r\n"),
        ("ma n N60 J5 E77 c v\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n", "VA 1 c77\r\n5\r\n"),
        ("ma n MI D2 E78 c v t\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n", "VA 1 c78 t60\r\n7\r\n"),
        ("mg n c v\r\n", "EN\r\n", "VA 1 c78\r\n7\r\n"),
        ("ma n2 N60 q\r\nmn\r\n", "HD\r\nMN\r\n", "MN\r\n"),
        ("ms d 3 F7 T90\r\nabc\r\nmd d x\r\n", "HD\r\nCLIENT_ERROR invalid or duplicate flag\r\n", "HD\r\nHD\r\n"),
        ("mg d s f t v\r\n", "VA 3 s3 f7 t90\r\nabc\r\n", "VA 0 s0 f0 t-1\r\n\r\n"),
        ("md d x T30 I E500\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n", "HD\r\n"),
        ("mg d s f t c\r\n", "HD s3 f7 t90 c4\r\n", "HD s0 f0 t30 c500 X W\r\n"),
        ("md d I E600 T-1\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n", "HD\r\n"),
        ("mg d c\r\n", "HD c4\r\n", "EN\r\n"),
        ("ms Zm9v 1 b T50\r\nx\r\nmg foo k t\r\n", "HD\r\nHD kZm9v b t50\r\n", "HD\r\nHD kZm9v b t50\r\n"),
        ("me Zm9v b\r\n", "ME Zm9v exp=-50 la=0 cas=5 fetch=yes cls=1 size=63\r\n", "EN\r\n"),
        (
            "me Zm9v b b\r\n",
            "ME Zm9v exp=-50 la=0 cas=5 fetch=yes cls=1 size=63\r\n",
            "ME Zm9v exp=50 la=0 cas=7 fetch=yes cls=1 size=63\r\n",
        ),
        // An item that an `mg` makes forgets that its key was in base64.
        ("mg IA== b N30 k\r\n", "HD k  W\r\n", "HD k  W\r\n"),
        ("mg z N0 E55 c\r\n", "CLIENT_ERROR invalid flag\r\n", "HD c55 W\r\n"),
        ("md z y\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n", "CLIENT_ERROR invalid flag\r\n"),
        ("ms z 1 C1 I\r\ny\r\nmg z v\r\n", "NF\r\nEN\r\n", "HD\r\nVA 1 Z X\r\ny\r\n"),
    ] {
        for (version, answer) in [("1.6.18", old), ("1.6.45", new)] {
            let guest = guests.entry(version).or_insert_with(|| Guest::of(EmbeddedServer::with().version(version)));
            guest.expect(request, answer);
        }
    }
}

#[test]
fn a_full_server_evicts() {
    let mut guest = Guest::of(EmbeddedServer::with().memory_limit(10_000).item_size_max(5000));
    for number in 0..30 {
        guest.expect(&format!("set key{number:02} 0 0 1000\r\n{}\r\n", "x".repeat(1000)), "STORED\r\n");
        guest.expect("get key00 none\r\n", &format!("VALUE key00 0 1000\r\n{}\r\nEND\r\n", "x".repeat(1000)));
    }
    guest.expect("get key01\r\n", "END\r\n");
    assert_eq!(["curr_items", "evictions", "bytes"].map(|name| guest.stat(name)), ["9", "21", "9576"]);
    let large = format!("set key00 0 0 6000\r\n{}\r\n", "x".repeat(6000));
    guest.expect(&large, "SERVER_ERROR object too large for cache\r\n");
    guest.expect("get key00\r\n", "END\r\n");
}

#[test]
fn answers_wait_for_the_data_block_after_them() {
    let mut guest = Guest::new();
    guest.expect("version\r\nset a 0 0 10\r\nab", "");
    guest.expect("cdefghij\r\n", "VERSION 1.6.18\r\nSTORED\r\n");
}

#[test]
fn a_line_without_an_end_is_hung_up_on_unless_it_is_a_get() {
    let keys = " a".repeat(20_000);
    for (start, answer) in [("get", "END\r\n"), ("  gets", "END\r\n"), ("gat 0", "")] {
        let mut guest = Guest::new();
        guest.expect(&format!("{start}{keys}"), "");
        assert_eq!(guest.session.is_closed(), answer.is_empty(), "{start}");
        guest.expect("\r\n", answer);
    }
}

#[test]
fn a_get_without_memory_for_its_reply_throws_away_the_replies_before_it() {
    let mut guest = Guest::of(EmbeddedServer::with().out_of_response_memory(7, 1));
    guest.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let line = "SERVER_ERROR out of memory writing get response\r\n";
    // Both are carried out, and the meta command after them is answered.
    guest.expect("incr a 1\r\nincr a 1\r\nget a\r\nmg a v\r\n", &format!("{line}VA 1\r\n3\r\n"));
}

#[test]
fn a_saboteur_spoils_replies_and_not_requests() {
    let mut guest = Guest::of(EmbeddedServer::with().saboteur(Saboteur::new(7, 1)));
    guest.expect("mn\r\nset a 0 0 1\r\n0\r\n", "MN\r\nSTORED\r\n");
    let spoilt = guest.ask(&[&b"incr a 1\r\n".repeat(200)[..], b"quit\r\n"].concat());
    let honest: String = (1..=200).map(|number| format!("{number}\\r\\n")).collect();
    assert_ne!(spoilt, honest);
    assert!(spoilt.contains("SERVER_ERROR "), "{spoilt}");
    // Its first replies are right.
    assert_eq!(guest.core.connect_and_ask(b"get a\r\n", START), "VALUE a 0 3\r\n200\r\nEND\r\n");
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/embedded/core");
    let entries = folder.read_dir().expect("the source is there").map(|entry| entry.expect("an entry").path());
    let sources =
        entries.filter(|path| path.is_file() && !path.ends_with("tests.rs")).chain([folder.with_extension("rs")]);
    for path in sources {
        let source = std::fs::read_to_string(&path).expect("a readable file");
        for word in [
            "std::io",
            "std::net",
            "Instant",
            "SystemTime",
            "std::thread",
            "std::process",
            "std::fs",
            "socket2",
            "rustix",
        ] {
            assert!(!source.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn settings_and_shutdown_are_answered_by_version() {
    const WRONG: &str = "CLIENT_ERROR bad command line format\r\n";
    const LRU: [&str; 3] = ["lru tune 20 40 0.2 2.0\r\n", "lru mode flat\r\n", "lru temp_ttl 61\r\n"];
    for (version, automove, range, lru, shutdown) in [
        ("1.6.18", WRONG, WRONG, "OK\r\n", "ERROR: shutdown not enabled\r\n"),
        ("1.6.33", WRONG, WRONG, "OK\r\n", "ERROR: shutdown not enabled\r\n"),
        ("1.6.34", "OK\r\n", "OK\r\n", "OK\r\n", "ERROR: shutdown not enabled\r\n"),
        ("1.6.40", "OK\r\n", "OK\r\n", "ERROR\r\n", "SERVER_ERROR: shutdown not enabled\r\n"),
        ("1.6.41", "OK\r\n", "OK\r\n", "OK\r\n", "SERVER_ERROR: shutdown not enabled\r\n"),
        (
            "1.6.45",
            "OK\r\n",
            "CLIENT_ERROR automove window too low or too high\r\n",
            "OK\r\n",
            "SERVER_ERROR: shutdown not enabled\r\n",
        ),
    ] {
        let mut guest = Guest::of(EmbeddedServer::with().version(version));
        guest.expect("slabs automove freeratio 0.1\r\n", automove);
        guest.expect("slabs automove window 30\r\n", automove);
        guest.expect("slabs automove window 1801\r\n", range);
        guest.expect("slabs automove ratio 0.8\r\nslabs automove 1\r\n", "OK\r\nOK\r\n");
        LRU.iter().for_each(|request| guest.expect(request, lru));
        guest.expect("shutdown\r\n", shutdown);
    }
}

#[test]
fn a_full_server_stores_nothing_and_does_the_rest() {
    let mut guest = Guest::new();
    guest.expect("set a 0 0 1\r\nx\r\nset n 0 0 1\r\n5\r\n", "STORED\r\nSTORED\r\n");
    guest.core.set_faults(Faults::none().full());
    let full = "SERVER_ERROR out of memory storing object\r\n";
    guest.expect("set a 0 0 1\r\ny\r\n", full);
    guest.expect("ms b 1 MA\r\ny\r\n", full);
    guest.expect("get a\r\nincr n 1\r\ntouch n 0\r\n", "END\r\n6\r\nTOUCHED\r\n");
    // What would make an item.
    guest.expect("ma c N0 J1\r\n", "SERVER_ERROR Out of memory allocating new item\r\n");
    guest.expect("mg c N9 v\r\nmg c N9 v q\r\nget c\r\nma n N0 v\r\n", "EN\r\nEND\r\nVA 1\r\n7\r\n");
    guest.core.set_faults(Faults::none());
    guest.expect("set a 0 0 1\r\ny\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\ny\r\nEND\r\n");
}

#[test]
fn an_answer_is_cut_after_as_many_bytes_as_a_fault_says() {
    for limit in 0..10 {
        let mut guest = Guest::new();
        guest.core.set_faults(Faults::none().close_after_bytes(limit));
        // What does not count is answered whole.
        guest.expect("version\r\n", "VERSION 1.6.18\r\n");
        guest.expect("get a\r\nget b\r\n", &"END\r\nEND\r\n"[..limit as usize]);
        assert!(guest.session.is_closed(), "{limit}");
        assert_eq!(guest.core.asked().len(), if limit <= 5 { 1 } else { 2 }, "{limit}");
    }
}

#[test]
fn the_last_ten_thousand_requests_are_kept() {
    let mut guest = Guest::new();
    for number in 0..10_005 {
        guest.ask(format!("touch k{number} 0\r\n").as_bytes());
    }
    let asked = guest.core.asked();
    assert_eq!((asked.len(), asked[0].key()), (10_000, &b"k5"[..]));
}
