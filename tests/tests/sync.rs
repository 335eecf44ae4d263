//! The blocking client: all conformance cases of `tests/cases`, and its pool of connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../cases/mod.rs"]
mod cases;

/// What the cases are run through.
mod subject {
    pub(crate) use memcached2_sync::{Client, Lock, Mapping, MissOnError, Namespace, NearCache, Values};

    pub(crate) const NAME: &str = "memcached2-sync";
}

mod closing {
    use std::time::Duration;

    use memcached2_proto::{Error, Options, Protocol};
    use memcached2_sync::Client;
    use memcached2_testkit::{Gate, ScriptedServer, Session, assert_matches};

    const PATIENT: Duration = Duration::from_secs(30);

    #[test]
    fn a_call_under_way_goes_on_and_its_connection_closes_after_it() {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("VALUE a 0 1\r\nx\r\nEND\r\n");
        let server = ScriptedServer::start([play.expect_close()]);
        let client =
            Client::with_options([server.address()], Options::default().timeout(PATIENT).protocol(Protocol::Classic))
                .expect("right");
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get("a"));
            asked.wait();
            assert!(!client.close(Duration::ZERO), "closed while a call is under way");
            assert_matches!(client.get("b"), Err(Error::Closed { .. }));
            let closers = [scope.spawn(|| client.close(PATIENT)), scope.spawn(|| client.close(PATIENT))];
            answer.open();
            assert_eq!(caller.join().expect("no panic").unwrap().expect("a hit"), "x");
            assert!(closers.into_iter().all(|closer| closer.join().expect("no panic")));
        });
        server.finish();
    }

    #[test]
    fn callers_waiting_for_a_connection_fail_when_the_client_closes() {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("END\r\n");
        let server = ScriptedServer::start([play.expect_close()]);
        let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic).pool_connections(1);
        let client = Client::with_options([server.address()], options).expect("right");
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get("a"));
            asked.wait();
            let waiting = scope.spawn(|| client.get("b"));
            // It waits inside the client, which cannot be observed.
            std::thread::sleep(Duration::from_millis(100));
            assert!(!client.close(Duration::ZERO));
            assert_matches!(waiting.join().expect("no panic"), Err(Error::Closed { .. }));
            answer.open();
            assert_eq!(caller.join().expect("no panic"), Ok(None));
        });
        server.finish();
    }
}

mod waiting {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use memcached2_proto::observer::Event;
    use memcached2_proto::{Observer, Options, Protocol};
    use memcached2_sync::Client;
    use memcached2_testkit::{EmbeddedServer, Gate, ScriptedServer, Session};

    /// How long connections were waited for.
    #[derive(Debug, Default)]
    struct Waits(Mutex<Vec<Duration>>);

    impl Observer for Waits {
        fn on_request(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(event.wait);
        }
    }

    fn observed(servers: &[String], options: Options) -> (Client, Arc<Waits>) {
        let waits = Arc::new(Waits::default());
        let observer: Arc<dyn Observer> = Arc::<Waits>::clone(&waits);
        (Client::with_options(servers, options.observer(observer)).expect("right"), waits)
    }

    #[test]
    fn a_connection_that_has_to_be_made_is_waited_for() {
        let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
        let addresses = servers.each_ref().map(EmbeddedServer::address);
        for addresses in [&addresses[..1], &addresses] {
            let (client, waits) = observed(addresses, Options::default());
            for is_waited_for in [true, false] {
                client.version().unwrap().into_result().unwrap();
                let waits = std::mem::take(&mut *waits.0.lock().unwrap());
                assert_eq!(waits.len(), addresses.len());
                assert!(waits.iter().all(|wait| wait.is_zero() != is_waited_for), "{waits:?}");
            }
        }
    }

    /// How long a call has waited for the only connection, while another one had it for a while.
    fn waited() -> Duration {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("END\r\n");
        let server = ScriptedServer::start([play.expect("get b\r\n").send("END\r\n")]);
        let options =
            Options::default().timeout(Duration::from_secs(30)).protocol(Protocol::Classic).pool_connections(1);
        let (client, waits) = observed(&[server.address()], options);
        std::thread::scope(|scope| {
            scope.spawn(|| client.get("a"));
            asked.wait();
            let waiting = scope.spawn(|| client.get("b"));
            std::thread::sleep(AWHILE);
            answer.open();
            assert_eq!(waiting.join().expect("no panic"), Ok(None));
        });
        drop(client);
        server.finish();
        waits.0.lock().unwrap().iter().copied().max().expect("two waits")
    }

    const AWHILE: Duration = Duration::from_millis(50);

    #[test]
    fn a_connection_that_others_use_is_waited_for() {
        // On a busy machine the one that is to wait may come late.
        assert!((0..10).any(|_| waited() > AWHILE / 2));
    }
}

/// Connections that died while they were idle.
mod idle {
    use std::sync::Barrier;
    use std::time::Duration;

    use memcached2_proto::{Error, Expiry, Options, Protocol};
    use memcached2_sync::Client;
    use memcached2_testkit::{Gate, Memcached, ScriptedServer, Session};

    const CONNECTIONS: usize = 6;
    const PATIENT: Duration = Duration::from_secs(30);

    /// Runs as many calls at the same time as there shall be connections.
    fn warm(client: &Client, begun: impl Fn() + Sync) {
        let barrier = Barrier::new(CONNECTIONS);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    barrier.wait();
                    client.get("a").unwrap();
                });
            }
            begun();
        });
    }

    #[test]
    fn a_restart_under_idle_connections_costs_one_write() {
        let mut server = Memcached::start();
        let client = Client::with_options([server.address()], Options::default()).expect("right");
        client.set("a", "x", Expiry::Never).unwrap();
        server.suspend();
        // They pile up until the server goes on.
        warm(&client, || {
            std::thread::sleep(Duration::from_millis(100));
            server.resume();
        });
        server.restart();
        let failed = (0..2 * CONNECTIONS).filter(|_| client.set("a", "x", Expiry::Never).is_err()).count();
        assert!(failed <= 1, "{failed} writes have failed");
    }

    #[test]
    fn a_server_that_takes_no_further_connection_is_asked_on_those_that_there_are() {
        let server = Memcached::with().threads(1).args(["-c", "20", "-o", "maxconns_fast"]).start();
        let client = Client::with_options([server.address()], Options::default().timeout(PATIENT)).expect("right");
        let failed: Vec<Error> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..40)
                .map(|thread| {
                    let client = &client;
                    let store = move |at: u32| client.set(format!("key{thread}:{at}"), at, Expiry::Never).err();
                    scope.spawn(move || (0..100).filter_map(store).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(failed, [], "of 4000 stores");
        assert!(client.router().servers().len() == 1 && client.get("key0:0").unwrap().is_some());
    }

    /// As memcached before 1.6.7 does that is full: it lets whoever connects wait.
    #[test]
    fn a_caller_whose_new_connection_hears_nothing_takes_one_that_another_caller_gives_back() {
        let (asked, connected) = (Gate::new("asked"), Gate::new("connected"));
        let first = Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
        let first = first.expect("get a\r\n").open(&asked).wait(&connected).send("END\r\n");
        let silent = Session::new().expect_probe().open(&connected).ignore();
        let server = ScriptedServer::start([first.expect("get b\r\n").send("VALUE b 0 1\r\nx\r\nEND\r\n"), silent]);
        let options = Options::default().timeout(PATIENT).connect_timeout(Duration::from_millis(50));
        let client = Client::with_options([server.address()], options).expect("right");
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get("a"));
            asked.wait();
            assert_eq!(client.get("b").unwrap().expect("a hit"), "x");
            assert_eq!(caller.join().expect("no panic"), Ok(None));
        });
        drop(client);
        server.finish();
    }

    /// As with a firewall that drops idle connections silently.
    #[test]
    fn connections_that_were_dropped_in_silence_cost_one_call() {
        let hit = "VALUE a 0 1\r\nx\r\nEND\r\n";
        let gates: Vec<_> = (0..CONNECTIONS).map(|_| Gate::new("asked")).collect();
        let all = Gate::new("all have asked");
        let dropped = |gate: &Gate| Session::new().expect("get a\r\n").open(gate).wait(&all).send(hit).ignore();
        let stored = |session: Session| session.expect("set a 0 0 1\r\ny\r\n").send("STORED\r\n");
        let healthy = (0..5).fold(Session::new(), |session, _| stored(session));
        let server = ScriptedServer::start(gates.iter().map(dropped).chain([healthy]));
        // Every connection counts as one that has been idle for long.
        let options = Options::default().timeout(Duration::from_secs(1)).pool_trusted(Duration::ZERO);
        let client = Client::with_options([server.address()], options.protocol(Protocol::Classic)).expect("right");
        warm(&client, || {
            gates.iter().for_each(Gate::wait);
            all.open();
        });
        let error = client.set("a", "y", Expiry::Never).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        for _ in 0..5 {
            client.set("a", "y", Expiry::Never).unwrap();
        }
        assert_eq!(server.connections(), CONNECTIONS + 1);
        drop(client);
        server.finish();
    }
}

/// Whether a server counts as down.
mod health {
    use std::time::Duration;

    use memcached2_proto::{Error, Expiry, Options, Protocol, ReconnectPolicy};
    use memcached2_sync::Client;
    use memcached2_testkit::{Gate, ScriptedServer, Session};

    /// Where the next connection does not ask which protocol it speaks.
    #[test]
    fn a_server_that_answers_on_one_connection_is_not_down_because_it_is_silent_on_another() {
        let asked = Gate::new("asked");
        let silent = Session::new().expect("get a\r\n").open(&asked).ignore();
        let other = Session::new().expect("get b\r\n").send("END\r\n").expect("get b\r\n").send("END\r\n");
        let server = ScriptedServer::start([silent, other]);
        let options = Options::default().protocol(Protocol::Classic).timeout(Duration::from_secs(20));
        let reconnect = ReconnectPolicy::After(Duration::from_secs(3600));
        let client = Client::with_options([server.address()], options.reconnect(reconnect)).unwrap();
        std::thread::scope(|scope| {
            let silent = scope.spawn(|| client.with_timeout(Duration::from_secs(1)).get("a"));
            asked.wait();
            assert_eq!(client.get("b"), Ok(None));
            assert!(silent.join().unwrap().unwrap_err().is_timeout());
        });
        assert_eq!(client.get("b"), Ok(None));
        drop(client);
        server.finish();
    }

    /// Where the next connection does not ask which protocol it speaks.
    #[test]
    fn a_call_of_which_nothing_was_sent_does_not_count_as_an_answer() {
        let asked = Gate::new("asked");
        let server = ScriptedServer::start([Session::new().expect("get a\r\n").open(&asked).ignore(), Session::new()]);
        let options =
            Options::default().protocol(Protocol::Classic).timeout(Duration::from_secs(20)).sent_value_limit(3);
        let reconnect = ReconnectPolicy::After(Duration::from_secs(3600));
        let client = Client::with_options([server.address()], options.reconnect(reconnect)).unwrap();
        std::thread::scope(|scope| {
            let silent = scope.spawn(|| client.with_timeout(Duration::from_secs(1)).get("a"));
            asked.wait();
            let error = client.set("b", "too large", Expiry::Never).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
            assert!(silent.join().unwrap().unwrap_err().is_timeout());
        });
        let error = client.get("a").unwrap_err();
        assert!(matches!(error, Error::Down { .. }), "{error:?}");
        drop(client);
        server.finish();
    }
}
