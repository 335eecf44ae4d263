//! Statistics of servers.

use memcached2_proto::command::{Stats, StatsDetail};
use memcached2_proto::operation::AllServers;
use memcached2_proto::stats::Statistic;
use memcached2_proto::{Expiry, Protocol};

use super::servers::{Channel, Kind, Server, ask};
use super::setting::{PATIENT, client, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        stats_returns_the_counters_of_every_server,
        stats_settings_returns_the_settings_of_a_server,
        stats_items_and_slabs_are_grouped_by_class,
        stats_sizes_works_once_a_server_counts_sizes until (1, 6, 24),
        stats_sizes_works_on_a_server_started_with_track_sizes,
        stats_reset_resets_the_counters,
        stats_detail_counts_requests_by_prefix,
    }
    scripted {}
}

fn stats_returns_the_counters_of_every_server(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let items: Vec<_> = (0..60).map(|at| (format!("key{at}"), at)).collect();
    client.set_many(&items, Expiry::Never).unwrap().all_stored().unwrap();
    let all = client.stats().unwrap().into_result().unwrap();
    assert_eq!(all.len(), 3);
    let count = |name: &str| all.iter().map(|stats| stats.number(name).expect("a number")).sum::<u64>();
    assert_eq!((count("curr_items"), count("cmd_set")), (60, 60));
    for (stats, server) in all.iter().zip(&servers) {
        assert!(matches!(stats.get("rusage_user"), Some(Statistic::Float(_))));
        assert_eq!(stats.get("accepting_conns"), Some(Statistic::Boolean(true)));
        let version = ask(server, "version");
        assert_eq!(stats.get("version"), Some(Statistic::Text(version.strip_prefix("VERSION ").unwrap())));
        assert_eq!(stats.get("no_such_counter"), None);
        assert_eq!(stats.number("pid"), number(server, "stats", "pid"));
        assert!(stats.iter().all(|(name, _)| !name.is_empty() && !name.contains(' ')));
    }
    on.on_each_socket(|client| assert_eq!(client.stats().unwrap().into_result().unwrap().len(), 1));
}

/// A statistic as the server reports it.
fn number(server: &Server, request: &str, name: &str) -> Option<u64> {
    let start = format!("STAT {name} ");
    let lines = server.lines(request, |line| line == "END");
    lines.iter().find_map(|line| line.strip_prefix(&start)).and_then(|text| text.parse().ok())
}

fn stats_settings_returns_the_settings_of_a_server(on: Kind) {
    let server = on.start();
    let settings = client(&[server.address()]).stats_settings().unwrap().into_result().unwrap().remove(0);
    for (name, expected) in [
        ("item_size_max", Statistic::Number(1 << 20)),
        ("growth_factor", Statistic::Float(1.25)),
        ("evictions", Statistic::Boolean(true)),
        ("cas_enabled", Statistic::Boolean(true)),
        ("detail_enabled", Statistic::Boolean(false)),
        ("domain_socket", Statistic::Absent),
        ("inter", Statistic::Text("127.0.0.1")),
    ] {
        // With TLS it listens at two ports.
        let depends = if on.channel == Channel::Unix { &["inter", "domain_socket"][..] } else { &["inter"] };
        if on.channel == Channel::Tcp || !depends.contains(&name) {
            assert_eq!(settings.get(name), Some(expected), "{name}");
        }
    }
    // Not a boolean, for it can be 2.
    assert!(matches!(settings.get("slab_automove"), Some(Statistic::Number(0 | 1))));
}

fn stats_items_and_slabs_are_grouped_by_class(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    assert!(client.stats_items().unwrap().into_result().unwrap()[0].groups.is_empty());
    for at in 0..10 {
        client.set(format!("small{at}"), "x", Expiry::Never).unwrap();
    }
    client.set("large", vec![b'x'; 5000], Expiry::Never).unwrap();
    let items = client.stats_items().unwrap().into_result().unwrap().remove(0);
    let counts: Vec<_> = items.groups.values().map(|class| class.number("number").expect("a number")).collect();
    assert_eq!(counts, [10, 1]);
    let slabs = client.stats_slabs().unwrap().into_result().unwrap().remove(0);
    assert_eq!(slabs.groups.keys().collect::<Vec<_>>(), items.groups.keys().collect::<Vec<_>>());
    let used: u64 = slabs.groups.values().map(|class| class.number("used_chunks").expect("a number")).sum();
    assert_eq!((used, slabs.totals.number("active_slabs")), (11, Some(2)));
}

fn stats_sizes_works_once_a_server_counts_sizes(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let sizes = || client.stats_sizes().unwrap().into_result().unwrap().remove(0);
    assert!(sizes().is_disabled());
    client.run(AllServers(Stats::enable_sizes())).unwrap().into_result().unwrap();
    client.set("key", "x", Expiry::Never).unwrap();
    assert_eq!(sizes().sizes.iter().map(|(_, count)| count).sum::<u64>(), 1);
    assert!(!sizes().is_disabled());
}

fn stats_sizes_works_on_a_server_started_with_track_sizes(on: Kind) {
    let server = on.start_counting_sizes();
    let client = client(&[server.address()]);
    let sizes = || client.stats_sizes().unwrap().into_result().unwrap().remove(0);
    assert!(!sizes().is_disabled());
    client.set("key", "x", Expiry::Never).unwrap();
    assert_eq!(sizes().sizes.iter().map(|(_, count)| count).sum::<u64>(), 1);
}

fn stats_reset_resets_the_counters(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    assert_eq!(client.get("key"), Ok(None));
    let misses = || client.stats().unwrap().into_result().unwrap()[0].number("get_misses");
    assert_eq!(misses(), Some(1));
    assert_eq!(client.stats_reset().unwrap().into_result(), Ok(vec![()]));
    assert_eq!(misses(), Some(0));
}

/// memcached counts classic commands only.
fn stats_detail_counts_requests_by_prefix(on: Kind) {
    let server = on.start();
    let options = forgetful(PATIENT).protocol(Protocol::Classic);
    let client = Client::with_options([server.address()], options).expect("the address is right");
    let counts = || client.run(AllServers(Stats::detail())).unwrap().into_result().unwrap().remove(0);
    client.run(AllServers(StatsDetail(true))).unwrap().into_result().unwrap();
    client.set("shop:a", "x", Expiry::Never).unwrap();
    client.get_many(&["shop:a", "shop:b"]).unwrap().into_result().unwrap();
    client.delete("shop:a").unwrap();
    let told = counts();
    let [count] = &told[..] else { panic!("{told:?}") };
    assert_eq!((count.prefix.as_str(), count.get, count.hit, count.set, count.del), ("shop", 2, 1, 1, 1));
    client.run(AllServers(StatsDetail(false))).unwrap().into_result().unwrap();
    client.get("shop:a").unwrap();
    assert_eq!(counts(), told);
    client.stats_reset().unwrap().into_result().unwrap();
    assert!(counts().is_empty());
}
