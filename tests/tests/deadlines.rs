//! Timeouts: what one server, call or caller that fails costs the others. Each test was a bug once.
#![expect(clippy::expect_used, clippy::panic, reason = "in a test a panic is the failure")]

use std::future::poll_fn;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::pin::pin;
#[cfg(unix)]
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use memcached2_proto::command::{Command, Keyed, RequestBuffer};
use memcached2_proto::reply::ReplyKind;
use memcached2_proto::{Error, Expiry, Key, Landed, Now, Options, Protocol, ReconnectPolicy, Reply, Router};
use memcached2_testkit::{Gate, Memcached, ScriptedServer, Session};
use socket2::{Domain, SockAddr, Socket, Type};

/// How long a call may take where it is meant to fail.
const SHORT: Duration = Duration::from_millis(300);

/// Longer than anything takes.
const PATIENT: Duration = Duration::from_secs(60);

fn options(timeout: Duration) -> Options {
    Options::default().timeout(timeout)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn items(count: usize) -> Vec<(String, &'static str)> {
    (0..count).map(|number| (format!("deadline:{number}"), "x")).collect()
}

/// Stores items by each of the clients in turn.
fn set_many(client: &str, servers: &[String], items: &[(String, &str)], timeout: Duration) -> Vec<Result<(), Error>> {
    let made = "servers are named right";
    let stored = match client {
        "sync" => {
            memcached2_sync::Client::with_options(servers, options(timeout)).expect(made).set_many(items, Expiry::Never)
        }
        "tokio" => runtime().block_on(async {
            let client = memcached2_tokio::Client::with_options(servers, options(timeout)).expect(made);
            client.set_many(items, Expiry::Never).await
        }),
        _ => async_std::task::block_on(async {
            let client = memcached2_async_std::Client::with_options(servers, options(timeout)).expect(made);
            client.set_many(items, Expiry::Never).await
        }),
    };
    stored.expect("keys are right").into_iter().collect()
}

#[test]
fn a_silent_server_fails_only_its_own_items_of_a_long_batch() {
    let items = items(6000);
    let store = |client, still: usize| {
        let servers = [Memcached::start(), Memcached::start()];
        let names: Vec<String> = servers.iter().map(Memcached::address).collect();
        let router = Router::parse(&names).expect("servers are named right");
        servers[still].suspend();
        for ((key, _), result) in items.iter().zip(set_many(client, &names, &items, SHORT * 20)) {
            let server = router.route(Key::new(key).expect("a key")).expect("a server").index();
            assert_eq!(result.is_ok(), server != still, "{client}, server {still} stands still, {key}: {result:?}");
        }
    };
    // Side by side, since each takes as long as its deadline.
    std::thread::scope(|scope| {
        for client in ["sync", "tokio", "async-std"] {
            for still in [0, 1] {
                let store = &store;
                scope.spawn(move || store(client, still));
            }
        }
    });
}

#[test]
fn what_is_not_asked_by_the_deadline_is_never_asked() {
    let items = items(5000);
    for client in ["sync", "tokio", "async-std"] {
        let server = Memcached::start();
        server.suspend();
        let results = set_many(client, &[server.address()], &items, SHORT);
        server.resume();
        let not_sent: Vec<&String> = items
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.as_ref().is_err_and(|error| error.landed() == Landed::NotSent))
            .map(|((key, _), _)| key)
            .collect();
        assert!(not_sent.len() > 2500, "{client}: {} of {} were not sent", not_sent.len(), items.len());
        let asked = memcached2_sync::Client::with_options([server.address()], options(PATIENT)).expect("a server");
        let found = asked.get_many(&not_sent).and_then(memcached2_sync::BatchResult::into_result).expect("answers");
        assert_eq!(found.iter().flatten().count(), 0, "{client} stored what it said was not sent");
    }
}

#[test]
fn a_value_that_came_before_the_deadline_is_kept() {
    for client in ["sync", "tokio"] {
        let half = Session::new().expect("get a b\r\n").send("VALUE a 0 3\r\none\r\nVALUE b 0 3\r\ntw").stall();
        let server = ScriptedServer::start([half]);
        // The value may take a while, too.
        let options = options(SHORT * 5).protocol(Protocol::Classic);
        let servers = [server.address()];
        let found = match client {
            "sync" => memcached2_sync::Client::with_options(servers, options).expect("a server").get_many(&["a", "b"]),
            _ => runtime().block_on(async {
                let client = memcached2_tokio::Client::with_options(servers, options).expect("a server");
                client.get_many(&["a", "b"]).await
            }),
        };
        let found: Vec<_> = found.expect("keys are right").into_iter().collect();
        let [Ok(Some(one)), Err(late)] = &found[..] else { panic!("{client}: {found:?}") };
        assert_eq!(*one, "one");
        assert!(late.is_timeout(), "{client}: {late:?}");
    }
}

#[test]
fn a_dropped_call_has_time_to_be_drained() {
    let begun = Gate::new("the reply to the dropped call has begun");
    let slow = Session::new()
        .expect("get a\r\n")
        .send("VALUE a 0 9\r\nx")
        .open(&begun)
        .expect("set b 0 0 1\r\nx\r\n")
        .ignore();
    let server = ScriptedServer::start([slow]);
    runtime().block_on(async {
        let mut options = options(SHORT * 3).protocol(Protocol::Classic);
        options.limits.drain = PATIENT;
        let client = memcached2_tokio::Client::with_options([server.address()], options).expect("a server");
        {
            let mut dropped = pin!(client.get("a"));
            let waits = poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx).is_pending())).await;
            assert!(waits, "nothing has answered yet");
            begun.opened().await;
        }
        // Its deadline comes after that of the dropped call, which is not to end the connection.
        let error = client.set("b", "x", Expiry::Never).await.expect_err("no answer");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(server.connections(), 1);
    });
    server.finish();
}

/// A listener that takes no connection any more.
fn full(domain: Domain, address: &SockAddr) -> (Socket, Vec<Socket>) {
    let listener = Socket::new(domain, Type::STREAM, None).expect("a socket");
    listener.bind(address).expect("a free address");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let waiting = std::iter::from_fn(|| {
        let socket = Socket::new(domain, Type::STREAM, None).ok()?;
        socket.connect_timeout(&address, SHORT).ok().map(|()| socket)
    });
    let waiting = waiting.take(16).collect();
    (listener, waiting)
}

#[test]
fn a_request_that_waits_for_its_connection_was_not_sent() {
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address");
    let (listener, _waiting) = full(Domain::IPV4, &any.into());
    let name = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").to_string();
    let options = options(SHORT).connect_timeout(SHORT * 10);
    let error = runtime().block_on(async {
        let client = memcached2_tokio::Client::with_options([&name], options.clone()).expect("a server");
        client.set("a", "x", Expiry::Never).await.expect_err("no connection")
    });
    assert_eq!((error.is_timeout(), error.landed()), (true, Landed::NotSent), "{error:?}");
    let client = memcached2_sync::Client::with_options([&name], options).expect("a server");
    let error = client.set("a", "x", Expiry::Never).expect_err("no connection");
    assert_eq!((error.is_timeout(), error.landed()), (true, Landed::NotSent), "{error:?}");
}

#[test]
fn servers_that_take_no_connection_leave_the_others_their_time() {
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address");
    let (full, healthy) = ([full(Domain::IPV4, &any.into()), full(Domain::IPV4, &any.into())], Memcached::start());
    let address = |listener: &Socket| listener.local_addr().ok().and_then(|address| address.as_socket());
    let mut servers: Vec<_> = full.iter().map(|(listener, _)| address(listener).expect("one").to_string()).collect();
    // They come first: a client that connected to one after the other would have no time left for the last one.
    servers.push(healthy.address());
    let items = items(60);
    let options = options(10 * SHORT).connect_timeout(6 * SHORT).reconnect(ReconnectPolicy::Immediately);
    let router = Router::parse(&servers).expect("servers");
    let is_healthy = |key: &str| router.route(Key::new(key).expect("a key")).expect("a server").index() == 2;
    assert!(items.iter().any(|(key, _)| is_healthy(key)) && items.iter().any(|(key, _)| !is_healthy(key)));
    let blocking = memcached2_sync::Client::with_options(&servers, options.clone()).expect("servers");
    let told = [
        blocking.set_many(&items, Expiry::Never).expect("good keys"),
        runtime().block_on(async {
            let client = memcached2_tokio::Client::with_options(&servers, options).expect("servers");
            client.set_many(&items, Expiry::Never).await.expect("good keys")
        }),
    ];
    for told in told {
        for (result, (key, _)) in told.into_iter().zip(&items) {
            match result {
                Ok(()) => assert!(is_healthy(key), "{key}"),
                Err(error) => assert!(!is_healthy(key) && matches!(error, Error::Connect { .. }), "{key}: {error}"),
            }
        }
    }
}

#[test]
fn a_server_that_cannot_be_connected_to_is_found_to_be_down_after_all_calls_were_cancelled() {
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address");
    let (listener, _waiting) = full(Domain::IPV4, &any.into());
    let name = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").to_string();
    // Each call is over long before connecting has failed, and the next one comes long after that.
    let reconnect = ReconnectPolicy::After(Duration::from_secs(3600));
    let options = Options::default().timeout(SHORT / 10).connect_timeout(SHORT).reconnect(reconnect);
    runtime().block_on(async {
        let client = memcached2_tokio::Client::with_options([&name], options).expect("a server");
        let begun = Instant::now();
        while !matches!(client.get("a").await, Err(Error::Down { .. })) {
            assert!(begun.elapsed() < PATIENT, "every call still costs its deadline");
            tokio::time::sleep(2 * SHORT).await;
        }
    });
}

#[cfg(unix)]
#[test]
fn a_full_unix_socket_does_not_hold_up_a_blocking_call() {
    let path = std::env::temp_dir().join(format!("memcached2-full-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    drop(UnixListener::bind(&path).expect("a free path"));
    std::fs::remove_file(&path).expect("the socket just made");
    let (_listener, _waiting) = full(Domain::UNIX, &SockAddr::unix(&path).expect("a short path"));
    let uri = format!("memcached+unix://{}", path.display());
    let (told, result) = mpsc::channel();
    std::thread::spawn(move || {
        let client = memcached2_sync::Client::with_options([uri], options(SHORT)).expect("a server");
        told.send(client.get("a"))
    });
    let result = result.recv_timeout(PATIENT).expect("the call to end");
    assert!(matches!(result, Err(Error::Connect { .. })), "{result:?}");
    std::fs::remove_file(&path).expect("the socket just made");
}

#[test]
fn no_connections_to_share_means_one() {
    let server = Memcached::start();
    let mut options = options(PATIENT);
    options.shared_connections = 0;
    runtime().block_on(async {
        let client = memcached2_tokio::Client::with_options([server.address()], options).expect("a server");
        assert_eq!(client.get("a").await, Ok(None));
    });
}

/// A command with a bug.
#[derive(Debug)]
struct Broken(Key<'static>);

impl Command for Broken {
    type Response = ();

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"get half");
        panic!("a bug in somebody's command")
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

impl Keyed for Broken {
    fn key(&self) -> Key<'_> {
        self.0
    }
}

#[test]
fn a_panic_in_a_command_costs_the_pool_no_connection() {
    let server = Memcached::start();
    let client =
        memcached2_sync::Client::with_options([server.address()], options(PATIENT).pool_connections(1)).expect("one");
    for _ in 0..3 {
        let client = client.clone();
        let broken = std::thread::spawn(move || client.run(Broken(Key::new("a").expect("a key"))));
        assert!(broken.join().is_err(), "the command was to panic");
    }
    assert_eq!(client.get("a"), Ok(None));
}
