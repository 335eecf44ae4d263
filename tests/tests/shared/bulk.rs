//! Large transfers have connections of their own, so that small requests do not wait for them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread;

use futures::future::{Either, join, join_all, select};
use memcached2_proto::{Expiry, Options, Protocol};
use memcached2_testkit::{Gate, Memcached};

use super::{PATIENT, Stats, check, names};
use crate::subject::{AsyncClient, block_on, client_of, spawn};

/// The size of a large value.
const LARGE: usize = 1 << 20;

/// A server that answers at once, but for keys that begin with `slow`: it stops in the middle of their values, which are large,
/// both those that it sends and those that it reads, until the gate is open.
struct HaltingServer {
    address: String,
    gate: Gate,
    /// Opened when it has stopped in the first of them.
    halted: Gate,
    /// The requests, each with the number of its connection.
    requests: Arc<Mutex<Vec<(usize, String)>>>,
}

impl HaltingServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = Self { address, gate: Gate::new("halt"), halted: Gate::new("halted"), requests: Arc::default() };
        let (gate, halted, requests) = (server.gate.clone(), server.halted.clone(), server.requests.clone());
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.expect("a client");
                let halt = {
                    let (gate, halted) = (gate.clone(), halted.clone());
                    move || {
                        halted.open();
                        gate.wait();
                    }
                };
                let requests = requests.clone();
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
                    let (mut stream, mut line) = (stream, String::new());
                    while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                        let words: Vec<_> = line.split_whitespace().collect();
                        let request = words[..words.len().min(2)].join(" ");
                        requests.lock().unwrap().push((number, request));
                        let is_slow = words.get(1).is_some_and(|key| key.starts_with("slow"));
                        match words[..] {
                            ["get", key] if key.starts_with("slow") => {
                                let value = vec![b'x'; LARGE];
                                write!(stream, "VALUE {key} 0 {LARGE}\r\n").expect("it reads");
                                stream.write_all(&value[..LARGE / 2]).expect("it reads");
                                halt();
                                stream.write_all(&value[LARGE / 2..]).expect("it reads");
                                stream.write_all(b"\r\nEND\r\n").expect("it reads");
                            }
                            ["get", ..] => {
                                if is_slow {
                                    halt();
                                }
                                stream.write_all(b"END\r\n").expect("it reads");
                            }
                            ["set", .., length] => {
                                if is_slow {
                                    halt();
                                }
                                let length: usize = length.parse().expect("a length");
                                lines.read_exact(&mut vec![0; length + 2]).expect("a value");
                                stream.write_all(b"STORED\r\n").expect("it reads");
                            }
                            ["delete", ..] => stream.write_all(b"NOT_FOUND\r\n").expect("it reads"),
                            _ => return,
                        }
                        line.clear();
                    }
                });
            }
        });
        server
    }

    fn client(&self, options: Options) -> AsyncClient {
        client_of([&self.address], options.timeout(PATIENT).protocol(Protocol::Classic)).expect("the address is right")
    }

    /// A client that has connected.
    async fn connected(&self) -> AsyncClient {
        let client = self.client(Options::default());
        assert_eq!(client.get("a").await, Ok(None));
        client
    }

    /// The numbers of the connections that a request came on.
    fn connections_of(&self, request: &str) -> Vec<usize> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(_, one)| one == request).map(|(number, _)| *number).collect()
    }
}

#[test]
fn a_small_get_does_not_wait_for_an_upload() {
    block_on(|| async {
        let server = HaltingServer::start();
        let client = server.connected().await;
        let value = vec![b'x'; 64 << 20];
        let small = async {
            server.halted.opened().await;
            for _ in 0..10 {
                assert_eq!(client.get("a").await, Ok(None));
            }
            server.gate.open();
        };
        let (stored, ()) = join(client.set("slow", &value, Expiry::Never), small).await;
        assert_eq!(stored, Ok(()));
        assert_eq!(server.connections_of("set slow"), [1]);
    });
}

#[test]
fn a_small_get_does_not_wait_for_a_value_that_was_large_before() {
    block_on(|| async {
        let server = HaltingServer::start();
        let client = server.connected().await;
        let first = async {
            server.halted.opened().await;
            server.gate.open();
        };
        let (value, ()) = join(client.get("slow"), first).await;
        assert_eq!(value.unwrap().expect("a hit").data().len(), LARGE);
        assert_eq!(client.get("slow").await.unwrap().expect("a hit").data().len(), LARGE);
        assert_eq!(server.connections_of("get slow"), [0, 1]);
        assert_eq!(client.get("a").await, Ok(None));
        assert_eq!(server.connections_of("get a"), [0, 0]);
    });
}

#[test]
fn a_small_get_does_not_wait_for_the_rest_of_a_large_value() {
    block_on(|| async {
        let server = HaltingServer::start();
        let (other, client) = (server.connected().await, server.connected().await);
        let small = async {
            server.halted.opened().await;
            let a_while = async || {
                for _ in 0..3 {
                    assert_eq!(other.get("b").await, Ok(None));
                }
            };
            // Until the driver has read that the value is large, and another connection is open, they wait behind it.
            while let Either::Right(_) = select(pin!(client.get("a")), pin!(a_while())).await {}
            assert!(server.connections_of("get a").contains(&2));
            server.gate.open();
        };
        let (value, ()) = join(client.get("slow"), small).await;
        assert_eq!(value.unwrap().expect("a hit").data().len(), LARGE);
    });
}

#[test]
fn a_small_get_is_answered_before_a_batch_of_thousands() {
    block_on(|| async {
        let server = HaltingServer::start();
        let client = server.connected().await;
        let keys: Vec<_> = (0..5000).map(|at| format!("slow{at}")).collect();
        let small = async {
            server.halted.opened().await;
            assert_eq!(client.get("a").await, Ok(None));
            server.gate.open();
        };
        let (values, ()) = join(client.get_many(&keys), small).await;
        assert!(values.unwrap().into_result().unwrap().iter().all(Option::is_none));
        assert!(server.connections_of("get slow0").contains(&1));
    });
}

#[test]
fn what_follows_an_upload_of_the_same_key_does_not_overtake_it() {
    block_on(|| async {
        let server = HaltingServer::start();
        let client = server.connected().await;
        let value = vec![b'x'; LARGE];
        // One is submitted after the other, and none waits.
        let (stored, deleted) = join(client.set("key", &value, Expiry::Never), client.delete("key")).await;
        assert_eq!((stored, deleted), (Ok(()), Ok(false)));
        assert_eq!((server.connections_of("set key"), server.connections_of("delete key")), (vec![1], vec![1]));
    });
}

#[test]
fn large_transfers_share_the_connection_if_the_server_takes_no_other() {
    // Older servers run out of file descriptors before they are full, and let new connections wait without a word.
    if Memcached::is_too_old_for("large_transfers_share_the_connection_if_the_server_takes_no_other", (1, 6, 10)) {
        return;
    }
    block_on(|| async {
        for protocol in [None, Some(Protocol::Classic), Some(Protocol::Meta)] {
            let server = Memcached::with().threads(1).args(["-c", "20", "-o", "maxconns_fast"]).start();
            let options = Options::default().timeout(PATIENT);
            let options = protocol.into_iter().fold(options, Options::protocol);
            let client = client_of([server.address()], options).expect("the address is right");
            let value = vec![b'x'; LARGE / 2];
            // On the connection that is opened first: from then on the key is one with a large value.
            assert_eq!(client.set("key", &value, Expiry::Never).await, Ok(()));
            let all: Vec<_> = std::iter::from_fn(|| connect(&server)).collect();
            assert!(!all.is_empty());
            for _ in 0..3 {
                assert_eq!(client.get("key").await.unwrap().expect("a hit").data().len(), value.len());
                assert_eq!(client.get("a").await, Ok(None));
                assert_eq!(client.set("key", &value, Expiry::Never).await, Ok(()));
            }
            assert!(connect(&server).is_none(), "the first connection was replaced");
        }
    });
}

/// A connection that the server has taken; none if its table is full.
fn connect(server: &Memcached) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENT)).expect("a valid timeout");
    let mut line = [0; 8];
    let is_taken = stream.write_all(b"version\r\n").and_then(|()| stream.read_exact(&mut line)).is_ok();
    (is_taken && line == *b"VERSION ").then_some(stream)
}

#[test]
fn large_transfers_have_no_more_connections_than_the_option_says() {
    block_on(|| async {
        let (server, _, names) = names(20).await;
        for bulk in [0, 1, 2] {
            let client = client_of([server.address()], Options::default().timeout(PATIENT).bulk_connections(bulk))
                .expect("the address is right");
            check(&client, &names[0]).await;
            let mut stats = Stats::of(&server);
            let before = stats.connections();
            let tasks = (0..16).map(|task| {
                let (client, names) = (client.clone(), names.clone());
                spawn(async move {
                    let key = format!("large{task}");
                    let value = vec![b'x'; 200_000];
                    for name in &names {
                        client.set(&key, &value, Expiry::Never).await.unwrap();
                        assert_eq!(client.get(&key).await.unwrap().expect("a hit").data().len(), value.len());
                        check(&client, name).await;
                    }
                })
            });
            join_all(tasks).await;
            assert_eq!(stats.connections() - before, bulk as u64);
            assert!(client.close(PATIENT).await);
        }
    });
}
