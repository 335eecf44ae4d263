//! Values of other clients: what the clients themselves store and read, where they are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use memcached2_proto::Expiry;
use memcached2_proto::values::{Codec, Plain};
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
            "int" | "date" => Plain::Int(text().parse().unwrap()),
            "int32" | "byte8" => Plain::Int32(text().parse().unwrap()),
            "float32" => Plain::Float32(text().parse().unwrap()),
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

/// What Java has besides: integers and floats of other lengths, and dates.
fn java_cases() -> Vec<Case> {
    let numbers: [(_, &[&str]); 4] = [
        ("int32", &["0", "1", "-1", "255", "256", "-2147483648", "2147483647"]),
        ("byte8", &["0", "1", "-1", "127", "-128"]),
        ("float32", &["0", "-0.1", "3.4028235e38", "1e-45"]),
        ("date", &["0", "1700000000000", "-1"]),
    ];
    let numbers = numbers.iter().flat_map(|(kind, texts)| texts.iter().map(move |text| (*kind, *text)));
    let numbers = numbers.map(|(kind, text)| Case { kind, data: text.into() });
    // One byte more than what is not compressed, and no more than that.
    let texts = [16_384, 16_385].map(|length| Case { kind: "text", data: vec![b'x'; length] });
    cases(i64::MIN.into()..=i64::MAX.into(), true).into_iter().chain(numbers).chain(texts).collect()
}

/// The version of spymemcached that is tested with.
const SPYMEMCACHED: &str = "2.12.3";

/// Where Maven and Debian put spymemcached.
fn spymemcached() -> Option<PathBuf> {
    let maven = format!(".m2/repository/net/spy/spymemcached/{SPYMEMCACHED}/spymemcached-{SPYMEMCACHED}.jar");
    let of_the_user = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(maven));
    let jars = of_the_user.into_iter().chain([PathBuf::from("/usr/share/java/spymemcached.jar")]);
    jars.into_iter().find(|jar| jar.is_file())
}

/// The command that runs a script, or why there is none.
fn script(interpreter: &str) -> Result<Command, String> {
    let (extension, mut command) = match interpreter {
        "python3" => ("py", Command::new(interpreter)),
        "ruby" => ("rb", Command::new(interpreter)),
        "php" => ("php", Command::new(interpreter)),
        _ => {
            let jar = spymemcached();
            let jar = jar.ok_or_else(|| {
                format!("`mvn dependency:get -Dartifact=net.spy:spymemcached:{SPYMEMCACHED}`, or libspymemcached-java of Debian")
            })?;
            let mut command = Command::new(interpreter);
            // It starts faster so.
            command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "--class-path"]).arg(jar);
            ("java", command)
        }
    };
    command.arg(format!("{}/tests/other_clients/values.{extension}", env!("CARGO_MANIFEST_DIR")));
    Ok(command)
}

/// Runs a script; false, with a word, if its interpreter or the client is not installed.
fn run(interpreter: &str, client: &str, server: &Memcached, lines: &str) -> bool {
    let address = server.address();
    let (host, port) = address.rsplit_once(':').expect("a port");
    let mut command = match script(interpreter) {
        Ok(command) => command,
        Err(missing) => {
            eprintln!("skipped: the values of {client} need it to be installed: {missing}");
            return false;
        }
    };
    let spawned =
        command.args([client, host, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
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
fn assert_shared(
    (interpreter, client): (&str, &str),
    codec: Codec,
    cases: &[Case],
    expected: impl Fn(&Case) -> Plain<'static>,
    refusal: &str,
) {
    let server = Memcached::start();
    let mut ours = Client::new([server.address()]).unwrap().values(codec);
    if interpreter == "python3" {
        // As the script does.
        ours = ours.compress_from(400);
    }
    let list = lines("set", "list", &[Case { kind: "list", data: b"x".to_vec() }]);
    if !run(interpreter, client, &server, &(lines("set", "theirs", cases) + &list)) {
        return;
    }
    for (at, case) in cases.iter().enumerate() {
        let read = ours.get_as::<Plain<'static>>(format!("theirs{at}")).unwrap();
        assert_eq!(read, Some(expected(case)), "{at}: {case:?}");
    }
    for (at, case) in cases.iter().enumerate() {
        ours.set(format!("ours{at}"), case.plain(), Expiry::Never).unwrap();
    }
    assert!(run(interpreter, client, &server, &lines("get", "ours", cases)));
    let error = ours.get_as::<Plain<'static>>("list0").unwrap_err().to_string();
    assert!(error.contains(refusal) && error.contains("list0"), "{error}");
    println!("{client}: {} values each way", cases.len());
}

const PICKLE: &str = "it is a pickle of Python";

#[test]
fn values_are_shared_with_pymemcache() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    assert_shared(("python3", "pymemcache"), Codec::PyMemcache, &cases, Case::plain, PICKLE);
}

#[test]
fn values_are_shared_with_python_memcached() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    assert_shared(("python3", "python-memcached"), Codec::PythonMemcached, &cases, Case::plain, PICKLE);
}

#[test]
fn values_are_shared_with_pylibmc() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    let expected = |case: &Case| match case.plain() {
        Plain::Bool(truth) => Plain::Int(truth.into()),
        plain => plain,
    };
    assert_shared(("python3", "pylibmc"), Codec::PyLibmc, &cases, expected, PICKLE);
}

#[test]
fn values_are_shared_with_dalli() {
    let cases = cases(i128::MIN..=i128::MAX, false);
    // What is `raw` is bytes.
    let expected = |case: &Case| match case.plain() {
        Plain::Bool(truth) => Plain::Bool(truth),
        _ => Plain::Bytes(case.data.clone().into()),
    };
    let refusal = "it was serialized by Marshal of Ruby";
    assert_shared(("ruby", "dalli"), Codec::Dalli, &cases, expected, refusal);
}

#[test]
fn values_are_shared_with_php() {
    let cases = cases(i64::MIN.into()..=i64::MAX.into(), true);
    let expected = |case: &Case| match case.plain() {
        Plain::Text(text) => Plain::Bytes(text.into_owned().into_bytes().into()),
        plain => plain,
    };
    let refusal = "it was serialized by PHP, which";
    assert_shared(("php", "php-memcached"), Codec::PhpMemcached, &cases, expected, refusal);
}

#[test]
fn values_are_shared_with_spymemcached() {
    let refusal = "it was serialized by Java, which";
    assert_shared(("java", "spymemcached"), Codec::SpyMemcached, &java_cases(), Case::plain, refusal);
}
