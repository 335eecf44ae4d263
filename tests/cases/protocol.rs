//! Which protocol a server speaks, and replies that are not those of the request.

use memcached2_proto::{Error, Expiry, Key, Landed, Options, Protocol};
use memcached2_testkit::assert_matches;
use memcached2_testkit::{Gate, ScriptedServer, Session};

use super::setting::{BRIEF, PATIENT, forgetful, kind, text_client, until};
use crate::subject::Client;

super::cases! {
    served {}
    scripted {
        a_server_that_speaks_another_protocol_is_named_in_the_error,
        a_server_that_answers_in_meta_is_asked_in_meta,
        a_server_that_refuses_meta_is_asked_in_the_classic_protocol,
        a_server_that_closes_when_it_is_asked_for_its_protocol_is_not_asked_again,
        a_server_that_is_silent_when_it_is_asked_for_its_protocol_is_asked_in_the_classic_one,
        a_server_that_wants_credentials_refuses_every_call,
        a_full_server_is_an_error_at_the_probe,
        a_server_that_misses_one_deadline_is_not_down,
        a_server_that_refused_meta_and_stands_still_is_sent_nothing,
        a_value_is_not_sent_in_meta_before_the_server_has_spoken_it,
        unexpected_bytes_are_no_reply_in_the_classic_protocol,
        a_late_reply_is_not_taken_for_another_one_in_meta,
        a_key_named_noreply_is_not_fetched_in_the_classic_protocol,
        flags_of_64_bits_are_read,
    }
}

const HIT: &str = "VALUE a 0 3\r\none\r\nEND\r\n";

fn probed(answer: &str) -> Session {
    Session::new().expect_probe().send(answer)
}

/// A server that speaks meta.
fn meta() -> Session {
    probed("NF O0000\r\nMN\r\n")
}

/// A client with such long timeouts that no server counts as silent on a busy machine.
fn client(server: &ScriptedServer) -> Client {
    client_with(server, forgetful(PATIENT).connect_timeout(PATIENT))
}

fn client_with(server: &ScriptedServer, options: Options) -> Client {
    Client::with_options([server.address()], options).expect("the address is right")
}

fn a_server_that_speaks_another_protocol_is_named_in_the_error() {
    for (bytes, told) in [
        (&b"\x15\x03\x03\x00\x02\x02\x46"[..], "TLS"),
        (b"\x15\x03\x01\x00\x02\x02\n", "TLS"),
        (b"\x81\0\0\0\0\0\0\x81\0\0\0\x0fUnknown command", "binary protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"-ERR unknown command 'md', with args beginning with: 'AA==' 'b' \r\n", "Redis"),
        (b"-NOAUTH Authentication required.\r\n", "Redis"),
    ] {
        let server = ScriptedServer::start([Session::new().expect_probe().send(bytes).close()]);
        // A value is never sent to it: Redis would carry out its lines.
        let error = client(&server).set("a", "flushall", Expiry::Never).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!((kind(&error), error.landed()), ("connect", Landed::NotSent), "{error}");
        server.finish();
    }
}

fn a_server_that_answers_in_meta_is_asked_in_meta() {
    for answer in
        ["NF O0000\r\nMN\r\n", "NF  O0000\r\nMN\r\n", "EX O0000\r\nMN\r\n", "SERVER_ERROR backend failure\r\nMN\r\n"]
    {
        let session = probed(answer)
            .expect("ms a 1 T60 O0002\r\nx\r\n")
            .send("HD O0002\r\n")
            .expect("mg a f v O0003\r\n")
            .send("VA 1 f0 O0003\r\nx\r\n")
            .expect("mg a f c v O0004\r\n")
            .send("VA 1 f0 c7 O0004\r\nx\r\n")
            .expect("cas a 0 0 1 7\r\ny\r\nmd a C18446744073709551615 O0005\r\n")
            .send("STORED\r\nEX O0005\r\n")
            .expect("ma n MI D2 v O0006\r\n")
            .send("VA 1 O0006\r\n9\r\n")
            .expect("touch a 0\r\nmd a C18446744073709551615 O0007\r\n")
            .send("TOUCHED\r\nEX O0007\r\n")
            .expect("get a b\r\nmg c k f v O0008\r\n")
            .send("VALUE b 0 1\r\nz\r\nEND\r\nEN O0008\r\n")
            .expect("md a O0009\r\n")
            .send("HD O0009\r\n");
        let server = ScriptedServer::start([session]);
        let client = client(&server);
        client.set("a", "x", std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
        assert_eq!(client.gets("a").unwrap().expect("a hit").cas, Some(7));
        client.cas("a", "y", Expiry::Never, 7).unwrap();
        assert_eq!(client.incr("n", 2), Ok(Some(9)));
        assert_eq!(client.touch("a", Expiry::Never), Ok(true));
        let found = client.get_many(&["a", "b", "c"]).unwrap().into_result().unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(client.delete("a"), Ok(true));
        drop(client);
        server.finish();
    }
}

fn a_server_that_refuses_meta_is_asked_in_the_classic_protocol() {
    // memcached 1.4, 1.5.22 with its first draft, 1.6.9, and a server that refuses one flag.
    for answer in [
        "ERROR\r\nERROR\r\n",
        "CLIENT_ERROR invalid or duplicate flag\r\nEN\r\n",
        "CLIENT_ERROR invalid flag\r\nMN\r\n",
        "CLIENT_ERROR bad command line format\r\nMN\r\n",
    ] {
        let session = probed(answer).expect("set a 0 0 3\r\none\r\n").send("STORED\r\n").expect("get a\r\n").send(HIT);
        let server = ScriptedServer::start([session]);
        let client = client(&server);
        client.set("a", "one", Expiry::Never).unwrap();
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one", "{answer:?}");
        drop(client);
        server.finish();
    }
}

/// twemproxy closes the connection on a command that it does not know; others may answer nonsense.
fn a_server_that_closes_when_it_is_asked_for_its_protocol_is_not_asked_again() {
    let asked = || Session::new().expect_probe();
    for first in [asked().close(), asked().reset(), asked().send("what?\r\n")] {
        let classic =
            || Session::new().expect("set a 0 0 3\r\none\r\n").send("STORED\r\n").expect("get a\r\n").send(HIT);
        let server = ScriptedServer::start([first, classic().close(), Session::new().expect("get a\r\n").send(HIT)]);
        let client = client(&server);
        client.set("a", "one", Expiry::Never).unwrap();
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        // The next connection is not asked.
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        assert_eq!(server.connections(), 3);
        drop(client);
        server.finish();
    }
}

fn a_server_that_is_silent_when_it_is_asked_for_its_protocol_is_asked_in_the_classic_one() {
    let silent = Session::new().expect_probe().expect_close();
    let server = ScriptedServer::start([silent, Session::new().expect("get a\r\n").send(HIT)]);
    let client = client_with(&server, forgetful(PATIENT));
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();
}

fn a_server_that_wants_credentials_refuses_every_call() {
    let line = "CLIENT_ERROR unauthenticated";
    let refusing = || probed(&format!("{line}\r\n"));
    let server = ScriptedServer::start([refusing(), refusing(), refusing()]);
    let client = client(&server);
    let told = [
        client.get("a").map(drop).unwrap_err(),
        client.set("a", "x", Expiry::Never).unwrap_err(),
        client.get_many(&["a", "b"]).unwrap().into_result().map(drop).unwrap_err(),
    ];
    for error in told {
        assert_matches!(&error, Error::Refused { line: is, .. } if **is == *line && error.server() == Some(&*server.address().to_string()));
        assert_ne!(error.landed(), Landed::Unknown);
    }
    drop(client);
    server.finish();
}

fn a_full_server_is_an_error_at_the_probe() {
    let full = Session::new().expect_probe().send("ERROR Too many open connections\r\n").close();
    let server = ScriptedServer::start([full, meta().expect("mg a f v O0002\r\n").send("EN O0002\r\n")]);
    let client = client(&server);
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("connect", Landed::NotSent), "{error}");
    assert_eq!(client.get("a"), Ok(None));
    drop(client);
    server.finish();
}

/// A late answer fails its own call, and not the next ones.
fn a_server_that_misses_one_deadline_is_not_down() {
    let late = || meta().expect("mg a f v O0002\r\n").ignore();
    let well =
        meta().expect("mg a f v O0002\r\n").send("EN O0002\r\n").expect("mg a f v O0003\r\n").send("EN O0003\r\n");
    let server = ScriptedServer::start([late(), well]);
    let client = client_with(&server, Options::default().timeout(BRIEF).connect_timeout(PATIENT));
    let error = client.get("a").unwrap_err();
    assert_eq!(kind(&error), "timeout", "{error}");
    for _ in 0..2 {
        assert_eq!(client.get("a"), Ok(None));
    }
    drop(client);
    server.finish();
}

/// An old server would read the value as a command.
fn a_server_that_refused_meta_and_stands_still_is_sent_nothing() {
    let late = probed("ERROR\r\nERROR\r\n").expect("get a\r\n").ignore();
    let server = ScriptedServer::start([late, Session::new().expect_probe().expect_close()]);
    let client = client_with(&server, Options::default().timeout(BRIEF).connect_timeout(PATIENT));
    let error = client.get("a").unwrap_err();
    assert_eq!(kind(&error), "timeout", "{error}");
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("connect", Landed::NotSent), "{error}");
    drop(client);
    server.finish();
}

fn a_value_is_not_sent_in_meta_before_the_server_has_spoken_it() {
    let new = meta().expect("ms a 9 O0002\r\nflush_all\r\n").send("HD O0002\r\n").close();
    let old = probed("ERROR\r\nERROR\r\n").expect("set a 0 0 9\r\nflush_all\r\n").send("STORED\r\n");
    let server = ScriptedServer::start([new, old]);
    let client = client(&server);
    client.set("a", "flush_all", Expiry::Never).unwrap();
    // A client may notice only now that the connection was closed.
    until(|| client.set("a", "flush_all", Expiry::Never).is_ok());
    assert_eq!(server.connections(), 2);
    drop(client);
    server.finish();
}

/// The result of a call, whatever the server is called.
fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.to_string(), |told| format!("{told:?}"))
}

/// What the second request is, and its answer on the connection that it may be asked on again.
struct Late {
    request: &'static str,
    answer: &'static str,
    late: &'static str,
    then: &'static str,
    call: fn(&Client) -> String,
}

/// In the classic protocol no reply says which request it answers: what arrives between two calls must not be read by
/// the second one.
fn unexpected_bytes_are_no_reply_in_the_classic_protocol() {
    for Late { request, answer, late, then, call } in [
        Late {
            request: "incr a 1\r\n",
            answer: "1\r\n",
            late: "1\r\n",
            then: "2\r\n",
            call: |client| shown(client.incr("a", 1)),
        },
        Late {
            request: "get a\r\n",
            answer: HIT,
            late: HIT,
            then: "VALUE a 0 3\r\nnew\r\nEND\r\n",
            call: |client| shown(client.get_as::<String>("a")),
        },
        Late {
            request: "add a 0 0 1\r\nx\r\n",
            answer: "STORED\r\n",
            late: "STORED\r\n",
            then: "NOT_STORED\r\n",
            call: |client| shown(client.add("a", "x", Expiry::Never)),
        },
        Late {
            request: "delete a\r\n",
            answer: "DELETED\r\n",
            late: "DELETED\r\n",
            then: "NOT_FOUND\r\n",
            call: |client| shown(client.delete("a")),
        },
    ] {
        let alone = |answer: &str| {
            let server = ScriptedServer::start([Session::new().expect(request).send(answer)]);
            call(&text_client(&[&server], PATIENT))
        };
        let (first, second) = (alone(answer), alone(then));
        assert_ne!(first, second);
        let (answered, sent) = (Gate::new("the client has its answer"), Gate::new("the late bytes are out"));
        let session = Session::new().expect(request).send(answer).wait(&answered).send(late).open(&sent).expect_close();
        let server = ScriptedServer::start([session, Session::new().expect(request).send(then)]);
        let client = text_client(&[&server], PATIENT);
        assert_eq!(call(&client), first, "{request:?}");
        answered.open();
        sent.wait();
        assert_eq!(call(&client), second, "{request:?}");
        assert_eq!(server.connections(), 2);
        drop(client);
        server.finish();
    }
}

fn a_late_reply_is_not_taken_for_another_one_in_meta() {
    let (answered, sent) = (Gate::new("the client has its answer"), Gate::new("the late bytes are out"));
    let incr = |ticket: u32| format!("ma a MI D1 v O000{ticket}\r\n");
    let number = |ticket: u32, number: u32| format!("VA 1 O000{ticket}\r\n{number}\r\n");
    let late = meta().expect(incr(2)).send(number(2, 1)).wait(&answered).send(number(2, 1)).open(&sent).ignore();
    let server = ScriptedServer::start([late, meta().expect(incr(2)).send(number(2, 2))]);
    let client = client(&server);
    assert_eq!(client.incr("a", 1), Ok(Some(1)));
    answered.open();
    sent.wait();
    // A client that has not noticed it sends its request, and then the outcome is unknown.
    let counted = client.incr("a", 1).or_else(|error| {
        assert_eq!((kind(&error), error.landed()), ("protocol", Landed::Unknown), "{error}");
        client.incr("a", 1)
    });
    assert_eq!(counted, Ok(Some(2)));
    drop(client);
    server.finish();
}

fn a_key_named_noreply_is_not_fetched_in_the_classic_protocol() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\nget b\r\n").send("END\r\nEND\r\n")]);
    let client = text_client(&[&server], PATIENT);
    for error in [client.get("noreply").unwrap_err(), client.gets("noreply").unwrap_err()] {
        assert!(matches!(&error, Error::Key { key, .. } if &**key == "noreply"), "{error:?}");
    }
    let found: Vec<_> = client.get_many(&["a", "noreply", "b"]).unwrap().into_iter().collect();
    assert!(matches!(found[..], [Ok(None), Err(Error::Key { .. }), Ok(None)]), "{found:?}");
    drop(client);
    server.finish();
    assert!(Key::new("noreply").is_ok());
}

fn flags_of_64_bits_are_read() {
    let session = Session::new().expect("get a\r\n").send("VALUE a 18446744073709551615 1\r\nx\r\nEND\r\n");
    let server = ScriptedServer::start([session]);
    let client = text_client(&[&server], PATIENT);
    let hit = client.get("a").unwrap().expect("a hit");
    assert_eq!(hit.flags, u64::MAX);
    // They cannot be stored.
    assert!(matches!(client.set("b", &hit, Expiry::Never), Err(Error::Value { .. })));
    drop(client);
    server.finish();
    assert_eq!(Protocol::default(), Protocol::Classic);
}
