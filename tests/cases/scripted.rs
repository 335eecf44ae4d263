//! Servers that answer in pieces, wrongly, or not to the end.

use memcached2_testkit::assert_matches;
use std::time::Duration;

use memcached2_proto::command::StatsDetail;
use memcached2_proto::operation::AllServers;
use memcached2_proto::{Error, Expiry, Landed, Options, Protocol};
use memcached2_testkit::{Gate, ScriptedServer, Session};

use super::closing::Closing;
use super::setting::{PATIENT, kind, text_client};
use crate::subject::Client;

super::cases! {
    served {}
    scripted {
        a_reply_may_come_in_any_pieces,
        an_error_line_is_refused_and_the_connection_lives,
        an_unknown_line_to_an_admin_command_is_refused_and_the_connection_lives,
        an_error_line_to_a_store_closes_the_connection,
        a_server_that_closes_is_a_disconnect_error,
        a_server_out_of_step_is_not_trusted_any_more,
        an_unexpected_line_reaches_no_caller,
        a_late_line_reaches_no_other_caller,
        values_that_came_before_a_failure_are_kept,
        a_write_is_not_repeated_and_a_read_is_repeated_once,
        a_read_that_changes_the_expiry_is_not_repeated,
        a_request_to_a_full_server_was_not_sent,
    }
}

const HIT: &str = "VALUE a 0 3\r\none\r\nEND\r\n";

/// A connection that serves one more `get`.
fn healthy() -> Session {
    Session::new().expect("get a\r\n").send(HIT)
}

fn a_reply_may_come_in_any_pieces() {
    let reply = "VALUE a 7 10\r\nEND\r\none\r\n\r\nEND\r\n";
    let mut session = Session::new().expect("get a\r\n").send_byte_by_byte(reply);
    for at in 0..=reply.len() {
        session = session.expect("get a\r\n").send_split(reply, at);
    }
    let many = "VALUE a 0 1\r\nx\r\nVALUE b 0 0\r\n\r\nEND\r\n";
    session = session.expect("get a b c\r\n").send_byte_by_byte(many);
    session = session.expect("set a 0 0 1\r\nx\r\n").send_byte_by_byte("STORED\r\n");
    session = session.expect("incr a 1\r\n").send_byte_by_byte("18446744073709551615\r\n");
    let server = ScriptedServer::start([session]);
    let client = text_client(&[&server], PATIENT);
    for _ in 0..reply.len() + 2 {
        let hit = client.get("a").unwrap().expect("a hit");
        assert_eq!((hit.data(), hit.flags), (&b"END\r\none\r\n"[..], 7));
    }
    let hits = client.get_many(&["a", "b", "c"]).unwrap().into_result().unwrap();
    let hits: Vec<_> = hits.iter().map(|hit| hit.as_ref().map(|hit| hit.data())).collect();
    assert_eq!(hits, [Some(&b"x"[..]), Some(b""), None]);
    assert_eq!(client.set("a", "x", Expiry::Never), Ok(()));
    assert_eq!(client.incr("a", 1), Ok(Some(u64::MAX)));
    drop(client);
    server.finish();
}

fn an_error_line_is_refused_and_the_connection_lives() {
    let lines = ["ERROR", "SERVER_ERROR out of memory", "CLIENT_ERROR bad command line format", "SERVER_ERROR"];
    let session = lines.iter().fold(Session::new(), |session, line| {
        session.expect("get a\r\n").send(format!("{line}\r\n")).expect("delete a\r\n").send(format!("{line}\r\n"))
    });
    let server = ScriptedServer::start([session.expect("get a\r\n").send(HIT)]);
    let client = text_client(&[&server], PATIENT);
    for line in lines {
        for (error, unproven) in
            [(client.get("a").unwrap_err(), Landed::NotSent), (client.delete("a").unwrap_err(), Landed::Unknown)]
        {
            assert_matches!(&error, Error::Refused { line: is, .. } if **is == *line && error.server() == Some(&*server.address().to_string()));
            // Behind a proxy a bare SERVER_ERROR does not prove that nothing was done, unless it was a read.
            let proven = line != "SERVER_ERROR";
            assert_eq!(error.landed(), if proven { Landed::Refused } else { unproven }, "{line}");
        }
    }
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();
}

/// As a proxy does, or another server.
fn an_unknown_line_to_an_admin_command_is_refused_and_the_connection_lives() {
    const LINE: &str = "NOT SUPPORTED";
    const FENCE: &str = "md AA== b C18446744073709551615 O";
    for protocol in [Protocol::Classic, Protocol::Meta] {
        let asked = ["flush_all", "verbosity 1", "version", "stats reset", "stats detail on"];
        let refusing = (0..).zip(asked).fold(Session::new(), |session, (at, asked)| match protocol {
            Protocol::Classic => session.expect(format!("{asked}\r\n")).send(format!("{LINE}\r\n")),
            _ => {
                let ticket = format!("000{at}\r\n");
                session.expect(format!("{asked}\r\n{FENCE}{ticket}")).send(format!("{LINE}\r\nNF O{ticket}"))
            }
        });
        let session = match protocol {
            Protocol::Classic => refusing.expect("get a\r\n").send(HIT),
            _ => refusing.expect("mg a f v O0005\r\n").send("VA 3 f0 O0005\r\none\r\n"),
        };
        let server = ScriptedServer::start([session]);
        // A server that counted as down would not be asked again.
        let options = Options::default().timeout(PATIENT).protocol(protocol);
        let client = Client::with_options([server.address()], options).unwrap();
        for (error, landed) in [
            (client.flush_all().unwrap().into_result().unwrap_err(), Landed::Unknown),
            (client.verbosity(1).unwrap().into_result().unwrap_err(), Landed::Unknown),
            (client.version().unwrap().into_result().unwrap_err(), Landed::NotSent),
            (client.stats_reset().unwrap().into_result().unwrap_err(), Landed::Unknown),
            (client.run(AllServers(StatsDetail(true))).unwrap().into_result().unwrap_err(), Landed::Unknown),
        ] {
            assert_matches!(&error, Error::Refused { line, .. } if **line == *LINE);
            assert_eq!(error.landed(), landed, "{error}");
        }
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        assert_eq!(server.connections(), 1);
        drop(client);
        server.finish();
    }
}

/// Older servers execute the data block of a `set` that they refuse.
fn an_error_line_to_a_store_closes_the_connection() {
    for (line, landed) in [
        ("ERROR", Landed::Refused),
        ("CLIENT_ERROR bad data chunk", Landed::Refused),
        ("CLIENT_ERROR line too long", Landed::Refused),
        ("SERVER_ERROR busy", Landed::Unknown),
    ] {
        let refusing = Session::new().expect("set a 0 0 9\r\nflush_all\r\n").send(format!("{line}\r\nOK\r\n"));
        let server = ScriptedServer::start([refusing, healthy()]);
        let client = text_client(&[&server], PATIENT);
        let error = client.set("a", "flush_all", Expiry::Never).unwrap_err();
        assert_eq!((kind(&error), error.landed()), ("refused", landed), "{line}");
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        assert_eq!(server.connections(), 2);
        drop(client);
        server.finish();
    }
}

fn a_server_out_of_step_is_not_trusted_any_more() {
    for (reply, closes, expected) in [
        // Another key than the one that was asked, also one that begins alike.
        ("VALUE b 0 3\r\none\r\nEND\r\n", false, "protocol"),
        ("VALUE aa 0 3\r\none\r\nEND\r\n", false, "protocol"),
        ("VALUE a 0 3\r\none\r\nVALUE b 0 3\r\none\r\nEND\r\n", false, "protocol"),
        ("VALUE a 0 3\r\none\r\nVALUE a 0 3\r\ntwo\r\nEND\r\n", false, "protocol"),
        // The answer to another request.
        ("STORED\r\n", false, "protocol"),
        ("7\r\n", false, "protocol"),
        ("HTTP/1.1 400 Bad Request\r\n", false, "protocol"),
        ("\r\n", false, "protocol"),
        // Lengths that lie.
        ("VALUE a 0 2\r\none\r\nEND\r\n", false, "protocol"),
        ("VALUE a 0 -1\r\n\r\nEND\r\n", false, "protocol"),
        ("VALUE a 0 99999999999999999999\r\n", false, "protocol"),
        // The end of the stream in the middle.
        ("", true, "disconnected"),
        ("VALUE a 0 3\r\non", true, "disconnected"),
        ("VALUE a 0 3\r\none\r\n", true, "disconnected"),
        ("EN", true, "disconnected"),
    ] {
        let session = Session::new().expect("get a\r\n").send(reply);
        let server = ScriptedServer::start([if closes { session.close() } else { session }, healthy()]);
        let client = text_client(&[&server], PATIENT);
        let error = client.get("a").unwrap_err();
        assert_eq!((kind(&error), error.landed()), (expected, Landed::NotSent), "{reply:?}: {error}");
        assert_eq!(error.server(), Some(server.address().as_str()), "{reply:?}");
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one", "{reply:?}");
        assert_eq!(server.connections(), 2, "{reply:?}");
        drop(client);
        server.finish();
    }
}

fn an_unexpected_line_reaches_no_caller() {
    for rest in ["END\r\n", "VALUE a 0 3\r\ntwo\r\nEND\r\n", "STORED\r\n", "x"] {
        // In the same write as the answer.
        let talking = Session::new().expect("get a\r\n").send(format!("{HIT}{rest}"));
        let server = ScriptedServer::start([talking, healthy()]);
        let client = text_client(&[&server], PATIENT);
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one", "{rest:?}");
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one", "{rest:?}");
        assert_eq!(server.connections(), 2, "{rest:?}");
        drop(client);
        server.finish();
    }
}

/// What arrives late on an idle connection is no answer to what is asked later. A client that has not noticed it yet may
/// fail one call for it.
fn a_late_line_reaches_no_other_caller() {
    for late in ["VALUE a 0 3\r\ntwo\r\nEND\r\n", "VALUE bb 0 3\r\ntwo\r\nEND\r\n", "STORED\r\n"] {
        let (answered, sent) = (Gate::new("the client has its answer"), Gate::new("the late bytes are out"));
        let talking = Session::new().expect("get a\r\n").send(HIT).wait(&answered).send(late).open(&sent).ignore();
        let server = ScriptedServer::start([talking, Session::new().expect("get b\r\n").send("END\r\n")]);
        let client = text_client(&[&server], PATIENT);
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
        answered.open();
        sent.wait();
        let second = client.get("b").or_else(|error| {
            assert_eq!(kind(&error), "protocol", "{late:?}: {error}");
            client.get("b")
        });
        assert_eq!((second, server.connections()), (Ok(None), 2), "{late:?}");
        drop(client);
        server.finish();
    }
}

fn a_server_that_closes_is_a_disconnect_error() {
    const SET: &str = "set foo 0 0 3\r\nbar\r\n";
    let stored = || Session::new().expect(SET).send("STORED\r\n");
    let (_closing, client) = Closing::start();
    for _ in 0..2 {
        assert_eq!(kind(&client.set("foo", "bar", Expiry::Never).unwrap_err()), "disconnected");
        assert_eq!(kind(&client.get("foo").unwrap_err()), "disconnected");
        assert_eq!(kind(&client.flush_all().unwrap().into_result().unwrap_err()), "disconnected");
    }
    let server = ScriptedServer::start([Session::new().expect(SET).close()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(kind(&client.set("foo", "bar", Expiry::Never).unwrap_err()), "disconnected");
    drop(client);
    server.finish();
    // A read may be asked again, so that the server has to close twice.
    for session in [stored().close(), stored().expect("get foo\r\n").close()] {
        let server = ScriptedServer::start([session, Session::new().expect("get foo\r\n").close()]);
        let client = text_client(&[&server], PATIENT);
        client.set("foo", "bar", Expiry::Never).unwrap();
        let error = client.get("foo").unwrap_err();
        assert_eq!(kind(&error), "disconnected", "{error}");
        drop(client);
        server.finish();
    }
    let found = "VALUE foo 0 3\r\nbar\r\nEND\r\n";
    let server = ScriptedServer::start([stored().expect("get foo\r\n").send(found)]);
    let client = text_client(&[&server], PATIENT);
    client.set("foo", "bar", Expiry::Never).unwrap();
    assert_eq!(client.get("foo").unwrap().expect("a hit"), "bar");
    drop(client);
    server.finish();
    // A whole server, too.
    let server = ScriptedServer::start([Session::new().expect("flush_all\r\n").close()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(kind(&client.flush_all().unwrap().into_result().unwrap_err()), "disconnected");
    drop(client);
    server.finish();
}

fn values_that_came_before_a_failure_are_kept() {
    for (reply, closes, expected) in [
        ("VALUE a 0 3\r\none\r\nVALUE b 0 3\r\ntw", true, "disconnected"),
        ("VALUE a 0 3\r\none\r\n", true, "disconnected"),
        ("VALUE a 0 3\r\none\r\nVALUE x 0 3\r\ntwo\r\nEND\r\n", false, "protocol"),
        ("VALUE a 0 3\r\none\r\nSERVER_ERROR out of memory writing get response\r\n", false, "refused"),
    ] {
        let session = Session::new().expect("get a b c\r\n").send(reply);
        let server = ScriptedServer::start([if closes { session.close() } else { session }, healthy()]);
        let client = text_client(&[&server], PATIENT);
        let results: Vec<_> = client.get_many(&["a", "b", "c"]).unwrap().into_iter().collect();
        assert_eq!(results[0].as_ref().unwrap().as_ref().expect("a hit"), &"one", "{reply:?}");
        for result in &results[1..] {
            let error = result.as_ref().unwrap_err();
            assert_eq!(kind(error), expected, "{reply:?}: {error}");
            assert_eq!(error.server(), Some(server.address().as_str()), "{reply:?}");
        }
        assert_eq!(client.get("a").unwrap().expect("a hit"), "one", "{reply:?}");
        assert_eq!(server.connections(), 2, "{reply:?}");
        drop(client);
        server.finish();
    }
}

fn a_write_is_not_repeated_and_a_read_is_repeated_once() {
    // The connection dies under the second request, before a byte of its answer.
    let dying = |request: &str| healthy().expect(request).close();

    let server = ScriptedServer::start([dying("set a 0 0 1\r\nx\r\n"), healthy()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("disconnected", Landed::Unknown));
    assert_eq!(server.connections(), 1);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();

    let server = ScriptedServer::start([dying("get a\r\n"), healthy()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();

    let server = ScriptedServer::start([dying("get a\r\n"), Session::new().expect("get a\r\n").close()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    let error = client.get("a").unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("disconnected", Landed::NotSent));
    assert_eq!(server.connections(), 2);
    drop(client);
    server.finish();
}

fn a_read_that_changes_the_expiry_is_not_repeated() {
    let server = ScriptedServer::start([healthy().expect("gat 60 a\r\n").close(), healthy()]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    let error = client.gat("a", Duration::from_secs(60)).unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("disconnected", Landed::Unknown));
    assert_eq!(server.connections(), 1);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();

    // To ask for the version does no harm.
    let answer = "VALUE a 0 3 7\r\none\r\nEND\r\n";
    let server = ScriptedServer::start([
        healthy().expect("gets a\r\n").close(),
        Session::new().expect("gets a\r\n").send(answer),
    ]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    assert_eq!(client.gets("a").unwrap().expect("a hit").cas, Some(7));
    drop(client);
    server.finish();
}

fn a_request_to_a_full_server_was_not_sent() {
    let full = || Session::new().expect("set a 0 0 1\r\nx\r\n").send("ERROR Too many open connections\r\n").close();
    let server = ScriptedServer::start([full(), healthy()]);
    let client = text_client(&[&server], PATIENT);
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_eq!((kind(&error), error.landed()), ("connect", Landed::NotSent), "{error}");
    assert!(!error.is_timeout());
    assert_eq!(client.get("a").unwrap().expect("a hit"), "one");
    drop(client);
    server.finish();
}
