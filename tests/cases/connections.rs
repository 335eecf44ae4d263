//! How long connections live, and how they are kept alive.

use std::time::{Duration, Instant};

use memcached2_proto::Expiry;

use super::servers::Kind;
use super::setting::{PATIENT, trusting};
use crate::subject::Client;

super::cases! {
    served {
        another_connection_takes_the_place_of_one_that_is_too_old,
        a_connection_is_kept_alive_unless_it_is_not_to_be not_over [Unix],
    }
    scripted {}
}

fn total(client: &Client) -> u64 {
    let reports = client.stats().unwrap().into_result().unwrap();
    reports[0].number("total_connections").expect("it is counted")
}

fn another_connection_takes_the_place_of_one_that_is_too_old(on: Kind) {
    let server = on.start();
    let options = trusting().timeout(PATIENT).connect_timeout(PATIENT);
    let client = Client::with_options([server.address()], options.max_age(Duration::from_millis(1))).unwrap();
    client.set("a", "x", Expiry::Never).unwrap();
    let (before, begun) = (total(&client), Instant::now());
    // No call fails.
    while total(&client) < before + 3 {
        assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
        assert!(begun.elapsed() < PATIENT, "the connections never grow too old");
    }
}

/// Which timers run on the established connections to a port, as Linux reports them: 2 is keepalive.
#[cfg(target_os = "linux")]
fn timers(address: &str) -> Vec<String> {
    let port = address.rsplit_once(':').expect("an address with a port").1.parse::<u16>().expect("a port");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    let rows = table.lines().skip(1).map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    let mine = rows.filter(|row| row[2].ends_with(&format!(":{port:04X}")) && row[3] == "01");
    mine.map(|row| row[5][..2].to_owned()).collect()
}

#[cfg(target_os = "linux")]
fn a_connection_is_kept_alive_unless_it_is_not_to_be(on: Kind) {
    let server = on.start();
    let zero = trusting().keepalive(Duration::ZERO);
    let forever = trusting().keepalive(Duration::MAX);
    for (options, expected) in [(trusting(), "02"), (trusting().keepalive(None), "00"), (zero, "02"), (forever, "02")] {
        let client = Client::with_options([server.address()], options.timeout(PATIENT)).unwrap();
        client.set("a", "x", Expiry::Never).unwrap();
        let begun = Instant::now();
        // Right after a write the timer is that of the retransmission, and the connections of the previous client are
        // still closing.
        while timers(super::servers::name(&server.address())) != [expected] {
            assert!(begun.elapsed() < PATIENT, "{:?}", timers(super::servers::name(&server.address())));
            std::thread::yield_now();
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn a_connection_is_kept_alive_unless_it_is_not_to_be(_: Kind) {}
