//! Lists of servers that change while calls are under way.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use memcached2_proto::topology::ServerSource;
use memcached2_proto::{Error, Expiry, Key, Router, Selection};
use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session, assert_matches};
use simple_dns::rdata::{RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use super::servers::{Kind, name};
use super::setting::{HOUR, PATIENT, forgetful, text_client};
use crate::subject::Client;

super::cases! {
    served {
        servers_join_and_leave_while_calls_are_under_way,
        a_server_in_both_lists_keeps_its_connections_and_its_keys,
        the_addresses_of_a_name_are_servers not_over [Unix Tls TlsWithPassword],
        a_list_that_is_wrong_changes_nothing,
    }
    scripted {
        a_cluster_names_its_nodes_and_an_older_list_is_ignored,
        a_list_that_was_refused_is_tried_again,
        a_server_that_is_gone_keeps_no_connection,
        following_a_source_ends_when_the_client_is_closed,
        following_a_source_ends_in_the_middle_of_a_period,
        the_records_of_a_name_are_servers_with_ports_weights_and_priorities,
        a_name_server_that_is_away_changes_nothing,
    }
}

/// A client whose keys move only to servers that are new, and from those that are gone.
fn on_a_ring<A: AsRef<str>>(servers: &[A]) -> Client {
    Client::with_options(servers, forgetful(PATIENT).selection(Selection::Rendezvous)).unwrap()
}

fn server_of(router: &Router, key: &str) -> String {
    let id = router.route(Key::new(key).unwrap()).unwrap();
    router.server(id).unwrap().name().to_owned()
}

fn servers_join_and_leave_while_calls_are_under_way(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = on_a_ring(&addresses);
    let ended = AtomicBool::new(false);
    let work = |thread: usize| {
        let mut calls = 0_usize;
        while !ended.load(Ordering::Relaxed) {
            let key = format!("key{thread}:{}", calls % 50);
            client.set(&key, &key, Expiry::Never).unwrap();
            // It may have moved meanwhile; if it is there, it is right.
            assert!(client.get(&key).unwrap().is_none_or(|value| value == key));
            let keys: Vec<_> = (0..10).map(|n| format!("key{thread}:{n}")).collect();
            let values = client.get_many(&keys).unwrap().into_result().unwrap();
            assert!(keys.iter().zip(values).all(|(key, value)| value.is_none_or(|value| value == *key)));
            calls += 1;
        }
        calls
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|thread| scope.spawn(move || work(thread))).collect();
        for round in 0..60 {
            let list = match round % 4 {
                0 => &addresses[..1],
                1 => &addresses[1..],
                2 => &addresses[..2],
                _ => &addresses[..],
            };
            client.set_servers(list).unwrap();
            client.set("between", "x", Expiry::Never).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        assert!(workers.into_iter().all(|worker| worker.join().unwrap() > 0));
    });
}

fn a_server_in_both_lists_keeps_its_connections_and_its_keys(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = on_a_ring(&addresses[..2]);
    let keys: Vec<_> = (0..100).map(|n| format!("key{n}")).collect();
    for key in &keys {
        client.set(key, key, Expiry::Never).unwrap();
    }
    let before = client.router();
    let connections = |of: usize| client.stats().unwrap().iter().nth(of).unwrap().unwrap().number("total_connections");
    let opened = connections(1);
    let change = client.set_servers(&addresses[1..]).unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (1, 1));
    assert_eq!(connections(0), opened, "the server in both lists got another connection");
    let (after, kept) = (client.router(), name(&addresses[1]));
    let mut moved = 0;
    for key in &keys {
        let stays = server_of(&before, key) == kept && server_of(&after, key) == kept;
        assert_eq!(client.get(key).unwrap().is_some(), stays, "{key}");
        moved += usize::from(!stays && server_of(&before, key) == kept);
    }
    assert!(moved > 0 && moved < 50, "{moved} keys went from the server in both lists to the new one");
    assert!(client.set_servers(&addresses[1..]).unwrap().is_empty());
}

fn the_addresses_of_a_name_are_servers(on: Kind) {
    let server = on.start();
    let address = server.address();
    let client = Client::with_options(["127.0.0.1:1"], forgetful(PATIENT)).unwrap();
    let change = client.refresh_servers(&mut ServerSource::dns(&address).unwrap()).unwrap();
    assert_eq!((change.added, change.removed), (vec![address], vec!["127.0.0.1:1".to_owned()]));
    client.set("a", "x", Expiry::Never).unwrap();
    assert!(server.holds("a"));
    assert_matches!(
        client.refresh_servers(&mut ServerSource::dns("no-such-name.invalid").unwrap()),
        Err(Error::Connect { .. })
    );
    assert_eq!(client.get("a").unwrap().unwrap(), "x");
}

fn a_list_that_is_wrong_changes_nothing(on: Kind) {
    let server = on.start();
    let client = Client::with_options([server.address()], forgetful(PATIENT)).unwrap();
    for wrong in [["cache1", "cache1"], ["cache1", "cache2:x"]] {
        assert_matches!(client.set_servers(wrong), Err(Error::Uri { .. }));
    }
    client.set("a", "x", Expiry::Never).unwrap();
    assert!(server.holds("a"));
    assert!(client.close(PATIENT));
    assert_matches!(client.set_servers([server.address()]), Err(Error::Closed { .. }));
}

/// The answer of a node that names these.
fn config(version: u64, nodes: &[&EmbeddedServer]) -> String {
    let node = |server: &&EmbeddedServer| {
        let address = server.address();
        let (ip, port) = address.rsplit_once(':').unwrap();
        format!("node{port}|{ip}|{port}")
    };
    let text = format!("{version}\n{}\n", nodes.iter().map(node).collect::<Vec<_>>().join(" "));
    format!("CONFIG cluster 0 {}\r\n{text}\r\nEND\r\n", text.len())
}

fn a_cluster_names_its_nodes_and_an_older_list_is_ignored() {
    let nodes = [EmbeddedServer::start(), EmbeddedServer::start()];
    let [first, second] = &nodes;
    let answer = |text: &str| Session::new().expect("config get cluster\r\n").send(text);
    let endpoint = ScriptedServer::start([
        answer(&config(7, &[first])),
        answer(&config(6, &[second])),
        answer("ERROR\r\n"),
        answer(&config(8, &[first, second])),
    ]);
    let client = text_client(&[&endpoint], PATIENT);
    let mut source = ServerSource::cluster(&endpoint.address()).unwrap();
    let named = |client: &Client| client.router().servers().iter().map(|server| server.name().to_owned()).collect();
    let change = client.refresh_servers(&mut source).unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (1, 1));
    let only: Vec<String> = named(&client);
    assert!(only.len() == 1 && only[0].starts_with("node"), "{only:?}");
    client.set("a", "x", Expiry::Never).unwrap();
    assert!(client.refresh_servers(&mut source).unwrap().is_empty(), "an older list has changed something");
    assert_matches!(client.refresh_servers(&mut source), Err(Error::Refused { .. }));
    assert_eq!(named(&client), only);
    assert_eq!(client.refresh_servers(&mut source).unwrap().added.len(), 1);
    assert_eq!(client.version().unwrap().into_result().unwrap().len(), 2);
    endpoint.finish();
}

fn a_list_that_was_refused_is_tried_again() {
    let node = EmbeddedServer::start();
    // The second one is a mistake of the cluster.
    let answer = || Session::new().expect("config get cluster\r\n").send(config(7, &[&node, &node]));
    let endpoint = ScriptedServer::start([answer(), answer()]);
    let client = text_client(&[&endpoint], PATIENT);
    let mut source = ServerSource::cluster(&endpoint.address()).unwrap();
    for _ in 0..2 {
        assert_matches!(client.refresh_servers(&mut source), Err(Error::Uri { .. }));
    }
    endpoint.finish();
}

fn a_server_that_is_gone_keeps_no_connection() {
    let gone = ScriptedServer::start([Session::new().expect("get a\r\n").send("END\r\n").expect_close()]);
    let client = text_client(&[&gone], PATIENT);
    assert_eq!(client.get("a"), Ok(None));
    let other = EmbeddedServer::start();
    client.set_servers([other.address()]).unwrap();
    gone.finish();
    client.set("a", "x", Expiry::Never).unwrap();
}

fn following_a_source_ends_when_the_client_is_closed() {
    let (server, other) = (EmbeddedServer::start(), EmbeddedServer::start());
    let client = Client::with_options([server.address()], forgetful(PATIENT)).unwrap();
    let source = ServerSource::dns(&other.address()).unwrap();
    let (refreshed, results) = mpsc::channel();
    thread::scope(|scope| {
        let follower = client.clone();
        scope.spawn(move || {
            follower.follow_servers(source, Duration::from_millis(1), |result| {
                let _ = refreshed.send(result.unwrap().added.len());
            });
        });
        assert_eq!(results.iter().take(3).collect::<Vec<_>>(), [1, 0, 0]);
        client.set("a", "x", Expiry::Never).unwrap();
        assert!(client.close(PATIENT));
        // The follower has ended when nothing can come any more.
        results.iter().for_each(drop);
    });
}

fn following_a_source_ends_in_the_middle_of_a_period() {
    let (server, other) = (EmbeddedServer::start(), EmbeddedServer::start());
    let client = Client::with_options([server.address()], forgetful(PATIENT)).unwrap();
    let source = ServerSource::dns(&other.address()).unwrap();
    let (refreshed, results) = mpsc::channel();
    let follower = client.clone();
    thread::spawn(move || {
        follower.follow_servers(source, HOUR, |result| refreshed.send(result.unwrap().added.len()).unwrap());
    });
    assert_eq!(results.recv_timeout(PATIENT), Ok(1));
    assert!(client.close(PATIENT));
    assert_eq!(results.recv_timeout(PATIENT), Err(mpsc::RecvTimeoutError::Disconnected));
}

const SERVICE: &str = "_memcached._tcp.cache.example";

/// A record of a service: priority, weight, port and host.
type Record = (u16, u16, u16, &'static str);

/// The answer to a question for the records of the service; with `is_cut` it does not fit.
fn records(question: &[u8], records: &[Record], is_cut: bool) -> Vec<u8> {
    let question = Packet::parse(question).unwrap();
    assert_eq!(question.questions[0].qname.to_string(), SERVICE);
    let mut answer = question.into_reply();
    let name = || Name::new(SERVICE).unwrap();
    for (priority, weight, port, host) in records.iter().copied() {
        let srv = SRV { priority, weight, port, target: Name::new(host).unwrap() };
        answer.answers.push(ResourceRecord::new(name(), CLASS::IN, 60, RData::SRV(srv)));
    }
    if is_cut {
        answer.set_flags(PacketFlag::TRUNCATION);
        answer.answers.clear();
    }
    if records.is_empty() {
        *answer.rcode_mut() = RCODE::NameError;
    }
    answer.build_bytes_vec_compressed().unwrap()
}

/// A name server that gives these answers, one to each question. One that does not fit a datagram is asked for again by TCP.
fn name_server(answers: Vec<(Vec<Record>, bool)>) -> (SocketAddr, thread::JoinHandle<()>) {
    let (by_udp, by_tcp) = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap())
        .find_map(|by_udp| {
            let by_tcp = TcpListener::bind(by_udp.local_addr().unwrap()).ok()?;
            Some((by_udp, by_tcp))
        })
        .unwrap();
    let address = by_udp.local_addr().unwrap();
    let serve = move || {
        for (list, is_long) in answers {
            let mut question = [0; 512];
            let (length, client) = by_udp.recv_from(&mut question).unwrap();
            let question = &question[..length];
            // One to an earlier question comes first, and is not taken.
            let mut late = records(question, &[(0, 0, 1, "late.example")], false);
            late[1] ^= 1;
            by_udp.send_to(&late, client).unwrap();
            by_udp.send_to(&records(question, &list, is_long), client).unwrap();
            if is_long {
                let (mut socket, _) = by_tcp.accept().unwrap();
                let mut length = [0; 2];
                socket.read_exact(&mut length).unwrap();
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                socket.read_exact(&mut question).unwrap();
                let answer = records(&question, &list, false);
                socket.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                socket.write_all(&answer).unwrap();
            }
        }
    };
    (address, thread::spawn(serve))
}

fn port_of(server: &EmbeddedServer) -> u16 {
    server.address().rsplit_once(':').unwrap().1.parse().unwrap()
}

fn the_records_of_a_name_are_servers_with_ports_weights_and_priorities() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    let [first, second] = [0, 1].map(|at: usize| port_of(&servers[at]));
    let (address, serving) = name_server(vec![
        (vec![(10, 60, second, "localhost"), (20, 1, 1, "backup.example"), (10, 20, first, "localhost")], false),
        (vec![(20, 0, 1, "backup.example"), (10, 0, first, "localhost")], true),
        // The service is not there any more: an answer is no reason to ask nobody.
        (vec![], false),
    ]);
    let client = Client::with_options([servers[0].address()], forgetful(PATIENT)).unwrap();
    let mut source = ServerSource::srv(SERVICE).unwrap().name_servers([address]);
    let listed = |client: &Client| {
        let router = client.router();
        let listed: Vec<_> =
            router.servers().iter().map(|server| (server.name().to_owned(), server.weight())).collect();
        listed
    };
    let change = client.refresh_servers(&mut source).unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (2, 1));
    let mut expected = vec![(format!("localhost:{first}"), 1), (format!("localhost:{second}"), 3)];
    if second < first {
        expected.reverse();
    }
    assert_eq!(listed(&client), expected);
    for number in 0..20 {
        client.set(format!("key{number}"), "x", Expiry::Never).unwrap();
    }
    assert_eq!(client.version().unwrap().into_result().map(|versions| versions.len()), Ok(2));
    // One has left, and its name server says so by TCP.
    let change = client.refresh_servers(&mut source).unwrap();
    assert_eq!((change.added, change.removed), (vec![], vec![format!("localhost:{second}?weight=3")]));
    assert_matches!(client.refresh_servers(&mut source), Err(Error::Connect { .. }));
    assert_eq!(listed(&client), [(format!("localhost:{first}"), 1)]);
    client.set("a", "x", Expiry::Never).unwrap();
    serving.join().unwrap();
}

fn a_name_server_that_is_away_changes_nothing() {
    let server = EmbeddedServer::start();
    let client = Client::with_options([server.address()], forgetful(PATIENT)).unwrap();
    // A port that nobody listens on says so at once.
    let away = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut source = ServerSource::srv(SERVICE).unwrap().name_servers([away]);
    assert_matches!(client.refresh_servers(&mut source), Err(Error::Connect { .. }));
    let (address, serving) = name_server(vec![(vec![(0, 0, port_of(&server), "localhost")], false)]);
    let mut source = source.name_servers([away, address]);
    assert_eq!(client.refresh_servers(&mut source).unwrap().added.len(), 1);
    client.set("a", "x", Expiry::Never).unwrap();
    serving.join().unwrap();
    assert_matches!(client.refresh_servers(&mut source), Err(Error::Connect { .. }));
    assert_eq!(client.get("a").unwrap().unwrap(), "x");
}
