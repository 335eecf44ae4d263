//! Clients that are closed.

use memcached2_testkit::assert_matches;
use std::thread;
use std::time::Duration;

use memcached2_proto::{Error, Expiry, Landed};
use memcached2_testkit::{EmbeddedServer, Gate, ScriptedServer, Session};

use super::servers::Kind;
use super::setting::{PATIENT, client, text_client};

super::cases! {
    served {
        a_closed_client_refuses_calls,
        a_client_that_was_never_used_closes_at_once,
    }
    scripted {
        close_sends_quit_to_the_server,
        a_call_of_a_server_that_has_left_the_list_is_waited_for,
    }
}

fn a_closed_client_refuses_calls(on: Kind) {
    let (_servers, addresses) = on.servers(3);
    let client = client(&addresses);
    let clone = client.clone();
    client.set("a", "x", Expiry::Never).unwrap();
    client.version().unwrap().into_result().unwrap();
    assert!(client.close(PATIENT));
    for error in [
        clone.get("a").unwrap_err(),
        client.set("a", "y", Expiry::Never).unwrap_err(),
        client.version().unwrap().into_result().unwrap_err(),
        client.get_many(&["a"]).unwrap().into_result().unwrap_err(),
    ] {
        assert_matches!((&error, error.landed()), (Error::Closed { .. }, Landed::NotSent));
    }
    assert!(client.close(Duration::ZERO), "there is nothing left to be closed");
}

fn a_client_that_was_never_used_closes_at_once(on: Kind) {
    let server = on.start();
    assert!(client(&[server.address()]).close(Duration::ZERO));
}

fn close_sends_quit_to_the_server() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\n").send("END\r\n").expect("quit\r\n")]);
    let client = text_client(&[&server], PATIENT);
    assert_eq!(client.get("a"), Ok(None));
    assert!(client.close(PATIENT));
    server.finish();
}

fn a_call_of_a_server_that_has_left_the_list_is_waited_for() {
    let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
    let left = ScriptedServer::start([Session::new().expect("get a\r\n").open(&asked).wait(&answer).close()]);
    let (first, second) = (EmbeddedServer::start(), EmbeddedServer::start());
    let client = text_client(&[&left], PATIENT);
    thread::scope(|scope| {
        let call = scope.spawn(|| client.get("a"));
        asked.wait();
        // Two lists later it is still under way.
        client.set_servers([first.address()]).unwrap();
        client.set_servers([second.address()]).unwrap();
        assert!(!client.close(Duration::ZERO), "closed while a call is under way");
        answer.open();
        assert!(call.join().unwrap().is_err());
    });
    assert!(client.close(PATIENT));
    left.finish();
}
