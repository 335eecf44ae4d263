//! Commands about whole servers.

use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::command::{
    Classes, ConfigGetCluster, Extstore, FlushAll, Lru, LruCrawler, Raw, SlabsAutomove, SlabsReassign,
};
use memcached2_proto::operation::AllServers;
use memcached2_proto::reply::ReplyKind;
use memcached2_proto::stats::Report;
use memcached2_proto::{BatchResult, Error, Expiry, Get, Landed, Reply, Store};

use super::servers::{Kind, On, Server, name};
use super::setting::{HOUR, PATIENT, client};
use crate::subject::Client;

super::cases! {
    served {
        a_flush_empties_every_server,
        a_flush_may_be_delayed,
        a_verbosity_reaches_every_server,
        a_memory_limit_reaches_every_server,
        // What they are about is off unless asked for before 1.5.0 (`-o modern`).
        a_setting_reaches_every_server since (1, 5, 0),
        a_refused_setting_changes_nothing since (1, 5, 0),
        a_crawl_frees_what_has_expired since (1, 5, 0),
        a_detail_dump_counts_on_every_server,
        one_server_is_asked_alone,
        a_server_that_the_client_does_not_have_is_an_error,
        a_raw_line_is_answered_by_its_kind_of_reply,
        a_memcached_has_no_cluster,
        a_warm_client_is_connected_to_every_server_that_is_up,
    }
    scripted {}
}

fn a_flush_empties_every_server(on: Kind) {
    for count in [1, 3] {
        let (_servers, addresses) = on.servers(count);
        let client = client(&addresses);
        let items: Vec<_> = (0..60).map(|at| (format!("key{at}"), "value")).collect();
        let keys: Vec<_> = items.iter().map(|(key, _)| key).collect();
        client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
        assert_eq!(client.flush_all().unwrap().into_result(), Ok(vec![(); count]));
        assert_eq!(client.get_many(&keys).unwrap().into_result(), Ok(vec![None; 60]));
        client.set_many(&items, Expiry::Never).unwrap().into_result().unwrap();
        assert!(client.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_some), "{count} servers");
    }
    on.on_each_socket(|client| assert_eq!(client.flush_all().unwrap().into_result(), Ok(vec![()])));
}

fn a_warm_client_is_connected_to_every_server_that_is_up(on: Kind) {
    let (servers, mut addresses) = on.servers(3);
    addresses.insert(1, "127.0.0.1:1".to_owned());
    let client = client(&addresses);
    for _ in 0..2 {
        let results = client.warm().unwrap();
        for (at, result) in results.iter().enumerate() {
            assert_eq!(result.is_ok(), at != 1, "{at}: {result:?}");
        }
    }
    let connections = || -> Vec<u64> {
        let counts = servers.iter().map(|server| line_of(server, "stats", "total_connections"));
        counts.map(|count| count.parse().expect("a number")).collect()
    };
    let before = connections();
    let keys: Vec<_> = (0..60).map(|at| format!("key{at}")).collect();
    // The server that is down may be tried again meanwhile.
    assert!(client.get_many(&keys).unwrap().iter().filter(|result| result.is_ok()).count() > 30);
    // One is that which asks.
    let by_others: Vec<_> = connections().iter().zip(&before).map(|(after, before)| after - before - 1).collect();
    assert_eq!(by_others, [0; 3]);
    on.on_each_socket(|client| assert_eq!(client.warm().unwrap().into_result(), Ok(vec![()])));
}

/// The settings that a server reports after a change: name and value.
type Change<'a> = (&'a dyn Fn(&Client) -> Result<BatchResult<()>, Error>, &'a [(&'a str, &'a str)]);

fn a_setting_reaches_every_server(on: Kind) {
    let (servers, addresses) = on.servers(2);
    let client = client(&addresses);
    let tune = Lru::Tune { hot_percent: 10, warm_percent: 25, hot_factor: 0.1, warm_factor: 2.5 };
    let tuned =
        [("hot_lru_pct", "10"), ("warm_lru_pct", "25"), ("hot_max_factor", "0.10"), ("warm_max_factor", "2.50")];
    let changes: [Change<'_>; 10] = [
        (&|client| client.slabs_automove(SlabsAutomove::Aggressive), &[("slab_automove", "2")]),
        (&|client| client.slabs_automove(SlabsAutomove::Off), &[("slab_automove", "0")]),
        (&|client| client.slabs_automove(SlabsAutomove::Ratio(0.75)), &[("slab_automove_ratio", "0.75")]),
        (&|client| client.lru(tune), &tuned),
        (&|client| client.lru(Lru::Flat), &[("lru_segmented", "no")]),
        (&|client| client.lru(Lru::Segmented), &[("lru_segmented", "yes")]),
        (&|client| client.lru(Lru::TempTtl(Some(30))), &[("temp_lru", "yes"), ("temporary_ttl", "30")]),
        (&|client| client.lru(Lru::TempTtl(None)), &[("temp_lru", "no")]),
        (&|client| client.lru_crawler(LruCrawler::Sleep(Duration::from_micros(50))), &[("lru_crawler_sleep", "50")]),
        (&|client| client.lru_crawler(LruCrawler::Tocrawl(7)), &[("lru_crawler_tocrawl", "7")]),
    ];
    for (change, settings) in changes {
        assert_eq!(change(&client).unwrap().into_result(), Ok(vec![(); 2]), "{settings:?}");
        for (server, (name, value)) in servers.iter().flat_map(|server| settings.iter().map(move |pair| (server, pair)))
        {
            assert_eq!(setting(server, name), *value, "{name}");
        }
    }
    // A memcached may be built without external storage: by default until 1.6.0, by `--disable-extstore` since.
    let has_extstore = on.server == On::Embedded || find_line(&servers[0], "stats settings", "ext_item_size").is_some();
    for setting in [Extstore::ItemSize(1024), Extstore::MaxFrag(0.5), Extstore::DropUnread(true)] {
        let result = client.extstore(setting).unwrap().into_result();
        assert_eq!(result.is_ok(), has_extstore, "{setting:?}: {result:?}");
    }
}

fn a_refused_setting_changes_nothing(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let tune = Lru::Tune { hot_percent: 50, warm_percent: 50, hot_factor: 0.1, warm_factor: 2.0 };
    let same = SlabsReassign { source: Some(2), dest: 2 };
    let unknown = SlabsReassign { source: Some(1000), dest: 2 };
    let full = SlabsReassign { source: Some(1), dest: 2 };
    let crawl = |class| LruCrawler::Crawl(Classes::These(vec![class]));
    for (result, begin) in [
        (client.lru(tune), "ERROR hot and warm"),
        (client.slabs_reassign(same), "SAME "),
        (client.slabs_reassign(unknown), "BADCLASS "),
        (client.slabs_reassign(full), "NOSPARE "),
        (client.lru_crawler(crawl(99)), "BADCLASS "),
        (client.lru_crawler(LruCrawler::Enable), "ERROR failed to start"),
        (client.lru_crawler(LruCrawler::Sleep(Duration::from_secs(2))), "CLIENT_ERROR sleep"),
        (client.extstore(Extstore::FreeMemchunks { class: 1000, count: 1 }), "ERROR"),
    ] {
        let error = result.unwrap().into_result().unwrap_err();
        assert!(matches!(&error, Error::Refused { line, .. } if line.starts_with(begin)), "{begin}: {error}");
        assert_eq!(error.landed(), Landed::Refused, "{error}");
    }
    assert_eq!(setting(&server, "hot_lru_pct"), "20");
    for wrong in [f64::NAN, f64::INFINITY] {
        let error = client.slabs_automove(SlabsAutomove::Ratio(wrong)).unwrap().into_result().unwrap_err();
        assert!(matches!(error, Error::Argument { .. }) && error.landed() == Landed::NotSent, "{error}");
    }
    // A server without TLS has no certificates.
    if !on.channel.is_tls() {
        let error = client.refresh_certs().unwrap().into_result().unwrap_err();
        assert!(matches!(error, Error::Refused { landed: Landed::Refused, .. }), "{error}");
    } else {
        assert_eq!(client.refresh_certs().unwrap().into_result(), Ok(vec![()]));
    }
}

fn a_crawl_frees_what_has_expired(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    client.set("gone", "value", Duration::from_secs(1)).unwrap();
    client.set("there", "value", Expiry::Never).unwrap();
    let begun = Instant::now();
    while client.stats().unwrap().into_result().unwrap()[0].number("curr_items") != Some(1) {
        assert!(begun.elapsed() < PATIENT, "nothing was freed");
        // It may be busy.
        let crawled = client.lru_crawler(LruCrawler::Crawl(Classes::All)).unwrap().into_result();
        assert!(matches!(crawled, Ok(_) | Err(Error::Refused { .. })), "{crawled:?}");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(client.get("there").unwrap().is_some());
}

fn a_detail_dump_counts_on_every_server(on: Kind) {
    let (_servers, addresses) = on.servers(2);
    let client = client(&addresses);
    client.stats_detail(true).unwrap().into_result().unwrap();
    for address in &addresses {
        let server = client.on(name(address)).unwrap();
        server.run(Store::add("shop:1", "value").unwrap()).unwrap();
    }
    for counts in client.stats_detail_dump().unwrap().into_result().unwrap() {
        assert!(matches!(&counts[..], [count] if count.prefix == "shop" && count.set == 1), "{counts:?}");
    }
    client.stats_detail(false).unwrap().into_result().unwrap();
}

fn one_server_is_asked_alone(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let second = client.on(name(&addresses[1])).unwrap();
    assert_eq!(second.server().name(), name(&addresses[1]));
    second.verbosity(1).unwrap();
    let levels: Vec<_> = servers.iter().map(|server| setting(server, "verbosity")).collect();
    assert_eq!(levels, ["0", "1", "0"]);
    for (at, address) in addresses.iter().enumerate() {
        // Whatever its key is.
        client.on(address).unwrap().run(Store::set("own", &at).unwrap()).unwrap();
    }
    for (at, address) in addresses.iter().enumerate() {
        let value = client.on(address).unwrap().run(Get::new("own").unwrap()).unwrap().unwrap();
        assert_eq!(value, *at.to_string().as_bytes());
    }
    second.flush_all().unwrap();
    let held: Vec<_> = servers.iter().map(|server| server.holds("own")).collect();
    assert_eq!(held, [true, false, true]);
    let error = second.cache_memlimit(7).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && error.server() == Some(name(&addresses[1])), "{error}");
}

fn a_server_that_the_client_does_not_have_is_an_error(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    for unknown in ["127.0.0.1:1", "user:secret@127.0.0.1:1", "", "no server"] {
        let error = client.on(unknown).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }) && !error.to_string().contains("secret"), "{error}");
    }
}

fn a_raw_line_is_answered_by_its_kind_of_reply(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let only = client.on(name(&server.address())).unwrap();
    for raw in [
        Raw::new("stats settings", ReplyKind::Stats).unwrap().repeatable(),
        Raw::new("stats settings", ReplyKind::Stats).unwrap().without_fence(),
    ] {
        let Reply::Stats(lines) = only.run(raw).unwrap() else { panic!("no statistics") };
        assert!(Report::read(&String::from_utf8_lossy(&lines)).number("maxbytes").is_some());
    }
    let error = only.run(Raw::new("vendor tenants", ReplyKind::Stats).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Refused { landed: Landed::Refused, .. }), "{error}");
    assert_eq!(client.get("a").unwrap(), None);
}

fn a_memcached_has_no_cluster(on: Kind) {
    let server = on.start();
    let client = client(&[server.address()]);
    let only = client.on(name(&server.address())).unwrap();
    assert!(matches!(only.run(ConfigGetCluster::new()), Err(Error::Refused { .. })));
    assert_eq!(only.run(ConfigGetCluster::by_key()), Ok(None));
    // As an old node answers it.
    let list = "3\nnode.example|10.0.0.1|11211\n";
    only.run(Store::set("AmazonElastiCache:cluster", list).unwrap()).unwrap();
    let config = only.run(ConfigGetCluster::by_key()).unwrap().unwrap();
    assert_eq!((config.version, &*config.nodes[0].host, config.nodes[0].port), (3, "node.example", 11211));
}

fn a_flush_may_be_delayed(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let keys: Vec<_> = (0..20).map(|at| format!("key{at}")).collect();
    for key in &keys {
        client.set(key, "value", Expiry::Never).unwrap();
    }
    client.run(AllServers(FlushAll::at(HOUR))).unwrap().into_result().unwrap();
    assert!(client.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_some));
    client.flush_all_at(Duration::from_secs(2)).unwrap().into_result().unwrap();
    let begun = Instant::now();
    while client.get_many(&keys).unwrap().into_result().unwrap().iter().any(Option::is_some) {
        assert!(begun.elapsed() < PATIENT, "nothing was flushed");
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_verbosity_reaches_every_server(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses);
    for level in [1, 0] {
        assert_eq!(client.verbosity(level).unwrap().into_result(), Ok(vec![(); 3]));
        for server in &servers {
            assert_eq!(setting(server, "verbosity"), level.to_string());
        }
    }
    on.on_each_socket(|client| assert_eq!(client.verbosity(0).unwrap().into_result(), Ok(vec![()])));
}

fn a_memory_limit_reaches_every_server(on: Kind) {
    let (servers, addresses) = on.servers(3);
    let client = client(&addresses);
    for mebibytes in [128, 64] {
        assert_eq!(client.cache_memlimit(mebibytes).unwrap().into_result(), Ok(vec![(); 3]));
        for server in &servers {
            assert_eq!(setting(server, "maxbytes"), (mebibytes << 20).to_string());
        }
    }
    for refused in [7, 2_000_000_000] {
        let results = client.cache_memlimit(refused).unwrap();
        assert!(
            results.iter().all(|result| matches!(result, Err(Error::Refused { landed: Landed::Refused, .. }))),
            "{results:?}"
        );
    }
}

/// A setting of a server, as it reports it.
fn setting(server: &Server, name: &str) -> String {
    line_of(server, "stats settings", name)
}

fn line_of(server: &Server, stats: &str, name: &str) -> String {
    find_line(server, stats, name).expect("a line of this name")
}

fn find_line(server: &Server, stats: &str, name: &str) -> Option<String> {
    let start = format!("STAT {name} ");
    let lines = server.lines(stats, |line| line == "END");
    lines.iter().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}
