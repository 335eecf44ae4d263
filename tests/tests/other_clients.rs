//! Values of other clients: what the clients themselves store and read, where they are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::fmt::Debug;
use std::io::Write as _;
use std::process::{Command, Stdio};

use memcached2_proto::values::{Dalli, PhpMemcached, Plain, PyLibmc, PyMemcache, PythonMemcached, Zlib};
use memcached2_proto::{Error, Expiry, FromValue, ToValue};
use memcached2_sync::Client;
use memcached2_testkit::Memcached;

/// How many values are stored by the other client and read here, and as many the other way.
const CASES: usize = 200;

/// A value, the word for its type in the scripts, and the bytes of its text.
#[derive(Debug, Clone)]
struct Case {
    kind: &'static str,
    data: Vec<u8>,
}

impl Case {
    fn plain(&self) -> Plain<'static> {
        let text = || String::from_utf8(self.data.clone()).unwrap();
        match self.kind {
            "bytes" => Plain::Bytes(self.data.clone().into()),
            "text" => Plain::Text(text().into()),
            "int" => Plain::Int(text().parse().unwrap()),
            "float" => Plain::Float(text().parse().unwrap()),
            _ => Plain::Bool(self.data == b"1"),
        }
    }
}

/// Bytes, texts, integers and truth values; short, and long enough to be compressed.
fn cases(ints: std::ops::RangeInclusive<i128>, has_floats: bool) -> Vec<Case> {
    let case = |at: usize| {
        let noise = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let length = [0, 1, 20, 500, 2000, 20_000, 200_000][at / 5 % 7];
        match at % 5 {
            0 => {
                let byte = |place: usize| (noise >> (place % 8 * 8)) as u8 ^ (place / 64) as u8;
                Case { kind: "bytes", data: (0..length).map(byte).collect() }
            }
            1 => {
                Case { kind: "text", data: format!("caf\u{e9} \u{1f600} {noise} ").repeat(length / 30 + at % 2).into() }
            }
            2 => {
                let int = match at / 5 % 4 {
                    0 => *ints.start(),
                    1 => *ints.end(),
                    2 => at as i128 - 100,
                    _ => i128::from(noise as i64),
                };
                Case { kind: "int", data: int.to_string().into() }
            }
            3 if has_floats && at % 2 == 0 => Case { kind: "float", data: format!("{:e}", noise as f64 / 3e17).into() },
            3 => Case { kind: "bool", data: if at / 5 % 2 == 0 { "1" } else { "0" }.into() },
            // No bytes of a text.
            _ => Case { kind: "bytes", data: noise.to_le_bytes().repeat(length / 8) },
        }
    };
    (0..CASES).map(case).collect()
}

/// Runs a script; false, with a word, if its interpreter or the client is not installed.
fn run(interpreter: &str, client: &str, server: &Memcached, lines: &str) -> bool {
    let extension = match interpreter {
        "python3" => "py",
        "ruby" => "rb",
        _ => "php",
    };
    let script = format!("{}/tests/other_clients/values.{extension}", env!("CARGO_MANIFEST_DIR"));
    let address = server.address();
    let (host, port) = address.rsplit_once(':').expect("a port");
    let spawned = Command::new(interpreter)
        .args([&script, client, host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: the values of {client} need {interpreter}: {error}");
            return false;
        }
    };
    // It reads all of them before it ends, unless the client is missing.
    let _ = child.stdin.take().expect("a pipe").write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(missing) = said.strip_prefix("missing: ") {
        eprintln!("skipped: the values of {client} need it to be installed: {}", missing.trim());
        return false;
    }
    assert_eq!(said.trim(), "done", "{client}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

fn lines(verb: &str, keys: &str, cases: &[Case]) -> String {
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    cases
        .iter()
        .enumerate()
        .map(|(at, case)| format!("{verb} {keys}{at} {} {}\n", case.kind, hex(&case.data)))
        .collect()
}

/// Both ways, and what the client has serialized; `expected` is what a value is read as.
fn assert_shared<R: FromValue + Debug>(
    (interpreter, client): (&str, &str),
    cases: &[Case],
    plain: impl Fn(R) -> Plain<'static>,
    expected: impl Fn(&Case) -> Plain<'static>,
    set: impl Fn(&Client, &str, Plain<'static>) -> Result<(), Error>,
    refusal: &str,
) {
    let server = Memcached::start();
    let ours = Client::new([server.address()]).unwrap();
    if !run(interpreter, client, &server, &lines("set", "theirs", cases)) {
        return;
    }
    for (at, case) in cases.iter().enumerate() {
        let read = ours.get_as::<R>(format!("theirs{at}")).unwrap().unwrap_or_else(|| panic!("{at}: {case:?}"));
        assert_eq!(plain(read), expected(case), "{at}: {case:?}");
    }
    for (at, case) in cases.iter().enumerate() {
        set(&ours, &format!("ours{at}"), case.plain()).unwrap();
    }
    assert!(run(interpreter, client, &server, &lines("get", "ours", cases)));
    assert!(run(interpreter, client, &server, &lines("set", "list", &[Case { kind: "list", data: b"x".to_vec() }])));
    let error = ours.get_as::<R>("list0").unwrap_err().to_string();
    assert!(error.contains(refusal) && error.contains("list0"), "{error}");
    println!("{client}: {} values each way", cases.len());
}

fn set(client: &Client, key: &str, value: impl ToValue) -> Result<(), Error> {
    client.set(key, value, Expiry::Never)
}

const PICKLE: &str = "it is a pickle of Python";

#[test]
fn values_are_shared_with_pymemcache() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    let set = |client: &Client, key: &str, plain| set(client, key, Zlib(PyMemcache(plain)));
    assert_shared(
        ("python3", "pymemcache"),
        &cases,
        |read: PyMemcache<Plain<'static>>| read.0,
        Case::plain,
        set,
        PICKLE,
    );
}

#[test]
fn values_are_shared_with_python_memcached() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    let set = |client: &Client, key: &str, plain| set(client, key, Zlib(PythonMemcached(plain)));
    let plain = |read: PythonMemcached<Plain<'static>>| read.0;
    assert_shared(("python3", "python-memcached"), &cases, plain, Case::plain, set, PICKLE);
}

#[test]
fn values_are_shared_with_pylibmc() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    let expected = |case: &Case| match case.plain() {
        Plain::Bool(truth) => Plain::Int(truth.into()),
        plain => plain,
    };
    let set = |client: &Client, key: &str, plain| set(client, key, Zlib(PyLibmc(plain)));
    assert_shared(("python3", "pylibmc"), &cases, |read: PyLibmc<Plain<'static>>| read.0, expected, set, PICKLE);
}

#[test]
fn values_are_shared_with_dalli() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    // What is `raw` is bytes.
    let expected = |case: &Case| match case.plain() {
        Plain::Bool(truth) => Plain::Bool(truth),
        _ => Plain::Bytes(case.data.clone().into()),
    };
    let set = |client: &Client, key: &str, plain| set(client, key, Dalli(plain));
    let refusal = "it was serialized by Marshal of Ruby";
    assert_shared(("ruby", "dalli"), &cases, |read: Dalli<Plain<'static>>| read.0, expected, set, refusal);
}

#[test]
fn values_are_shared_with_php() {
    let cases = cases(i64::MIN.into()..=i64::MAX.into(), true);
    let expected = |case: &Case| match case.plain() {
        Plain::Text(text) => Plain::Bytes(text.into_owned().into_bytes().into()),
        plain => plain,
    };
    let set = |client: &Client, key: &str, plain| set(client, key, PhpMemcached(plain));
    let refusal = "it was serialized by PHP, which";
    assert_shared(
        ("php", "php-memcached"),
        &cases,
        |read: PhpMemcached<Plain<'static>>| read.0,
        expected,
        set,
        refusal,
    );
}
