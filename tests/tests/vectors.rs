//! Keys go to the servers that other clients choose (`tests/vectors`): through the library, and through the `ring` example.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

use std::path::Path;

use memcached2_proto::{Key, Options, Router, Selection};

#[path = "../../memcached2-proto/examples/ring.rs"]
#[allow(dead_code, reason = "the tool is run without its command line")]
mod ring;

const WEIGHTS: [u32; 8] = [600, 300, 200, 350, 1000, 800, 950, 100];
const DALLI_WEIGHTS: [u32; 8] = [6, 3, 2, 3, 10, 8, 9, 1];

/// Each file, the rule that made it, and the weights of the servers.
const FILES: [(&str, &str, [u32; 8]); 13] = [
    ("dalli-equal", "dalli", [1; 8]),
    ("dalli-weighted", "dalli", DALLI_WEIGHTS),
    ("gomemcache-crc32-modulo", "gomemcache", [1; 8]),
    ("libmemcached-consistent-md5", "libmemcached-consistent-md5", [1; 8]),
    ("libmemcached-consistent-oneatatime", "libmemcached-consistent", [1; 8]),
    ("libmemcached-ketama-equal", "ketama", [1; 8]),
    ("libmemcached-ketama-weighted", "ketama", WEIGHTS),
    ("libmemcached-modula-crc", "libmemcached-modula-crc", [1; 8]),
    ("libmemcached-modula-oneatatime", "libmemcached-modula", [1; 8]),
    ("memcached-proxy-jump-xxh3", "jump", [1; 8]),
    ("pymemcache-rendezvous", "rendezvous", [1; 8]),
    ("python-memcached-1.62", "python-memcached", [1; 8]),
    ("uhashring-md5", "uhashring", [1; 8]),
];

fn servers(weights: [u32; 8]) -> Vec<String> {
    let port = |place: usize| 11212 - place % 2;
    let server = |(place, weight): (usize, u32)| format!("10.0.1.{}:{}?weight={weight}", place + 1, port(place));
    weights.into_iter().enumerate().map(server).collect()
}

fn vectors(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{file}.tsv"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"))
}

#[test]
fn every_key_goes_where_other_clients_put_it() {
    for (file, name, weights) in FILES {
        let selection: Selection = name.parse().unwrap();
        let router = Router::with_options(servers(weights), &Options::default().selection(selection)).unwrap();
        let text = vectors(file);
        assert_eq!(text.lines().count(), 300);
        for line in text.lines() {
            let (key, place) = line.split_once('\t').expect("a tab");
            assert_eq!(router.route(Key::new(key).unwrap()).unwrap().index().to_string(), place, "{file}: {key}");
        }
    }
}

/// What libmemcached 1.1.4 and pymemcache 4.0.0 have said of `key0` to `key39`, and what follows from `ring.rb` of Dalli 5.0.6.
#[test]
fn the_keys_of_ipv6_servers_go_where_other_clients_put_them() {
    let servers = ["[2001:db8::1]:11211", "[2001:db8::2]:11212", "[2001:db8::3]:11213", "[2001:db8::4]:11214"];
    for (name, expected) in [
        ("ketama", "0213322102011011021320000013023001321033"),
        ("libmemcached-consistent", "1110200303032133020130000011001201230002"),
        ("rendezvous", "2301312331213011321200321131312303233310"),
        ("dalli", "3203102213203213022302232131312113320101"),
    ] {
        let selection: Selection = name.parse().unwrap();
        let router = Router::with_options(servers, &Options::default().selection(selection)).unwrap();
        let place = |at: usize| router.route(Key::new(&format!("key{at}")).unwrap()).unwrap().index().to_string();
        assert_eq!((0..40).map(place).collect::<String>(), expected, "{name}");
    }
}

/// Runs the tool on these keys.
fn run(arguments: &[&str], keys: &str) -> Result<String, String> {
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    let mut out = Vec::new();
    ring::Request::parse(&arguments)?.answer(keys.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn the_ring_tool_routes_keys_in_the_same_way() {
    for (file, name, weights) in FILES {
        let text = vectors(file);
        let keys: String = text.lines().map(|line| format!("{}\n", line.split('\t').next().unwrap())).collect();
        let told = run(&["--selector", name, "--servers", &servers(weights).join(",")], &keys).unwrap();
        assert_eq!(told, text, "{file}");
    }
}

#[test]
fn the_ring_tool_compares_two_rules() {
    let servers = "a,b,c,d";
    let told = run(&["--selector", "gomemcache", "--against", "jump", "--servers", servers], "x\ny\nz\n").unwrap();
    let lines: Vec<_> = told.lines().collect();
    let moved = lines[..3].iter().filter(|line| line.split('\t').nth(1) != line.split('\t').nth(2)).count();
    assert_eq!(lines[3], format!("{moved} of 3 keys move: {:.2} %", moved as f64 * 100.0 / 3.0));
    let down = run(&["--selector", "gomemcache", "--servers", servers, "--down", "0,1,2,3"], "x\n").unwrap();
    assert_eq!(down, "x\t-\n");
    let up = run(&["--selector", "fractal", "--servers", servers, "--down", "0,1,3"], "x\ny\n").unwrap();
    assert_eq!(up, "x\t2\ny\t2\n");
}

#[test]
fn the_ring_tool_reports_wrong_arguments() {
    for (arguments, keys, expected) in [
        (&["--selector", "ketema", "--servers", "a"][..], "", "unknown selector \"ketema\"; there are: "),
        (
            &["--selector", "ketama", "--servers", "a,b?weight=0"],
            "",
            "invalid server \"b?weight=0\": the weight must be",
        ),
        (&["--selector", "ketama", "--servers", "a,::1"], "", "invalid server \"::1\": an IPv6 address needs brackets"),
        (&["--selector", "ketama", "--servers", ""], "", "invalid server \"\""),
        (&["--selector", "ketama"], "", "--servers is missing"),
        (&["--servers", "a"], "", "--selector is missing"),
        (&["--selector"], "", "--selector needs a value"),
        (&["--selector", "jump", "--selector", "jump"], "", "--selector stands there twice"),
        (&["--select", "x"], "", "unknown option --select"),
        (&["--selector", "jump", "--servers", "a,b", "--down", "2"], "", "--down 2: there is no such server"),
        (&["--selector", "jump", "--servers", "a,b", "--down", "x"], "", "--down x: there is no such server"),
        (&["--selector", "jump", "--servers", "a,b", "--against", "y"], "", "unknown selector \"y\""),
        (&["--selector", "jump", "--servers", "a,b"], "x\n\n", "line 2: invalid key \"\""),
    ] {
        let error = run(arguments, keys).expect_err("a mistake");
        assert!(error.starts_with(expected), "{arguments:?}: {error}");
    }
}
