//! Servers that ask for a user and password, and servers that do not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use memcached2_proto::observer::{Event, ServerEvent};
use memcached2_proto::{Credentials, Error, Expiry, Landed, Observer, Options, Protocol, ReconnectPolicy, Server};
use memcached2_testkit::{ScriptedServer, Session, assert_matches};

use super::servers::{Kind, ask};
use super::setting::{BRIEF, HOUR, PATIENT, forgetful, kind, trusting};
use crate::subject::Client;

super::cases! {
    served {
        a_client_gives_its_credentials_on_every_kind_of_socket since (1, 5, 15),
        wrong_credentials_fail_every_call_and_the_server_is_not_down since (1, 5, 15),
        a_client_without_credentials_is_told_how_to_give_them since (1, 5, 15),
        a_provider_is_called_for_each_connection since (1, 5, 15),
        warm_says_which_servers_refuse_the_credentials since (1, 5, 15),
        a_server_that_asks_for_nothing_gets_no_credentials not_over [TlsWithPassword],
        credentials_are_shown_by_no_error_event_or_client since (1, 5, 15) not_over [TlsWithPassword],
    }
    scripted {
        a_server_that_asks_for_nothing_never_sees_the_credentials,
        credentials_are_written_before_anything_else,
        a_server_that_closes_instead_has_lost_the_connection,
        a_server_that_is_silent_instead_is_down,
    }
}

const USER: &str = "web";
const PASSWORD: &str = "s3cret/@:?#%";
const QUESTION: &str = "version\r\n";
const WANTED: &str = "CLIENT_ERROR unauthenticated\r\n";
const GIVEN: &str = "set memcached2-credentials 0 -1 16\r\nweb s3cret/@:?#%\r\n";

fn credentials(password: &str) -> Credentials {
    Credentials::new(USER, password).unwrap()
}

fn client(address: &str, options: Options) -> Client {
    Client::with_options([address], options).unwrap()
}

/// An address with credentials before the host or path.
fn with_credentials(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("memcached", address));
    format!("{scheme}://web:s3cret%2F%40%3A%3F%23%25@{rest}")
}

fn a_client_gives_its_credentials_on_every_kind_of_socket(on: Kind) {
    for server in on.start_with_credentials(USER, PASSWORD) {
        let protocols = [None].into_iter().chain(on.protocols().iter().copied().map(Some));
        for protocol in protocols {
            let options = || protocol.into_iter().fold(forgetful(PATIENT).connect_timeout(PATIENT), Options::protocol);
            for client in [
                client(&server.address(), options().credentials(credentials(PASSWORD))),
                // Those of the address come first.
                client(&with_credentials(&server.address()), options().credentials(credentials("wrong"))),
            ] {
                client.set("a", "x", HOUR).unwrap();
                assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
                let hits = client.get_many(&["a", "b"]).unwrap().into_result().unwrap();
                assert_eq!(hits.iter().flatten().count(), 1);
                // What carries the credentials is no item.
                assert_eq!(client.get("memcached2-credentials"), Ok(None));
            }
        }
    }
}

fn wrong_credentials_fail_every_call_and_the_server_is_not_down(on: Kind) {
    for server in on.start_with_credentials(USER, PASSWORD) {
        let options = trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::After(PATIENT));
        let client = client(&server.address(), options.credentials(credentials("wrong")));
        // A server that counted as down would not be asked again.
        for _ in 0..3 {
            for error in [
                client.get("a").map(drop).unwrap_err(),
                client.set("a", "x", Expiry::Never).unwrap_err(),
                client.get_many(&["a", "b"]).unwrap().into_result().map(drop).unwrap_err(),
                client.version().unwrap().into_result().map(drop).unwrap_err(),
            ] {
                assert_matches!(
                    &error,
                    Error::CredentialsRefused { line, .. } if **line == *"CLIENT_ERROR authentication failure"
                );
                assert_eq!((error.landed(), error.counts_as_miss()), (Landed::NotSent, false));
                assert!(server.address().ends_with(error.server().expect("a server")), "{error}");
            }
        }
    }
}

fn a_client_without_credentials_is_told_how_to_give_them(on: Kind) {
    for server in on.start_with_credentials(USER, PASSWORD) {
        let client = client(&server.address(), forgetful(PATIENT).connect_timeout(PATIENT));
        for error in [client.get("a").map(drop).unwrap_err(), client.set("a", "x", Expiry::Never).unwrap_err()] {
            assert!(error.to_string().contains("unauthenticated"), "{error}");
            assert!(error.to_string().contains("memcached://user:password@host"), "{error}");
            assert_ne!(error.landed(), Landed::Unknown);
        }
    }
}

fn a_provider_is_called_for_each_connection(on: Kind) {
    for mut server in on.start_with_credentials(USER, PASSWORD) {
        let called = Arc::new(AtomicUsize::new(0));
        let calls = Arc::clone(&called);
        let provider = move || match calls.fetch_add(1, Ordering::Relaxed) {
            1 => Err("the vault is closed".into()),
            _ => Ok(Credentials::new(USER, PASSWORD)?),
        };
        let client =
            client(&server.address(), forgetful(PATIENT).connect_timeout(PATIENT).credentials_provider(provider));
        client.set("a", "x", Expiry::Never).unwrap();
        assert_eq!((client.get("a").unwrap().is_some(), called.load(Ordering::Relaxed)), (true, 1));
        server.restart();
        let error = client.get("a").unwrap_err();
        assert_matches!(&error, Error::NoCredentials { .. } if error.to_string().contains("the vault is closed"));
        assert_eq!((client.get("a"), called.load(Ordering::Relaxed)), (Ok(None), 3));
    }
}

fn warm_says_which_servers_refuse_the_credentials(on: Kind) {
    let servers = on.start_with_credentials(USER, PASSWORD);
    let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
    let (right, others) = addresses.split_first().expect("a server");
    let all = [with_credentials(right)].into_iter().chain(others.iter().cloned());
    let client =
        Client::with_options(all, forgetful(PATIENT).connect_timeout(PATIENT).credentials(credentials("wrong")))
            .unwrap();
    let results = client.warm().unwrap();
    assert!(
        results.len() == servers.len() && results.iter().next().is_some_and(|result| result.is_ok()),
        "{results:?}"
    );
    for result in results.iter().skip(1) {
        assert_matches!(result, Err(Error::CredentialsRefused { .. }));
    }
}

fn a_server_that_asks_for_nothing_gets_no_credentials(on: Kind) {
    for server in [on.start(), on.start_on_unix_socket()] {
        let options = trusting().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::After(PATIENT));
        let client = client(&with_credentials(&server.address()), options);
        for _ in 0..3 {
            let error = client.set("a", "x", Expiry::Never).unwrap_err();
            assert_matches!((&error, error.landed()), (Error::CredentialsNotWanted { .. }, Landed::NotSent));
            assert_matches!(client.get("a"), Err(Error::CredentialsNotWanted { .. }));
        }
        assert!(!server.holds("a") && !server.holds("memcached2-credentials"));
        let is_end = |line: &str| line == "END";
        assert!(server.lines("stats", is_end).iter().any(|line| line == "STAT cmd_set 0"));
        assert!(ask(&server, "version").starts_with("VERSION"));
    }
}

/// Writes down all that an observer can see.
#[derive(Debug, Default)]
struct Log(Mutex<String>);

impl Observer for Log {
    fn on_request(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push_str(&format!("{event:?} {:?}\n", event.server.map(ToString::to_string)));
    }

    fn on_server_event(&self, server: &Server, event: ServerEvent) {
        self.0.lock().unwrap().push_str(&format!("{server:?} {server} {event:?}\n"));
    }
}

fn credentials_are_shown_by_no_error_event_or_client(on: Kind) {
    let mut shown = Vec::new();
    let mut servers = on.start_with_credentials(USER, PASSWORD);
    let plain = on.start();
    let addresses: Vec<_> = servers.iter().chain([&plain]).map(|server| server.address()).collect();
    for is_up in [true, false] {
        for password in [PASSWORD, "s3cret-but-wrong"] {
            for address in &addresses {
                let log = Arc::new(Log::default());
                let observer: Arc<dyn Observer> = Arc::<Log>::clone(&log);
                let options = forgetful(PATIENT).connect_timeout(PATIENT).observer(observer);
                for client in [
                    client(&with_credentials(address), options.clone()),
                    client(address, options.credentials(credentials(password))),
                ] {
                    shown.extend(client.get("a").err().map(|error| format!("{error} {error:?}")));
                    shown.push(format!("{client:?}"));
                }
                shown.push(std::mem::take(&mut *log.0.lock().unwrap()));
            }
        }
        if is_up {
            servers.iter_mut().for_each(|server| server.stop());
        }
    }
    for shown in shown {
        // In the debug form of a server, its bytes would be numbers.
        for secret in ["s3cret", "web", "119, 101, 98", "115, 51, 99"] {
            assert!(!shown.contains(secret), "{secret}");
        }
    }
}

fn a_server_that_asks_for_nothing_never_sees_the_credentials() {
    for answer in ["VERSION 1.6.18\r\n", "ERROR\r\n", "CLIENT_ERROR bad command line format\r\n"] {
        let asked = || Session::new().expect(QUESTION).send_byte_by_byte(answer).expect_close();
        let server = ScriptedServer::start([asked(), asked()]);
        let client = client(&server.address(), forgetful(PATIENT).credentials(credentials(PASSWORD)));
        for error in [client.set("a", "x", Expiry::Never).unwrap_err(), client.get("a").map(drop).unwrap_err()] {
            assert_matches!(&error, Error::CredentialsNotWanted { .. });
        }
        drop(client);
        server.finish();
    }
    for answer in ["SERVER_ERROR out of memory reading request\r\n", "SERVER_ERROR Connection refused\r\n"] {
        let server = ScriptedServer::start([Session::new().expect(QUESTION).send(answer).expect_close()]);
        let client = client(&server.address(), forgetful(PATIENT).credentials(credentials(PASSWORD)));
        let error = client.set("a", "x", Expiry::Never).unwrap_err();
        assert_eq!((kind(&error), error.landed()), ("refused", Landed::NotSent), "{error}");
        drop(client);
        server.finish();
    }
    // Another connection may do, and none gets them.
    for conversation in [
        &[(QUESTION, "HTTP/1.1 400 Bad Request\r\n")],
        &[(QUESTION, "STORED\r\n")],
        &[(QUESTION, "CLIENT_ERROR unauthenticated\r\nSTORED\r\n")],
    ] {
        let options = forgetful(PATIENT).credentials(credentials(PASSWORD));
        let error = client(&closing(conversation), options).set("a", "x", Expiry::Never).unwrap_err();
        assert_eq!((kind(&error), error.landed()), ("protocol", Landed::NotSent), "{error}");
    }
}

fn credentials_are_written_before_anything_else() {
    let given = || {
        let session = Session::new().expect(QUESTION).send_byte_by_byte(WANTED);
        session.expect(GIVEN).send_byte_by_byte("STORED\r\n")
    };
    for protocol in [None, Some(Protocol::Classic)] {
        let session = match protocol {
            None => given().expect_probe().send("ERROR\r\nERROR\r\n"),
            Some(_) => given(),
        };
        let server = ScriptedServer::start([session.expect("get a\r\n").send("VALUE a 0 3\r\none\r\nEND\r\n")]);
        let options = protocol.into_iter().fold(forgetful(PATIENT), Options::protocol);
        let client = client(&with_credentials(&server.address()), options);
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        drop(client);
        server.finish();
    }
}

/// The address of a server that answers each request on each connection with the next answer, and then closes it.
fn closing(conversation: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    // It ends with the process: how many connections a client makes is its own business.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            for (request, answer) in conversation {
                let mut asked = vec![0; request.len()];
                stream.read_exact(&mut asked).expect("a request");
                assert_eq!(asked, request.as_bytes());
                stream.write_all(answer.as_bytes()).expect("the client reads");
            }
        }
    });
    address
}

fn a_server_that_closes_instead_has_lost_the_connection() {
    for conversation in [
        &[(QUESTION, "")][..],
        &[(QUESTION, "CLIENT_ERROR unauth")],
        &[(QUESTION, WANTED), (GIVEN, "")],
        &[(QUESTION, WANTED), (GIVEN, "STOR")],
    ] {
        let options = forgetful(PATIENT).credentials(credentials(PASSWORD));
        let error = client(&closing(conversation), options).set("a", "x", Expiry::Never).unwrap_err();
        assert_eq!((kind(&error), error.landed()), ("disconnected", Landed::NotSent), "{error:?}");
        assert!(error.to_string().contains("user and password"), "{error}");
    }
}

fn a_server_that_is_silent_instead_is_down() {
    let asked = || Session::new().expect(QUESTION);
    for silent in [asked(), asked().send(WANTED).expect(GIVEN)] {
        let server = ScriptedServer::start([silent.expect_close()]);
        let options = trusting().timeout(BRIEF).reconnect(ReconnectPolicy::After(PATIENT));
        let client = client(&server.address(), options.credentials(credentials(PASSWORD)));
        let error = client.set("a", "x", Expiry::Never).unwrap_err();
        assert_eq!((kind(&error), error.landed()), ("connect", Landed::NotSent), "{error:?}");
        assert_matches!(client.set("a", "x", Expiry::Never), Err(Error::Down { .. }));
        drop(client);
        server.finish();
    }
}
