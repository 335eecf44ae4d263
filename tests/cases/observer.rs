//! What an observer is called with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcached2_proto::observer::{Attempt, Event, ServerEvent};
use memcached2_proto::{Error, Expiry, Key, Observer, Options, Protocol, ReconnectPolicy, Router, Server};
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, name};
use super::setting::{PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        an_observer_is_called_for_every_request,
        several_observers_are_called_one_after_the_other,
        a_panic_in_an_observer_leaves_the_client_usable,
        an_observer_is_called_when_a_server_goes_down_or_comes_back,
    }
    scripted {
        an_observer_is_called_for_the_retry_of_a_read,
    }
}

/// Writes a line for each call.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn on_request(&self, event: &Event<'_>) {
        assert!(event.wait <= event.time && event.time < PATIENT, "{event:?}");
        assert!(event.server.is_none() || !event.time.is_zero(), "{event:?}");
        let attempt = match event.attempt {
            Attempt::First => "",
            Attempt::Retry => " again",
            _ => " elsewhere",
        };
        let Event { command, sent, received, .. } = event;
        let server = event.server.map_or("nobody", |server| server.name());
        let outcome = event.outcome.as_str();
        let line = format!("{command} of {server}{attempt}: {outcome}, {sent} bytes sent, {received} received");
        self.0.lock().unwrap().push(line);
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        let word = if event == ServerEvent::Up { "up" } else { "down" };
        self.0.lock().unwrap().push(format!("{} is {word}", server.name()));
    }
}

impl Log {
    /// What was heard since the last time, sorted.
    fn take(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.0.lock().unwrap());
        lines.sort();
        lines
    }
}

fn observed(servers: &[String], options: Options) -> (Client, Arc<Log>) {
    let log = Arc::new(Log::default());
    let observer: Arc<dyn Observer> = Arc::<Log>::clone(&log);
    (Client::with_options(servers, options.observer(observer)).expect("the addresses are right"), log)
}

fn an_observer_is_called_for_every_request(on: Kind) {
    let server = on.start();
    let address = server.address();
    let (client, log) = observed(std::slice::from_ref(&address), forgetful(PATIENT).protocol(Protocol::Classic));
    client.set("a", "value", Expiry::Never).unwrap();
    client.get("a").unwrap();
    client.gets("b").unwrap();
    client.add("a", "x", Expiry::Never).unwrap_err();
    client.delete("b").unwrap();
    client.incr("a", 1).unwrap_err();
    client.get_many(&["a", "b", "c"]).unwrap().into_result().unwrap();
    client.version().unwrap().into_result().unwrap();
    let mut expected = [
        ("set", "done, 20 bytes sent, 0 received"),
        ("get", "hit, 7 bytes sent, 5 received"),
        ("gets", "miss, 8 bytes sent, 0 received"),
        ("add", "not_done, 16 bytes sent, 0 received"),
        ("delete", "not_done, 10 bytes sent, 0 received"),
        ("incr", "refused, 10 bytes sent, 0 received"),
        ("get", "hit, 11 bytes sent, 5 received"),
        ("version", "done, 9 bytes sent, 0 received"),
    ]
    .map(|(command, rest)| format!("{command} of {}: {rest}", name(&address)));
    expected.sort();
    assert_eq!(log.take(), expected);
}

fn several_observers_are_called_one_after_the_other(on: Kind) {
    /// Writes its name into a common log.
    #[derive(Debug)]
    struct Named(&'static str, Arc<Mutex<Vec<&'static str>>>);

    impl Observer for Named {
        fn on_request(&self, _: &Event<'_>) {
            self.1.lock().unwrap().push(self.0);
        }

        fn on_server_event(&self, _: &Server, _: ServerEvent) {
            self.1.lock().unwrap().push("an event");
        }
    }

    let mut server = on.start();
    let log = Arc::new(Mutex::new(Vec::new()));
    let names = ["first", "second", "third"];
    let options = forgetful(PATIENT).reconnect(ReconnectPolicy::After(Duration::from_secs(3600)));
    let options = names.iter().fold(options, |options, name| options.observer(Arc::new(Named(name, Arc::clone(&log)))));
    let client = Client::with_options([server.address()], options).unwrap();
    client.get("a").unwrap();
    assert_eq!(*log.lock().unwrap(), names);
    server.stop();
    // The connection is found dead, and then the server down.
    while !log.lock().unwrap().contains(&"an event") {
        client.get("a").unwrap_err();
    }
    assert_eq!(log.lock().unwrap().iter().filter(|name| **name == "an event").count(), names.len());
}

fn a_panic_in_an_observer_leaves_the_client_usable(on: Kind) {
    /// Panics at a `delete`.
    #[derive(Debug)]
    struct Panics;

    impl Observer for Panics {
        fn on_request(&self, event: &Event<'_>) {
            assert_ne!(event.command, "delete", "as a test wants it");
        }
    }

    let server = on.start();
    let client = Client::with_options([server.address()], forgetful(PATIENT).observer(Arc::new(Panics))).unwrap();
    client.set("a", "x", Expiry::Never).unwrap();
    // Only what is `RefUnwindSafe` can be captured.
    std::panic::catch_unwind(|| client.delete("a")).expect_err("a panic");
    assert_eq!(client.get("a"), Ok(None));
    client.set("a", "y", Expiry::Never).unwrap();
    assert_eq!(client.get("a").unwrap().expect("a hit"), "y");
}

fn an_observer_is_called_when_a_server_goes_down_or_comes_back(on: Kind) {
    let (mut servers, addresses) = on.servers(2);
    let router = Router::parse(&addresses).unwrap();
    let key_of = |place| {
        let is_there = |key: &String| router.route(Key::new(key).unwrap()).unwrap().index() == place;
        (10..99).map(|at| format!("key{at}")).find(is_there).expect("a key")
    };
    let keys = [key_of(0), key_of(1)];
    let hour = Duration::from_secs(3600);
    let options = forgetful(PATIENT).protocol(Protocol::Classic).reconnect(ReconnectPolicy::After(hour));
    let (client, log) = observed(&addresses, options.clone());
    assert_eq!(client.get_many(&keys).unwrap().into_result(), Ok(vec![None, None]));
    let told = |at: usize, rest: &str| format!("get of {}{rest}", name(&addresses[at]));
    let mut expected = [told(0, ": miss, 11 bytes sent, 0 received"), told(1, ": miss, 11 bytes sent, 0 received")];
    expected.sort();
    assert_eq!(log.take(), expected);

    servers[0].stop();
    // A request that was answered is reported once, though the call goes on with the rest on another server.
    let (client, log) = observed(&addresses, options.clone());
    assert_eq!(client.get_many(&keys).unwrap().into_result(), Ok(vec![None, None]));
    let lines = log.take();
    let count = |line: &str| lines.iter().filter(|told| *told == line).count();
    let (answered, moved) = (": miss, 11 bytes sent, 0 received", " elsewhere: miss, 11 bytes sent, 0 received");
    assert_eq!((lines.len(), count(&told(1, answered)), count(&told(1, moved))), (4, 1, 1), "{lines:?}");

    let (client, log) = observed(&addresses, options);
    assert_eq!(client.get(&keys[0]), Ok(None));
    let is_down = |at: usize| format!("{} is down", name(&addresses[at]));
    let mut expected = vec![told(1, " elsewhere: miss, 11 bytes sent, 0 received"), is_down(0)];
    let failed = log.take().into_iter().filter(|line| !expected.contains(line)).collect::<Vec<_>>();
    assert!(failed.len() == 1 && failed[0].starts_with(&told(0, ": failed, ")), "{failed:?}");
    // Now it is known.
    assert_eq!(client.get(&keys[0]), Ok(None));
    expected = vec![told(1, ": miss, 11 bytes sent, 0 received")];
    assert_eq!(log.take(), expected);
    servers[1].stop();
    assert!(client.get(&keys[0]).is_err());
    assert!(log.take().contains(&is_down(1)));
    assert!(matches!(client.get(&keys[0]), Err(Error::Down { .. } | Error::AllDown { .. })));
    assert_eq!(log.take(), ["get of nobody: failed, 0 bytes sent, 0 received"]);
}

fn an_observer_is_called_for_the_retry_of_a_read() {
    let hit = || Session::new().expect("get a\r\n").send("VALUE a 0 3\r\none\r\nEND\r\n");
    let server = ScriptedServer::start([hit().expect("get a\r\n").close(), hit()]);
    let (client, log) = observed(&[server.address()], forgetful(PATIENT).protocol(Protocol::Classic));
    client.get("a").unwrap();
    log.take();
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    let address = server.address();
    assert_eq!(
        log.take(),
        [
            format!("get of {address} again: hit, 7 bytes sent, 3 received"),
            format!("get of {address}: failed, 7 bytes sent, 0 received"),
        ]
    );
    drop(client);
    server.finish();
}
