//! What each rule of routing costs, how evenly it deals out keys, and how many of them move.
//!
//! ```text
//! cargo bench -p memcached2-testkit --bench routing
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a bench talks, and may fail")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use memcached2_proto::{Key, Router, Selection, Server};

const KEYS: usize = 100_000;

fn main() {
    let keys: Vec<_> = (0..KEYS).map(|number| format!("key:{number}")).collect();
    speed(&keys);
    moves(&keys);
}

fn servers(count: usize) -> Vec<Server> {
    (0..count).map(|at| format!("10.0.{}.{}:11211", at / 250, at % 250 + 1).parse().unwrap()).collect()
}

fn rules() -> impl Iterator<Item = (&'static str, Selection)> {
    let named = |name: &'static str| (name, name.parse().unwrap());
    Selection::NAMES.iter().copied().filter(|name| *name != "default").map(named)
}

/// Nanoseconds for each lookup, and milliseconds to build the rule, by the number of servers.
fn speed(keys: &[String]) {
    const COUNTS: [usize; 4] = [10, 100, 1000, 10_000];
    println!("ns per lookup, and ms to build, with {COUNTS:?} servers\n");
    for (name, selection) in rules() {
        print!("{name:<28}");
        for count in COUNTS {
            let servers = servers(count);
            let begun = Instant::now();
            let router = Router::with_selection(servers, &selection);
            let built = begun.elapsed();
            let (begun, mut looked) = (Instant::now(), 0_u32);
            while looked == 0 || (begun.elapsed() < Duration::from_millis(200) && (looked as usize) < keys.len()) {
                for key in keys.iter().skip(looked as usize).take(100) {
                    let _ = black_box(router.route(Key::new(key).unwrap()));
                }
                looked += 100;
            }
            let each = begun.elapsed() / looked;
            print!("{:>9} {:>8.2}", each.as_nanos(), built.as_secs_f64() * 1000.0);
        }
        println!();
    }
}

/// The share of the keys whose server changes, and how evenly the keys are dealt out.
fn moves(keys: &[String]) {
    const SERVERS: usize = 10;
    println!("\nrule | share of a server | one joins | one leaves | one is down |");
    for (name, selection) in rules() {
        let places = |count: usize, down: Option<usize>| -> Vec<Option<usize>> {
            let router = Router::with_selection(servers(count), &selection);
            let place = |key| router.route_among(Key::new(key).unwrap(), &|place| Some(place) != down).ok();
            keys.iter().map(|key| place(key).map(memcached2_proto::routing::ServerId::index)).collect()
        };
        let now = places(SERVERS, None);
        let moved = |then: Vec<Option<usize>>| {
            now.iter().zip(then).filter(|(now, then)| *now != then).count() as f64 * 100.0 / keys.len() as f64
        };
        let share =
            |server| now.iter().filter(|place| **place == Some(server)).count() as f64 * 100.0 / keys.len() as f64;
        let shares = (0..SERVERS).map(share);
        let (least, most) =
            shares.fold((100.0_f64, 0.0_f64), |(least, most), share| (least.min(share), most.max(share)));
        let (joins, leaves) = (moved(places(SERVERS + 1, None)), moved(places(SERVERS - 1, None)));
        let down = moved(places(SERVERS, Some(SERVERS - 1)));
        let bar = |share: f64| "\u{2588}".repeat((share / 5.0).ceil() as usize);
        println!(
            "`{name}` | {least:.1} to {most:.1} % | {joins:.1} % {} | {leaves:.1} % {} | {down:.1} % {} |",
            bar(joins),
            bar(leaves),
            bar(down)
        );
    }
}
