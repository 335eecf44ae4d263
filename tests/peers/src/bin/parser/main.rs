//! What it takes to parse a reply: the instructions of our parser and of others.
//!
//! ```text
//! git clone --depth 1 https://github.com/memcached/memcached
//! MCMC=memcached/vendor/mcmc cargo run --release --manifest-path tests/peers/Cargo.toml --bin parser
//! ```
//!
//! It needs valgrind, which counts them. `MCMC` is a folder with the sources of mcmc, memcached's own client library in C, which is
//! compiled by `cc -O3`; without it, mcmc is left out.
//!
//! Each parser is run with two numbers of replies: the difference of the counts is divided by that of the numbers. A reply is copied
//! into the buffer, as a read would do it, a KiB at a time, since callgrind counts longer copies by the byte. All values of a reply
//! are looked at and dropped before the next one.
//!
//! | parser | what it does |
//! |---|---|
//! | `memcached2` | values of their own memory; the opaque, or each key, is checked, and the keys are written down for that |
//! | `memcache-proto` | values and keys of their own memory; no check, no meta |
//! | `memcache-proto bytes` | values and keys as parts of the buffer, which they keep alive; no check, no meta |
//! | `mcmc` | where value, key and flags lie in the buffer; no check |

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use memcache_proto::{Response, ResponseBytes};
use memcached2_proto::reply::{Decoder, Expected, ExpectedKeys, Opaque, ReplyKind};
use memcached2_proto::{Bytes, Limits, Reply};

/// The numbers of replies.
const COUNTS: [usize; 2] = [200, 1200];
/// The length of a value in bytes.
const LENGTH: usize = 100;

/// A reply: what it is called, how many values it has, and whether it is one to a meta command.
#[derive(Debug, Clone, Copy)]
struct Kind(&'static str, usize, bool);

const KINDS: [Kind; 3] = [Kind("VALUE", 1, false), Kind("VA", 1, true), Kind("100 VALUE", 100, false)];
const PARSERS: [&str; 4] = ["memcached2", "memcache-proto", "memcache-proto bytes", "mcmc"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => compare(),
        [parser, name, count] => match (KINDS.iter().find(|kind| kind.0 == name), count.parse()) {
            (Some(kind), Ok(count)) => parse(parser, *kind, count),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ! {
    eprintln!("usage: [MCMC=folder] parser");
    exit(2)
}

/// Prints how many instructions each parser takes for each reply.
fn compare() {
    let folder = std::env::temp_dir().join(format!("memcached2-parser-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let mcmc = std::env::var_os("MCMC").map(|sources| compile(Path::new(&sources), &folder));
    let this = std::env::current_exe().expect("the path of this program");
    println!("{:>20} {:>10} {:>10} {:>10}", "instructions", KINDS[0].0, KINDS[1].0, KINDS[2].0);
    for parser in PARSERS {
        let of = |kind: Kind| match (parser, &mcmc) {
            ("mcmc", None) => None,
            ("mcmc", Some(program)) => {
                let file = folder.join("reply");
                std::fs::write(&file, kind.reply()).expect("a temporary file");
                Some(count(program, &[&file.to_string_lossy()]))
            }
            ("memcached2", _) => Some(count(&this, &[parser, kind.0])),
            _ => (!kind.2).then(|| count(&this, &[parser, kind.0])),
        };
        let [one, meta, many] = KINDS.map(|kind| of(kind).map_or_else(|| "-".to_owned(), |count| count.to_string()));
        println!("{parser:>20} {one:>10} {meta:>10} {many:>10}");
    }
    std::fs::remove_dir_all(&folder).expect("the temporary files");
}

/// How many instructions a program takes for each reply, if the number of replies is its last argument.
fn count(program: &Path, arguments: &[&str]) -> u64 {
    let run = |replies: usize| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(arguments)
            .arg(replies.to_string())
            .output()
            .expect("valgrind is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
        assert!(output.status.success(), "{said}");
        count.expect("a number of instructions")
    };
    let [few, many] = COUNTS.map(run);
    (many - few) / (COUNTS[1] - COUNTS[0]) as u64
}

/// Makes the program that parses by mcmc.
fn compile(sources: &Path, folder: &Path) -> PathBuf {
    let (ours, program) = (folder.join("main.c"), folder.join("mcmc"));
    std::fs::write(&ours, include_str!("mcmc.c")).expect("a temporary file");
    let mut cc = Command::new("cc");
    cc.args(["-O3", "-w", "-I"]).arg(sources).arg("-o").arg(&program).arg(&ours).arg(sources.join("mcmc.c"));
    assert!(cc.status().expect("a C compiler").success(), "mcmc does not compile");
    program
}

impl Kind {
    fn keys(self) -> Vec<String> {
        (0..self.1).map(|number| format!("bench:key:{number:06}")).collect()
    }

    /// What a server answers.
    fn reply(self) -> Vec<u8> {
        let data = "x".repeat(LENGTH);
        let lines = self.keys().into_iter().map(|key| format!("VALUE {key} 0 {LENGTH}\r\n{data}\r\n"));
        match self.2 {
            true => format!("VA {LENGTH} f0 O0000\r\n{data}\r\n").into_bytes(),
            false => lines.chain(["END\r\n".to_owned()]).collect::<String>().into_bytes(),
        }
    }
}

/// Parses the reply this many times.
fn parse(parser: &str, kind: Kind, count: usize) {
    let reply = kind.reply();
    let mut buffer = vec![0; reply.len()];
    let mut found = 0;
    match parser {
        "memcached2" => found = parse_by_ours(kind, &reply, count),
        "memcache-proto" => {
            for _ in 0..count {
                receive(&reply, &mut buffer);
                let Ok((Response::Values(values), _)) = Response::parse(&buffer) else { panic!("no values") };
                found += values.iter().map(|value| black_box(value).data.len()).sum::<usize>();
            }
        }
        "memcache-proto bytes" => {
            // One buffer for all replies: the values do not outlive them.
            let shared = Bytes::from(reply.clone());
            for _ in 0..count {
                receive(&reply, &mut buffer);
                let Ok((ResponseBytes::Values(values), _)) = ResponseBytes::parse(shared.clone()) else {
                    panic!("no values")
                };
                found += values.iter().map(|value| black_box(value).data.len()).sum::<usize>();
            }
        }
        _ => usage(),
    }
    assert_eq!(found, count * kind.1 * LENGTH, "bytes of values");
}

/// Copies a reply into a buffer.
fn receive(reply: &[u8], buffer: &mut [u8]) {
    let (reply, mut at) = (black_box(reply), 0);
    while at < reply.len() {
        let end = reply.len().min(at + 1024);
        buffer[at..end].copy_from_slice(&reply[at..end]);
        at = end;
    }
}

fn parse_by_ours(kind: Kind, reply: &[u8], count: usize) -> usize {
    let keys = kind.keys();
    let reply_kind = match kind {
        Kind(_, _, true) => ReplyKind::MetaValue,
        Kind(_, 1, false) => ReplyKind::Value,
        Kind(..) => ReplyKind::Values,
    };
    let (mut decoder, mut asked, mut found) = (Decoder::new(Limits::default()), ExpectedKeys::default(), 0);
    for _ in 0..count {
        if !kind.2 {
            keys.iter().for_each(|key| asked.push(key.as_bytes()));
        }
        asked.open(asked.size());
        decoder.expect(Expected::new(reply_kind, Opaque::from_ticket(0)));
        receive(reply, decoder.read_buf());
        decoder.advance_read(reply.len());
        while let Some((reply, last)) = decoder.decode(&mut asked, true).expect("a reply") {
            if let Reply::Value(_, value) = black_box(&reply) {
                found += value.data().len();
            }
            if last {
                break;
            }
        }
        asked.close();
    }
    found
}
