//! Items between servers and files: `dump`, `load`, `copy`, `warm`, `watch`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use memcached2_sync::proto::command::meta::{MetaDelete, MetaGet, MetaSet};
use memcached2_sync::{Client, Expiry, Store};
use memcached2_testkit::{EmbeddedServer, Memcached};
use serde_json::Value as Json;

use super::program::{Program, client, servers};

/// Two servers with items, whose clock is years off, and the program that asks them.
fn stored() -> (Vec<EmbeddedServer>, Program) {
    let (servers, program) = servers(2);
    fill(&client(servers.iter().map(EmbeddedServer::address)));
    (servers, program)
}

fn fill(client: &Client) {
    let large = [0, 255, 10].repeat(50_000);
    for number in 0..600_u32 {
        let key = format!("key{number}");
        let store = Store::set(&key, &number).unwrap().flags(number);
        client.run(store.expiry(Duration::from_secs(1000 + u64::from(number)))).unwrap();
    }
    client.set("large", &large, Expiry::Never).unwrap();
    client.run(MetaSet::new("two words", "x").unwrap().expiry(Duration::from_secs(77))).unwrap();
}

/// What `dump --values` says of each item, by key, without the moment at which it was said.
fn items(program: &Program) -> Vec<(String, [Json; 5])> {
    let (out, _) = program.run(&["dump", "--values"], 0);
    let mut items: Vec<_> = out
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .map(|item| {
            let fields = ["value", "value_base64", "size", "flags", "ttl"].map(|name| item[name].clone());
            (item["key"].as_str().unwrap().to_owned(), fields)
        })
        .collect();
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    items
}

fn assert_same(one: &[(String, [Json; 5])], other: &[(String, [Json; 5])]) {
    assert_eq!(one.len(), other.len());
    for ((key, fields), (other_key, others)) in one.iter().zip(other) {
        assert_eq!((key, &fields[..4]), (other_key, &others[..4]));
        // Time passes meanwhile.
        let seconds = |ttl: &Json| ttl.as_i64().unwrap_or(-100);
        assert!((seconds(&fields[4]) - seconds(&others[4])).abs() <= 60, "{key}: {} and {}", fields[4], others[4]);
    }
}

/// Another client has stored it: it has a control character, and is too long to be encoded for a meta command.
#[test]
fn a_key_that_cannot_be_asked_for_fails_alone() {
    let (embedded, program) = servers(1);
    program.run(&["set", "other", "value"], 0);
    let key = format!("\u{1}{}", "k".repeat(200));
    let mut stream = BufReader::new(TcpStream::connect(embedded[0].address()).unwrap());
    stream.get_mut().write_all(format!("set {key} 0 0 1\r\nx\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_line(&mut answer).unwrap();
    assert_eq!(answer, "STORED\r\n");
    let (out, err) = program.run(&["dump", "--values"], 2);
    assert!(out.lines().count() == 1 && out.contains("\"other\""), "{out}");
    assert!(err.contains("\\x01kk"), "{err}");
    let (to, _) = servers(1);
    let copied = program.run(&["copy", "--to", &to[0].address()], 2).0;
    assert_eq!(copied, "1 stored, 0 were there, 0 failed\n");
}

#[test]
fn a_dump_is_loaded_with_its_ttl() {
    let (_from, source) = stored();
    let all = items(&source);
    assert_eq!(all.len(), 602);
    let ttl = |key: &str| all.iter().find(|(known, _)| known == key).unwrap().1[4].clone();
    assert_eq!((ttl("key7"), ttl("large"), ttl("two words")), (1007.into(), Json::Null, 77.into()));
    let (_to, target) = servers(3);
    let dumped = source.feed(&["dump", "--values"], b"", 0).stdout;
    assert_eq!(target.feed_text(&["load"], &dumped, 0).0, "602 stored, 0 were there, 0 failed\n");
    assert_same(&all, &items(&target));
    target.run(&["set", "key7", "newer"], 0);
    target.run(&["delete", "key8"], 0);
    let again = target.feed_text(&["load", "--missing", "--json"], &dumped, 0).0;
    assert_eq!(
        serde_json::from_str::<Json>(&again).unwrap(),
        serde_json::json!({"stored": 1, "present": 601, "failed": 0})
    );
    assert_eq!(target.run(&["get", "key7", "key8"], 0).0, "newer8");
    // By classic commands the dump says how long items stay, by the clock of the server.
    let classic = source.json(&["dump", "--values", "--classic", "--prefix", "key59"], 0);
    let mut ttls: Vec<_> =
        classic.iter().map(|item| (item["key"].as_str().unwrap(), item["ttl"].as_u64().unwrap())).collect();
    ttls.sort_unstable();
    // That of `key59` itself would be empty.
    assert_eq!(ttls.len(), 10);
    assert!((1500..=1590).contains(&ttls[0].1), "{ttls:?}");
}

#[test]
fn items_of_real_servers_are_dumped_and_loaded() {
    if !Memcached::installed() {
        return;
    }
    let [from, to] = [Memcached::start(), Memcached::start()];
    fill(&client([from.address()]));
    let (source, target) = (Program::new(&[from.address()]), Program::new(&[to.address()]));
    let all = items(&source);
    assert_eq!(all.len(), 602);
    target.feed_text(&["load"], &source.feed(&["dump", "--values"], b"", 0).stdout, 0);
    assert_same(&all, &items(&target));
}

#[test]
fn a_dump_lists_items_and_their_keys_go_on_through_a_pipe() {
    let (_servers, program) = stored();
    let (out, _) = program.run(&["dump"], 0);
    let mut lines: Vec<Vec<_>> = out.lines().map(|line| line.split('\t').collect()).collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 602);
    assert!(
        matches!(lines[0][..], ["key0", ttl, _, "-"] if (900..=1000).contains(&ttl.parse().unwrap())),
        "{:?}",
        lines[0]
    );
    assert_eq!(lines[600][..2], ["large", "never"]);
    let listed = program.json(&["dump", "--prefix", "lar"], 0);
    assert_eq!((listed.len(), &listed[0]["key"], &listed[0]["fetched"]), (1, &"ge".into(), &false.into()));
    let keys = program.feed(&["dump", "--keys", "--prefix", "key"], b"", 0).stdout;
    program.feed(&["delete", "-", "--prefix", "key"], &keys, 0);
    assert_eq!(program.run(&["dump", "--keys"], 0).0.lines().count(), 2);
    program.run(&["dump", "--keys", "--json"], 2);
}

#[test]
fn a_key_that_would_be_read_as_others_is_not_among_the_keys_of_a_dump() {
    let (servers, program) = servers(1);
    let client = Client::new([servers[0].address()]).unwrap();
    for key in ["one", "one\ntwo", "one\r", "two", "three words"] {
        client.run(MetaSet::new(key, "x").unwrap()).unwrap();
    }
    let output = program.feed(&["dump", "--keys"], b"", 2);
    let mut keys: Vec<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    keys.sort_unstable();
    assert_eq!(keys, [&b""[..], b"one", b"three words", b"two"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(r"one\ntwo") && said.contains(r"one\r") && said.lines().count() == 2, "{said}");
    assert_eq!(program.run(&["dump"], 0).0.lines().count(), 5);
}

#[test]
fn items_are_copied_to_other_servers_with_their_ttl() {
    let (_from, source) = stored();
    let (to, target) = servers(3);
    let list = to.iter().map(EmbeddedServer::address).collect::<Vec<_>>().join(",");
    target.run(&["set", "key1", "newer"], 0);
    assert_eq!(source.run(&["warm", "--to", &list], 0).0, "601 stored, 1 were there, 0 failed\n");
    assert_eq!(target.run(&["get", "key1", "key2"], 0).0, "newer2");
    assert_eq!(source.run(&["warm", "--to", &list], 0).0, "0 stored, 602 were there, 0 failed\n");
    let classic = ["warm", "--classic", "--prefix", "key", "--to", &list];
    assert_eq!(source.run(&classic, 0).0, "0 stored, 600 were there, 0 failed\n");
    assert_eq!(source.run(&["copy", "--to", &list], 0).0, "602 stored, 0 were there, 0 failed\n");
    assert_same(&items(&source), &items(&target));
    // By another rule, and under other names.
    let arguments = ["copy", "--prefix", "key", "--to", &list, "--to-selection", "rendezvous", "--to-prefix", "k:"];
    source.run(&arguments, 0);
    let by_rule = target.json(&["get", "k:1", "k:2", "--selection", "rendezvous"], 0);
    assert_eq!((&by_rule[0]["value"], &by_rule[1]["flags"]), (&"1".into(), &2.into()));
    target.run(&["get", "k:1", "k:2", "k:3", "k:4", "k:5", "k:6", "k:7", "k:8"], 1);
}

#[test]
fn a_target_that_is_down_is_named_once_with_how_many_items_it_does_not_have() {
    let (_from, source) = stored();
    let (_to, target) = servers(1);
    let dumped = source.feed(&["dump", "--values"], b"", 0).stdout;
    // A port that nobody listens on.
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let to = ["copy", "warm"].map(|command| source.run(&[command, "--to", &down], 2));
    for (out, err) in to.into_iter().chain([Program::new(&[&down]).feed_text(&["load"], &dumped, 2)]) {
        assert_eq!(out, "0 stored, 0 were there, 602 failed\n");
        assert_eq!(err.matches("cannot connect").count(), 1, "{err}");
        // A server that has failed so often is down to the client.
        let more: u32 = err
            .lines()
            .filter_map(|line| line.strip_prefix("memcached2: ")?.split(' ').next()?.parse::<u32>().ok())
            .sum();
        let named = err.lines().filter(|line| line.contains(" \"")).count();
        assert!(named <= 3 && more as usize + named == 602 && err.contains(&down), "{err}");
    }
    // Each item that is refused for itself is named.
    let items = ["a", "b"].map(|key| serde_json::json!({"key": key, "value": "x", "flags": 1_u64 << 32}).to_string());
    let (_, err) = target.feed_text(&["load"], items.join("\n").as_bytes(), 2);
    assert_eq!(err.lines().count(), 2, "{err}");
}

#[test]
fn a_dump_does_not_count_as_a_use_of_the_items() {
    let (_servers, program) = stored();
    program.run(&["dump", "--values"], 0);
    assert!(program.json(&["dump"], 0).iter().all(|item| item["fetched"] == false));
}

/// Elsewhere it would be as good as new; and here somebody is to store it again.
#[test]
fn what_is_marked_as_stale_or_being_computed_is_not_copied_and_is_still_to_be_won() {
    let (from, source) = servers(1);
    let (to, target) = servers(1);
    let [here, there] = [&from, &to].map(|servers| client([servers[0].address()]));
    let stale = |client: &Client, key: &str| {
        client.set(key, "old", Duration::from_secs(50)).unwrap();
        assert!(client.run(MetaDelete::new(key).unwrap().invalidate()).unwrap().is_done());
    };
    let fetched = |client: &Client, get: MetaGet<'_>| client.run(get.value().ttl()).unwrap().unwrap();
    stale(&here, "stale");
    stale(&here, "won");
    assert!(fetched(&here, MetaGet::new("won").unwrap()).win);
    assert!(fetched(&here, MetaGet::new("lease").unwrap().vivify(Duration::from_secs(50))).win);
    // It is computed before it expires, and good until then.
    here.set("good", "x", Duration::from_secs(50)).unwrap();
    assert!(fetched(&here, MetaGet::new("good").unwrap().recache(Duration::from_secs(60))).win);
    stale(&there, "good");
    assert_eq!(source.run(&["dump", "--values"], 0).0.lines().count(), 1);
    assert_eq!(source.run(&["warm", "--to", &to[0].address()], 0).0, "0 stored, 1 were there, 0 failed\n");
    assert!(fetched(&there, MetaGet::new("good").unwrap()).win);
    assert_eq!(source.run(&["copy", "--to", &to[0].address()], 0).0, "1 stored, 0 were there, 0 failed\n");
    assert_eq!(target.run(&["dump", "--keys"], 0).0, "good\n");
    let item = fetched(&here, MetaGet::new("stale").unwrap());
    assert!(item.win && item.stale && item.value.is_some_and(|value| value == "old"));
    assert_eq!(item.ttl.and_then(|ttl| ttl.remaining()), Some(Duration::from_secs(50)));
}

#[test]
fn what_cannot_be_dumped_or_stored_is_reported() {
    let (mut from, source) = stored();
    let (mut to, target) = servers(2);
    let dumped = source.feed(&["dump", "--values"], b"", 0).stdout;
    to[0].stop();
    let (out, err) = target.feed_text(&["load"], &dumped, 2);
    let failed: usize = out.trim_end().rsplit(", ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((1..602).contains(&failed), "{out}");
    let more = format!("\nmemcached2: {} more items failed like that on {}\n", failed - 1, to[0].address());
    assert!(err.lines().count() == 2 && err.ends_with(&more), "{err}");
    from[0].stop();
    let (out, err) = source.run(&["dump", "--keys"], 1);
    assert!((1..602).contains(&out.lines().count()), "{out}");
    assert!(err.contains(&from[0].address()) && err.contains("not all items"), "{err}");
    let (_, err) = target.feed_text(&["load"], b"\n{\"key\": \"a\"}\n", 2);
    assert!(err.contains("the standard input, line 2: it has neither `value`"), "{err}");
    // What was read before is stored.
    let (_alone, other) = servers(1);
    let (out, err) = other.feed_text(&["load"], b"{\"key\": \"a\", \"value\": \"x\"}\n{\"key\": \"b\", \"val", 2);
    assert!(out == "1 stored, 0 were there, 0 failed\n" && err.contains("line 2: EOF"), "{out}{err}");
    let (_, err) = target.run(&["load", "/"], 2);
    assert!(err.contains("cannot read /: "), "{err}");
    let (_, err) = target.run(&["load", "/no/such/file"], 2);
    assert!(err.contains("cannot read /no/such/file"), "{err}");
}

#[test]
fn events_are_watched_until_enough_have_come() {
    let embedded = [EmbeddedServer::with().version("1.6.45").start()];
    let program = Program::new(&[embedded[0].address()]);
    for is_json in [false, true] {
        let mut command = program.command(&["watch", "mutations", "deletions", "--count", "2"]);
        let mut child = command.args(is_json.then_some("--json")).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, format!("memcached2: watching {}\n", embedded[0].address()));
        program.run(&["set", "a", "1", "--ttl", "90"], 0);
        program.run(&["delete", "a"], 0);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        if is_json {
            let events: Vec<Json> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(
                (&events[0]["event"], &events[0]["key"], &events[0]["ttl"]),
                (&"stored".into(), &"a".into(), &90.into())
            );
            assert!(events[0]["time"].as_f64().unwrap() > 1e9);
            assert_eq!((&events[1]["event"], &events[1]["server"]), (&"deleted".into(), &embedded[0].address().into()));
        } else {
            let fields: Vec<_> = lines[0].split('\t').collect();
            assert_eq!(fields[1..4], [&*embedded[0].address(), "stored", "a"]);
            assert!(fields.contains(&"status=stored") && fields.contains(&"ttl=90"), "{text}");
        }
    }
    let (_, err) = Program::new(&["127.0.0.1:1"]).run(&["watch"], 1);
    assert!(err.contains("cannot connect"), "{err}");
}
