//! The embedded server against a real memcached: the same random requests must have the same answers.
//!
//! What is not asked: `stats items` and `stats slabs` (memcached moves items between segments when it likes), what
//! `stats` counts of items that are over (memcached reclaims some of them when it stores another one), delayed flushes
//! (they let items come back that a flush before has hidden, unless memcached has reclaimed them), counters of blanks or from
//! 2^63 on (to read them, memcached looks behind the value, at whatever was there before), several requests that are cut into several writes
//! (where a read ends decides what is still unsent, and with it some answers).
#![allow(clippy::panic, clippy::expect_used, reason = "a panic is the failure of the test")]

#[path = "differential/answers.rs"]
mod answers;
#[path = "differential/draw.rs"]
mod draw;
#[path = "differential/requests.rs"]
mod requests;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use memcached2_testkit::{EmbeddedServer, Memcached, MemcachedVersion, Rng};

use self::answers::{Answers, Unit};
use self::requests::{Batch, Piece, Requests, sequence};

const SEQUENCES: u64 = 300;
const COMMANDS: usize = 60;
/// Small, so that it takes little to be too large.
const ITEM_SIZE_MAX: usize = 16 * 1024;

fn real() -> Memcached {
    // It was in bytes, and is in kilobytes.
    let largest_chunk = if Memcached::version() > Some(IMITATED) { 16 } else { 16384 };
    let options = format!("no_lru_maintainer,no_lru_crawler,slab_chunk_max={largest_chunk}");
    Memcached::with().threads(4).args(["-m", "64", "-I", "16k", "-o", &options]).start()
}

/// An embedded server that claims to be of the same version.
fn embedded() -> EmbeddedServer {
    let (major, minor, patch) = Memcached::version().expect("it is known, or the test is skipped");
    EmbeddedServer::with().item_size_max(ITEM_SIZE_MAX).version(&format!("{major}.{minor}.{patch}")).start()
}

/// One side of the comparison.
struct Side {
    stream: TcpStream,
    answers: Answers,
}

impl Side {
    fn of(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket of TCP");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid timeout");
        let mut side = Self { stream, answers: Answers::default() };
        // What the sequences before may have changed for all.
        let reset = "stats detail off\r\nstats sizes_disable\r\nverbosity 0\r\nflush_all\r\nstats reset\r\n";
        side.ask(&Batch::whole(vec![vec![Piece::from(reset)]]), "reset");
        side
    }

    /// Sends a batch, followed by a fence unless it ends the connection, and returns the answers.
    fn ask(&mut self, batch: &Batch, fence: &str) -> Vec<u8> {
        let mut request: Vec<u8> = Vec::new();
        for piece in batch.commands.iter().flatten() {
            match piece {
                Piece::Bytes(bytes) => request.extend(bytes),
                Piece::Cas(index, offset) => request.extend(self.answers.cas(*index, *offset).to_string().into_bytes()),
            }
        }
        if !batch.ends {
            request.extend(format!("md {fence} k\r\n").into_bytes());
        }
        let mut rest = &request[..];
        for cut in &batch.cuts {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            let _ = self.stream.write_all(now);
            rest = later;
        }
        // The server may have hung up before.
        let _ = self.stream.write_all(rest);
        let end = format!("NF k{fence}\r\n");
        let mut answer = Vec::new();
        let mut buffer = [0; 64 * 1024];
        while !answer.ends_with(end.as_bytes()) {
            let last: &[u8] = match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => {
                    answer.extend(&buffer[..count]);
                    continue;
                }
                Ok(0) => b"(the end)\r\n",
                Err(error) if error.kind() == ErrorKind::ConnectionReset => b"(the end)\r\n",
                Err(_) => b"(silence)\r\n",
            };
            answer.extend(last);
            break;
        }
        answer
    }
}

/// The answers of both sides where they differ, to the batch of this index.
struct Difference {
    at: usize,
    raw: [Vec<u8>; 2],
}

fn compare(addresses: &[String; 2], batches: &[Batch]) -> Option<Difference> {
    let mut sides = addresses.each_ref().map(|address| Side::of(address));
    for (at, batch) in batches.iter().enumerate() {
        let fence = format!("fence{at}");
        let raw = sides.each_mut().map(|side| side.ask(batch, &fence));
        let [real, embedded] = &mut sides;
        let units = [real.answers.read(&raw[0]), embedded.answers.read(&raw[1])];
        if !Unit::all_match(&units[0], &units[1]) {
            return Some(Difference { at, raw });
        }
    }
    None
}

/// Does the same on its own servers.
fn compare_afresh(batches: &[Batch]) -> Option<Difference> {
    let (real, embedded) = (real(), embedded());
    compare(&[real.address(), embedded.address()], batches)
}

/// Says how the servers differ, after as few requests as possible.
fn report(seed: u64, batches: &[Batch], difference: Difference) -> String {
    let (last, before) = batches[..=difference.at].split_last().expect("a batch");
    let shorter = (1..=last.commands.len()).find_map(|count| {
        let last = Batch { commands: last.commands[..count].to_vec(), ..last.clone() };
        let batches = [before, &[last]].concat();
        compare_afresh(&batches).map(|difference| (batches, difference))
    });
    // A failure that depends on earlier sequences is printed in full.
    let (batches, difference) = shorter.unwrap_or_else(|| (batches[..=difference.at].to_vec(), difference));
    let mut text = format!("seed {seed}:\n");
    for batch in &batches {
        text += &format!("  ({} cuts)\n", batch.cuts.len());
        for command in &batch.commands {
            let words = command.iter().map(|piece| match piece {
                Piece::Bytes(bytes) => bytes.escape_ascii().to_string(),
                Piece::Cas(index, offset) => format!("<cas {index} {offset:+}>"),
            });
            text += &format!("    {}\n", shorten(&words.collect::<String>()));
        }
    }
    for (name, raw) in ["memcached", "embedded"].iter().zip(&difference.raw) {
        text += &format!("  {name}:\n");
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            text += &format!("    {}\n", shorten(&line.escape_ascii().to_string()));
        }
    }
    text
}

fn shorten(text: &str) -> String {
    if text.len() <= 400 { text.to_owned() } else { format!("{}... ({} characters)", &text[..400], text.len()) }
}

/// The version that is imitated in all: others differ where they should, and may not even start with the options of `real`.
const IMITATED: MemcachedVersion = (1, 6, 18);
/// The newest that was compared.
const NEWEST: MemcachedVersion = (1, 6, 45);

fn is_skipped(test: &str) -> bool {
    Memcached::is_too_old_for(test, IMITATED) || Memcached::is_too_new_for(test, IMITATED)
}

#[test]
fn the_embedded_server_answers_as_memcached_does() {
    if !is_skipped("the_embedded_server_answers_as_memcached_does") {
        compare_sequences(Requests::Any);
    }
}

/// What a client sends that checks what it sends is answered as by the newest version, too. Wrong lines are answered as by 1.6.18,
/// since 1.6.40 reads lines by another parser.
#[test]
fn the_embedded_server_answers_right_requests_as_its_version_does() {
    let test = "the_embedded_server_answers_right_requests_as_its_version_does";
    if !(Memcached::is_too_old_for(test, IMITATED) || Memcached::is_too_new_for(test, NEWEST)) {
        compare_sequences(Requests::Right);
    }
}

fn compare_sequences(requests: Requests) {
    let (real, embedded) = (real(), embedded());
    let addresses = [real.address(), embedded.address()];
    for seed in 0..SEQUENCES {
        let batches = sequence(&mut Rng::new(seed), &format!("s{seed}"), COMMANDS, ITEM_SIZE_MAX, requests);
        if let Some(difference) = compare(&addresses, &batches) {
            panic!("{}", report(seed, &batches, difference));
        }
    }
}

/// Whatever a client says that has not given its password: 1.6.44 and later close on a short line, such as an `mn`, without a word.
#[test]
fn a_client_without_a_password_is_answered_as_by_its_version() {
    if Memcached::is_too_old_for("a_client_without_a_password_is_answered_as_by_its_version", IMITATED) {
        return;
    }
    let (major, minor, patch) = Memcached::version().expect("it is known, or the test is skipped");
    let version = format!("{major}.{minor}.{patch}");
    let real = Memcached::with().threads(1).credentials("web", "s3cret").start();
    let embedded = EmbeddedServer::with().credentials("web", "s3cret").version(&version).start();
    for said in [
        "mn\r\n",
        "mn  \r\n",
        "mn    \r\n",
        "get a\r\n",
        "version\r\n",
        "ms a 1\r\nx\r\nversion\r\n",
        "set a 0 0 9\r\nweb wrong\r\n",
        "set a 0 0 3\r\nweb\r\n",
        "set a 0 0 10\r\nweb s3cret\r\n",
        "set a 0 0 10\r\nweb s3cret\r\nmn\r\n",
    ] {
        let answers = [real.address(), embedded.address()].map(|address| {
            let mut stream = TcpStream::connect(address).expect("the server listens");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid timeout");
            // What follows is answered, too, unless the server has hung up; and so the end of the answers is known.
            let _ = stream.write_all(format!("{said}version of the end\r\nquit\r\n").as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        assert_eq!(answers[1], answers[0], "after {said:?}");
    }
}

#[test]
fn statistics_have_the_same_names_in_the_same_order() {
    if is_skipped("statistics_have_the_same_names_in_the_same_order") {
        return;
    }
    let (real, embedded) = (Memcached::with().threads(4).args(["-m", "64"]).start(), EmbeddedServer::start());
    let mut sides = [real.address(), embedded.address()].map(|address| Side::of(&address));
    // The oldest item counts the seconds, and one may begin between the two servers.
    let setting = |name: &str| !matches!(name, "tcpport" | "drop_privileges" | "oldest");
    // Memcached is built with or without them.
    let optional =
        |name: &str| ["ext_", "ssl_", "slab_automove_freeratio", "proxy_"].iter().any(|part| name.starts_with(part));
    for question in ["stats", "stats settings", "stats items", "stats slabs"] {
        let batch = Batch::whole(vec![vec![Piece::from(format!("set a 0 0 1\r\nx\r\n{question}\r\n"))]]);
        let [real, embedded] = sides.each_mut().map(|side| {
            let answer = String::from_utf8(side.ask(&batch, "asked")).expect("the answer is text");
            let stats = answer.lines().filter_map(|line| line.strip_prefix("STAT ")).map(|stat| {
                let (name, value) = stat.split_once(' ').unwrap_or((stat, ""));
                let value = if question == "stats settings" && setting(name) { value } else { "" };
                (name.to_owned(), value.to_owned())
            });
            stats.filter(|(name, _)| !optional(name) && name != "drop_privileges").collect::<Vec<_>>()
        });
        assert_eq!(embedded, real, "{question}");
    }
}
