//! TLS with a real memcached, for all three clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../certificates/mod.rs"]
mod certificates;
#[path = "../../memcached2-proto/examples/event_loop.rs"]
#[allow(dead_code, reason = "its `main`")]
mod event_loop;
#[path = "tls/server.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use memcached2_proto::opening::Endpoint;
use memcached2_proto::tls::rustls::AlertDescription;
use memcached2_proto::{BatchResult, Expiry, Options, ReconnectPolicy};
use memcached2_testkit::Memcached;

use self::certificates::{Authority, TRUSTED, file, serve};
use self::server::{End, TlsServer};

const PATIENT: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options::default()
        .timeout(PATIENT)
        .connect_timeout(Duration::from_secs(10))
        .reconnect(ReconnectPolicy::Immediately)
        .tls_built_in_root_certs(false)
        .add_root_certificate(TRUSTED.certificate())
}

/// The same call of each client.
macro_rules! each {
    ($servers:expr, $options:expr, |$client:ident| $call:ident($($argument:expr),*)) => {
        [
            ("sync", { let $client = memcached2_sync::Client::with_options($servers, $options).unwrap(); $client.$call($($argument),*) }),
            ("tokio", {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async { let $client = memcached2_tokio::Client::with_options($servers, $options).unwrap(); $client.$call($($argument),*).await })
            }),
            ("async-std", async_std::task::block_on(async {
                let $client = memcached2_async_std::Client::with_options($servers, $options).unwrap();
                $client.$call($($argument),*).await
            })),
        ]
    };
}

/// memcached before 1.6.39 stops answering stores that share a record, until one more byte comes.
#[test]
fn pipelined_stores_do_not_stall() {
    if Memcached::has_no_tls_for("pipelined_stores_do_not_stall") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1).args(["-m", "512"]));
    let sizes: Vec<_> = (0..30).map(|at| 100 + at * 39_900 / 29).collect();
    let items: Vec<_> = (0..10_000).map(|at| (format!("key{at}"), vec![b'x'; sizes[at * 7 % 30]])).collect();
    for (name, stored) in each!([server.address()], options(), |client| set_many(&items, Expiry::Never)) {
        stored.and_then(BatchResult::all_stored).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// The fence of a store under a condition follows its data block, and gets come between.
#[test]
fn stores_under_conditions_and_gets_do_not_stall() {
    if Memcached::has_no_tls_for("stores_under_conditions_and_gets_do_not_stall") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = memcached2_tokio::Client::with_options([server.address()], options()).unwrap();
        let calls = (0..2_000_usize).map(|at| {
            let client = client.clone();
            async move {
                let (key, value) = (format!("key{}", at / 4), vec![b'y'; 100 + at * 17 % 20_000]);
                match at % 4 {
                    0 => client.add(key, value, Expiry::Never).await.map(drop),
                    1 => client.get(key).await.map(drop),
                    2 => client.append(key, value).await.map(drop),
                    _ => client.get_many(&[key.as_str(), "other"]).await.map(drop),
                }
            }
        });
        for result in futures::future::join_all(calls).await {
            result.unwrap();
        }
    });
}

#[test]
fn credentials_are_given_after_the_handshake() {
    if Memcached::has_no_tls_for("credentials_are_given_after_the_handshake") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1).credentials("web", "s3cret"));
    let address = server.address().replace("://", "://web:s3cret@");
    for (name, stored) in each!([&*address], options(), |client| set("a", "x", Expiry::Never)) {
        assert_eq!(stored, Ok(()), "{name}");
    }
    for told in told(&server.address().replace("://", "://web:wrong@"), &options()) {
        assert!(told.contains("refused the user and password") && !told.contains("wrong"), "{told}");
    }
    // One without a password file.
    let (server, _files) = serve(Memcached::with().threads(1));
    for told in told(&server.address().replace("://", "://web:s3cret@"), &options()) {
        assert!(told.contains("does not ask for a user and password"), "{told}");
    }
}

/// What each client says of a server, within the time to connect.
fn told(address: &str, options: &Options) -> Vec<String> {
    let begun = Instant::now();
    let told = each!([address], options.clone(), |client| get("a"));
    assert!(begun.elapsed() < PATIENT / 2, "it took {:?}", begun.elapsed());
    told.into_iter().map(|(name, result)| format!("{name}: {}", result.expect_err("no connection"))).collect()
}

#[test]
fn a_server_that_cannot_be_trusted_is_refused_with_a_reason() {
    if Memcached::has_no_tls_for("a_server_that_cannot_be_trusted_is_refused_with_a_reason") {
        return;
    }
    let ip = &["127.0.0.1"];
    for (signed, expected) in [
        (Authority::new("unknown").sign(ip), ["add_root_certificate", "UnknownIssuer"]),
        (TRUSTED.sign(&["cache.example"]), ["tls_server_name", "cache.example"]),
        (TRUSTED.sign_expired(ip), ["has expired", "renew"]),
    ] {
        let (server, _files) = signed.serve(Memcached::with().threads(1));
        for told in told(&server.address(), &options()) {
            assert!(expected.iter().all(|words| told.contains(words)), "{told}");
        }
    }
}

#[test]
fn a_server_has_another_name_than_its_host() {
    if Memcached::has_no_tls_for("a_server_has_another_name_than_its_host") {
        return;
    }
    let (server, _files) = TRUSTED.sign(&["cache.example"]).serve(Memcached::with().threads(1));
    let named = format!("{}?tls_name=cache.example", server.address());
    for (address, options) in [(server.address(), options().tls_server_name("cache.example")), (named, options())] {
        for (name, result) in each!([&*address], options.clone(), |client| get("a")) {
            assert_eq!(result, Ok(None), "{name}");
        }
    }
}

#[test]
fn a_port_of_the_other_kind_is_named_as_such() {
    if Memcached::has_no_tls_for("a_port_of_the_other_kind_is_named_as_such") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1));
    let brief = options().connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(2));
    for told in told(&format!("memcacheds://{}", server.plain_address()), &brief) {
        assert!(told.contains("memcached:// for memcacheds://"), "{told}");
    }
    for told in told(server.address().trim_start_matches("memcacheds://"), &brief) {
        assert!(told.contains("memcacheds://"), "{told}");
    }
}

#[test]
fn a_server_that_wants_a_certificate_gets_one() {
    if Memcached::has_no_tls_for("a_server_that_wants_a_certificate_gets_one") {
        return;
    }
    let authority = file(&TRUSTED.pem());
    let verify = format!("ssl_verify_mode=2,ssl_ca_cert={}", authority.display());
    let (server, _files) = serve(Memcached::with().threads(1).args(["-o", &verify]));
    let identity = TRUSTED.sign(&["client"]).identity();
    for (name, result) in each!([server.address()], options().identity(identity.clone()), |client| get("a")) {
        assert_eq!(result, Ok(None), "{name}");
    }
    for told in told(&server.address(), &options()) {
        assert!(told.contains("by identity"), "{told}");
    }
    let _ = std::fs::remove_file(authority);
}

/// The example of an event loop, as users start it.
#[test]
fn an_event_loop_of_the_users_own_opens_by_tls_with_a_password() {
    if Memcached::has_no_tls_for("an_event_loop_of_the_users_own_opens_by_tls_with_a_password") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1).credentials("web", "s3cret"));
    let address = |password| server.address().replace("://", &format!("://web:{password}@")).parse().unwrap();
    assert_eq!(event_loop::run(&address("s3cret"), &options()).unwrap(), 500);
    let told = event_loop::run(&address("wrong"), &options()).unwrap_err().to_string();
    assert!(told.contains("refused the user and password"), "{told}");
}

#[test]
fn a_client_that_is_closed_says_close_notify() {
    let server = TlsServer::start(TRUSTED.sign(&["127.0.0.1"]).config());
    let ended = |name: &str, stored, is_closed: bool| {
        assert_eq!((stored, is_closed), (Ok(()), true), "{name}");
        assert_eq!(server.ends.recv_timeout(PATIENT), Ok(End::CloseNotify), "{name}");
    };
    {
        let client = memcached2_sync::Client::with_options([&server.address], options()).unwrap();
        ended("sync", client.set("a", "x", Expiry::Never), client.close(PATIENT));
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let client = memcached2_tokio::Client::with_options([&server.address], options()).unwrap();
        ended("tokio", client.set("a", "x", Expiry::Never).await, client.close(PATIENT).await);
    });
    async_std::task::block_on(async {
        let client = memcached2_async_std::Client::with_options([&server.address], options()).unwrap();
        ended("async-std", client.set("a", "x", Expiry::Never).await, client.close(PATIENT).await);
    });
}

#[test]
fn a_server_that_cannot_be_trusted_is_sent_the_reason_as_an_alert() {
    for (signed, expected) in [
        (Authority::new("unknown").sign(&["127.0.0.1"]), AlertDescription::UnknownCA),
        (TRUSTED.sign_expired(&["127.0.0.1"]), AlertDescription::CertificateExpired),
    ] {
        let server = TlsServer::start(signed.config());
        for told in told(&server.address, &options()) {
            let end = server.ends.recv_timeout(PATIENT);
            assert_eq!(end, Ok(End::Alert(expected)), "{told}");
        }
        let endpoint = Arc::new(Endpoint::new(0, &server.address.parse().unwrap(), &options()));
        assert!(event_loop::open(&endpoint).is_err());
        assert_eq!(server.ends.recv_timeout(PATIENT), Ok(End::Alert(expected)), "event loop");
        // Of several servers at the same time, as a blocking call asks them.
        let both = [server.address.as_str(), "127.0.0.1:1"];
        let client = memcached2_sync::Client::with_options(both, options()).unwrap();
        assert!(client.version().unwrap().iter().all(|told| told.is_err()));
        assert_eq!(server.ends.recv_timeout(PATIENT), Ok(End::Alert(expected)), "several servers");
    }
}

#[test]
fn the_second_connection_to_a_server_that_keeps_sessions_is_resumed() {
    if Memcached::has_no_tls_for("the_second_connection_to_a_server_that_keeps_sessions_is_resumed") {
        return;
    }
    let (server, _files) = serve(Memcached::with().threads(1).args(["-o", "ssl_session_cache"]));
    let endpoint = Arc::new(Endpoint::new(0, &server.address().parse().unwrap(), &options()));
    let resumed = [(); 3].map(|()| event_loop::open(&endpoint).unwrap().1.tls.unwrap().is_resumed());
    assert_eq!(resumed, [false, true, true]);
}
