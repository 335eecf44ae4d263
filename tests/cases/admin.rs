//! Commands about whole servers.

use std::thread;
use std::time::{Duration, Instant};

use memcached2_proto::command::FlushAll;
use memcached2_proto::operation::AllServers;
use memcached2_proto::{Error, Expiry, Landed};

use super::servers::{Kind, Server};
use super::setting::{HOUR, PATIENT, client};

super::cases! {
    served {
        a_flush_empties_every_server,
        a_flush_may_be_delayed,
        a_verbosity_reaches_every_server,
        a_memory_limit_reaches_every_server,
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

fn a_flush_may_be_delayed(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let keys: Vec<_> = (0..20).map(|at| format!("key{at}")).collect();
    for key in &keys {
        client.set(key, "value", Expiry::Never).unwrap();
    }
    client.run(AllServers(FlushAll::at(HOUR))).unwrap().into_result().unwrap();
    assert!(client.get_many(&keys).unwrap().into_result().unwrap().iter().all(Option::is_some));
    client.run(AllServers(FlushAll::at(Duration::from_secs(2)))).unwrap().into_result().unwrap();
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
    let start = format!("STAT {name} ");
    let lines = server.lines(stats, |line| line == "END");
    lines.iter().find_map(|line| line.strip_prefix(&start)).expect("a line of this name").to_owned()
}
