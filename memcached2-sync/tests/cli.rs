//! The program `memcached2`, run as operators run it: exit codes, text, JSON, pipes.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

#[path = "cli/program.rs"]
mod program;
#[path = "cli/stats.rs"]
mod stats;
#[path = "cli/transfer.rs"]
mod transfer;

use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session};

use self::program::{Program, servers};

#[test]
fn ping_says_version_and_protocol_and_fails_if_a_server_is_down() {
    let (mut embedded, program) = servers(2);
    let up = program.json(&["ping"], 0);
    assert_eq!(up.len(), 2);
    for (server, line) in embedded.iter().zip(&up) {
        assert_eq!(line["server"], server.address());
        assert_eq!((line["up"].as_bool(), line["protocol"].as_str()), (Some(true), Some("meta")));
        assert!(line["version"].as_str().unwrap().starts_with("1."), "{line}");
        assert!(line["answer_ms"].is_f64() && line["connect_ms"].is_f64(), "{line}");
    }
    assert_eq!(program.json(&["ping", "--classic"], 0)[0]["protocol"], "classic");
    embedded[1].stop();
    let (out, err) = program.run(&["ping"], 1);
    assert!(out.lines().any(|line| line.starts_with(&embedded[0].address()) && line.contains("  up  ")), "{out}");
    assert!(out.lines().any(|line| line.starts_with(&embedded[1].address()) && line.ends_with("down")), "{out}");
    assert!(err.contains("is memcached running there?"), "{err}");
    assert_eq!(program.json(&["ping"], 1)[1]["up"], false);
}

#[test]
fn ping_does_not_take_a_server_for_down_that_refuses_the_password() {
    let server = EmbeddedServer::with().credentials("web", "s3cret").start();
    let wrong = format!("memcached://web:wrong@{}", server.address());
    for (servers, said) in [(&*wrong, "CLIENT_ERROR authentication failure"), (&*server.address(), "unauthenticated")] {
        let program = Program::new(&[servers]);
        let (out, err) = program.run(&["ping"], 1);
        assert!(out.lines().any(|line| line.contains(&server.address()) && line.ends_with("refused")), "{out}");
        assert!(err.contains(said), "{err}");
        let line = &program.json(&["ping"], 1)[0];
        assert_eq!((line["up"].as_bool(), line["state"].as_str()), (Some(false), Some("refused")), "{line}");
        assert!(line["error"].as_str().unwrap().contains(said), "{line}");
    }
    // It needs none, and would store it as a value.
    let server = EmbeddedServer::start();
    let program = Program::new(&[format!("memcached://web:wrong@{}", server.address())]);
    assert!(program.run(&["ping"], 1).0.contains("refused"));
    assert_eq!(Program::new(&[server.address()]).json(&["ping"], 0)[0]["state"], "up");
}

#[test]
fn values_are_written_as_they_are() {
    let (_embedded, program) = servers(3);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    program.feed(&["set", "binary", "--flags", "7", "--ttl", "1h"], &bytes, 0);
    program.run(&["set", "text", "hello"], 0);
    assert_eq!(program.feed(&["get", "binary"], b"", 0).stdout, bytes);
    assert_eq!(program.feed(&["get", "text", "binary"], b"", 0).stdout, [b"hello", &bytes[..]].concat());
    let lines = program.json(&["get", "text", "binary", "missing"], 1);
    assert_eq!((&lines[0]["value"], &lines[0]["ttl"], &lines[0]["flags"]), (&"hello".into(), &().into(), &0.into()));
    assert_eq!((&lines[1]["ttl"], &lines[1]["flags"], &lines[1]["size"]), (&3600.into(), &7.into(), &100_000.into()));
    assert!(lines[1]["value_base64"].is_string() && lines[1].get("value").is_none());
    assert_eq!((&lines[2]["key"], &lines[2]["found"]), (&"missing".into(), &false.into()));
    let (out, err) = program.run(&["get", "missing", "text"], 1);
    assert_eq!((&*out, &*err), ("hello", "memcached2: not found: missing\n"));
    // Without meta nothing says how long it stays.
    let classic = &program.json(&["get", "binary", "--classic"], 0)[0];
    assert_eq!((&classic["size"], &classic["ttl"]), (&100_000.into(), &().into()));
}

#[test]
fn items_are_stored_touched_counted_and_deleted() {
    let (embedded, program) = servers(2);
    program.run(&["set", "a", "1", "--mode", "add"], 0);
    let (_, err) = program.run(&["set", "a", "2", "--mode", "add"], 1);
    assert!(err.contains("not stored"), "{err}");
    program.run(&["set", "a", "0", "--mode", "append"], 0);
    assert_eq!(program.run(&["incr", "a"], 0).0, "11\n");
    assert_eq!(program.run(&["decr", "a", "--by", "12"], 0).0, "0\n");
    program.run(&["incr", "n"], 1);
    assert_eq!(program.json(&["incr", "n", "--initial", "5", "--ttl", "90s"], 0)[0]["value"], 5);
    assert_eq!(program.json(&["get", "n"], 0)[0]["ttl"], 90);
    program.run(&["touch", "n", "--ttl", "2m"], 0);
    assert_eq!(program.json(&["get", "n"], 0)[0]["ttl"], 120);
    program.run(&["touch", "n", "missing", "--ttl", "never"], 1);
    assert_eq!(program.json(&["get", "n"], 0)[0]["ttl"], serde_json::Value::Null);
    program.run(&["exists", "a", "n"], 0);
    assert_eq!(program.run(&["exists", "a", "missing"], 1).1, "memcached2: not found: missing\n");
    let found = program.json(&["exists", "a", "missing"], 1);
    assert_eq!((&found[0]["found"], &found[1]["found"]), (&true.into(), &false.into()));
    // Keys of the standard input, more than are sent at once.
    let keys: Vec<_> = (0..1200).map(|number| format!("key{number}")).collect();
    for key in &keys[1190..] {
        program.run(&["set", key, "x"], 0);
    }
    assert_eq!(
        program.feed(&["delete", "-"], keys.join("\n").as_bytes(), 1).stderr.split(|b| *b == b'\n').count(),
        1191
    );
    // A key that no server accepts stops no other one.
    let (_, err) = program.feed_text(&["delete", "-"], b"two words\na\nn\n", 2);
    assert!(err.contains("two words") && err.lines().count() == 1, "{err}");
    for server in &embedded {
        assert_eq!(program.json(&["stats", "--on", &server.address()], 0)[0]["stats"]["curr_items"], 0);
    }
}

#[test]
fn the_exit_code_tells_a_miss_from_an_error() {
    let (mut embedded, program) = servers(2);
    program.run(&["get"], 2);
    program.run(&["set", "a", "1", "--ttl", "soon"], 2);
    program.run(&["get", "two words"], 2);
    program.run(&["--servers", "http://cache1", "get", "a"], 2);
    program.run(&["get", "a", "--on", "cache9"], 2);
    let (_, err) = program.run(&["ring", "a", "--selection", "ketema"], 2);
    assert!(err.contains("unknown selector"), "{err}");
    let (_, err) = Program::new::<&str>(&[]).run(&["get", "a"], 2);
    assert!(err.contains("--servers") && err.contains("MEMCACHED_SERVERS"), "{err}");
    // One server of two is down: its keys are errors, the others are found.
    let keys: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let arguments: Vec<_> = ["get"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    for key in &keys {
        program.run(&["set", key, "x"], 0);
    }
    embedded[0].stop();
    let (out, err) = program.run(&arguments, 2);
    assert!((1..20).contains(&out.len()) && out.len() + err.lines().count() == 20, "{out} {err}");
    assert_eq!(program.run(&["stats", "--json"], 1).0.lines().count(), 1);
}

#[test]
fn a_prefix_and_one_server_are_asked_for() {
    let (embedded, program) = servers(2);
    program.run(&["set", "a", "1", "--prefix", "shop:"], 0);
    assert_eq!(program.run(&["get", "shop:a"], 0).0, "1");
    let server = program.run(&["ring", "shop:a"], 0).0;
    let server = server.trim_end().rsplit('\t').next().unwrap();
    let other = embedded.iter().map(EmbeddedServer::address).find(|address| address != server).unwrap();
    program.run(&["get", "shop:a", "--on", server], 0);
    program.run(&["get", "shop:a", "--on", &other], 1);
}

#[test]
fn no_password_is_shown() {
    let server = EmbeddedServer::with().credentials("web", "s3cret").start();
    let with_password = format!("memcached://web:s3cret@{}", server.address());
    Program::new(&[&with_password]).run(&["set", "a", "1"], 0);
    let by_environment =
        Program::new(&[server.address()]).env("MEMCACHED_USER", "web").env("MEMCACHED_PASSWORD", "s3cret");
    assert_eq!(by_environment.run(&["get", "a"], 0).0, "1");
    let wrong = format!("memcached://web:s3cret2@{}", server.address());
    for servers in [&wrong, "http://web:s3cret@cache1", "memcached://web:s3cret@cache1:0"] {
        let program = Program::new(&[servers]).env("MEMCACHED_USER", "web").env("MEMCACHED_PASSWORD", "s3cret");
        for arguments in
            [&["ping"][..], &["get", "a"], &["stats"], &["--help"], &["get", "--help"], &["get"], &["ring", "a"]]
        {
            let output = program.start(arguments, b"");
            let shown = [output.stdout, output.stderr].concat();
            assert!(!String::from_utf8_lossy(&shown).contains("s3cret"), "{}", String::from_utf8_lossy(&shown));
        }
    }
    let (_, err) = Program::new(&[server.address()]).env("MEMCACHED_PASSWORD", "s3cret").run(&["get", "a"], 2);
    assert!(err.contains("MEMCACHED_USER"), "{err}");
    let (_, err) = Program::new(&["cache1"]).run(&["ring", "a", "--down", &wrong], 2);
    assert!(err.contains("***") && !err.contains("s3cret"), "{err}");
    let (_, err) = Program::new(&[wrong]).run(&["get", "a"], 2);
    assert!(err.contains("refused the user and password"), "{err}");
}

#[cfg(feature = "tls")]
#[test]
fn servers_are_asked_by_tls() {
    use memcached2_testkit::Memcached;
    if Memcached::has_no_tls_for("servers_are_asked_by_tls") {
        return;
    }
    let directory = std::env::temp_dir().join(format!("memcached2-cli-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let made = rcgen::generate_simple_self_signed(["cache.example".to_owned()]).unwrap();
    let (chain, key) = (file("chain.pem", &made.cert.pem()), file("key.pem", &made.signing_key.serialize_pem()));
    let server = Memcached::with().tls(&chain, &key).start();
    let program = Program::new(&[server.address()]);
    program.run(&["set", "a", "1", "--tls-ca", &chain, "--tls-name", "cache.example"], 0);
    assert_eq!(program.run(&["get", "a", "--tls-ca", &chain, "--tls-name", "cache.example"], 0).0, "1");
    for wrong in [
        &["--tls-ca", &*chain][..],
        &["--tls-name", "cache.example"],
        &["--tls-ca", "/no/such/file"],
        &["--tls-ca", &*key],
    ] {
        let (_, err) = program.run(&[&["get", "a"], wrong].concat(), 2);
        assert!(err.contains("TLS") || err.contains("cannot read /no/such/file"), "{err}");
    }
    drop(server);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_ring_shows_where_keys_are_and_how_many_move() {
    let program = Program::new(&["cache1", "cache2", "cache3"]);
    let (out, _) = program.feed_text(&["ring", "--selection", "ketama"], b"a\r\n\nb\n", 0);
    let lines: Vec<_> = out.lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), ["a", "b"]);
    assert!(lines.iter().all(|line| line[1].starts_with("cache") && line[1].ends_with(":11211")), "{out}");
    let moved = |arguments: &[&str]| {
        let arguments = [&["ring", "--sample", "2000"], arguments].concat();
        let summary = program.json(&arguments, 0).pop().unwrap();
        assert_eq!(summary["keys"], 2000);
        summary["moved"].as_u64().unwrap()
    };
    assert_eq!(moved(&["--to", "cache1,cache2,cache3"]), 0);
    let fourth = "cache1,cache2,cache3,cache4";
    let (by_ring, by_rest) = (moved(&["--selection", "ketama", "--to", fourth]), moved(&["--to", fourth]));
    // A fourth of the keys by a ring, three fourths by the rest of a division.
    assert!((300..700).contains(&by_ring) && by_rest > 1300, "{by_ring} {by_rest}");
    assert!(moved(&["--to-selection", "jump"]) > 1000);
    let down =
        program.json(&["ring", "--sample", "100", "--selection", "ketama", "--down", "cache2"], 0).pop().unwrap();
    assert_eq!(down["servers"][1], serde_json::json!({"server": "cache2:11211", "keys": 0}));
    program.run(&["ring", "a", "--down", "cache9"], 2);
    // A key that meta commands send in base64 has the server of its bytes.
    let router = memcached2_sync::Router::parse(["cache1", "cache2", "cache3"]).unwrap();
    let key = memcached2_sync::proto::command::RoutingKey::new("two words").unwrap();
    let server = router.server(router.route(key).unwrap()).unwrap().name();
    assert_eq!(program.json(&["ring", "two words"], 0)[0]["server"], *server);
    program.run(&["ring", &"x y".repeat(100)], 1);
    let (out, _) = program.run(&["ring", "a", "b", "--to", "cache1"], 0);
    assert!(out.lines().last().unwrap().contains("of 2 keys move"), "{out}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let program = Program::new(&["cache1"]);
    let keys: Vec<_> = (0..200_000).map(|number| format!("{number}\n")).collect();
    let (first, status, err) = program.first_line(&["ring"], keys.concat().into_bytes());
    assert_eq!((&*first, status, &*err), ("0\tcache1:11211\n", Some(0), ""));
}

/// A script that reads nothing of it, or no more than it needs, still asks for the exit code.
#[test]
fn a_closed_pipe_hides_no_failure() {
    let (_embedded, program) = servers(1);
    program.run(&["set", "a", "x"], 0);
    assert_eq!(program.unread(&["get", "-"], b"a\n"), (Some(0), String::new()));
    let missing = "memcached2: not found: missing\n".to_owned();
    assert_eq!(program.unread(&["get", "-"], b"a\nmissing\n"), (Some(1), missing));
    let too_wide = br#"{"key": "b", "value": "", "flags": 4294967296}"#;
    let (code, err) = program.unread(&["load"], too_wide);
    assert!(code == Some(2) && err.contains("need more than 32 bits"), "{code:?}: {err}");
    // What ends it, too.
    let broken = "\"value\": \"x\"}\n{";
    let (code, err) = program.unread(&["load"], broken.as_bytes());
    assert!(code == Some(2) && err.contains("line 1"), "{code:?}: {err}");
}

/// A terminal would obey them: clear the screen, or set its title.
#[test]
fn control_characters_that_a_server_sends_are_escaped() {
    const SENT: &str = "1.6\u{1b}[2J\u{9b}2J\u{7}\r\u{7f}";
    let clean = |session: Session, arguments: &[&str], code: i32| {
        let server = ScriptedServer::start([session]);
        let (out, err) = Program::new(&[server.address()]).run(arguments, code);
        let text = out + &err;
        assert!(text.contains("\\x1b[2J") || text.contains("\\u{1b}[2J"), "{text:?}");
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n')), "{text:?}");
    };
    let stats = Session::new().expect("stats\r\n").send(format!("STAT version {SENT}\r\nSTAT a{SENT} 1\r\nEND\r\n"));
    clean(stats, &["stats", "--classic"], 0);
    let refused = Session::new().expect("stats\r\n").send(format!("SERVER_ERROR {SENT}\r\n"));
    clean(refused, &["stats", "--classic"], 1);
    let version = Session::new().expect("version\r\n").send(format!("VERSION {SENT}\r\n"));
    clean(version, &["ping", "--classic"], 0);
    let event = format!(
        "ts=1.5 gid=1 type={SENT} key=a status={SENT} {SENT}=1\nts=1.6 gid=2 type=item_get key=a status={SENT}\n"
    );
    let watched = Session::new().expect("watch evictions fetchers mutations\r\n").send(format!("OK\r\n{event}"));
    clean(watched, &["watch", "--count", "2", "--classic"], 0);
}

/// What reads the JSON gets them back.
#[test]
fn control_characters_are_escaped_in_json() {
    let value: String = (0..=0x100).filter_map(char::from_u32).collect();
    let (_embedded, program) = servers(1);
    program.feed(&["set", "key\u{9b}2J"], value.as_bytes(), 0);
    let (out, _) = program.run(&["get", "key\u{9b}2J", "--json"], 0);
    assert!(!out.trim_end().contains(char::is_control), "{out:?}");
    let read: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&read["key"], &read["value"]), (&"key\u{9b}2J".into(), &value.into()));
}
