//! What servers say of themselves, and which keys are fetched most: `stats`, `top`, `hot`.

use std::sync::atomic::{AtomicBool, Ordering};

use memcached2_sync::Expiry;
use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session};

use super::program::{Program, client, servers};

#[test]
fn statistics_come_as_a_table_and_as_typed_json() {
    let (embedded, program) = servers(2);
    program.run(&["set", "a", "1"], 0);
    let (out, _) = program.run(&["stats"], 0);
    let header: Vec<_> = out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["name", &embedded[0].address(), &embedded[1].address()]);
    assert!(out.lines().any(|line| line.starts_with("curr_items ")), "{out}");
    let lines = program.json(&["stats"], 0);
    assert_eq!(lines.iter().map(|line| line["stats"]["curr_items"].as_u64().unwrap()).sum::<u64>(), 1);
    assert!(lines[0]["stats"]["rusage_user"].is_f64() && lines[0]["stats"]["version"].is_string());
    for kind in ["settings", "items", "slabs"] {
        let lines = program.json(&["stats", kind], 0);
        assert!(lines.iter().any(|line| !line["stats"].as_object().unwrap().is_empty()), "{kind}: {lines:?}");
    }
    // What watches counts, too.
    let rates = program.json(&["stats", "--watch", "10ms", "--count", "2"], 0);
    assert_eq!(rates.len(), 4);
    for line in rates {
        let rates = line["per_second"].as_object().unwrap();
        assert!(rates["bytes_written"].as_f64().unwrap() > 0.0, "{line}");
        assert!(
            ["curr_items", "pid", "uptime", "time", "bytes"].iter().all(|gauge| !rates.contains_key(*gauge)),
            "{line}"
        );
    }
    let classes = program.json(&["top", "--count", "2", "--interval", "10ms"], 0);
    assert_eq!(classes.len(), 2, "{classes:?}");
    assert_eq!((&classes[0]["items"], &classes[0]["sets_per_s"]), (&1.into(), &().into()));
    assert_eq!(classes[1]["sets_per_s"], 0.0);
    let (out, _) = program.run(&["top"], 0);
    assert!(out.contains("class  chunk") && out.contains(": 1 items"), "{out}");
}

#[test]
fn the_hottest_keys_are_those_that_are_fetched_most() {
    let (servers, program) = servers(2);
    let addresses: Vec<_> = servers.iter().map(EmbeddedServer::address).collect();
    let ended = AtomicBool::new(false);
    let client = client(addresses.clone());
    // Before they are watched: a store looks for the old item, which counts as a fetch.
    client.set("hot", "x", Expiry::Never).unwrap();
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The servers are watched after a while.
            while !ended.load(Ordering::Relaxed) {
                for key in ["hot", "hot", "hot", "two", "two", "one"] {
                    client.get(key).unwrap();
                }
                std::thread::yield_now();
            }
        });
        let lines = program.json(&["hot", "--for", "1s", "--count", "2"], 0);
        ended.store(true, Ordering::Relaxed);
        lines
    });
    let keys: Vec<_> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["hot", "two"]);
    let number = |line: usize, name: &str| lines[line][name].as_u64().unwrap();
    assert!(number(0, "fetches") > number(1, "fetches") && number(1, "fetches") > 0, "{lines:?}");
    assert_eq!((number(0, "hits"), number(1, "hits")), (number(0, "fetches"), 0));
    assert!(addresses.iter().any(|address| lines[0]["server"] == *address.as_str()), "{lines:?}");
    let (out, _) = program.run(&["hot", "--for", "1ms"], 0);
    assert!(out.contains("fetches of"), "{out}");
}

#[test]
fn numbers_that_no_server_can_mean_overflow_nothing() {
    let stats =
        |number: u64| format!("STAT get_hits {number}\r\nSTAT get_misses {number}\r\nSTAT time {number}\r\nEND\r\n");
    let watched = Session::new().expect("stats\r\n").send(stats(0)).expect("stats\r\n").send(stats(u64::MAX));
    let servers = [(); 2].map(|()| ScriptedServer::start([watched.clone()]));
    let addresses = servers.each_ref().map(ScriptedServer::address);
    let (out, _) = Program::new(&addresses).run(&["stats", "--watch", "1ms", "--count", "1", "--classic"], 0);
    assert!(out.contains(&format!("found: {} of {} keys", u64::MAX, u64::MAX)), "{out}");
    servers.into_iter().for_each(ScriptedServer::finish);
}

#[test]
fn what_a_server_has_counted_while_it_was_not_asked_is_no_growth() {
    let stats = |hits: u64, misses: u64| format!("STAT get_hits {hits}\r\nSTAT get_misses {misses}\r\nEND\r\n");
    let asked = |first: String, second: String| {
        ScriptedServer::start([Session::new().expect("stats\r\n").send(first).expect("stats\r\n").send(second)])
    };
    let refused = "SERVER_ERROR busy\r\n".to_owned();
    // One answers both times, one the second time, one the first time, and one was restarted.
    let servers = [
        asked(stats(100, 0), stats(110, 30)),
        asked(refused.clone(), stats(5000, 5000)),
        asked(stats(7000, 7000), refused),
        asked(stats(9000, 9000), stats(1, 1)),
    ];
    let addresses = servers.each_ref().map(ScriptedServer::address);
    let (out, _) = Program::new(&addresses).run(&["stats", "--watch", "1ms", "--count", "1", "--classic"], 1);
    assert!(out.starts_with("found: 10 of 40 keys, 25.0 %\n"), "{out}");
    servers.into_iter().for_each(ScriptedServer::finish);
}
